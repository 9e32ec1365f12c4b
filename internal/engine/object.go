package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/store"
)

// Doc holds the fields of an object by name, as decoded JSON: string, bool,
// json.Number, []any, and Doc for structures and references.
type Doc map[string]any

// Object is an object outside the store: what hooks read and change.
type Object struct {
	Kind   *Kind
	Org    string
	ID     string
	Parent string
	Doc    Doc
	// Private is kept beside the document and never sent.
	Private []byte
	// Once holds the values of Once fields by dotted path, for the answer to
	// this create alone.
	Once map[string]string

	Created, Updated time.Time
	// Deleted is set in the answer to a deletion alone.
	Deleted time.Time

	// Place is the position in lists of an object that a Source computes: from 1
	// on, and the same each time.
	Place int64

	// stored is the document as it was read or written.
	stored []byte
}

// Get returns the value at the dotted path, or nil.
func (d Doc) Get(path string) any {
	head, rest, more := strings.Cut(path, ".")
	v := d[head]
	if !more {
		return v
	}
	inner, _ := v.(Doc)
	return inner.Get(rest)
}

// String returns the text at the dotted path, or "".
func (d Doc) String(path string) string {
	s, _ := d.Get(path).(string)
	return s
}

// Set stores the value at the dotted path, making structures on the way; nil
// removes what is there.
func (d Doc) Set(path string, value any) {
	head, rest, more := strings.Cut(path, ".")
	switch {
	case more:
		inner, _ := d[head].(Doc)
		if inner == nil {
			inner = Doc{}
			d[head] = inner
		}
		inner.Set(rest, value)
	case value == nil:
		delete(d, head)
	default:
		d[head] = value
	}
}

// Clone copies the document deeply.
func (d Doc) Clone() Doc {
	c := make(Doc, len(d))
	for name, v := range d {
		c[name] = cloneValue(v)
	}
	return c
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case Doc:
		return v.Clone()
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = cloneValue(v[i])
		}
		return c
	default:
		return v
	}
}

// clone copies the object for a change; Once starts empty.
func (o *Object) clone() *Object {
	c := *o
	c.Doc = o.Doc.Clone()
	c.Once = nil
	return &c
}

// Key is the object's key in the store.
func (o *Object) Key() store.Key { return store.Key{Kind: o.Kind.StoreKey(), ID: o.ID} }

// ResourceName is the object's CRN as text.
func (o *Object) ResourceName() string { return o.Kind.CRN(o).String() }

// Path is the path that the object is served at, with the query that reading it
// needs.
func (o *Object) Path() string {
	path := o.collection() + "/" + o.ID
	if o.Kind.ParentParameter != "" {
		path += "?" + url.Values{o.Kind.ParentParameter: {o.Parent}}.Encode()
	}
	return path
}

// collection is the path of the list that the object is in.
func (o *Object) collection() string {
	before, after, ok := strings.Cut(o.Kind.Path, "{")
	if !ok {
		return o.Kind.Path
	}
	_, after, _ = strings.Cut(after, "}")
	return before + o.Parent + after
}

// Decode turns a stored row into an object. It holds all that is stored, be it
// of more fields than this version of the kind shows.
func (k *Kind) Decode(r *store.Row) (*Object, error) {
	// The mark is a raw control character, which JSON does not allow. What it
	// stands for is found again from the type of the field when the document
	// is rendered.
	dec := json.NewDecoder(bytes.NewReader(bytes.ReplaceAll(r.Body, []byte{api.BaseMark}, nil)))
	dec.UseNumber()
	var raw map[string]any
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("engine: stored %s %s cannot be read: %w", k.Name, r.ID, err)
	}
	o := k.object(r)
	o.Doc = known(k.stored().Fields, raw)
	return o, nil
}

// object is a stored row as an object without its Doc.
func (k *Kind) object(r *store.Row) *Object {
	return &Object{
		Kind: k, Org: r.Org, ID: r.ID, Parent: r.Parent, Private: r.Private,
		Created: r.Created, Updated: r.Updated, stored: r.Body,
	}
}

// known keeps the values of the listed fields.
func known(fields []Field, raw map[string]any) Doc {
	d := make(Doc, len(fields))
	for i := range fields {
		f := &fields[i]
		if v, ok := raw[f.Name]; ok && v != nil {
			d[f.Name] = typed(f, v)
		}
	}
	return d
}

// typed turns the maps of decoded JSON into Docs.
func typed(f *Field, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if f.Type == Structure {
			return known(f.Fields, v)
		}
		d := make(Doc, len(v))
		for name, value := range v {
			d[name] = value
		}
		return d
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = typed(f.Items, v[i])
		}
		return out
	default:
		return v
	}
}
