package sensors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// numbered returns the directories in one of the kernel's whose names are a
// prefix and a number, in the order of their numbers. A kernel without that
// directory has none, which is no error.
func (fs FS) numbered(dir, prefix string) ([]string, error) {
	parent := fs.path(dir)
	entries, err := os.ReadDir(parent)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list %s: %w", parent, err)
	}
	var numbers []int
	for _, entry := range entries {
		digits, ok := strings.CutPrefix(entry.Name(), prefix)
		if number, err := strconv.ParseUint(digits, 10, 31); ok && err == nil {
			numbers = append(numbers, int(number))
		}
	}
	slices.Sort(numbers)
	dirs := make([]string, len(numbers))
	for i, number := range numbers {
		dirs[i] = filepath.Join(parent, prefix+strconv.Itoa(number))
	}
	return dirs, nil
}
