package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// file is a text file of the project.
type file struct {
	path   string // from the project's root, with slashes
	mode   fs.FileMode
	text   string
	syntax *ast.File // of a Go file
	lines  *token.FileSet
}

// newFile parses a file if it is Go.
func newFile(name string, mode fs.FileMode, text string) (file, error) {
	f := file{path: name, mode: mode, text: text, lines: token.NewFileSet()}
	if !f.isGo() {
		return f, nil
	}
	var err error
	f.syntax, err = parser.ParseFile(f.lines, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return f, err
}

func (f file) isGo() bool   { return strings.HasSuffix(f.path, ".go") }
func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }
func (f file) dir() string  { return path.Dir(f.path) }

// in says whether the file lies in a directory or below it; "." holds only
// the files of the root itself.
func (f file) in(dir string) bool {
	return f.dir() == dir || dir != "." && strings.HasPrefix(f.dir(), dir+"/")
}

// at returns where a node is, as editors understand it.
func (f file) at(node ast.Node) string {
	position := f.lines.Position(node.Pos())
	return position.String()
}

// root is the project's directory.
const root = "../.."

// project reads all text files of the project, once.
var project = sync.OnceValues(func() ([]file, error) {
	var files []file
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == ".git" || entry.Name() == "dist" {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if bytes.IndexByte(text, 0) >= 0 {
			return nil // a program or a picture
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f, err := newFile(filepath.ToSlash(relative), info.Mode(), string(text))
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
})

// A rule returns what breaks it, each with its place and with what to do.
type rule func(files []file) []string

// hold fails the test for everything in the project that breaks a rule.
func hold(t *testing.T, r rule) {
	t.Helper()
	files, err := project()
	if err != nil {
		t.Fatalf("cannot read the project: %v", err)
	}
	for _, complaint := range r(files) {
		t.Error(complaint)
	}
}

// The rules see the project, and not an empty directory.
func TestProjectIsSeen(t *testing.T) {
	files, err := project()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, f := range files {
		seen[f.path] = true
	}
	for _, want := range []string{"main.go", "go.mod", "transient/transient.go", "sensors/sensors.go", "internal/archtest/tree_test.go"} {
		if !seen[want] {
			t.Errorf("the rules do not see %s", want)
		}
	}
}
