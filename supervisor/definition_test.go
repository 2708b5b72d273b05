package supervisor

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
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
	b := begunWith(cfg.Experiments[0])
	if b["command"] == "" || len(b) > 5 || len(readBegun("x"+b.String()).differs(cfg.Experiments[0])) > 0 {
		t.Errorf("%v", b) // what has its default needs no place
	}
	changed := *cfg.Experiments[0]
	changed.WorkingDirectory, changed.Command = "/srv", []string{"/bin/false"}
	if got := strings.Join(readBegun("x"+b.String()).differs(&changed), " "); got != "command working_directory" {
		t.Errorf("%q differ", got)
	}
	if readBegun("x") != nil || len(readBegun("x").differs(&changed)) > 0 {
		t.Error("what an earlier brainjar has not written is not known")
	}
}
