package transient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"brainjar/internal/quantity"
)

// Trial is what came of trying whether something really holds on this machine.
type Trial struct {
	Of    string `json:"of"`    // memory_max, cpu_quota, devices or freeze
	Tried bool   `json:"tried"` // false: it could not be tried, Words say why
	Held  bool   `json:"held"`
	Words string `json:"words"` // what happened
}

// What trials give to the programs that try to break out.
const (
	trialMemory = 64 * quantity.MiB
	trialTakes  = 4 * trialMemory
	trialQuota  = quantity.Percent(20)
	trialTime   = time.Second      // that the CPU is burned
	trialLimit  = 8 * time.Second  // systemd ends what runs for longer, whatever becomes of us
	trialClean  = 5 * time.Second  // to leave nothing behind
	tryLimit    = 10 * time.Second // for all trials
)

// Try starts short programs of this binary (see Hidden) as units in a slice of their
// own, which each try to break a limit: to take more memory than memory_max, more CPU
// than cpu_quota, to open a device that is denied, and to go on while frozen. It takes
// about two seconds, and never longer than 15. Nothing of it is left behind: what
// systemd still has of it in the end is an error. If this process dies, systemd ends
// the units within 9 s.
func Try(ctx context.Context, user bool) ([]Trial, error) {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find brainjar's own binary: %w", err)
	}
	c, err := dial(ctx, privateAddress(user), defaultCallTimeout, askVersion)
	if err != nil {
		return nil, err
	}
	defer c.close()
	groups, err := readCgroups()
	if err != nil {
		return nil, err
	}
	host, _, err := detectHost(ctx, c, user, groups)
	if err != nil {
		return nil, err
	}
	l := &laboratory{conn: c, host: host, groups: groups, program: program, name: fmt.Sprintf("brainjardoctor%d", os.Getpid()), ends: make(map[dbus.ObjectPath]*trialEnd)}
	go l.listen()
	list := []Trial{l.unenforced(limitMemoryMax), l.unenforced(limitCPUQuota), l.unenforced(limitDevices), {Of: trialFreeze}}
	var all sync.WaitGroup
	for i, try := range []func(context.Context) Trial{l.memory, l.cpu, l.devices, l.freeze} {
		if list[i].Words == "" {
			all.Go(func() { list[i] = try(ctx) })
		}
	}
	all.Wait()
	return list, l.clean(context.WithoutCancel(ctx))
}

// trialFreeze is the trial that is none of a limit.
const trialFreeze = "freeze"

// laboratory is where limits are tried.
type laboratory struct {
	*conn
	host    Host
	groups  cgroups
	program string
	name    string // of the slice, and what the names of the units begin with

	mu   sync.Mutex
	ends map[dbus.ObjectPath]*trialEnd
}

// trialEnd is how the program of a trial ended.
type trialEnd struct {
	code, status int32 // as in ExecMainCode and ExecMainStatus
	over         chan struct{}
}

// unenforced is a trial that need not be made.
func (l *laboratory) unenforced(limit string) Trial {
	return Trial{Of: limit, Words: l.host.Unenforced(limit)}
}

// listen notes how programs end, until the connection is closed.
func (l *laboratory) listen() {
	for s := range l.signals {
		if s.Name != propsIface+".PropertiesChanged" || len(s.Body) < 2 {
			continue
		}
		iface, _ := s.Body[0].(string)
		changed, _ := s.Body[1].(map[string]dbus.Variant)
		l.mu.Lock()
		l.note(l.ends[s.Path], iface, changed)
		l.mu.Unlock()
	}
}

func (l *laboratory) note(end *trialEnd, iface string, changed map[string]dbus.Variant) {
	switch {
	case end == nil:
	case iface == serviceIface:
		if code, ok := changed["ExecMainCode"].Value().(int32); ok {
			end.code = code
			end.status, _ = changed["ExecMainStatus"].Value().(int32)
		}
	case iface == unitIface:
		state, _ := changed["ActiveState"].Value().(string)
		if state == "failed" || state == "inactive" && end.code != 0 {
			select {
			case <-end.over:
			default:
				close(end.over)
			}
		}
	}
}

// start runs a trial's program as a unit with limits, and returns the unit's name.
func (l *laboratory) start(ctx context.Context, trial string, limits Limits, devices bool) (string, *trialEnd, error) {
	name := l.name + "-" + trial + ".service"
	var props propertyList
	props.add("Description", "brainjar doctor tries "+trial)
	props.add("Slice", l.name+".slice")
	props.add("CollectMode", "inactive-or-failed")
	props.add("Type", string(ReadyExec))
	props.add("ExecStart", command([]string{l.program, trialMode, trial}, false))
	props.add("Restart", "no")
	props.add("RuntimeMaxUSec", uint64(trialLimit.Microseconds()))
	props.add("TimeoutStopUSec", uint64(time.Second.Microseconds()))
	props.add("StandardOutput", "null")
	props.add("StandardError", "null")
	props.add("OOMPolicy", "stop")
	props.add("OOMScoreAdjust", int32(1000))
	if _, err := addLimits(&props, limits, l.host, true); err != nil {
		return name, nil, err
	}
	if devices {
		props.add("DevicePolicy", "strict")
		props.add("DeviceAllow", []deviceRule{{"/dev/null", "rw"}})
	}
	end := &trialEnd{over: make(chan struct{})}
	l.mu.Lock()
	l.ends[unitPath(name)] = end
	l.mu.Unlock()
	var job dbus.ObjectPath
	return name, end, l.manager(ctx, "StartTransientUnit", []any{name, "fail", props, []struct {
		Name       string
		Properties propertyList
	}{}}, &job)
}

