package control

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"brainjar/internal/config"
	"brainjar/supervisor"
)

func (s *Server) getVersion(http.ResponseWriter, *http.Request) (any, error) {
	return Versions{s.Version, Version}, nil
}

func (s *Server) getStatus(_ http.ResponseWriter, q *http.Request) (any, error) {
	r, err := s.Supervisor.Report(q.Context(), q.URL.Query()["id"]...)
	if err != nil {
		return nil, err
	}
	if tags := q.URL.Query()["tag"]; len(tags) > 0 {
		r.Experiments = slices.DeleteFunc(r.Experiments, func(st supervisor.Status) bool {
			return !slices.ContainsFunc(tags, func(tag string) bool { return slices.Contains(st.Config.Tags, tag) })
		})
	}
	return s.statusOf(r), nil
}

// find returns one experiment, which is no matrix.
func (s *Server) find(q *http.Request) (supervisor.Status, error) {
	id := q.PathValue("id")
	r, err := s.Supervisor.Report(q.Context(), id)
	if err != nil {
		return supervisor.Status{}, err
	}
	if e := r.Experiments; len(e) != 1 || e[0].Config.ID != id {
		return supervisor.Status{}, fmt.Errorf("%w: %s is a matrix of %d experiments", supervisor.ErrUnknown, id, len(e))
	}
	return r.Experiments[0], nil
}

func (s *Server) getExperiment(_ http.ResponseWriter, q *http.Request) (any, error) {
	st, err := s.find(q)
	if err != nil {
		return nil, err
	}
	return experimentOf(st), nil
}

// mine refuses an order about an experiment that somebody else submitted.
func (s *Server) mine(q *http.Request) (peer Peer, has Access, err error) {
	peer, _ = peerOfRequest(q.Context())
	has = peer.access(s.Listener.Group)
	if has >= Admin {
		return peer, has, nil
	}
	st, err := s.find(q)
	if err == nil && st.Submission != nil && st.Submission.Owner != peer.Name() {
		err = fmt.Errorf("%w: %s", supervisor.ErrNotYours, st.Submission.Owner)
	}
	return peer, has, err
}

// after answers an order with how the experiment stands then.
func (s *Server) after(q *http.Request, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return s.getExperiment(nil, q)
}

func (s *Server) order(q *http.Request, name string) (any, error) {
	if err := body(q, &struct{}{}); err != nil {
		return nil, err
	}
	if _, _, err := s.mine(q); err != nil {
		return nil, err
	}
	ctx, id, yes, no := q.Context(), q.PathValue("id"), true, false
	var err error
	switch name {
	case "stop":
		err = s.Supervisor.Stop(ctx, id)
	case "restart":
		err = s.Supervisor.Restart(ctx, id)
	case "release":
		err = s.Supervisor.Release(ctx, id)
	case "freeze":
		err = s.Supervisor.Freeze(ctx, id)
	case "thaw":
		err = s.Supervisor.Thaw(ctx, id)
	case "enable":
		err = s.Supervisor.Enable(ctx, id, &yes)
	case "disable":
		err = s.Supervisor.Enable(ctx, id, &no)
	case "auto":
		err = s.Supervisor.Enable(ctx, id, nil)
	case "forget":
		st, err := s.find(q)
		if err != nil {
			return nil, err
		}
		return experimentOf(st), s.Supervisor.Forget(ctx, id)
	}
	return s.after(q, err)
}

func (s *Server) start(_ http.ResponseWriter, q *http.Request) (any, error) {
	var r StartRequest
	if err := body(q, &r); err != nil {
		return nil, err
	}
	peer, has, err := s.mine(q)
	if err != nil && errorOf(err).Code != CodeUnknown { // which [template] may make
		return nil, err
	}
	if has < Admin {
		if err := s.memberStart(q, peer, r.Keys); err != nil {
			return nil, err
		}
	}
	return s.after(q, s.Supervisor.StartWith(q.Context(), q.PathValue("id"), peer.Name(), supervisor.Overrides{Config: r.Config, Keys: r.Keys}, has < Admin))
}

