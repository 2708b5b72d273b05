package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
)

// socketVariable names the socket where no flag does.
const socketVariable = "BRAINJAR_SOCKET"

// answerLimit is how long brainjar may take to answer.
var answerLimit = 60 * time.Second

// remote is the running brainjar that a command asks, and where the answers go.
type remote struct {
	user   bool
	socket string
	stdout io.Writer
	stderr io.Writer
}

// flags adds the flags that say which brainjar is meant, to all commands.
func (r *remote) flags(root *cobra.Command) {
	root.PersistentFlags().BoolVar(&r.user, "user", false, "the brainjar of your own service manager")
	root.PersistentFlags().StringVar(&r.socket, "socket", "", "the socket of brainjar (default $"+socketVariable+", or /run/brainjar/control.sock, or with --user $XDG_RUNTIME_DIR/brainjar/control.sock)")
}

// formatFlag adds -o with the formats that a command has; the first is the default.
func formatFlag(cmd *cobra.Command, format *string, formats ...string) {
	cmd.Flags().StringVarP(format, "output", "o", formats[0], listed(formats))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if slices.Contains(formats, *format) {
			return nil
		}
		return usageError(cmd, fmt.Errorf("cannot print %q: -o wants %s", *format, listed(formats)))
	}
}

// listed writes "a, b or c".
func listed(words []string) string {
	text := words[0]
	for i, word := range words[1:] {
		if i == len(words)-2 {
			text += " or " + word
		} else {
			text += ", " + word
		}
	}
	return text
}

// path is that of the socket.
func (r *remote) path() (string, error) {
	named := os.Getenv(socketVariable)
	switch {
	case r.socket != "":
		return r.socket, nil
	case !r.user && named != "":
		return named, nil
	case !r.user:
		return "/run/brainjar/control.sock", nil
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(dir) {
		return "", &failure{errors.New("cannot find the socket of your own brainjar: XDG_RUNTIME_DIR is not set"), ExitUnreachable, "name it with --socket"}
	}
	return filepath.Join(dir, "brainjar", "control.sock"), nil
}

func (r *remote) client() (*control.Client, error) {
	path, err := r.path()
	if err != nil {
		return nil, err
	}
	c := control.NewClient(path)
	c.AnswerLimit = answerLimit
	return c, nil
}

// asking makes what a command does of a function that asks brainjar. SIGINT and
// SIGTERM end its context.
func (r *remote) asking(do func(ctx context.Context, c *control.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return do(ctx, c, args)
	}
}

// printDocument writes one JSON document, for programs.
func printDocument(w io.Writer, document any) error {
	b, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write as JSON: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// printObject writes one JSON object as a line, of a stream.
func printObject(w io.Writer, object any) error {
	b, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("cannot write as JSON: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// printTo writes with a buffer, and returns the first error of writing.
func printTo(w io.Writer, write func(*bufio.Writer)) error {
	b := bufio.NewWriterSize(w, 32<<10)
	write(b)
	return b.Flush()
}
