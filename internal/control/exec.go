package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/supervisor"
	"brainjar/transient"
)

// An experiment in the foreground: POST /v1/experiments/ID/exec asks for another
// protocol, execProtocol, on the same connection. After the answer 101 the client
// sends one byte with three descriptors, its standard input, output and error, and
// then both sides talk in lines of JSON: ExecTold from brainjar, ExecOrder from the
// client. The experiment goes when the client does. Brainjar's last line has Ended.

// execProtocol is the name of the protocol in the header Upgrade.
const execProtocol = "brainjar-exec/1"

// ExecRequest is the body of POST /v1/experiments/ID/exec.
type ExecRequest struct {
	Keys   map[string]any `json:"keys"`
	Detach bool           `json:"detach,omitempty"` // it runs on when the client goes
	Again  bool           `json:"again,omitempty"`  // the client had it before brainjar was started anew
}

// ExecTold is a line from brainjar.
type ExecTold struct {
	Event *Event `json:"event,omitempty"` // a change of its phase
	Ended *Ended `json:"ended,omitempty"` // it has ended, and this is the last line
}

// Ended is how an experiment ended, or, in the phase queued, why it does not begin: what
// it waits for has failed for good.
type Ended struct {
	Phase    string `json:"phase"`
	Result   string `json:"result"`
	Reason   string `json:"reason,omitempty"`
	ExitCode *int   `json:"exit_code,omitempty"`
	Signal   string `json:"signal,omitempty"`
}

// ExecOrder is a line from the client: a signal to pass on, or that it is to stop or
// to be killed.
type ExecOrder struct {
	Signal string `json:"signal,omitempty"` // "SIGINT", to all processes as from a terminal; others to the main one
	Stop   bool   `json:"stop,omitempty"`
	Kill   bool   `json:"kill,omitempty"`
}

// streamsLimit is how long the client has to hand over its streams.
const streamsLimit = 10 * time.Second

// exec runs an experiment in the foreground of a client.
func (s *Server) exec(w http.ResponseWriter, q *http.Request) (any, error) {
	var r ExecRequest
	if err := body(q, &r); err != nil {
		return nil, err
	}
	if q.Header.Get("Upgrade") != execProtocol {
		return nil, &Error{Message: "exec needs the protocol " + execProtocol, Hint: "ask for it with the headers Connection and Upgrade", Code: CodeBadRequest, Status: http.StatusUpgradeRequired}
	}
	sub, err := s.submission(q, r.Keys)
	if err != nil {
		return nil, err
	}
	sub.Attended, sub.Detach = true, r.Detach
	id := q.PathValue("id")
	// What can be found out before the client gives its streams away.
	switch now, err := s.Supervisor.Summary(q.Context()); {
	case err != nil:
		return nil, err
	case !now.Ready:
		return nil, supervisor.ErrNotReady
	}
	if r.Again {
		_, err = s.find(q)
	} else {
		err = s.Supervisor.Vacant(q.Context(), id)
	}
	if err != nil {
		return nil, err
	}
	hijacked, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	defer hijacked.Close()
	c, ok := hijacked.(*conn)
	if !ok {
		return nil, nil
	}
	_ = c.SetDeadline(time.Now().Add(streamsLimit))
	if _, err := fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", execProtocol); err != nil {
		return nil, nil
	}
	streams, err := receiveStreams(c.UnixConn)
	if err != nil {
		s.Log.Warn("exec without streams", "experiment", id, "err", err)
		return nil, nil
	}
	_ = c.SetDeadline(time.Time{})
	ctx, cancel := s.streaming(q)
	defer cancel()
	s.attend(ctx, &execution{s: s, c: c, id: id, since: s.Hub.Last()}, sub, streams)
	return nil, nil
}

// execution is one experiment in the foreground.
type execution struct {
	s     *Server
	c     net.Conn
	id    string
	since int64 // the id of the last event before
}

// attend submits the experiment and goes on until it has ended, the client has gone,
// or brainjar is to end.
func (s *Server) attend(ctx context.Context, x *execution, sub supervisor.Submission, streams *supervisor.Streams) {
	leave, err := s.Supervisor.Attend(ctx, x.id, sub, streams)
	if err != nil {
		x.tell(ExecTold{Ended: &Ended{Result: string(transient.StartFailed), Reason: err.Error()}})
		return
	}
	mine, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer cancel()
		x.obey(mine)
	}()
	ended := x.follow(mine)
	if ended != nil {
		x.tell(ExecTold{Ended: ended})
	}
	// When brainjar is to end the client has not gone: it comes back to the next one.
	leave(ended != nil || ctx.Err() == nil)
	_ = x.c.Close()
	<-gone
}

