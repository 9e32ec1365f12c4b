package engine

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/weirhq/weir/internal/store"
)

// What is computed answers reads as the store does.
func TestComputed(t *testing.T) {
	t.Parallel()
	row := func(id string, seq int64, entries ...store.Entry) computedRow {
		return computedRow{store.Row{Key: store.Key{Kind: "kind", ID: id}, Org: "org", Seq: seq}, entries}
	}
	color := func(value string) store.Entry { return store.Entry{Field: "color", Value: value} }
	c := computed{
		row("a", 1, color("red")), row("b", 3, color("blue")), row("c", 4), row("d", 9, color("red"), color("green")), row("a", 12, color("grey")),
	}
	is := func(field string, values ...string) store.Condition {
		return store.Condition{Field: field, Values: values}
	}
	for name, q := range map[string]struct {
		query store.Query
		want  string
	}{
		"all":                 {store.Query{Limit: 10}, "abcda"},
		"first page":          {store.Query{Limit: 2}, "ab"},
		"next page":           {store.Query{Limit: 2, After: 3}, "cd"},
		"after what is gone":  {store.Query{Limit: 2, After: 5}, "da"},
		"beyond the end":      {store.Query{Limit: 2, After: 12}, ""},
		"from the end":        {store.Query{Limit: 2, Backward: true}, "ad"},
		"before":              {store.Query{Limit: 2, Backward: true, After: 9}, "cb"},
		"before the first":    {store.Query{Limit: 2, Backward: true, After: 1}, ""},
		"by ID":               {store.Query{Limit: 10, Where: []store.Condition{is(store.FieldID, "a", "c")}}, "aca"},
		"by a value":          {store.Query{Limit: 10, Where: []store.Condition{is("color", "red")}}, "ad"},
		"by two conditions":   {store.Query{Limit: 10, Where: []store.Condition{is("color", "red"), is(store.FieldID, "d")}}, "d"},
		"by prefix":           {store.Query{Limit: 10, Where: []store.Condition{{Field: "color", Prefixes: []string{"gr"}}}}, "da"},
		"by nothing":          {store.Query{Limit: 10, Where: []store.Condition{is("color")}}, ""},
		"by what is not kept": {store.Query{Limit: 10, Where: []store.Condition{is(store.FieldName, "a"), is(store.FieldParent, "a")}}, ""},
		"visible in one way":  {store.Query{Limit: 10, Visible: []store.Condition{is("color", "blue"), is(store.FieldID, "c")}}, "bc"},
		"nothing visible":     {store.Query{Limit: 10, Visible: []store.Condition{}}, ""},
	} {
		q.query.Org, q.query.Kind = "org", "kind"
		got := ""
		visit := func(r *store.Row) error {
			got += r.ID
			return nil
		}
		err := c.Visit(t.Context(), q.query, visit)
		if err != nil || got != q.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, q.want)
		}
		q.query.Org, got = "elsewhere", ""
		if err := c.Visit(t.Context(), q.query, visit); err != nil || got != "" {
			t.Errorf("%s: another organization sees %q, %v", name, got, err)
		}
	}
	n, err := c.Count(t.Context(), store.Query{Org: "org", Where: []store.Condition{is("color", "red")}, After: 5, Limit: 1})
	if err != nil || n != 2 {
		t.Errorf("%d are counted, %v", n, err)
	}
	if r, err := c.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "a"}); err != nil || r.Seq != 1 {
		t.Errorf("the first of an ID is %v, %v", r, err)
	}
	for _, org := range []string{"elsewhere", ""} {
		if _, err := c.Get(t.Context(), org, store.Key{Kind: "kind", ID: "a"}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("from %q: %v", org, err)
		}
	}
}

// Definitions that cannot be enforced are refused at the start.
func TestQuotaDefinitions(t *testing.T) {
	t.Parallel()
	subject := func(o *Object) string { return o.ID }
	good := Quota{Code: "max.things", Scope: PerOrganization, DisplayName: "Things", Limit: 1}
	for name, change := range map[string]func(*Quota){
		"no code":                 func(q *Quota) { q.Code = "" },
		"no name":                 func(q *Quota) { q.DisplayName = "" },
		"no limit":                func(q *Quota) { q.Limit = 0 },
		"limit beyond the API":    func(q *Quota) { q.Limit = MaxLimit + 1 },
		"no scope":                func(q *Quota) { q.Scope = "PLANET" },
		"a scope without subject": func(q *Quota) { q.Scope = PerUser },
		"organization as subject": func(q *Quota) { q.Subject = subject },
	} {
		q := good
		change(&q)
		if _, err := New(Config{Kinds: []*Kind{{Group: "g", Version: "v1", Name: "Thing", Quotas: []*Quota{&q}}}}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	shared, twin := good, good
	thing := func(name string, q *Quota) *Kind {
		return &Kind{Group: "g", Version: "v1", Name: name, Quotas: []*Quota{q}}
	}
	e, err := New(Config{Kinds: []*Kind{thing("A", &shared), thing("B", &shared)}})
	if err != nil || !slices.Equal(e.Quotas(), []*Quota{&shared}) || e.Quota("max.things") != &shared {
		t.Errorf("two kinds cannot share a quota: %v", err)
	}
	if _, err := New(Config{Kinds: []*Kind{thing("A", &shared), thing("B", &twin)}}); err == nil {
		t.Error("two quotas have one code")
	}
	for name, change := range map[string]func(*Kind){
		"a quota":   func(k *Kind) { k.Quotas = []*Quota{&shared} },
		"a parent":  func(k *Kind) { k.Parent = k },
		"an update": func(k *Kind) { k.Operations = map[Verb]string{Update: "updateOrgV2Environment"} },
	} {
		k := &Kind{Group: "g", Version: "v1", Name: "C", Source: func(context.Context, *Asked) ([]*Object, error) { return nil, nil }}
		change(k)
		if _, err := New(Config{Kinds: []*Kind{k}}); err == nil {
			t.Errorf("what is computed may have %s", name)
		}
	}
}
