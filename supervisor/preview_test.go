package supervisor_test

import (
	"strings"
	"testing"

	"brainjar/internal/quantity"
	"brainjar/supervisor"
	"brainjar/transient"
)

// What is missing on the machine is a reason to refuse; where there is no
// service manager it may be another machine's configuration, and is warned of.
func TestPreviewOfWhatIsMissing(t *testing.T) {
	st := stage{TB: t, dir: t.TempDir(), program: "/bin/true"}
	cfg := st.parse(head + experiment("a", "user = \"nobody-of-that-name\"\nworking_directory = \"/nonexistent/w\"\nenvironment_files = [\"/nonexistent/e\"]\ndevices = [\"/dev/nonexistent rw\"]") +
		experiment("b", "working_directory = \"/nonexistent/w\"") + experiment("c", ""))
	host := transient.Host{Version: 252, Unified: true, Devices: true, Controllers: []string{"cpu", "cpuset", "io", "memory", "pids"}}
	for _, h := range []*transient.Host{nil, &host} {
		forecasts := supervisor.Preview(t.Context(), cfg, supervisor.Machine{MemTotal: 64 * quantity.GiB, Host: h})
		for i, words := range [][]string{
			{"working_directory: stat /nonexistent/w", "devices: there is no /dev/nonexistent", "environment_files: stat /nonexistent/e", "user: there is no user nobody-of-that-name"},
			{"cannot use working_directory: stat /nonexistent/w"}, {},
		} {
			f := forecasts[i]
			text := strings.Join(f.Warnings, "\n")
			if h != nil && f.Refusal != nil {
				text = f.Refusal.Error()
			}
			if refused := f.Refusal != nil; refused != (h != nil && len(words) > 0) {
				t.Errorf("%s: refused: %v", f.Experiment.ID, f.Refusal)
			}
			for _, word := range words {
				if !strings.Contains(text, word) {
					t.Errorf("%s: %q is not in %q", f.Experiment.ID, word, text)
				}
			}
		}
	}
}
