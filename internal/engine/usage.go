package engine

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/store"
)

// Who holds an object in place stands in the document of that object, where its
// kind has Usages. The document changes in the transaction that makes or ends
// the reference, under the lock of the object: so what is read and listed is
// true without looking, can be filtered by, and is the same on every replica.

// usage is one reference that restricts, to an object whose kind tells of it.
type usage struct {
	of store.Key
	// by is the name of who refers.
	by string
}

// locks reports whether who makes such a reference writes the target.
func (e *Engine) locks(to *ReferenceTo) bool {
	return to != nil && to.OnDelete == Restrict && slices.ContainsFunc(to.Kinds, func(key string) bool {
		return e.kinds[key] != nil && e.kinds[key].Usages != ""
	})
}

// lockUsed locks what an object tells its usages to, and what it is about to,
// before the object itself is locked: as the deletion of these does. Whatever
// has changed since the object was read is locked later.
func (e *Engine) lockUsed(ctx context.Context, tx store.Tx, q *request, o *Object) error {
	if o == nil || !e.users[q.kind.stored()] {
		return nil
	}
	var keys []store.Key
	for _, u := range e.usages(o) {
		keys = append(keys, u.of)
	}
	if q.verb == Update {
		doc, _ := merge(q.kind.Fields, o.Doc.Clone(), q.body, "")
		eachReference(q.kind.Fields, doc, "", "", func(_, _ string, f *Field, ref Doc) {
			for _, key := range f.To.Kinds {
				if e.locks(f.To) {
					keys = append(keys, store.Key{Kind: key, ID: ref.String("id")})
				}
			}
		})
	}
	slices.SortFunc(keys, func(a, b store.Key) int { return strings.Compare(a.ID, b.ID) })
	for _, key := range slices.Compact(keys) {
		if _, err := tx.Lock(ctx, o.Org, key); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// compareBool puts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// usages returns the references of o that other objects tell of; o may be nil.
func (e *Engine) usages(o *Object) []usage {
	if o == nil || !e.users[o.Kind.stored()] {
		return nil
	}
	var out []usage
	for _, entry := range e.entries(o) {
		target := e.kinds[entry.Target]
		if target == nil || target.Usages == "" || o.onDelete(entry.Field) != Restrict {
			continue
		}
		u := usage{store.Key{Kind: entry.Target, ID: entry.Value}, o.ResourceName()}
		if !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	return out
}

// tellUsages writes what changed between two states of an object into the
// documents of those that it refers to; before or after is nil where the
// object is new or gone.
func (e *Engine) tellUsages(ctx context.Context, tx store.Tx, org string, before, after *Object) error {
	was, is := e.usages(before), e.usages(after)
	byID := func(a, b usage) int { return strings.Compare(a.of.ID, b.of.ID) }
	slices.SortStableFunc(was, byID)
	slices.SortStableFunc(is, byID)
	for _, u := range was {
		if slices.Contains(is, u) {
			continue
		}
		err := e.tellUsage(ctx, tx, org, u.of, func(names []any) []any {
			return slices.DeleteFunc(names, func(name any) bool { return name == u.by })
		})
		if err != nil {
			return err
		}
	}
	for _, u := range is {
		if slices.Contains(was, u) {
			continue
		}
		err := e.tellUsage(ctx, tx, org, u.of, func(names []any) []any { return append(names, u.by) })
		if err != nil {
			return err
		}
	}
	return nil
}

// tellUsage changes the list of names in one object, unless that goes in the
// same transaction.
func (e *Engine) tellUsage(ctx context.Context, tx store.Tx, org string, of store.Key, change func([]any) []any) error {
	k := e.kinds[of.Kind]
	o, err := e.Lock(ctx, tx, org, k, of.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	names, _ := o.Doc.Get(k.Usages).([]any)
	o.Doc.Set(k.Usages, change(slices.Clone(names)))
	if k.Hooks.Used != nil {
		k.Hooks.Used(o)
	}
	return e.Save(ctx, tx, o)
}

// mayUse reports whether objects of the kind can make references that others
// tell of.
func (e *Engine) mayUse(k *Kind) bool {
	if k.Links != nil {
		return true
	}
	found := false
	walk(k.Fields, "", func(_ string, f *Field) {
		to := f.To
		if f.Type == Array && f.Items != nil {
			to = f.Items.To
		}
		found = found || e.locks(to)
	})
	return found
}
