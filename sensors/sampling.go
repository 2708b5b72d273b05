package sensors

import (
	"context"
	"log/slog"
	"time"

	"brainjar/internal/quantity"
)

// sampling is the state of one Run of a Sampler. It belongs to the goroutine
// that calls round and rest.
type sampling struct {
	sources  []*source
	families []*family
	last     []*source // those whose zones and GPUs come behind the kernel's
	answers  chan answer
	timeout  time.Duration
	log      *slog.Logger

	number      int  // of the round
	everHadZone bool // in a round before
}

// round asks every source and returns what they answered in time. It returns
// false when ctx is done. Sources that are busy since an earlier round are not
// waited for.
func (s *sampling) round(ctx context.Context) (Reading, bool) {
	reading := Reading{At: time.Now()}
	limit := time.NewTimer(s.timeout)
	defer limit.Stop()
	s.number++
	if !s.gather(ctx, limit.C) {
		return Reading{}, false
	}
	for _, src := range s.all() {
		s.report(src, &reading)
	}
	s.complete(&reading)
	return reading, true
}

// complete adds what follows from the answers of several sources.
func (s *sampling) complete(r *Reading) {
	nameZones(r.Zones)
	s.everHadZone = s.everHadZone || len(r.Zones) > 0
	r.EverHadZone = r.EverHadZone || s.everHadZone
	r.Power = boardPower(r.Rails)
	if r.unknownChip && r.Power.From == sumOfRails {
		r.Power.Power = Value[quantity.Milliwatts]{State: Failed}
	}
}

// gather asks and takes answers until nothing more is to be waited for, or the
// limit is reached. It returns false when ctx is done.
func (s *sampling) gather(ctx context.Context, limit <-chan time.Time) bool {
	for s.ask(ctx) > 0 {
		select {
		case <-ctx.Done():
			return false
		case a := <-s.answers:
			s.take(a)
		case <-limit:
			return true
		}
	}
	return ctx.Err() == nil
}

// rest waits for the next tick, while answers that come too late make their
// sources ready to be asked again. It returns false when ctx is done.
func (s *sampling) rest(ctx context.Context, tick <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case a := <-s.answers:
			s.take(a)
		case <-tick:
			return true
		}
	}
}

// all returns the sources that exist now, in the order of asking.
func (s *sampling) all() []*source {
	all := s.sources[:len(s.sources):len(s.sources)]
	for _, f := range s.families {
		all = append(all, f.listing)
		for _, dir := range f.order {
			all = append(all, f.members[dir])
		}
	}
	return append(all, s.last...)
}

// ask starts reading each source that is ready and was not asked in this
// round, and returns how many of this round's are still to answer. The members
// that a family's listing has just shown are asked in the same round.
func (s *sampling) ask(ctx context.Context) (waiting int) {
	for _, src := range s.all() {
		if now := time.Now(); src.round < s.number && src.due(now) {
			src.busy, src.round, src.asked = true, s.number, now
			go func() {
				accept, err := src.read()
				select {
				case s.answers <- answer{src, accept, err}:
				case <-ctx.Done():
				}
			}()
		}
		if src.round == s.number && src.awaited() {
			waiting++
		}
	}
	return waiting
}

// take notes the answer of a source. If the question was that of an earlier
// round, the answer is out of date, but the source is ready to be asked again.
func (s *sampling) take(a answer) {
	a.accept()
	a.from.busy, a.from.answered, a.from.err = false, true, a.err
}

// report puts the source's result into the reading, and logs when it begins
// and when it ceases to fail.
func (s *sampling) report(src *source, r *Reading) {
	err := src.result(time.Now())
	src.report(r, err)
	switch {
	case err == nil && src.failedSince.IsZero():
	case err == nil:
		s.log.Info("sensor reads again", "source", src.name, "after", r.At.Sub(src.failedSince))
		src.failedSince = time.Time{}
	default:
		if src.failedSince.IsZero() {
			src.failedSince = r.At
			s.log.Warn("cannot read sensor", "source", src.name, "err", err)
		}
		r.Problems = append(r.Problems, Problem{Source: src.name, Err: err, Since: src.failedSince})
	}
}
