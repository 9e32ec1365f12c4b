//go:build !race

// What is in other processes the race detector cannot see.

package server_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/weirhq/weir/internal/pgtest"
)

// fixture is what a database in testdata/databases was when it was dumped. There
// is one for each version of the schema, written by a program of its time:
// testdata/databases/README.md says how.
type fixture struct {
	Key, Secret string
	// Documents are what the API answered, by path, without the server's address.
	Documents map[string]string
}

func readFixture(t *testing.T, store string, version int) (f fixture, dump string) {
	t.Helper()
	base := filepath.Join("testdata", "databases", fmt.Sprintf("%s-%d", store, version))
	encoded, err := os.ReadFile(base + ".json")
	if err != nil {
		t.Fatalf("each version of the schema needs a database from it: %v", err)
	}
	if err := json.Unmarshal(encoded, &f); err != nil || len(f.Documents) == 0 {
		t.Fatalf("%s.json has %d documents, %v", base, len(f.Documents), err)
	}
	content, err := os.ReadFile(base + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	return f, string(content)
}

// A database of each version of the schema becomes one of today's when a server
// opens it: its keys open, its objects are as they were, everything in it holds
// together, and it takes writes.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	weir := buildWeir(t)
	migrations, err := filepath.Glob("../store/sqlstore/migrations/sqlite/*.sql")
	if err != nil || len(migrations) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	for version := 1; version <= len(migrations); version++ {
		t.Run(fmt.Sprintf("SQLite/%d", version), func(t *testing.T) {
			t.Parallel()
			f, dump := readFixture(t, "sqlite", version)
			dir := t.TempDir()
			db, err := sql.Open("sqlite", filepath.Join(dir, "weir.db"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), dump); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			testUpgrade(t, weir, f, dir, "")
		})
		t.Run(fmt.Sprintf("PostgreSQL/%d", version), func(t *testing.T) {
			t.Parallel()
			f, dump := readFixture(t, "postgres", version)
			url := pgtest.URL(t)
			c, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.PgConn().Exec(t.Context(), dump).ReadAll(); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			testUpgrade(t, weir, f, t.TempDir(), url)
		})
	}
}

func testUpgrade(t *testing.T, weir string, f fixture, dir, databaseURL string) {
	p := launch(t, weir, dir, databaseURL).serving(t)
	w := &writer{url: p.url, key: [2]string{f.Key, f.Secret}, client: http.DefaultClient}
	for path, want := range f.Documents {
		status, raw, ok := w.do(w.key, http.MethodGet, path, nil)
		if !ok || status != http.StatusOK || raw != want {
			t.Errorf("%s is read as %d\n%s\nand was\n%s", path, status, raw, want)
		}
	}
	status, raw, _ := w.do(w.key, http.MethodPost, serviceAccounts, map[string]any{"display_name": "made after the upgrade"})
	if status != http.StatusCreated {
		t.Errorf("a write: %d %s", status, raw)
	}
	if status, raw, _ := w.do(w.key, http.MethodPost, serviceAccounts, map[string]any{"display_name": "worker"}); status != http.StatusConflict {
		t.Errorf("a name that is taken: %d %s", status, raw)
	}
	p.kill()
	settled(t, databaseURL)
	verifyDatabase(t, dir, databaseURL)
}
