package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// allKeys lists the names of every key of the schema.
func allKeys() []string {
	var names []string
	for _, k := range settingKeys {
		names = append(names, k.name)
	}
	for _, k := range experimentKeys {
		names = append(names, k.name)
	}
	return names
}

// initials returns the defaults of all keys, as TOML.
func initials() map[string]string {
	initial := make(map[string]string)
	for _, k := range settingKeys {
		initial[k.name] = k.initial
	}
	for _, k := range experimentKeys {
		initial[k.name] = k.initial
	}
	return initial
}

// TestSchema: every default holds, names are not given twice, and everything
// is explained.
func TestSchema(t *testing.T) {
	settingKeys.fill(new(Config))
	experimentKeys.fill(new(Experiment))
	seen := make(map[string]bool)
	for _, name := range allKeys() {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	for _, k := range settingKeys {
		if k.doc == "" || k.kind == "" || !strings.HasSuffix(k.doc, ".") {
			t.Errorf("%s is not explained", k.name)
		}
	}
	for _, k := range experimentKeys {
		if k.doc == "" || k.kind == "" || !strings.HasSuffix(k.doc, ".") {
			t.Errorf("%s is not explained", k.name)
		}
	}
}

// row writes a key as a row of the documentation's tables.
func row(name, kind, initial, doc, limits string) string {
	value := "–"
	if initial != "" {
		value = "`" + initial + "`"
	}
	if limits != "" && !strings.Contains(limits, "a program") {
		doc += " Must be " + limits + "."
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kind, value, doc)
}

// rows writes the tables of docs/configuration.md, by the name of their marker.
func rows() map[string]string {
	const head = "| key | value | default | meaning |\n|---|---|---|---|\n"
	tables := make(map[string]string)
	for _, k := range settingKeys {
		section, name, _ := strings.Cut(k.name, ".")
		line := row(k.name, k.kind, k.initial, k.doc, k.limits)
		tables[section] += strings.Replace(line, "`"+k.name+"`", "`"+name+"`", 1)
	}
	for _, k := range experimentKeys {
		tables["experiment"] += row(k.name, k.kind, k.initial, k.doc, k.limits)
	}
	for name, table := range tables {
		tables[name] = head + table
	}
	return tables
}

// TestDocumentation compares the tables of docs/configuration.md with the
// schema: go test ./internal/config -update writes them.
func TestDocumentation(t *testing.T) {
	const file = "../../docs/configuration.md"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for name, want := range rows() {
		begin, end := "<!-- keys of "+name+" -->\n", "<!-- end -->"
		before, rest, found := strings.Cut(text, begin)
		got, after, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Errorf("docs/configuration.md has no table between %q and %q", begin, end)
			continue
		}
		if got != want && !*update {
			t.Errorf("the table of %s differs from the schema; run go test ./internal/config -update", name)
		}
		text = before + begin + want + end + after
	}
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
