package legacy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// maxFile is the size in bytes of the largest file that is read.
const maxFile = 1 << 18

// maxLinks is how many symbolic links in a row are followed.
const maxLinks = 8

// errMasked says that a unit is a link to /dev/null: systemd does not start it.
var errMasked = errors.New("is masked")

// unitDirs are where units may lie, those first that systemd looks at first. The last
// ones are for a copy of /etc, of /etc/systemd, and of the project.
var unitDirs = []string{
	"etc/systemd/system.control", "run/systemd/system.control", "etc/systemd/system", "run/systemd/system",
	"usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system",
	"systemd/system.control", "systemd/system", "system.control", "system", "systemd", ".",
}

// settingDirs are where coordinator.env and experiments/*.env may lie.
var settingDirs = []string{"etc/brain-in-jar", "brain-in-jar", "."}

// tree is the root of the machine, or a copy of a part of it.
type tree struct{ root fs.FS }

// read returns a file's text. It waits for nobody: what is not a regular file is refused.
func (t tree) read(name string) (string, error) {
	name, err := t.resolve(name)
	if err != nil {
		return "", err
	}
	info, err := fs.Stat(t.root, name)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", name)
	case info.Size() > maxFile:
		return "", fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	text, err := fs.ReadFile(t.root, name)
	return strings.ReplaceAll(string(text), "\x00", ""), err
}

// resolve follows links by hand: in a copy, an absolute one means a file of the copy.
func (t tree) resolve(name string) (string, error) {
	for range maxLinks {
		info, err := fs.Lstat(t.root, name)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			return name, err
		}
		target, err := fs.ReadLink(t.root, name)
		if err != nil {
			return "", err
		}
		if target == "/dev/null" {
			return "", errMasked
		}
		next := path.Join(path.Dir(name), target)
		if path.IsAbs(target) {
			next = t.inside(target)
		}
		if !fs.ValidPath(next) {
			return "", fmt.Errorf("%s is a link to %s, which is not here", name, target)
		}
		name = next
	}
	return "", fmt.Errorf("%s: too many links", name)
}

// inside returns where the tree has a file of the machine, given by its absolute path;
// where the tree is a copy of /etc, that is without its first directory.
func (t tree) inside(absolute string) string {
	name := strings.TrimPrefix(path.Clean(absolute), "/")
	if rest, ok := strings.CutPrefix(name, "etc/"); ok {
		if _, err := fs.Lstat(t.root, name); err != nil {
			return rest
		}
	}
	return name
}

// list returns the names in a directory, none if there is no such directory.
func (t tree) list(dir string) []string {
	entries, err := fs.ReadDir(t.root, dir)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// find returns the first of the directories' files of that name.
func (t tree) find(dirs []string, name string) (string, bool) {
	for _, dir := range dirs {
		file := path.Join(dir, name)
		if !fs.ValidPath(file) {
			continue
		}
		if _, err := fs.Lstat(t.root, file); err == nil {
			return file, true
		}
	}
	return "", false
}

// dropIns returns the *.conf files of a unit in the order in which systemd reads them:
// by name, and of those with the same name the one that systemd finds first. The
// directories are named after the unit, those of an instance before those of its template.
func (t tree) dropIns(units ...string) []string {
	chosen := make(map[string]string)
	var names []string
	for _, unit := range units {
		for _, dir := range unitDirs {
			for _, name := range t.list(path.Join(dir, unit+".d")) {
				if _, known := chosen[name]; !known && strings.HasSuffix(name, ".conf") {
					chosen[name] = path.Join(dir, unit+".d", name)
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	files := make([]string, len(names))
	for i, name := range names {
		files[i] = chosen[name]
	}
	return files
}

// pattern compiles a regular expression when it is first used: every brainjar has
// this package in it, and few import anything.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}
