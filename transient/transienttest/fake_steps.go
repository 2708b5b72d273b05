package transienttest

import (
	"fmt"
	"syscall"
	"time"

	"brainjar/transient"
)

// advance runs the program up to its next wait or to its end. It is also what
// the end of a wait calls.
func (u *unit) advance() {
	u.count()
	for !u.over && !u.unit.Frozen {
		if len(u.stack) == 0 {
			u.end(0, 0, transient.Outcome{})
			return
		}
		top := &u.stack[len(u.stack)-1]
		if wait := time.Until(top.until); wait > 0 {
			stopTimer(u.step)
			u.step = u.after(wait, u.advance)
			return
		}
		top.until, top.spinning = time.Time{}, false
		if len(top.steps) == 0 {
			u.stack = u.stack[:len(u.stack)-1]
			continue
		}
		s := top.steps[0]
		if s.verb != "beat" { // a beat is for ever
			top.steps = top.steps[1:]
		}
		u.do(s, top)
	}
}

// do runs one step of the frame that is being run.
func (u *unit) do(s step, top *frame) {
	switch s.verb {
	case "sleep", "spin":
		top.until = time.Now().Add(s.duration)
		top.spinning = s.verb == "spin"
	case "beat":
		top.beats++
		u.status(fmt.Sprintf("beat %d", top.beats))
		top.until = time.Now().Add(max(s.duration, time.Millisecond))
	case "exit":
		u.end(s.code, 0, transient.Outcome{})
	case "kill":
		u.end(-1, s.signal, transient.Outcome{})
	case "ignore":
		u.ignored[s.signal] = true
	case "on":
		u.handlers[s.signal] = s.handler
	case "alloc":
		u.memory += s.size
		u.checkMemory()
	case "child-alloc":
		u.peak = max(u.peak, u.memory+s.size)
		if limit := u.limits.MemoryMax; limit > 0 && u.peak > limit {
			u.peak = limit
			u.oomKills++
			u.end(1, 0, transient.Outcome{})
		}
	case "fork":
		child := u.fake.newPID()
		u.children = append(u.children, child)
		u.status(fmt.Sprintf("child %d", child))
	case "ready":
		u.activate()
	case "ping":
		if u.watchdog != nil {
			u.watchdog.Reset(u.spec.Watchdog)
		}
	case "status":
		u.status(s.text)
	}
}

func (u *unit) status(text string) {
	u.text = text
	if u.active {
		u.say(false)
	}
}

// say tells the status text, unless that was told already.
func (u *unit) say(found bool) {
	if u.text != u.said {
		u.said = u.text
		u.fake.emit(transient.Status{Unit: u.unit.Name, Text: u.text, Found: found})
	}
}

// checkMemory is the kernel looking at memory_max.
func (u *unit) checkMemory() {
	u.peak = max(u.peak, u.memory)
	if limit := u.limits.MemoryMax; limit > 0 && u.memory > limit {
		u.peak = min(u.peak, limit)
		u.oomKills++
		u.end(-1, syscall.SIGKILL, transient.Outcome{})
	}
}

func (u *unit) freeze() {
	if !u.unit.Frozen {
		u.count()
		u.unit.Frozen = true
		u.fake.emit(transient.Frozen{Unit: u.unit.Name, Frozen: true})
	}
}

// thaw lets the program go on: a wait whose end has passed is over now.
func (u *unit) thaw() {
	if !u.unit.Frozen {
		return
	}
	u.count()
	u.unit.Frozen = false
	if !u.unseen {
		u.fake.emit(transient.Frozen{Unit: u.unit.Name, Frozen: false})
	}
	u.unseen = false
	pending := u.pending
	u.pending = nil
	for _, sig := range pending {
		u.deliver(sig)
	}
	if !u.over {
		u.advance()
	}
}
