package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"brainjar/supervisor"
)

// keepAlive is the time between two signs of life of a stream on which nothing
// happens.
const keepAlive = 15 * time.Second

// stream writes server-sent events, see the section of that name in the HTML
// standard. A reader that is too slow is cut by the limit of a write.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	return &stream{w, http.NewResponseController(w)}
}

// write writes some text and sends it off.
func (s *stream) write(text []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(writeLimit))
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}

// event appends an event to a text.
func event(text []byte, name string, id int64, data any) []byte {
	b, err := json.Marshal(data)
	if err != nil {
		b = []byte(`{"error":"an event that cannot be written","code":"internal"}`)
	}
	if name != "" {
		text = fmt.Appendf(text, "event: %s\n", name)
	}
	if id > 0 {
		text = fmt.Appendf(text, "id: %d\n", id)
	}
	return fmt.Appendf(text, "data: %s\n\n", b)
}

// end tells why a stream ends.
func (s *stream) end(err error) { _ = s.write(event(nil, "error", 0, errorOf(err))) }

// errBehind is how a stream ends whose reader is too slow.
var errBehind = &Error{Message: "you read more slowly than things happen: events were lost", Hint: "begin again, and look at the status for what was lost", Code: CodeBehind, Status: http.StatusGone}

// streaming is the context of a stream: it ends with its request, and with the server.
func (s *Server) streaming(q *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(q.Context())
	stop := context.AfterFunc(s.over, cancel)
	return ctx, func() { stop(); cancel() }
}

// events follows what happens.
func (s *Server) events(w http.ResponseWriter, q *http.Request) (any, error) {
	after, err := afterOf(q, s.Hub.Last())
	if err != nil {
		return nil, err
	}
	ids, err := s.meant(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.streaming(q)
	defer cancel()
	out := newStream(w)
	if err := out.write([]byte(": brainjar\n\n")); err != nil {
		return nil, nil
	}
	wanted := func(e Event) bool { return len(ids) == 0 || slices.Contains(ids, e.Experiment) }
	first, any := s.Hub.Oldest()
	if after > 0 && after < s.Hub.Last() && any && after < first.ID {
		for e, err := range s.before(ctx, after, first) {
			if err != nil {
				out.end(err)
				return nil, nil
			}
			if after = e.ID; wanted(e) && out.write(event(nil, "", e.ID, e)) != nil {
				return nil, nil
			}
		}
		after = max(after, first.ID-1)
	}
	for {
		wait, stop := context.WithTimeout(ctx, keepAlive)
		events, behind, err := s.Hub.After(wait, after)
		stop()
		switch {
		case ctx.Err() != nil:
			return nil, nil
		case err != nil:
			if out.write([]byte(": alive\n\n")) != nil {
				return nil, nil
			}
			continue
		case behind && after < events[0].ID-1 && after > 0:
			out.end(errBehind)
			return nil, nil
		}
		var text []byte
		for _, e := range events {
			if after = e.ID; wanted(e) {
				text = event(text, "", e.ID, e)
			}
		}
		if len(text) > 0 && out.write(text) != nil {
			return nil, nil
		}
	}
}

// afterOf is the id after which a follower wants events.
func afterOf(q *http.Request, last int64) (int64, error) {
	text := q.URL.Query().Get("after")
	if text == "" {
		text = q.Header.Get("Last-Event-ID")
	}
	if text == "" {
		return last, nil
	}
	after, err := strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 {
		return 0, badQuery("after", text, "the id of an event")
	}
	return after, nil
}

// before goes through the events after an id that happened before the hub's first:
// those of an earlier brainjar, or long ago. The ledger has them.
func (s *Server) before(ctx context.Context, after int64, first Event) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if s.History == nil {
			return
		}
		past, err := s.History.Events(ctx, time.UnixMicro(after).Add(time.Microsecond))
		if err != nil {
			yield(Event{}, err)
			return
		}
		for _, e := range past {
			if !e.At.Before(first.At) {
				return
			}
			after = nextID(after, e.At)
			e.ID = after
			if !yield(e, nil) {
				return
			}
		}
	}
}

// meant are the experiments that the ids of a query mean, nil for all. An id that is
// not known may come later.
func (s *Server) meant(q *http.Request) (ids []string, err error) {
	for _, id := range q.URL.Query()["id"] {
		r, err := s.Supervisor.Report(q.Context(), id)
		switch {
		case errors.Is(err, supervisor.ErrUnknown):
			ids = append(ids, id)
		case err != nil:
			return nil, err
		}
		for _, e := range r.Experiments {
			ids = append(ids, e.Config.ID)
		}
	}
	return ids, nil
}

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
	defer cancel()
	lines := make(chan Line, 64)
	failed := make(chan error, 1)
	go func() {
		defer close(lines)
		for line, err := range s.Logs.Lines(ctx, query) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
		}
	}()
	return nil, s.passOn(ctx, newStream(w), lines, failed)
}

// passOn writes lines as they come. An error before the first is an answer of its own.
func (s *Server) passOn(ctx context.Context, out *stream, lines <-chan Line, failed <-chan error) error {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	begun := false
	for {
		var text []byte
		select {
		case line, more := <-lines:
			if !more {
				select {
				case err := <-failed:
					if !begun {
						return err
					}
					out.end(err)
				default:
					_ = out.write(event(nil, "end", 0, struct{}{}))
				}
				return nil
			}
			text = event(nil, "", 0, line)
			for more := true; more && len(text) < 64<<10; {
				select {
				case line, ok := <-lines:
					if more = ok; ok {
						text = event(text, "", 0, line)
					}
				default:
					more = false
				}
			}
		case <-alive.C:
			text = []byte(": alive\n\n")
		case <-ctx.Done():
			return nil
		}
		begun = true
		if out.write(text) != nil {
			return nil
		}
	}
}

// logQuery reads which lines are asked for.
func (s *Server) logQuery(q *http.Request) (l LogQuery, err error) {
	values := q.URL.Query()
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
	switch f := values.Get("follow"); f {
	case "", "false":
	case "true":
		l.Follow = true
	default:
		return l, badQuery("follow", f, "true or false")
	}
	return l, nil
}

func numberOf(q *http.Request, key string) (int, error) {
	text := q.URL.Query().Get(key)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, badQuery(key, text, "a whole number")
	}
	return n, nil
}

func timeOf(q *http.Request, key string) (time.Time, error) {
	text := q.URL.Query().Get(key)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, badQuery(key, text, "a time as 2026-03-01T12:00:00Z")
	}
	return at, nil
}

func badQuery(key, value, wants string) *Error {
	return &Error{Message: fmt.Sprintf("%s is %q, and must be %s", key, value, wants), Code: CodeBadRequest, Status: http.StatusBadRequest}
}
