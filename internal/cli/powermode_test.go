package cli

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brainjar/sensors"
	"brainjar/sensors/sensorstest"
)

// modeBoard is a board whose nvpmodel keeps its mode beside it, and a state directory.
type modeBoard struct {
	testing.TB
	dir, state string
	log        bytes.Buffer
}

func newModeBoard(t *testing.T) *modeBoard {
	t.Helper()
	return &modeBoard{TB: t, state: t.TempDir(), dir: sensorstest.Tree(t, `[etc]
nvpmodel.conf = <<
< POWER_MODEL ID=0 NAME=MAXN >
< POWER_MODEL ID=1 NAME=15W >
< POWER_MODEL ID=3 NAME=7W >
>>
[usr/sbin]
mode = 1
nvpmodel = <<
#!/bin/sh
cd "${0%/*}"
case $1 in
-q)
	mode=$(cat mode)
	case $mode in 0) echo NV Power Mode: MAXN ;; 1) echo NV Power Mode: 15W ;; 3) echo NV Power Mode: 7W ;; esac
	echo "$mode"
	;;
-m)
	[ ! -e broken ] || exit 1
	[ ! -e slow ] || exec sleep 100
	echo "$2" >mode
	;;
*) exit 2 ;;
esac
>>
`)}
}

// process is a brainjar that has just begun.
func (b *modeBoard) process() *boardMode {
	return newBoardMode(sensors.FS(b.dir), b.state, slog.New(slog.NewTextHandler(&b.log, nil)))
}

func (b *modeBoard) mode() string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "usr/sbin/mode"))
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func (b *modeBoard) put(name, text string) {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, "usr/sbin", name), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *modeBoard) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// want checks the mode, and whether one from before is written down.
func (b *modeBoard) want(when, mode string, written bool) {
	b.Helper()
	_, err := os.Stat(filepath.Join(b.state, modeName))
	if got := b.mode(); got != mode || (err == nil) != written {
		b.Errorf("%s: mode %s, want %s; written down: %v", when, got, mode, err == nil)
	}
}

func TestPowerModeIsPutBack(t *testing.T) {
	b, ctx := newModeBoard(t), t.Context()
	b.must(b.process().Restore(ctx))
	b.want("nothing to put back", "1", false)
	b.must(b.process().Set(ctx, "15w"))
	b.want("as it is", "1", false)

	b.must(b.process().Set(ctx, "MAXN"))
	b.want("set", "0", true)
	if !strings.Contains(b.log.String(), `msg="power mode set" mode=MAXN before=15W clocks_pinned=false`) {
		t.Errorf("log %s", b.log.String())
	}
	b.must(b.process().Set(ctx, "3")) // by a brainjar that was started after a kill
	b.want("another", "3", true)
	b.must(b.process().Set(ctx, "7W"))
	b.must(b.process().Restore(ctx))
	b.want("put back", "1", false)

	// What somebody else has set meanwhile is theirs, and the mode from before then.
	b.must(b.process().Set(ctx, "MAXN"))
	b.put("mode", "3")
	b.must(b.process().Restore(ctx))
	b.want("left alone", "3", false)
	b.must(b.process().Set(ctx, "MAXN"))
	b.put("mode", "1")
	b.must(b.process().Set(ctx, "7W"))
	b.must(b.process().Restore(ctx))
	b.want("put back to what somebody set", "1", false)
}

// A brainjar that dies while it sets another mode still knows what was there before it
// set the first; so does one that could not set it.
func TestPowerModeHalfSet(t *testing.T) {
	for name, next := range map[string]func(*modeBoard){
		"put back":         func(*modeBoard) {},
		"set once more":    func(b *modeBoard) { b.must(b.process().Set(b.Context(), "7W")) },
		"the one it is in": func(b *modeBoard) { b.must(b.process().Set(b.Context(), "MAXN")) },
	} {
		b := newModeBoard(t)
		b.must(b.process().Set(b.Context(), "MAXN"))
		b.put("broken", "")
		if err := b.process().Set(b.Context(), "7W"); err == nil {
			t.Error("a failure of nvpmodel is taken for success")
		}
		b.must(os.Remove(filepath.Join(b.dir, "usr/sbin/broken")))
		b.want(name+": half set", "0", true)
		next(b)
		b.must(b.process().Restore(b.Context()))
		b.want(name, "1", false)
	}
}

// A mode that is not set leaves what was there before, and one that cannot be put back
// stays written down. Nothing takes for ever.
func TestPowerModeInTrouble(t *testing.T) {
	b, ctx := newModeBoard(t), t.Context()
	if err := b.process().Set(ctx, "50W"); !errors.Is(err, sensors.ErrPowerMode) {
		t.Errorf("unknown: %v", err)
	}
	b.want("unknown", "1", false)
	b.put("broken", "")
	if err := b.process().Set(ctx, "MAXN"); err == nil {
		t.Error("a failure of nvpmodel is taken for success")
	}
	b.want("failed", "1", true)
	b.must(b.process().Restore(ctx))
	b.want("nothing was set", "1", false)

	b.must(os.Remove(filepath.Join(b.dir, "usr/sbin/broken")))
	b.must(b.process().Set(ctx, "MAXN"))
	b.put("broken", "")
	if err := b.process().Restore(ctx); err == nil {
		t.Error("a failure to put back is taken for success")
	}
	b.want("still to be put back", "0", true)
	b.must(os.Rename(filepath.Join(b.dir, "usr/sbin/broken"), filepath.Join(b.dir, "usr/sbin/slow")))
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := b.process().Restore(short); err == nil || time.Since(begun) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	b.want("still", "0", true)
	b.must(os.Remove(filepath.Join(b.dir, "usr/sbin/slow")))

	b.must(os.WriteFile(filepath.Join(b.state, modeName), []byte("{"), 0o600))
	if err := b.process().Restore(ctx); err == nil {
		t.Error("a damaged file is not told of")
	}
	b.want("damaged", "0", false)
}

func TestBoardWithoutPowerModes(t *testing.T) {
	fs, state := sensors.FS(sensorstest.Board(t, "nothing")), t.TempDir()
	if newBoardMode(fs, state, slog.New(slog.DiscardHandler)) != nil {
		t.Error("it has power modes")
	}
	if boardOf(fs, state, slog.New(slog.DiscardHandler)).PowerModes != nil {
		t.Error("the supervisor is told that it has")
	}
}
