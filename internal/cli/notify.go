package cli

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier returns a function that tells the service manager about brainjar
// itself by sd_notify(3), without ever blocking its caller.
func notifier() func(string) {
	n := &notices{wake: make(chan struct{}, 1)}
	go func() {
		for range n.wake {
			for _, line := range n.take() {
				_, _ = daemon.SdNotify(false, line) // nobody to tell is not an error
			}
		}
	}()
	return n.put
}

// notices are what waits to be told: of each kind, such as STATUS, the newest.
type notices struct {
	mu    sync.Mutex
	lines []string
	wake  chan struct{}
}

func (n *notices) put(line string) {
	kind, _, _ := strings.Cut(line, "=")
	n.mu.Lock()
	n.lines = slices.DeleteFunc(n.lines, func(old string) bool { return strings.HasPrefix(old, kind+"=") })
	n.lines = append(n.lines, line)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notices) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines := n.lines
	n.lines = nil
	return lines
}

// watchdogEvery is WatchdogSec of brainjar's own unit, 0 if it has none.
func watchdogEvery() time.Duration {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return every
}
