package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"brainjar/internal/config"
	"brainjar/internal/control"
)

// selection says which experiments a command is about.
type selection struct {
	all  bool
	tags []string
}

// flags adds --all and --tag.
func (s *selection) flags(cmd *cobra.Command, r *remote) {
	cmd.Flags().BoolVar(&s.all, "all", false, "all experiments")
	s.tagFlag(cmd, r)
	cmd.ValidArgsFunction = r.completeIDs
}

func (s *selection) tagFlag(cmd *cobra.Command, r *remote) {
	cmd.Flags().StringSliceVar(&s.tags, "tag", nil, "those that have this tag; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("tag", r.completeTags)
}

// one makes sure that it is said in one way which experiments are meant.
func (s *selection) one(cmd *cobra.Command, ids []string) error {
	ways := 0
	for _, said := range []bool{len(ids) > 0, s.all, len(s.tags) > 0} {
		if said {
			ways++
		}
	}
	switch ways {
	case 0:
		return usageError(cmd, errors.New("which experiments? Name them, or say --all or --tag"))
	case 1:
		return nil
	}
	return usageError(cmd, errors.New("ids, --all and --tag do not go together"))
}

// of returns the experiments that are meant, in the order in which they were named,
// and a failure for each id and tag that nobody has. The bare id of a matrix means
// its members. Without ids and tags it is all of them.
func (s *selection) of(all []control.Experiment, ids []string) (chosen []control.Experiment, unknown failures) {
	if len(ids) == 0 && len(s.tags) == 0 {
		return all, nil
	}
	seen := make(map[string]bool)
	var names, tags []string
	for _, e := range all {
		names, tags = append(names, e.Experiment), append(tags, e.Tags...)
		if e.Matrix != "" {
			names = append(names, e.Matrix)
		}
	}
	pick := func(what, name string, known []string, meant func(control.Experiment) bool) {
		found := false
		for _, e := range all {
			if !meant(e) {
				continue
			}
			found = true
			if !seen[e.Experiment] {
				seen[e.Experiment] = true
				chosen = append(chosen, e)
			}
		}
		if !found {
			hint := cmp.Or(config.DidYouMean(name, known), "`brainjar status` shows all")
			unknown = append(unknown, &failure{fmt.Errorf("%s %s", what, name), ExitUnknown, hint})
		}
	}
	for _, id := range ids {
		exact := slices.ContainsFunc(all, func(e control.Experiment) bool { return e.Experiment == id })
		pick("no experiment", id, names, func(e control.Experiment) bool {
			return e.Experiment == id || !exact && e.Matrix == id
		})
	}
	for _, tag := range s.tags {
		pick("no experiment has the tag", tag, tags, func(e control.Experiment) bool { return slices.Contains(e.Tags, tag) })
	}
	return chosen, unknown
}

// completionLimit is how long pressing Tab may take.
const completionLimit = 2 * time.Second

// completeIDs completes ids of experiments, and of matrices, with what brainjar knows.
func (r *remote) completeIDs(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return r.complete(cmd, given, func(e control.Experiment, offer func(word, help string)) {
		if e.Matrix != "" {
			offer(e.Matrix, "matrix")
		}
		offer(e.Experiment, e.Phase)
	})
}

// completeTags completes tags.
func (r *remote) completeTags(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return r.complete(cmd, nil, func(e control.Experiment, offer func(word, help string)) {
		for _, tag := range e.Tags {
			offer(tag, "")
		}
	})
}

// complete offers words that experiments give, each once. Where brainjar does not
// answer there are none.
func (r *remote) complete(cmd *cobra.Command, given []string, words func(e control.Experiment, offer func(word, help string))) ([]cobra.Completion, cobra.ShellCompDirective) {
	c, err := r.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
	defer cancel()
	status, err := c.Status(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var completions []cobra.Completion
	offered := make(map[string]bool)
	for _, e := range status.Experiments {
		words(e, func(word, help string) {
			if !offered[word] && !slices.Contains(given, word) {
				offered[word] = true
				completions = append(completions, cobra.CompletionWithDesc(word, help))
			}
		})
	}
	return completions, cobra.ShellCompDirectiveNoFileComp
}

// completeID is completeIDs for commands that take one.
func (r *remote) completeID(cmd *cobra.Command, given []string, part string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return r.completeIDs(cmd, given, part)
}
