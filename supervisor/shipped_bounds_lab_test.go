//go:build lab

package supervisor_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bomb is a program that forks without end and does not hear SIGTERM. It is none of the
// shell, of which each process ends that cannot fork, and with bad luck all of them.
const bomb = `["/usr/bin/perl", "-e", "$SIG{{TERM}} = 'IGNORE'; fork while 1"]`

// A fork bomb stays within its tasks_max, the others and brainjar do not feel it,
// and nothing is left of it after a stop, a person's or a drain.
func TestLongForkBomb(t *testing.T) {
	const tasks = 64
	text := threeKinds
	for _, id := range []string{"bomb1", "bomb2"} {
		text += fmt.Sprintf("[experiments.%s]\ncommand = %s\ntasks_max = %d\nmemory_max = \"128M\"\ncpu_quota = \"40%%\"\n", id, bomb, tasks)
	}
	state := t.TempDir()
	b := ship(t, state, text)
	pid := b.steady()
	full := func(id string) bool { return number(t, property(t, id, "TasksCurrent")) >= tasks*3/4 }
	b.await("the bombs fill their room", time.Minute, func() bool { return full("bomb1") && full("bomb2") })
	for range 3 {
		b.goesOn(pid)
		for _, id := range []string{"bomb1", "bomb2"} {
			if n := number(t, property(t, id, "TasksCurrent")); n > tasks {
				t.Errorf("%s has %d tasks", id, n)
			}
		}
	}
	_, err := run("systemctl", "stop", "brainjar-bomb1.service")
	must(t, err)
	if n := processesOf("bomb1"); n != 0 {
		t.Errorf("%d processes are left of the first", n)
	}
	if !full("bomb2") {
		t.Error("the second one bombs no more: the drain proves nothing")
	}
	took := b.drain(30 * time.Second)
	for _, id := range []string{"bomb1", "bomb2"} {
		if n := processesOf(id); n != 0 {
			t.Errorf("%d processes are left of %s", n, id)
		}
		if runs := b.whole(state, id); len(runs) != 1 || *runs[0].Result != "stopped" {
			t.Errorf("%s: %+v", id, runs)
		}
	}
	t.Logf("drained in %v", took.Round(time.Millisecond))
}

// processesOf counts the processes in the control group of an experiment.
func processesOf(experiment string) (n int) {
	groups, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, path := range groups {
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, []byte("/brainjar-"+experiment+".service")) {
			n++
		}
	}
	return n
}

func number(t *testing.T, text string) int {
	t.Helper()
	if text == "[not set]" {
		return 0
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// An experiment that writes without end is cut to its log_rate; the journal still
// takes what others say.
func TestLongLogFlood(t *testing.T) {
	const burst, interval = 100, 5 * time.Second
	text := threeKinds + fmt.Sprintf(`
[experiments.flood]
command = ["/usr/bin/yes", "flood"]
cpu_quota = "40%%"
log_rate = "%d/%ds"
[experiments.speaks]
command = ["/bin/sh", "-c", "while :; do echo said by run $BRAINJAR_RUN; sleep 1; done"]
`, burst, int(interval.Seconds()))
	journald := journalProcess(t)
	b := ship(t, t.TempDir(), text)
	pid := b.steady()
	b.await("the flood has begun", 20*time.Second, func() bool { return journalLines(t, "flood") >= burst })
	before, spoken := journalLines(t, "flood"), journalLines(t, "speaks")
	begin := time.Now()
	for time.Since(begin) < 2*interval {
		b.goesOn(pid)
	}
	arrived, took := journalLines(t, "flood")-before, time.Since(begin)
	// journald gives a unit up to 6 times its burst where the disk has room
	// (burst_modulate in src/journal/journald-rate-limit.c).
	most := 6 * burst * (int(took/interval) + 2)
	if arrived > most {
		t.Errorf("%d lines of the flood arrived in %v, at most %d should", arrived, took, most)
	}
	spoken = journalLines(t, "speaks") - spoken
	if want := int(took.Seconds() / 2); spoken < want {
		t.Errorf("%d lines of the other arrived in %v, want %d", spoken, took, want)
	}
	if now := journalProcess(t); now != journald {
		t.Errorf("journald was process %s and is %s", journald, now)
	}
	b.drain(20 * time.Second)
	dropped := journalDropped(t, "flood")
	if dropped < 10*arrived {
		t.Errorf("only %d lines were dropped: that was no flood", dropped)
	}
	t.Logf("in %v arrived %d lines of the flood, %d of the other; %d were dropped", took.Round(time.Second), arrived, spoken, dropped)
}

// journalLines counts what an experiment has said.
func journalLines(t *testing.T, experiment string) int {
	t.Helper()
	out, err := run("journalctl", "-q", "-o", "cat", "_SYSTEMD_UNIT=brainjar-"+experiment+".service")
	must(t, err)
	if out == "" {
		return 0
	}
	return strings.Count(out, "\n") + 1
}

// journalDropped is how many lines of an experiment the journal says to have
// dropped (SD_MESSAGE_JOURNAL_DROPPED).
func journalDropped(t *testing.T, experiment string) (n int) {
	t.Helper()
	out, err := run("journalctl", "-q", "-o", "cat", "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e")
	must(t, err)
	for line := range strings.Lines(out) {
		var lines int
		var unit string
		if _, err := fmt.Sscanf(line, "Suppressed %d messages from %s", &lines, &unit); err == nil && strings.Contains(unit, "brainjar-"+experiment+".service") {
			n += lines
		}
	}
	return n
}

func journalProcess(t *testing.T) string {
	t.Helper()
	out, err := run("systemctl", "show", "--value", "-p", "MainPID", "systemd-journald.service")
	must(t, err)
	return out
}
