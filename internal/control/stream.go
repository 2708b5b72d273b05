package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// keepAlive is the time between two signs of life of a stream on which nothing
// happens.
const keepAlive = 15 * time.Second

// answering writes an answer that takes as long as it is read. A reader that is too
// slow is cut by the limit of a write.
type answering struct {
	w       http.ResponseWriter
	control *http.ResponseController
	kind    string // of content
	limit   time.Duration
	begun   bool
}

func (s *Server) answering(w http.ResponseWriter, kind string) *answering {
	return &answering{w: w, control: http.NewResponseController(w), kind: kind, limit: s.patience}
}

// write writes some text and sends it off.
func (a *answering) write(text []byte) error {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", a.kind)
		a.w.Header().Set("Cache-Control", "no-store")
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(a.limit))
	if _, err := a.w.Write(text); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err := a.control.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// errGone says that nobody reads any more, or too slowly.
var errGone = errors.New("the reader has gone")

// stream writes server-sent events, see the section of that name in the HTML
// standard.
type stream struct{ *answering }

func (s *Server) newStream(w http.ResponseWriter) stream {
	return stream{s.answering(w, "text/event-stream")}
}

// end ends a stream, and tells why if it is an error. One with which it would begin is
// an answer of its own, which is returned. When the reader has gone, or brainjar goes,
// it ends without a word: that is how it is told from the end of what there is.
func (s stream) end(err error) error {
	switch {
	case errors.Is(err, errGone), errors.Is(err, context.Canceled):
	case err != nil && !s.begun:
		return err
	case err != nil:
		_ = s.write(event(nil, "error", 0, errorOf(err)))
	default:
		_ = s.write(event(nil, "end", 0, struct{}{}))
	}
	return nil
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

// alive is what a stream of events says when it has nothing to say: the id to go on
// from.
func alive(id int64) []byte {
	if id == 0 {
		return silence
	}
	return fmt.Appendf(nil, "id: %d\n\n", id)
}

// silence is what a stream says when it has nothing to say.
var silence = []byte(": alive\n\n")

// streaming is the context of a stream: it ends with its request, and with the server.
func (s *Server) streaming(q *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(q.Context())
	stop := context.AfterFunc(s.over, cancel)
	return ctx, func() { stop(); cancel() }
}

// list writes a JSON list, one element after the other.
type list struct {
	*answering
	text []byte
	any  bool // element
}

// sendAt is how many bytes of a list are sent at a time.
const sendAt = 64 << 10

func (l *list) add(element []byte) error {
	separator := byte(',')
	if !l.any {
		l.any, separator = true, '['
	}
	l.text = append(append(l.text, separator), element...)
	if len(l.text) < sendAt {
		return nil
	}
	err := l.write(l.text)
	l.text = l.text[:0]
	return err
}

// end ends a list. With an error there is no way to say so once it has begun, but to
// break off.
func (l *list) end(err error) error {
	switch {
	case err != nil && !l.begun:
		return err
	case err != nil:
		panic(http.ErrAbortHandler)
	case !l.any:
		l.text = append(l.text, '[')
	}
	_ = l.write(append(l.text, "]\n"...))
	return nil
}

// bodiless refuses a request that has a body where none belongs.
func bodiless(q *http.Request) error {
	if n, err := io.ReadFull(q.Body, make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return &Error{Message: "cannot read the request: " + q.Method + " has no body", Code: CodeBadRequest, Status: http.StatusBadRequest}
	}
	return nil
}
