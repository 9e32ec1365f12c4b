package storetest

import (
	"slices"

	"github.com/weirhq/weir/internal/store"
)

// wall tries every read that names an organization across organizations.
func wall(b *bench) {
	entry := store.Entry{Field: "f", Value: "v", Target: b.kind}
	mine, theirs := b.row("a-1", "name"), b.row("a-2", "name")
	theirs.Org = b.org + "x"
	mine.Parent, theirs.Parent = "env-1", "env-1"
	b.mustInsert(mine, entry)
	b.mustInsert(theirs, entry)

	_, err := b.Get(b.ctx, b.org, theirs.Key)
	b.wantNotFound("get", err)
	b.update(func(tx store.Tx) error {
		_, err := tx.Get(b.ctx, b.org, theirs.Key)
		b.wantNotFound("get in a transaction", err)
		_, err = tx.Lock(b.ctx, b.org, theirs.Key)
		b.wantNotFound("lock", err)
		_, err = tx.Pin(b.ctx, b.org, theirs.Key)
		b.wantNotFound("pin", err)
		return nil
	})
	conditions := []store.Condition{
		{Field: store.FieldID, Values: []string{"a-1", "a-2"}},
		{Field: store.FieldID, Values: []string{"a-2", "a-1", "a-3"}},
		{Field: store.FieldName, Values: []string{"name"}},
		{Field: store.FieldName, Values: []string{"name", "x"}},
		{Field: store.FieldParent, Values: []string{"env-1"}},
		{Field: store.FieldParent, Values: []string{"env-1", ""}},
		{Field: "f", Values: []string{"v"}},
		{Field: "f", Values: []string{"v", "w"}},
		{Field: "f", Values: append(ids("w", 20), "v")},
	}
	queries := []store.Query{{}, {Where: conditions}, {Visible: conditions}}
	for _, c := range conditions {
		queries = append(queries, store.Query{Where: []store.Condition{c}}, store.Query{Visible: []store.Condition{c}})
	}
	for _, q := range queries {
		if got := b.list(q); len(got) != 1 || got[0] != "a-1" {
			b.Errorf("%+v lists %v", q, got)
		}
		q.Backward = true
		if got := b.list(q); len(got) != 1 || got[0] != "a-1" {
			b.Errorf("%+v lists %v", q, got)
		}
		if n := b.count(q); n != 1 {
			b.Errorf("%+v counts %d", q, n)
		}
		// Only who names none sees them all.
		q.Backward = false
		if got := b.everywhere(q); !slices.Equal(got, []string{"a-1", "a-2"}) {
			b.Errorf("without an organization %+v lists %v", q, got)
		}
	}
}
