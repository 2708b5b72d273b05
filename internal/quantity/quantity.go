// Package quantity holds the physical quantities that brainjar reads from
// people and shows to them: bytes, shares of a CPU, temperatures, power and clocks.
// Each is a type of its own, so that a size cannot be passed for a
// temperature, and each knows its one way of being written. The package
// imports nothing of brainjar and knows nothing of where a value comes from.
package quantity

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of memory or storage in bytes.
type Bytes uint64

// The binary multiples of a byte.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

// ParseBytes reads a size as people write it: "512M", "8G", "1.5G", "4096".
// The suffixes K, M, G and T are powers of 1024.
func ParseBytes(s string) (Bytes, error) {
	number, factor := s, Bytes(1)
	if n := len(s); n > 0 {
		switch s[n-1] {
		case 'K', 'k':
			number, factor = s[:n-1], KiB
		case 'M', 'm':
			number, factor = s[:n-1], MiB
		case 'G', 'g':
			number, factor = s[:n-1], GiB
		case 'T', 't':
			number, factor = s[:n-1], TiB
		}
	}
	errForm := fmt.Errorf("%q is not a size: write it like \"512M\" or \"8G\"", s)
	if number == "" || strings.Trim(number, "0123456789.") != "" {
		return 0, errForm
	}
	if whole, err := strconv.ParseUint(number, 10, 64); err == nil {
		if whole > math.MaxInt64/uint64(factor) {
			return 0, fmt.Errorf("%q is larger than any machine's memory", s)
		}
		return Bytes(whole) * factor, nil
	} else if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%q is larger than any machine's memory", s)
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, errForm
	}
	product := f * float64(factor)
	if product > math.MaxInt64 {
		return 0, fmt.Errorf("%q is larger than any machine's memory", s)
	}
	return Bytes(product), nil
}

// String writes the size with the largest suffix that keeps it readable:
// exact where it can be ("8G", "400M"), else with one decimal ("7.9G").
func (b Bytes) String() string {
	units := []struct {
		size   Bytes
		suffix string
	}{{TiB, "T"}, {GiB, "G"}, {MiB, "M"}, {KiB, "K"}}
	for _, u := range units {
		if b < u.size {
			continue
		}
		if b%u.size == 0 {
			return fmt.Sprintf("%d%s", b/u.size, u.suffix)
		}
		return fmt.Sprintf("%.1f%s", float64(b)/float64(u.size), u.suffix)
	}
	return fmt.Sprintf("%dB", uint64(b))
}

// Percent is a share of CPU time in percent: 100 is one CPU all of the time.
type Percent float64

// ParsePercent reads a share of CPU time such as "80%" or "150%".
func ParsePercent(s string) (Percent, error) {
	digits, ok := strings.CutSuffix(s, "%")
	if !ok || digits == "" || strings.Trim(digits, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not a percentage: write it like \"80%%\" (100%% is one CPU)", s)
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a percentage: write it like \"80%%\" (100%% is one CPU)", s)
	}
	return Percent(f), nil
}

// String writes the share with as few digits as it has ("20%", "12.5%").
func (p Percent) String() string {
	return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%"
}

// Celsius is a temperature in °C.
type Celsius float64

// String writes the temperature with one decimal and its unit.
func (c Celsius) String() string { return fmt.Sprintf("%.1f °C", float64(c)) }

// Milliwatts is electrical power in mW.
type Milliwatts int64

// String writes the power in watts ("12.5 W").
func (m Milliwatts) String() string { return fmt.Sprintf("%.1f W", float64(m)/1000) }

// Hertz is a clock's frequency in Hz.
type Hertz int64

// String writes the frequency in MHz, or from 1 GHz on in GHz ("624 MHz",
// "1.30 GHz").
func (h Hertz) String() string {
	if h >= 1e9 {
		return fmt.Sprintf("%.2f GHz", float64(h)/1e9)
	}
	return fmt.Sprintf("%.0f MHz", float64(h)/1e6)
}
