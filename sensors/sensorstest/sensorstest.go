// Package sensorstest holds machines for tests: the files of real boards that
// sensors read, as text, one file a board. Unpacked into a directory, a board can be
// given to sensors.FS, and to brainjar run as --sysroot.
//
// It knows files and no sensors; it imports nothing of brainjar.
package sensorstest

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

//go:embed boards
var boards embed.FS

const suffix = ".tree"

// Boards returns the names of all boards.
func Boards() ([]string, error) {
	entries, err := boards.ReadDir("boards")
	if err != nil {
		return nil, fmt.Errorf("cannot list the boards: %w", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, strings.TrimSuffix(entry.Name(), suffix))
	}
	return names, nil
}

// Board unpacks a board into a directory of the test and returns that directory.
func Board(tb testing.TB, name string) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := Unpack(dir, name); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Tree unpacks a tree of the test's own into a directory of the test and returns
// that directory.
func Tree(tb testing.TB, tree string) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := Write(dir, tree); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Unpack writes the files of a board into a directory. Its error is a name that is
// no board's, or one of writing.
func Unpack(dir, name string) error {
	tree, err := boards.ReadFile("boards/" + name + suffix)
	if err != nil {
		return fmt.Errorf("cannot find board %s: %w", name, err)
	}
	if err := Write(dir, string(tree)); err != nil {
		return fmt.Errorf("cannot unpack board %s: %w", name, err)
	}
	return nil
}

// Write writes the files of a tree into a directory. A tree is text:
//
//	# a comment
//	[sys/class/thermal/thermal_zone0]     the directory of what follows
//	type = CPU-therm | temp = 41437       files of one line, each
//	firmware = a\0b                       one with a NUL, and so without a line end
//	slow = <fifo>                         one whose open blocks
//	device -> ../../a                     a symbolic link
//	clients = <<                          one of several lines
//	total   5K
//	>>
//
// A file that begins with #! may be executed. Files of trees that hold the name of
// an error, such as EAGAIN, stand for reads that fail with it: see sensors.FS.
func Write(dir, tree string) error {
	here := dir
	lines := strings.Split(tree, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		section, isSection := strings.CutPrefix(line, "[")
		name, isLong := strings.CutSuffix(line, " = <<")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case isSection:
			here = filepath.Join(dir, strings.TrimSuffix(section, "]"))
			if err := os.MkdirAll(here, 0o755); err != nil { //nolint:gosec // as in the kernel's trees
				return fmt.Errorf("line %d: %w", i+1, err)
			}
		case isLong:
			var content strings.Builder
			for i++; i < len(lines) && lines[i] != ">>"; i++ {
				content.WriteString(lines[i] + "\n")
			}
			if err := writeFile(filepath.Join(here, name), content.String()); err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
		default:
			for entry := range strings.SplitSeq(line, " | ") {
				if err := writeEntry(here, entry); err != nil {
					return fmt.Errorf("line %d: %w", i+1, err)
				}
			}
		}
	}
	return nil
}

// writeEntry writes one file, FIFO or link.
func writeEntry(dir, entry string) error {
	if name, target, ok := strings.Cut(entry, " -> "); ok {
		return os.Symlink(target, filepath.Join(dir, name))
	}
	name, value, ok := strings.Cut(entry, " =")
	if !ok {
		return fmt.Errorf("%q is neither a file nor a link", entry)
	}
	value = strings.TrimPrefix(value, " ")
	path := filepath.Join(dir, name)
	if value == "<fifo>" {
		return unix.Mkfifo(path, 0o600)
	}
	if strings.Contains(value, `\0`) {
		return writeFile(path, strings.ReplaceAll(value, `\0`, "\x00"))
	}
	return writeFile(path, value+"\n")
}

// writeFile writes a file and the directories above it.
func writeFile(path, content string) error {
	mode := os.FileMode(0o644)
	if strings.HasPrefix(content, "#!") {
		mode = 0o755
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // as in the kernel's trees
		return err
	}
	return os.WriteFile(path, []byte(content), mode)
}
