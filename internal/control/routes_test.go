package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"brainjar/internal/control"
	"brainjar/sensors"
	"brainjar/supervisor"
	"brainjar/transient/transienttest"
)

// lab is a configuration with something of everything.
const lab = `
[supervisor]
max_concurrent = 3
memory_budget = "8G"
[defaults]
memory_max = "1G"
restart.policy = "no"
[template]
command = ["true", "workload", "sleep=1h"]
config = "/etc/lab/{id}.json"
autostart = false
[experiments.runs]
command = ["true", "workload", "on=USR1:exit=7", "sleep=1h"]
description = "one that runs"
tags = ["night", "gpu"]
cpu_quota = "50%"
[experiments.fails]
command = ["false"]
[experiments.waits]
command = ["true"]
after = { runs = "succeeded" }
[experiments.idle]
command = ["true", "workload", "sleep=1h"]
autostart = false
tags = ["night"]
[experiments.sweep]
command = ["true", "workload", "sleep=1h"]
autostart = false
[experiments.sweep.matrix]
seed = [1, 2]
`

// TestRoutes: every route does what it is for, and answers as it is described.
func TestRoutes(t *testing.T) {
	h := open(t, lab)
	h.awaitPhase("runs", supervisor.Running)
	h.awaitPhase("fails", supervisor.Failed)

	t.Run("look", func(t *testing.T) {
		var status control.Status
		h.get(t, "/v1/status", &status)
		if len(status.Experiments) != 6 || status.Supervisor.Slots != 3 || status.Supervisor.MemoryBudget != 8<<30 || status.Supervisor.Phases["idle"] != 3 ||
			!status.Supervisor.Ready || status.Supervisor.PID != os.Getpid() || status.Supervisor.Config != h.config {
			t.Errorf("%+v", status)
		}
		h.get(t, "/v1/status?id=sweep", &status)
		if len(status.Experiments) != 2 || status.Experiments[0].Matrix != "sweep" {
			t.Errorf("of the matrix: %+v", status.Experiments)
		}
		h.get(t, "/v1/status?tag=night&tag=other", &status)
		if len(status.Experiments) != 2 || status.Experiments[0].Experiment != "runs" || status.Experiments[1].Experiment != "idle" {
			t.Errorf("with a tag: %+v", status.Experiments)
		}
		var e control.Experiment
		h.get(t, "/v1/experiments/runs", &e)
		if e.Phase != "running" || e.PID == 0 || e.Invocation == "" || e.MemoryMax != 1<<30 || e.CPUQuota != 50 || e.Run != 1 || e.MemoryCurrent == nil || e.Description == "" {
			t.Errorf("%+v", e)
		}
		h.get(t, "/v1/experiments/waits", &e)
		if e.Phase != "queued" || e.Reason != "after runs: running" || e.WaitsFor != "dependency" || e.QueuedAt.IsZero() {
			t.Errorf("%+v", e)
		}
		var why control.Why
		h.await("the run is in the ledger", func() bool { h.get(t, "/v1/experiments/fails/why", &why); return why.LastRun != nil })
		if words := strings.Join(why.Sentences, " "); !strings.Contains(words, "result exit-code: code 1") {
			t.Errorf("%+v", why)
		}
		var runs []map[string]any
		h.await("the run is in the history", func() bool { h.get(t, "/v1/history?id=fails&result=exit-code", &runs); return len(runs) == 1 })
		if runs[0]["experiment"] != "fails" || runs[0]["exit_code"] != 1.0 {
			t.Errorf("%v", runs)
		}
		h.get(t, "/v1/history?id=idle", &runs)
		if len(runs) != 0 {
			t.Errorf("%v", runs)
		}
		var versions control.Versions
		if h.get(t, "/v1/version", &versions); versions.API != "v1" || versions.Version != "test" {
			t.Errorf("%+v", versions)
		}
		var reading control.Sensors
		if h.get(t, "/v1/sensors", &reading); len(reading.Zones) != 1 || len(reading.ThermalZones) != 1 || reading.CPU.State != sensors.Absent {
			t.Errorf("reading is %+v", reading)
		}
	})

	t.Run("orders", func(t *testing.T) {
		h.obeyed("POST", "/v1/experiments/idle/start", "")
		h.awaitPhase("idle", supervisor.Running)
		h.obeyed("POST", "/v1/experiments/idle/freeze", "{}")
		h.awaitPhase("idle", supervisor.Frozen)
		h.obeyed("POST", "/v1/experiments/idle/thaw", "{}")
		h.awaitPhase("idle", supervisor.Running)
		if e := h.obeyed("PATCH", "/v1/experiments/idle", `{"keys": {"memory_max": "2G", "priority": 3}}`); e.MemoryMax != 2<<30 || e.Priority != 3 {
			t.Errorf("%+v", e)
		}
		if e := h.obeyed("PATCH", "/v1/experiments/idle", `{"keys": {"memory_max": null}}`); e.MemoryMax != 1<<30 {
			t.Errorf("%+v", e)
		}
		h.obeyed("POST", "/v1/experiments/idle/restart", "")
		h.await("another run", func() bool { return h.obeyed("GET", "/v1/experiments/idle", "").Run == 2 })
		h.awaitPhase("idle", supervisor.Running)
		h.obeyed("POST", "/v1/experiments/idle/kill", `{"signal": "usr1", "whom": "main"}`)
		h.await("died of the signal", func() bool {
			return h.obeyed("GET", "/v1/experiments/idle", "").LastResult == "signal"
		})
		h.obeyed("POST", "/v1/experiments/idle/start", "{}")
		h.awaitPhase("idle", supervisor.Running)
		h.obeyed("POST", "/v1/experiments/idle/stop", "")
		h.awaitPhase("idle", supervisor.Stopped)
		if e := h.obeyed("POST", "/v1/experiments/idle/hold", `{"reason": "the  fan\nis loud"}`); e.Phase != "held" || !strings.Contains(e.Reason, ": the fan is loud") {
			t.Errorf("%+v", e)
		}
		if e := h.obeyed("POST", "/v1/experiments/idle/release", ""); e.Phase == "held" {
			t.Errorf("%+v", e)
		}
		h.obeyed("POST", "/v1/experiments/waits/hold", "")
		if a := h.call("POST", "/v1/release", ""); a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.body)
		}
		if e := h.obeyed("GET", "/v1/experiments/waits", ""); e.Phase != "queued" {
			t.Errorf("%+v", e)
		}
		if e := h.obeyed("POST", "/v1/experiments/runs/disable", ""); e.Enabled == nil || *e.Enabled || e.Autostart {
			t.Errorf("%+v", e)
		}
		if e := h.obeyed("POST", "/v1/experiments/runs/enable", ""); e.Enabled == nil || !*e.Enabled || !e.Autostart {
			t.Errorf("%+v", e)
		}
		if e := h.obeyed("POST", "/v1/experiments/runs/auto", ""); e.Enabled != nil || !e.Autostart {
			t.Errorf("%+v", e)
		}
		h.obeyed("POST", "/v1/experiments/idle/stop", "")
		h.awaitPhase("idle", supervisor.Stopped)
	})

	t.Run("come and go", func(t *testing.T) {
		e := h.obeyed("PUT", "/v1/experiments/mine", `{"keys": {"command": ["true", "workload", "sleep=1h"], "memory_max": "100M", "tags": ["new"]}}`)
		if !e.Submitted || e.Owner == "" || e.MemoryMax != 100<<20 {
			t.Errorf("%+v", e)
		}
		h.awaitPhase("mine", supervisor.Running)
		h.obeyed("POST", "/v1/experiments/mine/stop", "")
		h.awaitPhase("mine", supervisor.Stopped)
		h.obeyed("POST", "/v1/experiments/mine/forget", "")
		h.refused("GET", "/v1/experiments/mine", "", http.StatusNotFound, control.CodeUnknown)

		e = h.obeyed("POST", "/v1/experiments/made/start", `{"config": "/tmp/other.json", "keys": {"memory_max": "512M"}}`)
		if !e.Submitted || e.Config != "/tmp/other.json" || e.MemoryMax != 512<<20 {
			t.Errorf("from the template: %+v", e)
		}
		h.awaitPhase("made", supervisor.Running)
		h.obeyed("POST", "/v1/experiments/made/stop", "")

		h.write(strings.Replace(lab, `cpu_quota = "50%"`, `cpu_quota = "70%"`, 1) + "[experiments.another]\ncommand = [\"true\"]\n")
		var plan control.Plan
		h.get(t, "/v1/plan", &plan)
		actions := make(map[string]string)
		for _, step := range plan.Steps {
			actions[step.Experiment] = step.Action
		}
		if len(actions) != 2 || actions["another"] != "add" || actions["runs"] != "change" {
			t.Errorf("%+v", plan)
		}
		pid := h.obeyed("GET", "/v1/experiments/runs", "").PID
		a := h.call("POST", "/v1/reload", `{"restart": false}`)
		if err := json.Unmarshal(a.body, &plan); err != nil || a.status != http.StatusOK || len(plan.Steps) != 2 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if e := h.obeyed("GET", "/v1/experiments/runs", ""); e.PID != pid || e.CPUQuota != 70 {
			t.Errorf("%+v", e)
		}
		h.obeyed("GET", "/v1/experiments/another", "")
		h.adopts(t)
	})
}

