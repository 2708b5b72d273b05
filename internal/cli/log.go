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
)

// newLog returns the log of the daemon: lines that a person can follow, with
// colour on a terminal, and with the journal's priorities where the journal
// reads them. flush waits a little until what was logged has been written.
func newLog(w io.Writer, level slog.Level) (log *slog.Logger, flush func()) {
	out := newOutlet(w)
	h := &lines{write: out.put, level: level}
	if f, ok := w.(*os.File); ok {
		h.journal = isJournal(f)
		h.colour = !h.journal && colourful(f)
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
	write   func(line string)
	level   slog.Level
	attrs   []slog.Attr
	journal bool
	colour  bool
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
	message := r.Message
	var experiment, reason string
	var facts strings.Builder
	add := func(a slog.Attr) bool {
		value := a.Value.Resolve().String()
		switch a.Key {
		case "experiment":
			experiment = value
		case "reason":
			reason = value
		case "phase":
			message = value
		default:
			if strings.ContainsAny(value, " \t\n\"=") || value == "" {
				value = fmt.Sprintf("%q", value)
			}
			fmt.Fprintf(&facts, " %s=%s", a.Key, value)
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)

	var line strings.Builder
	if h.journal {
		fmt.Fprintf(&line, "<%d>", priority(r.Level))
	} else {
		line.WriteString(r.Time.Format(time.TimeOnly) + " ")
	}
	if experiment != "" {
		message = fmt.Sprintf("%-10s %-16s", message, experiment)
	}
	line.WriteString(h.paint(r.Level, message))
	line.WriteString(facts.String())
	if reason != "" {
		line.WriteString(": " + strings.ReplaceAll(reason, "\n", " "))
	}
	line.WriteString("\n")
	h.write(line.String())
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

// priority is the level in the numbers of syslog(3), which the journal takes
// from the start of a line (sd-daemon(3)).
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
