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
	// Events returns the newest events, oldest first.
	Events(ctx context.Context, q ledger.Query) ([]Event, error)
	// EventsAfter returns the n events that follow the one with an id, oldest first.
	EventsAfter(ctx context.Context, id int64, n int) ([]Event, error)
	// Runs goes through runs, oldest first: each a JSON object with the ledger's columns.
	Runs(ctx context.Context, q ledger.Query) iter.Seq2[[]byte, error]
}

// errNoLogs is the answer where no output can be read at all.
var errNoLogs = &Error{Message: "the output of experiments cannot be read here", Code: CodeNoJournal, Status: http.StatusNotImplemented}

// history writes runs as they are read.
func (s *Server) history(w http.ResponseWriter, q *http.Request) (any, error) {
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
		return []json.RawMessage{}, nil
	}
	ctx, cancel := s.streaming(q)
	defer cancel()
	out := list{answering: s.answering(w, "application/json")}
	for run, err := range s.History.Runs(ctx, query) {
		if err == nil {
			err = out.add(run)
		}
		if err != nil {
			return nil, out.end(err)
		}
	}
	return nil, out.end(nil)
}

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
	return pastEvents(past), err
}

// EventsAfter implements History.
func (l Ledger) EventsAfter(ctx context.Context, id int64, n int) ([]Event, error) {
	r, err := ledger.OpenReader(l.Path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	past, err := r.EventsAfter(ctx, id, n)
	return pastEvents(past), err
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
