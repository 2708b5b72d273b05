package supervisor

import (
	"context"
	"fmt"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors"
	"brainjar/transient"
)

// Memory of a GPU is in no control group: no limit of systemd's bounds it. So it is
// counted when something is to start, measured by the processes of each unit, and who
// takes more than gpu_memory says is stopped.

// gpuUse is what the unit of a run uses of the GPUs' memory.
type gpuUse struct {
	now     quantity.Bytes
	known   bool           // nobody tells it on some boards
	before  quantity.Bytes // used of all cards when it began
	peak    quantity.Bytes // highest that was read in the run
	written quantity.Bytes // peak that the ledger has
	over    Overuse
}

// Overuse watches one run that may use so much memory of the GPUs and no more.
type Overuse struct{ since time.Time }

// Step takes what is used at now, and returns why the run is to be stopped: "" unless
// it has used more than it was given for the whole of grace. What is not known, and no
// limit, is no reason.
func (o *Overuse) Step(used, given quantity.Bytes, known bool, grace time.Duration, now time.Time) (reason string) {
	if !known || given == 0 || used <= given {
		o.since = time.Time{}
		return ""
	}
	if o.since.IsZero() {
		o.since = now
	}
	lasted := now.Sub(o.since)
	if lasted < grace {
		return ""
	}
	return fmt.Sprintf("uses %s of GPU memory, more than its gpu_memory of %s for %s", used, given, round(lasted))
}

// cards is the memory of GPUs that have their own.
type cards struct {
	known       bool
	total, used quantity.Bytes
}

// cardsOf adds up the cards of a reading: which of them a program will use, nobody
// can know.
func cardsOf(gpus []sensors.GPU) (c cards) {
	for _, g := range gpus {
		total, hasMemory := g.MemoryTotal.Get()
		used, known := g.MemoryUsed.Get()
		if g.MemoryTotal.State == sensors.Failed || hasMemory && !known {
			return cards{}
		}
		c.total, c.used = c.total+total, c.used+used
	}
	c.known = c.total > 0
	return c
}

// GPUClaim is the memory of GPUs that a running experiment may use, and what it uses.
type GPUClaim struct {
	Claim
	Known  bool           // Uses is
	Before quantity.Bytes // used of all cards when it began; 0: nobody knows
}

// free returns how much of the cards' memory is not spoken for, as Unclaimed does. Of
// those whose use is not known it is taken that they use what has come since the first
// of them began, and nobody else uses.
func (c cards) free(running []GPUClaim) quantity.Bytes {
	var spoken, unknown, others quantity.Bytes
	before := c.used
	for _, r := range running {
		if r.Known {
			spoken += beyond(r.May, r.Uses)
			others += r.Uses
		} else {
			unknown += r.May
			before = min(before, r.Before)
		}
	}
	spoken += beyond(unknown, beyond(c.used, max(before, others)))
	return beyond(c.total, c.used+spoken)
}

// beyond is what a is more than b.
func beyond(a, b quantity.Bytes) quantity.Bytes { return a - min(a, b) }

// gpuOf adds up what processes use of the GPUs' memory; false if that of one is not
// known.
func gpuOf(clients map[int]sensors.Value[quantity.Bytes], pids []int) (used quantity.Bytes, known bool) {
	for _, pid := range pids {
		client, there := clients[pid]
		if there && client.State != sensors.OK {
			return 0, false
		}
		used += client.V
	}
	return used, true
}

// feelGPU takes what a reading says of the GPUs' memory. Whose the processes are, the
// control groups say: they are read outside of the loop, one reading at a time.
func (s *Supervisor) feelGPU(r sensors.Reading) {
	s.cards = cardsOf(r.GPUs)
	units := make(map[string]transient.Unit) // by invocation
	for _, e := range s.experiments {
		if e.phase.Active() && e.unit.Invocation != "" && (e.cfg.GPU || e.cfg.GPUMemory > 0) {
			units[e.unit.Invocation] = e.unit
		}
	}
	switch {
	case r.GPUMemory.State != sensors.OK:
		for _, e := range s.experiments {
			e.gpu.now, e.gpu.known, e.gpu.over = 0, false, Overuse{}
		}
		return
	case s.feelingGPU || len(units) == 0:
		return
	}
	s.feelingGPU = true
	used := make(map[string]quantity.Bytes, len(units)) // what is known of them
	s.do(func(context.Context) error {
		clients := make(map[int]sensors.Value[quantity.Bytes], len(r.GPUMemory.Clients))
		for _, c := range r.GPUMemory.Clients {
			clients[c.PID] = c.Used
		}
		for invocation, unit := range units {
			pids, err := s.Groups.Processes(unit.Name)
			if err != nil {
				continue // it has just gone
			}
			if n, known := gpuOf(clients, pids); known {
				used[invocation] = n
			}
		}
		return nil
	}, func(error) {
		s.feelingGPU = false
		for _, e := range s.experiments {
			if _, asked := units[e.unit.Invocation]; asked {
				n, known := used[e.unit.Invocation]
				s.useGPU(e, n, known, r.At)
			}
		}
	})
}

// useGPU takes what the run of an experiment uses of the GPUs' memory, and stops it if
// that was too much for too long.
func (s *Supervisor) useGPU(e *experiment, used quantity.Bytes, known bool, at time.Time) {
	g := &e.gpu
	g.now, g.known, g.peak = used, known, max(g.peak, used)
	if g.peak > g.written+g.written/8 { // a few times a run, also if it grows for ever
		g.written = g.peak
		s.keep(e, nil)
	}
	if !e.phase.Active() || e.phase == Stopping || s.leaving.how != stay {
		return
	}
	if reason := g.over.Step(used, e.cfg.GPUMemory, known, s.Config.Memory.Grace, at); reason != "" {
		s.Log.Error("an experiment uses too much GPU memory, it is stopped", "experiment", e.cfg.ID, "reason", reason)
		s.note(eventGPUMemory, e.cfg.ID, e.run, reason)
		s.end(e, CauseGPUMemory, reason)
	}
}

// eventGPUMemory is the kind of the events that tell who used too much.
const eventGPUMemory = "gpu-memory"

// gpuFound is what is known of a run that was found: what the ledger has of it.
func (s *Supervisor) gpuFound(invocation string) gpuUse {
	for _, r := range s.open {
		if r.Invocation == invocation {
			return gpuUse{peak: r.GPUMemoryPeak, written: r.GPUMemoryPeak}
		}
	}
	return gpuUse{}
}

// shared is the part of an experiment's gpu_memory that the machine's memory has to
// give: all of it where the GPU has none of its own.
func (b Board) shared(gpuMemory quantity.Bytes) quantity.Bytes {
	if b.Unified {
		return gpuMemory
	}
	return 0
}
