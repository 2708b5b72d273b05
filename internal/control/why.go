package control

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"brainjar/internal/ledger"
)

// whyLines is how many of the last lines of output an answer shows, and whyLimit how
// long they may take.
const (
	whyLines = 10
	whyLimit = 3 * time.Second
)

// getWhy explains why an experiment stands where it does.
func (s *Server) getWhy(_ http.ResponseWriter, q *http.Request) (any, error) {
	st, err := s.find(q)
	if err != nil {
		return nil, err
	}
	id := st.Config.ID
	everything, err := s.Supervisor.Summary(q.Context())
	if err != nil {
		return nil, err
	}
	w := Why{Experiment: experimentOf(st)}
	var last *lastRun
	w.LastRun, last = s.latestRun(q.Context(), id)
	w.Sentences, w.Advice = explain(w.Experiment, s.statusOf(everything).Supervisor, last, time.Now())
	if s.Logs != nil && st.Run > 0 {
		ctx, cancel := context.WithTimeout(q.Context(), whyLimit)
		defer cancel()
		for line, err := range s.Logs.Lines(ctx, LogQuery{Experiments: []string{id}, Run: st.Run, Lines: whyLines}) {
			if err != nil {
				break
			}
			w.Log = append(w.Log, line.Message)
		}
	}
	return w, nil
}

// settleLimit is how long an answer waits for the ledger to have what just happened.
const settleLimit = time.Second

// latestRun is the latest run of an experiment, as a row of the ledger and as what is
// needed of it; nil if it is not known.
func (s *Server) latestRun(ctx context.Context, id string) (row json.RawMessage, last *lastRun) {
	if s.History == nil {
		return nil, nil
	}
	settled, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	_ = s.Supervisor.Written(settled) // or the answer says what the ledger has
	for run, err := range s.History.Runs(ctx, ledger.Query{Experiments: []string{id}, Limit: 1}) {
		if err == nil {
			row, last = append(json.RawMessage(nil), run...), new(lastRun)
			_ = json.Unmarshal(run, last)
		}
	}
	return row, last
}
