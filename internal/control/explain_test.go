package control

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"brainjar/internal/ledger"
	"brainjar/internal/quantity"
	"brainjar/supervisor"
)

// TestExplain: why an experiment stands where it does, in words that a person can act
// on, for each phase and each way to end.
func TestExplain(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	one, three, peak, ten := 1, 3, 8*quantity.GiB, 10.0
	queued := func(check supervisor.Check, reason string) Experiment {
		return Experiment{Phase: "queued", WaitsFor: string(check), Reason: reason, QueuedAt: ago(90 * time.Second)}
	}
	failed := func(reason string) Experiment {
		return Experiment{Phase: "failed", Reason: reason, MaxRestarts: 3}
	}
	ended := func(result string, more func(*lastRun)) *lastRun {
		r := &lastRun{Run: 3, StartedAt: ago(2 * time.Hour), EndedAt: ago(time.Hour), Result: result, MemoryMax: 8 * quantity.GiB}
		if more != nil {
			more(r)
		}
		return r
	}
	at := ago(time.Hour).Local().Format(time.DateTime)
	for _, test := range []struct {
		name   string
		e      Experiment
		s      Supervisor
		last   *lastRun
		say    string
		advise string
	}{
		{"idle", Experiment{Phase: "idle"}, Supervisor{}, nil,
			"a is not wanted: nobody has started it, and it does not start with brainjar.",
			"`brainjar start a` starts it, `brainjar enable a` lets it start with brainjar"},
		{"about to start", queued("", ""), Supervisor{}, nil, "a is about to be started.", ""},
		{"slots", queued(supervisor.CheckSlots, "4 of 4 running"), Supervisor{}, nil, "a has waited for 1m30s: 4 of 4 running.",
			"it starts when one of those that run has ended; max_concurrent of [supervisor] is how many may run"},
		{"budget", queued(supervisor.CheckBudget, "needs 8G, 6G of 48G left"), Supervisor{}, nil, "a has waited for 1m30s: needs 8G, 6G of 48G left.",
			"it starts when others have ended, or with a smaller memory_max; memory_budget of [supervisor] is what all have together"},
		{"memory", queued(supervisor.CheckMemory, "needs 8G, 6G of memory available"), Supervisor{}, nil, "a has waited for 1m30s: needs 8G, 6G of memory available.",
			"it starts when the machine has that much memory to give, or with a smaller memory_max; reserve of [memory] is what stays free"},
		{"dependency", queued(supervisor.CheckDependency, "after b_1: failed (exited with code 1)"), Supervisor{}, nil,
			"a has waited for 1m30s: after b_1: failed (exited with code 1).", "`brainjar why b_1` says more of that one"},
		{"client", queued(supervisor.CheckDependency, "for its client to come back"), Supervisor{}, nil, "a has waited for 1m30s: for its client to come back.", ""},
		{"place", queued(supervisor.CheckPlace, "the place of b is kept, it waited longer than 10m0s"), Supervisor{}, nil,
			"a has waited for 1m30s: the place of b is kept, it waited longer than 10m0s.", "it starts after that one; a higher priority would let it pass"},
		{"heat", queued(supervisor.CheckHold, "tj-thermal 76.2 °C, starts resume below 70 °C"), Supervisor{Hold: "tj-thermal 76.2 °C, starts resume below 70 °C"}, nil,
			"a has waited for 1m30s: tj-thermal 76.2 °C, starts resume below 70 °C.", "nothing is started until that has passed"},
		{"breaker", queued(supervisor.CheckHold, "circuit breaker: …"), Supervisor{Hold: "circuit breaker: …; `brainjar release --all` or a new start of brainjar resets it"}, nil,
			"a has waited for 1m30s: circuit breaker: ….", "look at those that failed, then `brainjar release --all`"},
		{"slice stopped", queued(supervisor.CheckHold, "brainjar.slice was stopped; `brainjar release --all` …"), Supervisor{Hold: "brainjar.slice was stopped; `brainjar release --all` …"}, nil,
			"a has waited for 1m30s: brainjar.slice was stopped; `brainjar release --all` ….", ""},
		{"starting", Experiment{Phase: "starting", Since: ago(3200 * time.Millisecond)}, Supervisor{}, nil, "a is being started, for 3.2s now.", ""},
		{"running", Experiment{Phase: "running", Run: 3, PID: 77, StartedAt: ago(3 * time.Hour), MemoryMax: 10 * quantity.GiB, MemoryPeak: &peak}, Supervisor{}, ended("success", nil),
			"a runs: run 3, for 3h0m0s, process 77.", ""},
		{"close to its limit", Experiment{Phase: "running", Run: 3, PID: 77, StartedAt: ago(80 * time.Hour), MemoryMax: 8 * quantity.GiB, MemoryPeak: &peak}, Supervisor{}, nil,
			"a runs: run 3, for 3 days, process 77.|Its memory has come close to the limit: peak 8G of 8G.", ""},
		{"outdated", Experiment{Phase: "running", Run: 3, PID: 77, StartedAt: ago(time.Hour), NeedsRestart: []string{"command", "user"}}, Supervisor{}, nil,
			"a runs: run 3, for 1h0m0s, process 77.|Its configuration has changed since it was started: command, user.", "`brainjar restart a` makes that take effect"},
		{"frozen", Experiment{Phase: "frozen", Since: ago(time.Minute)}, Supervisor{}, nil, "a has been frozen for 1m0s: its processes do not get the CPU.", "`brainjar thaw a` lets it go on"},
		{"stopping", Experiment{Phase: "stopping", Since: ago(5 * time.Second), Reason: "stop was asked for"}, Supervisor{}, nil, "a is being stopped, for 5s now: stop was asked for.", "`brainjar kill a` ends it at once"},
		{"backoff", Experiment{Phase: "backoff", Reason: "exited with code 1; restart 2 of 3 in 10s", Attempt: 2, MaxRestarts: 3, DueAt: now.Add(8 * time.Second)}, Supervisor{},
			ended("exit-code", func(r *lastRun) { r.ExitCode = &one }),
			"a starts again in 8s: exited with code 1.|That is restart 2 of 3.|Run 3 ended at " + at + " after 1h0m0s with result exit-code: code 1.",
			"`brainjar logs a --run 3` shows what it wrote|`brainjar start a` starts it now, `brainjar stop a` lets it be"},
		{"runs again", Experiment{Phase: "backoff", Reason: "exited with code 0; runs again in 10s", MaxRestarts: 3, DueAt: ago(time.Second)}, Supervisor{}, nil,
			"a starts again in 0s: exited with code 0.", "`brainjar start a` starts it now, `brainjar stop a` lets it be"},
		{"held", Experiment{Phase: "held", Reason: "held by ada: the fan is loud (`brainjar release a`)"}, Supervisor{}, nil, "a is held: held by ada: the fan is loud.", "`brainjar release a` queues it again"},
		{"succeeded", Experiment{Phase: "succeeded", Reason: "exited with code 0"}, Supervisor{}, ended("success", nil),
			"a has succeeded: exited with code 0.|Run 3 ended at " + at + " after 1h0m0s with result success.", ""},
		{"clean", Experiment{Phase: "succeeded", Reason: "exited with code 0"}, Supervisor{}, ended("success", func(r *lastRun) {
			hottest, energy, watched := 71.46, 36_000.0, 3600.0
			r.figures = figures{MaxTemperature: &hottest, MaxTemperatureZone: "tj-thermal", EnergyJoules: &energy, EnergySeconds: &watched, EnergyShared: true, Tainted: "clean"}
		}), "a has succeeded: exited with code 0.|Run 3 ended at " + at + " after 1h0m0s with result success." +
			"|It was at most 71.5 °C hot (tj-thermal) and took 36 kJ, 10.0 W on average, by an estimate, since others ran besides it.", ""},
		{"goes on", Experiment{Phase: "running", Run: 3, PID: 77, StartedAt: ago(3 * time.Hour)}, Supervisor{}, &lastRun{Run: 3, figures: figures{EnergyJoules: &ten, EnergySeconds: &ten}},
			"a runs: run 3, for 3h0m0s, process 77.|So far it took 10 J, 1.0 W on average.", ""},
		{"goes on, and all is known", Experiment{Phase: "running", Run: 3, PID: 77, StartedAt: ago(3 * time.Hour)}, Supervisor{}, &lastRun{Run: 3, figures: figures{
			MaxTemperature: &ten, MaxTemperatureZone: "tj-thermal", ThrottledSeconds: &ten, GPUMemoryPeak: 13 * quantity.GiB / 2, OverCurrentEvents: &three, EnergyJoules: &ten, EnergySeconds: &ten}},
			"a runs: run 3, for 3h0m0s, process 77.|So far it was at most 10.0 °C hot (tj-thermal), was throttled for 10s, used at most 6.5G of the GPU's memory, had over-current 3 times and took 10 J, 1.0 W on average.", ""},
		{"goes on, and felt nothing", Experiment{Phase: "running", Run: 3, PID: 77, StartedAt: ago(3 * time.Hour)}, Supervisor{}, &lastRun{Run: 3, figures: figures{ThrottledSeconds: new(float64), OverCurrentEvents: new(int)}},
			"a runs: run 3, for 3h0m0s, process 77.", ""},
		{"overloaded", Experiment{Phase: "succeeded", Reason: "exited with code 0"}, Supervisor{}, ended("success", func(r *lastRun) { r.OverCurrentEvents = &one }),
			"a has succeeded: exited with code 0.|Run 3 ended at " + at + " after 1h0m0s with result success.|It had over-current once.", ""},
		{"runs after one that was hot", Experiment{Phase: "running", Run: 4, PID: 77, StartedAt: ago(3 * time.Hour)}, Supervisor{}, &lastRun{Run: 3, figures: figures{MaxTemperature: &ten}},
			"a runs: run 4, for 3h0m0s, process 77.", ""},
		{"stopped", Experiment{Phase: "stopped", Reason: "died by SIGTERM"}, Supervisor{}, ended("stopped", nil),
			"a was stopped: died by SIGTERM.|Run 3 ended at " + at + " after 1h0m0s with result stopped.", "`brainjar start a` starts it again"},
		{"out of memory", failed("killed for memory; gave up after 3 restarts"), Supervisor{}, ended("oom-kill", func(r *lastRun) { r.MemoryPeak = peak }),
			"a has failed: killed for memory; gave up after 3 restarts.|Run 3 ended at " + at + " after 1h0m0s with result oom-kill: killed at memory_max 8G, peak 8G.",
			"try memory_max = \"10G\", in its file or by `brainjar set a memory_max=10G`|`brainjar logs a --run 3` shows what it wrote|`brainjar start a` tries again, with its count of restarts begun anew"},
		{"submitted, out of memory", Experiment{Phase: "failed", Reason: "killed for memory", Submitted: true}, Supervisor{},
			ended("oom-kill", func(r *lastRun) { r.MemoryMax = 300 * quantity.MiB; r.Tainted = "over-current 3" }),
			"a has failed: killed for memory.|Run 3 ended at " + at + " after 1h0m0s with result oom-kill: killed at memory_max 300M; its measurements are tainted: over-current 3.",
			"try memory_max = \"375M\": `brainjar set a memory_max=375M`|`brainjar logs a --run 3` shows what it wrote|`brainjar start a` tries again, with its count of restarts begun anew"},
		{"signal", failed("died by SIGSEGV"), Supervisor{}, ended("signal", func(r *lastRun) { r.Signal = "SIGSEGV" }),
			"a has failed: died by SIGSEGV.|Run 3 ended at " + at + " after 1h0m0s with result signal: SIGSEGV.",
			"`brainjar logs a --run 3` shows what it wrote|`brainjar start a` tries again, with its count of restarts begun anew"},
		{"never ran", failed("cannot find program x"), Supervisor{}, ended("start-failed", func(r *lastRun) { r.StartedAt = time.Time{} }),
			"a has failed: cannot find program x.|Run 3 ended at " + at + " with result start-failed.",
			"look at command, user and working_directory|`brainjar start a` tries again, with its count of restarts begun anew"},
		{"refused", failed("no GPU"), Supervisor{}, ended("start-failed", func(r *lastRun) {
			r.StartedAt, r.Reason = time.Time{}, "cannot grant gpu = true: this machine has no GPU; devices: there is no /dev/user on this machine"
		}),
			"a has failed: no GPU.|Run 3 ended at " + at + " with result start-failed.",
			"look at devices, gpu|`brainjar start a` tries again, with its count of restarts begun anew"},
		{"lost", Experiment{Phase: "stopped", Reason: "lost: power"}, Supervisor{}, ended("lost", func(r *lastRun) { r.StartedAt = now }),
			"a was stopped: lost: power.|Run 3 ended at " + at + " after 0s with result lost.", "`brainjar start a` starts it again"},
	} {
		test.e.Experiment = "a"
		say, advise := explain(test.e, test.s, test.last, now)
		if got := strings.Join(say, "|"); got != test.say {
			t.Errorf("%s says\n %s, want\n %s", test.name, got, test.say)
		}
		if got := strings.Join(advise, "|"); got != test.advise {
			t.Errorf("%s advises\n %s, want\n %s", test.name, got, test.advise)
		}
	}
	for _, phase := range []supervisor.Phase{
		supervisor.Idle, supervisor.Queued, supervisor.Starting, supervisor.Running, supervisor.Frozen, supervisor.Stopping,
		supervisor.Backoff, supervisor.Held, supervisor.Succeeded, supervisor.Failed, supervisor.Stopped,
	} {
		if say, _ := explain(Experiment{Experiment: "a", Phase: string(phase)}, Supervisor{}, nil, now); len(say) == 0 || !strings.HasPrefix(say[0], "a ") {
			t.Errorf("nothing is said of phase %s: %q", phase, say)
		}
	}
	for _, result := range []string{"timeout", "watchdog", "probe"} {
		if _, advise := explain(Experiment{Experiment: "a", Phase: "failed"}, Supervisor{}, ended(result, nil), now); len(advise) != 3 {
			t.Errorf("result %s: %q", result, advise)
		}
	}
}

