package cli

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
)

func newCompletion(stdout io.Writer) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "Print the completion script for a shell",
		Long: `Print the completion script for a shell. It completes commands, flags and the ids of
experiments, which it asks brainjar for.

    bash   brainjar completion bash > /etc/bash_completion.d/brainjar
    zsh    brainjar completion zsh > "${fpath[1]}/_brainjar"
    fish   brainjar completion fish > ~/.config/fish/completions/brainjar.fish`,
		Args: func(cmd *cobra.Command, given []string) error {
			if len(given) != 1 || !slices.Contains(shells, given[0]) {
				return wrongArgs(cmd, listed(shells), given)
			}
			return nil
		},
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			switch root := cmd.Root(); args[0] {
			case "bash":
				err = root.GenBashCompletionV2(stdout, true)
			case "zsh":
				err = root.GenZshCompletion(stdout)
			case "fish":
				err = root.GenFishCompletion(stdout, true)
			}
			if err != nil {
				return fmt.Errorf("cannot write the completion script: %w", err)
			}
			return nil
		},
	}
}
