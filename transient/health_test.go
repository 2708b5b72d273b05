package transient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ownUnit is a Manager for which this very process is the main process of a
// unit: its control group is made to look like the unit's.
func ownUnit(t *testing.T) (*Manager, Unit) {
	t.Helper()
	m := New(Options{})
	groups, err := readCgroups()
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	m.cgroups = groups
	name := "../" + strings.TrimPrefix(groups.ownGroup(own), "/") // from the slice, which is at the root
	return m, Unit{Name: name, Experiment: "a", Run: 7, MainPID: os.Getpid()}
}

// check makes a check by a shell, with a time limit.
func check(t *testing.T, limit time.Duration, script string) (took time.Duration, err error) {
	t.Helper()
	m, unit := ownUnit(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	began := time.Now()
	err = m.CheckHealth(ctx, unit, HealthCheck{Exec: []string{"/bin/sh", "-c", script}, WorkingDirectory: "/"})
	return time.Since(began), err
}

func TestHealthByProgram(t *testing.T) {
	t.Setenv("SECRET", "of brainjar")
	for script, want := range map[string]string{
		"exit 0":                                 "",
		"echo all is well":                       "",
		"exit 3":                                 "exited with code 3",
		"echo 'no answer'; echo why >&2; exit 1": "exited with code 1: no answer why",
		"kill -SEGV $$":                          "died by SIGSEGV",
		"printf 'a\\033[31mb\\001\\377c'; exit 1": "exited with code 1: a [31mb ?c",
		`test "$EXPERIMENT_ID$BRAINJAR_EXPERIMENT$BRAINJAR_RUN" = aa7 && test -n "$HOME" && test -z "$SECRET" && test "$(pwd)" = /`: "",
	} {
		_, err := check(t, time.Minute, script)
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// A check that hangs is killed with all that it started, and says what it can.
func TestHealthTimeLimit(t *testing.T) {
	took, err := check(t, 300*time.Millisecond, "echo asking; sleep 1000 & sleep 1000")
	if got := fmt.Sprint(err); got != "no answer within 300ms: asking" || took > 2*time.Second {
		t.Errorf("%q after %v", got, took)
	}
}

// Children that keep the output open delay nothing; those of the group die.
func TestHealthLeavesNoChildren(t *testing.T) {
	file := t.TempDir() + "/pid"
	took, err := check(t, time.Minute, "sleep 1000 & echo $! >"+file)
	if err != nil || took > 10*time.Second {
		t.Fatalf("%v after %v", err, took)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is left", pid)
		}
	}
	took, err = check(t, time.Minute, "setsid sleep 5 & exit 0") // in a group of its own, with the output
	if err != nil || took > 4*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}

// alive reports whether a process runs: a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && processState(stat) != 'Z'
}

// However much a check says, its end is kept, and little of it is shown.
func TestHealthOutput(t *testing.T) {
	_, err := check(t, time.Minute, "yes 0123456789 | head -c 5000000; echo the end; exit 1")
	got := fmt.Sprint(err)
	if !strings.HasPrefix(got, "exited with code 1: …") || !strings.HasSuffix(got, "the end") || len(got) > shownOutput+50 {
		t.Errorf("%q", got)
	}
	var kept tail
	for range 1000 {
		_, _ = kept.Write([]byte(strings.Repeat("x", 1000)))
	}
	if len(kept.last) != healthOutput || cap(kept.last) > 4*healthOutput {
		t.Errorf("%d bytes kept in %d", len(kept.last), cap(kept.last))
	}
}

// There is one check at a time, also if it cannot be killed.
func TestHealthOneAtATime(t *testing.T) {
	m, unit := ownUnit(t)
	m.checking[unit.Name] = true
	if err := m.CheckHealth(t.Context(), unit, HealthCheck{Exec: []string{"/bin/true"}}); !errors.Is(err, errBusy) {
		t.Errorf("%v", err)
	}
}

// A process that does not belong to the unit lends nobody its rights.
func TestHealthOfAnother(t *testing.T) {
	m, unit := ownUnit(t)
	unit.Name = "brainjar-a.service"
	err := m.CheckHealth(t.Context(), unit, HealthCheck{Exec: []string{"/bin/true"}})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d belongs to ", os.Getpid())) {
		t.Errorf("%v", err)
	}
	unit.MainPID = 1 << 30
	if err := m.CheckHealth(t.Context(), unit, HealthCheck{Exec: []string{"/bin/true"}}); err == nil {
		t.Error("a process that is gone")
	}
}

func TestParseOwner(t *testing.T) {
	who, err := parseOwner([]byte("Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t100\t0\t0\t0\nGroups:\t4 24 1000 \nVmPeak:\t1 kB\n"))
	if err != nil || who.uid != 1000 || who.gid != 100 || fmt.Sprint(who.groups) != "[4 24 1000]" {
		t.Errorf("%+v, %v", who, err)
	}
	for _, bad := range []string{"", "Uid:\t1000\t0\t0\t0\n", "Uid:\t-1 0 0 0\nGid:\t1 1 1 1\n", "Uid:\t1\nGid:\t1\n"} {
		if who, err := parseOwner([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, who)
		}
	}
}

func TestHealthByHTTP(t *testing.T) {
	elsewhere := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere++ })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "the model\nis loading", strings.Repeat(".", 100))
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			fmt.Fprint(w, strings.Repeat("x", 1<<16))
		}
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	defer server.Close()
	closed := httptest.NewServer(mux)
	closed.Close()
	t.Setenv("http_proxy", closed.URL)
	for address, want := range map[string]string{
		server.URL + "/ok":      "",
		server.URL + "/moved":   "",
		server.URL + "/endless": "",
		server.URL + "/bad":     server.URL + "/bad answers 503 Service Unavailable: the model is loading.....",
		server.URL + "/none":    "answers 404 Not Found",
		server.URL + "/slow":    "no answer within 300ms",
		closed.URL:              "connection refused",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := New(Options{}).CheckHealth(ctx, Unit{}, HealthCheck{HTTP: address})
		cancel()
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if elsewhere > 0 {
		t.Error("a redirection was followed")
	}
}
