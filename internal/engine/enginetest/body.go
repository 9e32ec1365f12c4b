package enginetest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/engine"
)

// property is a field that users may set, with its dotted path.
type property struct {
	*engine.Field
	path string
	// fixed is whether the field or a structure around it is immutable.
	fixed bool
}

// parameter is the query parameter that lists are filtered by it with.
func (p property) parameter() string { return p.Parameter(p.path) }

func (p property) pointer() string { return "/" + strings.ReplaceAll(p.path, ".", "/") }

// settable lists what users may set and see, structures before what is in them.
func settable(fields []engine.Field) []property {
	return slices.DeleteFunc(taken(fields), func(p property) bool { return p.WriteOnly })
}

// taken is settable with what is never shown.
func taken(fields []engine.Field) []property {
	var out []property
	var walk func(fields []engine.Field, prefix string, fixed bool)
	walk = func(fields []engine.Field, prefix string, fixed bool) {
		for i := range fields {
			f := &fields[i]
			if f.ReadOnly || f.Once {
				continue
			}
			p := property{f, prefix + f.Name, fixed || f.Immutable}
			out = append(out, p)
			if f.Type == engine.Structure {
				walk(f.Fields, p.path+".", p.fixed)
			}
		}
	}
	walk(fields, "", false)
	return out
}

// leaves is settable without the structures.
func leaves(fields []engine.Field) []property {
	return slices.DeleteFunc(settable(fields), func(p property) bool { return p.Type == engine.Structure })
}

// filterable lists what lists can be filtered by.
func filterable(fields []engine.Field, prefix string) []property {
	var out []property
	for i := range fields {
		f := &fields[i]
		if f.Filter != engine.NotFiltered {
			out = append(out, property{f, prefix + f.Name, true})
		}
		if f.Type == engine.Structure {
			out = append(out, filterable(f.Fields, prefix+f.Name+".")...)
		}
	}
	return out
}

// ignored lists the fields that the server ignores in bodies.
func ignored(fields []engine.Field, prefix string) []string {
	var out []string
	for _, f := range fields {
		switch {
		case f.ReadOnly || f.Once:
			out = append(out, prefix+f.Name)
		case f.Type == engine.Structure:
			out = append(out, ignored(f.Fields, prefix+f.Name+".")...)
		}
	}
	return out
}

// get returns the value at the dotted path and whether it is there.
func get(body map[string]any, path string) (any, bool) {
	head, rest, more := strings.Cut(path, ".")
	v, ok := body[head]
	if !more || !ok {
		return v, ok
	}
	inner, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	return get(inner, rest)
}

// with returns a copy of the body with the value at the dotted path.
func with(body map[string]any, path string, value any) map[string]any {
	out := clone(body)
	at := out
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		inner, ok := at[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			at[name] = inner
		}
		at = inner
	}
	at[names[len(names)-1]] = value
	return out
}

// without returns a copy of the body that lacks the property.
func without(body map[string]any, path string) map[string]any {
	out := clone(body)
	at := out
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		inner, ok := at[name].(map[string]any)
		if !ok {
			return out
		}
		at = inner
	}
	delete(at, names[len(names)-1])
	return out
}

// clone copies a body as the server would see it: as decoded JSON.
func clone(body map[string]any) map[string]any {
	encoded, err := json.Marshal(body)
	if err != nil {
		panic("enginetest: a Spec's body is not JSON: " + err.Error())
	}
	var out map[string]any
	if err := json.Unmarshal(encoded, &out); err != nil {
		panic("enginetest: " + err.Error()) // it was encoded from a map
	}
	return out
}

// minimal keeps what a body must have.
func minimal(fields []engine.Field, body map[string]any) map[string]any {
	out := map[string]any{}
	for _, f := range fields {
		v, ok := body[f.Name]
		if !ok || !f.Required || f.ReadOnly || f.Once {
			continue
		}
		if inner, structure := v.(map[string]any); structure && f.Type == engine.Structure {
			v = minimal(f.Fields, inner)
		}
		out[f.Name] = v
	}
	return out
}

// wrong are values that a field of the type does not take, with what follows
// the field's pointer in the answer.
func wrong(f *engine.Field) []struct {
	value  any
	suffix string
} {
	type w = struct {
		value  any
		suffix string
	}
	switch f.Type {
	case engine.Boolean:
		return []w{{"true", ""}, {1, ""}, {[]any{}, ""}}
	case engine.Integer:
		return []w{{"12", ""}, {1.5, ""}, {true, ""}, {json.Number("9223372036854775808"), ""}}
	case engine.Timestamp:
		return []w{{"yesterday", ""}, {"2026-02-30T00:00:00Z", ""}, {5, ""}}
	case engine.Structure:
		return []w{{"text", ""}, {[]any{}, ""}, {5, ""}}
	case engine.Reference:
		return []w{
			{"text", ""}, {[]any{}, ""}, {map[string]any{}, "/id"}, {map[string]any{"id": 5}, "/id"},
			{map[string]any{"id": ""}, "/id"}, {map[string]any{"id": nil}, "/id"}, {map[string]any{"id": strings.Repeat("x", 300)}, "/id"},
		}
	case engine.Array:
		out := []w{{"text", ""}, {map[string]any{}, ""}, {5, ""}}
		if f.MinItems <= 1 && f.MaxItems != 0 || f.MaxItems == 0 {
			for _, item := range wrong(f.Items) {
				out = append(out, w{[]any{item.value}, "/0" + item.suffix})
			}
			out = append(out, w{[]any{nil}, "/0"})
		}
		return out
	default:
		return []w{{5, ""}, {true, ""}, {map[string]any{}, ""}, {[]any{"x"}, ""}}
	}
}

// shows reports whether an answered value says what was sent.
func shows(f *engine.Field, sent, answered any) bool {
	switch f.Type {
	case engine.Reference:
		s, _ := sent.(map[string]any)
		a, _ := answered.(map[string]any)
		return s != nil && a != nil && s["id"] == a["id"]
	case engine.Array:
		s, _ := sent.([]any)
		a, ok := answered.([]any)
		if !ok || len(s) != len(a) {
			return false
		}
		for i := range s {
			if !shows(f.Items, s[i], a[i]) {
				return false
			}
		}
		return true
	case engine.Timestamp:
		s, _ := sent.(string)
		a, _ := answered.(string)
		at, err := time.Parse(time.RFC3339Nano, s)
		return err == nil && a == at.UTC().Format(micros)
	case engine.Structure:
		s, _ := sent.(map[string]any)
		a, _ := answered.(map[string]any)
		for _, inner := range settable(f.Fields) {
			if v, ok := get(s, inner.path); ok && inner.Type != engine.Structure {
				if got, there := get(a, inner.path); !there || !shows(inner.Field, v, got) {
					return false
				}
			}
		}
		return a != nil
	default:
		return reflect.DeepEqual(sent, answered)
	}
}

// filterValue is what a list is filtered by to find a value of the field.
func filterValue(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	case map[string]any:
		id, ok := v["id"].(string)
		return id, ok
	case float64:
		b, err := json.Marshal(v)
		return string(b), err == nil
	default:
		return "", false
	}
}
