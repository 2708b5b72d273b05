package control

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"strconv"
	"time"

	"brainjar/internal/ledger"
)

// History goes through the runs of the past as they come, oldest first: each a JSON
// object with the ledger's columns. Of the query, Experiments, Since, Results and Limit
// are asked for.
func (c *Client) History(ctx context.Context, q ledger.Query) iter.Seq2[[]byte, error] {
	v := query("id", q.Experiments...)
	maps.Copy(v, query("result", q.Results...))
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if q.Limit > 0 {
		v.Set("lines", strconv.Itoa(q.Limit))
	}
	return func(yield func([]byte, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		patience := time.AfterFunc(c.AnswerLimit, func() { cancel(errSilent) })
		defer patience.Stop()
		resp, err := c.send(ctx, http.MethodGet, "/history", v, nil)
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Body.Close()
		list := json.NewDecoder(resp.Body)
		if _, err = list.Token(); err == nil { // its beginning, [
			for list.More() {
				var run json.RawMessage
				if err = list.Decode(&run); err != nil {
					break
				}
				patience.Stop() // whoever reads may take as long as they like
				if !yield(run, nil) {
					return
				}
				patience.Reset(c.AnswerLimit)
			}
		}
		if err == nil {
			_, err = list.Token() // its end: an answer that was cut has none
		}
		if err != nil {
			yield(nil, fmt.Errorf("cannot read the answer of brainjar: %w", err))
		}
	}
}
