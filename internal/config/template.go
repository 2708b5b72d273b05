package config

import (
	"errors"
	"fmt"
)

// ErrNoTemplate says that the configuration has no [template].
var ErrNoTemplate = errors.New("the configuration has no [template] to make it from")

// FromTemplate makes the experiment of an id that no table names. A configPath
// that is not empty takes the place of the template's config. The error may be
// Errors.
func (c *Config) FromTemplate(id, configPath string) (*Experiment, error) {
	if c.Template == nil {
		return nil, fmt.Errorf("cannot make experiment %q: %w", id, ErrNoTemplate)
	}
	if err := CheckID(id); err != nil {
		return nil, Errors{{Message: fmt.Sprintf("%q is not an id: %v", id, err)}}
	}
	if len(c.Select(id)) > 0 {
		return nil, Errors{{Message: fmt.Sprintf("%q is configured, and no id for another experiment", id)}}
	}
	e := *c.Template
	e.ID = id
	return e.expanded(configPath)
}

// WithConfig returns the experiment with another config, and so with other
// {config} placeholders. The error may be Errors.
func (e *Experiment) WithConfig(configPath string) (*Experiment, error) {
	unexpanded := e.unexpanded()
	return unexpanded.expanded(configPath)
}

// expanded is expand with its problems as an error.
func (e *Experiment) expanded(config string) (*Experiment, error) {
	var r report
	x := e.expand(config, &r)
	if problems := r.errors(); len(problems) > 0 {
		return nil, problems
	}
	return x, nil
}
