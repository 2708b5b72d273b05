package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"brainjar/internal/config"
)

// definition tells whether an experiment is still what it was when the ledger
// last heard of it: what it runs, and everything that the configuration says of
// it. Somebody who changed the command of what had succeeded, or anything of what
// had failed, wants it to run.
type definition struct{ program, all string }

func definitionOf(c *config.Experiment) definition {
	return definition{
		program: digest(c.CommandFor(0, 0), c.EnvironmentFor(0, 0), c.EnvironmentFiles, c.Config, c.WorkingDirectory, c.Kind),
		all:     digest(c),
	}
}

// String is the definition as the ledger keeps it.
func (d definition) String() string { return d.program + d.all }

// digest is short: it need not withstand anybody.
func digest(values ...any) string {
	sum := sha256.Sum256([]byte(toJSON(values)))
	return hex.EncodeToString(sum[:8])
}

// changed reports whether an experiment that ended in a phase is another one now.
// The ledger's word is empty if it was never asked.
func (d definition) changed(was string, phase Phase) bool {
	was, _, _ = strings.Cut(was, begunAfter)
	if len(was) != len(d.String()) {
		return false
	}
	switch phase {
	case Succeeded:
		return was[:len(d.program)] != d.program
	case Failed:
		return was != d.String()
	default:
		return false
	}
}

// begun is what a run was started with: digests of the keys that only another run can
// have, by key, without those that have their default. The ledger keeps it beside the
// definition, while the run goes on. nil: that is not known.
type begun map[string]string

// begunAfter stands between the definition and begun.
const begunAfter = " "

func begunWith(c *config.Experiment) begun {
	b := make(begun)
	for key, value := range c.Values() {
		if len(needRun([]string{key})) == 0 {
			continue
		}
		if d := digest(value); d != defaultDigests()[key] {
			b[key] = strings.Clone(d[:8])
		}
	}
	return b
}

// defaultDigests are the digests of what an experiment is that says nothing, by key.
var defaultDigests = sync.OnceValue(func() map[string]string {
	digests := make(map[string]string)
	for key, value := range config.DefaultValues() {
		digests[key] = digest(value)
	}
	return digests
})

func (b begun) String() string {
	if b == nil {
		return ""
	}
	return begunAfter + toJSON(b)
}

// readBegun reads it again. An earlier brainjar has not written it.
func readBegun(definition string) (b begun) {
	if _, text, ok := strings.Cut(definition, begunAfter); ok && json.Unmarshal([]byte(text), &b) != nil {
		return nil
	}
	return b
}

// lacks are those of the keys that the run does not have as they are configured now; it
// may have had them so before they were changed.
func (b begun) lacks(c *config.Experiment, keys []string) []string {
	now := begunWith(c)
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return b != nil && b[key] == now[key] })
}

// differs are the keys that the run has otherwise than they are configured now.
func (b begun) differs(c *config.Experiment) (keys []string) {
	if b == nil {
		return nil
	}
	now := begunWith(c)
	for _, key := range config.ExperimentKeys() {
		if b[key.Name] != now[key.Name] {
			keys = append(keys, key.Name)
		}
	}
	return keys
}
