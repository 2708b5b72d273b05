//go:build lab

package faults

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// row is a run as `brainjar history -o json` tells it.
type row struct {
	Experiment string  `json:"experiment"`
	Run        int     `json:"run"`
	Attempt    int     `json:"attempt"`
	Invocation string  `json:"invocation"`
	Result     *string `json:"result"`
	Reason     string  `json:"reason"`
	ExitCode   *int    `json:"exit_code"`
	EndedAt    *string `json:"ended_at"`
}

// history reads the ledger as a person would.
func (w *world) history() []row {
	w.Helper()
	out, err := w.command(w.binary, "history", "--state", w.state, "-o", "json")
	w.must(err)
	var rows []row
	w.must(json.Unmarshal([]byte(out), &rows))
	return rows
}

// entry is what a run wrote down itself.
type entry struct {
	experiment, invocation string
	run, attempt           int
	started, ended         bool
	code                   int
}

func (w *world) readDiary() map[string]*entry {
	f, err := os.Open(w.diary)
	w.must(err)
	defer f.Close()
	entries := map[string]*entry{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 5 {
			w.Errorf("diary: %q", lines.Text())
			continue
		}
		e := entries[fields[3]]
		if e == nil {
			e = &entry{experiment: fields[1], invocation: fields[3]}
			entries[fields[3]] = e
		}
		e.run, _ = strconv.Atoi(fields[2])
		value, _ := strconv.Atoi(fields[4])
		switch {
		case fields[0] == "start" && e.started:
			w.Errorf("invocation %s of %s began twice", e.invocation, e.experiment)
		case fields[0] == "start":
			e.started, e.attempt = true, value
		default:
			e.ended, e.code = true, value
		}
	}
	w.must(lines.Err())
	return entries
}

// verdict is what the checker found.
type verdict struct{ runs, lost, doubled, miscounted int }

// check compares what the experiments wrote down with what the ledger says, now
// that nothing runs any more.
func (w *world) check() (v verdict) {
	entries, byInvocation, byExperiment := w.readDiary(), map[string]row{}, map[string][]row{}
	rows := w.history()
	for _, r := range w.seen {
		rows = append(rows, r)
	}
	known, last := map[string]bool{}, map[string]int{}
	for _, r := range rows {
		key := fmt.Sprintf("%s/%d/%s", r.Experiment, r.Run, r.Invocation)
		if known[key] {
			continue // seen before the ledger was overwritten, and in the new one
		}
		known[key] = true
		if other, ok := byInvocation[r.Invocation]; ok && r.Invocation != "" {
			v.doubled++
			w.Errorf("doubled: %s is run %d and run %d of %s", r.Invocation, other.Run, r.Run, r.Experiment)
		}
		byInvocation[r.Invocation] = r
		last[r.Experiment] = max(last[r.Experiment], r.Run)
		byExperiment[r.Experiment] = append(byExperiment[r.Experiment], r)
	}
	for _, e := range entries {
		v.runs++
		r, ok := byInvocation[e.invocation]
		switch {
		case !ok:
			v.lost++
			w.Errorf("lost: run %d of %s, %s", e.run, e.experiment, e.invocation)
		case r.EndedAt == nil || r.Result == nil:
			v.lost++
			w.Errorf("lost: the end of run %d of %s", e.run, e.experiment)
		case e.ended && w.touched[e.experiment] && *r.Result == "stopped": // between its last word and its exit
		case e.ended && (r.ExitCode == nil || *r.ExitCode != e.code):
			v.miscounted++
			w.Errorf("miscounted: run %d of %s exited with %d, the ledger says %s\n%s", r.Run, e.experiment, e.code, *r.Result, w.logOf(r))
		case e.ended && *r.Result == "stopped" && r.Run == last[e.experiment]: // when the walk was over
		case e.ended && !w.touched[e.experiment] && *r.Result != map[bool]string{true: "success", false: "exit-code"}[e.code == 0]:
			v.miscounted++
			w.Errorf("miscounted: run %d of %s exited with %d, the ledger says %s\n%s", r.Run, e.experiment, e.code, *r.Result, w.logOf(r))
		case !e.ended && !w.touched[e.experiment] && *r.Result != "stopped":
			v.miscounted++
			w.Errorf("miscounted: run %d of %s never ended by itself, the ledger says %s\n%s", r.Run, e.experiment, *r.Result, w.logOf(r))
		}
	}
	for id, runs := range byExperiment {
		sort.Slice(runs, func(i, j int) bool { return runs[i].Run < runs[j].Run })
		v.miscounted += w.checkSequence(id, runs, entries)
	}
	return v
}

// logOf is what brainjar logged of a run, and the ledger's reason.
func (w *world) logOf(r row) string {
	b, err := os.ReadFile(w.log.Name())
	w.must(err)
	found := "reason: " + r.Reason
	run := regexp.MustCompile(fmt.Sprintf(`run=%d\b`, r.Run))
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if slices.Contains(fields, r.Experiment) || strings.Contains(line, "brainjar-"+r.Experiment+".") {
			if run.MatchString(line) || !strings.Contains(line, " run=") {
				found += "\n" + strings.TrimSpace(line)
			}
		}
	}
	return found
}

// checkSequence compares the runs of one experiment with each other: numbers
// without a gap, each a run that the experiment knows of, and attempts that count
// the failures before.
func (w *world) checkSequence(id string, runs []row, entries map[string]*entry) (wrong int) {
	miscounted := func(format string, args ...any) {
		wrong++
		w.Errorf("miscounted: "+format, args...)
	}
	attempt := 0
	for i, r := range runs {
		if r.Run != i+1 && !w.touched[id] { // what a person restarts while brainjar starts it, leaves its number out
			miscounted("run %d of %s follows run %d", r.Run, id, i)
			return wrong
		}
		e := entries[r.Invocation]
		switch {
		case e == nil && r.Result != nil && *r.Result == "stopped": // before its program was executed
		case e == nil:
			miscounted("run %d of %s never happened", r.Run, id)
		case w.touched[id]:
		case r.Attempt != attempt || e.attempt != attempt:
			miscounted("run %d of %s is attempt %d in the ledger and %d for itself, want %d", r.Run, id, r.Attempt, e.attempt, attempt)
		}
		if r.Result != nil && *r.Result == "exit-code" {
			attempt++
		} else if r.Result != nil && *r.Result == "success" {
			attempt = 0
		}
	}
	return wrong
}
