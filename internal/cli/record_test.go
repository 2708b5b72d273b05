package cli

import (
	"os"
	"path/filepath"
	"testing"

	"brainjar/sensors"
)

// What was written down is forgotten if it makes no sense, not if it cannot be read.
func TestDiscard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "caps")
	var caps []sensors.Cap
	if err := os.Mkdir(path, 0o700); err != nil { // which no read can read
		t.Fatal(err)
	}
	if err := discard(path, readJSON(path, &caps)); err == nil {
		t.Error("a directory was read")
	}
	if err := os.Remove(path); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	if err := os.WriteFile(path, []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := discard(path, readJSON(path, &caps)); err == nil {
		t.Error("half a file was read")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("what makes no sense is still there")
	}
}
