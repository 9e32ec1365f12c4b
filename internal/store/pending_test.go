package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/store"
)

func TestPending(t *testing.T) {
	t.Parallel()
	p := store.NewPending("tests/v1.Thing")
	ctx, cancel := context.WithCancel(t.Context())
	tick := make(chan time.Time, 1)
	take := func(what string, want []string, wantAll bool) {
		t.Helper()
		ids, all := p.Take()
		slices.Sort(ids)
		if !slices.Equal(ids, want) || all != wantAll {
			t.Errorf("%s: %v and all %v, want %v and %v", what, ids, all, want, wantAll)
		}
	}
	wait := func(what string) {
		t.Helper()
		if !p.Wait(ctx, tick) {
			t.Errorf("%s: the wait is over for good", what)
		}
	}
	key := func(kind, id string) store.Key { return store.Key{Kind: kind, ID: id} }

	take("at the beginning", nil, true)
	take("taken", nil, false)
	p.Note(store.Change{Keys: []store.Key{key("tests/v1.Thing", "a"), key("tests/v1.Other", "x")}})
	p.Note(store.Change{Keys: []store.Key{key("tests/v1.Thing", "b"), key("tests/v1.Thing", "a")}})
	wait("two changes")
	take("two changes", []string{"a", "b"}, false)
	p.Note(store.Change{All: true})
	wait("anything may have changed")
	take("anything may have changed", nil, true)
	tick <- time.Time{}
	wait("a tick")
	take("a tick", nil, true)

	p.Note(store.Change{Keys: []store.Key{key("tests/v1.Other", "x")}})
	cancel()
	if p.Wait(ctx, tick) {
		t.Error("another kind wakes the worker, or the end of the context does not end the wait")
	}
	take("another kind", nil, false)
}
