package control

import (
	"cmp"
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
	"strings"
	"time"

	"brainjar/supervisor"
)

const (
	headerLimit   = 5 * time.Second  // to read the head of a request
	requestLimit  = 30 * time.Second // to carry out one that is not long
	idleLimit     = 2 * time.Minute  // between two requests of a connection
	readLimit     = 40 * time.Second // to read one; longer than requestLimit, whose error says more
	writeLimit    = 10 * time.Second // for one write; who reads more slowly is cut
	closeLimit    = 3 * time.Second  // for requests under way when the server ends
	socketCheck   = 5 * time.Second  // between two looks whether the socket is still there
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
	Version    string
	Log        *slog.Logger

	// Sensors returns the newest reading, given the patterns of the zones that
	// count. nil: nothing is read.
	Sensors func(ctx context.Context, zones []string) (Sensors, error)

	began    time.Time
	pid      int
	patience time.Duration   // for one write; 0: writeLimit
	over     context.Context // ends with the server: streams end then
}

// Run answers until ctx ends, and then within closeLimit.
func (s *Server) Run(ctx context.Context) error {
	s.began, s.pid, s.over = time.Now(), os.Getpid(), ctx
	s.patience = cmp.Or(s.patience, writeLimit)
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerLimit,
		ReadTimeout:       readLimit,
		WriteTimeout:      readLimit + s.patience, // from the end of the head on
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    maxHeaderSize,

		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if c, ok := c.(*conn); ok {
				return context.WithValue(ctx, peerKey{}, c.peer)
			}
			return ctx
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.Listener) }()
	if err := s.listen(ctx, failed); err != nil {
		return fmt.Errorf("cannot listen on the control socket: %w", err)
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		_ = server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot end listening on the control socket: %w", err)
	}
	return nil
}

// listen returns when ctx ends, or with the error of a server that has failed. A socket
// that was removed meanwhile is made once more.
func (s *Server) listen(ctx context.Context, failed <-chan error) error {
	check := time.NewTicker(socketCheck)
	defer check.Stop()
	told := false
	for {
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		case <-check.C:
		}
		renewed, err := s.Listener.Renew()
		switch {
		case renewed:
			s.Log.Warn("somebody removed the control socket, there is a new one")
		case err != nil && !told:
			s.Log.Error("the control socket is gone", "err", err)
		}
		told = err != nil
	}
}

// handler is the table of routes as net/http wants it.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	methods := make(map[string][]string) // by path
	for _, r := range routes {
		mux.HandleFunc(r.method+" /"+Version+r.path, func(w http.ResponseWriter, q *http.Request) { s.serve(r, w, q) })
		methods[r.path] = append(methods[r.path], r.method)
	}
	for path, allowed := range methods {
		mux.HandleFunc("/"+Version+path, func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			refuse(w, noRoute(q, http.StatusMethodNotAllowed))
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) { refuse(w, noRoute(q, http.StatusNotFound)) })
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.recovered(p, w, q)
			}
		}()
		// What a ServeMux would redirect, or answer itself.
		if p := q.URL.Path; p != path.Clean(p) || q.RequestURI == "*" || q.Method == http.MethodConnect {
			refuse(w, noRoute(q, http.StatusNotFound))
			return
		}
		mux.ServeHTTP(w, q)
	})
}

func noRoute(q *http.Request, status int) *Error {
	return &Error{Message: fmt.Sprintf("no such route: %s %s", q.Method, q.URL.Path), Hint: "GET /" + Version + "/openapi.json has them all", Code: CodeNoRoute, Status: status}
}

// recovered goes on after a request that panicked. An answer that has begun is broken
// off.
func (s *Server) recovered(p any, w http.ResponseWriter, q *http.Request) {
	if p != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
		s.Log.Error("request failed", "method", q.Method, "path", q.URL.Path, "err", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
	if w.Header().Get("Content-Type") != "" {
		panic(http.ErrAbortHandler)
	}
	refuse(w, &Error{Message: "brainjar failed at this request", Code: CodeInternal, Status: http.StatusInternalServerError})
}

// serve answers one request.
func (s *Server) serve(r route, w http.ResponseWriter, q *http.Request) {
	peer, known := peerOfRequest(q.Context())
	if has := peer.access(s.Listener.Group); !known || has < r.access {
		refuse(w, forbidden(peer, has, r))
		return
	}
	q.Body = http.MaxBytesReader(w, q.Body, maxBody)
	if r.method == http.MethodGet {
		if err := bodiless(q); err != nil {
			refuse(w, errorOf(err))
			return
		}
	}
	if r.long {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	} else {
		ctx, cancel := context.WithTimeout(q.Context(), requestLimit)
		defer cancel()
		q = q.WithContext(ctx)
	}
	answer, err := r.handle(s, w, q)
	switch {
	case err != nil:
		refuse(w, errorOf(err))
	case answer != nil:
		reply(w, http.StatusOK, answer)
	}
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
