package cli

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"brainjar/internal/config"
)

var update = flag.Bool("update", false, "write the commands of docs/cli.md")

// TestDocumentation compares the commands of docs/cli.md with their help: go test
// ./internal/cli -run Documentation -update writes them.
func TestDocumentation(t *testing.T) {
	const file, begin, end = "../../docs/cli.md", "<!-- commands -->\n", "<!-- end -->"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("docs/cli.md has no place for commands between %q and %q", begin, end)
	}
	want := documented(newRoot(nil, nil))
	if got == want {
		return
	}
	if !*update {
		t.Fatal("the commands of docs/cli.md differ from their help; run go test ./internal/cli -run Documentation -update")
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// documented writes the help of all commands as Markdown.
func documented(root *cobra.Command) string {
	var b strings.Builder
	for _, group := range root.Groups() {
		fmt.Fprintf(&b, "\n## %s\n", strings.TrimSuffix(group.Title, ":"))
		for _, cmd := range root.Commands() {
			if cmd.GroupID != group.ID || !cmd.IsAvailableCommand() {
				continue
			}
			fmt.Fprintf(&b, "\n### `%s`\n\n%s\n", cmd.UseLine(), escaped(cmd.Long))
			if cmd.Example != "" {
				fmt.Fprintf(&b, "\n```\n%s\n```\n", cmd.Example)
			}
			documentFlags(&b, cmd)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// documentFlags lists the flags of a command; those that are keys of the
// configuration by name alone, for docs/configuration.md explains them.
func documentFlags(b *strings.Builder, cmd *cobra.Command) {
	var keys []string
	for _, key := range config.ExperimentKeys() {
		keys = append(keys, flagName(key.Name))
	}
	var named []string
	b.WriteByte('\n')
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		_, isKey := f.Value.(*keyFlag)
		switch {
		case f.Hidden || f.Name == "help":
		case isKey && slices.Contains(keys, f.Name):
			named = append(named, "`--"+f.Name+"`")
		default:
			name := "`--" + f.Name + "`"
			if f.Shorthand != "" {
				name = "`-" + f.Shorthand + "`, " + name
			}
			_, usage := pflag.UnquoteUsage(f)
			fmt.Fprintf(b, "- %s: %s\n", name, escaped(usage))
		}
	})
	if named != nil {
		fmt.Fprintf(b, "- keys of the [configuration](configuration.md): %s\n", strings.Join(named, ", "))
	}
}

// escaped keeps Markdown from reading something into a text; what is indented is code.
func escaped(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "    ") {
			lines[i] = strings.NewReplacer("<", "&lt;", "*", "\\*", "[", "\\[", "]", "\\]").Replace(line)
		}
	}
	return strings.Join(lines, "\n")
}
