package sensors

import (
	"fmt"
	"strings"
)

// Swaps returns the files and devices to which the kernel swaps, proc(5): on a Jetson
// these are /dev/zram0 and its like, which compress into memory.
func (fs FS) Swaps() ([]string, error) {
	table, err := fs.table()(fs.path("proc/swaps"))
	if nothing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list swap: %w", err)
	}
	return parseSwaps(string(table)), nil
}

// parseSwaps reads the first column of the table, but for its head. Blanks in names
// are escaped by the kernel.
func parseSwaps(table string) []string {
	var names []string
	first := true
	for line := range strings.Lines(table) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, "\t")
		if !first && name != "" {
			names = append(names, name)
		}
		first = false
	}
	return names
}
