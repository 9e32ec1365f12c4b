package sqlstore

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

func damage(t *testing.T, s store.Store) []string {
	t.Helper()
	var found []string
	err := s.Snapshot(t.Context(), func(shot store.Snapshot) (err error) {
		found, err = shot.Damage(t.Context())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What no transaction of the store can have written is told.
func TestDamage(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) store.Store{
		"SQLite":     func(t *testing.T) store.Store { return openSQLite(t, t.TempDir(), Options{}) },
		"PostgreSQL": func(t *testing.T) store.Store { return openPostgres(t, pgtest.URL(t), Options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			for _, id := range []string{"a", "b", "c"} {
				if err := insert(t.Context(), s, testRow(id), store.Entry{Field: "of " + id, Value: "1"}); err != nil {
					t.Fatal(err)
				}
			}
			if found := damage(t, s); len(found) > 0 {
				t.Fatalf("a new database: %q", found)
			}
			err := s.(*db).backend.update(t.Context(), func(c txConn) error {
				for _, sql := range []string{
					"UPDATE objects SET deleted = 1 WHERE id = 'a'",
					"UPDATE entries SET org = 'another' WHERE field = 'of b'",
					"INSERT INTO counters (org, subject, name, slot, value) VALUES ('org', '', 'things', 0, -2)",
				} {
					if _, err := c.exec(t.Context(), sql, nil); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			found := damage(t, s)
			for _, want := range []string{
				`the index entry "of a" is of row`, `the index entry "of b" of row`, "a deleted kind, row", "the counter things stands at -2",
			} {
				if !slices.ContainsFunc(found, func(text string) bool { return strings.Contains(text, want) }) {
					t.Errorf("%q is not among %q", want, found)
				}
			}
			if len(found) != 4 {
				t.Errorf("found %q", found)
			}
		})
	}
}

// A page that the disk has spoilt is found.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := OpenSQLite(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		r := testRow("id " + strings.Repeat("x", i))
		r.Name = "name " + strings.Repeat("y", i)
		if err := insert(t.Context(), s, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, FileName)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// An index has another text than the table.
	at := strings.LastIndex(string(content), "name "+strings.Repeat("y", 150))
	if at < 0 {
		t.Fatal("the name is not in the file")
	}
	content[at] = 'N'
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if found := damage(t, openSQLite(t, dir, Options{})); len(found) == 0 {
		t.Error("nothing is wrong with a damaged file")
	}
}
