//go:build lab

package transient_test

import (
	"testing"

	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// TestContract holds real systemd to what the fake also does.
func TestContract(t *testing.T) {
	transienttest.Contract(t, func(t *testing.T) transienttest.Systemd {
		m, _ := launch(t, transient.Options{}, nil)
		return m
	}, executable(t))
}