func (s *Server) submit(_ http.ResponseWriter, q *http.Request) (any, error) {
	var r SubmitRequest
	if err := body(q, &r); err != nil {
		return nil, err
	}
	sub, err := s.submission(q, r.Keys)
	if err != nil {
		return nil, err
	}
	return s.after(q, s.Supervisor.Submit(q.Context(), q.PathValue("id"), sub))
}

// submission is what a peer may submit.
func (s *Server) submission(q *http.Request, keys map[string]any) (supervisor.Submission, error) {
	peer, _ := peerOfRequest(q.Context())
	sub := supervisor.Submission{Keys: keys, Owner: peer.Name()}
	if sub.Keys == nil {
		sub.Keys = config.Keys{}
	}
	if peer.access(s.Listener.Group) >= Admin {
		return sub, nil
	}
	return s.memberSubmission(q, peer, sub)
}

func (s *Server) set(_ http.ResponseWriter, q *http.Request) (any, error) {
	var r SetRequest
	if err := body(q, &r); err != nil {
		return nil, err
	}
	_, has, err := s.mine(q)
	if err != nil {
		return nil, err
	}
	return s.after(q, s.Supervisor.Set(q.Context(), q.PathValue("id"), r.Keys, has < Admin))
}

func (s *Server) hold(_ http.ResponseWriter, q *http.Request) (any, error) {
	var r HoldRequest
	if err := body(q, &r); err != nil {
		return nil, err
	}
	peer, _, err := s.mine(q)
	if err != nil {
		return nil, err
	}
	why := "held by " + peer.Name()
	if r.Reason != "" {
		why += ": " + strings.Join(strings.Fields(r.Reason), " ")
	}
	return s.after(q, s.Supervisor.Hold(q.Context(), q.PathValue("id"), why))
}

func (s *Server) kill(_ http.ResponseWriter, q *http.Request) (any, error) {
	var r KillRequest
	if err := body(q, &r); err != nil {
		return nil, err
	}
	sig := syscall.SIGKILL
	if r.Signal != "" {
		if sig = unix.SignalNum(strings.ToUpper(r.Signal)); sig == 0 {
			sig = unix.SignalNum("SIG" + strings.ToUpper(r.Signal))
		}
	}
	whom, known := whomOf(r.Whom)
	if sig == 0 {
		return nil, &Error{Message: fmt.Sprintf("%q is not the name of a signal", r.Signal), Hint: `write it like "SIGTERM" or "SIGUSR1"`, Code: CodeBadRequest, Status: http.StatusBadRequest}
	}
	if !known {
		return nil, &Error{Message: fmt.Sprintf("cannot send a signal to %q", r.Whom), Hint: `to "main" or "all"`, Code: CodeBadRequest, Status: http.StatusBadRequest}
	}
	if _, _, err := s.mine(q); err != nil {
		return nil, err
	}
	return s.after(q, s.Supervisor.Kill(q.Context(), q.PathValue("id"), whom, sig))
}

func (s *Server) adopt(_ http.ResponseWriter, q *http.Request) (any, error) {
	var r AdoptRequest
	if err := body(q, &r); err != nil {
		return nil, err
	}
	peer, _ := peerOfRequest(q.Context())
	return s.after(q, s.Supervisor.Adopt(q.Context(), q.PathValue("id"), r.PID, peer.Name(), r.Keys))
}

func (s *Server) releaseAll(_ http.ResponseWriter, q *http.Request) (any, error) {
	if err := body(q, &struct{}{}); err != nil {
		return nil, err
	}
	return struct{}{}, s.Supervisor.ReleaseAll(q.Context())
}

func (s *Server) plan(_ http.ResponseWriter, q *http.Request) (any, error) {
	p, err := s.Supervisor.Plan(q.Context())
	return planOf(p), err
}

func (s *Server) reload(_ http.ResponseWriter, q *http.Request) (any, error) {
	var r ReloadRequest
	if err := body(q, &r); err != nil {
		return nil, err
	}
	p, err := s.Supervisor.Reload(q.Context(), r.Restart)
	return planOf(p), err
}
