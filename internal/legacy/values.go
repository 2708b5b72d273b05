package legacy

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// A converter turns a value as systemd or the old project wrote it into one of
// TOML, as the configuration has it. Its error ends a sentence that begins with the value.
type converter func(old string) (toml string, err error)

// quoted writes a string of TOML.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r) // what is not UTF-8 was replaced by U+FFFD
		}
	}
	b.WriteByte('"')
	return b.String()
}

// list writes a list of strings of TOML.
func list(texts []string) string {
	items := make([]string, len(texts))
	for i, text := range texts {
		items[i] = quoted(text)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// smallest is what brainjar takes for a memory limit at the least.
const smallest = 16 * quantity.MiB

func size(old string) (string, error) {
	plain := strings.ToUpper(strings.TrimSpace(old))
	if plain == "INFINITY" || strings.HasSuffix(plain, "%") {
		return "", errors.New("is no size: brainjar wants one like 8G")
	}
	plain = strings.TrimSuffix(strings.TrimSuffix(plain, "B"), "I")
	b, err := quantity.ParseBytes(plain)
	switch {
	case err != nil:
		return "", errors.New("is no size like 8G")
	case b < smallest:
		return "", fmt.Errorf("is less than %v, the least that brainjar takes", smallest)
	}
	return quoted(plain), nil
}

func swapSize(old string) (string, error) {
	if old == "infinity" {
		return quoted(old), nil
	}
	if b, err := quantity.ParseBytes(strings.ToUpper(old)); err == nil && b < smallest {
		return quoted(strings.ToUpper(old)), nil
	}
	return size(old)
}

// gigabytes is a number of them, as TOTAL_RAM_LIMIT_GB has it.
func gigabytes(old string) (string, error) { return size(old + "G") }

func percent(old string) (string, error) {
	p, err := quantity.ParsePercent(strings.TrimSuffix(old, "%") + "%")
	switch {
	case err != nil:
		return "", errors.New("is no percentage like 80%")
	case p < 5:
		return "", errors.New("is less than 5%, the least that brainjar takes")
	}
	return quoted(p.String()), nil
}

func celsius(old string) (string, error) {
	f, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSuffix(old, "C"), "°"), 64)
	if err != nil || !(f >= 1 && f <= 150) {
		return "", errors.New("is no temperature in °C like 80")
	}
	return decimal(f), nil
}

// decimal writes a number of TOML with a point, but never an exponent.
func decimal(f float64) string {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// whole is a whole number between two.
func whole(low, high int64) converter {
	return func(old string) (string, error) {
		n, err := strconv.ParseInt(old, 10, 64)
		if err != nil || n < low || n > high {
			return "", fmt.Errorf("is no whole number from %d to %d", low, high)
		}
		return strconv.FormatInt(n, 10), nil
	}
}

// openFiles is LimitNOFILE=, of whose two numbers the first counts.
func openFiles(old string) (string, error) {
	soft, _, _ := strings.Cut(old, ":")
	return whole(16, 1<<30)(soft)
}

var cpuNumbers = pattern(`^[0-9]+(-[0-9]+)?([ ,]+[0-9]+(-[0-9]+)?)*$`)

func cpuList(old string) (string, error) {
	if !cpuNumbers().MatchString(old) {
		return "", errors.New("is no list of CPUs like 0-3,6")
	}
	return quoted(strings.Join(strings.FieldsFunc(old, func(r rune) bool { return r == ' ' || r == ',' }), ",")), nil
}

func signal(old string) (string, error) {
	name := "SIG" + strings.TrimPrefix(old, "SIG")
	if n, err := strconv.Atoi(old); err == nil {
		name = unix.SignalName(syscall.Signal(n))
	}
	if unix.SignalNum(name) == 0 {
		return "", errors.New("is no signal that brainjar knows")
	}
	return quoted(name), nil
}

var (
	spanPart  = pattern(`^\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Zµ]*)`)
	spanUnits = map[string]time.Duration{
		"": time.Second, "s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
		"us": time.Microsecond, "usec": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond, "msec": time.Millisecond,
		"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
		"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
		"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
		"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
	}
)

// parseSpan reads a time span of systemd.time(7), such as "1min 30s"; a number alone
// means seconds. The longest is ten years.
func parseSpan(text string) (time.Duration, error) {
	rest, sum := text, 0.0
	for strings.TrimSpace(rest) != "" {
		m := spanPart().FindStringSubmatch(rest)
		if m == nil {
			return 0, errors.New("is no time like 30s")
		}
		unit, known := spanUnits[m[2]]
		n, err := strconv.ParseFloat(m[1], 64)
		if !known || err != nil {
			return 0, errors.New("is no time like 30s")
		}
		sum += n * float64(unit)
		rest = rest[len(m[0]):]
	}
	if text == "" || sum > float64(10*365*24*time.Hour) {
		return 0, errors.New("is no time like 30s")
	}
	return time.Duration(math.Round(sum)), nil
}

// span is a time of at least so long.
func span(least time.Duration) converter {
	return func(old string) (string, error) {
		d, err := parseSpan(old)
		switch {
		case old == "infinity":
			return "", errors.New("is no limit at all")
		case err != nil:
			return "", err
		case d < least:
			return "", fmt.Errorf("is less than %v, the least that brainjar takes", least)
		}
		return quoted(writeSpan(d)), nil
	}
}

// writeSpan writes "90s" and "2h" where Go has "1m30s" and "2h0m0s".
func writeSpan(d time.Duration) string {
	switch {
	case d%time.Hour == 0 && d > 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0 && d > 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return d.String()
}

// account is the name of a user or a group.
func account(old string) (string, error) {
	if !accountForm().MatchString(old) {
		return "", errors.New("is no name of a user or a group")
	}
	return quoted(old), nil
}

var accountForm = pattern(`^([A-Za-z_][A-Za-z0-9_.-]{0,30}|[0-9]{1,10})$`)

// printable is a text that stands on one line of a comment.
func printable(text string) string {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
