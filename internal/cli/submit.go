package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"brainjar/internal/control"
)

// submit is `brainjar submit`.
type submit struct {
	remote *remote
	keys   keyFlags
	wait   bool
	format string
}

func newSubmit(r *remote) *cobra.Command {
	s := submit{remote: r}
	cmd := &cobra.Command{
		Use: "submit [flags] ID -- COMMAND...", Short: "Queue a command as an experiment that no file names", GroupID: groupOrders,
		Long: `Queue a command as an experiment that no file names. [defaults] of the
configuration hold for it; the flags are the other keys of the configuration. It
runs as you, in the current directory, with nothing of your environment but what
--env names. What root submits runs as the person who called sudo; without sudo as the
owner of the current directory; if that is root, as a user made for the run, in a
directory of its own. --uid and --working-directory override that.

It returns when the experiment is on disk. The experiment outlives brainjar, the
terminal and the next boot. --wait waits until it has ended; then exit code 6 means
that it did not succeed. A name can be used again once its experiment has ended.`,
		Example: `  brainjar submit --memory-max 8G --cpu-quota 150% tune-7 -- python3 tune.py --seed 7
  brainjar submit --restart-policy no --env HF_TOKEN --tag night eval -- ./eval.sh`,
		Args: func(cmd *cobra.Command, args []string) error { return submitArgs(cmd, args) },
		RunE: r.asking(s.run),
	}
	s.keys.add(cmd, "command", "matrix")
	cmd.Flags().BoolVar(&s.wait, "wait", false, "wait until it has ended")
	formatFlag(cmd, &s.format, "text", "json")
	return cmd
}

// submitArgs makes sure that there is one id, and a command after "--".
func submitArgs(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	switch own, _ := cmd.Flags().GetBool("user"); {
	case dash < 0 || dash == len(args):
		return usageError(cmd, errors.New("no command: write it after --"))
	case dash == 2 && own:
		return &failure{errors.New("want one id before --"), ExitUsage, "who it runs as is said with --uid; --user is the brainjar of your own service manager"}
	case dash != 1:
		return usageError(cmd, errors.New("want one id before --"))
	}
	return nil
}

func (s *submit) run(ctx context.Context, c *control.Client, args []string) error {
	keys, err := s.complete(args[1:])
	if err != nil {
		return err
	}
	e, err := c.Submit(ctx, args[0], control.SubmitRequest{Keys: keys})
	if err == nil && s.wait {
		return waitFor(ctx, c, s.remote, []string{args[0]}, true, s.format)
	}
	return s.remote.printAnswer(args[0], e, err, s.format)
}

// workHere makes the present directory that of the experiment. An administrator's
// runs as the person behind sudo; without one as the owner of the directory, or, where
// that is root, as a user made for the run, in a directory of its own.
func (s *submit) workHere(keys map[string]any) error {
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("cannot find the present directory: %w", err)
	}
	if os.Geteuid() == 0 && !s.remote.user && keys["user"] == nil {
		if person := os.Getenv("SUDO_USER"); person != "" && person != "root" {
			keys["user"] = person
		} else if ownedByRoot(dir) {
			return nil
		}
	}
	keys["working_directory"] = dir
	return nil
}

func ownedByRoot(path string) bool {
	var stat syscall.Stat_t
	return syscall.Stat(path, &stat) != nil || stat.Uid == 0
}

// complete returns the keys with what belongs to the caller: command, directory, and
// the contents of environment files, which brainjar could perhaps not read.
func (s *submit) complete(command []string) (map[string]any, error) {
	keys := s.keys.keys
	words := make([]any, len(command))
	for i, word := range command {
		words[i] = word
	}
	keys["command"] = words
	if err := s.keys.absolute(); err != nil {
		return nil, err
	}
	if strings.Contains(command[0], "/") {
		program, err := filepath.Abs(command[0])
		if err != nil {
			return nil, fmt.Errorf("cannot find the present directory: %w", err)
		}
		words[0] = program
	}
	if keys["working_directory"] == nil {
		if err := s.workHere(keys); err != nil {
			return nil, err
		}
	}
	files, _ := keys["environment_files"].([]any)
	delete(keys, "environment_files")
	variables := make(map[string]any)
	for _, file := range files {
		if err := readVariables(fmt.Sprint(file), variables); err != nil {
			return nil, err
		}
	}
	given, _ := keys["environment"].(map[string]any)
	for name, value := range given {
		variables[name] = value
	}
	if len(variables) > 0 {
		keys["environment"] = variables
	}
	return keys, nil
}
