package transient

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// addEnvironment adds the environment: first what the spec may override, then
// the spec's own, then what only brainjar says. systemd puts the variables of
// EnvironmentFiles last, over all of these.
func addEnvironment(props *propertyList, spec Spec, host Host) (warnings []string) {
	given := make(map[string]bool, len(spec.Environment))
	for _, assignment := range spec.Environment {
		given[nameOf(assignment)] = true
	}
	environment := []string{"PYTHONUNBUFFERED=1"}
	if ownCache(spec, host) {
		directory := Prefix + spec.Experiment
		path := filepath.Join("/var/cache", directory)
		props.add("CacheDirectory", []string{directory})
		environment = append(environment,
			"XDG_CACHE_HOME="+path,
			"HF_HOME="+filepath.Join(path, "huggingface"),
			"CUDA_CACHE_PATH="+filepath.Join(path, "cuda"),
		)
	}
	environment = slices.DeleteFunc(environment, func(assignment string) bool {
		return given[nameOf(assignment)]
	})

	reserved := []string{
		"EXPERIMENT_ID=" + spec.Experiment,
		"BRAINJAR_EXPERIMENT=" + spec.Experiment,
		"BRAINJAR_RUN=" + strconv.Itoa(spec.Run),
		"BRAINJAR_ATTEMPT=" + strconv.Itoa(spec.Attempt),
		"BRAINJAR_LAST_RESULT=" + spec.LastResult,
	}
	for _, assignment := range reserved {
		if name := nameOf(assignment); given[name] {
			warnings = append(warnings, fmt.Sprintf("environment: %s is what brainjar says, not what was written", name))
		}
	}
	for _, assignment := range spec.Environment {
		ours := slices.ContainsFunc(reserved, func(r string) bool { return nameOf(r) == nameOf(assignment) })
		if !ours {
			environment = append(environment, assignment)
		}
	}
	props.add("Environment", append(environment, reserved...))

	if len(spec.EnvironmentFiles) > 0 {
		files := make([]environmentFile, 0, len(spec.EnvironmentFiles))
		for _, file := range spec.EnvironmentFiles {
			files = append(files, splitOptional(file))
		}
		props.add("EnvironmentFiles", files)
	}
	return warnings
}

// ownCache says whether the unit gets a cache directory of its own: where the
// sandbox makes the home directory read-only. Without a sandbox the user's own
// caches serve, with the models that are in them.
func ownCache(spec Spec, host Host) bool {
	return !host.User && (spec.DynamicUser || sandboxed(spec))
}

func nameOf(assignment string) string {
	name, _, _ := strings.Cut(assignment, "=")
	return name
}
