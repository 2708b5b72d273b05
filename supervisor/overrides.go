package supervisor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
	"brainjar/transient"
)

// Overrides are what orders say of an experiment instead of its file. They hold,
// also after a restart of brainjar, until an order takes them back.
type Overrides struct {
	Config string      `json:"config,omitempty"` // path, in the place of the file's config
	Keys   config.Keys `json:"keys,omitempty"`
}

func (o Overrides) none() bool { return o.Config == "" && len(o.Keys) == 0 }

// with adds others. A nil value takes a key back, the empty config is none.
func (o Overrides) with(other Overrides) Overrides {
	merged := Overrides{Config: orElse(other.Config, o.Config), Keys: maps.Clone(o.Keys)}
	for key, value := range other.Keys {
		if merged.Keys == nil {
			merged.Keys = config.Keys{}
		}
		inner, isTable := value.(map[string]any)
		before, wasTable := merged.Keys[key].(map[string]any)
		switch {
		case value == nil:
			delete(merged.Keys, key)
		case isTable && wasTable: // environment, restart: key by key
			both := maps.Clone(before)
			maps.Copy(both, inner)
			maps.DeleteFunc(both, func(_ string, v any) bool { return v == nil })
			merged.Keys[key] = both
		default:
			merged.Keys[key] = value
		}
	}
	return merged
}

// ErrRunning says that an order would change what only another run can have.
var ErrRunning = errors.New("it is running")

// errChanged is the answer to an order that another one overtook.
var errChanged = fmt.Errorf("%w: it has just been changed by somebody else, try again", ErrRunning)

// StartWith is Start with other keys than the configured ones, which hold from then
// on. within: no limit may be above the configured one, see ErrAbove. An id that
// nobody knows is made from [template], where there is one.
func (s *Supervisor) StartWith(ctx context.Context, id, owner string, o Overrides, within bool) error {
	e, err := s.present(ctx, id)
	if errors.Is(err, ErrUnknown) {
		return s.instantiate(ctx, id, owner, o, within, err)
	}
	if err != nil || o.none() {
		if err == nil {
			err = s.Start(ctx, id)
		}
		return err
	}
	merged := e.overrides.with(o)
	cfg, err := s.overridden(e, merged, within)
	if err != nil {
		return err
	}
	return s.obey(ctx, id, func(now *experiment, written func(error)) error {
		switch {
		case now.base != e.base || now.cfg != e.cfg:
			return errChanged
		case now.phase.Active() && len(now.cfg.Differences(cfg)) > 0:
			return fmt.Errorf("%w with another %s: stop it first", ErrRunning, strings.Join(now.cfg.Differences(cfg), ", "))
		}
		now.overrides, now.cfg = merged, cfg
		return s.orderStart(now, written)
	})
}

// instantiate makes an experiment from [template] and starts it; unknown is the
// answer where there is none.
func (s *Supervisor) instantiate(ctx context.Context, id, owner string, o Overrides, within bool, unknown error) error {
	sub := Submission{Template: true, Owner: owner}
	made, run, err := s.construct(ctx, id, sub, o)
	if errors.Is(err, config.ErrNoTemplate) {
		return unknown
	}
	if err != nil {
		return err
	}
	cfg, err := s.overridden(made, o, within)
	if err != nil {
		return err
	}
	return s.insert(ctx, func() (*experiment, error) {
		if s.byID[id] != nil {
			return nil, errChanged
		}
		e := s.add(made.base, &sub, run)
		e.cfg, e.overrides = cfg, o
		s.halt(false)
		return e, nil
	})
}

// standing is what an order must know of an experiment outside of the loop. Nothing
// in it changes.
type standing struct {
	config    *config.Config
	base, cfg *config.Experiment
	overrides Overrides
}

func (s *Supervisor) present(ctx context.Context, id string) (standing, error) {
	return ask(ctx, s, func() (standing, error) {
		e := s.byID[id]
		if e == nil {
			return standing{}, fmt.Errorf("%w: %s", ErrUnknown, id)
		}
		return standing{s.Config, e.base, e.cfg, e.overrides}, nil
	})
}

