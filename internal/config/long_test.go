package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brainjar/internal/config"
)

// TestTooLong: what the kernel would refuse at every start is refused at once, and not
// printed.
func TestTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	load := func(length int) error {
		long := strings.Repeat("x", length)
		text := "[experiments.a]\nmemory_max = \"64M\"\ncommand = [\"/bin/true\", \"" + long + "\"]\nenvironment = { AB = \"" + long[3:] + "\" }\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(path)
		return err
	}
	if err := load(131071); err != nil {
		t.Errorf("what just fits: %.200v", err)
	}
	err := load(131072)
	if err == nil || len(err.Error()) > 1000 {
		t.Fatalf("%.2000v", err)
	}
	for _, words := range []string{"experiments.a.command: element 2 is 131072 bytes long", "experiments.a.environment.AB: is 131069 bytes long"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%q is not in %v", words, err)
		}
	}
}
