package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os/signal"
	"syscall"

	"brainjar/internal/control"
	"brainjar/internal/ledger"
)

// ask shows the runs that the running brainjar tells of: not everybody who may ask it may
// read its file.
func (h *history) ask(ctx context.Context, stdout io.Writer, query ledger.Query) error {
	h.remote.user = h.user
	c, err := h.remote.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	for _, id := range query.Experiments {
		if err := known(ctx, c, id); err != nil {
			return err
		}
	}
	w := bufio.NewWriterSize(stdout, 64<<10)
	if runs := c.History(ctx, query); h.format == "json" {
		err = printJSON(w, runs)
	} else {
		err = printTable(w, decoded(runs), h.format == "wide")
	}
	return errors.Join(err, w.Flush())
}

// known returns an error for an id that brainjar does not know, and of which there are
// no runs either.
func known(ctx context.Context, c *control.Client, id string) error {
	status, err := c.Status(ctx, id)
	var refusal *control.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code == control.CodeUnknown:
	case err != nil:
		return err
	case len(status.Experiments) > 0:
		return nil
	}
	for _, err := range c.History(ctx, ledger.Query{Experiments: []string{id}, Limit: 1}) {
		return err
	}
	return notInLedger(id)
}

// decoded makes runs of the objects that brainjar tells of them.
func decoded(objects iter.Seq2[[]byte, error]) iter.Seq2[ledger.Run, error] {
	return func(yield func(ledger.Run, error) bool) {
		for object, err := range objects {
			var run ledger.Run
			if err == nil {
				err = json.Unmarshal(object, &run)
				if err != nil {
					err = fmt.Errorf("cannot read the answer of brainjar: %w", err)
				}
			}
			if !yield(run, err) {
				return
			}
		}
	}
}
