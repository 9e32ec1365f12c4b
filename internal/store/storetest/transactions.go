package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/weirhq/weir/internal/store"
)

func rollbackOnError(b *bench) {
	kept := b.row("kept", "kept")
	b.mustInsert(kept, store.Entry{Field: "f", Value: "v"})
	boom := errors.New("boom")
	err := b.Store.Update(b.ctx, func(tx store.Tx) error {
		changed := *kept
		changed.Body, changed.Name = []byte("changed"), "changed"
		return errors.Join(
			tx.Insert(b.ctx, b.row("a-1", "name"), []store.Entry{{Field: "f", Value: "v"}}),
			tx.Update(b.ctx, &changed, nil),
			tx.Delete(b.ctx, b.key("a-1"), time.Now()),
			boom,
		)
	})
	if !errors.Is(err, boom) {
		b.Errorf("error %v, want boom", err)
	}
	if got := b.list(store.Query{Where: []store.Condition{where("f", "v")}}); len(got) != 1 || got[0] != "kept" {
		b.Errorf("listed %v", got)
	}
	if got, err := b.Get(b.ctx, b.org, kept.Key); err != nil || string(got.Body) != string(kept.Body) || got.Name != "kept" || got.Version != 1 {
		b.Errorf("got %+v, %v", got, err)
	}
	b.mustInsert(b.row("a-1", "name"))                                                   // neither was ever taken
	if err := b.Store.Update(b.ctx, func(store.Tx) error { return boom }); err != boom { //nolint:errorlint // the contract promises the error as it is
		b.Errorf("error %v is not the one that fn returned", err)
	}
}

func ownWritesSeen(b *bench) {
	b.update(func(tx store.Tx) error {
		r := b.row("a-1", "name")
		if err := tx.Insert(b.ctx, r, []store.Entry{{Field: "f", Value: "v"}}); err != nil {
			return err
		}
		if _, err := b.Get(b.ctx, b.org, r.Key); !errors.Is(err, store.ErrNotFound) {
			b.Errorf("before the commit the outside sees it: %v", err)
		}
		for name, get := range map[string]func(context.Context, string, store.Key) (*store.Row, error){
			"get": tx.Get, "lock": tx.Lock, "pin": tx.Pin,
		} {
			if got, err := get(b.ctx, b.org, r.Key); err != nil || got.Name != "name" {
				b.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		n, err := tx.Count(b.ctx, store.Query{Org: b.org, Kind: b.kind, Where: []store.Condition{where("f", "v")}})
		if err != nil || n != 1 {
			b.Errorf("count: %d, %v", n, err)
		}
		r.Body = []byte("changed")
		if err := tx.Update(b.ctx, r, nil); err != nil {
			return err
		}
		if got, err := tx.Get(b.ctx, b.org, r.Key); err != nil || string(got.Body) != "changed" || got.Version != 2 {
			b.Errorf("after the update: %+v, %v", got, err)
		}
		if err := tx.Delete(b.ctx, r.Key, time.Now()); err != nil {
			return err
		}
		if _, err := tx.Get(b.ctx, b.org, r.Key); !errors.Is(err, store.ErrNotFound) {
			b.Errorf("after the delete: %v", err)
		}
		return tx.Insert(b.ctx, b.row("a-2", "name"), nil)
	})
	if got := b.list(store.Query{}); len(got) != 1 || got[0] != "a-2" {
		b.Errorf("listed %v", got)
	}
}

func panics(b *bench) {
	func() {
		defer func() {
			if v := recover(); v != "boom" {
				b.Errorf("recovered %v, want boom", v)
			}
		}()
		_ = b.Store.Update(b.ctx, func(tx store.Tx) error {
			if err := tx.Insert(b.ctx, b.row("a-1", ""), nil); err != nil {
				b.Error(err)
			}
			panic("boom")
		})
	}()
	b.add("a-1", "a-2")
}

// goexit is what t.FailNow does inside fn.
func goexit(b *bench) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.Store.Update(b.ctx, func(tx store.Tx) error {
			if err := tx.Insert(b.ctx, b.row("a-1", ""), nil); err != nil {
				b.Error(err)
			}
			runtime.Goexit()
			return nil
		})
	}()
	wait(b, "the end of the goroutine", done)
	b.add("a-1")
}

func txAfterEnd(b *bench) {
	var kept store.Tx
	b.update(func(tx store.Tx) error { kept = tx; return nil })
	if err := kept.Insert(b.ctx, b.row("a-1", ""), nil); err == nil {
		b.Error("a transaction writes after its end")
	}
	if _, err := kept.Get(b.ctx, b.org, b.key("a-1")); err == nil || errors.Is(err, store.ErrNotFound) {
		b.Errorf("a transaction reads after its end: %v", err)
	}
}

// failureStaysAlone runs transactions that may share a commit, a third of
// which fail each in its own way.
func failureStaysAlone(b *bench) {
	const n = 90
	boom := errors.New("boom")
	b.mustInsert(b.row("first", "taken"))
	errs := together(n, func(i int) (err error) {
		if i%9 == 6 {
			defer func() { err = fmt.Errorf("%v: %w", recover(), boom) }()
		}
		return b.Store.Update(b.ctx, func(tx store.Tx) error {
			r := b.row(ids("a", n)[i], "")
			if i%9 == 3 {
				r.Name = "taken"
			}
			if err := tx.Insert(b.ctx, r, []store.Entry{{Field: "f", Value: "v"}}); err != nil {
				return err
			}
			switch i % 9 {
			case 0:
				return boom
			case 6:
				panic("boom")
			}
			return nil
		})
	})
	var want []string
	for i, err := range errs {
		var taken *store.ErrTaken
		switch i % 9 {
		case 0, 6:
			if !errors.Is(err, boom) {
				b.Errorf("%d: error %v, want boom", i, err)
			}
		case 3:
			if !errors.As(err, &taken) {
				b.Errorf("%d: error %v, want *ErrTaken", i, err)
			}
		default:
			want = append(want, ids("a", n)[i])
			if err != nil {
				b.Errorf("%d: %v", i, err)
			}
		}
	}
	got := b.list(store.Query{Where: []store.Condition{where("f", "v")}})
	if len(got) != len(want) {
		b.Errorf("%d rows are stored, want %d", len(got), len(want))
	}
	for _, id := range want {
		if _, err := b.Get(b.ctx, b.org, b.key(id)); err != nil {
			b.Errorf("%s: %v", id, err)
		}
	}
}

// committedIsVisible reads each row right after its commit.
func committedIsVisible(b *bench) {
	for i, err := range together(16, func(i int) error {
		for j := range 5 {
			r := b.row(fmt.Sprintf("a-%d-%d", i, j), "")
			if err := b.insert(r); err != nil {
				return err
			}
			if _, err := b.Get(b.ctx, b.org, r.Key); err != nil {
				return fmt.Errorf("after its commit: %w", err)
			}
		}
		return nil
	}) {
		if err != nil {
			b.Errorf("%d: %v", i, err)
		}
	}
	if n := b.count(store.Query{}); n != 80 {
		b.Errorf("counted %d", n)
	}
}
