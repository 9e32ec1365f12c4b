package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/store"
)

// eachReference calls f for every reference in the document, with its dotted
// path (elements of an array share one) and its JSON pointer.
func eachReference(fields []Field, doc Doc, path, pointer string, f func(path, pointer string, field *Field, ref Doc)) {
	for i := range fields {
		field := &fields[i]
		at, dotted := pointer+"/"+field.Name, path+field.Name
		switch v := doc[field.Name].(type) {
		case Doc:
			if field.Type == Reference {
				f(dotted, at, field, v)
			} else {
				eachReference(field.Fields, v, dotted+".", at, f)
			}
		case []any:
			if field.Items.Type != Reference {
				continue
			}
			for n, item := range v {
				if ref, ok := item.(Doc); ok {
					f(dotted, at+"/"+strconv.Itoa(n), field.Items, ref)
				}
			}
		}
	}
}

// resolve finds the target of every reference of w.New, pins it so that it
// cannot go before this write is done, and fills in what the server says of
// it. What cannot be found is a problem, one for each reference.
func (e *Engine) resolve(ctx context.Context, w *Write) ([]api.Problem, error) {
	var problems []api.Problem
	// A reference that stays as it was keeps what is said of it; its target is
	// not touched, since whoever deletes the target locks it before this.
	before := map[string]Doc{}
	if w.Old != nil {
		eachReference(w.Old.Kind.stored().Fields, w.Old.Doc, "", "", func(path, _ string, _ *Field, ref Doc) {
			before[path+" "+ref.String("id")] = ref
		})
	}
	type made struct {
		pointer string
		field   *Field
		ref     Doc
	}
	var all []made
	eachReference(w.New.Kind.stored().Fields, w.New.Doc, "", "", func(path, pointer string, f *Field, ref Doc) {
		if f.To.Resolved {
			return
		}
		if known, ok := before[path+" "+ref.String("id")]; ok {
			clear(ref)
			maps.Copy(ref, known)
			return
		}
		all = append(all, made{pointer, f, ref})
	})
	// What is pinned comes before what is locked, and that in the order that
	// all transactions lock it in: then no two of them wait for each other.
	slices.SortStableFunc(all, func(a, b made) int {
		if x, y := e.locks(a.field.To), e.locks(b.field.To); !x || !y {
			return compareBool(x, y)
		}
		return strings.Compare(a.ref.String("id"), b.ref.String("id"))
	})
	for _, m := range all {
		target, err := e.find(ctx, w, m.field, m.ref)
		switch {
		case errors.Is(err, store.ErrNotFound):
			problems = append(problems, api.Problem{
				Message: fmt.Sprintf("The field '%s' names '%s', which does not exist", m.field.Name, m.ref.String("id")),
				Pointer: m.pointer + "/id",
			})
		case err != nil:
			return nil, err
		default:
			target.refer(m.field.To.Typed, m.ref)
		}
	}
	return problems, nil
}

// find pins the object that a reference names. Which of the allowed kinds it
// is shows from the shape of the ID, unless there is only one.
func (e *Engine) find(ctx context.Context, w *Write, f *Field, ref Doc) (*Object, error) {
	id := ref.String("id")
	for _, key := range f.To.Kinds {
		k := e.kinds[key]
		if k == nil || len(f.To.Kinds) > 1 && !k.ID.Has(id) {
			continue
		}
		if related := ref.String("related"); related != "" && !k.isAt(related, id) {
			continue
		}
		if o, err := k.builtIn(ctx, w.Tx, w.New.Org, id); o != nil || err != nil {
			return o, err
		}
		get := w.Tx.Pin
		if e.locks(f.To) {
			get = w.Tx.Lock // it is about to be written
		}
		row, err := get(ctx, w.New.Org, store.Key{Kind: key, ID: id})
		if err != nil {
			return nil, err
		}
		target, err := k.Decode(row)
		if err != nil {
			return nil, err
		}
		return target, w.mayRefer(f.To, target)
	}
	return nil, store.ErrNotFound
}

// isAt reports whether the URL, of whatever server, is that of the object with
// the ID.
func (k *Kind) isAt(related, id string) bool {
	u, err := url.Parse(related)
	return err == nil && strings.HasSuffix(u.Path, k.Path+"/"+id)
}

