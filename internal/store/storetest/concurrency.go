package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/weirhq/weir/internal/store"
)

func noLostUpdates(b *bench) {
	const workers, rounds = 32, 5
	r := b.row("a-1", "")
	r.Body = []byte("0")
	b.mustInsert(r)
	for i, err := range together(workers, func(int) error {
		for range rounds {
			if err := b.Store.Update(b.ctx, func(tx store.Tx) error {
				r, err := tx.Lock(b.ctx, b.org, b.key("a-1"))
				if err != nil {
					return err
				}
				n, err := strconv.Atoi(string(r.Body))
				if err != nil {
					return err
				}
				r.Body = strconv.AppendInt(nil, int64(n+1), 10)
				return tx.Update(b.ctx, r, nil)
			}); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			b.Errorf("%d: %v", i, err)
		}
	}
	got, err := b.Get(b.ctx, b.org, r.Key)
	if err != nil || string(got.Body) != strconv.Itoa(workers*rounds) || got.Version != workers*rounds+1 {
		b.Errorf("got %s with version %d, %v", got.Body, got.Version, err)
	}
}

// lockExcludes checks that no two transactions are between Lock and the end at
// once, nor one that pins.
func lockExcludes(b *bench) {
	b.add("a-1")
	var inside, pinned atomic.Int32
	for i, err := range together(24, func(i int) error {
		return b.Store.Update(b.ctx, func(tx store.Tx) error {
			if i%3 == 0 {
				if _, err := tx.Pin(b.ctx, b.org, b.key("a-1")); err != nil {
					return err
				}
				pinned.Add(1)
				defer pinned.Add(-1)
				if inside.Load() != 0 {
					return errors.New("pinned while another has the lock")
				}
				return nil
			}
			if _, err := tx.Lock(b.ctx, b.org, b.key("a-1")); err != nil {
				return err
			}
			if n := inside.Add(1); n != 1 || pinned.Load() != 0 {
				return fmt.Errorf("%d have the lock, %d the pin", n, pinned.Load())
			}
			inside.Add(-1)
			return nil
		})
	}) {
		if err != nil {
			b.Errorf("%d: %v", i, err)
		}
	}
}

// pinKeepsTheTarget races the deletion of a target, which happens only if
// nothing refers to it, against inserts of rows that refer to it.
func pinKeepsTheTarget(b *bench) {
	const rounds, inserters = 15, 6
	refKind := b.kind + "Ref"
	for round := range rounds {
		target := b.key(fmt.Sprintf("t-%d", round))
		b.mustInsert(b.row(target.ID, ""))
		var inserted atomic.Int32
		inUse := errors.New("in use")
		errs := together(inserters+1, func(i int) error {
			if i == inserters {
				return b.Store.Update(b.ctx, func(tx store.Tx) error {
					if _, err := tx.Lock(b.ctx, b.org, target); err != nil {
						return err
					}
					refs, err := tx.Referrers(b.ctx, target, 1)
					if err != nil {
						return err
					}
					if len(refs) > 0 {
						return inUse
					}
					return tx.Delete(b.ctx, target, time.Now())
				})
			}
			err := b.Store.Update(b.ctx, func(tx store.Tx) error {
				if _, err := tx.Pin(b.ctx, b.org, target); err != nil {
					return err
				}
				r := b.row(fmt.Sprintf("r-%d-%d", round, i), "")
				r.Kind = refKind
				return tx.Insert(b.ctx, r, []store.Entry{{Field: "target", Value: target.ID, Target: target.Kind}})
			})
			if err == nil {
				inserted.Add(1)
			}
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		})
		for i, err := range errs {
			if err != nil && !(i == inserters && errors.Is(err, inUse)) {
				b.Errorf("%d: %v", i, err)
			}
		}
		_, err := b.Get(b.ctx, b.org, target)
		deleted := errors.Is(err, store.ErrNotFound)
		refs := len(b.refs(target, 100))
		if refs != int(inserted.Load()) {
			b.Errorf("%d rows refer to the target, %d were inserted", refs, inserted.Load())
		}
		if deleted != (refs == 0) {
			b.Errorf("target deleted: %v, with %d rows that refer to it", deleted, refs)
		}
	}
}

// pinsShare checks that pins do not wait for each other where transactions
// can run side by side at all.
func pinsShare(b *bench) {
	b.add("a-1")
	for i, err := range together(16, func(i int) error {
		return b.Store.Update(b.ctx, func(tx store.Tx) error {
			for range 2 { // pinning twice is harmless
				if _, err := tx.Pin(b.ctx, b.org, b.key("a-1")); err != nil {
					return err
				}
			}
			return tx.Insert(b.ctx, b.row(fmt.Sprintf("b-%d", i), ""), nil)
		})
	}) {
		if err != nil {
			b.Errorf("%d: %v", i, err)
		}
	}
	if n := b.count(store.Query{}); n != 17 {
		b.Errorf("counted %d", n)
	}
}

// oneWinner checks that all but one of the errors are *ErrTaken and returns
// who won.
func (b *bench) oneWinner(errs []error) int {
	b.Helper()
	winner, winners := 0, 0
	for i, err := range errs {
		if err == nil {
			winner = i
			winners++
		}
	}
	if winners != 1 {
		b.Fatalf("%d winners: %v", winners, errs)
	}
	return winner
}

func nameRace(b *bench) {
	for round := range 10 {
		name := fmt.Sprint("name-", round)
		id := func(i int) string { return fmt.Sprintf("a-%d-%d", round, i) }
		errs := together(12, func(i int) error { return b.insert(b.row(id(i), name)) })
		winner := b.oneWinner(errs)
		for i, err := range errs {
			if i != winner {
				b.wantTaken(err, id(winner), name)
			}
		}
	}
}

func renameRace(b *bench) {
	for round := range 5 {
		name := fmt.Sprint("name-", round)
		id := func(i int) string { return fmt.Sprintf("a-%d-%d", round, i) }
		for i := range 8 {
			b.mustInsert(b.row(id(i), id(i)))
		}
		// Half of them rename, half insert.
		errs := together(16, func(i int) error {
			if i < 8 {
				return b.replace(b.row(id(i), name))
			}
			return b.insert(b.row(id(i), name))
		})
		winner := b.oneWinner(errs)
		for i, err := range errs {
			if i != winner {
				b.wantTaken(err, id(winner), name)
			}
		}
	}
}

func idRace(b *bench) {
	errs := together(12, func(i int) error { return b.insert(b.row("a-1", fmt.Sprint("name-", i))) })
	winner := b.oneWinner(errs)
	for i, err := range errs {
		if i != winner {
			b.wantTaken(err, "a-1", "")
		}
	}
	if got, err := b.Get(b.ctx, b.org, b.key("a-1")); err != nil || got.Name != fmt.Sprint("name-", winner) {
		b.Errorf("got %+v, %v, want what %d inserted", got, err, winner)
	}
}

// nameHandover passes one name around: each transaction deletes whoever has
// it and takes it. The name never is with two rows, and no call fails.
func nameHandover(b *bench) {
	b.mustInsert(b.row("a-0", "name"))
	for i, err := range together(10, func(i int) error {
		return b.Store.Update(b.ctx, func(tx store.Tx) error {
			r := b.row(fmt.Sprintf("b-%d", i), "name")
			for {
				err := tx.Insert(b.ctx, r, nil)
				var taken *store.ErrTaken
				if !errors.As(err, &taken) {
					return err
				}
				// Found taken, it stays so until this transaction ends.
				if err := tx.Delete(b.ctx, taken.By, time.Now()); err != nil {
					return fmt.Errorf("the row in the way is gone: %w", err)
				}
			}
		})
	}) {
		if err != nil {
			b.Errorf("%d: %v", i, err)
		}
	}
	if got := b.list(store.Query{}); len(got) != 1 {
		b.Errorf("the name is with %v", got)
	}
}

func deleteRace(b *bench) {
	b.add("a-1")
	errs := together(8, func(int) error { return b.remove("a-1") })
	winner := b.oneWinner(errs)
	for i, err := range errs {
		if i != winner {
			b.wantNotFound("delete", err)
		}
	}
}
