package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/issuer/issuertest"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

// refresh asks for the keys to be fetched, and returns the status.
func (w *oauthWorld) refresh(provider string) (status, last string) {
	w.t.Helper()
	a := w.Do(http.MethodPatch, providersPath+"/"+provider+"/jwks", map[string]any{"spec": map[string]any{"jwks_status": "REFRESHED"}})
	if a.Status != http.StatusOK || a.Body["kind"] != "Jwks" || a.Body["api_version"] != "iam/v2" {
		w.t.Fatalf("refresh: %d %s", a.Status, a.Raw)
	}
	got, _ := a.Body["status"].(map[string]any)
	status, _ = got["jwks_status"].(string)
	last, _ = got["jwks_last_refresh_at"].(string)
	return status, last
}

// keys are the IDs of the provider's keys, as its document shows them.
func (w *oauthWorld) keys(provider string) (ids []string) {
	w.t.Helper()
	keys, _ := w.Do(http.MethodGet, providersPath+"/"+provider, nil).Body["keys"].([]any)
	for _, k := range keys {
		k, _ := k.(map[string]any)
		if k["kty"] != "RSA" || k["alg"] != "RS256" || k["n"] == "" || k["d"] != nil {
			w.t.Errorf("a key is shown as %v", k)
		}
		ids = append(ids, fmt.Sprint(k["kid"]))
	}
	return ids
}

// TestKeysAreFetched fetches the keys of a new provider, on request, and when a
// token names one that is not known.
func TestKeysAreFetched(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newOAuthWorld(t, weirtest.WithDatabaseURL(databaseURL))
		w.wantWithin(5*time.Second, "keys of a new provider", 1, func() weirtest.Answer { return weirtest.Answer{Status: len(w.keys(w.provider))} })
		fetches := w.issuer.Fetches.Load()
		// That was just before, so that no other fetch is made.
		if status, last := w.refresh(w.provider); status != "OK" || last == "" {
			t.Errorf("a refresh just after is %q, %q", status, last)
		}
		if n := w.issuer.Fetches.Load() - fetches; n != 0 {
			t.Errorf("%d more fetches", n)
		}
		fresh := issuertest.New(t)
		fresh.Handle(func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "down", http.StatusServiceUnavailable) })
		id := w.newProvider(fresh)
		if status, last := w.refresh(id); status != "ERROR_FETCHING_JWKS" || last != "" {
			t.Errorf("a provider that is down: %q, %q", status, last)
		}
		for _, uri := range []string{"http://192.0.2.1/keys", "https://169.254.169.254/latest/meta-data", "http://10.0.0.1/", w.issuer.URL + "/missing", "https://[fe80::1]/", "http://[::ffff:10.0.0.1]/"} {
			if uri == w.issuer.URL+"/missing" {
				// The server asks by itself once there is a provider.
				w.issuer.Handle(func(rw http.ResponseWriter, r *http.Request) { http.NotFound(rw, r) })
			}
			id := w.make(providersPath, map[string]any{"display_name": "x", "issuer": "https://" + strings.Repeat("x", 5) + fmt.Sprint(drawn.Add(1)) + ".example.com", "jwks_uri": uri})
			if status, _ := w.refresh(id); status != "INVALID_JWKS_URI" {
				t.Errorf("%s is %q", uri, status)
			}
			w.issuer.Handle(nil)
			w.Do(http.MethodDelete, providersPath+"/"+id, nil)
		}
		for _, body := range []any{map[string]any{}, map[string]any{"spec": map[string]any{}}, map[string]any{"spec": map[string]any{"jwks_status": "OK"}}} {
			if a := w.Do(http.MethodPatch, providersPath+"/"+w.provider+"/jwks", body); a.Status != http.StatusUnprocessableEntity {
				t.Errorf("refresh with %v: %d %s", body, a.Status, a.Raw)
			}
		}
		if a := w.Do(http.MethodPatch, providersPath+"/op-zzzzzz/jwks", map[string]any{"spec": map[string]any{"jwks_status": "REFRESHED"}}); a.Status != http.StatusNotFound ||
			a.Body["error_code"] != float64(404) || !strings.Contains(fmt.Sprint(a.Body["message"]), "Identity Provider op-zzzzzz not found or disabled") {
			t.Errorf("refresh of none: %d %s", a.Status, a.Raw)
		}
		if a := w.Do(http.MethodPost, providersPath, map[string]any{"display_name": "x", "issuer": w.issuer.URL, "jwks_uri": "https://127.0.0.1:1"}); a.Status != http.StatusConflict {
			t.Errorf("the same issuer again: %d %s", a.Status, a.Raw)
		}
	})
}

