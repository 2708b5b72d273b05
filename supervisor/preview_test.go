package supervisor_test

import (
	"slices"
	"strings"
	"testing"

	"brainjar/internal/config"
	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient"
	"brainjar/transient/transienttest"
)

// A plan tells of what may wait for ever as soon as a configuration brings it, and one that
// waits for what cannot come is not taken.
func TestWaitingForTheEndless(t *testing.T) {
	onFake(t, func(st stage, _ *transienttest.Fake) {
		server, cleanup := experiment("server", `restart.policy = "always"`, "sleep=1h"), experiment("cleanup", `after = { server = "ended" }`, "exit=0")
		h := st.begin(head + server)
		h.awaitReady()
		const doubt = "cleanup: after: server has ended only when it was stopped or has failed for good: restart.policy = \"always\" starts it again after each success"
		h.rewrite(head + server + cleanup)
		plan, err := h.Reload(h.ctx(), false)
		h.must(err)
		if !slices.Equal(plan.Warnings, []string{doubt}) {
			st.Errorf("warnings %q", plan.Warnings)
		}
		if plan, err = h.Plan(h.ctx()); err != nil || len(plan.Warnings) > 0 {
			st.Errorf("warnings %q of what it was told before, %v", plan.Warnings, err)
		}
		keys := config.Keys{"command": []any{st.program, "workload", "exit=0"}, "after": []any{"server"}}
		err = h.Submit(h.ctx(), "next", supervisor.Submission{Keys: keys})
		if err == nil || !strings.HasPrefix(err.Error(), "after: waits for ever: server never has succeeded") {
			st.Errorf("submitted: %v", err)
		}
		h.drain()
	})
}

// What is missing may be there when the experiment is started, or this is not the
// machine that it is meant for: it is told apart from what the machine cannot enforce.
func TestPreviewOfWhatIsMissing(t *testing.T) {
	st := stage{TB: t, dir: t.TempDir(), program: "/bin/true"}
	cfg := st.parse(head + experiment("a", "user = \"nobody-of-that-name\"\nworking_directory = \"/nonexistent/w\"\nenvironment_files = [\"/nonexistent/e\"]\ndevices = [\"/dev/nonexistent rw\"]") +
		experiment("b", "working_directory = \"/nonexistent/w\"\ndevices = [\"/dev/nonexistent rw\"]") +
		"[experiments.c]\nmemory_max = \"64M\"\ncommand = [\"no-such-program\"]\ncpus = \"0\"\n" + experiment("d", ""))
	host := transient.Host{Version: 252, Unified: true, Devices: true, Controllers: []string{"cpu", "io", "memory", "pids"}} // cannot enforce cpus
	for _, h := range []*transient.Host{nil, &host} {
		forecasts := supervisor.Preview(t.Context(), cfg, supervisor.Machine{MemTotal: 64 * quantity.GiB, Host: h})
		for i, words := range [][]string{
			{"working_directory: stat /nonexistent/w", "devices: there is no /dev/nonexistent", "environment_files: stat /nonexistent/e", "user: there is no user nobody-of-that-name"},
			{"working_directory: stat /nonexistent/w", "devices: there is no /dev/nonexistent"}, {"cannot find program no-such-program"}, {},
		} {
			f := forecasts[i]
			if f.Refused() != (len(words) > 0) || (f.Refusal != nil) != (h != nil && i == 2) {
				t.Errorf("%s: refused %v, missing %v", f.Experiment.ID, f.Refusal, f.Missing)
			}
			for _, word := range words {
				if !strings.Contains(f.Missing.Error(), word) {
					t.Errorf("%s: %q is not in %q", f.Experiment.ID, word, f.Missing)
				}
			}
		}
	}
}
