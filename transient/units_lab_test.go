//go:build lab

package transient_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// TestSandboxes: this systemd accepts every property that is sent, and the
// program runs.
func TestSandboxes(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	swap := quantity.Bytes(0)
	full := func(name string, sandbox transient.Sandbox) transient.Spec {
		spec := b.spec(name, "exit=3")
		spec.Command = []string{"/bin/sh", "-c", "exit 3"}
		spec.User, spec.Group, spec.SupplementaryGroups = "nobody", "nogroup", []string{"video"}
		spec.Sandbox, spec.WorkingDirectory, spec.WritablePaths = sandbox, "/var/tmp", []string{"/var/tmp"}
		spec.Environment = []string{"A=b c", "D=$HOME"}
		spec.EnvironmentFiles = []string{"-/nonexistent/file"}
		spec.OpenFiles, spec.RuntimeMax, spec.Watchdog = 1000, time.Hour, time.Hour
		spec.LogRate = transient.LogRate{Burst: 100, Interval: time.Second}
		spec.Devices = []transient.Device{{Path: "/dev/null", Access: "rw"}}
		spec.Limits = transient.Limits{
			MemoryMax: 256 << 20, MemoryHigh: 200 << 20, MemorySwapMax: &swap, CPUQuota: 150,
			CPUWeight: 50, CPUs: []int{0}, IOWeight: 50, TasksMax: 100,
		}
		spec.AllowUnenforced = true
		return spec
	}
	dynamic := full("dynamic", transient.SandboxDefault)
	dynamic.User, dynamic.Group, dynamic.DynamicUser = "", "", true
	dynamic.WorkingDirectory, dynamic.WritablePaths = "", nil
	for _, spec := range []transient.Spec{
		full("off", transient.SandboxOff), full("default", transient.SandboxDefault),
		full("strict", transient.SandboxStrict), dynamic,
	} {
		if o := b.ended(b.start(spec)).Outcome; o.Result != transient.ExitCode || o.ExitCode != 3 {
			t.Errorf("%s: %+v", spec.Experiment, o)
		}
	}
	b.forget()
	_ = os.RemoveAll("/var/lib/private/brainjar-" + dynamic.Experiment)
	_ = os.RemoveAll("/var/cache/private/brainjar-" + dynamic.Experiment)
}

// TestSliceBudget: the budget holds from the first unit on, and again after
// somebody took it away.
func TestSliceBudget(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	eventually(t, "an empty slice", func() bool {
		entries, err := filepath.Glob("/sys/fs/cgroup/*/brainjar.slice/brainjar-*")
		return err == nil && len(entries) == 0
	})
	budget := quantity.Bytes(512+b.rand.IntN(512)) * quantity.MiB
	if _, err := b.SetSlice(t.Context(), transient.Limits{MemoryMax: budget}); err != nil {
		t.Fatal(err)
	}
	effective := func() string {
		for _, file := range []string{
			"/sys/fs/cgroup/memory/brainjar.slice/memory.limit_in_bytes", "/sys/fs/cgroup/brainjar.slice/memory.max",
		} {
			if text, err := os.ReadFile(file); err == nil {
				return strings.TrimSpace(string(text))
			}
		}
		return "no file"
	}
	want := strconv.FormatUint(uint64(budget), 10)
	for i := range 2 {
		unit := b.start(b.spec(fmt.Sprint(i), "sleep=1h"))
		b.started(unit)
		if got := effective(); got != want {
			t.Errorf("unit %d: the slice has %s, want %s", i, got, want)
		}
		systemctl(t, "set-property", "--runtime", "brainjar.slice", "MemoryMax=infinity")
	}
	b.start(b.spec("last", "exit=0"))
	if got := effective(); got != want {
		t.Errorf("after it was taken away: %s, want %s", got, want)
	}
	if _, err := b.SetSlice(t.Context(), transient.Limits{}); err != nil {
		t.Error(err)
	}
	systemctl(t, "stop", "brainjar.slice")
	for i := range 2 {
		if o := b.ended(b.spec(fmt.Sprint(i)).Unit()).Outcome; o.Result != transient.Stopped {
			t.Errorf("by the stop of the slice: %+v", o)
		}
	}
	b.ended(b.spec("last").Unit())
	b.forget()
}

// reportOwnJob is the program of TestOwnJob: it writes what job there is on
// its unit when it gets SIGTERM.
func reportOwnJob(file string) int {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	m := transient.New(transient.Options{RecordDir: file + ".records"})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() { _ = m.Run(ctx) }()
	if _, err := m.Host(ctx); err != nil {
		return 1
	}
	write := func() {
		var job string
		err := transient.ErrDisconnected
		for ctx.Err() == nil && err != nil {
			job, err = m.OwnJob(ctx)
		}
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintf(f, "job %q\n", job)
			f.Close()
		}
	}
	write()
	<-terminated
	write()
	return 0
}

