package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"brainjar/internal/control"
)

// redraw is how often the table of --watch is drawn at least: CPU and memory make no
// events.
const redraw = 2 * time.Second

// status is `brainjar status`.
type status struct {
	remote *remote
	which  selection
	watch  bool
	format string
}

func newStatus(r *remote) *cobra.Command {
	s := status{remote: r}
	cmd := &cobra.Command{
		Use: "status [ID...]", Short: "Show how brainjar and its experiments stand", GroupID: groupLook,
		Long: `Show how brainjar stands - slots, memory budget, temperature, and whatever keeps
experiments from starting - and how each experiment does: RUN is the number of its
latest run; MEMORY is now, at its peak, and the limit; RESTARTS counts those in a row,
with how many are allowed; LAST is the result of its last run.

-o wide shows more, -o json everything. --watch draws it again whenever something
happens, and every 2 seconds, until Ctrl-C; with -o json it writes one line each time.`,
		ValidArgsFunction: r.completeIDs,
		RunE:              r.asking(s.show),
	}
	s.which.tagFlag(cmd, r)
	cmd.Flags().BoolVarP(&s.watch, "watch", "w", false, "draw it again whenever something happens")
	formatFlag(cmd, &s.format, "table", "wide", "json")
	return cmd
}

func (s *status) show(ctx context.Context, c *control.Client, ids []string) error {
	if !s.watch {
		now, err := c.Status(ctx)
		if err != nil {
			return err
		}
		var unknown failures
		now.Experiments, unknown = s.which.of(now.Experiments, ids)
		if len(now.Experiments) == 0 && unknown != nil {
			return unknown
		}
		if err := s.print(now); err != nil {
			return err
		}
		return unknown.err()
	}
	if _, err := c.Status(ctx); err != nil {
		return err
	}
	screen := newScreen(s.remote.stdout)
	screen.begin()
	defer screen.end()
	for now, err := range watch(ctx, c, nil, redraw) {
		var unknown failures
		if err == nil {
			if now.Experiments, unknown = s.which.of(now.Experiments, ids); len(now.Experiments) == 0 {
				err = unknown.err()
			}
		}
		switch {
		case errors.Is(err, context.Canceled):
			return nil // Ctrl-C is how it ends
		case err != nil:
			return err
		case s.format == "json":
			err = printObject(s.remote.stdout, now)
		default:
			err = screen.draw(func(w *bufio.Writer) { s.table(w, now) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *status) print(now control.Status) error {
	if s.format == "json" {
		return printDocument(s.remote.stdout, now)
	}
	return printTo(s.remote.stdout, func(w *bufio.Writer) { s.table(w, now) })
}

// screen is a terminal that is drawn on again and again; anything else that is
// written to gets one picture after the other.
type screen struct {
	w    interface{ Write([]byte) (int, error) }
	file *os.File // nil: no terminal
}

func newScreen(w interface{ Write([]byte) (int, error) }) *screen {
	s := &screen{w: w}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		s.file = f
	}
	return s
}

// begin takes the terminal's other screen, and hides the cursor (xterm's control
// sequences, which all terminals of today know).
func (s *screen) begin() { s.send("\x1b[?1049h\x1b[?25l") }

// end gives the terminal back as it was.
func (s *screen) end() { s.send("\x1b[?25h\x1b[?1049l") }

func (s *screen) send(sequence string) {
	if s.file != nil {
		_, _ = s.file.WriteString(sequence) // there is nobody else to tell
	}
}

// draw draws a picture, as much of it as fits.
func (s *screen) draw(picture func(*bufio.Writer)) error {
	var whole bytes.Buffer
	b := bufio.NewWriter(&whole)
	picture(b)
	_ = b.Flush() // into memory
	if s.file == nil {
		_, err := s.w.Write(append(whole.Bytes(), '\n'))
		return err
	}
	rows, columns := 24, 80
	if size, err := unix.IoctlGetWinsize(int(s.file.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 0 && size.Col > 0 {
		rows, columns = int(size.Row), int(size.Col)
	}
	_, err := s.file.Write(frame(whole.Bytes(), rows, columns))
	return err
}

// frame is a picture cut to the size of a terminal, in one piece, so that nothing
// flickers: each line is written over the old one and cleared behind.
func frame(picture []byte, rows, columns int) []byte {
	frame := []byte("\x1b[H")
	for i, line := range bytes.Split(bytes.TrimSuffix(picture, []byte("\n")), []byte("\n")) {
		if i == rows {
			break
		}
		if i > 0 {
			frame = append(frame, "\r\n"...)
		}
		frame = append(frame, clip(string(line), columns)...)
		frame = append(frame, "\x1b[K"...)
	}
	return append(frame, "\x1b[J"...)
}
