package sqlstore

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
	"zombiezen.com/go/sqlite"
)

// told records what a watch tells.
type told struct {
	mu   sync.Mutex
	ids  []string
	alls []time.Time
}

func watch(t testing.TB, s store.Store) *told {
	w := &told{}
	t.Cleanup(s.Watch(func(c store.Change) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, key := range c.Keys {
			w.ids = append(w.ids, key.ID)
		}
		if c.All {
			w.alls = append(w.alls, time.Now())
		}
	}))
	return w
}

// take returns the IDs told since the last call, and how often it was said
// that anything may have changed.
func (w *told) take() (ids string, alls int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids, alls = strings.Join(w.ids, " "), len(w.alls)
	w.ids, w.alls = nil, nil
	return ids, alls
}

func (w *told) has(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, other := range w.ids {
		if other == id {
			return true
		}
	}
	return false
}

func (w *told) since(begin time.Time) (alls []time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.alls {
		if at.After(begin) {
			alls = append(alls, at)
		}
	}
	return alls
}

// eventually waits for the condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it did not happen", what)
		}
	}
}

func TestChangesAreBounded(t *testing.T) {
	t.Parallel()
	c := changes{feed: newFeed([]string{"kind"}), writes: new(writes)}
	if c.add("org", store.Key{Kind: "other", ID: "a"}); !c.empty() {
		t.Errorf("%+v of a kind that is not to be told", c.Change)
	}
	for i := range maxKeys {
		c.add("org", store.Key{Kind: "kind", ID: fmt.Sprint(i)})
	}
	if len(c.Keys) != maxKeys || c.All || c.empty() {
		t.Errorf("%d keys, all %v", len(c.Keys), c.All)
	}
	for range 2 {
		c.add("org", store.Key{Kind: "kind", ID: "more"})
		if len(c.Keys) != 0 || !c.All || c.empty() {
			t.Errorf("%d keys, all %v", len(c.Keys), c.All)
		}
	}
	c = changes{feed: newFeed([]string{}), writes: new(writes)}
	if c.add("org", store.Key{Kind: "kind", ID: "a"}); !c.empty() {
		t.Error("an empty list of kinds is not none")
	}
}

func TestNotifyKinds(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	opts := Options{NotifyKinds: []string{"kind"}}
	for name, open := range map[string]func() store.Store{
		"sqlite":   func() store.Store { return openSQLite(t, t.TempDir(), opts) },
		"postgres": func() store.Store { return openPostgres(t, url, opts) },
	} {
		s := open()
		w := watch(t, s)
		quiet := testRow("quiet")
		quiet.Kind = "quiet kind"
		if err := s.Update(t.Context(), func(tx store.Tx) error {
			if err := tx.Insert(t.Context(), quiet, nil); err != nil {
				return err
			}
			return tx.Insert(t.Context(), testRow("loud"), nil)
		}); err != nil {
			t.Fatal(err)
		}
		if ids, _ := w.take(); ids != "loud" {
			t.Errorf("%s: told %s", name, ids)
		}
	}
}

// TestSQLiteOwnCommits writes enough for the log to be brought into the
// database and begun anew, and long enough to be looked at.
func TestSQLiteOwnCommits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// Not known to be the same as before is what a look sees that is the first or comes too
	// late, as on a disk that is slow, and the one after that.
	var polls, unknown atomic.Int64
	before := int64(-1)
	s := openSQLite(t, dir, Options{polled: func(version int64) {
		if version < 0 || before < 0 {
			unknown.Add(1)
		}
		before = version
		polls.Add(1)
	}})
	w := watch(t, s)
	anything := int64(0)
	take := func() string {
		ids, alls := w.take()
		anything += int64(alls)
		return ids
	}
	eventually(t, "the first look", func() bool { take(); return anything > 0 })
	began := polls.Load()
	for i := 0; i < 1500 || polls.Load() < began+2; i++ {
		r := testRow(fmt.Sprint(i))
		r.Body = bytes.Repeat([]byte("x"), 4096)
		if err := insert(t.Context(), s, r); err != nil {
			t.Fatal(err)
		}
		if ids := take(); ids != r.ID {
			t.Fatalf("told %q", ids)
		}
	}
	// Reads of its own open connections, which are not changes either.
	count(t, s)
	after := polls.Load()
	eventually(t, "two looks", func() bool { return polls.Load() >= after+2 })
	if ids := take(); ids != "" {
		t.Errorf("told %q", ids)
	}
	// Whoever was told waits for the end of the look.
	after = polls.Load()
	eventually(t, "another look", func() bool { return polls.Load() > after })
	if anything > unknown.Load() {
		t.Errorf("told %d times that anything may have changed, in %d looks that could not know", anything, unknown.Load())
	}
	other := openSQLite(t, dir, Options{})
	w.take()
	if err := insert(t.Context(), other, testRow("other")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other's change", func() bool { _, alls := w.take(); return alls > 0 })
}

// TestSQLiteChangesWhileTheWriterWaits keeps the writer waiting for another
// process, which goes on to commit.
func TestSQLiteChangesWhileTheWriterWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var polls, late atomic.Int64
	s := openSQLite(t, dir, Options{polled: func(version int64) {
		if version < 0 {
			late.Add(1)
		}
		polls.Add(1)
	}})
	w := watch(t, s)
	other, err := openSQLiteConn(filepath.Join(dir, FileName), sqlite.OpenReadWrite, readerCacheKiB)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if _, err := other.exec(t.Context(), "BEGIN IMMEDIATE", nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- insert(t.Context(), s, testRow("a")) }()
	began := time.Now()
	eventually(t, "warnings", func() bool { return len(w.since(began.Add(followPatience))) >= 3 })
	if _, err := other.exec(t.Context(), "COMMIT", nil); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !w.has("a") {
		t.Error("its own change is not told")
	}
	polled := polls.Load()
	eventually(t, "looks", func() bool { return polls.Load() >= polled+2 })
	w.take()
	polled = polls.Load()
	eventually(t, "looks", func() bool { return polls.Load() >= polled+2 })
	if _, alls := w.take(); alls != 0 {
		t.Errorf("%d warnings though nothing is in the way any more", alls)
	}
}

// TestCloseEndsWhatWatches finds the goroutines by a label that they inherit.
func TestCloseEndsWhatWatches(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	for name, open := range map[string]func() (store.Store, error){
		"sqlite":   func() (store.Store, error) { return OpenSQLite(t.Context(), t.TempDir(), Options{}) },
		"postgres": func() (store.Store, error) { return OpenPostgres(t.Context(), url, Options{}) },
	} {
		label := fmt.Sprint("watch-", name, time.Now().UnixNano())
		pprof.Do(t.Context(), pprof.Labels("test", label), func(context.Context) {
			s, err := open()
			if err != nil {
				t.Fatal(err)
			}
			w := watch(t, s)
			eventually(t, name+": a first word", func() bool { _, alls := w.take(); return alls > 0 })
			if !strings.Contains(goroutines(t), label) {
				t.Errorf("%s: nothing of it is found", name)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			s.Watch(func(store.Change) { t.Errorf("%s: told after Close", name) }) // begins nothing
		})
		eventually(t, name+": the end of its goroutines", func() bool { return !strings.Contains(goroutines(t), label) })
	}
}

func goroutines(t testing.TB) string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	return profile.String()
}
