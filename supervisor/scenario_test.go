package supervisor_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"brainjar/supervisor"
	"brainjar/transient"
)

// head is what every scenario's configuration begins with: short delays.
const head = `
[supervisor]
max_concurrent = 8
memory_budget = "1G"
[thermal]
throttle = 75.0
resume = 70.0
critical = 85.0
interval = "200ms"
[memory]
reserve = "0M"
[defaults]
memory_max = "32M"
stop_timeout = "1s"
[defaults.restart]
delay = "200ms"
jitter = 0.0
`

// heatInterval is the interval of readings there.
const heatInterval = 200 * time.Millisecond

// scenarios are the promises of the supervisor, each a small play.
var scenarios = map[string]func(stage){
	"budget":            budgetHolds,
	"slots and order":   slotsAndOrder,
	"gives up":          givesUp,
	"fatal code":        fatalCode,
	"out of memory":     outOfMemory,
	"dependencies":      dependencies,
	"drain saves all":   drainSavesAll,
	"drain kills":       drainKills,
	"drain of a loader": drainLoader,
	"second signal":     secondSignal,
	"checkpoint status": checkpointStatus,
	"stopped outside":   stoppedOutside,
	"slice stopped":     sliceStopped,
	"missing program":   missingProgram,
	"adoption":          adoption,
	"ended while away":  endedWhileAway,
	"killed outside":    killedOutside,
	"heat":              heat,
	"freeze":            freeze,
	"unknown unit":      unknownUnit,
	"many codes":        manyCodes,
	"breaker":           breakerOpens,
	"orphan kept":       orphanKept,
	"orphan drained":    orphanDrained,
	"probe":             probeFails,
	"runtime max":       runtimeMaxEnds,
	"watchdog":          watchdogEnds,
	"requeues":          requeuesEnd,
	"submission":        submission,
	"templates":         templates,
	"adopted process":   adoptedProcess,
	"set":               settings,
	"reload":            reloading,
}

func experiment(id, keys string, steps ...string) string {
	return fmt.Sprintf("[experiments.%s]\ncommand = [%q, %q, %s]\n%s\n", id, "PROGRAM", "workload", quoted(steps), keys)
}

func quoted(steps []string) string {
	var q []string
	for _, s := range steps {
		q = append(q, fmt.Sprintf("%q", s))
	}
	return strings.Join(q, ", ")
}

func budgetHolds(st stage) {
	text := head
	for i := range 4 {
		text += experiment(fmt.Sprintf("e%d", i), `memory_max = "400M"`, "sleep=1h")
	}
	h := st.begin(text)
	h.awaitPhase(supervisor.Running, 10*time.Second, "e0", "e1")
	for _, id := range []string{"e2", "e3"} {
		h.await(id+" waits for the budget", 5*time.Second, func() bool {
			s := h.status(id)
			return s.Phase == supervisor.Queued && s.Reason == "needs 400M, 224M of 1G left"
		})
	}
	if n := strings.Count(h.logged(), "memory_max=400M"); n != 2 {
		st.Errorf("%d units have an effective limit of 400M, want 2\n%s", n, h.logged())
	}
	h.drain()
}

func slotsAndOrder(st stage) {
	text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 1", 1)
	for id, keys := range map[string]string{"first": "priority = 3", "second": "priority = 2", "third": "priority = -1"} {
		text += experiment(id, keys, "sleep=100ms")
	}
	h := st.begin(text)
	h.awaitPhase(supervisor.Succeeded, 10*time.Second, "first", "second", "third")
	var order []string
	for _, c := range h.past("") {
		if c.To == supervisor.Starting {
			order = append(order, c.Experiment)
		}
	}
	if !slices.Equal(order, []string{"first", "second", "third"}) {
		st.Errorf("started in the order %v", order)
	}
	if !strings.Contains(h.logged(), "1 of 1 running") {
		st.Errorf("nobody was told of waiting for a slot")
	}
	h.drain()
}

