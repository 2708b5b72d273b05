package transienttest

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"brainjar/transient"
)

// Systemd is what the contract is about: a transient.Manager that runs, or a
// Fake that does.
type Systemd interface {
	Events() <-chan transient.Event
	Start(ctx context.Context, spec transient.Spec) error
	Stop(ctx context.Context, unit string) error
	Kill(ctx context.Context, unit string, whom transient.Whom, sig syscall.Signal) error
	Forget(ctx context.Context, unit transient.Unit) error
	SetLimits(ctx context.Context, unit string, l transient.Limits) (transient.Limits, error)
	Freeze(ctx context.Context, unit string) error
	Thaw(ctx context.Context, unit string) error
	Usage(unit string) (transient.Usage, error)
	Processes(unit string) ([]int, error)
	SetSlice(ctx context.Context, l transient.Limits) (transient.Limits, error)
	OwnJob(ctx context.Context) (string, error)
	Host(ctx context.Context) (transient.Host, error)
}

// seedVariable sets the seed of what a contract draws at random.
const seedVariable = "BRAINJAR_SEED"

// Case is one clause of the contract.
type Case struct {
	Name  string
	check func(s *session)
}

// Cases returns the clauses of the contract, each to be checked on a Systemd
// of its own.
func Cases() []Case {
	return []Case{
		{"exit codes", exitCodes},
		{"deaths by signal", deathsBySignal},
		{"program is missing", programMissing},
		{"arguments are not expanded", argumentsVerbatim},
		{"status", statusTexts},
		{"status of one that loads", statusOfLoader},
		{"ready", readyNotify},
		{"ready too late", readyTooLate},
		{"runtime max", runtimeMax},
		{"watchdog", watchdog},
		{"stop", stopGraceful},
		{"stop by a signal of one's own", stopSignal},
		{"stop of one that ignores it", stopIgnored},
		{"kill", killMain},
		{"kill all", killAll},
		{"leftover children", leftoverChildren},
		{"sixteen at a time", sixteenAtATime},
		{"name used again", nameUsedAgain},
		{"start twice", startTwice},
		{"no such unit", noSuchUnit},
		{"out of memory", outOfMemory},
		{"child out of memory", childOutOfMemory},
		{"limits", limitsHold},
		{"limits changed live", limitsLive},
		{"limit raised live", limitsRaised},
		{"CPU quota", cpuQuota},
		{"usage", usage},
		{"freeze and thaw", freezeAndThaw},
		{"stop of a frozen one", stopFrozen},
		{"scope", scope},
		{"stop of a scope", scopeStop},
		{"slice", sliceLimits},
	}
}

// Contract checks everything that both real systemd and the fake must do, each
// clause on a Systemd that open returns running. Program is the test binary,
// whose TestMain calls RunWorkload. Sizes, codes and signals are drawn at
// random; the seed is logged and can be set by BRAINJAR_SEED.
func Contract(t *testing.T, open func(t *testing.T) Systemd, program string) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.Check(t, open(t), program) })
	}
}

// processStart is the seed if none is set.
var processStart = uint64(time.Now().UnixNano())

// Check checks one clause.
func (c Case) Check(t *testing.T, systemd Systemd, program string) {
	seed := processStart
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("cannot read %s: %v", seedVariable, err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	name := fnv.New64a()
	_, _ = name.Write([]byte(c.Name)) // a hash cannot fail
	c.check(newSession(t, systemd, program, rand.New(rand.NewPCG(seed, name.Sum64()))))
}
