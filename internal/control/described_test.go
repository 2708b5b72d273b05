package control_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// described fails unless an answer is as the description of the API says.
func (h *house) described(method, path string, a answer) {
	h.Helper()
	if method == http.MethodHead {
		return
	}
	d := h.description()
	schema, kind := d.answer(method, path, a.status)
	if !strings.HasPrefix(a.kind, kind) {
		h.Errorf("%s %s: %d is %s, want %s", method, path, a.status, a.kind, kind)
		return
	}
	documents := [][]byte{a.body}
	if kind == "text/event-stream" {
		documents = nil
		for _, event := range strings.Split(string(a.body), "\n\n") {
			if data, ok := strings.CutPrefix(event[max(0, strings.Index(event, "data: ")):], "data: "); ok && !strings.HasPrefix(event, "event: ") {
				documents = append(documents, []byte(data))
			}
		}
	}
	for _, document := range documents {
		decoder := json.NewDecoder(bytes.NewReader(document))
		decoder.UseNumber()
		var v any
		if err := decoder.Decode(&v); err != nil {
			h.Errorf("%s %s: %d is no JSON: %v: %.300s", method, path, a.status, err, document)
		} else if err := d.holds(schema, v, "answer"); err != nil {
			h.Errorf("%s %s: %d is not as described: %v\n%.500s", method, path, a.status, err, document)
		}
	}
}

// description is the description of the API, as served.
type description map[string]any

var (
	describing sync.Mutex
	served     description
)

func (h *house) description() description {
	h.Helper()
	describing.Lock()
	defer describing.Unlock()
	if served == nil {
		a, err := h.try(http.MethodGet, "/v1/openapi.json", "")
		if err != nil || a.status != http.StatusOK {
			h.Fatalf("no description: %d, %v", a.status, err)
		}
		if err := json.Unmarshal(a.body, &served); err != nil {
			h.Fatal(err)
		}
	}
	return served
}

func at(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// answer finds the schema of an answer, and its kind of content.
func (d description) answer(method, path string, status int) (schema any, kind string) {
	path, _, _ = strings.Cut(path, "?")
	schema, kind = at(map[string]any(d), "components", "schemas", "Error"), "application/json"
	paths, _ := d["paths"].(map[string]any)
	for pattern, operations := range paths {
		if !matches(pattern, path) {
			continue
		}
		responses := at(operations, strings.ToLower(method), "responses")
		response := at(responses, fmt.Sprint(status))
		if response == nil {
			response = at(responses, "default")
		}
		content, _ := at(response, "content").(map[string]any)
		for kind, of := range content {
			return at(of, "schema"), kind
		}
		if response != nil {
			return map[string]any{}, kind
		}
	}
	return schema, kind
}

func matches(pattern, path string) bool {
	p, q := strings.Split(pattern, "/"), strings.Split(path, "/")
	return len(p) == len(q) && !slices.ContainsFunc(p, func(part string) bool {
		i := slices.Index(p, part)
		return part != q[i] && !strings.HasPrefix(part, "{")
	})
}

// holds says where a value differs from its JSON Schema, of which it knows what the
// description uses.
func (d description) holds(schema, v any, where string) error {
	s, ok := schema.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: no schema", where)
	}
	if ref, ok := s["$ref"].(string); ok {
		return d.holds(at(map[string]any(d), strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), v, where)
	}
	for key := range s {
		if !slices.Contains([]string{"type", "properties", "required", "additionalProperties", "items", "format"}, key) {
			return fmt.Errorf("%s: the test does not know %q", where, key)
		}
	}
	wrong := fmt.Errorf("%s: %v is no %v", where, v, s["type"])
	switch s["type"] {
	case nil:
		return nil
	case "object":
		return d.holdsObject(s, v, where)
	case "array":
		list, ok := v.([]any)
		if !ok {
			return wrong
		}
		for i, element := range list {
			if err := d.holds(s["items"], element, fmt.Sprintf("%s[%d]", where, i)); err != nil {
				return err
			}
		}
		return nil
	case "string":
		text, ok := v.(string)
		if ok && s["format"] == "date-time" {
			_, err := time.Parse(time.RFC3339, text)
			ok = err == nil
		}
		if !ok {
			return wrong
		}
		return nil
	case "boolean":
		if _, ok := v.(bool); !ok {
			return wrong
		}
		return nil
	case "integer", "number":
		n, ok := v.(json.Number)
		if !ok {
			return wrong
		}
		f, err := n.Float64()
		if err != nil || s["type"] == "integer" && f != math.Trunc(f) {
			return wrong
		}
		return nil
	}
	return fmt.Errorf("%s: the test does not know type %v", where, s["type"])
}

func (d description) holdsObject(s map[string]any, v any, where string) error {
	o, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: %v is no object", where, v)
	}
	required, _ := s["required"].([]any)
	for _, key := range required {
		if _, there := o[fmt.Sprint(key)]; !there {
			return fmt.Errorf("%s: no %v", where, key)
		}
	}
	for key, value := range o {
		inner := at(s, "properties", key)
		if inner == nil {
			inner = s["additionalProperties"]
		}
		if inner == false {
			return fmt.Errorf("%s: %s is not described", where, key)
		}
		if err := d.holds(inner, value, where+"."+key); err != nil {
			return err
		}
	}
	return nil
}
