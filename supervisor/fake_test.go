package supervisor_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"brainjar/transient/transienttest"
)

// seeded returns a source of random numbers whose seed is printed, and can be
// given again in BRAINJAR_SEED.
func seeded(t testing.TB) (uint64, *rand.Rand) {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("BRAINJAR_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("BRAINJAR_SEED=%d", seed)
	return seed, rand.New(rand.NewPCG(seed, 0))
}

func TestScenariosOnFake(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		play(t, name, func(t *testing.T, do func(stage)) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				fake := transienttest.NewFake()
				do(stage{TB: t, dir: dir, program: "/usr/bin/program", open: func() systemd { return fake }})
			})
		})
	}
}
