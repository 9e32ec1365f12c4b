package sqlstore

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

// backends open an empty database of either kind.
func backends() map[string]func(*testing.B) store.Store {
	return map[string]func(*testing.B) store.Store{
		"sqlite":   func(b *testing.B) store.Store { return openSQLite(b, b.TempDir(), Options{}) },
		"postgres": func(b *testing.B) store.Store { return openPostgres(b, pgtest.URL(b), Options{}) },
	}
}

// eachBackend runs the benchmark on both, over 10,000 rows of 700 bytes.
func eachBackend(b *testing.B, run func(*testing.B, store.Store)) {
	for name, open := range backends() {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			if err := s.Update(b.Context(), func(tx store.Tx) error {
				for i := range 10000 {
					if err := tx.Insert(b.Context(), benchRow(fmt.Sprint("id-", i)), benchEntries(i)); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			run(b, s)
		})
	}
}

func benchRow(id string) *store.Row {
	r := testRow(id)
	r.Name, r.Parent, r.Body = "name of "+id, "env-abc123", []byte(strings.Repeat("x", 700))
	return r
}

func benchEntries(i int) []store.Entry {
	return []store.Entry{
		{Field: "spec.owner", Value: fmt.Sprint("u-", i%10), Target: "iam/v2.User"},
		{Field: "spec.environment", Value: "env-abc123", Target: "org/v2.Environment"},
	}
}

func BenchmarkGet(b *testing.B) {
	eachBackend(b, func(b *testing.B, s store.Store) {
		for i := 0; b.Loop(); i++ {
			if _, err := s.Get(b.Context(), "org", store.Key{Kind: "kind", ID: fmt.Sprint("id-", i%10000)}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkList100(b *testing.B) {
	eachBackend(b, func(b *testing.B, s store.Store) {
		for _, q := range []struct {
			name  string
			query store.Query
		}{
			{"first", store.Query{}},
			{"last", store.Query{After: 9900}},
			{"filtered", store.Query{Where: []store.Condition{{Field: "spec.owner", Values: []string{"u-3"}}}}},
			{"prefix", store.Query{Where: []store.Condition{{Field: "spec.owner", Prefixes: []string{"u-3"}}}}},
			{"prefix of all", store.Query{Where: []store.Condition{{Field: "spec.owner", Prefixes: []string{"u-"}}}}},
			{"merged", store.Query{Visible: []store.Condition{{Field: "spec.owner", Values: []string{"u-3", "u-4"}}}}},
		} {
			b.Run(q.name, func(b *testing.B) {
				b.ReportAllocs()
				q.query.Org, q.query.Kind, q.query.Limit = "org", "kind", 100
				for b.Loop() {
					if rows, err := s.List(b.Context(), q.query); err != nil || len(rows) != 100 {
						b.Fatal(len(rows), err)
					}
				}
			})
		}
	})
}

func BenchmarkInsertParallel(b *testing.B) {
	eachBackend(b, insertParallel)
}

func insertParallel(b *testing.B, s store.Store) {
	var n atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(n.Add(1))
			if err := insert(b.Context(), s, benchRow(fmt.Sprint("new-", i)), benchEntries(i)...); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkCount shows what counting costs on the write path: parallel inserts
// of rows that count for nothing, for the organization, and for two subjects
// beside. All count in one organization. "all slots" is next to its limit, and "one row"
// is what a counter that is not spread would cost on PostgreSQL.
func BenchmarkCount(b *testing.B) {
	const far = 1 << 40
	organization := store.Share{Counter: store.Counter{Org: "org", Name: "things"}, Limit: far}
	for _, c := range []struct {
		name   string
		shares func(i int) []store.Share
	}{
		{"nothing", func(int) []store.Share { return nil }},
		{"organization", func(int) []store.Share { return []store.Share{organization} }},
		{"organization and subject", func(i int) []store.Share {
			s := organization
			s.Name, s.Subject = "things of one", fmt.Sprint("sa-", i%1000)
			return []store.Share{organization, s}
		}},
		{"all slots", func(int) []store.Share {
			s := organization
			s.Name = "nearly full"
			return []store.Share{s}
		}},
		{"one row", func(int) []store.Share {
			s := organization
			s.Subject = "all"
			return []store.Share{s}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for name, open := range backends() {
				b.Run(name, func(b *testing.B) {
					s := open(b)
					if err := s.Update(b.Context(), func(tx store.Tx) error {
						return tx.SetCounters(b.Context(), "nearly full", map[store.Counter]int64{{Org: "org", Name: "nearly full"}: far - far/8})
					}); err != nil {
						b.Fatal(err)
					}
					b.ResetTimer()
					var n atomic.Int64
					b.SetParallelism(32)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							i := int(n.Add(1))
							r := benchRow(fmt.Sprint("new-", i))
							if err := s.Update(b.Context(), func(tx store.Tx) error {
								tx.Tally(r.Key, nil, c.shares(i))
								return tx.Insert(b.Context(), r, benchEntries(i))
							}); err != nil {
								b.Error(err)
							}
						}
					})
				})
			}
		})
	}
}

// BenchmarkNotify shows what telling other processes costs on PostgreSQL.
func BenchmarkNotify(b *testing.B) {
	for name, kinds := range map[string][]string{"of none": {}, "of all": nil} {
		b.Run(name, func(b *testing.B) {
			insertParallel(b, openPostgres(b, pgtest.URL(b), Options{NotifyKinds: kinds}))
		})
	}
}
