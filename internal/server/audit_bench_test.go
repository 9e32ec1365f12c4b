package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

// deafStore keeps no events.
type deafStore struct{ store.Store }

type deafTx struct{ store.Tx }

func (s deafStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return fn(deafTx{tx}) })
}

func (deafTx) Append(...store.Event) error { return nil }

// BenchmarkAudit shows what the audit log costs a change: service accounts made
// by 32 callers at the same time, with their events kept and with them made and
// thrown away. The two take turns, so that both see the same machine.
func BenchmarkAudit(b *testing.B) {
	for name, url := range map[string]func() string{"sqlite": func() string { return "" }, "postgres": func() string { return pgtest.URL(b) }} {
		b.Run(name, func(b *testing.B) {
			s, err := sqlstore.Open(b.Context(), url(), b.TempDir(), sqlstore.Options{NotifyKinds: []string{}})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			for turn := range 3 {
				for _, variant := range []struct {
					name  string
					store store.Store
				}{{"without", deafStore{s}}, {"with", s}} {
					b.Run(fmt.Sprintf("%s/%d", variant.name, turn), func(b *testing.B) {
						makeAccounts(b, variant.store)
					})
				}
			}
		})
	}
}

func makeAccounts(b *testing.B, s store.Store) {
	e, err := server.NewEngine(b.Context(), s, "http://127.0.0.1", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	id := uuid.NewString()
	insert := func(o engine.Object) error {
		// Each run of the function has an object of its own.
		return s.Update(b.Context(), func(tx store.Tx) error {
			made := o
			return e.Insert(b.Context(), tx, &made)
		})
	}
	if err := insert(engine.Object{Kind: org.Organization, Org: id, ID: id, Doc: engine.Doc{"display_name": "Bench"}}); err != nil {
		b.Fatal(err)
	}
	if err := e.SetLimit(b.Context(), id, "iam.max_service_accounts.per_org", engine.MaxLimit); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := insert(engine.Object{Kind: iam.ServiceAccount, Org: id, Doc: engine.Doc{"display_name": fmt.Sprint("account ", n.Add(1)), "description": "for the benchmark"}}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}
