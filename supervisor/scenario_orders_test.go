package supervisor_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// orderLimit is how long an order may take on real systemd.
const orderLimit = 20 * time.Second

func (h *house) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), orderLimit)
	h.Cleanup(cancel)
	return ctx
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// rewrite gives the configuration that a house reads again another text.
func (h *house) rewrite(text string) {
	h.Helper()
	report, err := h.Report(h.ctx())
	h.must(err)
	h.must(os.WriteFile(report.Config, []byte(strings.ReplaceAll(text, "PROGRAM", h.program)), 0o600))
}

// An experiment that no file names runs, is refused twice, outlives brainjar, and
// is forgotten when it is told to be.
func submission(st stage) {
	st.book = newBook()
	text := head + experiment("a", "", "sleep=1h")
	h := st.begin(text)
	h.awaitPhase(supervisor.Running, 10*time.Second, "a")
	keys := config.Keys{"command": []any{st.program, "workload", "sleep=1h"}, "memory_max": "64M", "after": map[string]any{"a": "started"}}
	h.must(h.Submit(h.ctx(), "new", supervisor.Submission{Keys: keys, Owner: "ada"}))
	h.awaitPhase(supervisor.Running, 10*time.Second, "new")
	before := h.status("new")
	if before.Submission == nil || before.Submission.Owner != "ada" || before.MemoryMax != 64*quantity.MiB {
		st.Errorf("stands %+v", before)
	}
	for id, want := range map[string]error{"new": supervisor.ErrExists, "a": supervisor.ErrExists} {
		if err := h.Submit(h.ctx(), id, supervisor.Submission{Keys: keys}); !errors.Is(err, want) {
			st.Errorf("submitted %s again: %v, want %v", id, err, want)
		}
	}
	for _, bad := range []config.Keys{{"command": []any{"true"}, "memory_mx": "64M"}, {"command": []any{"true"}, "memory_max": "900T"}} {
		if err := h.Submit(h.ctx(), "bad", supervisor.Submission{Keys: bad}); err == nil {
			st.Errorf("submitted %v", bad)
		}
	}
	if err := h.Supervisor.Forget(h.ctx(), "new"); !errors.Is(err, supervisor.ErrRunning) {
		st.Errorf("forgot what runs: %v", err)
	}
	h.leave()
	second := st.begin(text)
	second.awaitPhase(supervisor.Running, 10*time.Second, "a", "new")
	second.awaitReady()
	if after := second.status("new"); after.Unit.Invocation != before.Unit.Invocation || after.Run != 1 {
		st.Errorf("before %+v\nafter %+v", before, after)
	}
	second.must(second.Supervisor.Stop(second.ctx(), "new"))
	second.awaitPhase(supervisor.Stopped, 10*time.Second, "new")
	if err := second.Submit(second.ctx(), "new", supervisor.Submission{Keys: keys, Owner: "eve", Confined: true}); !errors.Is(err, supervisor.ErrNotYours) {
		st.Errorf("somebody else took its place: %v", err)
	}
	second.must(second.Supervisor.Forget(second.ctx(), "new"))
	if _, err := second.Report(second.ctx(), "new"); !errors.Is(err, supervisor.ErrUnknown) {
		st.Errorf("is still known: %v", err)
	}
	second.must(second.Submit(second.ctx(), "new", supervisor.Submission{Keys: keys}))
	second.awaitPhase(supervisor.Running, 10*time.Second, "new")
	if run := second.status("new").Run; run != 2 {
		st.Errorf("run %d, want 2: numbers are given once", run)
	}
	second.drain()
}

