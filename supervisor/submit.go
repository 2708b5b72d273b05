package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/ledger"
	"brainjar/transient"
)

// Why an experiment cannot be taken.
var (
	// ErrExists: there is an experiment of that name, and it has not ended.
	ErrExists = errors.New("there is an experiment of that name")
	// ErrNeverFits: it needs more than there will ever be, or while it runs than is left.
	ErrNeverFits = errors.New("there is no room for it")
	// ErrRefused: this machine could not run it.
	ErrRefused = errors.New("this machine refuses it")
	// ErrConfigured: a file names it, so that it comes and goes with that file.
	ErrConfigured = errors.New("it is configured in a file")
)

// Submission is where an experiment comes from that no file names. The ledger keeps
// it.
type Submission struct {
	Keys     config.Keys `json:"keys,omitempty"`     // as a file would have them
	Template bool        `json:"template,omitempty"` // it is made from [template] instead
	Owner    string      `json:"owner,omitempty"`    // who submitted it: the name of a user, or a uid

	// Attended: its client stays until it has ended, see Attend. Detach: it runs on
	// when the client goes.
	Attended bool `json:"attended,omitempty"`
	Detach   bool `json:"detach,omitempty"`

	// Confined: it has a sandbox, whatever [defaults] say, and takes the place of
	// nobody else's.
	Confined bool `json:"confined,omitempty"`

	Process *transient.Process `json:"process,omitempty"` // that is adopted, instead of a command that is started
}

// maxEnded is how many submitted experiments that have ended are kept: then the
// oldest is forgotten, but for its runs in the ledger.
const maxEnded = 500

// Submit adds an experiment that no file names, and queues it. It returns when that
// is on disk. One of the same name that has ended is replaced. The error is
// config.Errors for keys that are wrong, or wraps ErrExists, ErrNeverFits, or what
// this machine refuses.
func (s *Supervisor) Submit(ctx context.Context, id string, sub Submission) error {
	return s.submit(ctx, id, sub, func(*experiment) {})
}

// submit is Submit; made is called in the loop with the new experiment.
func (s *Supervisor) submit(ctx context.Context, id string, sub Submission, made func(*experiment)) error {
	fresh, run, err := s.construct(ctx, id, sub, Overrides{})
	if err != nil {
		return err
	}
	return s.insert(ctx, func() (*experiment, error) {
		if err := s.vacant(id); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s.experiments, func(e *experiment) bool { return e.cfg.Matrix == id }) {
			return nil, fmt.Errorf("%w: %s stands for all members of a matrix", ErrExists, id)
		}
		if circle := s.circle(fresh.base, nil, make(map[string]bool)); circle != nil {
			return nil, config.Errors{{Key: "after", Message: "waits for itself: " + strings.Join(circle, " -> ")}}
		}
		if doubt := s.never(fresh.base); doubt != "" {
			return nil, config.Errors{{Key: "after", Message: doubt}}
		}
		if e := s.byID[id]; e != nil {
			if sub.Confined && e.submission.Owner != sub.Owner {
				return nil, fmt.Errorf("%w: %s", ErrNotYours, e.submission.Owner)
			}
			s.drop(e)
		}
		e := s.add(fresh.base, &sub, run)
		made(e)
		return e, nil
	})
}

// Adopt makes an experiment of a process that runs already: a scope, whose exit
// status will not be known, and which is not restarted. keys may say memory_max and
// the like. It is admitted as any other.
func (s *Supervisor) Adopt(ctx context.Context, id string, pid int, owner string, keys config.Keys) error {
	process, username, command, err := transient.FindProcess(pid)
	if err != nil {
		return err
	}
	all := config.Keys{
		"command": literal(command), "user": username, "kind": "scope", "sandbox": "off", "autostart": false,
		"restart": map[string]any{"policy": "no"},
	}
	for key, value := range keys {
		if _, ours := all[key]; ours {
			return config.Errors{{Key: key, Message: "is what the process has already"}}
		}
		all[key] = value
	}
	return s.Submit(ctx, id, Submission{Keys: all, Owner: owner, Process: &process})
}

