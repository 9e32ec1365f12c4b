package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/issuer/issuertest"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

// whoCalls is a made-up operation that tells who calls. Its row of the table
// lists external-access-token, as no operation does yet that is built.
var whoCalls = &engine.Call{
	Operation: "getAllTagDefs", Description: "Made up.", Asks: &engine.Permission{Operation: "Describe", Resource: "Organization"},
	Do: func(_ context.Context, c *engine.Calling) (*engine.Answer, error) {
		body, err := json.Marshal(map[string]any{"principal": c.Caller.Principal, "scheme": c.Caller.Scheme, "identity": c.Caller.Identity})
		return &engine.Answer{Status: c.Success, Body: body}, err
	},
}

// withWhoCalls serves whoCalls on the world's database, and returns the URL.
func withWhoCalls(t *testing.T, databaseURL, dir string) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s, err := server.Open(ctx, server.Config{
		CacheSize: 32, Listen: "127.0.0.1:0", DataDir: dir, DatabaseURL: databaseURL, RateLimitPrincipal: 1_000_000, RateLimitAddress: 1_000_000,
	}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		stop()
		t.Fatal(err)
	}
	if err := s.UseCalls(whoCalls); err != nil {
		stop()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s.URL
}

// TestExternalTokenAsBearer sends a provider's own token to an operation that
// takes it, with the pools that it is for.
func TestExternalTokenAsBearer(t *testing.T) {
	t.Parallel()
	op, _ := operation.ByID(whoCalls.Operation)
	onEachStore(t, func(t *testing.T, databaseURL string) {
		dir := t.TempDir()
		w := newOAuthWorld(t, weirtest.WithDatabaseURL(databaseURL), weirtest.WithDataDir(dir))
		second := w.newPool(`"a" in claims.groups`)
		w.bind(second, "MetricsViewer", w.crn())
		url := withWhoCalls(t, databaseURL, dir)
		raw := w.issuer.Token(map[string]any{"groups": []string{"a"}})
		ask := func(header ...string) func() weirtest.Answer {
			return func() weirtest.Answer { return w.bearer(url, raw, op.Method, op.Path, header...) }
		}
		const header = "Confluent-Identity-Pool-Id"
		for _, c := range []struct {
			header []string
			want   string
		}{
			{[]string{header, second}, second},
			{[]string{strings.ToLower(header), w.pool + "," + second}, w.pool},
			{nil, w.pool}, // all whose filter lets it in, of which one has the role
		} {
			a := w.wantSoon(fmt.Sprint(c.header), http.StatusOK, ask(c.header...))
			who, _ := a.Body["identity"].(map[string]any)
			if a.Body["principal"] != c.want || a.Body["scheme"] != operation.ExternalToken || who["subject"] != "alice" || who["provider"] != w.provider {
				t.Errorf("%v: %s", c.header, a.Raw)
			}
		}
		// The pool that holds no role may not.
		if a := ask(header, w.pool)(); a.Status != http.StatusForbidden {
			t.Errorf("without a role: %d %s", a.Status, a.Raw)
		}
		// Other credentials are not for this operation, nor this one for others.
		access := w.exchange(raw)
		for what, a := range map[string]weirtest.Answer{
			"an exchanged token here":         w.bearer(url, access, op.Method, op.Path),
			"the provider's token elsewhere":  w.bearer(url, raw, http.MethodGet, w.environment(), header, second),
			"and where nothing is made up":    w.bearer(w.URL, raw, http.MethodGet, providersPath),
			"another issuer's token":          w.bearer(url, issuertest.New(t).Token(nil), op.Method, op.Path),
			"a token that is none":            w.bearer(url, "a.b.c", op.Method, op.Path),
			"a pool that is not there":        w.bearer(url, raw, op.Method, op.Path, header, "pool-zzzzzz"),
			"no pool's ID":                    w.bearer(url, raw, op.Method, op.Path, header, "nonsense"),
			"an expired token":                w.bearer(url, w.issuer.Token(map[string]any{"exp": time.Now().Unix() - 1}), op.Method, op.Path),
			"an exchanged token, cut":         w.bearer(w.URL, access[:len(access)-4], http.MethodGet, w.environment()),
			"an exchanged token, twice":       w.bearer(w.URL, access+" "+access, http.MethodGet, w.environment()),
			"an oversized token":              w.bearer(w.URL, access+strings.Repeat("A", 9000), http.MethodGet, w.environment()),
			"a token with another's payload":  w.bearer(w.URL, spliced(access, w.issuer.Token(nil)), http.MethodGet, w.environment()),
			"a header of unsigned algorithms": w.bearer(w.URL, "eyJhbGciOiJub25lIiwidHlwIjoid2Vpci1zdHMrand0In0."+strings.Split(access, ".")[1]+".", http.MethodGet, w.environment()),
		} {
			if a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" || strings.Contains(string(a.Raw), raw[:30]) {
				t.Errorf("%s: %d %s %v", what, a.Status, a.Raw, a.Header)
			}
		}
		// A key is no bearer token.
		if a := w.bearer(w.URL, w.APIKey+":"+w.APISecret, http.MethodGet, w.environment()); a.Status != http.StatusUnauthorized {
			t.Errorf("a key as a token: %d", a.Status)
		}
	})
}

