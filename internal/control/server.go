package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"os"
	"path"
	"runtime/debug"
	"time"

	"brainjar/supervisor"
)

const (
	headerLimit   = 5 * time.Second  // to read the head of a request
	requestLimit  = 30 * time.Second // to read and carry out one that is no stream
	idleLimit     = 2 * time.Minute  // between two requests of a connection
	writeLimit    = 10 * time.Second // for one write; who reads more slowly is cut
	closeLimit    = 3 * time.Second  // for requests under way when the server ends
	maxBody       = 1 << 20          // bytes
	maxHeaderSize = 16 << 10         // bytes
)

// Server answers requests to a supervisor. Its fields are what it depends on; they
// must not change once Run was called.
type Server struct {
	Supervisor *supervisor.Supervisor
	Hub        *Hub
	Listener   *Listener
	Logs       Logs    // nil: there is no output to be read
	History    History // nil: nothing was kept
	Sensors    func() any
	Version    string
	Log        *slog.Logger

	began time.Time
	pid   int
	over  context.Context // ends with the server: streams end then
}

// Run answers until ctx ends, and then within closeLimit.
func (s *Server) Run(ctx context.Context) error {
	s.began, s.pid, s.over = time.Now(), os.Getpid(), ctx
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    maxHeaderSize,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if c, ok := c.(*conn); ok {
				return context.WithValue(ctx, peerKey{}, c.peer)
			}
			return ctx
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.Listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("cannot listen on the control socket: %w", err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		_ = server.Close()
	}
	<-failed // that it was closed
	return nil
}

// handler is the table of routes as net/http wants it.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.HandleFunc(r.method+" /"+Version+r.path, func(w http.ResponseWriter, q *http.Request) { s.serve(r, w, q) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		refuse(w, &Error{Message: fmt.Sprintf("no such route: %s %s", q.Method, q.URL.Path), Hint: "GET /" + Version + "/openapi.json has them all", Code: CodeNoRoute, Status: http.StatusNotFound})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("request failed", "method", q.Method, "path", q.URL.Path, "err", fmt.Sprint(p), "stack", string(debug.Stack()))
				refuse(w, &Error{Message: "brainjar failed at this request", Code: CodeInternal, Status: http.StatusInternalServerError})
			}
		}()
		if p := q.URL.Path; p != path.Clean(p) || q.Method == http.MethodConnect { // which a ServeMux would redirect
			refuse(w, &Error{Message: "no such route: " + p, Code: CodeNoRoute, Status: http.StatusNotFound})
			return
		}
		mux.ServeHTTP(w, q)
	})
}

// serve answers one request.
func (s *Server) serve(r route, w http.ResponseWriter, q *http.Request) {
	peer, known := peerOfRequest(q.Context())
	if has := peer.access(s.Listener.Group); !known || has < r.access {
		refuse(w, forbidden(peer, has, r))
		return
	}
	control := http.NewResponseController(w)
	if r.stream {
		_ = control.SetReadDeadline(time.Time{})
		_, err := r.handle(s, w, q)
		if err != nil {
			refuse(w, errorOf(err))
		}
		return
	}
	_ = control.SetReadDeadline(time.Now().Add(requestLimit))
	_ = control.SetWriteDeadline(time.Now().Add(requestLimit + writeLimit))
	ctx, cancel := context.WithTimeout(q.Context(), requestLimit)
	defer cancel()
	q = q.WithContext(ctx)
	q.Body = http.MaxBytesReader(w, q.Body, maxBody)
	answer, err := r.handle(s, w, q)
	if err != nil {
		refuse(w, errorOf(err))
		return
	}
	reply(w, http.StatusOK, answer)
}

func forbidden(p Peer, has Access, r route) *Error {
	e := &Error{Message: "this is not yours to do", Code: CodeForbidden, Status: http.StatusForbidden, Hint: "only root may " + r.summary}
	if has == None {
		e.Message = fmt.Sprintf("user %s may not use brainjar", p.Name())
		e.Hint = "members of group " + GroupName + " may: `sudo adduser " + p.Name() + " " + GroupName + "`, then log in again"
	}
	return e
}

// body reads the JSON of a request into v, strictly. Nothing at all is the same as {}.
func body(q *http.Request, v any) error {
	bad := func(format string, args ...any) error {
		return &Error{Message: "cannot read the request: " + fmt.Sprintf(format, args...), Code: CodeBadRequest, Status: http.StatusBadRequest}
	}
	d := json.NewDecoder(q.Body)
	d.DisallowUnknownFields()
	d.UseNumber()
	err := d.Decode(v)
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &large):
		return &Error{Message: fmt.Sprintf("the request is larger than %d bytes", maxBody), Code: CodeTooLarge, Status: http.StatusRequestEntityTooLarge}
	case err != nil:
		return bad("%v", err)
	}
	if kind, _, _ := mime.ParseMediaType(q.Header.Get("Content-Type")); kind != "application/json" {
		return bad("Content-Type must be application/json, is %q", q.Header.Get("Content-Type"))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad("there is something after the JSON")
	}
	return nil
}

// reply writes an answer.
func reply(w http.ResponseWriter, status int, answer any) {
	b, err := json.Marshal(answer)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written","code":"internal"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// refuse writes why a request was not carried out.
func refuse(w http.ResponseWriter, e *Error) { reply(w, e.Status, e) }
