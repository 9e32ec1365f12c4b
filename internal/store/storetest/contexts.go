package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/weirhq/weir/internal/store"
)

func canceledContext(b *bench) {
	b.add("a-1")
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	check := func(what string, err error) {
		b.Helper()
		if !errors.Is(err, context.Canceled) {
			b.Errorf("%s: error %v, want context.Canceled", what, err)
		}
	}
	_, err := b.Get(ctx, b.org, b.key("a-1"))
	check("get", err)
	_, err = b.List(ctx, store.Query{Org: b.org, Kind: b.kind, Limit: 1})
	check("list", err)
	_, err = b.Count(ctx, store.Query{Org: b.org, Kind: b.kind})
	check("count", err)
	_, err = b.Referrers(ctx, b.key("a-1"), 1)
	check("referrers", err)
	_, err = b.Setting(ctx, "x")
	check("setting", err)
	check("ping", b.Ping(ctx))
	check("update", b.Store.Update(ctx, func(store.Tx) error {
		b.Error("fn ran although the context had ended")
		return nil
	}))
	if _, err := b.Get(b.ctx, b.org, b.key("a-1")); err != nil {
		b.Errorf("afterwards: %v", err)
	}
	if err := b.Ping(b.ctx); err != nil {
		b.Errorf("afterwards: %v", err)
	}
}

// canceledWhileWaiting gives up while another transaction has what it needs.
func canceledWhileWaiting(b *bench) {
	b.add("a-1")
	locked, release, held := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		held <- b.Store.Update(b.ctx, func(tx store.Tx) error {
			if _, err := tx.Lock(b.ctx, b.org, b.key("a-1")); err != nil {
				return err
			}
			close(locked)
			<-release
			return nil
		})
	}()
	wait(b, "the lock", locked)
	ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
	defer cancel()
	waiter := make(chan error, 1)
	go func() {
		waiter <- b.Store.Update(ctx, func(tx store.Tx) error {
			_, err := tx.Lock(ctx, b.org, b.key("a-1"))
			return err
		})
	}()
	if err := wait(b, "giving up", waiter); !errors.Is(err, context.DeadlineExceeded) {
		b.Errorf("error %v, want context.DeadlineExceeded", err)
	}
	close(release)
	if err := wait(b, "the holder's end", held); err != nil {
		b.Errorf("the holder: %v", err)
	}
	b.mustRemove("a-1")
}