// spliced is the first token with what the second says.
func spliced(first, second string) string {
	a, b := strings.Split(first, "."), strings.Split(second, ".")
	return a[0] + "." + b[1] + "." + a[2]
}

// TestForeignPools exchanges across the wall: a pool of another organization
// takes no token of this one's provider, and answers as one that never was.
func TestForeignPools(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, world := start(t, databaseURL)
		w := &oauthWorld{Server: s, t: t, issuer: issuertest.New(t)}
		w.provider = w.newProvider(w.issuer)
		w.pool = w.newPool("true")
		other := world.Client(world.Other)
		foreign := create(t, other, providersPath, map[string]any{"display_name": "theirs", "issuer": w.issuer.URL, "jwks_uri": issuertest.New(t).KeysURL})
		pool := create(t, other, providersPath+"/"+foreign+"/identity-pools", map[string]any{"display_name": "theirs", "filter": "true"})
		said := map[string]string{}
		for _, id := range []string{pool, "pool-zzzzzz"} {
			form := w.form(w.issuer.Token(nil))
			form.Set("identity_pool_id", id)
			a := w.post(w.URL, form)
			if a.Status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", id, a.Status, a.Raw)
			}
			said[detail(a)] = id
		}
		if len(said) != 1 {
			t.Errorf("the answers differ: %v", said)
		}
		w.exchange(w.issuer.Token(nil))
	})
}

// TestExchangesAndTheLimit sends more exchanges than an address may send
// guesses: good ones count for the pool, bad ones for the address.
func TestExchangesAndTheLimit(t *testing.T) {
	t.Parallel()
	w := newOAuthWorld(t, weirtest.WithRateLimits(1_000_000, 1)) // 10 guesses at once
	good, bad := w.form(w.issuer.Token(nil)), w.form(w.issuer.Token(map[string]any{"aud": "others"}))
	w.exchange(good.Get("subject_token"))
	for range 30 {
		if a := w.post(w.URL, good); a.Status != http.StatusOK || a.Header.Get("X-RateLimit-Limit") == "" {
			t.Fatalf("a good exchange: %d %s", a.Status, a.Raw)
		}
	}
	for i := range 30 {
		a := w.post(w.URL, bad)
		if a.Status == http.StatusTooManyRequests {
			if i < 5 || a.Header.Get("Retry-After") == "" {
				t.Errorf("refused after %d guesses: %v", i, a.Header)
			}
			// Who holds a good token is still let in.
			w.exchange(good.Get("subject_token"))
			return
		}
		if a.Status != http.StatusBadRequest {
			t.Fatalf("a bad exchange: %d %s", a.Status, a.Raw)
		}
	}
	t.Error("nobody stops who guesses")
}
