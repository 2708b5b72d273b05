package control

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/http"
	"sync"
	"time"

	"brainjar/internal/journal"
	"brainjar/internal/ledger"
	"brainjar/internal/runlog"
)

// Output is a Logs of where output goes: the journal, and files.
type Output struct {
	Files  *runlog.Logs
	Ledger string // path of the ledger, which knows what systemd calls a run
	User   bool   // units of the user's own service manager
}

// source is one place that output is read from.
type source = iter.Seq2[Line, error]

// Lines implements Logs. First comes what is in the journal, then what is in files;
// each gives so many lines as are asked for. Lines of files have the time at which
// they were read, as they have none of their own.
func (o Output) Lines(ctx context.Context, q LogQuery) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		files, err := o.files(ctx, q)
		if err != nil {
			yield(Line{}, err)
			return
		}
		var sources []source
		if q.Run == 0 || len(files) == 0 {
			sources = append(sources, o.journal(ctx, q, len(files) > 0))
		}
		sources = append(sources, files...)
		if q.Follow && len(sources) > 1 {
			mix(ctx, cancel, sources, yield)
			return
		}
		for _, s := range sources {
			for line, err := range s {
				if !yield(line, err) || err != nil {
					return
				}
			}
		}
	}
}

// journal reads what is in the journal. If there are other places too, it may be
// that there is none.
func (o Output) journal(ctx context.Context, q LogQuery, optional bool) source {
	query := journal.Query{
		Experiments: q.Experiments, Run: q.Run, Since: q.Since, Lines: q.Lines, Follow: q.Follow, User: o.User,
	}
	return func(yield func(Line, error) bool) {
		if q.Run > 0 && len(q.Experiments) == 1 {
			o.identify(ctx, &query)
		}
		for e, err := range journal.Read(ctx, query) {
			switch {
			case errors.Is(err, journal.ErrNoJournal) && optional:
				return
			case errors.Is(err, journal.ErrNoJournal):
				err = &Error{Message: err.Error(), Code: CodeNoJournal, Status: http.StatusNotImplemented}
			}
			if !yield(Line(e), err) || err != nil {
				return
			}
		}
	}
}

// around is how much earlier and later than the ledger has it a run may have
// written, by the clock of the journal.
const around = 2 * time.Second

// identify adds what tells one run of one experiment from the others. A run that the
// ledger does not have keeps its number alone.
func (o Output) identify(ctx context.Context, query *journal.Query) {
	r, err := ledger.OpenReader(o.Ledger)
	if err != nil {
		return
	}
	defer r.Close()
	for run, err := range r.History(ctx, ledger.Query{Experiments: query.Experiments}, "run", "invocation", "started_at", "ended_at") {
		if err != nil {
			return
		}
		if run.Run != query.Run {
			continue
		}
		query.Invocation = run.Invocation
		if !query.User {
			return
		}
		if from := run.StartedAt.Add(-around); !run.StartedAt.IsZero() && from.After(query.Since) {
			query.Since = from
		}
		if !run.EndedAt.IsZero() {
			query.Until = run.EndedAt.Add(around)
		}
		return
	}
}

// files returns the experiments whose output is in files, or may come to be.
func (o Output) files(ctx context.Context, q LogQuery) (sources []source, err error) {
	experiments := q.Experiments
	if len(experiments) == 0 {
		if experiments, err = o.Files.Experiments(); err != nil {
			return nil, err
		}
	}
	for _, experiment := range experiments {
		files, err := o.Files.Files(experiment)
		if err != nil {
			return nil, err
		}
		found := q.Follow && q.Run == 0 // there may be one later
		for _, f := range files {
			found = found || q.Run == 0 || f.Run == q.Run
		}
		if found {
			sources = append(sources, o.file(ctx, experiment, q))
		}
	}
	return sources, nil
}

func (o Output) file(ctx context.Context, experiment string, q LogQuery) source {
	query := runlog.Query{Experiment: experiment, Run: q.Run, Since: q.Since, Lines: q.Lines, Follow: q.Follow}
	const info = 6
	return func(yield func(Line, error) bool) {
		for line, err := range o.Files.Read(ctx, query) {
			if errors.Is(err, fs.ErrNotExist) {
				return // it was removed meanwhile
			}
			if !yield(Line{At: time.Now(), Experiment: experiment, Run: line.Run, Priority: info, Message: line.Text}, err) || err != nil {
				return
			}
		}
	}
}

// mix gives lines of several places as they come, until all have ended or, after
// cancel, the context that they read with.
func mix(ctx context.Context, cancel func(), sources []source, yield func(Line, error) bool) {
	type item struct {
		line Line
		err  error
	}
	items := make(chan item)
	var readers sync.WaitGroup
	for _, s := range sources {
		readers.Go(func() {
			for line, err := range s {
				select {
				case items <- item{line, err}:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		readers.Wait()
		close(items)
	}()
	defer func() {
		cancel()
		for range items { // until all have ended
		}
	}()
	for i := range items {
		if !yield(i.line, i.err) || i.err != nil {
			return
		}
	}
}
