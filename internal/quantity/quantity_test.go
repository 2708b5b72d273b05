package quantity

import (
	"strings"
	"testing"
)

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]Bytes{
		"0": 0, "4096": 4096, "512M": 512 * MiB, "8G": 8 * GiB, "8g": 8 * GiB,
		"1.5G": 1536 * MiB, "1K": KiB, "2T": 2 * TiB,
	} {
		if got, err := ParseBytes(in); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "G", "8GB", "-1G", "8 G", "1e9", "0x10", "1.2.3M", "99999999T", "99999999999999999999", "inf", "NaN"} {
		if got, err := ParseBytes(in); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", in, got)
		}
	}
}

func TestBytesString(t *testing.T) {
	for in, want := range map[Bytes]string{
		0: "0B", 1000: "1000B", 8 * GiB: "8G", 400 * MiB: "400M", 1536 * MiB: "1.5G", 7*GiB + 900*MiB: "7.9G",
	} {
		if got := in.String(); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", uint64(in), got, want)
		}
	}
}

func TestParsePercent(t *testing.T) {
	for in, want := range map[string]Percent{"80%": 80, "150%": 150, "12.5%": 12.5} {
		got, err := ParsePercent(in)
		if err != nil || got != want {
			t.Errorf("ParsePercent(%q) = %v, %v; want %v", in, got, err, want)
		}
		if got.String() != in {
			t.Errorf("Percent(%v) = %q, want %q", want, got, in)
		}
	}
	for _, in := range []string{"", "%", "80", "-5%", "a%", "1e2%", "Inf%"} {
		if got, err := ParsePercent(in); err == nil {
			t.Errorf("ParsePercent(%q) = %v, want an error", in, got)
		}
	}
}

func TestHertzString(t *testing.T) {
	for in, want := range map[Hertz]string{
		0: "0 MHz", 115200000: "115 MHz", 999e6: "999 MHz", 1300500000: "1.30 GHz",
	} {
		if got := in.String(); got != want {
			t.Errorf("Hertz(%d) = %q, want %q", int64(in), got, want)
		}
	}
}

// What String writes exactly must be read back as the same value.
func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"512M", "8G", "1.5G", "0", "x", "9999999999999T"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBytes(s)
		if err != nil {
			return
		}
		out := b.String()
		if strings.Contains(out, ".") || strings.HasSuffix(out, "B") {
			return
		}
		if again, err := ParseBytes(out); err != nil || again != b {
			t.Errorf("%q -> %d -> %q -> %d, %v", s, b, out, again, err)
		}
	})
}