// run runs a trial's program to its end.
func (l *laboratory) run(ctx context.Context, trial string, limits Limits, devices bool) (*trialEnd, error) {
	_, end, err := l.start(ctx, trial, limits, devices)
	if err != nil {
		return nil, err
	}
	select {
	case <-end.over:
		return end, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("its program has not ended: %w", ctx.Err())
	}
}

// untried is a trial that came to nothing.
func untried(of string, err error) Trial {
	return Trial{Of: of, Words: "cannot be tried: " + err.Error()}
}

// unclear is an end that says nothing about the limit.
func (e *trialEnd) unclear() error {
	if e.code == exitedCode {
		return fmt.Errorf("its program exited with code %d", e.status)
	}
	return fmt.Errorf("its program ended by signal %d", e.status)
}

// exitedCode is CLD_EXITED, waitid(2).
const exitedCode = 1

// memory tries to take more than there is.
func (l *laboratory) memory(ctx context.Context) Trial {
	none := quantity.Bytes(0)
	limits := Limits{MemoryMax: trialMemory, MemorySwapMax: &none, Implied: []string{limitMemorySwapMax}}
	end, err := l.run(ctx, limitMemoryMax, limits, false)
	t := Trial{Of: limitMemoryMax, Tried: true}
	switch {
	case err != nil:
		return untried(t.Of, err)
	case end.code != exitedCode && end.status == 9:
		t.Held, t.Words = true, fmt.Sprintf("a program that took more than %s was killed", trialMemory)
	case end.code == exitedCode && end.status == trialBroke:
		t.Words = fmt.Sprintf("a program with %s took %s and lived", trialMemory, trialTakes)
	default:
		return untried(t.Of, end.unclear())
	}
	return t
}

// cpu tries to run more than it may.
func (l *laboratory) cpu(ctx context.Context) Trial {
	end, err := l.run(ctx, limitCPUQuota, Limits{CPUQuota: trialQuota}, false)
	t := Trial{Of: limitCPUQuota, Tried: true}
	switch {
	case err != nil:
		return untried(t.Of, err)
	case end.code != exitedCode || end.status < trialShare:
		return untried(t.Of, end.unclear())
	}
	used := quantity.Percent(end.status - trialShare)
	t.Held = used <= 2*trialQuota
	t.Words = fmt.Sprintf("a program with %s of a CPU had %s", trialQuota, used)
	return t
}

// devices tries to open what is denied.
func (l *laboratory) devices(ctx context.Context) Trial {
	end, err := l.run(ctx, limitDevices, Limits{}, true)
	t := Trial{Of: limitDevices, Tried: true}
	switch {
	case err != nil:
		return untried(t.Of, err)
	case end.code == exitedCode && end.status == trialHeld:
		t.Held, t.Words = true, "a device that was denied did not open"
	case end.code == exitedCode && end.status == trialBroke:
		t.Words = "a device that was denied opened"
	default:
		return untried(t.Of, end.unclear())
	}
	return t
}

// freeze looks whether a frozen program goes on.
func (l *laboratory) freeze(ctx context.Context) Trial {
	name, _, err := l.start(ctx, trialFreeze, Limits{}, false)
	if err != nil {
		return untried(trialFreeze, err)
	}
	went, err := l.wentOn(ctx, name)
	if err != nil {
		return untried(trialFreeze, err)
	}
	if went > frozenSlack {
		return Trial{trialFreeze, true, false, fmt.Sprintf("a program that was frozen used %s of CPU time", went.Round(time.Millisecond))}
	}
	return Trial{trialFreeze, true, true, "a program that was frozen stood still"}
}

// frozenFor is how long it is looked whether a frozen program goes on, frozenSlack how
// much CPU time it may use meanwhile: the counters lag behind.
const (
	frozenFor   = 300 * time.Millisecond
	frozenSlack = 30 * time.Millisecond
)

// wentOn freezes a unit that burns the CPU, and returns how much of it that had then.
func (l *laboratory) wentOn(ctx context.Context, name string) (went time.Duration, err error) {
	var path string
	for path == "" { // until systemd has begun with it
		if err := l.get(ctx, unitPath(name), serviceIface, "ControlGroup", &path); err != nil {
			return 0, err
		}
		if err := sleep(ctx, freezeRound); err != nil {
			return 0, errors.New("its program did not begin")
		}
	}
	m := New(Options{User: l.host.User})
	m.host, m.conn = l.host, l.conn
	g := group{l.groups, path}
	for g.cpuTime() == 0 {
		if err := sleep(ctx, freezeRound); err != nil {
			return 0, errors.New("its program did not begin")
		}
	}
	if err := m.freezeGroup(ctx, l.conn, name, g); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.thaw(context.WithoutCancel(ctx), l.conn, name)) }()
	before := g.cpuTime()
	if err := sleep(ctx, frozenFor); err != nil {
		return 0, err
	}
	return g.cpuTime() - before, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// clean stops what is left, with its slice, and waits until systemd has forgotten all of
// it. It asks for that once a second: a busy systemd is not to get more to do.
func (l *laboratory) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, trialClean)
	defer cancel()
	for round := 0; ; round++ {
		units, err := l.list(ctx, l.name+"*")
		if err != nil {
			return fmt.Errorf("cannot clean up after the trials: %w", err)
		}
		units = slices.DeleteFunc(units, listedUnit.stub)
		if len(units) == 0 {
			return nil
		}
		if round%10 == 0 {
			var job dbus.ObjectPath
			_ = l.manager(ctx, "StopUnit", []any{l.name + ".slice", "replace"}, &job) // it is looked at again
		}
		if sleep(ctx, 100*time.Millisecond) != nil {
			var names []string
			for _, u := range units {
				names = append(names, u.Name)
			}
			return fmt.Errorf("cannot clean up after the trials: %s is left", strings.Join(names, ", "))
		}
	}
}
