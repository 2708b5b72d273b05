package transient

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

const anInvocation = "0123456789abcdef0123456789abcdef"

// TestRecorder: the recorder writes what its environment says, also where
// systemd cannot be asked, and only where it may.
func TestRecorder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir) // where no service manager is
	environment := map[string]string{
		"INVOCATION_ID": anInvocation, "SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "7",
	}
	get := func(name string) string { return environment[name] }
	args := []string{dir, "user", "x", "12", "3"}
	if err := writeRecord(args, get); err != nil {
		t.Fatal(err)
	}
	r, err := readRecord(dir, anInvocation)
	if err != nil {
		t.Fatal(err)
	}
	if r.Unit != "brainjar-x.service" || r.Run != 12 || r.Attempt != 3 || r.StopRequested != nil || time.Since(r.Ended) > time.Minute {
		t.Errorf("%+v", r)
	}
	if f := r.facts(); f.code != cldExited || f.status != 7 || f.result != "exit-code" || f.wasActive {
		t.Errorf("%+v", f)
	}
	for _, invocation := range []string{"", "../../etc/passwd", strings.ToUpper(anInvocation), anInvocation + "0"} {
		environment["INVOCATION_ID"] = invocation
		if err := writeRecord(args, get); err == nil {
			t.Errorf("wrote a record of %q", invocation)
		}
	}
	for _, wrong := range [][]string{nil, {dir}, {dir, "user", "x", "y", "0"}} {
		if err := writeRecord(wrong, get); err == nil {
			t.Errorf("wrote a record for %q", wrong)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestRecordDistrusts: what an environment file could have set is no witness.
func TestRecordDistrusts(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir) // where no service manager is
	lies := map[string]string{"INVOCATION_ID": anInvocation, "SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}
	if err := writeRecord([]string{dir, "user", "x", "12", "3", distrustEnvironment}, func(name string) string { return lies[name] }); err != nil {
		t.Fatal(err)
	}
	r, err := readRecord(dir, anInvocation)
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := classify(ending{record: r}); o.Result != Lost {
		t.Errorf("%+v", o)
	}
}

// TestRecordFiles: what is not a record of that invocation is refused.
func TestRecordFiles(t *testing.T) {
	dir := t.TempDir()
	file := recordFile(dir, anInvocation)
	for name, content := range map[string]string{
		"half":       `{"unit":"brainjar-x.service","exp`,
		"another":    `{"unit":"brainjar-x.service","experiment":"x","invocation":"ffffffffffffffffffffffffffffffff"}`,
		"other unit": `{"unit":"sshd.service","experiment":"x","invocation":"` + anInvocation + `"}`,
		"huge":       strings.Repeat(" ", maxRecord+1),
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := readRecord(dir, anInvocation); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, file); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecord(dir, anInvocation); err == nil {
		t.Error("followed a link")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"unit":"brainjar-x.service","experiment":"x","invocation":"` + anInvocation + `","exit_status":"TERM","exit_code":"killed"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b, anInvocation)
		if err != nil {
			return
		}
		if o, _ := classify(ending{record: r}); o.Result == "" {
			t.Errorf("no result for %s", b)
		}
	})
}

// TestUnitState: a unit that is only about to start is inactive too.
func TestUnitState(t *testing.T) {
	id := make([]byte, 16)
	id[15] = 1
	state := func(active string, began, changed uint64) unitState {
		return readUnitState(values{
			"ActiveState": dbus.MakeVariant(active), "InvocationID": dbus.MakeVariant(id),
			"ConditionTimestampMonotonic":   dbus.MakeVariant(began),
			"StateChangeTimestampMonotonic": dbus.MakeVariant(changed),
			"Job": dbus.MakeVariantWithSignature([]any{uint32(7), dbus.ObjectPath("/job")}, // as it is decoded
				dbus.ParseSignatureMust("(uo)")),
		})
	}
	for _, test := range []struct {
		active         string
		began, changed uint64
		over, running  bool
	}{
		{"inactive", 10, 0, false, false}, // about to start for the first time
		{"failed", 10, 5, false, false},   // about to start again
		{"activating", 10, 11, false, false},
		{"active", 10, 12, false, true},
		{"reloading", 10, 12, false, true},
		{"deactivating", 10, 13, false, false},
		{"inactive", 10, 14, true, false},
		{"failed", 10, 14, true, false},
	} {
		if s := state(test.active, test.began, test.changed); s.over() != test.over || s.running() != test.running {
			t.Errorf("%+v: over %v, running %v", test, s.over(), s.running())
		}
	}
	if s := readUnitState(values{}); s != (unitState{}) {
		t.Errorf("of nothing: %+v", s)
	}
	if s := state("active", 1, 2); s.invocation != strings.Repeat("0", 31)+"1" || s.job != 7 {
		t.Errorf("%+v", s)
	}
	id[15] = 0
	if s := state("active", 1, 2); s.invocation != "" {
		t.Errorf("without an invocation: %+v", s)
	}
}

func TestIdentities(t *testing.T) {
	experiment, run, attempt := identity([]string{"A=1", "BRAINJAR_EXPERIMENT=a=b", "BRAINJAR_RUN=7", "BRAINJAR_ATTEMPT=2"})
	if experiment != "a=b" || run != 7 || attempt != 2 {
		t.Errorf("%q %d %d", experiment, run, attempt)
	}
	spec := Spec{Experiment: "x", Kind: Scope, Run: 12, Attempt: 3, Description: "a (run 5, attempt 6) of (it"}
	props := scopeProperties(spec, nil, 1)
	experiment, run, attempt = scopeIdentity(spec.Unit(), props[0].Value.Value().(string))
	if experiment != "x" || run != 12 || attempt != 3 {
		t.Errorf("%q %d %d", experiment, run, attempt)
	}
	if _, run, _ := scopeIdentity(spec.Unit(), "by a person"); run != 0 {
		t.Errorf("run %d", run)
	}
}

// TestStreamKeepsOrder: only status texts that nobody took are replaced.
func TestStreamKeepsOrder(t *testing.T) {
	s := newStream()
	for _, e := range []Event{Synced{}, Status{Unit: "a", Text: "1"}, Status{Unit: "a", Text: "2"}, Status{Unit: "b", Text: "1"}, Status{Unit: "a", Text: "3"}, Synced{}} {
		s.put(e)
	}
	var got []Event
	for e, ok := s.take(); ok; e, ok = s.take() {
		got = append(got, e)
	}
	want := []Event{Synced{}, Status{Unit: "a", Text: "2"}, Status{Unit: "b", Text: "1"}, Status{Unit: "a", Text: "3"}, Synced{}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestHidden(t *testing.T) {
	for _, args := range [][]string{nil, {"run", "config.toml"}, {"--help"}} {
		if _, handled := Hidden(args); handled {
			t.Errorf("%q was taken", args)
		}
	}
	if code, handled := Hidden([]string{"record"}); !handled || code == 0 {
		t.Errorf("record without arguments: %d, %v", code, handled)
	}
}

// TestRecordDirGone: the recorder makes the directory again, for its user alone.
func TestRecordDirGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "brainjar", "ended")
	r := record{Unit: "brainjar-x.service", Experiment: "x", Run: 1, Invocation: anInvocation}
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := readRecord(dir, anInvocation); err != nil || got.Run != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}