// An id that no table names is made from [template]; other keys hold until they are
// taken back, also for the next brainjar.
func templates(st stage) {
	st.book = newBook()
	text := head + "[template]\ncommand = [\"PROGRAM\", \"workload\", \"sleep={config}\"]\n" + experiment("a", "autostart = false", "sleep=1h")
	h := st.begin(text)
	h.awaitReady()
	o := supervisor.Overrides{Config: "1h", Keys: config.Keys{"memory_max": "64M", "environment": map[string]any{"X": "1"}}}
	h.must(h.StartWith(h.ctx(), "made", "", o, false))
	h.awaitPhase(supervisor.Running, 10*time.Second, "made")
	if s := h.status("made"); s.MemoryMax != 64*quantity.MiB || s.Config.Environment["X"] != "1" || !strings.HasSuffix(s.Config.Command[2], "=1h") {
		st.Errorf("stands %+v", s)
	}
	if err := h.StartWith(h.ctx(), "made", "", supervisor.Overrides{Keys: config.Keys{"memory_max": "96M"}}, false); !errors.Is(err, supervisor.ErrRunning) {
		st.Errorf("started with other keys while it runs: %v", err)
	}
	h.must(h.StartWith(h.ctx(), "made", "", o, false)) // nothing differs
	for _, id := range []string{"a", "other"} {        // configured, and from [template]
		huge := supervisor.Overrides{Config: "1h", Keys: config.Keys{"memory_max": "900T"}}
		if err := h.StartWith(h.ctx(), id, "", huge, false); !errors.Is(err, supervisor.ErrNeverFits) {
			st.Errorf("started %s with more memory than there is: %v", id, err)
		}
	}
	h.must(h.StartWith(h.ctx(), "a", "", supervisor.Overrides{Keys: config.Keys{"memory_max": "48M"}}, false))
	h.awaitPhase(supervisor.Running, 10*time.Second, "a")
	h.rewrite(strings.Replace(text, "[template]", "[template]\ncpu_quota = \"50%\"", 1))
	plan, err := h.Reload(h.ctx(), false)
	h.must(err)
	if len(plan.Steps) != 1 || plan.Steps[0].Experiment != "made" || h.status("made").Config.CPUQuota != 50 {
		st.Errorf("the template has changed: %+v, %+v", plan, h.status("made"))
	}
	h.leave()
	second := st.begin(text)
	second.awaitPhase(supervisor.Running, 10*time.Second, "a", "made")
	if a, made := second.status("a"), second.status("made"); a.MemoryMax != 48*quantity.MiB || made.MemoryMax != 64*quantity.MiB {
		st.Errorf("limits %v and %v", a.MemoryMax, made.MemoryMax)
	}
	second.drain()
}

// A process that runs already gets limits and can be stopped; how it exited is not
// known, and it is not started again.
func adoptedProcess(st stage) {
	st.book = newBook()
	h := st.begin(head)
	h.awaitReady()
	sleep := exec.Command("/bin/sleep", "3600")
	transienttest.Execute(st, sleep)
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }()
	h.must(h.Adopt(h.ctx(), "found", sleep.Process.Pid, "ada", config.Keys{"memory_max": "48M"}))
	h.awaitPhase(supervisor.Running, 10*time.Second, "found")
	if s := h.status("found"); s.MemoryMax != 48*quantity.MiB || s.Unit.Kind != transient.Scope || s.Config.Command[1] != "3600" {
		st.Errorf("stands %+v, with command %q", s, s.Config.Command)
	}
	if err := h.Adopt(h.ctx(), "other", 1, "ada", nil); err == nil {
		st.Error("adopted init")
	}
	if err := h.Adopt(h.ctx(), "other", sleep.Process.Pid, "ada", nil); st.real && (err == nil || !strings.Contains(err.Error(), "experiment found")) {
		st.Errorf("took a process away from another experiment: %v", err)
	}
	h.must(h.Supervisor.Stop(h.ctx(), "found"))
	h.awaitPhase(supervisor.Stopped, 10*time.Second, "found")
	h.drain()
}

