package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/store"
)

// render returns the object's document as it is stored and sent: the
// envelope, then the fields in the order of their definition, with
// api.BaseMark where the public URL goes. With once, the values that only the
// answer to create shows are in it too.
func (o *Object) render(once bool) []byte {
	var b encoder
	b.raw(`{"api_version":`).text(o.Kind.APIVersion())
	b.raw(`,"kind":`).text(o.Kind.Name)
	b.raw(`,"id":`).text(o.ID)
	b.raw(`,"metadata":{"self":`)
	b.link(o.Path())
	b.raw(`,"resource_name":`).text(o.ResourceName())
	if !o.Created.IsZero() {
		b.raw(`,"created_at":`).text(api.Timestamp(o.Created))
		b.raw(`,"updated_at":`).text(api.Timestamp(o.Updated))
	}
	if !o.Deleted.IsZero() {
		b.raw(`,"deleted_at":`).text(api.Timestamp(o.Deleted))
	}
	b.raw(`}`)
	var shown map[string]string
	if once {
		shown = o.Once
	}
	b.fields(o.Kind.Fields, o.Doc, "", shown, true)
	b.raw(`}`)
	return b.Bytes()
}

// document is a stored object as this version of its kind shows it: the stored
// bytes, unless they are another version's.
func (k *Kind) document(r *store.Row) ([]byte, error) {
	if k.Of == nil {
		return r.Body, nil
	}
	o, err := k.Decode(r)
	if err != nil {
		return nil, err
	}
	return o.render(false), nil
}

type encoder struct{ bytes.Buffer }

func (b *encoder) raw(s string) *encoder {
	b.WriteString(s)
	return b
}

// text writes a JSON string. Unlike json.Marshal it leaves <, > and & as they
// are; documents are never part of a page.
func (b *encoder) text(s string) *encoder {
	if asIs(s) {
		b.WriteByte('"')
		b.WriteString(s)
		b.WriteByte('"')
		return b
	}
	enc := json.NewEncoder(&b.Buffer)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(fmt.Sprintf("engine: encode text: %v", err)) // a string always encodes
	}
	b.Truncate(b.Len() - 1) // Encode ends with a line feed
	return b
}

// asIs reports whether JSON has the text as it is, as it has most.
func asIs(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// link writes a URL: a path below the public URL, which the mark stands for,
// or, where a literal takes its place ("cloud"), that literal.
func (b *encoder) link(path string) {
	if !strings.HasPrefix(path, "/") {
		b.text(path)
		return
	}
	b.WriteByte('"')
	b.WriteByte(api.BaseMark)
	start := b.Len()
	b.text(path)
	// text began with a quotation mark that the mark has to stand inside of.
	copy(b.Bytes()[start:], b.Bytes()[start+1:])
	b.Truncate(b.Len() - 1)
}

func (b *encoder) fields(fields []Field, doc Doc, prefix string, once map[string]string, comma bool) {
	for i := range fields {
		f := &fields[i]
		v, ok := doc[f.Name]
		if f.Once {
			v, ok = once[prefix+f.Name]
		}
		if !ok && f.Always {
			v, ok = "", true
		}
		if !ok || v == nil || f.WriteOnly {
			continue
		}
		if comma {
			b.WriteByte(',')
		}
		comma = true
		b.text(f.Name).WriteByte(':')
		b.value(f, v, prefix+f.Name+".", once)
	}
}

func (b *encoder) value(f *Field, v any, prefix string, once map[string]string) {
	switch v := v.(type) {
	case string:
		if f.Type == Address {
			b.link(v)
		} else {
			b.text(v)
		}
	case bool:
		b.raw(strconv.FormatBool(v))
	case json.Number:
		b.raw(v.String())
	case int:
		b.raw(strconv.Itoa(v))
	case Doc:
		b.WriteByte('{')
		if f.Type == Reference {
			b.reference(f.To, v)
		} else {
			b.fields(f.Fields, v, prefix, once, false)
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			b.value(f.Items, item, prefix, nil)
		}
		b.WriteByte(']')
	default:
		panic(fmt.Sprintf("engine: field %s holds a %T", f.Name, v))
	}
}

var referenceNames = []string{"id", "environment", "related", "resource_name", "api_version", "kind"}

// onlyTyped are the names that references have only where they are typed:
// another version of the kind may show more or less of the same document.
var onlyTyped = map[string]bool{"api_version": true, "kind": true}

func (b *encoder) reference(to *ReferenceTo, ref Doc) {
	first := true
	for _, name := range referenceNames {
		s := ref.String(name)
		if s == "" || onlyTyped[name] && !to.Typed {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.text(name).WriteByte(':')
		if name == "related" {
			b.link(s)
		} else {
			b.text(s)
		}
	}
}
