package legacy

import (
	"os"
	"strings"
	"testing"
)

// docs/migration.md names every variable and every directive that is carried over, and
// the key that it becomes.
func TestMigrationGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(string(text), "\n")
	wants := func(old, key string) {
		for _, row := range rows {
			if strings.HasPrefix(row, "|") && strings.Contains(row, "`"+old+"`") && strings.Contains(row, "`"+key) {
				return
			}
		}
		t.Errorf("docs/migration.md has no row of %s with %s", old, key)
	}
	for _, v := range experimentVariables {
		wants(v.name, v.key)
	}
	for _, v := range coordinatorVariables {
		wants(v.name, v.key)
	}
	for directive, one := range oneToOne {
		switch directive {
		case "MemoryLimit", "CPUAffinity": // older names of others
		default:
			wants(directive+"=", one.key)
		}
	}
}
