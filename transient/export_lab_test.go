//go:build lab

package transient

import "time"

// SetPing sets how long a connection may be silent. Call it before Run.
func (m *Manager) SetPing(d time.Duration) { m.ping = d }
