package transienttest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Execute starts a program and returns when it is what its process executes: after
// Start the kernel may still show the program that forked, or none.
func Execute(tb testing.TB, cmd *exec.Cmd) {
	tb.Helper()
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	want := strings.Join(cmd.Args, "\x00") + "\x00"
	var got []byte
	for range 1_000_000 { // no clock: in a bubble it is not that of the kernel
		var err error
		if got, err = os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid)); err != nil || string(got) == want {
			break
		}
	}
	if string(got) != want {
		tb.Fatalf("process %d executes %q, not %q", cmd.Process.Pid, got, want)
	}
}
