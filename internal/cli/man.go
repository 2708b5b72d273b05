package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newMan(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use: "man [DIRECTORY]", Short: "Print the manual page, or write all of them into a directory",
		Long: `Print brainjar(1) as a manual page, or write it and one page for each command into a
directory. They say the same as --help.

    brainjar man | man -l -`,
		Args: wants("[DIRECTORY]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return printTo(stdout, func(w *bufio.Writer) { manPage(w, cmd.Root()) })
			}
			return writeManPages(args[0], cmd.Root())
		},
	}
}

// writeManPages writes the page of a command, and those of the commands below it.
func writeManPages(dir string, cmd *cobra.Command) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("cannot make the directory for manual pages: %w", err)
	}
	var text strings.Builder
	w := bufio.NewWriter(&text)
	manPage(w, cmd)
	_ = w.Flush() // into memory
	path := filepath.Join(dir, pageName(cmd)+".1")
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("cannot write a manual page: %w", err)
	}
	for _, below := range cmd.Commands() {
		if below.IsAvailableCommand() {
			if err := writeManPages(dir, below); err != nil {
				return err
			}
		}
	}
	return nil
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage writes the page of a command in the macros of man(7).
func manPage(w *bufio.Writer, cmd *cobra.Command) {
	fmt.Fprintf(w, ".TH %s 1 \"\" %s \"User Commands\"\n", roffArgument(strings.ToUpper(pageName(cmd))), roffArgument("brainjar "+Version))
	fmt.Fprintf(w, ".SH NAME\n%s \\- %s\n", roff(pageName(cmd)), roff(cmd.Short))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B %s\n", roff(cmd.UseLine()))
	fmt.Fprint(w, ".SH DESCRIPTION\n")
	roffText(w, cmd.Long)
	roffCommands(w, cmd)
	roffFlags(w, "OPTIONS", cmd.NonInheritedFlags())
	roffFlags(w, "OPTIONS OF ALL COMMANDS", cmd.InheritedFlags())
	if cmd.Example != "" {
		fmt.Fprint(w, ".SH EXAMPLES\n")
		roffText(w, cmd.Example)
	}
	fmt.Fprint(w, ".SH SEE ALSO\n")
	if parent := cmd.Parent(); parent != nil {
		fmt.Fprintf(w, ".BR %s (1),\n", roff(pageName(parent)))
	}
	fmt.Fprint(w, ".BR systemctl (1),\n.BR journalctl (1),\n.BR systemd.resource\\-control (5)\n")
}

func roffCommands(w *bufio.Writer, cmd *cobra.Command) {
	for _, group := range cmd.Groups() {
		fmt.Fprintf(w, ".SH %s\n", roff(strings.ToUpper(strings.TrimSuffix(group.Title, ":"))))
		for _, below := range cmd.Commands() {
			if below.GroupID == group.ID && below.IsAvailableCommand() {
				fmt.Fprintf(w, ".TP\n.BR %s (1)\n%s\n", roff(pageName(below)), roff(below.Short))
			}
		}
	}
}

func roffFlags(w *bufio.Writer, title string, flags *pflag.FlagSet) {
	first := true
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if first {
			fmt.Fprintf(w, ".SH %s\n", title)
			first = false
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		kind, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(w, ".TP\n\\fB%s\\fR", roff(name))
		if kind != "" && f.NoOptDefVal == "" {
			fmt.Fprintf(w, " \\fI%s\\fR", roff(kind))
		}
		fmt.Fprintf(w, "\n%s\n", roff(usage))
	})
}

// roffText writes paragraphs; lines that are indented stay as they are.
func roffText(w *bufio.Writer, text string) {
	verbatim := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, "  "); indented != verbatim && line != "" {
			verbatim = indented
			fmt.Fprint(w, map[bool]string{true: ".PP\n.nf\n", false: ".fi\n"}[indented])
		}
		switch {
		case line == "" && verbatim:
			fmt.Fprintln(w, ".sp")
		case line == "":
			fmt.Fprintln(w, ".PP")
		default:
			fmt.Fprintln(w, roff(line))
		}
	}
	if verbatim {
		fmt.Fprintln(w, ".fi")
	}
}

// roff makes a text stand for itself: groff_char(7) says what else would happen to
// these characters, and a dot or ' begins a macro where it begins a line.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "~", `\(ti`, "^", `\(ha`, "`", "\\`", "'", `\(aq`, "°", `\(de`, "…", "...").Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

// roffArgument is a text as one argument of a macro.
func roffArgument(text string) string { return `"` + strings.ReplaceAll(roff(text), `"`, `\(dq`) + `"` }
