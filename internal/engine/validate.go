package engine

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/api"
)

// merge applies a request's body to a document by the rules that all kinds
// share: unknown and read-only properties are ignored, absent ones keep their
// value, null clears what may be cleared, structures are merged property by
// property and arrays replaced whole. It returns the new document and every
// problem found, each with its pointer. old is nil on create.
func merge(fields []Field, old Doc, body map[string]any, pointer string) (Doc, []api.Problem) {
	m := merger{create: old == nil}
	doc := m.structure(fields, old, body, pointer)
	return doc, m.problems
}

type merger struct {
	create   bool
	problems []api.Problem
}

func (m *merger) fail(pointer, name, format string, args ...any) {
	m.problems = append(m.problems, api.Problem{
		Message: "The field '" + name + "' " + fmt.Sprintf(format, args...),
		Pointer: pointer,
	})
}

func (m *merger) structure(fields []Field, old Doc, body map[string]any, pointer string) Doc {
	doc := make(Doc, len(fields))
	for i := range fields {
		f := &fields[i]
		at := pointer + "/" + f.Name
		before, had := old[f.Name]
		if had {
			doc[f.Name] = before
		}
		sent, present := body[f.Name]
		if f.EmptyIsAbsent && sent == "" {
			present = false
		}
		switch {
		case f.ReadOnly || f.Once:
		case !present && had && f.Type == Structure:
			// After a PUT only what cannot change is left of it: what is
			// required beside is missing then.
			inner, _ := before.(Doc)
			doc[f.Name] = m.structure(f.Fields, inner, nil, at)
		case !present:
			if !had && m.create && f.Default != nil {
				doc[f.Name] = cloneValue(f.Default)
			}
		case sent == nil:
			switch {
			case f.Required:
				m.fail(at, f.Name, "must not be null")
				continue
			case f.Immutable && had:
				m.fail(at, f.Name, "cannot be changed after creation")
			default:
				delete(doc, f.Name)
			}
		default:
			after, ok := m.value(f, before, sent, at)
			if !ok {
				continue
			}
			if f.Immutable && !m.create && !sameValue(f, before, after) {
				m.fail(at, f.Name, "cannot be changed after creation")
				continue
			}
			if !f.Immutable || m.create || !had {
				doc[f.Name] = after
			}
		}
		kept := f.ReadOnly || f.WriteOnly && !m.create
		if _, there := doc[f.Name]; f.Required && !there && !kept {
			m.fail(at, f.Name, "is required")
		}
	}
	return doc
}

// sameValue compares a stored value with a sent one; references are the same
// when they name the same object.
func sameValue(f *Field, before, after any) bool {
	if f.Type == Reference {
		b, _ := before.(Doc)
		a, _ := after.(Doc)
		return b.String("id") == a.String("id")
	}
	if f.Type == Array && f.Items.Type == Reference {
		b, _ := before.([]any)
		a, _ := after.([]any)
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(f.Items, b[i], a[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(before, after)
}

func (m *merger) value(f *Field, before, sent any, at string) (any, bool) {
	switch f.Type {
	case Boolean:
		if b, ok := sent.(bool); ok {
			return b, true
		}
		m.fail(at, f.Name, "must be true or false")
	case Integer:
		if n, ok := sent.(json.Number); ok {
			if _, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
				return n, true
			}
		}
		m.fail(at, f.Name, "must be a whole number")
	case Timestamp:
		if s, ok := sent.(string); ok {
			t, err := time.Parse(time.RFC3339Nano, s)
			if year := t.UTC().Year(); err == nil && year >= 1 && year <= 9999 {
				return api.Timestamp(t), true
			}
		}
		m.fail(at, f.Name, "must be a time such as 2006-01-02T15:04:05Z")
	case Structure:
		if s, ok := sent.(map[string]any); ok {
			old, _ := before.(Doc)
			return m.structure(f.Fields, old, s, at), true
		}
		m.fail(at, f.Name, "must be an object")
	case Reference:
		return m.reference(f, sent, at)
	case Array:
		return m.array(f, sent, at)
	default:
		if s, ok := sent.(string); ok {
			return s, m.text(f, s, at)
		}
		m.fail(at, f.Name, "must be a string")
	}
	return nil, false
}

func (m *merger) text(f *Field, s, at string) bool {
	most := f.maxLength()
	length := utf8.RuneCountInString(s)
	switch {
	case f.MinLength > 0 && length == 0:
		m.fail(at, f.Name, "must not be empty")
	case length < f.MinLength:
		m.fail(at, f.Name, "must have at least %d characters, and has %d", f.MinLength, length)
	case length > most:
		m.fail(at, f.Name, "must have at most %d characters, and has %d", most, length)
	case strings.ContainsRune(s, 0):
		m.fail(at, f.Name, "must not contain a NUL character")
	case !f.allows(s):
		in := ""
		if f.EnumFold {
			in = ", in any case"
		}
		m.fail(at, f.Name, "must be one of %s%s", strings.Join(f.Enum, ", "), in)
	case f.Pattern != nil && !f.Pattern.MatchString(s):
		m.fail(at, f.Name, "must %s", f.PatternHint)
	default:
		return true
	}
	return false
}

// reference keeps what a sender may say of another object: its id and, where
// that helps to find it, kind, API version and environment. The rest is the
// server's, and clients send it empty. Without an id the URL of the other object
// will do, where the engine resolves the reference and can tell whose it is.
func (m *merger) reference(f *Field, sent any, at string) (any, bool) {
	in, ok := sent.(map[string]any)
	if !ok {
		m.fail(at, f.Name, "must be an object with an id")
		return nil, false
	}
	out := Doc{}
	for _, name := range []string{"id", "environment", "api_version", "kind"} {
		switch v := in[name].(type) {
		case nil:
		case string:
			if len(v) > MaxID || strings.ContainsRune(v, 0) {
				m.fail(at+"/"+name, f.Name+"."+name, "must have at most %d characters and no NUL", MaxID)
				return nil, false
			}
			if v != "" {
				out[name] = v
			}
		default:
			m.fail(at+"/"+name, f.Name+"."+name, "must be a string")
			return nil, false
		}
	}
	if related, _ := in["related"].(string); out.String("id") == "" && related != "" && !f.To.Resolved {
		if id := idIn(related); id != "" {
			out["id"], out["related"] = id, related
		}
	}
	if out.String("id") == "" {
		m.fail(at+"/id", f.Name+".id", "is required")
		return nil, false
	}
	out["id"] = f.To.literal(out.String("id"))
	return out, true
}

// idIn returns the ID in the URL of an object, or "".
func idIn(related string) string {
	u, err := url.Parse(related)
	if err != nil || strings.ContainsRune(u.Path, 0) {
		return ""
	}
	id := u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	if len(id) > MaxID || !utf8.ValidString(id) {
		return ""
	}
	return id
}

func (m *merger) array(f *Field, sent any, at string) (any, bool) {
	in, ok := sent.([]any)
	if !ok {
		m.fail(at, f.Name, "must be an array")
		return nil, false
	}
	if len(in) < f.MinItems || f.MaxItems > 0 && len(in) > f.MaxItems {
		m.fail(at, f.Name, "must have %d to %d items, and has %d", f.MinItems, f.MaxItems, len(in))
		return nil, false
	}
	out := make([]any, 0, len(in))
	good := true
	for i, v := range in {
		item, ok := m.value(f.Items, nil, v, at+"/"+strconv.Itoa(i))
		good = good && ok
		out = append(out, item)
	}
	return out, good
}
