package supervisor

import (
	"math/rand/v2"
	"testing"
	"time"

	"brainjar/internal/quantity"
)

const gib = quantity.GiB

func TestAdmit(t *testing.T) {
	room := Headroom{Slots: 4, SlotsUsed: 1, Budget: 48 * gib, BudgetUsed: 42 * gib, Available: 20 * gib, AvailableKnown: true}
	with := func(change func(*Headroom)) Headroom {
		h := room
		change(&h)
		return h
	}
	for _, test := range []struct {
		name   string
		demand Demand
		room   Headroom
		want   Verdict
	}{
		{"fits", Demand{Memory: 6 * gib}, room, Verdict{}},
		{"dependency comes first", Demand{Memory: 99 * gib, Waits: "after a: running"}, with(func(h *Headroom) { h.Hold = "hot" }),
			Verdict{CheckDependency, "after a: running"}},
		{"hold", Demand{Memory: gib}, with(func(h *Headroom) { h.Hold = "tj-thermal 76.2 °C, starts resume below 70 °C" }),
			Verdict{CheckHold, "tj-thermal 76.2 °C, starts resume below 70 °C"}},
		{"slots", Demand{Memory: gib}, with(func(h *Headroom) { h.SlotsUsed = 4 }), Verdict{CheckSlots, "4 of 4 running"}},
		{"budget", Demand{Memory: 8 * gib}, room, Verdict{CheckBudget, "needs 8G, 6G of 48G left"}},
		{"budget overdrawn", Demand{Memory: gib}, with(func(h *Headroom) { h.BudgetUsed = 50 * gib }), Verdict{CheckBudget, "needs 1G, 0B of 48G left"}},
		{"memory", Demand{Memory: 6 * gib}, with(func(h *Headroom) { h.Available = 5 * gib }), Verdict{CheckMemory, "needs 6G, 5G of memory available"}},
		{"memory not known", Demand{Memory: 6 * gib}, with(func(h *Headroom) { h.Available, h.AvailableKnown = 0, false }), Verdict{}},
	} {
		if got := Admit(test.demand, test.room); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestUnclaimed(t *testing.T) {
	claims := []Claim{{May: 8 * gib, Uses: 3 * gib}, {May: 4 * gib, Uses: 5 * gib}} // 5 more, and none
	if got := Unclaimed(20*gib, 2*gib, claims); got != 13*gib {
		t.Errorf("unclaimed %s, want 13G", got)
	}
	if got := Unclaimed(3*gib, 2*gib, claims); got != 0 {
		t.Errorf("unclaimed %s, want nothing", got)
	}
}

func TestScheduleOrder(t *testing.T) {
	now := time.Unix(1e9, 0)
	waiting := []Candidate{
		{ID: "late", Came: now.Add(2), Demand: Demand{Memory: gib}},
		{ID: "early", Came: now.Add(1), Demand: Demand{Memory: gib}},
		{ID: "important", Came: now.Add(3), Priority: 5, Demand: Demand{Memory: gib}},
	}
	got := Schedule(waiting, Headroom{Slots: 2, Budget: 9 * gib}, now)
	if got[0].OK() || !got[1].OK() || !got[2].OK() {
		t.Errorf("verdicts %+v: want the important and the early one to start", got)
	}
}

// A smaller one may pass a bigger one, for ten minutes.
func TestScheduleKeepsThePlace(t *testing.T) {
	now := time.Unix(1e9, 0)
	room := Headroom{Slots: 9, Budget: 10 * gib, BudgetUsed: 5 * gib}
	big := Candidate{ID: "big", Came: now.Add(-time.Hour), ScarceSince: now.Add(-keepPlaceAfter + 1), Demand: Demand{Memory: 8 * gib}}
	small := Candidate{ID: "small", Came: now, Demand: Demand{Memory: gib}}

	if got := Schedule([]Candidate{big, small}, room, now); got[0].Check != CheckBudget || !got[1].OK() {
		t.Errorf("before ten minutes: %+v, want small to pass", got)
	}
	if got := Schedule([]Candidate{big, small}, room, now.Add(1)); got[1].Check != CheckPlace {
		t.Errorf("after ten minutes: %+v, want the place kept", got)
	}
	important := Candidate{ID: "important", Priority: 1, Came: now, Demand: Demand{Memory: gib}}
	if got := Schedule([]Candidate{big, important}, room, now.Add(1)); !got[1].OK() {
		t.Errorf("a higher priority is not behind the kept place: %+v", got)
	}
	big.Demand.Waits, big.ScarceSince = "after x: running", time.Time{}
	if got := Schedule([]Candidate{big, small}, room, now.Add(1)); !got[1].OK() {
		t.Errorf("one that waits for a dependency keeps no place: %+v", got)
	}
}

// Whatever waits, admission never gives more than there is, and every no has
// its reason.
func TestScheduleNeverOverbooks(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	now := time.Unix(1e9, 0)
	for range 2000 {
		room := Headroom{
			Slots: random.IntN(6), Budget: quantity.Bytes(random.IntN(64)) * gib,
			Available: quantity.Bytes(random.IntN(64)) * gib, AvailableKnown: random.IntN(2) == 0,
		}
		var waiting []Candidate
		for range random.IntN(12) {
			c := Candidate{ID: "x", Priority: random.IntN(3), Came: now.Add(time.Duration(random.IntN(9)))}
			c.Demand.Memory = quantity.Bytes(random.IntN(20)) * gib
			if random.IntN(3) == 0 {
				c.ScarceSince = now.Add(-time.Duration(random.IntN(20)) * time.Minute)
			}
			waiting = append(waiting, c)
		}
		var slots int
		var memory quantity.Bytes
		for i, v := range Schedule(waiting, room, now) {
			if v.OK() {
				slots++
				memory += waiting[i].Demand.Memory
			} else if v.Reason == "" {
				t.Fatalf("refused without a reason: %+v", v)
			}
		}
		if slots > room.Slots || memory > room.Budget || room.AvailableKnown && memory > room.Available {
			t.Fatalf("overbooked: %d slots and %s of %+v", slots, memory, room)
		}
	}
}

// Who has waited long for another power mode is not passed by those that ask for one;
// the others are not held up by it.
func TestScheduleKeepsAMode(t *testing.T) {
	now := time.Unix(1e9, 0)
	room := Headroom{Slots: 9, Budget: 9 * gib, Mode: "MAXN", ModeBy: "x"}
	for _, tc := range []struct {
		waited time.Duration
		want   []Check
	}{
		{time.Minute, []Check{CheckPowerMode, CheckNone, CheckNone}},
		{time.Hour, []Check{CheckPowerMode, CheckPlace, CheckNone}},
	} {
		verdicts := Schedule([]Candidate{
			{ID: "long", Demand: Demand{Mode: "15W"}, ScarceSince: now.Add(-tc.waited)},
			{ID: "same", Demand: Demand{Mode: "maxn"}},
			{ID: "any", Demand: Demand{}},
		}, room, now)
		for i, v := range verdicts {
			if v.Check != tc.want[i] {
				t.Errorf("after %v: candidate %d: %+v", tc.waited, i, v)
			}
		}
	}
	free := Schedule([]Candidate{{ID: "a", Demand: Demand{Mode: "MAXN"}}, {ID: "b", Demand: Demand{Mode: "15W"}}}, Headroom{Slots: 9}, now)
	if !free[0].OK() || free[1].Reason != "needs power mode 15W, a has MAXN" {
		t.Errorf("%+v", free)
	}
}