func TestOwnJob(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jobs")
	unit := "own-job-test.service"
	out, err := exec.Command("systemd-run", "--unit", unit, executable(t), "own-job", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := func(n int) func() bool {
		return func() bool {
			b, _ := os.ReadFile(file)
			return strings.Count(string(b), "\n") == n
		}
	}
	eventually(t, "a first line", lines(1))
	systemctl(t, "restart", unit)
	eventually(t, "the line of the second", lines(3))
	systemctl(t, "stop", unit)
	b, err := os.ReadFile(file)
	if want := "job \"\"\njob \"restart\"\njob \"\"\njob \"stop\"\n"; err != nil || string(b) != want {
		t.Errorf("%q, %v, want %q", b, err, want)
	}
}

// TestScopes: what a scope is more than the contract says.
func TestScopes(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, transient.Options{RecordDir: dir})
	b.synced(1)
	scope := func(name string, steps ...string) transient.Spec {
		spec := b.spec(name, steps...)
		spec.Kind = transient.Scope
		return spec
	}
	leaves := scope("leaves")
	leaves.Command = []string{"/bin/sh", "-c", "sleep 3600 & exit 4"}
	leaves.StopTimeout = time.Second
	if o := b.ended(b.start(leaves)).Outcome; o.ExitCode != 4 || o.StopRequested || o.CPUTime == 0 {
		t.Errorf("one that leaves a child behind: %+v", o)
	}
	person := scope("person", "sleep=1h")
	b.started(b.start(person))
	systemctl(t, "stop", person.Unit())
	if o := b.ended(person.Unit()).Outcome; o.Result != transient.Stopped || !o.StopRequested {
		t.Errorf("stopped by a person: %+v", o)
	}
	spec := scope("user", "exit=0")
	spec.User, spec.OpenFiles, spec.WorkingDirectory = "nobody", 777, "/var/tmp"
	spec.Limits = transient.Limits{MemoryMax: 64 << 20, TasksMax: 50}
	spec.Command = []string{"/bin/sh", "-c", `
		test "$(id -un) $(ulimit -n) $(pwd) $(cat /proc/self/oom_score_adj) $BRAINJAR_RUN" = "nobody 777 /var/tmp 500 ` + strconv.Itoa(spec.Run) + `" &&
		echo "heard from $$" && grep -q ` + spec.Unit() + ` /proc/self/cgroup`}
	if o := b.ended(b.start(spec)).Outcome; o.Result != transient.Success {
		t.Errorf("user and limits: %+v", o)
	}
	if e := b.started(spec.Unit()); e.Effective.MemoryMax != 64<<20 || e.Effective.TasksMax != 50 || e.Unit.MainPID == 0 {
		t.Errorf("%+v", e)
	}
	eventually(t, "a line in the journal", func() bool {
		out, err := exec.Command("journalctl", "-q", "-o", "cat", "-t", "brainjar-"+spec.Experiment).Output()
		return err == nil && strings.HasPrefix(string(out), "heard from ")
	})

	sleep := exec.Command("/bin/sleep", "3600")
	transienttest.Execute(t, sleep)
	adopted := scope("adopted")
	process, username, command, err := transient.FindProcess(sleep.Process.Pid)
	if err != nil || username != "root" || !slices.Equal(command[1:], []string{"3600"}) {
		t.Fatalf("found %+v of %s, %q, %v", process, username, command, err)
	}
	gone := process
	gone.Began--
	adopted.Process, adopted.Command = &gone, command
	if err := b.Start(t.Context(), adopted); !errors.Is(err, transient.ErrNoProcess) {
		t.Errorf("adopted a process whose number was given to another: %v", err)
	}
	adopted.Process = &process
	b.start(adopted)
	b.started(adopted.Unit())
	b.die()
	second := newBench(t, transient.Options{RecordDir: dir})
	second.synced(1)
	if e := second.started(adopted.Unit()); !e.Found || e.Unit.Run != adopted.Run || e.Unit.Attempt != adopted.Attempt {
		t.Errorf("%+v", e)
	}
	if err := second.Kill(t.Context(), adopted.Unit(), transient.Main, syscall.SIGUSR1); err != nil {
		t.Error(err)
		_ = sleep.Process.Kill()
	}
	_ = sleep.Wait()
	if o := second.ended(adopted.Unit()).Outcome; o.Result != transient.Lost || o.Detail == "" {
		t.Errorf("the end of an adopted process: %+v", o)
	}
	second.forget()
	b.prefix, second.prefix = second.prefix, b.prefix
	if left := second.left(); left != "" {
		t.Errorf("units left over:\n%s", left)
	}
}

// TestOutOfMemoryPeak: the peak comes from the kernel, through the record.
func TestOutOfMemoryPeak(t *testing.T) {
	b := newBench(t, transient.Options{})
	b.synced(1)
	limit := quantity.Bytes(40+b.rand.IntN(40)) * quantity.MiB
	spec := b.spec("oom", "alloc="+(2*limit).String())
	spec.Limits = transient.Limits{MemoryMax: limit}
	o := b.ended(b.start(spec)).Outcome
	if o.Result != transient.OOMKill || o.Signal != syscall.SIGKILL || o.OOMKills != 1 || o.MemoryPeak < limit*9/10 {
		t.Errorf("limit %s: %+v", limit, o)
	}
	b.forget()
}
