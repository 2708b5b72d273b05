package supervisor

import (
	"fmt"

	"brainjar/internal/quantity"
)

// Check names the question of admission that an experiment fails on.
type Check string

// The checks, in the order in which they are made.
const (
	CheckNone       Check = ""
	CheckHold       Check = "hold" // of everything: brainjar leaves, the machine is too hot
	CheckHeat       Check = "heat" // of its own: the others may start
	CheckDependency Check = "dependency"
	CheckSlots      Check = "slots"
	CheckBudget     Check = "budget"
	CheckMemory     Check = "memory"
	CheckGPUMemory  Check = "gpu-memory" // of cards that have their own
	CheckPowerMode  Check = "power-mode" // others run in another one
	CheckPlace      Check = "place"      // a bigger one waited too long to be passed again
)

// Demand is what an experiment asks for when it wants to start.
type Demand struct {
	Memory quantity.Bytes // memory_max, and gpu_memory where memory is unified
	GPU    quantity.Bytes // gpu_memory
	Mode   string         // power mode, as the board calls it; "" for any
	Waits  string         // the dependency that is not met, in words; "" if all are
	Hot    string         // why it is too hot for this one alone; "" if it is not
}

// Headroom is what there is to give.
type Headroom struct {
	Hold string // why nothing at all may start; "" if something may

	Slots, SlotsUsed   int
	Budget, BudgetUsed quantity.Bytes

	// Available is the memory that a start may still take for itself:
	// MemAvailable, less the reserve, less what running experiments may yet
	// take (see Unclaimed). It counts only if AvailableKnown.
	Available      quantity.Bytes
	AvailableKnown bool

	// GPU is the memory of GPUs with their own that a start may still take. It counts
	// only if GPUKnown.
	GPU      quantity.Bytes
	GPUKnown bool

	// Mode is the power mode that ModeBy needs while it runs; "" if none does.
	Mode, ModeBy string
}

// Take returns the headroom that is left when an experiment with this demand
// has started.
func (h Headroom) Take(d Demand) Headroom {
	h.SlotsUsed++
	h.BudgetUsed += d.Memory
	h.Available -= min(d.Memory, h.Available)
	h.GPU -= min(d.GPU, h.GPU)
	if h.Mode == "" {
		h.Mode = d.Mode
	}
	return h
}

// Verdict is the answer to a demand. If it is no, Check says which question
// it failed on, and Reason says so in words that a person can act on.
type Verdict struct {
	Check  Check
	Reason string
}

// OK reports whether the experiment may start.
func (v Verdict) OK() bool { return v.Check == CheckNone }

// Scarce reports whether the experiment only waits for others to leave room.
func (v Verdict) Scarce() bool {
	switch v.Check {
	case CheckSlots, CheckBudget, CheckMemory, CheckGPUMemory, CheckPowerMode:
		return true
	}
	return false
}

// Admit decides whether an experiment may start now.
func Admit(d Demand, h Headroom) Verdict {
	switch {
	case d.Waits != "":
		return Verdict{CheckDependency, d.Waits}
	case h.Hold != "":
		return Verdict{CheckHold, h.Hold}
	case d.Hot != "":
		return Verdict{CheckHeat, d.Hot}
	case h.SlotsUsed >= h.Slots:
		return Verdict{CheckSlots, fmt.Sprintf("%d of %d running", h.SlotsUsed, h.Slots)}
	case h.BudgetUsed+d.Memory > h.Budget:
		left := h.Budget - min(h.BudgetUsed, h.Budget)
		return Verdict{CheckBudget, fmt.Sprintf("needs %s, %s of %s left", d.Memory, left, h.Budget)}
	case h.AvailableKnown && d.Memory > h.Available:
		return Verdict{CheckMemory, fmt.Sprintf("needs %s, %s of memory available", d.Memory, h.Available)}
	case h.GPUKnown && d.GPU > h.GPU:
		return Verdict{CheckGPUMemory, fmt.Sprintf("needs %s of GPU memory, %s left", d.GPU, h.GPU)}
	case h.otherMode(d.Mode) != "":
		return Verdict{CheckPowerMode, h.otherMode(d.Mode)}
	}
	return Verdict{}
}

// Unclaimed returns how much of the machine's available memory is not yet
// spoken for: each running experiment may still grow from what it uses now to
// its demand, so two starts within a second do not count the same memory
// twice.
func Unclaimed(available, reserve quantity.Bytes, running []Claim) quantity.Bytes {
	spoken := reserve
	for _, c := range running {
		if c.May > c.Uses {
			spoken += c.May - c.Uses
		}
	}
	return available - min(spoken, available)
}

// Claim is the memory that a running experiment may use, and what it uses.
type Claim struct{ May, Uses quantity.Bytes }
