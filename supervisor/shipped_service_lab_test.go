//go:build lab

package supervisor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const serviceConfig = shippedHead + `
[experiments.loads]
command = ["/bin/sleep", "1h"]
ready = "notify"
ready_timeout = "10m"
[experiments.stubborn]
command = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
stop_timeout = "1m"
[experiments.saves]
command = ["/bin/sh", "-c", "trap 'exit 7' USR1; while :; do sleep 0.1; done"]
checkpoint_signal = "SIGUSR1"
checkpoint_timeout = "20s"
`

// installService installs brainjar as its package does, but for the paths, and
// returns its state directory.
func installService(t *testing.T) (state string) {
	t.Helper()
	const units = "/run/systemd/system"
	dir, binary := t.TempDir(), shippedBinary(t)
	config := filepath.Join(dir, "config.toml")
	must(t, os.WriteFile(config, []byte(serviceConfig), 0o600))
	override := filepath.Join(units, "brainjar.service.d")
	t.Cleanup(func() {
		_, _ = run("systemctl", "kill", "-s", "KILL", "brainjar.slice")
		_, _ = run("systemctl", "stop", "brainjar.service", "brainjar-experiments.target", "brainjar.slice")
		if t.Failed() {
			log, _ := run("journalctl", "-o", "short-monotonic", "-n", "80", "-u", "brainjar*")
			t.Log(log)
		}
		_ = os.RemoveAll(override)
		for _, unit := range []string{"brainjar.service", "brainjar-experiments.target"} {
			_ = os.Remove(filepath.Join(units, unit))
		}
		_, _ = run("systemctl", "daemon-reload")
	})
	for _, unit := range []string{"brainjar.service", "brainjar-experiments.target"} {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(binary), unit))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(units, unit), text, 0o644))
	}
	must(t, os.MkdirAll(override, 0o755))
	text := "[Service]\nExecStart=\nExecStart=" + binary + " run --state " + dir + " " + config + "\n"
	must(t, os.WriteFile(filepath.Join(override, "lab.conf"), []byte(text), 0o644))
	systemctl(t, "daemon-reload")
	return dir
}

func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run("systemctl", args...)
	must(t, err)
	return out
}

// The service does not wait for an experiment that loads or stops, neither when it
// is restarted nor after a crash; and when all is stopped at once, as at a shutdown,
// experiments still save their work.
func TestShippedService(t *testing.T) {
	state := installService(t)
	b := &shipped{TB: t}
	systemctl(t, "start", "brainjar.service")
	job := func(unit, job string) bool {
		for line := range strings.Lines(systemctl(t, "list-jobs", "--no-legend", "--plain")) {
			if f := strings.Fields(line); len(f) == 4 && f[1] == "brainjar-"+unit+".service" && f[2] == job {
				return true
			}
		}
		return false
	}
	b.await("one loads, two run", 20*time.Second, func() bool {
		return job("loads", "start") && property(t, "stubborn", "ActiveState") == "active" && property(t, "saves", "ActiveState") == "active"
	})
	begin := time.Now()
	systemctl(t, "restart", "brainjar.service")
	took := time.Since(begin)
	if took > stretched(5*time.Second) || !job("loads", "start") {
		t.Errorf("the restart took %v, one still loads: %v", took, job("loads", "start"))
	}
	systemctl(t, "stop", "--no-block", "brainjar-stubborn.service")
	b.await("one stops", 10*time.Second, func() bool { return job("stubborn", "stop") })
	systemctl(t, "kill", "-s", "KILL", "brainjar.service")
	begin = time.Now()
	b.await("systemd has started brainjar again", 15*time.Second, func() bool {
		return systemctl(t, "show", "--value", "-p", "NRestarts", "brainjar.service") == "1" &&
			systemctl(t, "show", "--value", "-p", "ActiveState", "brainjar.service") == "active"
	})
	if !job("stubborn", "stop") || !job("loads", "start") {
		t.Error("brainjar came only when nothing loaded or stopped any more")
	}
	t.Logf("restarted in %v, after a crash in %v", took.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	systemctl(t, "kill", "-s", "KILL", "brainjar-stubborn.service", "brainjar-loads.service")
	systemctl(t, "stop", "brainjar.service", "brainjar-experiments.target", "brainjar-saves.service")
	runs := b.whole(state, "saves")
	if len(runs) != 1 || runs[0].ExitCode == nil || *runs[0].ExitCode != 7 {
		t.Errorf("it was stopped before it had saved: %+v", runs)
	}
}
