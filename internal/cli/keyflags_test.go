package cli

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"brainjar/internal/config"
)

// Each key of an experiment is a flag of submit, but for those that a submitted
// experiment says otherwise or cannot have.
func TestEveryKeyIsAFlag(t *testing.T) {
	root := newRoot(io.Discard, io.Discard)
	submit, _, err := root.Find([]string{"submit"})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range config.ExperimentKeys() {
		flag := submit.Flags().Lookup(flagName(key.Name))
		switch {
		case key.Name == "command" || key.Name == "matrix":
		case flag == nil:
			t.Errorf("%s is no flag", key.Name)
		case strings.ContainsAny(flag.Value.Type(), " \"") || strings.Contains(flag.Usage, "`"):
			t.Errorf("help of --%s: %q %q", flag.Name, flag.Value.Type(), flag.Usage)
		}
	}
	for _, flag := range []string{"user", "socket"} {
		if submit.Flags().Lookup(flag) != nil && submit.InheritedFlags().Lookup(flag) == nil {
			t.Errorf("--%s of all commands means something else here", flag)
		}
	}
}

func TestKeyFlags(t *testing.T) {
	t.Setenv("OWN", "mine")
	for _, test := range []struct{ args, want string }{
		{"--memory-max 8G --cpu-quota=150% --priority -3", `{"memory_max":"8G","cpu_quota":"150%","priority":-3}`},
		{"--gpu --allow-unenforced=false", `{"gpu":true,"allow_unenforced":false}`},
		{"--restart-policy no --restart-factor 1.5 --restart-fatal-codes 1,2 --restart-fatal-codes 3", `{"restart":{"policy":"no","factor":1.5,"fatal_codes":[1,2,3]}}`},
		{"--probe-exec curl --probe-exec a,b --probe-every 5s", `{"probe":{"exec":["curl","a,b"],"every":"5s"}}`},
		{"--tag a,b --tag c", `{"tags":["a","b","c"]}`},
		{"--env A=1=2 --env OWN --env B=", `{"environment":{"A":"1=2","OWN":"mine","B":""}}`},
		{"--after a,b=ended --after c=started", `{"after":{"a":"succeeded","b":"ended","c":"started"}}`},
		{"--uid alice --gid lab --max-temperature 70", `{"user":"alice","group":"lab","max_temperature":70}`},
	} {
		var k keyFlags
		cmd := &cobra.Command{}
		k.add(cmd)
		if err := cmd.ParseFlags(strings.Fields(test.args)); err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		text, err := json.Marshal(k.keys)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(test.want), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s, want %s", test.args, text, test.want)
		}
	}
	for args, want := range map[string]string{
		"--priority high":         `"high" is not a whole number`,
		"--restart-factor x":      `"x" is not a number`,
		"--gpu=maybe":             `"maybe" is neither true nor false`,
		"--env NOT_SET_ANYWHERE":  "you have no variable",
		"--env =x":                "wants NAME=value",
		"--restart-fatal-codes x": `"x" is not a whole number`,
	} {
		var k keyFlags
		cmd := &cobra.Command{}
		k.add(cmd)
		if err := cmd.ParseFlags(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

func TestPathsAreAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var k keyFlags
	cmd := &cobra.Command{}
	k.add(cmd)
	if err := cmd.ParseFlags(strings.Fields("--working-directory . --writable-paths out --writable-paths /data --environment-files -env")); err != nil {
		t.Fatal(err)
	}
	if err := k.absolute(); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"working_directory": dir, "writable_paths": []any{dir + "/out", "/data"}, "environment_files": []any{"-" + dir + "/env"}}
	if !reflect.DeepEqual(k.keys, want) {
		t.Errorf("%v, want %v", k.keys, want)
	}
}