// TestKeysAreShared lets one fetch succeed, and no other: what that brought
// counts on every replica within a second.
func TestKeysAreShared(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	w := newOAuthWorld(t, weirtest.WithDatabaseURL(url))
	other := w.Replica(weirtest.WithDatabaseURL(url))
	w.issuer = issuertest.New(t)
	var once sync.Once
	w.issuer.Handle(func(rw http.ResponseWriter, r *http.Request) {
		served := false
		once.Do(func() { served = true; w.issuer.ServeKeys(rw, r) })
		if !served {
			http.Error(rw, "down", http.StatusServiceUnavailable)
		}
	})
	w.provider = w.newProvider(w.issuer)
	w.pool = w.newPool("true")
	raw := w.issuer.Token(nil)
	w.wantWithin(10*time.Second, "the keys", 1, func() weirtest.Answer { return weirtest.Answer{Status: len(w.keys(w.provider))} })
	for _, base := range []string{w.URL, other.URL} {
		w.wantSoon("the keys at "+base, http.StatusOK, func() weirtest.Answer { return w.post(base, w.form(raw)) })
	}
}

// TestSlowIssuer has an issuer that never answers: only who needs its keys
// waits, and not for long.
func TestSlowIssuer(t *testing.T) {
	t.Parallel()
	w := newOAuthWorld(t)
	w.exchange(w.issuer.Token(nil))
	good, pool := w.issuer, w.pool
	w.issuer = issuertest.New(t)
	release := make(chan struct{})
	w.issuer.Handle(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	w.provider = w.newProvider(w.issuer)
	w.pool = w.newPool("true")
	slow := w.form(w.issuer.Token(nil))
	refused := make(chan weirtest.Answer, 1)
	began := time.Now()
	go func() { refused <- w.post(w.URL, slow) }()
	for range 10 {
		w.pool = pool
		w.exchange(good.Token(nil))
		if a := w.Do(http.MethodPost, "/iam/v2/service-accounts", map[string]any{"display_name": fmt.Sprint("meanwhile ", drawn.Add(1))}); a.Status != http.StatusCreated {
			t.Errorf("a write meanwhile: %d", a.Status)
		}
	}
	select {
	case <-refused:
		t.Error("the slow issuer answered before the others did")
	default:
	}
	if a := <-refused; a.Status != http.StatusBadRequest {
		t.Errorf("a token of the slow issuer: %d %s", a.Status, a.Raw)
	}
	if waited := time.Since(began); waited > 20*time.Second {
		t.Errorf("it took %s", waited)
	}
}

// TestKeysOfLoopback are fetched by a server for this machine alone, and by
// others where the operator says so.
func TestKeysOfLoopback(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*server.Config)
		want   string
	}{
		"this machine":    {func(*server.Config) {}, "REFRESHED"},
		"behind a proxy":  {func(c *server.Config) { c.TrustedProxies = []string{"192.0.2.1/32"} }, "INVALID_JWKS_URI"},
		"another network": {func(c *server.Config) { c.OAuthNetworks = []string{"192.0.2.0/24"} }, "INVALID_JWKS_URI"},
		"a proxy, and loopback": {func(c *server.Config) {
			c.TrustedProxies, c.OAuthNetworks = []string{"192.0.2.1/32"}, []string{"127.0.0.0/8"}
		}, "REFRESHED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOAuthWorld(t, weirtest.WithConfig(c.change))
			status, _ := w.refresh(w.provider)
			if status == "OK" {
				status = "REFRESHED" // the server was quicker
			}
			if status != c.want {
				t.Errorf("the keys are %s, want %s", status, c.want)
			}
		})
	}
}

// TestProviderURLs are taken as they are sent, or refused.
func TestProviderURLs(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newOAuthWorld(t, weirtest.WithDatabaseURL(databaseURL))
		for _, url := range []string{
			"https://127.0.0.1:1/a/", "https://127.0.0.1:1//A/../b", "HTTPS://LOCALHOST:1/?q=%2f&x=<y>", "https://127.0.0.1:1/" + strings.Repeat("a", 980),
		} {
			a := w.Do(http.MethodPost, providersPath, map[string]any{"display_name": "x", "issuer": url, "jwks_uri": url})
			if a.Status != http.StatusCreated || a.Body["issuer"] != url || a.Body["jwks_uri"] != url {
				t.Errorf("%s: %d %s", url, a.Status, a.Raw)
			}
		}
		for _, url := range []string{
			"", "x", "/keys", "//127.0.0.1", "ftp://127.0.0.1", "https://", "https:///keys", "https://user:secret@127.0.0.1:1/", "https://127.0.0.1:1/#x", "https://127.0.0.1:1/ a",
			"https://127.0.0.1:1/\u00e9", "https://127.0.0.1:1/" + strings.Repeat("\u00e9", 900), "https://127.0.0.1:1/\n", "javascript:alert(1)", "https://127.0.0.1:99999999/%zz",
		} {
			for _, field := range []string{"issuer", "jwks_uri"} {
				body := map[string]any{"display_name": "x", "issuer": "https://good.example.com", "jwks_uri": "https://127.0.0.1:1/"}
				body[field] = url
				if a := w.Do(http.MethodPost, providersPath, body); a.Status != http.StatusUnprocessableEntity || !strings.Contains(string(a.Raw), "/"+field) {
					t.Errorf("%s %q: %d %s", field, url, a.Status, a.Raw)
				}
			}
		}
	})
}
