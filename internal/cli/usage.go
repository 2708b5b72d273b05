package cli

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"brainjar/internal/config"
)

// wants checks the arguments of a command, which are named as in its help: of the last
// one there may be more if it ends with "...", and none if it stands in brackets.
func wants(names ...string) cobra.PositionalArgs {
	least, most := len(names), len(names)
	if most > 0 {
		switch last := names[most-1]; {
		case strings.HasSuffix(last, "..."):
			most = math.MaxInt
		case strings.HasPrefix(last, "["):
			least--
		}
	}
	return func(cmd *cobra.Command, given []string) error {
		if least <= len(given) && len(given) <= most {
			return nil
		}
		return wrongArgs(cmd, cmp.Or(strings.Join(names, " "), "no arguments"), given)
	}
}

// idsIn are those of the arguments that a command calls ids in its help.
func idsIn(use string, given []string) []string {
	for _, word := range strings.Fields(use) {
		switch strings.Trim(word, "[]") {
		case "ID":
			return given[:min(1, len(given))]
		case "ID...":
			return given
		}
	}
	return nil
}

// checkIDs refuses what cannot be the id of an experiment, before brainjar is asked.
func checkIDs(ids ...string) error {
	for _, id := range ids {
		if err := config.CheckID(id); err != nil {
			return fmt.Errorf("%q is not an id: %w", id, err)
		}
	}
	return nil
}

// wrongArgs says what arguments a command wants, and what it got instead.
func wrongArgs(cmd *cobra.Command, what string, given []string) error {
	if len(given) == 0 {
		return fmt.Errorf("%s wants %s", cmd.Name(), what)
	}
	return fmt.Errorf("%s wants %s, not %q", cmd.Name(), what, strings.Join(given, " "))
}

// noSuchCommand is what brainjar alone, without a command, makes of arguments.
func noSuchCommand(root *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := cmp.Or(config.DidYouMean(given[0], names), "`brainjar --help` shows all")
	return &failure{fmt.Errorf("unknown command %q", given[0]), ExitUsage, hint}
}

// flagError says what is wrong with a flag in the words of the configuration.
func flagError(cmd *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	var name *pflag.NotExistError
	switch {
	case errors.As(err, &value):
		return usageError(cmd, fmt.Errorf("--%s: %w", value.GetFlag().Name, valueError(value)))
	case errors.As(err, &name) && name.GetSpecifiedShortnames() == "":
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := config.DidYouMean(name.GetSpecifiedName(), known); near != "" {
			return &failure{err, ExitUsage, strings.Replace(near, "mean ", "mean --", 1)}
		}
	}
	return usageError(cmd, err)
}

// valueError says what a value of a flag should be. Flags that are keys of the
// configuration say it themselves.
func valueError(wrong *pflag.InvalidValueError) error {
	switch wrong.GetFlag().Value.Type() {
	case "duration":
		return fmt.Errorf("%q is not a duration: write it like \"30s\", \"10m\" or \"1h30m\"", wrong.GetValue())
	case "int":
		return fmt.Errorf("%q is not a whole number", wrong.GetValue())
	}
	return wrong.Unwrap()
}
