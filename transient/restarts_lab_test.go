//go:build lab

package transient_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"brainjar/transient"
)

// TestRestartsOfWhatEnds: a person restarts units that are about to end, while systemd
// and Managers come and go. What said that it ends with 3 has ended so, or was stopped
// between its last word and its end; and what has started ends.
func TestRestartsOfWhatEnds(t *testing.T) {
	const code, lives, units, starts = 3, 3, 12, 16
	records, said := t.TempDir(), filepath.Join(t.TempDir(), "said")
	ends := make(map[string]transient.Outcome)
	for range lives {
		b := newBench(t, transient.Options{RecordDir: records})
		b.synced(1)
		var mu sync.Mutex
		pause := func(milliseconds int) {
			mu.Lock()
			n := b.rand.IntN(milliseconds)
			mu.Unlock()
			time.Sleep(time.Duration(n) * time.Millisecond)
		}
		var wait sync.WaitGroup
		wait.Go(func() {
			for _, verb := range []string{"daemon-reexec", "daemon-reload", "daemon-reexec", "daemon-reexec"} {
				pause(300)
				_ = exec.Command("systemctl", verb).Run() // it may be busy with the last one
			}
		})
		for i := range units {
			spec := b.spec(fmt.Sprint(i))
			script := fmt.Sprintf(`sleep 0.0%d; echo "$INVOCATION_ID" >>"$0"; exit %d`, i%5, code)
			spec.Command = []string{"/bin/sh", "-c", script, said}
			wait.Go(func() {
				for range starts {
					_ = b.Start(b.Context(), spec) // it may run
					pause(45)
					_ = exec.Command("systemctl", "restart", "--no-block", spec.Unit()).Run() // or be gone
					pause(25)
				}
			})
		}
		wait.Wait()
		for _, e := range all(b, anyOf[transient.Started]) {
			await(b, "end of "+e.Unit.Invocation, 1, func(end transient.Ended) bool { return end.Unit.Invocation == e.Unit.Invocation })
		}
		b.die()
		for _, e := range all(b, anyOf[transient.Ended]) {
			ends[e.Unit.Invocation] = e.Outcome
			if o := e.Outcome; o.Result == transient.StartFailed || o.Result == transient.Lost {
				t.Errorf("%s: %+v", e.Unit.Name, o)
			}
		}
	}
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for invocation := range strings.FieldsSeq(string(text)) {
		o, known := ends[invocation]
		if known { // else the next Manager would find it
			seen++
		}
		if known && o.ExitCode != code && o.Result != transient.Stopped {
			t.Errorf("%s: %+v", invocation, o)
		}
	}
	if seen < units {
		t.Errorf("only %d ends were seen", seen)
	}
}
