package supervisor

import (
	"crypto/sha256"
	"encoding/hex"

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
