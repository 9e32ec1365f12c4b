package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/store"
)

// Source computes the objects of a kind that the store does not keep: all that
// there are in the caller's organization for the request. They are listed,
// filtered, read and shown to who may see them as others are. What there is
// must be few enough to compute for each request.
//
// An object needs its ID, Place and Doc. Without a time of creation its
// metadata has no times. Where several have one ID, it is the first that can be
// read by it.
type Source func(ctx context.Context, a *Asked) ([]*Object, error)

// Asked is the request that a Source answers.
type Asked struct {
	Engine *Engine
	Caller *authn.Caller
	Verb   Verb
	// ID is the ID of the object to read, "" for a list.
	ID string
	// Query holds the query parameters as sent.
	Query url.Values
}

// Value is the first value of the query parameter that is not empty, or "".
func (a *Asked) Value(parameter string) string {
	for _, v := range a.Query[parameter] {
		if v != "" {
			return v
		}
	}
	return ""
}

// reader is what reads are answered from: the store, or what is computed.
type reader interface {
	Get(ctx context.Context, org string, key store.Key) (*store.Row, error)
	Visit(ctx context.Context, q store.Query, f func(*store.Row) error) error
	Count(ctx context.Context, q store.Query) (int64, error)
}

// reader returns where the kind's objects are.
func (e *Engine) reader(ctx context.Context, q *request) (reader, error) {
	if q.kind.Source == nil {
		return e.Store, nil
	}
	objects, err := q.kind.Source(ctx, &Asked{Engine: e, Caller: q.caller, Verb: q.verb, ID: q.id, Query: q.query})
	if err != nil {
		return nil, err
	}
	c := make(computed, len(objects))
	for i, o := range objects {
		o.Kind, o.Org = q.kind, q.caller.Org
		c[i] = computedRow{*o.row(), e.entries(o)}
		c[i].Seq = o.Place
	}
	slices.SortStableFunc(c, func(a, b computedRow) int { return cmp.Compare(a.Seq, b.Seq) })
	return c, nil
}

// computed are the objects of a Source, which read as rows of the store do.
type computed []computedRow

type computedRow struct {
	store.Row
	entries []store.Entry
}

func (c computed) Get(_ context.Context, org string, key store.Key) (*store.Row, error) {
	for i := range c {
		if c[i].Key == key && c[i].Org == org {
			return &c[i].Row, nil
		}
	}
	return nil, store.ErrNotFound
}

func (c computed) Visit(_ context.Context, q store.Query, f func(*store.Row) error) error {
	found := 0
	for i := range c {
		r := &c[i]
		if q.Backward {
			r = &c[len(c)-1-i]
		}
		beyond := r.Seq > q.After
		if q.Backward {
			beyond = q.After == 0 || r.Seq < q.After
		}
		if beyond && r.selected(q) && found < q.Limit {
			found++
			if err := f(&r.Row); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c computed) Count(_ context.Context, q store.Query) (n int64, _ error) {
	for i := range c {
		if c[i].selected(q) {
			n++
		}
	}
	return n, nil
}

func (r *computedRow) selected(q store.Query) bool {
	for _, condition := range q.Where {
		if !r.holds(condition) {
			return false
		}
	}
	return r.Org == q.Org && (q.Visible == nil || slices.ContainsFunc(q.Visible, r.holds)) && !slices.ContainsFunc(q.Except, r.holds)
}

func (r *computedRow) holds(c store.Condition) bool {
	matches := func(value string) bool {
		return slices.Contains(c.Values, value) ||
			slices.ContainsFunc(c.Prefixes, func(prefix string) bool { return strings.HasPrefix(value, prefix) })
	}
	switch c.Field {
	case store.FieldID:
		return matches(r.ID)
	case store.FieldName:
		return matches(r.Name)
	case store.FieldParent:
		return matches(r.Parent)
	}
	return slices.ContainsFunc(r.entries, func(e store.Entry) bool { return e.Field == c.Field && matches(e.Value) })
}

// checkSource refuses what a computed kind cannot have.
func (k *Kind) checkSource() error {
	if k.Source == nil {
		return nil
	}
	for verb := range k.Operations {
		if verb != List && verb != Read {
			return fmt.Errorf("kind %s: what is computed can be listed and read, and not be asked to %s", k.Key(), verb)
		}
	}
	if len(k.Actions) > 0 || len(k.Quotas) > 0 || k.Parent != nil {
		return fmt.Errorf("kind %s: what is computed has no actions, no quotas and no parent", k.Key())
	}
	return nil
}

// List returns the objects of a kind in the caller's organization that the
// caller may see, at most limit of them, in the order of lists.
func (e *Engine) List(ctx context.Context, caller *authn.Caller, k *Kind, limit int) ([]*Object, error) {
	rows, err := e.Store.List(ctx, store.Query{Org: caller.Org, Kind: k.Key(), Visible: k.Visible(caller), Limit: limit})
	if err != nil {
		return nil, err
	}
	out := make([]*Object, len(rows))
	for i := range rows {
		if out[i], err = k.Decode(&rows[i]); err != nil {
			return nil, err
		}
		out[i].Place = rows[i].Seq
	}
	return out, nil
}

// Find returns the object of a kind with the ID, or nil where there is none for
// the caller.
func (e *Engine) Find(ctx context.Context, caller *authn.Caller, k *Kind, id string) (*Object, error) {
	row, err := e.Store.Get(ctx, caller.Org, store.Key{Kind: k.Key(), ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := k.Decode(row)
	if err != nil || !k.VisibleTo(caller, o) {
		return nil, err
	}
	o.Place = row.Seq
	return o, nil
}
