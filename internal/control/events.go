package control

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"

	"brainjar/internal/ledger"
)

// errBehind is how a stream ends whose reader is too slow, or was away for too long.
var errBehind = &Error{Message: "events were lost: there are more than are kept", Hint: "begin again, and look at the status for what was lost", Code: CodeBehind, Status: http.StatusGone}

// page is how many events are read from the ledger at a time.
const page = 1000

// events goes through what happened, and follows what happens.
func (s *Server) events(w http.ResponseWriter, q *http.Request) (any, error) {
	want, err := s.eventQuery(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.streaming(q)
	defer cancel()
	f := follower{s, s.newStream(w), want, want.After}
	until := s.Hub.Last()
	switch {
	case want.Lines > 0:
		err = f.newest(ctx)
		f.after = max(f.after, until)
	case want.After > 0:
		err = f.catchUp(ctx)
		if until > 0 { // or an id that was never given would wait for ever
			f.after = min(f.after, until)
		}
	default:
		f.after = until
	}
	if err == nil { // also for those who see no event: where to go on if brainjar is started anew
		err = f.out.write(alive(f.after))
	}
	if err == nil {
		err = f.follow(ctx, until)
	}
	return nil, f.out.end(cmp.Or(ctx.Err(), err))
}

// follower is a stream of events that is being written.
type follower struct {
	s     *Server
	out   stream
	want  EventQuery
	after int64 // the id of the event up to which it is written
}

// newest writes the newest events of the past: from the hub, and from the ledger those
// that the hub does not keep.
func (f *follower) newest(ctx context.Context) error {
	recent, oldest := f.s.Hub.Newest(f.want.Lines, f.want.After, f.means)
	var past []Event
	if more := f.want.Lines - len(recent); more > 0 && f.want.After < oldest && f.s.History != nil {
		var err error
		past, err = f.s.History.Events(ctx, ledger.Query{Experiments: f.want.Experiments, After: f.want.After, Before: oldest, Limit: more})
		if err != nil {
			return err
		}
	}
	for events := range slices.Chunk(slices.Concat(past, recent), atOnce) {
		if err := f.pass(events); err != nil {
			return err
		}
	}
	return nil
}

// catchUp writes the events of the ledger that the hub does not keep.
func (f *follower) catchUp(ctx context.Context) error {
	for f.s.History != nil && f.after < f.s.Hub.Oldest() {
		past, err := f.s.History.EventsAfter(ctx, f.after, page)
		if err != nil {
			return err
		}
		oldest := f.s.Hub.Oldest()
		over := slices.IndexFunc(past, func(e Event) bool { return e.ID >= oldest })
		if over >= 0 {
			past = past[:over]
		}
		if err := f.pass(past); err != nil {
			return err
		}
		if over >= 0 || len(past) < page {
			break
		}
	}
	return nil
}

// follow writes the events that the hub keeps, and then those that come if that is
// asked for; if not, those up to an id.
func (f *follower) follow(ctx context.Context, until int64) error {
	for f.want.Follow || f.after < until {
		wait, stop := context.WithTimeout(ctx, keepAlive)
		events, behind, err := f.s.Hub.After(wait, f.after)
		stop()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			err = f.out.write(alive(f.after))
		case behind:
			err = errBehind
		default:
			if last := slices.IndexFunc(events, func(e Event) bool { return e.ID > until }); !f.want.Follow && last >= 0 {
				events = events[:last]
			}
			err = f.pass(events)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pass writes those of some events that are asked for.
func (f *follower) pass(events []Event) error {
	var text []byte
	for _, e := range events {
		if f.after = max(f.after, e.ID); f.means(e) {
			text = event(text, "", e.ID, e)
		}
	}
	if len(text) == 0 {
		return nil
	}
	return f.out.write(text)
}

func (f *follower) means(e Event) bool {
	return len(f.want.Experiments) == 0 || slices.Contains(f.want.Experiments, e.Experiment)
}

func (s *Server) eventQuery(q *http.Request) (want EventQuery, err error) {
	if want.Experiments, err = s.meant(q); err != nil {
		return want, err
	}
	if want.Lines, err = numberOf(q, "lines"); err != nil {
		return want, err
	}
	want.Lines = min(want.Lines, kept)
	if want.Follow, err = flagOf(q, "follow"); err != nil {
		return want, err
	}
	text := q.URL.Query().Get("after")
	if text == "" {
		text = q.Header.Get("Last-Event-ID")
	}
	if text != "" {
		if want.After, err = strconv.ParseInt(text, 10, 64); err != nil || want.After < 0 {
			return want, badQuery("after", text, "the id of an event")
		}
	}
	return want, nil
}
