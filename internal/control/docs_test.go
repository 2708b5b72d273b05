package control

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/api.md: look at the difference")

// TestDocumentation compares docs/api.md with the table of routes, the keys of members
// and the codes: go test ./internal/control -update writes the first two.
func TestDocumentation(t *testing.T) {
	const file = "../../docs/api.md"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := section(t, string(content), "routes", routeTable())
	text = section(t, text, "keys of members", strings.Join(quoted(memberKeys), ", "))
	if text != string(content) {
		if !*update {
			t.Error("docs/api.md differs from the code; run go test ./internal/control -update")
		} else if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	types, err := os.ReadFile("wire.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`(?m)^\tCode\w+ += "([a-z-]+)" +// ([0-9, ]+)`).FindAllStringSubmatch(string(types), -1)
	if len(codes) < 10 {
		t.Errorf("found only the codes %v", codes)
	}
	for _, c := range codes {
		if row := fmt.Sprintf("\n| %s | `%s` | ", strings.TrimSpace(c[2]), c[1]); !strings.Contains(text, row) {
			t.Errorf("docs/api.md does not have %q", row)
		}
	}
}

// section puts other text into a section of a document.
func section(t *testing.T, text, name, content string) string {
	t.Helper()
	before, rest, found := strings.Cut(text, "<!-- "+name+" -->")
	_, after, closed := strings.Cut(rest, "<!-- end -->")
	if !found || !closed {
		t.Fatalf("docs/api.md has no section %q", name)
	}
	return before + "<!-- " + name + " -->\n" + content + "\n<!-- end -->" + after
}

func quoted(words []string) (q []string) {
	for _, w := range words {
		q = append(q, "`"+w+"`")
	}
	return q
}

// routeTable is the table of routes for people.
func routeTable() string {
	var b strings.Builder
	b.WriteString("| route | access | to | query | body |\n|---|---|---|---|---|\n")
	for _, r := range routes {
		var query []string
		for _, p := range r.query {
			query = append(query, p.name)
		}
		var body []string
		if r.request != nil {
			for f := range reflect.TypeOf(r.request).Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				body = append(body, name)
			}
		}
		fmt.Fprintf(&b, "| `%s /%s%s` | %s | %s | %s | %s |\n", r.method, Version, strings.ReplaceAll(r.path, "{id}", "ID"), r.access, r.summary,
			strings.Join(quoted(query), ", "), strings.Join(quoted(body), ", "))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// TestDescription: every route is described, with its access and what it takes and
// gives, and every reference leads somewhere.
func TestDescription(t *testing.T) {
	b, err := json.Marshal(description())
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Summary     string                      `json:"summary"`
			Access      string                      `json:"x-access"`
			Parameters  []struct{ Name, In string } `json:"parameters"`
			RequestBody any                         `json:"requestBody"`
			Responses   map[string]any              `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(b, &d); err != nil || d.OpenAPI != "3.1.0" {
		t.Fatalf("version %q, %v", d.OpenAPI, err)
	}
	described := 0
	for _, operations := range d.Paths {
		described += len(operations)
	}
	if described != len(routes) {
		t.Errorf("%d operations are described, there are %d routes", described, len(routes))
	}
	for _, r := range routes {
		o, there := d.Paths["/"+Version+r.path][strings.ToLower(r.method)]
		if !there || o.Summary != r.summary || o.Access != r.access.String() || r.access < Read || (o.RequestBody != nil) != (r.request != nil) || len(o.Responses) != 2 {
			t.Errorf("%s %s: %+v", r.method, r.path, o)
		}
		if want := len(r.query) + strings.Count(r.path, "{"); len(o.Parameters) != want {
			t.Errorf("%s %s has %d parameters, want %d", r.method, r.path, len(o.Parameters), want)
		}
	}
	for _, ref := range regexp.MustCompile(`"\$ref":"#/components/schemas/(\w+)"`).FindAllStringSubmatch(string(b), -1) {
		if d.Components.Schemas[ref[1]] == nil {
			t.Errorf("there is no schema %s", ref[1])
		}
	}
}
