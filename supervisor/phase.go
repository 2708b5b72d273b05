package supervisor

import "slices"

// Phase is where an experiment stands in its life.
type Phase string

// The phases. Queued, Backoff and Held always come with a reason.
const (
	Idle      Phase = "idle"      // not wanted
	Queued    Phase = "queued"    // wanted, waiting for admission
	Starting  Phase = "starting"  // systemd was asked for its unit
	Running   Phase = "running"   // its program was executed
	Frozen    Phase = "frozen"    // its processes do not get the CPU
	Stopping  Phase = "stopping"  // asked to checkpoint or to end
	Backoff   Phase = "backoff"   // its run failed, the delay before the next has not passed
	Held      Phase = "held"      // a person said: not now; or it was requeued too often
	Succeeded Phase = "succeeded" // ended as wanted
	Failed    Phase = "failed"    // ended otherwise, and is not tried again
	Stopped   Phase = "stopped"   // ended because it was told to
)

// transitions is the whole of what may follow what. Idle leads everywhere a
// run can be found in after brainjar was away; and what has no unit can be found
// starting or running, when systemd has started it late or somebody else has.
var transitions = map[Phase][]Phase{
	Idle:      {Queued, Held, Starting, Running, Frozen, Backoff, Succeeded, Failed, Stopped},
	Queued:    {Starting, Held, Stopped, Running},
	Starting:  {Running, Stopping, Queued, Backoff, Held, Succeeded, Failed, Stopped},
	Running:   {Frozen, Stopping, Queued, Backoff, Held, Succeeded, Failed, Stopped},
	Frozen:    {Running, Stopping, Queued, Backoff, Held, Succeeded, Failed, Stopped},
	Stopping:  {Queued, Backoff, Held, Succeeded, Failed, Stopped},
	Backoff:   {Queued, Held, Stopped, Starting, Running},
	Held:      {Queued, Stopped, Starting, Running},
	Succeeded: {Queued, Held, Starting, Running},
	Failed:    {Queued, Held, Starting, Running},
	Stopped:   {Queued, Held, Starting, Running},
}

// Allows reports whether an experiment in phase p may go to phase to.
func (p Phase) Allows(to Phase) bool { return slices.Contains(transitions[p], to) }

// Active reports whether an experiment in phase p has, or is about to have, a
// unit.
func (p Phase) Active() bool {
	return p == Starting || p == Running || p == Frozen || p == Stopping
}

// Over reports whether an experiment in phase p has ended for good, until
// somebody starts it.
func (p Phase) Over() bool { return p == Succeeded || p == Failed || p == Stopped }
