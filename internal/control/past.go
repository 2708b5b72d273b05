package control

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"

	"brainjar/internal/ledger"
)

// Logs is where the output of experiments can be read.
type Logs interface {
	// Lines goes through lines, oldest first, until ctx ends.
	Lines(ctx context.Context, q LogQuery) iter.Seq2[Line, error]
}

// History is what happened before.
type History interface {
	// Events returns changes of phases, oldest first; their ids do not matter.
	Events(ctx context.Context, q ledger.Query) ([]Event, error)
	// Runs goes through runs, oldest first: each a JSON object with the ledger's columns.
	Runs(ctx context.Context, q ledger.Query) iter.Seq2[[]byte, error]
}

// errNoLogs is the answer where no output can be read at all.
var errNoLogs = &Error{Message: "the output of experiments cannot be read here", Code: CodeNoJournal, Status: http.StatusNotImplemented}

// history writes runs as they are read.
func (s *Server) history(w http.ResponseWriter, q *http.Request) (any, error) {
	runs := make([]json.RawMessage, 0, 64)
	query := ledger.Query{Results: q.URL.Query()["result"]}
	var err error
	if query.Experiments, err = s.meant(q); err != nil {
		return nil, err
	}
	if query.Limit, err = numberOf(q, "lines"); err != nil {
		return nil, err
	}
	if query.Since, err = timeOf(q, "since"); err != nil {
		return nil, err
	}
	if s.History == nil {
		return runs, nil
	}
	if query.Limit == 0 || query.Limit > maxRuns {
		query.Limit = maxRuns
	}
	for run, err := range s.History.Runs(q.Context(), query) {
		if err != nil {
			return nil, err
		}
		runs = append(runs, append(json.RawMessage(nil), run...))
	}
	return runs, nil
}

// maxRuns is how many runs one answer holds: the newest.
const maxRuns = 10000

// Ledger is a History in the ledger's file.
type Ledger struct{ Path string }

// Events implements History.
func (l Ledger) Events(ctx context.Context, q ledger.Query) ([]Event, error) {
	r, err := ledger.OpenReader(l.Path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	past, err := r.Events(ctx, q)
	events := make([]Event, len(past))
	for i, e := range past {
		events[i] = Event{At: e.At, Kind: e.Kind, Experiment: e.Experiment, Run: e.Run, From: e.From, To: e.To, Reason: e.Reason}
	}
	return events, err
}

// Runs implements History.
func (l Ledger) Runs(ctx context.Context, q ledger.Query) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r, err := ledger.OpenReader(l.Path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Close()
		for run, err := range r.HistoryJSON(ctx, q) {
			if !yield(run, err) {
				return
			}
		}
	}
}
