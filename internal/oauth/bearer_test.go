package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/issuer/issuertest"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

// bearer reads a token as a request with the lines of the pool header brings it.
func (w *world) bearer(t testing.TB, raw string, pools ...string) (*authn.Caller, error) {
	t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	for _, line := range pools {
		r.Header.Add(authn.PoolHeader, line)
	}
	scheme := operation.ExternalToken
	if token.UseOf(raw) == token.STS {
		scheme = operation.STSToken
	}
	return w.Readers()[scheme](t.Context(), r, raw)
}

func (w *world) elsewhere(t testing.TB) string {
	t.Helper()
	id := uuid.NewString()
	w.make(t, &engine.Object{Kind: org.Organization, Org: id, ID: id, Doc: engine.Doc{"display_name": "elsewhere"}})
	return id
}

func wantRefused(t *testing.T, what string, caller *authn.Caller, err error, says string) {
	t.Helper()
	if caller != nil || !errors.Is(err, authn.ErrToken) || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %+v, %v, want a refusal with %q", what, caller, err, says)
	}
}

// A token of an identity provider stands for the pools that the header names,
// or for all whose filter it passes.
func TestExternalTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := w.newPool(t, w.org, w.provider, `"a" in claims.groups`)
	third := w.newPool(t, w.org, w.provider, `claims.aud == "others"`)
	raw := w.issuer.Token(map[string]any{"groups": []string{"a"}, "email": "alice@example.com"})
	for header, want := range map[string][]string{
		w.pool: {w.pool}, second + "," + w.pool: {second, w.pool}, " " + second + " ,, " + second: {second}, "": {w.pool, second}, " , ": {w.pool, second},
	} {
		caller, err := w.bearer(t, raw, header)
		if err != nil || caller.Principal != want[0] || !slices.Equal(caller.Identity.Pools, want) || caller.Org != w.org || caller.Scheme != operation.ExternalToken ||
			caller.Identity.Subject != "alice" || caller.Identity.Provider != w.provider || caller.Identity.Issuer != w.issuer.URL || caller.Credential != "token-1" ||
			!slices.Equal(caller.Identity.Audience, []string{"weir"}) {
			t.Errorf("%q: %+v, %v", header, caller, err)
		}
	}
	if caller, err := w.bearer(t, raw, w.pool, second); err != nil || len(caller.Identity.Pools) != 2 {
		t.Errorf("two lines: %+v, %v", caller, err)
	}
	for header, says := range map[string]string{
		third: "does not pass the filter", w.pool + "," + third: "does not pass the filter", "pool-zzzzzz": "does not exist", w.pool + ",pool-zzzzzz": "does not exist",
		w.provider: "no ID", "pool-": "no ID", w.pool + ";" + second: "no ID", "pool-" + strings.Repeat("a", 64): "no ID", "*": "no ID", "pool-é": "no ID",
	} {
		caller, err := w.bearer(t, raw, header)
		wantRefused(t, header, caller, err, says)
	}
	caller, err := w.bearer(t, w.issuer.Token(map[string]any{"aud": "nobody"}))
	wantRefused(t, "no filter", caller, err, "no identity pool")
	var many []string
	for range 20 + 1 {
		many = append(many, w.newPool(t, w.org, w.provider, "true"))
	}
	caller, err = w.bearer(t, raw, strings.Join(many, ","))
	wantRefused(t, "many pools", caller, err, "more than")
	// All that is remembered follows changes.
	w.update(t, iam.IdentityPool, third, "filter", "true")
	if caller, err := w.bearer(t, raw, third); err != nil || caller.Principal != third {
		t.Errorf("a filter that changed: %+v, %v", caller, err)
	}
	w.update(t, iam.IdentityProvider, w.provider, "identity_claim", "claims.email")
	if caller, err := w.bearer(t, raw); err != nil || caller.Identity.Subject != "alice@example.com" || caller.Identity.Claim != "claims.email" {
		t.Errorf("the provider's claim, for several pools: %+v, %v", caller, err)
	}
	if caller, err := w.bearer(t, raw, w.pool); err != nil || caller.Identity.Subject != "alice" {
		t.Errorf("the pool's claim, for one: %+v, %v", caller, err)
	}
	w.remove(t, iam.IdentityProvider, w.provider)
	for _, header := range []string{"", w.pool} {
		caller, err := w.bearer(t, raw, header)
		wantRefused(t, "a provider that is gone", caller, err, "does not exist")
	}
}

