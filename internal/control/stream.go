package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"brainjar/internal/ledger"
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

// alive is a sign of life without an event, with the id to go on from.
func alive(id int64) []byte {
	if id == 0 {
		return []byte(": alive\n\n")
	}
	return fmt.Appendf(nil, "id: %d\n\n", id)
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

// events goes through what happened, and follows what happens.
func (s *Server) events(w http.ResponseWriter, q *http.Request) (any, error) {
	want, err := s.eventQuery(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.streaming(q)
	defer cancel()
	last := s.Hub.Last()
	var past []Event
	if want.After > 0 || want.Lines > 0 {
		if past, err = s.past(ctx, want); err != nil {
			return nil, err
		}
	}
	out := newStream(w)
	text := alive(last)
	for _, e := range past {
		text = event(text, "", e.ID, e)
		last = max(last, e.ID)
	}
	if !want.Follow {
		text = event(text, "end", 0, struct{}{})
	}
	if out.write(text) == nil && want.Follow {
		s.followEvents(ctx, out, want, last)
	}
	return nil, nil
}

// followEvents writes events as they come, until nobody reads any more.
func (s *Server) followEvents(ctx context.Context, out *stream, want EventQuery, after int64) {
	for {
		wait, stop := context.WithTimeout(ctx, keepAlive)
		events, behind, err := s.Hub.After(wait, after)
		stop()
		var text []byte
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			text = alive(after)
		case behind:
			out.end(errBehind)
			return
		}
		for _, e := range events {
			if after = e.ID; want.means(e) {
				text = event(text, "", e.ID, e)
			}
		}
		if len(text) > 0 && out.write(text) != nil {
			return
		}
	}
}

func (s *Server) eventQuery(q *http.Request) (want EventQuery, err error) {
	if want.Experiments, err = s.meant(q); err != nil {
		return want, err
	}
	if want.Lines, err = numberOf(q, "lines"); err != nil {
		return want, err
	}
	if want.Follow, err = flagOf(q, "follow"); err != nil {
		return want, err
	}
	text := q.URL.Query().Get("after")
	if text == "" {
		text = q.Header.Get("Last-Event-ID")
	}
	if text != "" {
		if want.After, err = strconv.ParseInt(text, 10, 64); err != nil || want.After < 0 {
			return want, badQuery("after", text, "the id of an event")
		}
	}
	return want, nil
}

func (want EventQuery) means(e Event) bool {
	return len(want.Experiments) == 0 || slices.Contains(want.Experiments, e.Experiment)
}

// past are the events that happened: from the ledger those of an earlier brainjar, or
// of long ago, from the hub the others.
func (s *Server) past(ctx context.Context, want EventQuery) ([]Event, error) {
	recent, behind := s.Hub.Since(want.After)
	began := s.began
	if behind {
		began = recent[0].At
	}
	var past []Event
	if s.History != nil && time.UnixMicro(want.After).Before(began) {
		old, err := s.History.Events(ctx, ledger.Query{
			Experiments: want.Experiments, Limit: cmp.Or(want.Lines, kept), Since: time.UnixMicro(want.After).Add(time.Microsecond),
		})
		if err != nil {
			return nil, err
		}
		id := want.After
		for _, e := range old {
			if e.At.Before(began) {
				id = nextID(id, e.At)
				e.ID = id
				past = append(past, e)
			}
		}
	}
	for _, e := range recent {
		if want.means(e) {
			past = append(past, e)
		}
	}
	if want.Lines > 0 && len(past) > want.Lines {
		past = past[len(past)-want.Lines:]
	}
	return past, nil
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

func flagOf(q *http.Request, key string) (bool, error) {
	switch f := q.URL.Query().Get(key); f {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, badQuery(key, f, "true or false")
	}
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
