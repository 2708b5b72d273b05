//go:build lab

package supervisor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Output goes to a file for each run, also while brainjar is dead; one that grows
// too large is cut, and its program goes on.
func TestLongLogFiles(t *testing.T) {
	state := t.TempDir()
	text := shippedHead + `
[experiments.talks]
command = ["/bin/sh", "-c", "i=0; while [ $i -lt 40 ]; do head -c 100000 /dev/zero | tr '\\0' .; echo \" $i\"; i=$((i+1)); sleep 0.1; done; echo bye >&2; exit 3"]
log = "file"
log_max_size = "1M"
restart = { max_restarts = 1, delay = "1s" }
[experiments.scope]
kind = "scope"
user = "nobody"
sandbox = "off"
command = ["/bin/sh", "-c", "id -un; sleep 3600"]
log = "file"
`
	b := ship(t, state, text)
	b.ready()
	file := func(experiment string, run int) string {
		return filepath.Join(state, "logs", experiment, fmt.Sprintf("%d.log", run))
	}
	reads := func(path, want string) func() bool {
		return func() bool {
			text, err := os.ReadFile(path)
			return err == nil && strings.HasSuffix(string(text), want)
		}
	}
	b.await("the line of the scope", 20*time.Second, reads(file("scope", 1), "nobody\n"))
	held := func(path string) int64 {
		info, err := os.Stat(path)
		must(t, err)
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || info.Mode().Perm()&^0o640 != 0 || st.Uid != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return min(info.Size(), st.Blocks*512)
	}
	var before int64
	b.await("a cut", time.Minute, func() bool {
		now := held(file("talks", 1))
		cut := now < before
		before = now
		return cut
	})
	b.kill()
	b.await("the end of the first run", 20*time.Second, reads(file("talks", 1), " 39\nbye\n"))
	b = ship(t, state, text)
	b.ready()
	b.await("the end of the second run", time.Minute, reads(file("talks", 2), " 39\nbye\n"))
	b.drain(20 * time.Second)
	if n := held(file("talks", 2)); n > 3<<20 {
		t.Errorf("the file holds %d bytes", n)
	}
	if runs := b.whole(state, "talks"); len(runs) != 2 || *runs[0].ExitCode != 3 {
		t.Errorf("%+v", runs)
	}
}
