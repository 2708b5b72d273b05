package sensors

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brainjar/sensors/sensorstest"
)

// Every board reads as its JSON in testdata says, whose values were checked by hand
// against the board's files. Nothing writes these files anew: a change there is a
// change of what users see.
func TestBoards(t *testing.T) {
	names, err := sensorstest.Boards()
	if err != nil || len(names) != 8 {
		t.Fatalf("boards are %q, %v", names, err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			s := machine(t, name)
			s.Disk = ""
			r := once(t, s)
			want, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if got := jsonOf(t, s, r); got != string(want) {
				t.Errorf("reads otherwise than testdata/%s.json:\n%s", name, difference(string(want), got))
			}
		})
	}
}

// jsonOf is a reading as JSON, without times, and with the tree's root as "".
func jsonOf(t *testing.T, s *Sampler, r Reading) string {
	t.Helper()
	r.At = time.Time{}
	for i := range r.Problems {
		r.Problems[i].Since = time.Time{}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), string(s.FS)+"/", "/") + "\n"
}

// difference shows the first lines that differ.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	show := func(lines []string) string { return strings.Join(lines[max(0, i-3):min(len(lines), i+5)], "\n") }
	return "want\n" + show(a) + "\ngot\n" + show(b)
}

// What a program reads from JSON is what was written.
func TestReadingTravels(t *testing.T) {
	names, err := sensorstest.Boards()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		s := machine(t, name)
		there := jsonOf(t, s, once(t, s))
		var r Reading
		if err := json.Unmarshal([]byte(there), &r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if back := jsonOf(t, s, r); back != there {
			t.Errorf("%s: is another after its journey:\n%s", name, difference(there, back))
		}
	}
	for _, text := range []string{`{"cpu": {"state": "fine"}}`, `{"emc_hertz": "fast"}`, `{"zones": [7]}`, `{"problems": [7]}`} {
		if err := json.Unmarshal([]byte(text), new(Reading)); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}