func (w *world) update(t testing.TB, k *engine.Kind, id, field, value string) {
	t.Helper()
	w.change(t, k, id, func(ctx context.Context, tx store.Tx, o *engine.Object) error {
		o.Doc.Set(field, value)
		return w.Engine.Save(ctx, tx, o)
	})
}

func (w *world) remove(t testing.TB, k *engine.Kind, id string) {
	t.Helper()
	w.change(t, k, id, func(ctx context.Context, tx store.Tx, o *engine.Object) error { return w.Engine.Remove(ctx, tx, o) })
}

func (w *world) change(t testing.TB, k *engine.Kind, id string, do func(context.Context, store.Tx, *engine.Object) error) {
	t.Helper()
	err := w.config.Store.Update(t.Context(), func(tx store.Tx) error {
		o, err := w.Engine.Lock(t.Context(), tx, w.org, k, id)
		if err != nil {
			return err
		}
		return do(t.Context(), tx, o)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// One issuer may be known to several organizations, also to one that is not its
// own. What a token of it can do in each is up to that organization's pools.
func TestOneIssuerInTwoOrganizations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.issuer.Token(nil)
	there := w.elsewhere(t)
	// Somebody registers the issuer under keys of their own.
	fake := issuertest.New(t)
	fake.Rotate("theirs")
	w.newPool(t, there, w.newProvider(t, there, w.issuer.URL, fake.KeysURL), "true")
	fakeRaw := issuertest.Sign(t, jose.RS256, fake.Signer().Key, map[string]any{"kid": fake.Signer().KeyID}, mustJSON(t, w.issuer.Claims(nil)))
	for header, want := range map[string]string{"": w.pool, w.pool: w.pool} {
		caller, err := w.bearer(t, raw, header)
		if err != nil || caller.Principal != want || caller.Org != w.org {
			t.Errorf("%q: the real token is %+v, %v", header, caller, err)
		}
	}
	caller, err := w.bearer(t, fakeRaw, w.pool)
	wantRefused(t, "their token for our pool", caller, err, "not signed by its identity provider")
	_, err = exchange(t, w.Service, form(w.pool, fakeRaw))
	refused(t, "their token for our pool, exchanged", err)
	if caller, err := w.bearer(t, fakeRaw); err != nil || caller.Org != there {
		t.Errorf("their token by itself: %+v, %v", caller, err)
	}

	// A pool of another organization that really has the issuer decides for
	// itself, and a token that gets into both has to say which is meant.
	third := w.elsewhere(t)
	open := w.newPool(t, third, w.newProvider(t, third, w.issuer.URL, w.issuer.KeysURL), "true")
	if caller, err := w.bearer(t, raw, open); err != nil || caller.Org != third {
		t.Errorf("the pool of the other organization: %+v, %v", caller, err)
	}
	caller, err = w.bearer(t, raw)
	wantRefused(t, "two organizations", caller, err, "several organizations")
	caller, err = w.bearer(t, raw, w.pool+","+open)
	wantRefused(t, "pools of two organizations", caller, err, "does not exist")
}

// A provider of another organization that has the issuer and is slow makes no
// token wait, as long as somebody knows its key.
func TestSlowProviderElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.bearer(t, w.issuer.Token(nil)); err != nil {
		t.Fatal(err) // fetched now
	}
	slow := issuertest.New(t)
	slow.Handle(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	there := w.elsewhere(t)
	w.newPool(t, there, w.newProvider(t, there, w.issuer.URL, slow.KeysURL), "true")
	if caller, err := w.bearer(t, w.issuer.Token(nil)); err != nil || caller.Org != w.org {
		t.Errorf("%+v, %v", caller, err)
	}
	if n := slow.Fetches.Load(); n != 0 {
		t.Errorf("the slow one was asked %d times", n)
	}
}

// More pools than can be looked through are not looked through in part.
func TestTooManyPools(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range maxPools {
		w.newPool(t, w.org, w.provider, "true")
	}
	caller, err := w.bearer(t, w.issuer.Token(nil))
	wantRefused(t, "too many pools", caller, err, "too many")
	if _, err := w.bearer(t, w.issuer.Token(nil), w.pool); err != nil {
		t.Errorf("one of them: %v", err)
	}
}

// An access token is never longer than one that is read.
func TestLongIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for subject, good := range map[string]bool{strings.Repeat("a", maxSubject): true, strings.Repeat("<", maxSubject): false, strings.Repeat("a", maxSubject+1): false, "": false} {
		access, err := exchange(t, w.Service, form(w.pool, w.issuer.Token(map[string]any{"sub": subject, "jti": strings.Repeat("j", 100)})))
		if !good {
			refused(t, subject, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if caller, err := w.bearer(t, access); err != nil || caller.Identity.Subject != subject {
			t.Errorf("a long subject: %v", err)
		}
	}
}

// A pool of another provider takes no token, of whichever organization.
func TestAnotherProvidersPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := issuertest.New(t)
	pool := w.newPool(t, w.org, w.newProvider(t, w.org, other.URL, other.KeysURL), "true")
	caller, err := w.bearer(t, w.issuer.Token(nil), pool)
	wantRefused(t, "a token for another provider's pool", caller, err, "not signed by its identity provider")
	caller, err = w.bearer(t, w.issuer.Token(nil), w.pool+","+pool)
	wantRefused(t, "pools of two providers", caller, err, "does not exist")
	// Who claims to be of the other issuer is not.
	caller, err = w.bearer(t, w.issuer.Token(map[string]any{"iss": other.URL}))
	wantRefused(t, "a foreign issuer", caller, err, "not signed by its identity provider")
	_, err = exchange(t, w.Service, form(pool, w.issuer.Token(map[string]any{"iss": other.URL})))
	if refused(t, "a foreign issuer, exchanged", err) != refusedText(t, w, "pool-zzzzzz") {
		t.Error("the answer tells a pool that exists from one that does not")
	}
}

func refusedText(t *testing.T, w *world, pool string) string {
	t.Helper()
	_, err := exchange(t, w.Service, form(pool, w.issuer.Token(nil)))
	return refused(t, pool, err)
}

// A token of Weir's own is no subject token, even where an organization says
// that Weir is its identity provider.
func TestReplayedAccessToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	access, err := exchange(t, w.Service, form(w.pool, w.issuer.Token(nil)))
	if err != nil {
		t.Fatal(err)
	}
	own := issuertest.New(t)
	own.Handle(w.Documents(nil)[KeysPath].ServeHTTP)
	pool := w.newPool(t, w.org, w.newProvider(t, w.org, w.config.PublicURL, own.KeysURL), "true")
	_, err = exchange(t, w.Service, form(pool, access))
	if text := refused(t, "an access token", err); !strings.Contains(text, "issued by this server") {
		t.Errorf("it is refused with %q", text)
	}
	for _, use := range []token.Use{token.Session, token.Partner} {
		raw, _, err := w.config.SigningKeys.Issue(t.Context(), use, token.Claims{Issuer: w.config.PublicURL, Subject: w.pool, Organization: w.org}, time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = exchange(t, w.Service, form(pool, raw))
		refused(t, string(use), err)
		if caller, err := w.Readers()[operation.STSToken](t.Context(), nil, raw); caller != nil || !errors.Is(err, authn.ErrToken) {
			t.Errorf("a token for %s is an access token: %+v, %v", use, caller, err)
		}
	}
	if n := own.Fetches.Load(); n != 0 {
		t.Errorf("the server asked itself for its keys %d times", n)
	}
}

// An access token ends with its time, is remembered only until then, and names
// who stands behind it.
func TestAccessTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	access, err := exchange(t, w.Service, form(w.pool, w.issuer.Token(nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		caller, err := w.bearer(t, access, "pool-zzzzzz") // the header is for others
		if err != nil || caller.Principal != w.pool || caller.Org != w.org || caller.Scheme != operation.STSToken || caller.Credential == "" ||
			caller.Identity.Subject != "alice" || caller.Identity.Provider != w.provider || caller.Identity.Issuer != w.issuer.URL || caller.Identity.Claim != "claims.sub" {
			t.Fatalf("the caller is %+v, %v", caller, err)
		}
	}
	w.clock.Forward(maxLife*time.Second - time.Second)
	if _, err := w.bearer(t, access); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	w.clock.Forward(time.Second)
	caller, err := w.bearer(t, access)
	wantRefused(t, "at its end", caller, err, "expired")
	if w.verified.Len() != 0 {
		t.Error("an expired token is remembered")
	}
	// A token for a pool of another organization, if there were one.
	forged, _, err := w.config.SigningKeys.Issue(t.Context(), token.STS, token.Claims{Issuer: w.config.PublicURL, Subject: w.pool, Organization: uuid.NewString()}, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	caller, err = w.bearer(t, forged)
	wantRefused(t, "another organization", caller, err, "deleted or changed")
}
