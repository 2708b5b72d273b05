package cli

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/http"
	"slices"
	"sync"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/control"
	"brainjar/internal/journal"
	"brainjar/internal/ledger"
	"brainjar/internal/runlog"
	"brainjar/supervisor"
)

// output is where the output of experiments is read: the journal, and the files of
// those with log = "file".
type output struct {
	supervisor *supervisor.Supervisor
	files      *runlog.Logs
	history    control.Ledger
	user       bool
}

// Lines implements control.Logs. What lies in files comes first; when it is followed
// everything comes as it is written.
func (o *output) Lines(ctx context.Context, q control.LogQuery) iter.Seq2[control.Line, error] {
	return func(yield func(control.Line, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		sources, err := o.sources(ctx, q)
		if err != nil {
			yield(control.Line{}, err)
			return
		}
		if !q.Follow || len(sources) == 1 {
			for _, source := range sources {
				for line, err := range source {
					if !yield(line, err) || err != nil {
						return
					}
				}
			}
			return
		}
		merge(cancel, sources, yield)
	}
}

// sources are the places where the output lies that is asked for.
func (o *output) sources(ctx context.Context, q control.LogQuery) (sources []iter.Seq2[control.Line, error], err error) {
	r, err := o.supervisor.Report(ctx)
	if err != nil {
		return nil, err
	}
	inJournal := slices.Clone(q.Experiments)
	for _, e := range r.Experiments {
		id := e.Config.ID
		if e.Config.Log != config.LogFile || len(q.Experiments) > 0 && !slices.Contains(q.Experiments, id) {
			continue
		}
		sources = append(sources, o.fromFile(ctx, id, q))
		inJournal = slices.DeleteFunc(inJournal, func(other string) bool { return other == id })
	}
	if len(q.Experiments) == 0 || len(inJournal) > 0 {
		q.Experiments = inJournal
		sources = append(sources, o.fromJournal(ctx, q))
	}
	return sources, nil
}

func (o *output) fromFile(ctx context.Context, id string, q control.LogQuery) iter.Seq2[control.Line, error] {
	return func(yield func(control.Line, error) bool) {
		query := runlog.Query{Experiment: id, Run: q.Run, Since: q.Since, Lines: q.Lines, Follow: q.Follow}
		for line, err := range o.files.Read(ctx, query) {
			if errors.Is(err, fs.ErrNotExist) {
				return
			}
			if !yield(control.Line{Experiment: id, Run: line.Run, Priority: priorityInfo, Message: line.Text}, err) || err != nil {
				return
			}
		}
	}
}

// priorityInfo is LOG_INFO of syslog(3).
const priorityInfo = 6

func (o *output) fromJournal(ctx context.Context, q control.LogQuery) iter.Seq2[control.Line, error] {
	return func(yield func(control.Line, error) bool) {
		query := journal.Query{Experiments: q.Experiments, Run: q.Run, Since: q.Since, Lines: q.Lines, Follow: q.Follow, User: o.user}
		if q.Run > 0 && len(q.Experiments) == 1 {
			if !o.run(ctx, q.Experiments[0], q.Run, &query) {
				return
			}
		}
		for e, err := range journal.Read(ctx, query) {
			if errors.Is(err, journal.ErrNoJournal) {
				err = &control.Error{
					Message: err.Error(), Code: control.CodeNoJournal, Status: http.StatusNotImplemented,
					Hint: `an experiment with log = "file" keeps its output in a file`,
				}
			}
			line := control.Line{At: e.At, Experiment: e.Experiment, Run: e.Run, PID: e.PID, Priority: e.Priority, Message: e.Message}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// runSlack is how much later than a run its last lines may be in the journal.
const runSlack = 5 * time.Second

// run says in a query of the journal which run is meant; false: there was none.
func (o *output) run(ctx context.Context, id string, number int, q *journal.Query) bool {
	r, err := ledger.OpenReader(o.history.Path)
	if err != nil {
		return true // by its number then
	}
	defer r.Close()
	for run, err := range r.History(ctx, ledger.Query{Experiments: []string{id}}, "run", "invocation", "started_at", "ended_at") {
		if err != nil || run.Run != number {
			continue
		}
		q.Invocation = run.Invocation
		if o.user {
			q.Since = run.StartedAt.Add(-runSlack)
			if !run.EndedAt.IsZero() {
				q.Until = run.EndedAt.Add(runSlack)
			}
		}
		return true
	}
	return false
}

// merge passes on what comes from several places as it comes. end ends their readers.
func merge(end func(), sources []iter.Seq2[control.Line, error], yield func(control.Line, error) bool) {
	type told struct {
		line control.Line
		err  error
	}
	all := make(chan told)
	over := make(chan struct{})
	var readers sync.WaitGroup
	for _, source := range sources {
		readers.Go(func() {
			for line, err := range source {
				select {
				case all <- told{line, err}:
				case <-over:
					return
				}
			}
		})
	}
	go func() { readers.Wait(); close(all) }()
	defer readers.Wait()
	defer end()
	defer close(over)
	for t := range all {
		if !yield(t.line, t.err) || t.err != nil {
			return
		}
	}
}
