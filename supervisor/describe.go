package supervisor

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"brainjar/internal/quantity"
	"brainjar/transient"
)

// Describe says in a few words how a run ended.
func Describe(o transient.Outcome) string {
	switch o.Result {
	case transient.OOMKill:
		return "killed for memory"
	case transient.Timeout:
		return orElse(o.Detail, "ran longer than runtime_max")
	case transient.Watchdog:
		return "missed its watchdog"
	case transient.StartFailed:
		return orElse(o.Detail, "could not be started")
	case transient.Lost:
		return "is gone, and nobody saw how it ended"
	}
	switch {
	case o.KilledAtStop:
		return "did not end within its stop_timeout, killed"
	case o.Signal != 0:
		return "died by " + signalName(o.Signal)
	case neverReady(o) && o.Detail != "":
		return o.Detail
	case o.ExitCode < 0:
		return "ended, its exit status is not known"
	default:
		return fmt.Sprintf("exited with code %d", o.ExitCode)
	}
}

// signalName is the name of a signal as people write it, "SIGTERM".
func signalName(sig syscall.Signal) string { return unix.SignalName(sig) }

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// round shortens a duration to what a person wants to read.
func round(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}

// brief writes a duration as people write it in a configuration: "60s", "10m".
func brief(d time.Duration) string {
	if d < 2*time.Minute {
		return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
	}
	text := d.String()
	if whole, ok := strings.CutSuffix(text, "m0s"); ok {
		text = whole + "m"
	}
	if whole, ok := strings.CutSuffix(text, "h0m"); ok {
		text = whole + "h"
	}
	return text
}

// count writes "1 restart", "3 restarts".
func count(n int, noun string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Times writes how often something happened: "once", "5 times".
func Times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// resultAttrs are the facts of an end that belong into the log.
func resultAttrs(o transient.Outcome, limit quantity.Bytes) []slog.Attr {
	attrs := []slog.Attr{slog.String("result", string(o.Result))}
	if o.ExitCode >= 0 {
		attrs = append(attrs, slog.Int("exit_code", o.ExitCode))
	}
	if o.Signal != 0 {
		attrs = append(attrs, slog.String("signal", signalName(o.Signal)))
	}
	if o.MemoryPeak > 0 {
		attrs = append(attrs, slog.String("memory_peak", o.MemoryPeak.String()))
	}
	if o.OOMKills > 0 || o.Result == transient.OOMKill {
		attrs = append(attrs, slog.String("memory_max", limit.String()), slog.Int("oom_kills", o.OOMKills))
	}
	if o.CPUTime > 0 {
		attrs = append(attrs, slog.Duration("cpu", round(o.CPUTime)))
	}
	return attrs
}
