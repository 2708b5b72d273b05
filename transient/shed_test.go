package transient

import "testing"

func TestReadOnlyMapping(t *testing.T) {
	const file = "/usr/bin/brain jar"
	for line, want := range map[string]bool{
		"00400000-00b16000 r-xp 00000000 00:28 29                 /usr/bin/brain jar\n": true,
		"00b16000-011bc000 r--p 00716000 00:28 29                 /usr/bin/brain jar\n": true,
		"011bc000-01235000 rw-p 00dbc000 00:28 29                 /usr/bin/brain jar\n": false,
		"00400000-00b16000 r-xp 00000000 00:28 29                 /usr/bin/other\n":     false,
		"7f24a2780000-7f24a2c00000 rw-p 00000000 00:00 0 \n":                            false,
		"nonsense\n": false,
		"zz-yy r-xp 00000000 00:28 29 /usr/bin/brain jar\n": false,
	} {
		from, to, ok := readOnlyMapping(line, file)
		if ok != want || ok && from >= to {
			t.Errorf("%q: %x to %x, %v", line, from, to, ok)
		}
	}
}

// TestShed: the program goes on.
func TestShed(t *testing.T) {
	for range 3 {
		if err := Shed(); err != nil {
			t.Fatal(err)
		}
	}
}
