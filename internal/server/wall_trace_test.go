package server_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
)

// trace records what the engine asks of the store, without IDs.
type trace struct {
	sync.Mutex
	steps []string
}

func (tr *trace) add(step string, kind string) {
	tr.Lock()
	defer tr.Unlock()
	tr.steps = append(tr.steps, step+" "+kind)
}

// reset returns what was recorded and begins again.
func (tr *trace) reset() []string {
	tr.Lock()
	defer tr.Unlock()
	steps := tr.steps
	tr.steps = nil
	return steps
}

// tracedStore is a store whose reads and writes are recorded.
type tracedStore struct {
	store.Store
	*trace
}

func (s tracedStore) Get(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	s.add("get", key.Kind)
	return s.Store.Get(ctx, org, key)
}

func (s tracedStore) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	s.add("list", q.Kind)
	return s.Store.List(ctx, q)
}

func (s tracedStore) Visit(ctx context.Context, q store.Query, f func(*store.Row) error) error {
	s.add("list", q.Kind)
	return s.Store.Visit(ctx, q, f)
}

func (s tracedStore) Count(ctx context.Context, q store.Query) (int64, error) {
	s.add("count", q.Kind)
	return s.Store.Count(ctx, q)
}

func (s tracedStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	s.add("update", "")
	return s.Store.Update(ctx, func(tx store.Tx) error { return fn(tracedTx{tx, s.trace}) })
}

// tracedTx is the same for a transaction.
type tracedTx struct {
	store.Tx
	*trace
}

func (tx tracedTx) Get(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	tx.add("get", key.Kind)
	return tx.Tx.Get(ctx, org, key)
}

func (tx tracedTx) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	tx.add("list", q.Kind)
	return tx.Tx.List(ctx, q)
}

func (tx tracedTx) Visit(ctx context.Context, q store.Query, f func(*store.Row) error) error {
	tx.add("list", q.Kind)
	return tx.Tx.Visit(ctx, q, f)
}

func (tx tracedTx) Lock(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	tx.add("lock", key.Kind)
	return tx.Tx.Lock(ctx, org, key)
}

func (tx tracedTx) Pin(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	tx.add("pin", key.Kind)
	return tx.Tx.Pin(ctx, org, key)
}

func (tx tracedTx) Insert(ctx context.Context, r *store.Row, entries []store.Entry) error {
	tx.add("insert", r.Kind)
	return tx.Tx.Insert(ctx, r, entries)
}

// serveTraced is serve with the server's own kinds and a store that is
// recorded.
func serveTraced(t *testing.T, databaseURL string, tr *trace) *enginetest.World {
	t.Helper()
	return serveWith(t, databaseURL, server.Kinds(), time.Now, func(e *engine.Engine) { e.Store = tracedStore{e.Store, tr} })
}
