package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
)

// errType says that a TOML value is not of the type that a kind is written in.
var errType = errors.New("wrong type")

// kind is a kind of value: how it is written and how it is read.
type kind[V any] struct {
	name  string // for the documentation: "size"
	like  string // for errors: `a size like "8G"`
	parse func(any) (V, error)
}

// rule is a bound on values of a kind.
type rule[V any] struct {
	words string // after "must be"
	holds func(V) bool
}

func atLeast[V cmp.Ordered](low V) rule[V] {
	return rule[V]{"at least " + show(low), func(v V) bool { return v >= low }}
}

func moreThan[V cmp.Ordered](low V) rule[V] {
	return rule[V]{"more than " + show(low), func(v V) bool { return v > low }}
}

func between[V cmp.Ordered](low, high V) rule[V] {
	return rule[V]{"from " + show(low) + " to " + show(high), func(v V) bool { return low <= v && v <= high }}
}

// noneOr bounds a duration of which 0 means that there is none.
func noneOr(low time.Duration) rule[time.Duration] {
	return rule[time.Duration]{"0s for none, or at least " + show(low), func(d time.Duration) bool { return d == 0 || d >= low }}
}

func matching(words, pattern string) rule[string] {
	compiled := lazily(pattern)
	return rule[string]{words, func(s string) bool { return compiled().MatchString(s) }}
}

// lazily compiles a pattern when it is first used. The binary also runs at the
// end of every unit, as the recorder, and there every millisecond counts.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// written makes a kind that is written as a string and read by a function that
// says itself what is wrong.
func written[V any](name, like string, parse func(string) (V, error)) kind[V] {
	return kind[V]{name, like, func(raw any) (V, error) {
		s, ok := raw.(string)
		if !ok {
			var none V
			return none, errType
		}
		return parse(s)
	}}
}

// oneOf is a kind with few values, each a word.
func oneOf[V ~string](words ...V) kind[V] {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = strconv.Quote(string(word))
	}
	all := strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
	return written(all, all, func(s string) (V, error) {
		for _, word := range words {
			if V(s) == word {
				return word, nil
			}
		}
		return "", fmt.Errorf("must be %s, is %q", all, s)
	})
}

// listOf is a kind of list of another kind. An element's error names it.
func listOf[V any](element kind[V], name, like string) kind[[]V] {
	return kind[[]V]{name, like, func(raw any) ([]V, error) {
		items, ok := raw.([]any)
		if !ok {
			return nil, errType
		}
		list := make([]V, 0, len(items))
		for i, item := range items {
			v, err := element.parse(item)
			if errors.Is(err, errType) {
				return nil, fmt.Errorf("element %d wants %s, not %s", i+1, element.like, typeName(item))
			}
			if err != nil {
				return nil, fmt.Errorf("element %d: %w", i+1, err)
			}
			list = append(list, v)
		}
		return list, nil
	}}
}

// show writes a value as a person would.
func show(value any) string {
	switch value := value.(type) {
	case string:
		return strconv.Quote(value)
	case syscall.Signal:
		return unix.SignalName(value)
	case time.Duration:
		s := value.String()
		if trimmed, ok := strings.CutSuffix(s, "m0s"); ok {
			s = trimmed + "m"
		}
		if trimmed, ok := strings.CutSuffix(s, "h0m"); ok {
			s = trimmed + "h"
		}
		return s
	}
	return fmt.Sprint(value)
}

// typeName names the type of a TOML value as a person would.
func typeName(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case int64:
		return "a number"
	case float64:
		return "a number with a point"
	case bool:
		return "true or false"
	case time.Time:
		return "a date"
	case table, map[string]any:
		return "a table"
	}
	return "a list"
}

// The kinds that are not special to one key.
var (
	text = written("string", "a string", func(s string) (string, error) {
		if strings.ContainsRune(s, 0) {
			return "", errors.New("must not contain a NUL character")
		}
		return s, nil
	})
	texts    = listOf(text, "list of strings", `a list of strings like ["a", "b"]`)
	size     = written("size", `a size like "8G"`, quantity.ParseBytes)
	percent  = written("percentage", `a percentage like "80%"`, quantity.ParsePercent)
	duration = written("duration", `a duration like "30s"`, parseDuration)
	integer  = kind[int]{"integer", "a whole number", parseInteger}
	number   = kind[float64]{"number", "a number", parseNumber}
	yesNo    = kind[bool]{"true or false", "true or false", func(raw any) (bool, error) {
		b, ok := raw.(bool)
		if !ok {
			return false, errType
		}
		return b, nil
	}}
	unsigned = kind[uint64]{"integer", "a whole number", func(raw any) (uint64, error) {
		n, err := parseInteger(raw)
		if err == nil && n < 0 {
			err = fmt.Errorf("must not be negative, is %d", n)
		}
		return uint64(max(n, 0)), err
	}}
	celsius = kind[quantity.Celsius]{"°C", "degrees Celsius as a number like 75.0", func(raw any) (quantity.Celsius, error) {
		f, err := parseNumber(raw)
		return quantity.Celsius(f), err
	}}
)

func parseInteger(raw any) (int, error) {
	n, ok := raw.(int64)
	if !ok {
		return 0, errType
	}
	if n != int64(int(n)) {
		return 0, fmt.Errorf("%d is too large", n)
	}
	return int(n), nil
}

func parseNumber(raw any) (float64, error) {
	switch n := raw.(type) {
	case int64:
		return float64(n), nil
	case float64:
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return 0, fmt.Errorf("%v is not a number to reckon with", n)
		}
		return n, nil
	}
	return 0, errType
}

// maxDuration keeps every sum of a few durations, also in microseconds, far
// from overflowing.
const maxDuration = 10 * 365 * 24 * time.Hour

var days = lazily(`^([0-9]{1,5})d(.*)$`)

// parseDuration reads Go's durations ("1h30m"), with days before them ("2d12h").
func parseDuration(s string) (time.Duration, error) {
	rest, sum := s, time.Duration(0)
	if m := days().FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1]) // at most five digits: cannot fail
		sum, rest = time.Duration(n)*24*time.Hour, m[2]
	}
	if rest != "" || s == "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("%q is not a duration: write it like \"30s\", \"10m\" or \"2d12h\"", s)
		}
		sum += d
	}
	if sum < 0 || sum > maxDuration {
		return 0, fmt.Errorf("%q is too long: at most ten years", s)
	}
	return sum, nil
}
