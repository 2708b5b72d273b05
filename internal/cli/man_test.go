package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Each command has a page, which groff has nothing to say about.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	(&testDaemon{fatal: t.Fatalf}).run("man", dir).is(t, 0)
	root := newRoot(nil, nil)
	pages := append([]*cobra.Command{root}, root.Commands()...)
	for _, cmd := range pages {
		if !cmd.IsAvailableCommand() && cmd != root {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, pageName(cmd)+".1"))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, want := range []string{".TH ", ".SH NAME\n", roff(cmd.Short), ".SH DESCRIPTION\n"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s has no %q", cmd.Name(), want)
			}
		}
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff is not installed: what it says of the pages is not known")
	}
	files, err := filepath.Glob(dir + "/*.1")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	// What man --warnings does.
	out, err := exec.Command(groff, append([]string{"-man", "-Tutf8", "-ww", "-z"}, files...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestManPageToOutput(t *testing.T) {
	(&testDaemon{fatal: t.Fatalf}).run("man").is(t, 0, ".TH \"BRAINJAR\" 1", ".BR brainjar\\-status (1)", "Exit codes: 0 ok")
	(&testDaemon{fatal: t.Fatalf}).run("man", "/dev/null/x").is(t, ExitFailed, "cannot make the directory")
}

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		".TH x": `\&.TH x`, "'x": `\(aqx`, `a\b --c`: `a\eb \-\-c`, "75 °C": `75 \(deC`,
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
