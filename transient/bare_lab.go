//go:build lab

package transient

import (
	"context"
	"errors"

	sddbus "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// Bare runs specs by nothing but the D-Bus calls that each needs: the measure
// of what the Manager and the supervisor add. inFlight of them run at a time;
// a run is over when its outcome has been read. With execStart, the units get
// no property but ExecStart, and the outcome is in the signals alone.
func Bare(ctx context.Context, specs []Spec, recordDir string, recorder []string, inFlight int, execStart bool) (outcomes []Outcome, err error) {
	m := New(Options{RecordDir: recordDir, Recorder: recorder})
	if err := m.prepareRecords(); err != nil {
		return nil, err
	}
	c, err := dial(ctx, privateAddress(false), defaultCallTimeout, askVersion)
	if err != nil {
		return nil, err
	}
	defer c.close()
	groups, err := readCgroups()
	if err != nil {
		return nil, err
	}
	host, _, err := detectHost(ctx, c, false, groups)
	if err != nil {
		return nil, err
	}
	var r runners
	r.init(specs)
	for started, ended := 0, 0; ended < len(specs); {
		for ; started < len(specs) && started-ended < inFlight; started++ {
			spec := specs[started]
			props, _, err := properties(spec, host, m.recorder(spec))
			if err != nil {
				return nil, err
			}
			if execStart {
				props = []sddbus.Property{{Name: "ExecStart", Value: dbus.MakeVariant([]execStartCommand{{spec.Command[0], spec.Command, false}})}}
			}
			if _, err := m.create(ctx, c, spec.Unit(), props); err != nil {
				return nil, err
			}
		}
		select {
		case s, ok := <-c.signals:
			if !ok {
				return nil, errors.New("systemd closed the connection")
			}
			o, over, err := r.take(s, recordDir, execStart)
			if err != nil {
				return outcomes, err
			}
			if over {
				outcomes = append(outcomes, o)
				ended++
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return outcomes, nil
}

// execStartCommand is one element of ExecStart, signature (sasb).
type execStartCommand struct {
	Path   string
	Args   []string
	Ignore bool
}

// runners are the units that Bare waits for, by object path.
type runners struct {
	status map[dbus.ObjectPath]int
}

func (r *runners) init(specs []Spec) {
	r.status = make(map[dbus.ObjectPath]int, len(specs))
	for _, s := range specs {
		r.status[unitPath(s.Unit())] = -1
	}
}

// take reads one signal, and the record of a unit that has ended.
func (r *runners) take(s *dbus.Signal, recordDir string, execStart bool) (o Outcome, over bool, err error) {
	if s.Name != propsIface+".PropertiesChanged" || len(s.Body) < 2 {
		return o, false, nil
	}
	if _, ours := r.status[s.Path]; !ours {
		return o, false, nil
	}
	iface, _ := s.Body[0].(string)
	changed, _ := s.Body[1].(map[string]dbus.Variant)
	switch iface {
	case serviceIface:
		if status, ok := changed["ExecMainStatus"].Value().(int32); ok {
			r.status[s.Path] = int(status)
		}
	case unitIface:
		state := readUnitState(changed)
		if !state.over() {
			return o, false, nil
		}
		o.ExitCode = r.status[s.Path]
		delete(r.status, s.Path)
		if execStart {
			return o, true, nil
		}
		rec, err := readRecord(recordDir, state.invocation)
		if err != nil {
			return o, false, err
		}
		o.CPUTime, o.MemoryPeak = rec.CPUTime, rec.MemoryPeak
		return o, true, nil
	}
	return o, false, nil
}
