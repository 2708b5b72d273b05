package transienttest

import (
	"context"
	"fmt"
	"time"

	"brainjar/transient"
)

// CheckHealth makes a check; see Manager.CheckHealth. A workload is run as far
// as its sleep, print and exit go; of URLs SetHealth says what they answer, of a
// unit that is frozen nothing.
func (f *Fake) CheckHealth(ctx context.Context, unit transient.Unit, check transient.HealthCheck) error {
	u, err := f.unitCall(ctx, "check the health of", unit.Name)
	if err != nil {
		return err
	}
	said, frozen := f.health[unit.Name], u.unit.Frozen
	f.mu.Unlock()
	if frozen && len(check.Exec) == 0 {
		<-ctx.Done()
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
	if len(check.Exec) == 0 || said != nil {
		return said
	}
	steps, missing, err := program(check.Exec)
	if err != nil || missing {
		return fmt.Errorf("cannot run the check: %s: no such file or directory", check.Exec[0])
	}
	output := ""
	for _, s := range steps {
		switch s.verb {
		case "sleep":
			timer := time.NewTimer(s.duration)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return fmt.Errorf("no answer: %w", ctx.Err())
			}
		case "print":
			output = ": " + s.text
		case "exit":
			if s.code != 0 {
				return fmt.Errorf("exited with code %d%s", s.code, output)
			}
			return nil
		}
	}
	return nil
}

// SetHealth makes every check of a unit fail with err; nil: all is well again.
func (f *Fake) SetHealth(unit string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.health[unit] = err
}
