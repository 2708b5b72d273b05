package supervisor_test

import (
	"strings"
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// uses gives readings, one a second, in which experiments use so much GPU memory, and
// somebody else 1G.
func (h *house) uses(seconds int, used map[string]quantity.Bytes) {
	h.Helper()
	known := func(b quantity.Bytes) sensors.Value[quantity.Bytes] {
		return sensors.Value[quantity.Bytes]{State: sensors.OK, V: b}
	}
	for range seconds {
		m := sensors.GPUMemory{State: sensors.OK, Clients: []sensors.GPUClient{{PID: 1, Process: "Xorg", Used: known(quantity.GiB)}}}
		for id, b := range used {
			m.Clients = append(m.Clients, sensors.GPUClient{PID: h.status(id).Unit.MainPID, Process: id, Used: known(b)})
		}
		h.readings <- sensors.Reading{At: time.Now(), GPUMemory: m, Memory: sensors.Memory{State: sensors.OK, Total: 32 * quantity.GiB, Available: 30 * quantity.GiB}}
		time.Sleep(time.Second)
	}
}

// gpuHead is head with a budget that models fit in.
var gpuHead = strings.NewReplacer(`memory_budget = "1G"`, `memory_budget = "16G"`, `reserve = "0M"`, "reserve = \"1G\"\ngrace = \"5s\"").Replace(head)

// On a Jetson gpu_memory counts beside memory_max, and who takes more is stopped and
// comes back, until that was often enough. The highest use is in the ledger.
func TestGPUMemoryIsKept(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		gpu := &nodes{paths: []string{"/dev/nvmap"}}
		st.board = supervisor.Board{GPUDevices: gpu.list, Unified: true}
		h := st.begin(gpuHead +
			experiment("greedy", "gpu = true\ngpu_memory = \"6G\"\nmax_requeues = 1\ncheckpoint_signal = \"SIGUSR1\"", "on=USR1:sleep=3s,exit=0", "sleep=10h") +
			experiment("modest", "gpu = true\ngpu_memory = \"8G\"", "sleep=10h") +
			experiment("third", "memory_max = \"5G\"\ngpu_memory = \"4G\"", "sleep=10h"))
		h.awaitPhase(supervisor.Running, 10*time.Second, "greedy", "modest")
		if s := h.status("third"); s.Reason != "needs 9G, 1.9G of 16G left" {
			st.Errorf("third waits: %q", s.Reason)
		}
		h.uses(3, map[string]quantity.Bytes{"greedy": 6 * quantity.GiB, "modest": 7 * quantity.GiB})
		if s := h.status("greedy"); s.GPUMemory == nil || *s.GPUMemory != 6*quantity.GiB {
			st.Errorf("greedy uses %v", s.GPUMemory)
		}
		if s := h.status("third"); s.GPUMemory != nil {
			st.Errorf("third uses %v", s.GPUMemory)
		}
		tooMuch := map[string]quantity.Bytes{"greedy": 13 * quantity.GiB / 2, "modest": 8 * quantity.GiB}
		h.uses(5, tooMuch)
		if s := h.status("greedy"); s.Phase != supervisor.Running {
			st.Fatalf("within the grace it is %s", s.Phase)
		}
		h.uses(1, tooMuch)
		if s := h.status("greedy"); s.Phase != supervisor.Stopping || s.Reason != "uses 6.5G of GPU memory, more than its gpu_memory of 6G for 5s" {
			st.Errorf("%s: %q", s.Phase, s.Reason)
		}
		h.await("it has saved its work", 10*time.Second, func() bool { return len(h.ends("greedy")) == 1 })
		if end := h.ends("greedy")[0]; end.Result != supervisor.ResultGPUMemory || end.ExitCode != 0 {
			st.Errorf("ended with %+v", end)
		}
		h.awaitPhase(supervisor.Running, 10*time.Second, "greedy")
		h.uses(6, tooMuch)
		h.awaitPhase(supervisor.Held, 10*time.Second, "greedy")
		if s := h.status("greedy"); !strings.HasPrefix(s.Reason, "stopped for gpu-memory more than once, which is enough: uses 6.5G") {
			st.Errorf("reason %q", s.Reason)
		}
		if s := h.status("modest"); s.Phase != supervisor.Running || s.Run != 1 {
			st.Errorf("modest is %s in run %d", s.Phase, s.Run)
		}
		for _, r := range st.book.runs {
			if r.Experiment == "greedy" && r.GPUMemoryPeak != 13*quantity.GiB/2 {
				st.Errorf("the ledger has a peak of %s for run %d", r.GPUMemoryPeak, r.Run)
			}
		}
		h.drain()
	})
}

// A peak that was reached before brainjar was killed is not lost, nor is what runs.
func TestGPUPeakOutlivesBrainjar(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		st.book = newBook()
		st.board = supervisor.Board{Unified: true}
		text := gpuHead + experiment("a", "gpu_memory = \"8G\"", "sleep=1h")
		first := st.begin(text)
		first.awaitPhase(supervisor.Running, 10*time.Second, "a")
		first.uses(2, map[string]quantity.Bytes{"a": 7 * quantity.GiB})
		first.cancel()
		<-first.over
		second := st.begin(text)
		second.awaitPhase(supervisor.Running, 10*time.Second, "a")
		second.uses(2, map[string]quantity.Bytes{"a": quantity.GiB})
		second.drain()
		for _, r := range st.book.runs {
			if r.GPUMemoryPeak != 7*quantity.GiB {
				st.Errorf("peak %s", r.GPUMemoryPeak)
			}
		}
	})
}

// A card's own memory is another matter than the machine's.
func TestMemoryOfACard(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		known := func(b quantity.Bytes) sensors.Value[quantity.Bytes] {
			return sensors.Value[quantity.Bytes]{State: sensors.OK, V: b}
		}
		st.first = sensors.Reading{At: time.Now(), GPUs: []sensors.GPU{{Name: "card", MemoryUsed: known(2 * quantity.GiB), MemoryTotal: known(24 * quantity.GiB)}}}
		h := st.begin(head +
			experiment("a", "priority = 1\ngpu_memory = \"20G\"", "sleep=1h") +
			experiment("b", "gpu_memory = \"4G\"", "sleep=1h") +
			experiment("c", "priority = -1\ngpu_memory = \"2G\"", "sleep=1h"))
		h.awaitPhase(supervisor.Running, 10*time.Second, "a", "c")
		if s := h.status("b"); s.Reason != "needs 4G of GPU memory, 0B left" || s.WaitsFor != supervisor.CheckGPUMemory {
			st.Errorf("b: %s %q", s.WaitsFor, s.Reason)
		}
		if r := h.report(); r.BudgetUsed != 64*quantity.MiB {
			st.Errorf("%s of the machine's memory are spoken for", r.BudgetUsed)
		}
		h.drain()
	})
}
