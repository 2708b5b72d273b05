package cli

import (
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier returns a function that tells the service manager about brainjar
// itself by sd_notify(3), in order and without ever blocking its caller. Lines
// that nobody takes away are dropped: each is followed by a newer one.
func notifier() func(string) {
	lines := make(chan string, 16)
	go func() {
		for line := range lines {
			_, _ = daemon.SdNotify(false, line) // nobody to tell is not an error
		}
	}()
	return func(line string) {
		select {
		case lines <- line:
		default:
		}
	}
}

// watchdogEvery is WatchdogSec of brainjar's own unit, 0 if it has none.
func watchdogEvery() time.Duration {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return every
}
