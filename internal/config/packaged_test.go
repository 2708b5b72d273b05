package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// packaged makes the configuration file of the package in a directory, as
// packaging/deb does.
func packaged(t *testing.T) (path string) {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "awk", "-f", "../../packaging/config.awk", exampleFile).Output()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPackagedConfiguration: what the package installs sets nothing and runs nothing.
func TestPackagedConfiguration(t *testing.T) {
	path := packaged(t)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defaults, err := Load(empty)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Experiments) != 0 || c.Supervisor.MaxConcurrent != defaults.Supervisor.MaxConcurrent ||
		c.Thermal.Throttle != defaults.Thermal.Throttle || c.Memory != defaults.Memory {
		t.Errorf("it sets more than the defaults: %+v", c)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "[experiments") {
		t.Error("it has an experiment")
	}
	for _, section := range []string{"supervisor", "thermal", "memory", "defaults"} {
		if !strings.Contains(string(text), "\n["+section+"]\n") {
			t.Errorf("it does not show the settings of [%s]", section)
		}
	}
}

// TestPackagedDirectory: one file there is one experiment.
func TestPackagedDirectory(t *testing.T) {
	path := packaged(t)
	dir := filepath.Join(filepath.Dir(path), "experiments.d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "first.toml"), []byte("command = [\"true\"]\nmemory_max = \"64M\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil || ids(c.Experiments) != "first" {
		t.Errorf("experiments are %q (%v)", ids(c.Experiments), err)
	}
}

// TestGuidesShowExperiments: the files of one experiment that the guides show are such.
func TestGuidesShowExperiments(t *testing.T) {
	for _, guide := range []string{"quickstart.md", "jetson.md"} {
		text, err := os.ReadFile("../../docs/" + guide)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\n```toml\n")
		shown, _, found := strings.Cut(rest, "\n```\n")
		if !found {
			t.Errorf("%s shows no file", guide)
			continue
		}
		path := packaged(t)
		dir := filepath.Join(filepath.Dir(path), "experiments.d")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "shown.toml"), []byte(shown), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := Load(path); err != nil || ids(c.Experiments) != "shown" {
			t.Errorf("%s: experiments are %q (%v)", guide, ids(c.Experiments), err)
		}
	}
}