// overridden is the experiment with other overrides.
func (s *Supervisor) overridden(st standing, o Overrides, within bool) (*config.Experiment, error) {
	cfg, err := override(st.config, st.base, o)
	if err == nil && within {
		err = above(st.base, cfg)
	}
	if err == nil {
		err = s.fits(st.config, cfg)
	}
	return cfg, err
}

// fits returns ErrNeverFits for an experiment that is too big for this machine.
func (s *Supervisor) fits(c *config.Config, cfg *config.Experiment) error {
	if problems := c.CheckFit(cfg, s.MemTotal, s.Board.Unified); len(problems) > 0 {
		return fmt.Errorf("%w: %w", ErrNeverFits, problems)
	}
	return nil
}

// ErrAbove says that a limit would be above the configured one.
var ErrAbove = errors.New("more than is configured")

// above returns ErrAbove for the first limit, or the priority, that is higher than
// it is configured.
func above(base, cfg *config.Experiment) error {
	weight := func(w uint64) uint64 { return cmp.Or(w, 100) } // which is what others have
	swap := func(e *config.Experiment) uint64 {
		if e.MemorySwapMax == nil {
			return math.MaxUint64
		}
		return uint64(*e.MemorySwapMax)
	}
	none := func(limit uint64) uint64 { return limit - 1 } // 0 is no limit: the highest there is
	for _, l := range []struct {
		key     string
		was, is uint64
	}{
		{"memory_max", uint64(base.MemoryMax), uint64(cfg.MemoryMax)},
		{"memory_high", none(uint64(base.MemoryHigh)), none(uint64(cfg.MemoryHigh))},
		{"memory_swap_max", swap(base), swap(cfg)},
		{"cpu_quota", none(uint64(base.CPUQuota)), none(uint64(cfg.CPUQuota))},
		{"cpu_weight", weight(base.CPUWeight), weight(cfg.CPUWeight)},
		{"io_weight", weight(base.IOWeight), weight(cfg.IOWeight)},
		{"tasks_max", none(base.TasksMax), none(cfg.TasksMax)},
	} {
		if l.is > l.was {
			return fmt.Errorf("%w: %s", ErrAbove, l.key)
		}
	}
	outside := func(cpu int) bool { return !slices.Contains(base.CPUs, cpu) }
	switch {
	case base.CPUs != nil && (cfg.CPUs == nil || slices.ContainsFunc(cfg.CPUs, outside)):
		return fmt.Errorf("%w: cpus", ErrAbove)
	case cfg.Priority > base.Priority:
		return fmt.Errorf("%w: priority", ErrAbove)
	}
	return nil
}

func override(c *config.Config, base *config.Experiment, o Overrides) (*config.Experiment, error) {
	if o.none() {
		return base, nil
	}
	return c.Override(base, o.Config, o.Keys)
}

// liveLimits are the limits that a unit which runs can be given.
var liveLimits = []string{
	"memory_max", "memory_high", "memory_swap_max", "cpu_quota", "cpu_weight", "cpus", "io_weight", "tasks_max",
}

// Settable are the keys that Set changes.
var Settable = append(slices.Clone(liveLimits), "priority")

