package transient

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestResolveCommand(t *testing.T) {
	directory := t.TempDir()
	tool := filepath.Join(directory, "tool")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "notes"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name        string
		command     []string
		environment []string
		directory   string
		want        string // the program; "" for an error
		because     string
	}{
		{name: "absolute", command: []string{"/nope", "a"}, want: "/nope"},
		{name: "default path", command: []string{"sh", "a"}, want: "sh"}, // wherever it is
		{name: "the unit's path", command: []string{"tool", "a"}, environment: []string{"PATH=/nope:" + directory}, want: tool},
		{name: "the last path wins", command: []string{"tool"}, environment: []string{"PATH=" + directory, "PATH=/nope"}, because: "/nope"},
		{name: "not executable", command: []string{"notes"}, environment: []string{"PATH=" + directory}, because: directory},
		{name: "relative to the working directory", command: []string{"./run", "a"}, directory: "/srv/lab", want: "/srv/lab/run"},
		{name: "relative to nothing", command: []string{"./run"}, because: "working_directory"},
		{name: "relative path entry", command: []string{"tool"}, environment: []string{"PATH=."}, because: "tool"},
		{name: "empty", because: "no command"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spec := Spec{Experiment: "x", Kind: Service, Command: test.command, Environment: test.environment, WorkingDirectory: test.directory}
			got, err := resolveCommand(spec)
			switch {
			case test.want == "":
				if err == nil || !strings.Contains(err.Error(), test.because) {
					t.Errorf("%q, error %v, want one with %q", got, err, test.because)
				}
			case err != nil:
				t.Error(err)
			case !filepath.IsAbs(got[0]) || !strings.HasSuffix(got[0], test.want) || !slices.Equal(got[1:], test.command[1:]):
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
