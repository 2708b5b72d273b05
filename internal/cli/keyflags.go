package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"brainjar/internal/config"
)

// keyFlags are flags for the keys of an experiment's configuration, made from its
// schema: --memory-max for memory_max, --restart-policy for restart.policy. What was
// given is collected with the types that TOML would give it.
type keyFlags struct {
	keys map[string]any // as the socket wants them, tables nested
}

// flagNames are the keys whose flags have another name: --user is the brainjar of
// one's own service manager, as with systemctl, so these are systemd-run's.
var flagNames = map[string]string{"user": "uid", "group": "gid", "tags": "tag", "environment": "env"}

// flagName is the name of the flag for a key.
func flagName(key string) string {
	if name, ok := flagNames[key]; ok {
		return name
	}
	return strings.NewReplacer("_", "-", ".", "-").Replace(key)
}

// add makes the flags, but for some keys.
func (k *keyFlags) add(cmd *cobra.Command, without ...string) {
	k.addIf(cmd, func(key string) bool { return !slices.Contains(without, key) })
}

// addOnly makes the flags for some keys.
func (k *keyFlags) addOnly(cmd *cobra.Command, keys ...string) {
	k.addIf(cmd, func(key string) bool { return slices.Contains(keys, key) })
}

func (k *keyFlags) addIf(cmd *cobra.Command, wanted func(key string) bool) {
	k.keys = make(map[string]any)
	for _, key := range config.ExperimentKeys() {
		if !wanted(key.Name) {
			continue
		}
		usage := strings.TrimSuffix(strings.ReplaceAll(key.Doc, "`", ""), ".")
		words := quoted().FindAllString(key.Kind, -1)
		if words != nil {
			usage += ": " + key.Kind
		}
		name := flagName(key.Name)
		flag := cmd.Flags().VarPF(&keyFlag{key, k.keys}, name, "", usage)
		for i := range words {
			words[i] = strings.Trim(words[i], `"`)
		}
		if words != nil || key.Kind != "string" { // which may be a path
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
		}
		if key.Kind == "true or false" {
			flag.NoOptDefVal = "true"
		}
	}
}

// quoted finds the words in a kind that has few: `"exec" or "notify"`.
var quoted = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`"[^"]+"`) })

// absolute makes paths that were given relative to the present directory absolute:
// brainjar has another one.
func (k *keyFlags) absolute() error {
	for _, key := range []string{"working_directory", "writable_paths", "environment_files"} {
		var err error
		switch value := k.keys[key].(type) {
		case string:
			k.keys[key], err = filepath.Abs(value)
		case []any:
			for i, path := range value {
				text, optional := strings.CutPrefix(fmt.Sprint(path), "-")
				if text, err = filepath.Abs(text); optional {
					text = "-" + text
				}
				value[i] = text
			}
		}
		if err != nil {
			return fmt.Errorf("cannot find the present directory: %w", err)
		}
	}
	return nil
}

// keyFlag is the flag for one key; a pflag.Value.
type keyFlag struct {
	key  config.KeyInfo
	into map[string]any
}

// Type is what the help shows in the place of a value.
func (f *keyFlag) Type() string {
	switch {
	case f.key.Name == "environment":
		return "NAME=value"
	case f.key.Name == "after":
		return "ID[=condition]"
	case f.key.Kind == "true or false":
		return "bool"
	case f.key.Kind == "°C":
		return "celsius"
	case quoted().MatchString(f.key.Kind):
		return "word"
	}
	return strings.ReplaceAll(strings.TrimPrefix(f.key.Kind, "list of "), " ", "-")
}

// String is the default, which help does not show.
func (f *keyFlag) String() string { return "" }

// Set takes a value; a list takes one more.
func (f *keyFlag) Set(text string) error {
	name := f.key.Name
	kind, isList := strings.CutPrefix(f.key.Kind, "list of ")
	switch {
	case name == "environment":
		return f.setVariable(text)
	case name == "after":
		f.setAfter(text)
		return nil
	case isList:
		parts := []string{text}
		if kind == "exit codes" || kind == "words" {
			parts = strings.Split(text, ",")
		}
		for _, part := range parts {
			value, err := tomlValue(kind, part)
			if err != nil {
				return err
			}
			list, _ := f.table()[f.leaf()].([]any)
			f.table()[f.leaf()] = append(list, value)
		}
		return nil
	}
	value, err := tomlValue(f.key.Kind, text)
	if err != nil {
		return err
	}
	f.table()[f.leaf()] = value
	return nil
}

// setVariable takes NAME=value, or NAME for the caller's own value.
func (f *keyFlag) setVariable(text string) error {
	name, value, given := strings.Cut(text, "=")
	if !given {
		if value, given = os.LookupEnv(name); !given {
			return fmt.Errorf("you have no variable %s: write %s=value", name, name)
		}
	}
	if name == "" {
		return errors.New("wants NAME=value")
	}
	f.inner("environment")[name] = value
	return nil
}

// setAfter takes IDs, each perhaps with what it must have come to.
func (f *keyFlag) setAfter(text string) {
	for part := range strings.SplitSeq(text, ",") {
		id, condition, given := strings.Cut(part, "=")
		if !given {
			condition = "succeeded"
		}
		f.inner("after")[id] = condition
	}
}

// inner is a table in the keys.
func (f *keyFlag) inner(name string) map[string]any {
	table, ok := f.into[name].(map[string]any)
	if !ok {
		table = make(map[string]any)
		f.into[name] = table
	}
	return table
}

// table is where the key lies: restart.delay lies in the table restart.
func (f *keyFlag) table() map[string]any {
	name, _, nested := strings.Cut(f.key.Name, ".")
	if !nested {
		return f.into
	}
	return f.inner(name)
}

func (f *keyFlag) leaf() string { return f.key.Name[strings.LastIndex(f.key.Name, ".")+1:] }

// tomlValue reads a value as TOML would have it, by the kind of its key.
func tomlValue(kind, text string) (any, error) {
	switch kind {
	case "integer", "exit codes":
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		return n, nil
	case "number", "°C":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", text)
		}
		return n, nil
	case "true or false":
		switch text {
		case "true", "false":
			return text == "true", nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", text)
	}
	return text, nil
}