func givesUp(st stage) {
	h := st.begin(head + experiment("crash", "", "sleep=50ms", "exit=3"))
	h.awaitPhase(supervisor.Failed, 20*time.Second, "crash")
	ends := h.ends("crash")
	if len(ends) != 4 {
		st.Fatalf("%d runs, want 1 and 3 restarts", len(ends))
	}
	for i, end := range ends {
		if end.Result != transient.ExitCode || end.ExitCode != 3 {
			st.Errorf("run %d: %+v", i+1, end)
		}
	}
	var delays []time.Duration
	var failed time.Time
	for _, c := range h.past("crash") {
		switch c.To {
		case supervisor.Backoff:
			failed = c.At
		case supervisor.Starting:
			if !failed.IsZero() {
				delays = append(delays, c.At.Sub(failed))
			}
		}
	}
	for i, want := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond} {
		if i >= len(delays) || delays[i] < want*19/20 || delays[i] > want+stretched(150*time.Millisecond) {
			st.Errorf("delays %v: number %d should be %v", delays, i+1, want)
		}
	}
	if s := h.status("crash"); !strings.Contains(s.Reason, "gave up after 3 restarts") {
		st.Errorf("reason %q", s.Reason)
	}
	h.drain()
}

func fatalCode(st stage) {
	h := st.begin(head + experiment("fatal", "", "exit=78"))
	h.awaitPhase(supervisor.Failed, 10*time.Second, "fatal")
	if n := len(h.ends("fatal")); n != 1 {
		st.Errorf("%d runs of a fatal error, want 1", n)
	}
	h.drain()
}

func outOfMemory(st stage) {
	h := st.begin(head + experiment("hog", "memory_max = \"48M\"\nrestart.policy = \"no\"", "alloc=128M", "sleep=1h"))
	h.awaitPhase(supervisor.Failed, 20*time.Second, "hog")
	end := h.ends("hog")[0]
	if end.Result != transient.OOMKill || end.OOMKills < 1 {
		st.Errorf("ended with %+v", end)
	}
	if peak := end.MemoryPeak >> 20; peak != 0 && (peak < 40 || peak > 56) {
		st.Errorf("peak %s, limit 48M", end.MemoryPeak)
	}
	if !strings.Contains(h.logged(), "memory_max=48M oom_kills=") {
		st.Errorf("the limit is not in the log")
	}
	h.drain()
}

func dependencies(st stage) {
	h := st.begin(head +
		experiment("base", "", "sleep=300ms", "exit=0") +
		experiment("bad", `restart.policy = "no"`, "exit=4") +
		experiment("next", `after = ["base"]`, "exit=0") +
		experiment("beside", `after = { next = "started" }`, "exit=0") +
		experiment("cleanup", `after = { bad = "ended" }`, "exit=0") +
		experiment("never", `after = ["bad"]`, "exit=0"))
	h.awaitPhase(supervisor.Succeeded, 10*time.Second, "base", "next", "beside", "cleanup")
	h.await("never says why", 5*time.Second, func() bool {
		return h.status("never").Reason == "after bad: failed (exited with code 4)"
	})
	if !strings.Contains(h.logged(), "experiment=next for=dependency reason=\"after base: ") {
		st.Errorf("next did not say that it waits for base")
	}
	h.drain()
}

