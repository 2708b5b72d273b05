package config

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"brainjar/internal/quantity"
)

const orders = `
[defaults]
memory_max = "1G"
environment = { A = "default" }
[experiments.a]
command = ["true", "{config}"]
config = "/a.json"
after = ["b"]
[experiments.b]
command = ["true"]
matrix = { n = [1, 2] }
`

// keysOf reads keys as they come over the socket.
func keysOf(t *testing.T, text string) Keys {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var keys Keys
	if err := d.Decode(&keys); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestSubmitted(t *testing.T) {
	c := mustLoad(t, orders)
	e, err := c.Submitted("new", keysOf(t, `{"command": ["echo", "{id}", "{run}"], "cpu_quota": "50%", "priority": -3,
		"restart": {"policy": "no", "factor": 1.5}, "environment": {"B": "own"}, "after": {"b": "ended", "other": "started"}}`), []string{"other"})
	if err != nil {
		t.Fatal(err)
	}
	if got := e.CommandFor(7, 0); !slices.Equal(got, []string{"echo", "new", "7"}) {
		t.Errorf("command %q", got)
	}
	if e.MemoryMax != quantity.GiB || e.CPUQuota != 50 || e.Priority != -3 || e.Restart.Policy != RestartNo || e.Restart.Factor != 1.5 || e.StopTimeout != 30*time.Second {
		t.Errorf("%+v", e)
	}
	if got := e.EnvironmentFor(1, 0); !slices.Equal(got, []string{"A=default", "B=own"}) {
		t.Errorf("environment %q", got)
	}
	want := []Dependency{{"b.1", Ended}, {"b.2", Ended}, {"other", Started}}
	if len(e.After) != 3 || !slices.Contains(e.After, want[0]) || !slices.Contains(e.After, want[1]) || !slices.Contains(e.After, want[2]) {
		t.Errorf("after %v", e.After)
	}
	if len(c.Experiments) != 3 {
		t.Error("the configuration has changed")
	}
}

func TestSubmittedWrong(t *testing.T) {
	c := mustLoad(t, orders)
	for _, test := range []struct{ id, keys, want string }{
		{"x", `{"comand": ["true"]}`, "comand: unknown key; did you mean command?"},
		{"x", `{}`, "command is required"},
		{"x", `{"command": ["true"], "memory_max": "1M"}`, "memory_max: must be at least 16M"},
		{"x", `{"command": ["true"], "memory_max": null}`, "null is no value"},
		{"x/y", `{"command": ["true"]}`, `"x/y" is not an id`},
		{"x", `{"command": ["true"], "matrix": {"n": [1]}}`, "matrix: a matrix belongs to a file"},
		{"x", `{"command": ["true"], "after": ["x"]}`, "after: waits for itself"},
		{"x", `{"command": ["true"], "after": ["nobody"]}`, `after: there is no experiment "nobody"`},
		{"x", `{"command": ["true", "{nope}"]}`, "command: unknown placeholder {nope}"},
		{"x", `{"command": ["true"], "restart": {"delay": [1]}}`, "restart.delay: wants"},
		{"x", `{"command": ["true"], "a\nb": 1}`, "unknown key"},
	} {
		_, err := c.Submitted(test.id, keysOf(t, test.keys), nil)
		var problems Errors
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.keys, err, test.want)
		}
	}
}

func TestOverride(t *testing.T) {
	c := mustLoad(t, orders)
	a, _ := c.Experiment("a")
	changed, err := c.Override(a, "/other.json", keysOf(t, `{"memory_max": "3G", "environment": {"B": "own"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := changed.CommandFor(1, 0); !slices.Equal(got, []string{"true", "/other.json"}) {
		t.Errorf("command %q", got)
	}
	if changed.MemoryMax != 3*quantity.GiB || len(changed.After) != 2 {
		t.Errorf("%+v", changed)
	}
	if got := a.Differences(changed); !slices.Equal(got, []string{"command", "config", "environment", "memory_max"}) {
		t.Errorf("differences %q", got)
	}
	if a.MemoryMax != quantity.GiB || len(a.Environment) != 1 {
		t.Errorf("the experiment itself has changed: %+v", a)
	}
	again, err := c.Override(a, "", nil)
	if err != nil || len(a.Differences(again)) > 0 {
		t.Errorf("differences %q, %v", a.Differences(again), err)
	}
	for keys, want := range map[string]string{
		`{"memory_high": "2G"}`: "memory_high (2G) must not be more than memory_max (1G)",
		`{"after": ["b"]}`:      "after: cannot be changed by an order",
		`{"nope": 1}`:           "nope: unknown key",
	} {
		if _, err := c.Override(a, "", keysOf(t, keys)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", keys, err, want)
		}
	}
}

func TestSettingsDiffer(t *testing.T) {
	c, d := mustLoad(t, orders), mustLoad(t, "[supervisor]\nmax_concurrent = 9\n[thermal]\nthrottle = 71\n"+orders)
	if got := c.Differences(d); !slices.Equal(got, []string{"supervisor.max_concurrent", "thermal.throttle"}) {
		t.Errorf("differences %q", got)
	}
}

func TestLiteral(t *testing.T) {
	for _, text := range []string{"plain", "{id}", "${HOME}", "{{id}}", "a{run}b{x}", "{", "{{{config}}}"} {
		if got := (variables{"id": "1", "run": "2", "config": "3"}).replace(Literal(text)); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
