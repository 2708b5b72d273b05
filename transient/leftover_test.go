package transient

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestLinked(t *testing.T) {
	dir := t.TempDir()
	for _, link := range []string{"multi-user.target.wants/old@a.service", "multi-user.target.wants/other.service", "x.target.requires/old@b.service", "elsewhere/old@c.service"} {
		path := filepath.Join(dir, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/nowhere", path); err != nil { // what it means does not matter
			t.Fatal(err)
		}
	}
	if got := linked([]string{dir, dir + "/missing"}, "old@*"); !slices.Equal(got, []string{"old@a.service", "old@b.service"}) {
		t.Errorf("%q", got)
	}
}
