package transient

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// TestHealthCheck: what is well, what is not, and what hangs.
func TestHealthCheck(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/well":
		case "/moved":
			http.Redirect(w, r, "/bad", http.StatusFound)
		case "/hangs":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	sh := func(script string) HealthCheck { return HealthCheck{Exec: []string{"/bin/sh", "-c", script}} }
	for name, test := range map[string]struct {
		check HealthCheck
		want  string // in the error; "": none
	}{
		"exits with 0":     {sh("exit 0"), ""},
		"exits with 3":     {sh("echo the model is gone; exit 3"), "exit status 3: the model is gone"},
		"is missing":       {HealthCheck{Exec: []string{"/nowhere/check"}}, "no such file"},
		"hangs":            {sh("sleep 60"), "no answer within 1s"},
		"leaves a child":   {sh("sleep 60 >/dev/null 2>&1 & exit 0"), ""},
		"child that talks": {sh("sleep 60 & exit 0"), "no answer within 1s"},
		"says too much":    {sh("while :; do echo more; done"), "no answer within 1s"},
		"sees nothing":     {sh(`test -z "$SECRET" && test "$MINE" = yes`), ""},
		"answers":          {HealthCheck{HTTP: server.URL + "/well"}, ""},
		"is elsewhere":     {HealthCheck{HTTP: server.URL + "/moved"}, ""},
		"answers 503":      {HealthCheck{HTTP: server.URL + "/bad"}, "503 Service Unavailable"},
		"does not answer":  {HealthCheck{HTTP: server.URL + "/hangs"}, "no answer within 1s"},
		"refuses to speak": {HealthCheck{HTTP: "http://127.0.0.1:1/"}, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SECRET", "x")
			test.check.Timeout, test.check.Environment = time.Second, []string{"MINE=yes", "PATH=/usr/bin:/bin"}
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), test.check.Timeout)
			defer cancel()
			var err error
			if test.check.HTTP != "" {
				err = test.check.get(ctx)
			} else {
				err = test.check.run(ctx, os.Getpid())
			}
			err = answerError(ctx, test.check, err)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// TestHealthOutputIsCut: a check may say what it likes, little of it is kept.
func TestHealthOutputIsCut(t *testing.T) {
	err := (HealthCheck{Exec: []string{"/bin/sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; exit 1"}, Environment: []string{"PATH=/usr/bin:/bin"}}).run(t.Context(), os.Getpid())
	if err == nil || len(err.Error()) > outputLimit+100 || len(err.Error()) < outputLimit {
		t.Errorf("%d bytes", len(err.Error()))
	}
}

// TestHealthOfNobody: without a main process there is no user to check as.
func TestHealthOfNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: every check runs as oneself")
		return
	}
	if err := (HealthCheck{Exec: []string{"/bin/true"}}).run(t.Context(), 0); err == nil {
		t.Error("a check as nobody knows whom")
	}
}
