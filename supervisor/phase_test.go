package supervisor

import (
	"slices"
	"testing"
)

var allPhases = []Phase{Idle, Queued, Starting, Running, Frozen, Stopping, Backoff, Held, Succeeded, Failed, Stopped}

func TestTransitionsAreWhole(t *testing.T) {
	for _, p := range allPhases {
		if len(transitions[p]) == 0 {
			t.Errorf("nothing follows %s", p)
		}
		if p.Allows(p) {
			t.Errorf("%s may follow itself", p)
		}
		for _, to := range transitions[p] {
			if !slices.Contains(allPhases, to) {
				t.Errorf("%s leads to the unknown phase %q", p, to)
			}
		}
	}
	if len(transitions) != len(allPhases) {
		t.Errorf("%d phases in the table, want %d", len(transitions), len(allPhases))
	}
}

// Only an admitted experiment gets a unit: everything that brainjar starts
// goes through Queued (from a phase without a unit it can be found starting), and
// nothing returns to Idle.
func TestTransitionsKeepTheOrder(t *testing.T) {
	for _, p := range allPhases {
		if p.Allows(Starting) == p.Active() {
			t.Errorf("%s allows starting: %v", p, p.Allows(Starting))
		}
		if p.Allows(Idle) {
			t.Errorf("%s leads back to idle", p)
		}
		if p.Allows(Stopping) && !p.Active() {
			t.Errorf("%s has no unit to stop", p)
		}
		if p.Over() && slices.ContainsFunc(transitions[p], func(to Phase) bool { return to != Queued && to != Held && to != Starting && to != Running }) {
			t.Errorf("%s is over, but leads to %v", p, transitions[p])
		}
		if p.Active() && !p.Allows(Failed) {
			t.Errorf("%s cannot fail", p)
		}
	}
}
