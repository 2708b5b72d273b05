package config

import (
	"fmt"
	"strings"
)

// hint says which key was probably meant by an unknown one.
func (s schema[T]) hint(prefix string, e entry) string {
	if hint := DidYouMean(e.name, s.names(prefix)); hint != "" {
		return hint
	}
	if home := homeOf(e.name); home != "" {
		return home
	}
	if _, ok := e.value.(table); ok && len(e.at.path) == 3 && e.at.path[0] == "experiments" {
		return `an id with a dot is written in quotes, like [experiments."` + e.at.path[1] + "." + e.name + `"]`
	}
	return ""
}

// homeOf says where a key belongs that stands in a wrong place.
func homeOf(name string) string {
	for _, k := range experimentKeys {
		in, last, nested := strings.Cut(k.name, ".")
		switch {
		case nested && plain(last) == plain(name):
			return "did you mean " + in + "." + last + ", a key of experiments?"
		case plain(k.name) == plain(name):
			return k.name + " is a key of experiments: write it in [defaults] or [experiments.ID]"
		}
	}
	for _, k := range settingKeys {
		section, rest, _ := strings.Cut(k.name, ".")
		if plain(rest) == plain(name) {
			return rest + " belongs in [" + section + "]"
		}
	}
	return ""
}

// plain is a name without what people write differently: MemoryMax,
// memory-max and memory_max are the same.
func plain(name string) string {
	return strings.ToLower(separators.Replace(name))
}

var separators = strings.NewReplacer("_", "", "-", "")

// DidYouMean is the hint to a name that is close to a known one, "" where none is.
func DidYouMean(name string, known []string) string {
	if near, ok := nearest(name, known); ok {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return ""
}

// nearest returns the known name that is closest to a name, if one is close
// enough to have been meant.
func nearest(name string, known []string) (string, bool) {
	best, found := "", false
	least := 4
	for _, candidate := range known {
		limit := min(3, max(1, len(candidate)/3))
		if d := distance(plain(name), plain(candidate)); d <= limit && d < least {
			best, least, found = candidate, d, true
		}
	}
	return best, found
}

// distance counts the edits that make b of a: a character more, less or
// other, or two neighbours swapped (optimal string alignment).
func distance(a, b string) int {
	if len(a)-len(b) > 3 || len(b)-len(a) > 3 {
		return 4 // more than anybody asks for
	}
	before, above := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(above[j]+change, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}
