package transient

import "errors"

// The errors that a caller may branch on. They come wrapped, with the unit and
// what systemd said.
var (
	// ErrExists: a unit of that name is running already.
	ErrExists = errors.New("the unit is running already")
	// ErrNoUnit: there is no such unit, or it is not running any more.
	ErrNoUnit = errors.New("there is no such unit")
	// ErrDisconnected: there is no connection to the service manager now.
	ErrDisconnected = errors.New("no connection to systemd")
	// ErrUncertain: the connection was lost while an order was under way, and
	// was not made again in time. Whether the order was carried out shows in
	// the events that follow the next connection.
	ErrUncertain = errors.New("systemd did not answer in time")
	// ErrNotNow: systemd itself cannot start anything now, whatever the spec:
	// the slice is being stopped, the machine shuts down, /run is full.
	ErrNotNow = errors.New("systemd starts nothing now")
	// ErrStopped: somebody stopped the unit before systemd had begun with it.
	ErrStopped = errors.New("somebody stopped it before it had begun")
	// ErrUnsupported: this machine or this systemd cannot do that.
	ErrUnsupported = errors.New("not supported by this machine")
)
