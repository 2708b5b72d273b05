package cli

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"brainjar/internal/control"
)

// recorded is output of experiments, as the journal would have it.
type recorded []control.Line

// Lines implements control.Logs.
func (lines recorded) Lines(ctx context.Context, q control.LogQuery) iter.Seq2[control.Line, error] {
	return func(yield func(control.Line, error) bool) {
		for i, l := range lines {
			if q.Run > 0 && l.Run != q.Run || l.At.Before(q.Since) || q.Lines > 0 && i < len(lines)-q.Lines {
				continue
			}
			if !yield(l, nil) {
				return
			}
		}
		if q.Follow {
			<-ctx.Done()
		}
	}
}

func TestLogs(t *testing.T) {
	hasten(t, time.Second)
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	var lines recorded
	for i := range 20 {
		lines = append(lines, control.Line{At: begin.Add(time.Duration(i/2) * time.Minute), Experiment: "a", Run: 1 + i/10, Priority: 6, Message: fmt.Sprintf("line %d", i)})
	}
	lines[3].Message = "\x1b[2Jred\tine"
	d := prepareDaemon(t.TempDir(), looking, t.Fatalf)
	t.Cleanup(d.end)
	d.logs = lines
	d.begin()
	r := d.run("logs", "a")
	r.is(t, 0, "2026-03-01 12:00:00.000: line 0\n", "12:01:00.000: \\x1b[2Jred\tine\n")
	if strings.Count(r.out, "\n") != 20 {
		t.Errorf("lines:\n%s", r.out)
	}
	d.run("logs", "a", "-o", "cat", "-n", "1").is(t, 0, "line 19\n")
	if got := d.run("logs", "a", "-o", "cat", "--run", "2", "--since", "2026-03-01 12:08").out; got != "line 16\nline 17\nline 18\nline 19\n" {
		t.Errorf("--run --since:\n%s", got)
	}
	d.run("logs", "--all", "-n", "1").is(t, 0, "12:09:00.000 a: line 19")
	d.run("logs", "a", "-o", "json", "-n", "1").is(t, 0, `"message":"line 19"`)
	if none := d.run("logs", "a", "-o", "json", "--run", "77"); none.code != 0 || none.out != "" || !strings.Contains(none.errors, "there is no output of that") {
		t.Errorf("of a run that was not: %+v", none)
	}
	d.run("logs").is(t, ExitUsage, "which experiments")
	d.run("logs", "a", "--since", "soon").is(t, ExitUsage)
	d.run("logs", "nobody").is(t, ExitUnknown)

	// Following goes on, without a line twice or lost, when brainjar is started again.
	follows := d.start("logs", "a", "-f", "-o", "cat")
	follows.awaitWords(t, "line 19")
	d.end()
	d.logs = append(lines, control.Line{At: lines[19].At, Experiment: "a", Message: "same moment"}, control.Line{At: begin.Add(time.Hour), Experiment: "a", Message: "later"})
	d.begin()
	follows.awaitWords(t, "later")
	d.end()
	got := within(t.Fatalf, 10*time.Second, follows)
	got.is(t, ExitUnreachable, "gave up after 1s")
	if want := "line 10\nline 11\nline 12\nline 13\nline 14\nline 15\nline 16\nline 17\nline 18\nline 19\nsame moment\nlater\n"; got.out != want {
		t.Errorf("got\n%swant\n%s", got.out, want)
	}

	// Lines in files have no time to go on from.
	d.logs = recorded{{Experiment: "a", Message: "from a file"}}
	d.begin()
	follows = d.start("logs", "a", "-f")
	follows.awaitWords(t, "from a file")
	d.end()
	within(t.Fatalf, 10*time.Second, follows).is(t, ExitUnreachable, "cannot go on where it was")
	d.logs = nil
	d.begin()
	d.run("logs", "a").is(t, ExitFailed, "cannot be read here")
}
