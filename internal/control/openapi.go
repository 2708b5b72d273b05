package control

import (
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// getDescription answers with the description of everything: OpenAPI 3.1.
func (s *Server) getDescription(http.ResponseWriter, *http.Request) (any, error) {
	return description(), nil
}

// object is a JSON object.
type object = map[string]any

// description is made from the table of routes and the types that travel, so that it
// cannot differ from them.
var description = sync.OnceValue(func() object {
	schemas := make(object)
	paths := make(object)
	for _, r := range routes {
		at := "/" + Version + r.path
		operations, known := paths[at].(object)
		if !known {
			operations = make(object)
			paths[at] = operations
		}
		operations[strings.ToLower(r.method)] = r.describe(schemas)
	}
	schemaOf(reflect.TypeFor[Error](), schemas)
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "brainjar", "version": Version, "description": "Experiments of one machine, over its control socket."},
		"servers": []object{{"url": "http://brainjar", "description": "any host: what counts is the Unix socket"}},
		"paths":   paths, "components": object{"schemas": schemas},
	}
})

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// describe is one operation.
func (r route) describe(schemas object) object {
	parameters := []object{}
	for _, m := range inPath.FindAllStringSubmatch(r.path, -1) {
		parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range r.query {
		parameters = append(parameters, object{"name": p.name, "in": "query", "description": p.words, "schema": object{"type": "string"}})
	}
	kind := "application/json"
	if r.stream {
		kind = "text/event-stream"
	}
	good := object{"description": "done"}
	if r.answer != nil {
		good["content"] = object{kind: object{"schema": schemaOf(reflect.TypeOf(r.answer), schemas)}}
	}
	status := http.StatusOK
	if r.upgrade != "" {
		status, good["description"] = http.StatusSwitchingProtocols, "the connection speaks "+r.upgrade+" from now on: lines of JSON"
	}
	op := object{
		"summary": r.summary, "x-access": r.access.String(), "parameters": parameters,
		"responses": object{
			strconv.Itoa(status): good,
			"default":            object{"description": "not done", "content": object{"application/json": object{"schema": object{"$ref": "#/components/schemas/Error"}}}},
		},
	}
	if r.request != nil {
		op["requestBody"] = object{"content": object{"application/json": object{"schema": schemaOf(reflect.TypeOf(r.request), schemas)}}}
	}
	return op
}

// schemaOf is the JSON Schema of a type as encoding/json writes it. Structs become
// components.
func schemaOf(t reflect.Type, schemas object) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem(), schemas)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8: // json.RawMessage
		return object{}
	}
	switch t.Kind() {
	case reflect.Struct:
		return structSchema(t, schemas)
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem(), schemas)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schemaOf(t.Elem(), schemas)}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Interface:
		return object{}
	default:
		return object{"type": "integer"}
	}
}

func structSchema(t reflect.Type, schemas object) object {
	ref := object{"$ref": "#/components/schemas/" + t.Name()}
	if schemas[t.Name()] != nil {
		return ref
	}
	properties, required := make(object), []string{}
	schemas[t.Name()] = object{"type": "object", "properties": properties} // for a type that holds itself
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "-" || name == "" {
			continue
		}
		properties[name] = schemaOf(t.Field(i).Type, schemas)
		if !strings.Contains(options, "omit") && !strings.HasSuffix(t.Name(), "Request") {
			required = append(required, name)
		}
	}
	schemas[t.Name()] = object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	return ref
}
