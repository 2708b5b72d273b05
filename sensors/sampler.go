package sensors

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Sampler reads the machine's sensors once in each interval. Its fields are
// set before its first use and not changed after.
type Sampler struct {
	FS            FS            // the machine; empty: the one that brainjar runs on
	Interval      time.Duration // from reading to reading
	SourceTimeout time.Duration // how long one source may take; 0: the interval, at most a second
	Disk          string        // path whose file system is watched; empty: none
	Log           *slog.Logger  // nil: no log

	readFile reader // nil: that of FS
}

// Run hands one reading to out in each interval, the first at once, until ctx
// is done; then it returns nil. The only error is a Sampler that is set up
// wrongly. out is called by Run's own goroutine, so it must not block for
// longer than an interval.
//
// A source that does not answer within SourceTimeout is given up for this
// reading and reported as failed, and it is not asked again before it has
// answered. A goroutine that hangs in the kernel outlives Run; there is at
// most one for each source.
func (s *Sampler) Run(ctx context.Context, out func(Reading)) error {
	if s.Interval <= 0 {
		return errors.New("cannot sample sensors: the interval must be longer than 0")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // lets goroutines whose source answers later go
	ticker := time.NewTicker(s.Interval)
	defer ticker.Stop()
	sampling := s.begin(ctx)
	for {
		reading, ok := sampling.round(ctx)
		if !ok {
			return nil
		}
		out(reading)
		if !sampling.rest(ctx, ticker.C) {
			return nil
		}
	}
}

// Once returns a single reading, in which the use of the CPUs is Absent. Its
// error is that of ctx.
func (s *Sampler) Once(ctx context.Context) (Reading, error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	reading, ok := s.begin(inner).round(inner)
	if !ok {
		return Reading{}, ctx.Err()
	}
	return reading, nil
}

// timeout is how long a round may take, which is never more than an interval.
func (s *Sampler) timeout() time.Duration {
	limit := s.SourceTimeout
	if limit <= 0 {
		limit = time.Second
	}
	if s.Interval > 0 {
		limit = min(limit, s.Interval)
	}
	return limit
}

// begin makes the sources, none of which has been asked yet. A new kind of
// sensor is added here.
func (s *Sampler) begin(ctx context.Context) *sampling {
	read, log := s.readFile, s.Log
	if read == nil {
		read = s.FS.reader()
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	sources := []*source{
		boardSource(s.FS), cpuSource(ctx, s.FS), offlineSource(s.FS, read), memorySource(ctx, s.FS),
		pressureSource(s.FS, read), nvmapSource(s.FS), emcSource(s.FS, read),
	}
	if s.Disk != "" {
		sources = append(sources, diskSource(ctx, s.Disk))
	}
	return &sampling{
		sources: sources,
		families: []*family{
			zoneFamily(s.FS, read), chipFamily(s.FS, read), coolingFamily(s.FS, read),
			gpuFamily(s.FS, read), cpuClockFamily(s.FS, read),
		},
		last:    nvidiaSources(ctx, s.FS),
		answers: make(chan answer),
		timeout: s.timeout(),
		log:     log,
	}
}
