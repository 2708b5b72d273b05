package control

import (
	"slices"
	"strings"
	"unicode"
)

// startKeys are the keys of an experiment for which a start can be refused.
var startKeys = []string{
	"user", "group", "working_directory", "writable_paths", "environment_files", "devices", "gpu", "power_mode", "log", "sandbox",
	"memory_max", "memory_high", "memory_swap_max", "cpu_quota", "cpu_weight", "cpus", "io_weight", "tasks_max", "open_files",
	"allow_unenforced",
}

// keysIn are the keys that the reason of a refused start names: every refusal but those
// of the command itself names the key that it is about.
func keysIn(reason string) (keys []string) {
	words := strings.FieldsFunc(reason, func(r rune) bool { // a path is one word
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-./", r)
	})
	for _, key := range startKeys {
		if slices.Contains(words, key) {
			keys = append(keys, key)
		}
	}
	return keys
}