// TestFiguresOfARow: what an explanation tells of is what a row of the ledger says.
func TestFiguresOfARow(t *testing.T) {
	celsius, seconds, overloads := 61.5, 12.0, 3
	row, err := json.Marshal(ledger.Run{GPUMemoryPeak: quantity.GiB, Figures: ledger.Figures{
		MaxTemperature: &celsius, MaxTemperatureZone: "cpu", ThrottledSeconds: &seconds, OverCurrentEvents: &overloads, EnergyJoules: &celsius, EnergySeconds: &seconds}})
	if err != nil {
		t.Fatal(err)
	}
	var r lastRun
	var x explanation
	err = json.Unmarshal(row, &r)
	x.felt(r.figures, "It")
	want := "It was at most 61.5 °C hot (cpu), was throttled for 12s, used at most 1G of the GPU's memory, had over-current 3 times and took 61.5 J, 5.1 W on average."
	if got := strings.Join(x.sentences, "|"); err != nil || got != want {
		t.Errorf("%v, %q, want %q", err, got, want)
	}
}

// TestMoreThan: the limit that is proposed is about a quarter more, and one that
// the configuration can read.
func TestMoreThan(t *testing.T) {
	for limit, want := range map[quantity.Bytes]string{
		16 * quantity.MiB: "20M", 64 * quantity.MiB: "80M", quantity.GiB: "1.2G", 3 * quantity.GiB: "3.8G", 4 * quantity.GiB: "5G", 8 * quantity.GiB: "10G", 30 * quantity.GiB: "38G",
	} {
		got := moreThan(limit)
		if b, err := quantity.ParseBytes(got); got != want || err != nil || b <= limit {
			t.Errorf("more than %s: %s, want %s, %v", limit, got, want, err)
		}
	}
}
