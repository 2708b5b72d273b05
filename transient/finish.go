package transient

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// ending gathers what is known of the end of a unit's newest invocation.
func (m *Manager) ending(t *tracked, f *facts, r *record) ending {
	if f != nil {
		f.limits = t.times
	}
	return ending{
		facts: f, record: r, asked: t.asked, refusal: t.refusal,
		peak: t.peak, cpu: t.cpu, scope: t.unit.Kind == Scope,
		early: m.host.activeEarly(), seen: t.executed,
	}
}

// finish says how the newest invocation of a unit ended: by what systemd said,
// where it did, and by the record. The caller holds mu.
func (m *Manager) finish(t *tracked, f *facts) {
	r, err := readRecord(m.options.RecordDir, t.unit.Invocation)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("record of a run cannot be read", "unit", t.unit.Name, "invocation", t.unit.Invocation, "err", err)
	}
	m.conclude(t, f, r)
}

// conclude sends Ended, at once or when the journal has settled a doubt.
func (m *Manager) conclude(t *tracked, f *facts, r *record) {
	o, doubt := classify(m.ending(t, f, r))
	if o.Ended.IsZero() {
		o.Ended = time.Now()
	}
	if !doubt {
		m.send(t, o)
		return
	}
	t.doubted = &o
	unit, program, invocation := t.unit.Name, t.program, t.unit.Invocation
	silent := m.host.spawnsSilently() && o.Result == ExitCode
	m.spawn(func(ctx context.Context) {
		text, err := m.journal(ctx, invocation, m.options.User)
		if silent && text == "" {
			text = m.spawnWords(ctx, unit, program, o.ExitCode)
		}
		if ctx.Err() != nil {
			return // the next Manager finds it again
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if t.unit.Invocation == invocation && !t.ended {
			m.send(t, settle(o, text, err))
		}
	})
}

// settle decides what the journal was asked for: text is systemd's message
// that it could not execute the program, "" if there is none.
func settle(o Outcome, text string, err error) Outcome {
	switch {
	case text != "":
		o.Result, o.ExitCode, o.Detail = StartFailed, -1, text
	case err != nil && o.Result == ExitCode:
		o.Result = StartFailed
		o.Detail = fmt.Sprintf("status %d at once, which systemd uses for a program that it cannot execute; the journal cannot be read: %v", o.ExitCode, err)
	}
	return o
}

// send sends Ended for the newest invocation. The caller holds mu.
func (m *Manager) send(t *tracked, o Outcome) {
	t.ended, t.doubted = true, nil
	m.told[t.unit.Invocation] = true
	if t.order != nil {
		t.order.settle(nil)
	}
	m.stream.put(Ended{Unit: t.unit, Outcome: o})
}

// recorded takes the record of an invocation that ended unseen. The caller
// holds mu.
func (m *Manager) recorded(r *record) {
	path := unitPath(r.Unit)
	t := m.units[path]
	switch {
	case m.told[r.Invocation], t != nil && t.unit.Invocation == r.Invocation:
		return // it is known, or its signal is on the way
	case t != nil && t.unit.Invocation == "" && t.order != nil && t.unit.Run == r.Run && t.unit.Attempt == r.Attempt:
		t.unit.Invocation = r.Invocation
	default:
		free := t == nil
		t = &tracked{unit: Unit{
			Name: r.Unit, Experiment: r.Experiment, Run: r.Run, Attempt: r.Attempt,
			Invocation: r.Invocation, Kind: Service, Since: r.Active,
		}}
		if free {
			m.units[path] = t
		}
	}
	m.conclude(t, nil, r)
}
