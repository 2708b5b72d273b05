package transient

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5"
)

// TestFrozenBySomebodyElse: a person's freeze and thaw are told once, when Usage looks, or
// when systemd sends a signal; one that is older than what the kernel says tells nothing.
func TestFrozenBySomebodyElse(t *testing.T) {
	m := New(Options{RecordDir: t.TempDir()})
	m.host = Host{Unified: true, Version: 252}
	root := t.TempDir()
	m.cgroups = cgroups{unified: true, mounts: map[string]cgroupMount{"": {root, "/"}}}
	u := &tracked{unit: Unit{Name: "brainjar-x.service", Invocation: anInvocation, Kind: Service}, started: true, state: unitState{began: 10}}
	m.units[unitPath(u.unit.Name)] = u
	dir := filepath.Join(root, Slice, u.unit.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(file, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("memory.current", "0\n")
	write("pids.current", "1\n")
	usage := func() {
		t.Helper()
		if _, err := m.Usage(u.unit.Name); err != nil {
			t.Fatal(err)
		}
	}
	signal := func(state string) {
		t.Helper()
		if err := m.changed(t.Context(), nil, unitPath(u.unit.Name), unitIface, unitProperties(t, "active", state)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name, kernel string
		look         func()
		want         []Event
	}{
		{"it runs", "populated 1\nfrozen 0\n", usage, nil},
		{"a person freezes it", "populated 1\nfrozen 1\n", usage, []Event{Frozen{u.unit.Name, true}}},
		{"an old signal", "populated 1\nfrozen 1\n", func() { signal("running") }, nil},
		{"a person thaws it", "populated 1\nfrozen 0\n", func() { signal("running") }, []Event{Frozen{u.unit.Name, false}}},
		{"and freezes it", "populated 1\nfrozen 1\n", func() { signal("frozen") }, []Event{Frozen{u.unit.Name, true}}},
		{"looked at again", "populated 1\nfrozen 1\n", usage, nil},
	} {
		write("cgroup.events", step.kernel)
		step.look()
		var told []Event
		for event, ok := m.stream.take(); ok; event, ok = m.stream.take() {
			told = append(told, event)
		}
		if len(told) != len(step.want) || len(told) == 1 && told[0] != step.want[0] {
			t.Errorf("%s: told %+v, want %+v", step.name, told, step.want)
		}
	}
}

// unitProperties are those of the Unit interface for anInvocation.
func unitProperties(t *testing.T, active, freezer string) values {
	t.Helper()
	id, err := hex.DecodeString(anInvocation)
	if err != nil {
		t.Fatal(err)
	}
	return values{
		"ActiveState": dbus.MakeVariant(active), "InvocationID": dbus.MakeVariant(id), "FreezerState": dbus.MakeVariant(freezer),
		"ConditionTimestampMonotonic": dbus.MakeVariant(uint64(10)), "StateChangeTimestampMonotonic": dbus.MakeVariant(uint64(11)),
	}
}