// follow tells the client what becomes of the experiment, and returns how it ended, or
// why it does not begin; nil if the context ended before.
func (x *execution) follow(ctx context.Context) *Ended {
	queued := true // as far as is known
	for look := true; ; {
		if look {
			r, err := x.s.Supervisor.Report(ctx, x.id)
			switch {
			case err != nil || len(r.Experiments) != 1:
			case r.Experiments[0].Phase.Over():
				return x.s.endedBefore(ctx, r.Experiments[0])
			case r.Experiments[0].Blocked:
				return &Ended{Phase: string(r.Experiments[0].Phase), Reason: "it cannot start: " + r.Experiments[0].Reason}
			}
		}
		events, behind, err := x.s.Hub.After(ctx, x.since)
		if err != nil {
			return nil
		}
		look = behind // what was missed may have been its end
		for _, e := range events {
			x.since = e.ID
			if e.Experiment != x.id {
				other := supervisor.Phase(e.To) // which it may wait for
				look = look || queued && (other == supervisor.Failed || other == supervisor.Queued)
				continue
			}
			queued = supervisor.Phase(e.To) == supervisor.Queued
			if !x.tell(ExecTold{Event: &e}) {
				return nil
			}
			if supervisor.Phase(e.To).Over() {
				return &Ended{Phase: e.To, Result: e.Result, Reason: e.Reason, ExitCode: e.ExitCode, Signal: e.Signal}
			}
		}
	}
}

// endedBefore is how an experiment ended before its client came back: as the ledger
// says.
func (s *Server) endedBefore(ctx context.Context, st supervisor.Status) *Ended {
	ended := &Ended{Phase: string(st.Phase), Result: string(st.LastResult), Reason: st.Reason}
	if _, last := s.latestRun(ctx, st.Config.ID); last != nil && last.Run == st.Run {
		ended.ExitCode, ended.Signal = last.ExitCode, last.Signal
	}
	return ended
}

// tell writes a line; false: the client has gone.
func (x *execution) tell(t ExecTold) bool {
	b, err := json.Marshal(t)
	if err != nil {
		return false
	}
	_ = x.c.SetWriteDeadline(time.Now().Add(writeLimit))
	_, err = x.c.Write(append(b, '\n'))
	return err == nil
}

// obey carries out what the client orders, until it goes.
func (x *execution) obey(ctx context.Context) {
	lines := bufio.NewScanner(io.LimitReader(x.c, maxBody))
	for lines.Scan() {
		var o ExecOrder
		if json.Unmarshal(lines.Bytes(), &o) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, requestLimit)
		if err := x.carryOut(ctx, o); err != nil {
			x.s.Log.Warn("order failed", "experiment", x.id, "err", err)
		}
		cancel()
	}
}

func (x *execution) carryOut(ctx context.Context, o ExecOrder) error {
	sup, whom, sig := x.s.Supervisor, transient.Main, unix.SignalNum(o.Signal)
	var err error
	switch {
	case o.Stop:
		return sup.Stop(ctx, x.id)
	case o.Kill:
		whom, sig = transient.All, unix.SIGKILL
	case sig == unix.SIGINT || sig == unix.SIGQUIT:
		whom = transient.All
	case sig == 0:
		return nil
	}
	if err = sup.Kill(ctx, x.id, whom, sig); errors.Is(err, supervisor.ErrNotRunning) {
		err = sup.Stop(ctx, x.id) // it waits
	}
	return err
}

// receiveStreams takes three descriptors that come with one byte, SCM_RIGHTS of
// unix(7).
func receiveStreams(c *net.UnixConn) (*supervisor.Streams, error) {
	b, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(3*4))
	_, n, _, _, err := c.ReadMsgUnix(b, rights)
	if err != nil {
		return nil, fmt.Errorf("cannot receive streams: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil {
		return nil, fmt.Errorf("cannot receive streams: %w", err)
	}
	var fds []int
	for _, m := range messages {
		more, err := unix.ParseUnixRights(&m)
		if err == nil {
			fds = append(fds, more...)
		}
	}
	var streams supervisor.Streams
	for i, fd := range fds {
		unix.CloseOnExec(fd)
		if i < len(streams) && len(fds) == len(streams) {
			streams[i] = os.NewFile(uintptr(fd), []string{"stdin", "stdout", "stderr"}[i])
		} else {
			_ = unix.Close(fd)
		}
	}
	if len(fds) != len(streams) {
		return nil, fmt.Errorf("cannot receive streams: got %d descriptors, want %d", len(fds), len(streams))
	}
	return &streams, nil
}

// Status is the exit code by which a program in the foreground says how it ended, as
// shells and docker have it: its own, 128 and the signal, 127 if it was not found, 126
// if it could not be executed, 125 if brainjar failed.
func (e Ended) Status() int {
	reason := strings.ToLower(e.Reason)
	switch {
	case e.Signal != "":
		return 128 + int(unix.SignalNum(e.Signal))
	case e.ExitCode != nil:
		return *e.ExitCode
	case e.Result == string(transient.OOMKill):
		return 128 + int(unix.SIGKILL)
	case e.Result != string(transient.StartFailed):
		return 125
	case strings.Contains(reason, "cannot find program"):
		return 127
	case len(keysIn(reason)) > 0, strings.Contains(reason, "at step ") && !strings.Contains(reason, "at step exec"):
		return 125 // it is not about the command
	case strings.Contains(reason, "permission denied"), strings.Contains(reason, "exec format error"):
		return 126
	case strings.Contains(reason, "no such file"), strings.Contains(reason, "not found"):
		return 127
	}
	return 125
}
