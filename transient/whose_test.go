package transient

import (
	"math"
	"os"
	"testing"
)

func TestWhose(t *testing.T) {
	for group, want := range map[string]string{
		"/brainjar.slice/brainjar-amnesiac_001.service":                               "amnesiac_001",
		"/brainjar.slice/brainjar-m.1.scope":                                          "m.1",
		"/brainjar.slice/brainjar-a.service/inner/deeper":                             "a",
		"/user.slice/user-0.slice/user@0.service/brainjar.slice/brainjar-a-b.service": "a-b",
		"/brainjar.slice":                  "",
		"/brainjar.slice/other-a.service":  "",
		"/system.slice/brainjar-a.service": "",
		"/brainjar.slice/brainjar-a.mount": "",
		"/":                                "",
		"":                                 "",
	} {
		if got, found := experimentOf(group); got != want || found != (want != "") {
			t.Errorf("%s: %q %v, want %q", group, got, found, want)
		}
	}
	for _, pid := range []int{os.Getpid(), math.MaxInt32} {
		if got, found := Whose(pid); found {
			t.Errorf("process %d is of %q", pid, got)
		}
	}
}
