package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/journal"
)

// newLog returns the log of the daemon: lines that a person can follow, with
// colour on a terminal. The journal gets messages instead, with priorities and with
// every fact as a field of its own. flush waits a little until what was logged has
// been written.
func newLog(w io.Writer, level slog.Level) (log *slog.Logger, flush func()) {
	out := newOutlet(w)
	write := func(line string) { _, _ = io.WriteString(w, line) } // where the log cannot be written, nobody can be told
	h := &lines{level: level, write: func(line string) { out.put(func() { write(line) }) }}
	if f, ok := w.(*os.File); ok {
		h.colour = colourful(f)
		if isJournal(f) {
			h.send = func(m journal.Message) {
				out.put(func() {
					if m.Send() != nil { // the stream may still be there: sd-daemon(3)
						write(fmt.Sprintf("<%d>%s\n", m.Priority, m.Text))
					}
				})
			}
		}
	}
	return slog.New(h), out.flush
}

// isJournal reports whether f is the stream to the journal that systemd made:
// JOURNAL_STREAM holds its device and inode.
func isJournal(f *os.File) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	return os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// colourful reports whether what goes to f may be coloured: https://no-color.org.
func colourful(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminal(f) && os.Getenv("NO_COLOR") == ""
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// lines is a slog.Handler that writes
//
//	15:04:05 backoff    crash_001  run=2 result=exit-code: exited with code 3; …
//
// The new phase stands for the message that it changed, the experiment in a
// column of its own, and the reason comes last.
type lines struct {
	write  func(line string)
	send   func(journal.Message) // instead, if not nil
	level  slog.Level
	attrs  []slog.Attr
	colour bool
}

func (h *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = append(append([]slog.Attr{}, h.attrs...), attrs...)
	return &with
}

// WithGroup does nothing: brainjar's keys come from one flat list.
func (h *lines) WithGroup(string) slog.Handler { return h }

func (h *lines) Handle(_ context.Context, r slog.Record) error {
	head := r.Message
	var experiment, reason string
	var rest strings.Builder
	facts := map[string]string{"event": r.Message}
	add := func(a slog.Attr) bool {
		value := a.Value.Resolve().String()
		switch a.Key {
		case "experiment":
			experiment = value
		case "reason":
			reason = value
		case "phase":
			head, facts["to"] = value, value
			return true
		case "from": // the line before said it
		default:
			quoted := value
			if strings.ContainsAny(value, " \t\n\"=") || value == "" {
				quoted = fmt.Sprintf("%q", value)
			}
			fmt.Fprintf(&rest, " %s=%s", a.Key, quoted)
		}
		facts[a.Key] = value
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)

	if experiment != "" {
		head = fmt.Sprintf("%-10s %-16s", head, experiment)
	}
	if reason != "" {
		rest.WriteString(": " + strings.ReplaceAll(reason, "\n", " "))
	}
	if h.send != nil {
		h.send(journal.Message{Text: head + rest.String(), Priority: priority(r.Level), Facts: facts})
		return nil
	}
	h.write(r.Time.Format(time.TimeOnly) + " " + h.paint(r.Level, head) + rest.String() + "\n")
	return nil
}

// paint colours what a person must not miss.
func (h *lines) paint(level slog.Level, text string) string {
	switch {
	case !h.colour || level < slog.LevelWarn:
		return text
	case level < slog.LevelError:
		return "\x1b[33m" + text + "\x1b[0m"
	default:
		return "\x1b[31m" + text + "\x1b[0m"
	}
}

// priority is the level in the numbers of syslog(3).
func priority(level slog.Level) int {
	switch {
	case level >= slog.LevelError:
		return 3
	case level >= slog.LevelWarn:
		return 4
	case level >= slog.LevelInfo:
		return 6
	default:
		return 7
	}
}
