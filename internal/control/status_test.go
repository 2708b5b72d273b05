package control_test

import (
	"testing"

	"brainjar/internal/control"
)

// TestExecStatus: 126 and 127 are about the command alone.
func TestExecStatus(t *testing.T) {
	seven := 7
	for _, c := range []struct {
		ended control.Ended
		want  int
	}{
		{control.Ended{Result: "exit-code", ExitCode: &seven}, 7},
		{control.Ended{Result: "signal", Signal: "SIGTERM"}, 143},
		{control.Ended{Result: "oom-kill"}, 137},
		{control.Ended{Result: "lost"}, 125},
		{control.Ended{Result: "start-failed", Reason: "Failed at step EXEC spawning /no/such: No such file or directory"}, 127},
		{control.Ended{Result: "start-failed", Reason: "cannot find program nosuch in /bin"}, 127},
		{control.Ended{Result: "start-failed", Reason: "cannot find program group in /bin"}, 127},
		{control.Ended{Result: "start-failed", Reason: "Failed at step EXEC spawning /etc/passwd: Permission denied"}, 126},
		{control.Ended{Result: "start-failed", Reason: "Failed at step CHDIR spawning /bin/true: No such file or directory"}, 125},
		{control.Ended{Result: "start-failed", Reason: "this machine refuses it: cannot use working_directory: stat /nope: no such file or directory"}, 125},
		{control.Ended{Result: "start-failed", Reason: "writable_paths: stat /nope: no such file or directory"}, 125},
		{control.Ended{Result: "start-failed", Reason: "devices: there is no /dev/nope on this machine"}, 125},
		{control.Ended{Result: "start-failed", Reason: "user: there is no user nosuch on this machine"}, 125},
	} {
		if got := c.ended.Status(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.ended, got, c.want)
		}
	}
}
