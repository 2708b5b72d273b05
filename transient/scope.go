package transient

import (
	"context"
	"syscall"

	sddbus "github.com/coreos/go-systemd/v22/dbus"
)

type scopeProcess struct{}

func (m *Manager) applyScope(t *tracked, s unitState) {}
func (m *Manager) scopeGone(t *tracked)               {}
func (m *Manager) killScopeMain(unit string, sig syscall.Signal, err *error) bool {
	return false
}
func (m *Manager) startScope(ctx context.Context, c *conn, t *tracked, spec Spec, props []sddbus.Property) error {
	return ErrUnsupported
}
func scopeIdentity(name, description string) (string, int, int) { return "", 0, 0 }
func runScopeExec(args []string) int                            { return 1 }
