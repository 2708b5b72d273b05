//go:build lab

package transient_test

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"brainjar/transient"
)

// parallel is how many runs are under way at a time.
const parallel = 16

// TestLongExits: each of 1500 runs is recorded once, with its own code.
func TestLongExits(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, transient.Options{RecordDir: dir})
	b.synced(1)
	codes := make([]int, 1500) // a third ends cleanly, which systemd forgets at once
	for i := range codes {
		if i%3 > 0 {
			codes[i] = b.rand.IntN(256)
		}
	}
	b.many(len(codes), func(i int) []string {
		return []string{fmt.Sprintf("exit=%d", codes[i])}
	}, func(i int, o transient.Outcome) error {
		want := transient.ExitCode
		if codes[i] == 0 {
			want = transient.Success
		}
		if o.Result != want || o.ExitCode != codes[i] || o.Signal != 0 {
			return fmt.Errorf("exit code %d: %+v", codes[i], o)
		}
		return nil
	})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("records left over: %v, %v", entries, err)
	}
}

// TestLongDeaths: 100 runs die by each of these signals, also by those that
// systemd counts as a success.
func TestLongDeaths(t *testing.T) {
	names := []string{"TERM", "HUP", "INT", "PIPE", "USR1", "KILL"}
	signals := []syscall.Signal{
		syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGKILL,
	}
	b := newBench(t, transient.Options{})
	b.synced(1)
	b.many(100*len(names), func(i int) []string {
		return []string{"kill=" + names[i%len(names)]}
	}, func(i int, o transient.Outcome) error {
		if o.Result != transient.Signal || o.Signal != signals[i%len(names)] || o.ExitCode != -1 || o.StopRequested {
			return fmt.Errorf("SIG%s: %+v", names[i%len(names)], o)
		}
		return nil
	})
}

// many makes n runs, each of its steps, and checks how each ended. The names
// of units are used again and again.
func (b *bench) many(n int, steps func(i int) []string, check func(i int, o transient.Outcome) error) {
	b.Helper()
	specs := make([]transient.Spec, n)
	for i := range specs {
		specs[i] = b.spec(fmt.Sprintf("%d", i%parallel), steps(i)...)
		specs[i].Run = i + 1
	}
	var wait sync.WaitGroup
	for lane := range parallel {
		wait.Go(func() {
			for i := lane; i < n; i += parallel {
				if err := b.Start(b.Context(), specs[i]); err != nil {
					b.Errorf("run %d: %v", i+1, err)
					return
				}
				e := await(b, "Ended", 1, func(e transient.Ended) bool {
					return e.Unit.Name == specs[i].Unit() && e.Unit.Run == i+1
				})
				if err := check(i, e.Outcome); err != nil {
					b.Errorf("run %d: %v", i+1, err)
				}
				if err := b.Forget(b.Context(), e.Unit); err != nil {
					b.Errorf("run %d: %v", i+1, err)
				}
			}
		})
	}
	wait.Wait()
	if got := len(all(b, anyOf[transient.Ended])); got != n {
		b.Errorf("%d ends of %d runs", got, n)
	}
	if left := b.left(); left != "" {
		b.Errorf("units left over:\n%s", left)
	}
}

// TestStartFailures: what was never executed is told from what failed.
func TestStartFailures(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	user := b.spec("user", "exit=0")
	user.User = "nobody-by-that-name"
	program := b.spec("program")
	program.Command = []string{"/nonexistent/program"}
	script := b.spec("script")
	script.Command = []string{"/etc/passwd"}
	for _, spec := range []transient.Spec{program, script} {
		o := b.ended(b.start(spec)).Outcome
		if o.Result != transient.StartFailed || o.ExitCode != -1 || o.Detail == "" {
			t.Errorf("%s: %+v", spec.Experiment, o)
		}
		t.Logf("%s: %s", spec.Experiment, o.Detail)
	}
	directory := b.spec("directory", "exit=0")
	directory.WorkingDirectory = "/nonexistent/directory"
	writable := b.spec("writable", "exit=0")
	writable.WritablePaths = []string{"/nonexistent/path"}
	for _, spec := range []transient.Spec{user, directory, writable} {
		if err := b.Start(t.Context(), spec); err == nil {
			t.Errorf("%s: no error", spec.Experiment)
		} else {
			t.Log(err)
		}
	}
	b.forget()
}

// TestSlowRecorder: a recorder that is killed, because it takes longer than the
// unit's stop_timeout, costs figures, not the outcome: systemd reports both as
// "timeout".
func TestSlowRecorder(t *testing.T) {
	b := newBench(t, transient.Options{Recorder: []string{"/bin/sh", "-c", "exec sleep 1h"}})
	b.synced(1)
	for _, test := range []struct {
		name, step string
		runtimeMax time.Duration
		want       transient.Result
	}{
		{"success", "exit=0", 0, transient.Success},
		{"within-its-time", "exit=0", time.Minute, transient.Success},
		{"code", "exit=9", 0, transient.ExitCode},
		{"out-of-time", "sleep=1h", time.Second, transient.Timeout},
	} {
		spec := b.spec(test.name, test.step)
		spec.StopTimeout, spec.RuntimeMax = time.Second, test.runtimeMax
		if o := b.ended(b.start(spec)).Outcome; o.Result != test.want {
			t.Errorf("%s: %+v", test.name, o)
		}
	}
	b.forget()
}
