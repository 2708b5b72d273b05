package supervisor

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"brainjar/internal/config"
)

// What a run was started with is compared as JSON: each key must have one.
func TestEveryKeyIsComparable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte("[experiments.a]\ncommand = [\"/bin/true\"]\nmemory_max = \"64M\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range cfg.Experiments[0].Values() {
		if b, err := json.Marshal(value); err != nil || string(b) == "{}" && key != "environment" {
			t.Errorf("%s: %T is %s, %v", key, value, b, err)
		}
	}
	if b := begunWith(cfg.Experiments[0]); len(b) < 10 || len(readBegun("x"+b.String()).differs(cfg.Experiments[0])) > 0 {
		t.Errorf("%v", b)
	}
}