// Set changes limits and the priority of an experiment, at once where it runs. nil
// takes a change back. It returns when that is in force, and on disk. within: nothing
// may be above what is configured, see ErrAbove.
func (s *Supervisor) Set(ctx context.Context, id string, keys config.Keys, within bool) error {
	for key := range keys {
		if !slices.Contains(Settable, key) {
			return config.Errors{{Key: key, Message: "cannot be changed while it runs", Hint: "there are " + strings.Join(Settable, ", ")}}
		}
	}
	e, err := s.present(ctx, id)
	if err != nil {
		return err
	}
	merged := e.overrides.with(Overrides{Keys: keys})
	cfg, err := s.overridden(e, merged, within)
	if err != nil {
		return err
	}
	var unit transient.Unit
	var held quantity.Bytes
	var apply func(context.Context) error
	err = s.obey(ctx, id, func(now *experiment, written func(error)) error {
		if now.base != e.base || now.cfg != e.cfg {
			return errChanged
		}
		if !now.phase.Active() || !limitsDiffer(e.cfg, cfg) {
			now.overrides, now.cfg = merged, cfg
			s.keep(now, written)
			return nil
		}
		if now.unit.Invocation == "" {
			return fmt.Errorf("%w yet: its unit is being made, try again", ErrNotRunning)
		}
		if err := s.roomFor(now, cfg); err != nil {
			return err
		}
		inForce := now.memoryMax()
		unit, held = now.unit, now.holds
		apply = now.inTurn(func(ctx context.Context) error { return s.applyLimits(ctx, unit.Name, cfg, inForce) })
		now.holds = max(now.memoryMax(), cfg.MemoryMax) // until it is known which is in force
		written(nil)
		return nil
	})
	if err != nil || apply == nil {
		return err
	}
	failed := apply(ctx)
	return s.obey(context.WithoutCancel(ctx), id, func(now *experiment, written func(error)) error {
		if now.unit.Invocation == unit.Invocation {
			now.holds = 0
			if failed != nil {
				now.holds = held
			}
		}
		if failed != nil {
			return failed
		}
		if now.base != e.base || now.cfg != e.cfg {
			return errChanged
		}
		now.overrides, now.cfg = merged, cfg
		s.Log.Info("limits changed", "experiment", id, "unit", unit.Name, "keys", e.cfg.Differences(cfg))
		s.keep(now, written)
		return nil
	})
}

// roomFor says why an experiment that runs cannot have more memory, or nil.
func (s *Supervisor) roomFor(e *experiment, cfg *config.Experiment) error {
	room := s.headroom()
	more := cfg.MemoryMax - min(cfg.MemoryMax, e.memoryMax())
	if left := room.Budget - min(room.Budget, room.BudgetUsed); more > left {
		return fmt.Errorf("%w: needs %s more, %s of %s left", ErrNeverFits, more, left, room.Budget)
	}
	return nil
}

// applyLimits gives a unit other limits, that has so much memory now. Less than it uses
// would kill it.
func (s *Supervisor) applyLimits(ctx context.Context, unit string, cfg *config.Experiment, memoryMax quantity.Bytes) error {
	if cfg.MemoryMax < memoryMax {
		u, err := s.Groups.Usage(unit)
		if err != nil {
			return err
		}
		if used := (measured{Usage: u}).claim(); used >= cfg.MemoryMax {
			return fmt.Errorf("%w: it uses %s, and a limit of %s would kill it", ErrRunning, used, cfg.MemoryMax)
		}
	}
	_, err := s.Groups.SetLimits(ctx, unit, limits(cfg))
	return err
}

func limitsDiffer(a, b *config.Experiment) bool { return !reflect.DeepEqual(limits(a), limits(b)) }

// recallOverrides takes up what the ledger says of an experiment.
func (s *Supervisor) recallOverrides(e *experiment, text string) {
	if text == "" {
		return
	}
	if err := json.Unmarshal([]byte(text), &e.overrides); err != nil {
		s.Log.Error("overrides of an experiment cannot be read", "experiment", e.base.ID, "err", err)
		e.overrides = Overrides{}
	}
	s.recalc(e)
}

// recalc puts the overrides on what the file says. Those that do not go with it any
// more are dropped, which is said.
func (s *Supervisor) recalc(e *experiment) {
	cfg, err := override(s.Config, e.base, e.overrides)
	if err != nil {
		s.Log.Error("overrides of an experiment do not hold any more", "experiment", e.base.ID, "err", err)
		cfg, e.overrides = e.base, Overrides{}
	}
	e.cfg = cfg
}