// literal writes a command so that nothing in it is a placeholder.
func literal(command []string) []any {
	arguments := make([]any, len(command))
	for i, a := range command {
		arguments[i] = config.Literal(a)
	}
	return arguments
}

// Vacant says why no experiment of that name can be submitted, or nil.
func (s *Supervisor) Vacant(ctx context.Context, id string) error {
	_, err := ask(ctx, s, func() (struct{}, error) { return struct{}{}, s.vacant(id) })
	return err
}

// never says why what one waits for that is submitted cannot come; "": it can.
func (s *Supervisor) never(cfg *config.Experiment) string {
	for _, d := range cfg.After {
		if e := s.byID[d.ID]; e != nil && d.Never(e.cfg) {
			return d.Doubt(e.cfg)
		}
	}
	return ""
}

// circle names the experiments through which one that is submitted would wait for
// itself, because those that wait already wait for one of its name; nil: there are none.
func (s *Supervisor) circle(cfg *config.Experiment, path []string, seen map[string]bool) []string {
	path = append(slices.Clip(path), cfg.ID)
	seen[cfg.ID] = true
	for _, d := range cfg.After {
		if d.ID == path[0] {
			return append(path, d.ID)
		}
		if e := s.byID[d.ID]; e != nil && e.phase == Queued && !seen[d.ID] {
			if circle := s.circle(e.cfg, path, seen); circle != nil {
				return circle
			}
		}
	}
	return nil
}

// vacant says why no experiment of that name can be submitted, or nil.
func (s *Supervisor) vacant(id string) error {
	e := s.byID[id]
	switch {
	case e == nil:
		return nil
	case e.submission == nil:
		return fmt.Errorf("%w: %s is configured in a file", ErrExists, id)
	case !e.phase.Over():
		return fmt.Errorf("%w: %s is %s", ErrExists, id, e.phase)
	}
	return nil
}

// insert runs a function in the loop that makes an experiment, queues that, and
// returns when it is on disk.
func (s *Supervisor) insert(ctx context.Context, create func() (*experiment, error)) error {
	return s.carryOut(ctx, func(written func(error)) error {
		if s.leaving.how != stay {
			return ErrLeaving
		}
		e, err := create()
		if err != nil {
			return err
		}
		s.forgetEnded()
		return s.wantNow(e, written)
	})
}

// construct makes an experiment, outside of the loop, and finds out whether this
// machine would take it. run is the number of its latest run.
func (s *Supervisor) construct(ctx context.Context, id string, sub Submission, o Overrides) (st standing, run int, err error) {
	var others []string
	st.config, err = ask(ctx, s, func() (*config.Config, error) {
		for _, e := range s.experiments {
			others = append(others, e.cfg.ID)
		}
		return s.Config, s.vacant(id)
	})
	if err != nil {
		return st, 0, err
	}
	if st.base, err = build(st.config, id, sub, o, others); err != nil {
		return st, 0, err
	}
	if err := s.fits(st.config, st.base); err != nil {
		return st, 0, err
	}
	if err := s.checkHost(ctx, st.base, sub.Process); err != nil {
		return st, 0, err
	}
	if s.Ledger != nil {
		if run, err = s.Ledger.LastRun(ctx, id); err != nil {
			return st, 0, fmt.Errorf("cannot number its runs: %w", err)
		}
	}
	return st, run, nil
}

// build makes the configuration of an experiment that no file names.
func build(c *config.Config, id string, sub Submission, o Overrides, others []string) (*config.Experiment, error) {
	if sub.Template {
		return c.FromTemplate(id, o.Config)
	}
	cfg, err := c.Submitted(id, sub.Keys, others)
	if err == nil && sub.Confined && cfg.Sandbox == config.SandboxOff {
		keys := maps.Clone(sub.Keys)
		keys["sandbox"] = string(config.SandboxDefault)
		cfg, err = c.Submitted(id, keys, others)
	}
	return cfg, err
}

