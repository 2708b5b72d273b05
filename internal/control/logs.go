package control

import (
	"cmp"
	"context"
	"net/http"
	"time"
)

// logs goes through the output of experiments.
func (s *Server) logs(w http.ResponseWriter, q *http.Request) (any, error) {
	query, err := s.logQuery(q)
	if err != nil {
		return nil, err
	}
	if s.Logs == nil {
		return nil, errNoLogs
	}
	ctx, cancel := s.streaming(q)
	lines := make(chan Line, 64)
	read := make(chan error, 1)
	go func() {
		defer close(lines)
		read <- s.readLogs(ctx, query, lines)
	}()
	out := s.newStream(w)
	err = cmp.Or(passOn(ctx, out, lines), ctx.Err())
	cancel()
	for range lines { // until the reading has ended
	}
	return nil, out.end(cmp.Or(err, <-read))
}

func (s *Server) readLogs(ctx context.Context, query LogQuery, to chan<- Line) error {
	for line, err := range s.Logs.Lines(ctx, query) {
		if err != nil {
			return err
		}
		select {
		case to <- line:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// passOn writes lines as they come, until there are no more.
func passOn(ctx context.Context, out stream, lines <-chan Line) error {
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for {
		var text []byte
		select {
		case line, more := <-lines:
			if !more {
				return nil
			}
			text = event(nil, "", 0, line)
			for len(text) < sendAt && len(lines) > 0 {
				text = event(text, "", 0, <-lines)
			}
		case <-quiet.C:
			text = silence
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := out.write(text); err != nil {
			return err
		}
	}
}

// logQuery reads which lines are asked for.
func (s *Server) logQuery(q *http.Request) (l LogQuery, err error) {
	if l.Experiments, err = s.meant(q); err != nil {
		return l, err
	}
	if l.Run, err = numberOf(q, "run"); err != nil {
		return l, err
	}
	if l.Lines, err = numberOf(q, "lines"); err != nil {
		return l, err
	}
	if l.Since, err = timeOf(q, "since"); err != nil {
		return l, err
	}
	l.Follow, err = flagOf(q, "follow")
	return l, err
}
