package oauth

import (
	"net/http"
	"sync"
	"testing"

	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/store"
)

func (w *world) record(t testing.TB) iam.ProviderRecord {
	t.Helper()
	row, err := w.config.Store.Get(t.Context(), w.org, store.Key{Kind: iam.IdentityProvider.Key(), ID: w.provider})
	if err != nil {
		t.Fatal(err)
	}
	r, err := iam.DecodeProviderRecord(row.Private)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func down(rw http.ResponseWriter, _ *http.Request) {
	http.Error(rw, "down", http.StatusInternalServerError)
}

// Many tokens of one new key at the same time lead to one fetch; keys that
// nobody has do not make the service ask again and again; and what is known
// goes on while the issuer is down.
func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := form(w.pool, w.issuer.Token(nil))
	if _, err := exchange(t, w.Service, old); err != nil {
		t.Fatal(err)
	}
	w.clock.Forward(fetchInterval)
	w.issuer.Rotate("key-2")
	fetches := w.issuer.Fetches.Load()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := exchange(t, w.Service, form(w.pool, w.issuer.Token(nil))); err != nil {
				t.Errorf("a token of the new key: %v", err)
			}
		})
	}
	all.Wait()
	if n := w.issuer.Fetches.Load() - fetches; n != 1 {
		t.Errorf("%d fetches for one new key", n)
	}
	if _, err := exchange(t, w.Service, old); err != nil {
		t.Errorf("a token of the key before: %v", err)
	}

	// Within the interval nothing is fetched, whatever is asked for.
	w.issuer.Rotate("key-3")
	fetches = w.issuer.Fetches.Load()
	_, err := exchange(t, w.Service, form(w.pool, w.issuer.Token(nil)))
	refused(t, "a key published just after a fetch", err)
	if n := w.issuer.Fetches.Load() - fetches; n != 0 {
		t.Errorf("%d fetches within the interval", n)
	}
	w.issuer.Handle(down)
	for range 3 {
		w.clock.Forward(fetchInterval)
		for range 10 {
			_, err := exchange(t, w.Service, form(w.pool, w.issuer.Token(nil)))
			refused(t, "a key that cannot be fetched", err)
		}
		if _, err := exchange(t, w.Service, old); err != nil {
			t.Errorf("while the issuer is down: %v", err)
		}
	}
	if n := w.issuer.Fetches.Load() - fetches; n != 3 {
		t.Errorf("%d fetches in three intervals", n)
	}
	if r := w.record(t); r.Status != iam.JWKSError || len(r.Keys) != 2 || !r.Refreshed.Before(r.Attempted) {
		t.Errorf("the record says %s, %d keys, %s, %s", r.Status, len(r.Keys), r.Refreshed, r.Attempted)
	}
	w.issuer.Handle(nil)
	w.clock.Forward(fetchInterval)
	if _, err := exchange(t, w.Service, form(w.pool, w.issuer.Token(nil))); err != nil {
		t.Errorf("when the issuer is there again: %v", err)
	}
}

// Keys are fetched again by themselves, once an hour when that goes well and
// every few minutes when not.
func TestKeysAreRefreshedByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	look := func(want int64) {
		t.Helper()
		before := w.issuer.Fetches.Load()
		w.pending.All()
		if err := w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.issuer.Fetches.Load() - before; n != want {
			t.Errorf("%d fetches, want %d", n, want)
		}
	}
	look(1)
	look(0)
	w.clock.Forward(keysLive - 1)
	look(0)
	w.clock.Forward(1)
	w.issuer.Handle(down)
	look(1)
	w.clock.Forward(retryAfter - 1)
	look(0)
	w.clock.Forward(1)
	look(1)
	w.issuer.Handle(nil)
	w.clock.Forward(retryAfter)
	look(1)
	if r := w.record(t); r.Status != iam.JWKSRefreshed || len(r.Keys) != 1 {
		t.Errorf("the record is %+v", r)
	}
	// A look at what changed alone does the same for that.
	w.clock.Forward(keysLive)
	w.Changed(store.Change{Keys: []store.Key{{Kind: iam.IdentityProvider.Key(), ID: "op-none"}, {Kind: iam.IdentityProvider.Key(), ID: w.provider}}})
	before := w.issuer.Fetches.Load()
	if err := w.look(t.Context()); err != nil || w.issuer.Fetches.Load() != before+1 {
		t.Errorf("a look at one provider: %v, %d fetches", err, w.issuer.Fetches.Load()-before)
	}
}

// What is fetched for a URI that is no longer the provider's is not stored, nor
// is anything of a provider that is gone.
func TestChangesDuringAFetch(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world, store.Tx) error{
		"another URI": func(w *world, tx store.Tx) error {
			o, err := w.Engine.Lock(t.Context(), tx, w.org, iam.IdentityProvider, w.provider)
			if err != nil {
				return err
			}
			o.Doc.Set("jwks_uri", "https://127.0.0.1:1/")
			return w.Engine.Save(t.Context(), tx, o)
		},
		"deleted": func(w *world, tx store.Tx) error {
			o, err := w.Engine.Lock(t.Context(), tx, w.org, iam.IdentityProvider, w.provider)
			if err != nil {
				return err
			}
			return w.Engine.Remove(t.Context(), tx, o)
		},
	} {
		w := newWorld(t)
		w.issuer.Handle(func(rw http.ResponseWriter, r *http.Request) {
			if err := w.config.Store.Update(t.Context(), func(tx store.Tx) error { return change(w, tx) }); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			w.issuer.ServeKeys(rw, r)
		})
		_, err := exchange(t, w.Service, form(w.pool, w.issuer.Token(nil)))
		refused(t, name, err)
		if name == "deleted" {
			continue
		}
		if r := w.record(t); len(r.Keys) != 0 {
			t.Errorf("%s: %d keys were stored", name, len(r.Keys))
		}
	}
}