// checkHost finds out whether this machine would refuse to start an experiment.
func (s *Supervisor) checkHost(ctx context.Context, cfg *config.Experiment, process *transient.Process) error {
	host, err := s.House.Host(ctx)
	if err != nil {
		return err
	}
	spec, err := launch{cfg: cfg, run: 1, userManager: s.UserManager, process: process}.spec()
	if err == nil {
		_, err = host.Check(spec)
		err = errors.Join(transient.CheckNamed(spec), err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// add takes an experiment into the house: the loop's work.
func (s *Supervisor) add(cfg *config.Experiment, sub *Submission, run int) *experiment {
	e := newExperiment(cfg)
	e.submission = sub
	e.run, e.counted = max(run, s.dropped[cfg.ID]), max(run, s.dropped[cfg.ID])
	s.experiments = append(s.experiments, e)
	s.byID[cfg.ID] = e
	return e
}

// drop lets an experiment go that has no unit. Its runs stay in the ledger; the
// number of the latest is kept until they are there.
func (s *Supervisor) drop(e *experiment) {
	id := e.cfg.ID
	if e.isAttended() {
		e.attended.streams.Close()
		s.do(func(ctx context.Context) error { return s.House.Clean(ctx, id) }, func(err error) {
			if err != nil && s.ctx.Err() == nil {
				s.Log.Warn("something is left of an experiment", "experiment", id, "err", err)
			}
		})
	}
	s.experiments = slices.DeleteFunc(s.experiments, func(other *experiment) bool { return other == e })
	delete(s.byID, id)
	last := e.lastRun()
	s.dropped[id] = last
	s.write(ledger.Write{Remove: id}, func(err error) {
		if err == nil && s.dropped[id] == last {
			delete(s.dropped, id)
		}
	})
}

// dropRemoved lets go of what is not wanted any more and has no unit.
func (s *Supervisor) dropRemoved() {
	var gone []*experiment
	for _, e := range s.experiments {
		if e.removed && !e.phase.Active() {
			gone = append(gone, e)
		}
	}
	for _, e := range gone {
		s.Log.Info("removed", "experiment", e.cfg.ID)
		s.drop(e)
	}
}

// remove ends an experiment that is not wanted any more; it goes when it has no unit.
func (s *Supervisor) remove(e *experiment, reason string) {
	e.removed, e.again = true, false
	s.end(e, CauseAsked, reason)
	s.keep(e, nil)
}

// forgetEnded lets go of the oldest submitted experiments that have ended.
func (s *Supervisor) forgetEnded() {
	var ended []*experiment
	for _, e := range s.experiments {
		if e.submission != nil && e.phase.Over() {
			ended = append(ended, e)
		}
	}
	if len(ended) <= maxEnded {
		return
	}
	slices.SortFunc(ended, func(a, b *experiment) int { return a.since.Compare(b.since) })
	for _, e := range ended[:len(ended)-maxEnded] {
		s.drop(e)
	}
}

// Forget lets go of a submitted experiment that has no unit. It returns when that
// is on disk.
func (s *Supervisor) Forget(ctx context.Context, id string) error {
	return s.obey(ctx, id, func(e *experiment, written func(error)) error {
		switch {
		case e.submission == nil:
			return fmt.Errorf("%w: %s", ErrConfigured, id)
		case e.phase.Active():
			return fmt.Errorf("%w: %s is %s", ErrRunning, id, e.phase)
		}
		s.drop(e)
		s.write(ledger.Write{}, written)
		return nil
	})
}

// resubmit makes the submitted experiments of the ledger again.
func (s *Supervisor) resubmit(past ledger.Past) {
	var others []string
	for _, w := range past.Wanted {
		others = append(others, w.Experiment)
	}
	for _, w := range past.Wanted {
		if w.Submitted == "" || s.byID[w.Experiment] != nil {
			continue
		}
		var sub Submission
		var o Overrides
		err := json.Unmarshal([]byte(w.Submitted), &sub)
		if err == nil && w.Overrides != "" {
			err = json.Unmarshal([]byte(w.Overrides), &o)
		}
		var cfg *config.Experiment
		if err == nil {
			cfg, err = build(s.Config, w.Experiment, sub, o, others)
		}
		if err != nil {
			s.Log.Error("submitted experiment cannot be taken up again", "experiment", w.Experiment, "err", err)
			continue
		}
		e := s.add(cfg, &sub, 0)
		e.attended.by = time.Now().Add(attendGrace)
	}
}
