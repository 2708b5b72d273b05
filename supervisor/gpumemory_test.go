package supervisor

import (
	"testing"
	"time"

	"brainjar/internal/quantity"
	"brainjar/sensors"
)

func TestOveruse(t *testing.T) {
	type sample struct {
		at    time.Duration
		used  quantity.Bytes
		known bool
	}
	const why = "uses 7G of GPU memory, more than its gpu_memory of 6G for 5s"
	for name, tc := range map[string]struct {
		given   quantity.Bytes
		samples []sample
		want    string // after the last; "" after all others
	}{
		"exactly what it was given": {6 * gib, []sample{{0, 6 * gib, true}, {time.Hour, 6 * gib, true}}, ""},
		"within the grace":          {6 * gib, []sample{{0, 7 * gib, true}, {4999 * time.Millisecond, 7 * gib, true}}, ""},
		"for the grace":             {6 * gib, []sample{{0, 8 * gib, true}, {2 * time.Second, 9 * gib, true}, {5 * time.Second, 7 * gib, true}}, why},
		"it went down between":      {6 * gib, []sample{{0, 7 * gib, true}, {3 * time.Second, 5 * gib, true}, {5 * time.Second, 7 * gib, true}}, ""},
		"not known between":         {6 * gib, []sample{{0, 7 * gib, true}, {3 * time.Second, 0, false}, {5 * time.Second, 7 * gib, true}}, ""},
		"never known":               {6 * gib, []sample{{0, 0, false}, {time.Hour, 0, false}}, ""},
		"no limit":                  {0, []sample{{0, 60 * gib, true}, {time.Hour, 60 * gib, true}}, ""},
	} {
		var o Overuse
		for i, s := range tc.samples {
			want := ""
			if i == len(tc.samples)-1 {
				want = tc.want
			}
			if got := o.Step(s.used, tc.given, s.known, 5*time.Second, time.Unix(1e9, 0).Add(s.at)); got != want {
				t.Errorf("%s: sample %d: %q, want %q", name, i, got, want)
			}
		}
	}
}

func known(b quantity.Bytes) sensors.Value[quantity.Bytes] {
	return sensors.Value[quantity.Bytes]{State: sensors.OK, V: b}
}

func TestCards(t *testing.T) {
	failed := sensors.Value[quantity.Bytes]{State: sensors.Failed}
	card := func(used, total sensors.Value[quantity.Bytes]) sensors.GPU {
		return sensors.GPU{MemoryUsed: used, MemoryTotal: total}
	}
	for name, tc := range map[string]struct {
		gpus []sensors.GPU
		want cards
	}{
		"none":                {nil, cards{}},
		"a Jetson's":          {[]sensors.GPU{{}}, cards{}},
		"one":                 {[]sensors.GPU{card(known(2*gib), known(24*gib))}, cards{true, 24 * gib, 2 * gib}},
		"two, and one inside": {[]sensors.GPU{card(known(gib), known(8*gib)), {}, card(known(0), known(8*gib))}, cards{true, 16 * gib, gib}},
		"one does not answer": {[]sensors.GPU{card(known(gib), known(8*gib)), card(failed, failed)}, cards{}},
		"one tells no use":    {[]sensors.GPU{card(sensors.Value[quantity.Bytes]{}, known(8*gib))}, cards{}},
	} {
		if got := cardsOf(tc.gpus); got != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What is used is not counted twice, and what is spoken for not given twice.
func TestCardsFree(t *testing.T) {
	claim := func(may, uses quantity.Bytes, known bool) GPUClaim { return GPUClaim{Claim{may, uses}, known, 0} }
	since := func(may, before quantity.Bytes) GPUClaim { return GPUClaim{Claim{May: may}, false, before} }
	for name, tc := range map[string]struct {
		used    quantity.Bytes
		running []GPUClaim
		want    quantity.Bytes
	}{
		"idle":                       {0, nil, 24 * gib},
		"others use some":            {3 * gib, nil, 21 * gib},
		"just started":               {0, []GPUClaim{claim(10*gib, 0, true)}, 14 * gib},
		"half loaded":                {5 * gib, []GPUClaim{claim(10*gib, 5*gib, true)}, 14 * gib},
		"loaded, beside others":      {12 * gib, []GPUClaim{claim(10*gib, 10*gib, true)}, 12 * gib},
		"more than it was given":     {12 * gib, []GPUClaim{claim(10*gib, 12*gib, true)}, 12 * gib},
		"not told, just started":     {0, []GPUClaim{claim(10*gib, 0, false)}, 14 * gib},
		"not told, loaded":           {10 * gib, []GPUClaim{claim(10*gib, 0, false)}, 14 * gib},
		"not told, beside others":    {3 * gib, []GPUClaim{since(10*gib, 3*gib)}, 11 * gib},
		"not told, loaded beside":    {13 * gib, []GPUClaim{since(10*gib, 3*gib)}, 11 * gib},
		"not told, the second":       {13 * gib, []GPUClaim{since(10*gib, 3*gib), since(6*gib, 13*gib)}, 5 * gib},
		"one told, the other is not": {9 * gib, []GPUClaim{claim(6*gib, 5*gib, true), claim(6*gib, 0, false)}, 12 * gib},
		"all spoken for":             {0, []GPUClaim{claim(20*gib, 0, true), claim(20*gib, 0, true)}, 0},
		"full":                       {24 * gib, nil, 0},
	} {
		if got := (cards{true, 24 * gib, tc.used}).free(tc.running); got != tc.want {
			t.Errorf("%s: %s left, want %s", name, got, tc.want)
		}
	}
}

func TestGPUOf(t *testing.T) {
	clients := map[int]sensors.Value[quantity.Bytes]{0: known(9 * gib), 7: known(gib), 8: known(2 * gib), 9: {}}
	for _, tc := range []struct {
		pids  []int
		want  quantity.Bytes
		known bool
	}{{nil, 0, true}, {[]int{5, 6}, 0, true}, {[]int{7, 8, 6}, 3 * gib, true}, {[]int{7, 9}, 0, false}} {
		if got, known := gpuOf(clients, tc.pids); got != tc.want || known != tc.known {
			t.Errorf("%v: %s, %v", tc.pids, got, known)
		}
	}
}

func TestAdmitGPUMemory(t *testing.T) {
	room := Headroom{Slots: 4, Budget: 64 * gib, GPU: 8 * gib, GPUKnown: true}
	if v := Admit(Demand{GPU: 8 * gib}, room); !v.OK() {
		t.Errorf("%+v", v)
	}
	v := Admit(Demand{GPU: 6 * gib}, room.Take(Demand{GPU: 6 * gib}))
	if v.Check != CheckGPUMemory || v.Reason != "needs 6G of GPU memory, 2G left" || !v.Scarce() {
		t.Errorf("%+v", v)
	}
	room.GPUKnown, room.GPU = false, 0
	if v := Admit(Demand{GPU: 6 * gib}, room); !v.OK() {
		t.Errorf("not known: %+v", v)
	}
}
