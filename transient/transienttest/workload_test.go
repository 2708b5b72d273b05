package transienttest

import "testing"

func FuzzParseSteps(f *testing.F) {
	f.Add("on=TERM:sleep=3s,exit=0")
	f.Add("alloc=64M")
	f.Add("write=/x:a:b=c")
	f.Fuzz(func(t *testing.T, arg string) {
		steps, err := parseSteps([]string{arg})
		if err == nil && len(steps) != 1 {
			t.Errorf("%d steps", len(steps))
		}
	})
}
