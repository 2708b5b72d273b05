package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
	"brainjar/sensors"
)

// sensorsCommand is `brainjar sensors`.
type sensorsCommand struct {
	remote  *remote
	watch   bool
	local   bool
	format  string
	sysroot string
}

func newSensors(r *remote) *cobra.Command {
	s := sensorsCommand{remote: r}
	cmd := &cobra.Command{
		Use: "sensors", Short: "Show what the machine feels: heat, power, clocks, memory", GroupID: groupLook,
		Long: `Show what the machine feels: its thermal zones with the temperatures at which the
kernel acts by itself, and which of them count for [thermal]; what cools it; what its
supply rails and fans do; load and clocks of CPUs and GPUs; memory, swap and disk; how
long tasks wait for these (PSI); moments in which the supply was overloaded; memory of
GPUs by process; and how the board is set.

Absent is what this machine does not have, or what tells nothing at the moment. Failed
is what cannot be read, with the reason. Neither is ever shown as 0.

It asks the running brainjar. Without one, or with --local, it reads the sensors
itself, which takes a second; some of them need root. Then all zones are shown as
counting, as without a configuration. --watch draws the picture every 2 seconds, on a
terminal with bars and the course of the last minute, until Ctrl-C; with -o json it
writes one line each time.`,
		Args: wants(),
		RunE: r.asking(func(ctx context.Context, c *control.Client, _ []string) error { return s.run(ctx, c) }),
	}
	cmd.Flags().BoolVarP(&s.watch, "watch", "w", false, "draw it again every 2 seconds")
	cmd.Flags().BoolVar(&s.local, "local", false, "read the sensors without asking brainjar")
	cmd.Flags().StringVar(&s.sysroot, "sysroot", "", "directory that holds the sys and proc of the sensors; implies --local")
	_ = cmd.Flags().MarkHidden("sysroot")
	formatFlag(cmd, &s.format, "table", "json")
	return cmd
}

// source tells what the machine feels at this moment.
type source func(context.Context) (control.Sensors, error)

func (s *sensorsCommand) run(ctx context.Context, c *control.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, first, err := s.choose(ctx, c)
	if err != nil {
		return err
	}
	if !s.watch {
		if s.format == "json" {
			return printDocument(s.remote.stdout, first)
		}
		return printTo(s.remote.stdout, func(w *bufio.Writer) { (&picture{}).draw(w, first) })
	}
	return s.follow(ctx, from, first)
}

// choose finds out who is to be asked, and returns the first answer.
func (s *sensorsCommand) choose(ctx context.Context, c *control.Client) (source, control.Sensors, error) {
	if !s.local && s.sysroot == "" {
		first, err := c.Sensors(ctx)
		if !absent(err) {
			return c.Sensors, first, err
		}
		fmt.Fprintln(s.remote.stderr, "brainjar does not run: the sensors are read by this command itself")
	}
	own := s.own(ctx)
	first, err := own(ctx)
	return own, first, err
}

// absent reports whether an error says that there is no brainjar to be asked; one that
// may not be asked is there.
func absent(err error) bool {
	return errors.Is(err, control.ErrUnreachable) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED))
}

// ownInterval is the time between two readings that this command makes itself.
const ownInterval = time.Second

// own reads the sensors, until ctx ends. The first answer is the second reading: what
// the CPUs do, and what overloads the supply, shows between two.
func (s *sensorsCommand) own(ctx context.Context) source {
	m := machine{fs: sensors.FS(s.sysroot), caps: filepath.Join("/run/brainjar", clocksName)}
	sampler := sensors.Sampler{FS: m.fs, Interval: ownInterval, Disk: "/"}
	if s.sysroot != "" {
		sampler.Disk, m.caps = "", "" // which are those of this machine
	}
	second := make(chan struct{})
	go func() {
		n := 0
		_ = sampler.Run(ctx, func(r sensors.Reading) { // it cannot be set up wrongly
			m.keep(r)
			if n++; n == 2 {
				close(second)
			}
		})
	}()
	return func(ctx context.Context) (control.Sensors, error) {
		select {
		case <-second:
			return m.get(ctx, []string{"*"})
		case <-ctx.Done():
			return control.Sensors{}, ctx.Err()
		}
	}
}

// follow draws what is felt, again and again. A brainjar that is started anew is
// waited for.
func (s *sensorsCommand) follow(ctx context.Context, from source, now control.Sensors) error {
	screen := newScreen(s.remote.stdout)
	screen.begin()
	defer screen.end()
	p := picture{colour: colourful(s.remote.stdout)}
	if p.colour {
		p.course = make(map[string][]float64)
	}
	wake := make(chan struct{})
	lastAnswer, next := time.Now(), redraw
	var err error
	for {
		switch {
		case errors.Is(err, context.Canceled):
			return nil // Ctrl-C is how it ends
		case err != nil && (!passing(err) || time.Since(lastAnswer) > reconnectLimit):
			return err
		case err != nil:
			next = reconnectPause
		case s.format == "json":
			err = printObject(s.remote.stdout, now)
		default:
			err = screen.draw(func(w *bufio.Writer) { p.draw(w, now) })
		}
		if err != nil && !passing(err) {
			return err
		}
		if err == nil {
			lastAnswer, next = time.Now(), redraw
		}
		if !pause(ctx, wake, next) {
			return nil
		}
		now, err = from(ctx)
	}
}
