//go:build lab

package supervisor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What brainjar tells the journal, as a service of systemd, can be found by its
// facts; and journald that is started anew gets the rest.
func TestShippedJournal(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.toml")
	must(t, os.WriteFile(config, []byte(shippedHead+`
[experiments.told]
command = ["/bin/sh", "-c", "sleep 1; exit 3"]
restart = { delay = "1s", max_restarts = 1 }
`), 0o600))
	const daemon = "lab-daemon.service"
	_, err := run("systemd-run", "--quiet", "--collect", "--unit="+daemon, shippedBinary(t), "run", "--state", t.TempDir(), config)
	must(t, err)
	t.Cleanup(func() {
		_ = exec.Command("systemctl", "stop", daemon).Run()
		_ = exec.Command("systemctl", "stop", "brainjar.slice").Run()
		if t.Failed() {
			log, _ := run("journalctl", "-u", daemon)
			t.Log(log)
		}
	})
	told := func(matches ...string) (found []map[string]any) {
		out, err := run("journalctl", append([]string{"-q", "--no-pager", "-o", "json", "_SYSTEMD_UNIT=" + daemon, "BRAINJAR_EVENT=phase changed", "BRAINJAR_EXPERIMENT=told"}, matches...)...)
		must(t, err)
		for line := range strings.Lines(out) {
			var entry map[string]any
			must(t, json.Unmarshal([]byte(line), &entry))
			found = append(found, entry)
		}
		return found
	}
	b := &shipped{TB: t}
	b.await("the first end", 30*time.Second, func() bool { return len(told("BRAINJAR_TO=backoff")) == 1 })
	_, err = run("systemctl", "restart", "systemd-journald.service")
	must(t, err)
	b.await("the last end", 30*time.Second, func() bool { return len(told("BRAINJAR_TO=failed")) == 1 })
	var all []string
	for _, e := range told() {
		all = append(all, fmt.Sprint(e["BRAINJAR_FROM"], " ", e["BRAINJAR_TO"], " ", e["BRAINJAR_RUN"], " ", e["PRIORITY"]))
	}
	want := []string{"starting running 1 6", "running backoff 1 4", "starting running 2 6", "running failed 2 3"}
	if !slices.Equal(all, want) {
		t.Errorf("%q, want %q", all, want)
	}
	last := told("BRAINJAR_TO=failed")[0]
	if reason := fmt.Sprint(last["BRAINJAR_REASON"]); last["BRAINJAR_RESULT"] != "exit-code" || !strings.Contains(reason, "code 3") || last["SYSLOG_IDENTIFIER"] != "brainjar" {
		t.Errorf("%v", last)
	}
}