func stoppedOutside(st stage) {
	h := st.begin(head + experiment("a", "", "sleep=1h"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "a")
	if err := h.systemd.Stop(context.Background(), "brainjar-a.service"); err != nil {
		st.Fatal(err)
	}
	h.awaitPhase(supervisor.Stopped, 10*time.Second, "a")
	time.Sleep(time.Second) // longer than the delay of a restart
	if n := len(h.ends("a")); n != 1 || h.status("a").Phase != supervisor.Stopped {
		st.Errorf("%d runs, phase %s: it was started again", n, h.status("a").Phase)
	}
	h.drain()
}

func missingProgram(st stage) {
	h := st.begin(head + "[experiments.a]\ncommand = [\"/nonexistent/program\"]\nrestart.max_restarts = 1\n")
	h.awaitPhase(supervisor.Failed, 10*time.Second, "a")
	for _, end := range h.ends("a") {
		if end.Result != transient.StartFailed || !strings.Contains(strings.ToLower(end.Detail), "no such file") {
			st.Errorf("ended with %+v", end)
		}
	}
	h.drain()
}

// A run that is killed from outside is restarted, each time as a new run.
func killedOutside(st stage) {
	h := st.begin(head + experiment("a", "", "sleep=1h"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "a")
	for i := range 3 {
		if err := h.systemd.Kill(context.Background(), "brainjar-a.service", transient.Main, syscall.SIGKILL); err != nil {
			st.Fatal(err)
		}
		h.await("it runs again", 10*time.Second, func() bool {
			s := h.status("a")
			return s.Phase == supervisor.Running && s.Run == i+2
		})
	}
	for _, end := range h.ends("a") {
		if end.Result != transient.Signal || end.Signal != syscall.SIGKILL {
			st.Errorf("ended with %+v", end)
		}
	}
	h.drain()
}

func heat(st stage) {
	h := st.begin(head + experiment("a", "", "sleep=1h") + experiment("b", "autostart = true\nafter = { a = \"started\" }", "sleep=1h"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "a", "b")
	h.feel(76.2)
	if err := h.systemd.Kill(context.Background(), "brainjar-a.service", transient.Main, syscall.SIGKILL); err != nil {
		st.Fatal(err)
	}
	h.await("a waits for the heat to go", 10*time.Second, func() bool {
		return h.status("a").Reason == "tj-thermal 76.2 °C, starts resume below 70 °C"
	})
	if h.status("b").Phase != supervisor.Running {
		st.Errorf("b does not run on")
	}
	h.feel(86)
	h.awaitPhase(supervisor.Queued, 10*time.Second, "a", "b")
	if end := h.ends("b"); len(end) != 1 || end[0].Result != supervisor.ResultHeat {
		st.Errorf("b ended with %+v", end)
	}
	h.feel(72)
	time.Sleep(300 * time.Millisecond)
	if p := h.status("b").Phase; p != supervisor.Queued {
		st.Errorf("b is %s at 72 °C", p)
	}
	h.cool()
	h.awaitPhase(supervisor.Running, 10*time.Second, "a", "b")
	h.drain()
}

func freeze(st stage) {
	h := st.begin(head + experiment("a", "checkpoint_signal = \"SIGUSR1\"", "on=USR1:exit=7", "sleep=1h"))
	h.awaitPhase(supervisor.Running, 10*time.Second, "a")
	st.settle()
	if err := h.systemd.Freeze(context.Background(), "brainjar-a.service"); err != nil {
		st.Fatal(err)
	}
	h.awaitPhase(supervisor.Frozen, 10*time.Second, "a")
	if err := h.systemd.Thaw(context.Background(), "brainjar-a.service"); err != nil {
		st.Fatal(err)
	}
	h.awaitPhase(supervisor.Running, 10*time.Second, "a")
	if err := h.systemd.Freeze(context.Background(), "brainjar-a.service"); err != nil {
		st.Fatal(err)
	}
	h.awaitPhase(supervisor.Frozen, 10*time.Second, "a")
	if took := h.drain(); took > stretched(3*time.Second) {
		st.Errorf("took %v", took)
	}
	if end := h.ends("a"); len(end) != 1 || end[0].ExitCode != 7 {
		st.Errorf("a frozen experiment was not thawed to save its work: %+v", end)
	}
}

// Each run is noted with its own code, none twice.
func manyCodes(st stage) {
	seed, random := seeded(st)
	text := strings.Replace(head, "max_concurrent = 8", "max_concurrent = 4", 1)
	want := map[string]int{}
	for i := range 60 {
		id := fmt.Sprintf("e%02d", i)
		want[id] = random.IntN(256)
		text += experiment(id, `restart.policy = "no"`, fmt.Sprintf("exit=%d", want[id]))
	}
	h := st.begin(text)
	for id, code := range want {
		h.await(id+" ends", 30*time.Second, func() bool { return len(h.ends(id)) > 0 })
		ends := h.ends(id)
		result := transient.ExitCode
		if code == 0 {
			result = transient.Success
		}
		if len(ends) != 1 || ends[0].ExitCode != code || ends[0].Result != result {
			st.Errorf("seed %d: %s: want code %d, got %+v", seed, id, code, ends)
		}
	}
	h.drain()
}

func play(t *testing.T, name string, on func(t *testing.T, do func(stage))) {
	t.Run(name, func(t *testing.T) { on(t, scenarios[name]) })
}
