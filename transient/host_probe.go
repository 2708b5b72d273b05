package transient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// Probe asks a service manager and the kernel what they can do, without
// managing anything. A connection that is lost is made anew until ctx ends: a
// service manager that executes itself again drops those that it has.
func Probe(ctx context.Context, user bool) (Host, error) {
	for {
		host, err := probe(ctx, user)
		if !wasLost(err) {
			return host, err
		}
		select {
		case <-time.After(minRedial):
		case <-ctx.Done():
			return host, err
		}
	}
}

// wasLost reports whether an error is about a connection that there was.
func wasLost(err error) bool {
	for _, lost := range []error{ErrUncertain, io.EOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

func probe(ctx context.Context, user bool) (Host, error) {
	c, err := dial(ctx, privateAddress(user), defaultCallTimeout, askVersion)
	if err != nil {
		return Host{}, err
	}
	defer c.close()
	groups, err := readCgroups()
	if err != nil {
		return Host{}, err
	}
	host, _, err := detectHost(ctx, c, user, groups)
	return host, err
}

// Check answers whether this host can run a spec as it is asked for: the
// warnings name what it does not know, the error what it cannot enforce. Whether
// all that the spec names is there, CheckNamed says.
func (h Host) Check(spec Spec) (warnings []string, err error) {
	if spec.Command, err = resolveCommand(spec); err != nil {
		spec.Command = []string{"/absent"} // no other property depends on it
	}
	_, warnings, err = properties(spec, h, nil)
	return warnings, err
}

// String says what the host is, in the words of systemctl --version and of
// the kernel's documentation.
func (h Host) String() string {
	manager, layout := "systemd", "v2"
	if h.User {
		manager = "user manager of systemd"
	}
	if !h.Unified {
		layout = "v1"
	}
	return fmt.Sprintf("%s %d, control groups %s", manager, h.Version, layout)
}
