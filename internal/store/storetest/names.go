package storetest

import (
	"errors"

	"github.com/weirhq/weir/internal/store"
)

func namesAreExact(b *bench) {
	// All of these are different names.
	for i, name := range []string{"name", "Name", "NAME", "name ", " name", "na me", "näme", "na\u0308me", "ｎame", "ﬀ", "ff", "ß", "ss", "\x01", "'; --", "%", "_"} {
		b.mustInsert(b.row(ids("a", i+1)[i], name))
	}
	b.wantTaken(b.insert(b.row("b-1", "name")), "a-000", "name")
	b.wantTaken(b.insert(b.row("b-1", "name ")), "a-003", "name ")
	b.wantTaken(b.insert(b.row("b-1", "na\u0308me")), "a-007", "na\u0308me")
	got := b.list(store.Query{Where: []store.Condition{{Field: store.FieldName, Values: []string{"NAME"}}}})
	if len(got) != 1 || got[0] != "a-002" {
		b.Errorf("the name NAME finds %v", got)
	}
	for range 2 { // "" claims nothing
		b.mustInsert(b.row(ids("c", 2)[b.count(store.Query{})%2], ""))
	}
}

func namesAreFreeAgain(b *bench) {
	first := b.row("a-1", "name")
	b.mustInsert(first)
	b.mustRemove("a-1")
	b.mustInsert(b.row("a-2", "name"))
	b.wantTaken(b.insert(b.row("a-3", "name")), "a-2", "name")
	second := b.row("a-2", "other")
	if err := b.replace(second); err != nil {
		b.Fatal(err)
	}
	b.mustInsert(b.row("a-4", "name"))
	b.wantTaken(b.insert(b.row("a-5", "other")), "a-2", "other")
}

func namesByScope(b *bench) {
	b.mustInsert(b.row("a-1", "name"))
	for id, change := range map[string]func(*store.Row){
		"a-2": func(r *store.Row) { r.Parent = "env-1" },
		"a-3": func(r *store.Row) { r.Parent = "env-2" },
		"a-4": func(r *store.Row) { r.Org = b.org + "x" },
		"a-5": func(r *store.Row) { r.Kind = b.kind + "x" },
	} {
		r := b.row(id, "name")
		change(r)
		b.mustInsert(r)
	}
	r := b.row("b-1", "name")
	r.Parent = "env-1"
	b.wantTaken(b.insert(r), "a-2", "name")
}

func renameCollision(b *bench) {
	parent := func(id, name string) *store.Row {
		r := b.row(id, name)
		r.Parent = "env-1"
		return r
	}
	one, two := parent("a-1", "one"), parent("a-2", "two")
	b.mustInsert(one)
	b.mustInsert(two)
	two.Name, two.Parent = "one", "ignored"
	b.wantTaken(b.replace(two), "a-1", "one")
	if got, err := b.Get(b.ctx, b.org, two.Key); err != nil || got.Name != "two" || got.Version != 1 {
		b.Errorf("got %+v, %v after a rename that failed", got, err)
	}
	two.Name = "two" // its own name is free for it
	if err := b.replace(two); err != nil {
		b.Error(err)
	}
	two.Name = "Two"
	if err := b.replace(two); err != nil {
		b.Error(err)
	}
	b.mustInsert(parent("a-3", "two"))
}

func idsAreNeverReused(b *bench) {
	b.add("a-1")
	b.wantTaken(b.insert(b.row("a-1", "")), "a-1", "")
	b.mustRemove("a-1")
	b.wantTaken(b.insert(b.row("a-1", "")), "a-1", "")
	other := b.row("a-1", "")
	other.Org, other.Parent = b.org+"x", "env-1"
	b.wantTaken(b.insert(other), "a-1", "")
	other.Kind = b.kind + "x"
	b.mustInsert(other)
	// Both taken: the ID counts.
	b.mustInsert(b.row("a-2", "name"))
	b.wantTaken(b.insert(b.row("a-1", "name")), "a-1", "")
}

func goOnAfterCollision(b *bench) {
	b.mustInsert(b.row("a-1", "name"))
	b.mustInsert(b.row("a-2", "other"))
	var id, name, rename, missing error
	b.update(func(tx store.Tx) error {
		entries := []store.Entry{{Field: "f", Value: "v"}}
		id = tx.Insert(b.ctx, b.row("a-1", ""), nil)
		name = tx.Insert(b.ctx, b.row("a-3", "name"), entries)
		rename = tx.Update(b.ctx, b.row("a-2", "name"), entries)
		missing = tx.Update(b.ctx, b.row("a-9", "name"), nil)
		return tx.Insert(b.ctx, b.row("a-3", "third"), nil)
	})
	var taken *store.ErrTaken
	if !errors.As(id, &taken) {
		b.Errorf("insert with a taken ID: %v", id)
	}
	if !errors.As(name, &taken) {
		b.Errorf("insert with a taken name: %v", name)
	}
	if !errors.As(rename, &taken) {
		b.Errorf("rename to a taken name: %v", rename)
	}
	if !errors.Is(missing, store.ErrNotFound) {
		b.Errorf("update of a missing row: %v", missing)
	}
	if got := b.list(store.Query{}); len(got) != 3 {
		b.Errorf("listed %v", got)
	}
	if n := b.count(store.Query{Where: []store.Condition{{Field: "f", Values: []string{"v"}}}}); n != 0 {
		b.Errorf("%d rows have entries of writes that failed", n)
	}
}