// IDIn returns the ID of the kind's object that a reference in a body names,
// by its id or else by the URL in related; "" where it does neither.
func (k *Kind) IDIn(ref Doc) string {
	if id := ref.String("id"); id != "" {
		return id
	}
	related := ref.String("related")
	if id := idIn(related); id != "" && k.isAt(related, id) {
		return id
	}
	return ""
}

// mayRefer asks whether the caller may make the reference to the target.
func (w *Write) mayRefer(to *ReferenceTo, target *Object) error {
	k := target.Kind
	switch {
	case to.Asks == "" || w.Caller == nil || k.allows(w.Caller, to.Asks, Read, target):
		return nil
	case !k.VisibleTo(w.Caller, target):
		return store.ErrNotFound
	default:
		return denied(to.Asks, k.guards(Read, target))
	}
}

// refer writes into ref what the server says of o.
func (o *Object) refer(typed bool, ref Doc) {
	clear(ref)
	ref["id"] = o.ID
	ref["related"] = o.Path()
	ref["resource_name"] = o.ResourceName()
	if typed {
		ref["api_version"] = o.Kind.APIVersion()
		ref["kind"] = o.Kind.Name
	}
}

// Refer returns a typed reference to the object, as hooks store it in fields
// that they resolve themselves.
func (o *Object) Refer() Doc {
	ref := Doc{}
	o.refer(true, ref)
	return ref
}

// entries returns what the store indexes of the object: its references, its
// filterable values, and its parent, so that cascades find it.
func (e *Engine) entries(o *Object) []store.Entry {
	o = o.as(o.Kind.stored())
	var out []store.Entry
	if o.Parent != "" {
		out = append(out, store.Entry{Field: store.FieldParent, Value: o.Parent, Target: o.Kind.Parent.StoreKey()})
	}
	eachReference(o.Kind.Fields, o.Doc, "", "", func(path, _ string, f *Field, ref Doc) {
		entry := store.Entry{Field: path, Value: ref.String("id")}
		for _, key := range f.To.Kinds {
			if f.To.OnDelete == Keep {
				break // what does not react to a deletion is not found by one
			}
			k := e.kinds[key]
			if k == nil {
				continue
			}
			version := ref.String("api_version")
			if ref.String("kind") == k.Name && (version == "" || version == k.APIVersion()) || ref.String("kind") == "" && (len(f.To.Kinds) == 1 || k.ID.Has(entry.Value)) {
				entry.Target = key
			}
		}
		out = append(out, entry)
	})
	if o.Kind.indexed() {
		out = append(out, guardEntries(o)...)
	}
	if o.Kind.Links != nil {
		for _, l := range o.Kind.Links(o) {
			out = append(out, store.Entry{Field: l.Field, Value: l.To.ID, Target: l.To.Kind})
		}
	}
	walk(o.Kind.Fields, "", func(path string, f *Field) {
		if f.Filter == NotFiltered || f.Type == Reference || path == o.Kind.UniqueName {
			return
		}
		if s := o.Doc.String(path); s != "" {
			out = append(out, store.Entry{Field: path, Value: s})
		}
	})
	return out
}

// guardField is the field of the entries that lists are made visible by: for
// a resource type, the names that a role can be bound to in order to see the
// object.
func guardField(resource string) string { return "on:" + resource }

// guardEntries indexes what the object is guarded by, and everything above it.
func guardEntries(o *Object) []store.Entry {
	guards := []Guard{{o.Kind.Resource, crn.PatternOf(o.Kind.CRN(o))}}
	if o.Kind.Guards != nil {
		guards = o.Kind.Guards(o)
	}
	var out []store.Entry
	for _, g := range guards {
		if g.On.IsZero() {
			continue
		}
		names := []string{g.On.String()}
		for c := g.On.Scope(); c.Len() > 0; c = c.Parent() {
			names = append(names, c.String())
		}
		for _, name := range names {
			entry := store.Entry{Field: guardField(g.Resource), Value: name}
			if !slices.Contains(out, entry) {
				out = append(out, entry)
			}
		}
	}
	return out
}
