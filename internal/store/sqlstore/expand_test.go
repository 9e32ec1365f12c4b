package sqlstore

import (
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

// Migrations only go forward: the way back is a backup.
func TestMigrationsGoForwardOnly(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrations, "migrations/*/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d migrations, %v", len(files), err)
	}
	for _, name := range files {
		content, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "+goose Down") {
			t.Errorf("%s has a way back, which nobody tests", name)
		}
	}
}

// An older replica reads and writes on while a newer one adds to the schema, as
// docs/decisions/0008-migrations.md wants each migration to: columns with a
// default, tables, indexes.
func TestOlderReplicaServesDuringAMigration(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]struct {
		open func(t *testing.T) store.Store
		sql  []string
	}{
		"SQLite": {
			func(t *testing.T) store.Store { return openSQLite(t, t.TempDir(), Options{}) },
			[]string{
				"ALTER TABLE objects ADD COLUMN note TEXT NOT NULL DEFAULT ''",
				"ALTER TABLE entries ADD COLUMN note TEXT NOT NULL DEFAULT ''",
			},
		},
		"PostgreSQL": {
			func(t *testing.T) store.Store { return openPostgres(t, pgtest.URL(t), Options{}) },
			[]string{
				`ALTER TABLE objects ADD COLUMN note text COLLATE "C" NOT NULL DEFAULT ''`,
				`ALTER TABLE entries ADD COLUMN note text COLLATE "C" NOT NULL DEFAULT ''`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := database.open(t)
			stop := make(chan struct{})
			var older sync.WaitGroup
			var done atomic.Int64
			for worker := range 4 {
				older.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						r := testRow(fmt.Sprintf("%d-%d", worker, i))
						if err := insert(t.Context(), s, r, store.Entry{Field: "f", Value: "v"}); err != nil {
							t.Errorf("a write during the migration: %v", err)
							return
						}
						if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Update(t.Context(), r, nil) }); err != nil {
							t.Errorf("a change during the migration: %v", err)
							return
						}
						if row, err := s.Get(t.Context(), "org", r.Key); err != nil || string(row.Body) != "{}" {
							t.Errorf("a read during the migration: %v", err)
							return
						}
						if _, err := s.List(t.Context(), store.Query{Org: "org", Kind: "kind", Limit: 10, Backward: true}); err != nil {
							t.Errorf("a list during the migration: %v", err)
							return
						}
						done.Add(1)
					}
				})
			}
			wait := func() {
				until := done.Load() + 20
				eventually(t, "the older replica to go on", func() bool { return done.Load() >= until || t.Failed() })
			}
			wait()
			for _, sql := range append(database.sql,
				"CREATE TABLE notes (seq bigint PRIMARY KEY)",
				"CREATE INDEX objects_note ON objects (org, kind, note)",
				"INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, "+map[string]string{"SQLite": "1", "PostgreSQL": "true"}[name]+")",
			) {
				err := s.(*db).backend.update(t.Context(), func(c txConn) error {
					_, err := c.exec(t.Context(), sql, nil)
					return err
				})
				if err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
				wait()
			}
			close(stop)
			older.Wait()
		})
	}
}
