package transienttest

import (
	"testing"
	"testing/synctest"
)

// TestFakeContract holds the fake to the contract in a bubble each, where its
// seconds cost nothing.
func TestFakeContract(t *testing.T) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := NewFake()
				t.Cleanup(runFake(t, f))
				c.Check(t, f, "/bin/workload")
			})
		})
	}
}
