package storetest

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/weirhq/weir/internal/store"
)

// refs returns the referrers as "id field".
func (b *bench) refs(to store.Key, limit int) []string {
	b.Helper()
	refs, err := b.Referrers(b.ctx, to, limit)
	if err != nil {
		b.Fatalf("referrers: %v", err)
	}
	out := make([]string, len(refs))
	for i, r := range refs {
		out[i] = r.ID + " " + r.Field
	}
	return out
}

func entriesFollowTheRow(b *bench) {
	r := b.row("a-1", "")
	target := b.kind + "Target"
	b.mustInsert(r, store.Entry{Field: "f", Value: "one", Target: target}, store.Entry{Field: "g", Value: "same"},
		store.Entry{Field: "g", Value: "same"}) // given twice, it counts once
	check := func(when string, values []string, refs []string) {
		b.Helper()
		for _, v := range []string{"one", "two", "three"} {
			want := slices.Contains(values, v)
			if got := b.list(store.Query{Where: []store.Condition{where("f", v)}}); (len(got) == 1) != want {
				b.Errorf("%s: value %s finds %v", when, v, got)
			}
		}
		for _, v := range []string{"one", "two"} {
			var want []string
			if slices.Contains(refs, v) {
				want = []string{"a-1 f"}
			}
			if got := b.refs(store.Key{Kind: target, ID: v}, 10); !slices.Equal(got, want) {
				b.Errorf("%s: %s is referred to by %v", when, v, got)
			}
		}
	}
	check("inserted", []string{"one"}, []string{"one"})
	if err := b.replace(r, store.Entry{Field: "f", Value: "two", Target: target}, store.Entry{Field: "f", Value: "three"}); err != nil {
		b.Fatal(err)
	}
	check("updated", []string{"two", "three"}, []string{"two"})
	if err := b.replace(r); err != nil {
		b.Fatal(err)
	}
	check("updated without entries", nil, nil)
	if err := b.replace(r, store.Entry{Field: "f", Value: "one", Target: target}); err != nil {
		b.Fatal(err)
	}
	check("updated again", []string{"one"}, []string{"one"})
	b.mustRemove("a-1")
	check("deleted", nil, nil)
}

func manyEntries(b *bench) {
	var entries []store.Entry
	for i := range 200 {
		entries = append(entries, store.Entry{Field: "tag", Value: fmt.Sprint(i)})
	}
	r := b.row("a-1", "")
	b.mustInsert(r, entries...)
	if err := b.replace(r, entries[1:]...); err != nil {
		b.Fatal(err)
	}
	for i := range 200 {
		want := int64(1)
		if i == 0 {
			want = 0
		}
		if n := b.count(store.Query{Where: []store.Condition{where("tag", fmt.Sprint(i))}}); n != want {
			b.Fatalf("value %d is found %d times, want %d", i, n, want)
		}
	}
}

func referrers(b *bench) {
	to := store.Key{Kind: b.kind + "Target", ID: "t-1"}
	ref := func(field string) store.Entry { return store.Entry{Field: field, Value: to.ID, Target: to.Kind} }
	first, second, third := b.row("b-1", "name"), b.row("a-1", ""), b.row("c-1", "")
	first.Parent, second.Org = "env-1", b.org+"x"
	b.mustInsert(first, ref("spec.owner"), ref("spec.alt"))
	b.mustInsert(second, ref("spec.owner"))
	b.mustInsert(third, store.Entry{Field: "spec.owner", Value: to.ID}, // a value, no reference
		store.Entry{Field: "spec.owner", Value: to.ID, Target: to.Kind + "x"},
		store.Entry{Field: "spec.owner", Value: to.ID + "x", Target: to.Kind})
	want := []string{"b-1 spec.alt", "b-1 spec.owner", "a-1 spec.owner"}
	for limit := 1; limit < 5; limit++ {
		if got := b.refs(to, limit); !slices.Equal(got, want[:min(limit, 3)]) {
			b.Errorf("at most %d: %v", limit, got)
		}
	}
	refs, err := b.Referrers(b.ctx, to, 1)
	if err != nil || !reflect.DeepEqual(refs[0].Row, *first) {
		b.Errorf("got %+v, %v, want the whole row %+v", refs, err, first)
	}
	b.update(func(tx store.Tx) error {
		if err := tx.Delete(b.ctx, first.Key, first.Updated); err != nil {
			return err
		}
		refs, err := tx.Referrers(b.ctx, to, 10)
		if len(refs) != 1 || refs[0].ID != "a-1" {
			b.Errorf("in the transaction that deletes one: %v", refs)
		}
		return err
	})
	if got := b.refs(store.Key{Kind: "", ID: to.ID}, 10); len(got) != 0 {
		b.Errorf("a plain value counts as a reference of %v", got)
	}
}