// Limits change while it runs, where they fit.
func settings(st stage) {
	st.book = newBook()
	h := st.begin(head + experiment("a", "", "sleep=1h") + experiment("idle", "autostart = false", "sleep=1h"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "a")
	before := h.status("a")
	h.must(h.Set(h.ctx(), "a", config.Keys{"memory_max": "80M", "cpu_quota": "50%", "priority": 3}, false))
	after := h.status("a")
	if after.MemoryMax != 80*quantity.MiB || after.Config.CPUQuota != 50 || after.Config.Priority != 3 || after.Unit.MainPID != before.Unit.MainPID {
		st.Errorf("before %+v\nafter %+v", before, after)
	}
	h.must(h.Set(h.ctx(), "a", config.Keys{"memory_max": nil, "cpu_quota": nil}, false))
	if s := h.status("a"); s.MemoryMax != before.MemoryMax || s.Config.CPUQuota != 0 || s.Config.Priority != 3 {
		st.Errorf("after it was taken back: %+v", s)
	}
	for _, more := range []config.Keys{{"memory_max": "33M"}, {"priority": 4}, {"memory_swap_max": "1M"}, {"tasks_max": 1000}, {"cpu_weight": 101}} {
		if err := h.Set(h.ctx(), "a", more, true); !errors.Is(err, supervisor.ErrAbove) {
			st.Errorf("set %v within what is configured: %v", more, err)
		}
	}
	h.must(h.Set(h.ctx(), "a", config.Keys{"memory_max": "31M", "cpu_quota": "70%", "priority": -1}, true))
	h.must(h.Set(h.ctx(), "idle", config.Keys{"memory_max": "80M"}, false))
	for _, bad := range []config.Keys{{"command": []any{"true"}}, {"memory_max": "nonsense"}, {"memory_max": "900T"}} {
		if err := h.Set(h.ctx(), "a", bad, false); err == nil {
			st.Errorf("set %v", bad)
		}
	}
	h.drain()
}

// A reload touches what differs, and nothing else.
func reloading(st stage) {
	st.book = newBook()
	same := experiment("same", "", "sleep=1h")
	h := st.begin(head + same + experiment("limit", "", "sleep=1h") + experiment("goes", "", "sleep=1h") +
		experiment("late", "", "sleep=1h") + experiment("ended", `restart.policy = "no"`, "exit=1"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "same", "limit", "goes", "late")
	h.awaitPhase(supervisor.Failed, 10*time.Second, "ended")
	before := map[string]supervisor.Status{"same": h.status("same"), "limit": h.status("limit"), "late": h.status("late")}

	h.rewrite("not TOML")
	if _, err := h.Reload(h.ctx(), false); err == nil {
		st.Error("reloaded nonsense")
	}
	h.rewrite(strings.Replace(head, "max_concurrent = 8", "max_concurrent = 9", 1) + same + experiment("limit", `memory_max = "80M"`, "sleep=1h") +
		experiment("late", `stop_timeout = "7s"`, "sleep=1h") + experiment("ended", `restart.policy = "no"`, "sleep=1h") + experiment("new", "", "sleep=1h"))
	plan, err := h.Plan(h.ctx())
	h.must(err)
	var got []string
	for _, step := range plan.Steps {
		got = append(got, strings.TrimSpace(string(step.Effect)+" "+step.Experiment+" "+strings.Join(step.Keys, ",")))
	}
	want := []string{"change  supervisor.max_concurrent", "change limit memory_max", "restart late stop_timeout", "change ended command", "add new", "remove goes"}
	if !slices.Equal(got, want) {
		st.Errorf("plan %q\nwant %q", got, want)
	}
	if s := h.status("limit"); s.MemoryMax == 80*quantity.MiB {
		st.Error("a plan has changed something")
	}
	done, err := h.Reload(h.ctx(), false)
	h.must(err)
	if len(done.Steps) != len(plan.Steps) {
		st.Errorf("done %+v", done)
	}
	h.awaitPhase(supervisor.Running, 10*time.Second, "new", "ended")
	h.await("goes has gone", 10*time.Second, func() bool { _, err := h.Report(h.ctx(), "goes"); return errors.Is(err, supervisor.ErrUnknown) })
	for id, was := range before {
		if is := h.status(id); is.Unit.Invocation != was.Unit.Invocation || is.Unit.MainPID != was.Unit.MainPID || is.Phase != supervisor.Running {
			st.Errorf("before %+v\nafter %+v", was, is)
		}
	}
	h.await("the limit is in force", 10*time.Second, func() bool { return h.status("limit").MemoryMax == 80*quantity.MiB })
	if late := h.status("late"); !slices.Equal(late.Outdated, []string{"stop_timeout"}) {
		st.Errorf("outdated %q", late.Outdated)
	}
	for _, look := range []func(context.Context) (supervisor.Plan, error){h.Plan, func(ctx context.Context) (supervisor.Plan, error) { return h.Reload(ctx, false) }} {
		left, err := look(h.ctx())
		h.must(err)
		if len(left.Steps) != 1 || left.Steps[0].Experiment != "late" || left.Steps[0].Effect != supervisor.Renew || left.Steps[0].Words != "takes effect with its next run: stop_timeout" {
			st.Errorf("what runs outdated is left to do: %+v", left)
		}
	}
	if end := h.ends("goes"); len(end) != 1 || end[0].Result != transient.Stopped {
		st.Errorf("ended with %+v", end)
	}
	h.rewrite(strings.ReplaceAll(head, "max_concurrent = 8", "max_concurrent = 9") + same + experiment("limit", `memory_max = "80M"`, "sleep=1h") +
		experiment("late", `stop_timeout = "8s"`, "sleep=1h") + experiment("ended", `restart.policy = "no"`, "sleep=1h") + experiment("new", "", "sleep=1h"))
	_, err = h.Reload(h.ctx(), true)
	h.must(err)
	h.await("late has been restarted", 20*time.Second, func() bool { s := h.status("late"); return s.Run == 2 && s.Phase == supervisor.Running })
	if is := h.status("same"); is.Unit.Invocation != before["same"].Unit.Invocation {
		st.Error("same was restarted")
	}
	h.drain()
}