// adopts makes an experiment of a process.
func (h *house) adopts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sleep := exec.CommandContext(ctx, "sleep", "1000")
	transienttest.Execute(t, sleep)
	defer func() { cancel(); _ = sleep.Wait() }()
	e := h.obeyed("POST", "/v1/experiments/found/adopt", fmt.Sprintf(`{"pid": %d, "keys": {"memory_max": "2G"}}`, sleep.Process.Pid))
	if e.Kind != "scope" || !e.Submitted || e.MemoryMax != 2<<30 || e.Command[1] != "1000" {
		t.Errorf("%+v", e)
	}
	for _, pid := range []int{-1, 0, 1, 2, os.Getpid(), 1 << 30} {
		h.refused("POST", "/v1/experiments/again/adopt", fmt.Sprintf(`{"pid": %d}`, pid), http.StatusConflict, control.CodeConflict)
	}
}

// get reads the answer to a GET, which must be as described.
func (h *house) get(t *testing.T, path string, into any) {
	t.Helper()
	a := h.call(http.MethodGet, path, "")
	if a.status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestRefusals: what cannot be done is refused with a status, a code and words that
// say why.
func TestRefusals(t *testing.T) {
	h := open(t, lab)
	h.awaitPhase("runs", supervisor.Running)
	h.awaitPhase("fails", supervisor.Failed)
	const bad, unknown, conflict = http.StatusBadRequest, http.StatusNotFound, http.StatusConflict
	for _, r := range []struct {
		request, body string
		status        int
		code, words   string
	}{
		{"GET /", "", unknown, control.CodeNoRoute, "openapi.json"},
		{"GET /v1", "", unknown, control.CodeNoRoute, ""},
		{"GET /v2/status", "", unknown, control.CodeNoRoute, ""},
		{"GET /v1/status/", "", unknown, control.CodeNoRoute, ""},
		{"GET /v1//status", "", unknown, control.CodeNoRoute, ""},
		{"GET /v1/x/../status", "", unknown, control.CodeNoRoute, ""},
		{"GET /v1/experiments/", "", unknown, control.CodeNoRoute, ""},
		{"DELETE /v1/status", "", http.StatusMethodNotAllowed, control.CodeNoRoute, "DELETE"},
		{"GET /v1/experiments/runs/stop", "", http.StatusMethodNotAllowed, control.CodeNoRoute, ""},
		{"POST /v1/experiments/runs/explode", "", unknown, control.CodeNoRoute, ""},
		{"GET /v1/experiments/nobody", "", unknown, control.CodeUnknown, "nobody"},
		{"GET /v1/experiments/a%2Fb", "", unknown, control.CodeUnknown, "a/b"},
		{"GET /v1/experiments/sweep", "", unknown, control.CodeUnknown, "matrix of 2"},
		{"GET /v1/experiments/nobody/why", "", unknown, control.CodeUnknown, ""},
		{"POST /v1/experiments/nobody/forget", "", unknown, control.CodeUnknown, ""},
		{"POST /v1/experiments/-x/start", "", http.StatusUnprocessableEntity, control.CodeConfig, "letters"},
		{"POST /v1/experiments/sweep/start", "", http.StatusUnprocessableEntity, control.CodeConfig, "sweep"},
		{"POST /v1/experiments/nobody/stop", "", unknown, control.CodeUnknown, ""},
		{"GET /v1/status?id=runs&id=nobody", "", unknown, control.CodeUnknown, "nobody"},
		{"GET /v1/status", "{}", bad, control.CodeBadRequest, "no body"},
		{"GET /v1/events?after=yesterday", "", bad, control.CodeBadRequest, `"yesterday"`},
		{"GET /v1/events?lines=-1", "", bad, control.CodeBadRequest, "lines"},
		{"GET /v1/events?follow=1", "", bad, control.CodeBadRequest, "follow"},
		{"GET /v1/history?since=noon", "", bad, control.CodeBadRequest, "since"},
		{"GET /v1/logs?run=x", "", bad, control.CodeBadRequest, "run"},
		{"GET /v1/logs", "", http.StatusNotImplemented, control.CodeNoJournal, ""},
		{"POST /v1/experiments/idle/start", `{"kees": 1}`, bad, control.CodeBadRequest, `"kees"`},
		{"POST /v1/experiments/idle/start", `{"keys": {}} {}`, bad, control.CodeBadRequest, "after the JSON"},
		{"POST /v1/experiments/idle/start", `{"keys": `, bad, control.CodeBadRequest, "cannot read"},
		{"POST /v1/experiments/idle/start", `[]`, bad, control.CodeBadRequest, "cannot read"},
		{"POST /v1/experiments/idle/stop", `{"now": true}`, bad, control.CodeBadRequest, `"now"`},
		{"PUT /v1/experiments/new", `{"keys": {"command": ["true"], "memory_mx": "1G"}}`, http.StatusUnprocessableEntity, control.CodeConfig, "memory_mx"},
		{"PUT /v1/experiments/new", `{}`, http.StatusUnprocessableEntity, control.CodeConfig, "command"},
		{"PUT /v1/experiments/-new-", `{"keys": {"command": ["true"]}}`, http.StatusUnprocessableEntity, control.CodeConfig, ""},
		{"PUT /v1/experiments/new", `{"keys": {"command": ["true"], "memory_max": "900T"}}`, http.StatusUnprocessableEntity, control.CodeNotAdmitted, ""},
		{"PUT /v1/experiments/runs", `{"keys": {"command": ["true"]}}`, conflict, control.CodeConflict, "configured"},
		{"PATCH /v1/experiments/runs", `{"keys": {"command": ["true"]}}`, http.StatusUnprocessableEntity, control.CodeConfig, "command"},
		{"PATCH /v1/experiments/runs", `{"keys": {"memory_max": "1 potato"}}`, http.StatusUnprocessableEntity, control.CodeConfig, "memory_max"},
		{"POST /v1/experiments/runs/start", `{"keys": {"environment": {"A": "1"}}}`, conflict, control.CodeConflict, "stop it first"},
		{"POST /v1/experiments/runs/forget", "", conflict, control.CodeConflict, "configured"},
		{"POST /v1/experiments/runs/thaw", "", conflict, control.CodeConflict, "is running"},
		{"POST /v1/experiments/idle/freeze", "", conflict, control.CodeConflict, "is idle"},
		{"POST /v1/experiments/idle/kill", "", conflict, control.CodeConflict, "is idle"},
		{"POST /v1/experiments/runs/kill", `{"signal": "SIGNAL"}`, bad, control.CodeBadRequest, "SIGNAL"},
		{"POST /v1/experiments/runs/kill", `{"whom": "nobody"}`, bad, control.CodeBadRequest, "nobody"},
		{"POST /v1/experiments/x/exec", `{"keys": {"command": ["true"]}}`, http.StatusUpgradeRequired, control.CodeBadRequest, "Upgrade"},
	} {
		method, path, _ := strings.Cut(r.request, " ")
		if words := h.refused(method, path, r.body, r.status, r.code); !strings.Contains(words, r.words) {
			t.Errorf("%s %s: %q is not in %q", r.request, r.body, r.words, words)
		}
	}
	if a := h.call("DELETE", "/v1/experiments/runs", ""); a.header.Get("Allow") != "GET, PUT, PATCH" {
		t.Errorf("allows %q", a.header.Get("Allow"))
	}
	h.write("[experiments.a\n")
	h.refused("GET", "/v1/plan", "", http.StatusUnprocessableEntity, control.CodeConfig)
	h.refused("POST", "/v1/reload", "", http.StatusUnprocessableEntity, control.CodeConfig)
	h.fake.Disconnect(errors.New("gone"))
	h.refused("POST", "/v1/experiments/runs/freeze", "", http.StatusServiceUnavailable, control.CodeNotReady)
	h.fake.Reconnect()
	if e := h.obeyed("GET", "/v1/experiments/runs", ""); e.Phase != "running" {
		t.Errorf("is %s after all that", e.Phase)
	}
}

// TestContentType: what does not say that it is JSON is not read as JSON.
func TestContentType(t *testing.T) {
	h := open(t, lab)
	for kind, want := range map[string]int{"application/json": 200, "application/json; charset=utf-8": 200, "text/plain": 400, "": 400, "application/x-www-form-urlencoded": 400} {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://brainjar/v1/experiments/idle/hold", strings.NewReader(`{"reason": "x"}`))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", kind)
		resp, err := h.http.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q: %s, want %d", kind, resp.Status, want)
		}
	}
}

// TestPanic: a request that brainjar fails at is answered, logged, and harms no other.
func TestPanic(t *testing.T) {
	h := open(t, lab, func(s *control.Server) {
		s.Sensors = func(context.Context, []string) (control.Sensors, error) { panic("a mistake") }
	})
	h.refused("GET", "/v1/sensors", "", http.StatusInternalServerError, control.CodeInternal)
	if !strings.Contains(h.log.String(), "a mistake") {
		t.Error("is not in the log")
	}
	h.obeyed("GET", "/v1/experiments/runs", "")
}
