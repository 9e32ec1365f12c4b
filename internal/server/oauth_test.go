package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/issuer/issuertest"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/token"
	"github.com/weirhq/weir/weirtest"
)

const providersPath = "/iam/v2/identity-providers"

// oauthWorld is a server with an identity provider and a pool.
type oauthWorld struct {
	*weirtest.Server
	t              *testing.T
	issuer         *issuertest.Issuer
	provider, pool string
}

func newOAuthWorld(t *testing.T, options ...weirtest.Option) *oauthWorld {
	t.Helper()
	w := &oauthWorld{Server: weirtest.Start(t, options...), t: t, issuer: issuertest.New(t)}
	w.provider = w.newProvider(w.issuer)
	w.pool = w.newPool(`claims.aud == "weir"`)
	return w
}

// make sends a request that makes something and returns its ID.
func (w *oauthWorld) make(path string, body map[string]any) string {
	w.t.Helper()
	a := w.Do(http.MethodPost, path, body)
	id, _ := a.Body["id"].(string)
	if a.Status != http.StatusCreated || id == "" {
		w.t.Fatalf("POST %s: %d %s", path, a.Status, a.Raw)
	}
	return id
}

func (w *oauthWorld) newProvider(i *issuertest.Issuer) string {
	w.t.Helper()
	return w.make(providersPath, map[string]any{"display_name": "login", "description": "", "issuer": i.URL, "jwks_uri": i.KeysURL})
}

func (w *oauthWorld) poolsPath() string { return providersPath + "/" + w.provider + "/identity-pools" }

func (w *oauthWorld) newPool(filter string) string {
	w.t.Helper()
	return w.make(w.poolsPath(), map[string]any{"display_name": "pool", "filter": filter})
}

func (w *oauthWorld) crn() string { return "crn://confluent.cloud/organization=" + w.OrganizationID }

func (w *oauthWorld) environmentCRN() string { return w.crn() + "/environment=" + w.EnvironmentID }

func (w *oauthWorld) environment() string { return "/org/v2/environments/" + w.EnvironmentID }

// bind gives a principal a role.
func (w *oauthWorld) bind(principal, role, pattern string) string {
	w.t.Helper()
	return w.make("/iam/v2/role-bindings", map[string]any{"principal": "User:" + principal, "role_name": role, "crn_pattern": pattern})
}

// form is a good exchange of the token.
func (w *oauthWorld) form(raw string) url.Values {
	return url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":        {raw},
		"identity_pool_id":     {w.pool},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}
}

// post sends an exchange to the server at the URL.
func (w *oauthWorld) post(base string, form url.Values) weirtest.Answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, base+"/sts/v1/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.Send(r)
}

// exchange exchanges a token that must be good.
func (w *oauthWorld) exchange(raw string) string {
	w.t.Helper()
	a := w.post(w.URL, w.form(raw))
	access, _ := a.Body["access_token"].(string)
	if a.Status != http.StatusOK || access == "" {
		w.t.Fatalf("exchange: %d %s", a.Status, a.Raw)
	}
	return access
}

// bearer sends a request with a token to the server at the URL.
func (w *oauthWorld) bearer(base, raw, method, path string, header ...string) weirtest.Answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, base+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+raw)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return w.Send(r)
}

// wantSoon waits, for a second at most, until the answer has the status.
func (w *oauthWorld) wantSoon(what string, status int, ask func() weirtest.Answer) weirtest.Answer {
	w.t.Helper()
	return w.wantWithin(time.Second, what, status, ask)
}

func (w *oauthWorld) wantWithin(limit time.Duration, what string, status int, ask func() weirtest.Answer) weirtest.Answer {
	w.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		a := ask()
		if a.Status == status {
			return a
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: %d %s after %s, want %d", what, a.Status, a.Raw, limit, status)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func detail(a weirtest.Answer) string {
	problems, _ := a.Body["errors"].([]any)
	if len(problems) == 0 {
		return ""
	}
	first, _ := problems[0].(map[string]any)
	text, _ := first["detail"].(string)
	return text
}

// TestExchange goes from a provider's token to what the pool may do.
func TestExchange(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newOAuthWorld(t, weirtest.WithDatabaseURL(databaseURL))
		a := w.post(w.URL, w.form(w.issuer.Token(nil)))
		if a.Status != http.StatusOK || a.Body["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" ||
			a.Body["token_type"] != "Bearer" || a.Body["expires_in"] != float64(900) || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("exchange: %d %s %v", a.Status, a.Raw, a.Header)
		}
		access, _ := a.Body["access_token"].(string)

		// The pool holds no role.
		if got := w.bearer(w.URL, access, http.MethodGet, w.environment()); got.Status != http.StatusNotFound {
			t.Errorf("without a role: %d %s", got.Status, got.Raw)
		}
		w.bind(w.pool, "EnvironmentAdmin", w.environmentCRN())
		w.wantSoon("with a role", http.StatusOK, func() weirtest.Answer { return w.bearer(w.URL, access, http.MethodGet, w.environment()) })
		// It may do no more than that.
		if got := w.bearer(w.URL, access, http.MethodPost, providersPath); got.Status == http.StatusCreated || got.Status == http.StatusUnauthorized {
			t.Errorf("it makes providers: %d", got.Status)
		}
		// The CLI's path and another case of the scheme work as well.
		if got := w.bearer(w.URL, access, http.MethodGet, "/api"+w.environment()); got.Status != http.StatusOK {
			t.Errorf("below /api: %d", got.Status)
		}

		for name, c := range map[string]struct {
			set  url.Values
			want string
		}{
			"no grant type":            {url.Values{"grant_type": nil}, "grant_type"},
			"another grant type":       {url.Values{"grant_type": {"client_credentials"}}, "grant_type"},
			"no token":                 {url.Values{"subject_token": nil}, "subject_token"},
			"an empty token":           {url.Values{"subject_token": {""}}, "subject_token"},
			"no pool":                  {url.Values{"identity_pool_id": nil}, "identity_pool_id"},
			"an unknown pool":          {url.Values{"identity_pool_id": {"pool-zzzzzz"}}, "does not exist"},
			"a pool that is none":      {url.Values{"identity_pool_id": {w.provider}}, "does not exist"},
			"an access token":          {url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}}, "subject_token_type"},
			"an ID token":              {url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"}}, "subject_token_type"},
			"no type":                  {url.Values{"subject_token_type": nil}, "subject_token_type"},
			"a refresh token":          {url.Values{"requested_token_type": {"urn:ietf:params:oauth:token-type:refresh_token"}}, "requested_token_type"},
			"a life of nothing":        {url.Values{"expires_in": {"0"}}, "expires_in"},
			"a life too long":          {url.Values{"expires_in": {"901"}}, "900"},
			"a life that is no time":   {url.Values{"expires_in": {"1e2"}}, "expires_in"},
			"a life before this":       {url.Values{"expires_in": {"-1"}}, "expires_in"},
			"a life of all times":      {url.Values{"expires_in": {"99999999999999999999"}}, "expires_in"},
			"a field that comes twice": {url.Values{"expires_in": {"1", "2"}}, "more than once"},
		} {
			form := w.form(w.issuer.Token(nil))
			for field, values := range c.set {
				form[field] = values
			}
			if got := w.post(w.URL, form); got.Status != http.StatusBadRequest || !strings.Contains(string(got.Raw), c.want) || got.Body["access_token"] != nil {
				t.Errorf("%s: %d %s, want a 400 with %q", name, got.Status, got.Raw, c.want)
			}
		}
		short := w.form(w.issuer.Token(nil))
		short.Set("expires_in", "60")
		if got := w.post(w.URL, short); got.Body["expires_in"] != float64(60) {
			t.Errorf("a life of a minute: %s", got.Raw)
		}
		// What is empty counts as absent where it may be.
		if got := w.post(w.URL, w.form(w.issuer.Token(map[string]any{"aud": "others"}))); got.Status != http.StatusBadRequest || !strings.Contains(detail(got), "filter") {
			t.Errorf("a token for others: %d %s", got.Status, got.Raw)
		}
		if got := w.post(w.URL, w.form(w.issuer.Token(map[string]any{"sub": nil}))); got.Status != http.StatusBadRequest || !strings.Contains(detail(got), "claims.sub") {
			t.Errorf("a token about nobody: %d %s", got.Status, got.Raw)
		}
	})
}

// TestTokensEndWithTheirPool takes away, one after the other, what a token rests
// on. It ends at once here, and within a second elsewhere.
func TestTokensEndWithTheirPool(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	w := newOAuthWorld(t, weirtest.WithDatabaseURL(url))
	w.SetLimit("iam.max_identity_providers.per_organization", 10)
	other := w.Replica(weirtest.WithDatabaseURL(url))
	for name, change := range map[string]func(){
		"the pool is deleted": func() { w.Do(http.MethodDelete, w.poolsPath()+"/"+w.pool, nil) },
		"its filter changes":  func() { w.Do(http.MethodPatch, w.poolsPath()+"/"+w.pool, map[string]any{"filter": "true"}) },
		"its claim changes": func() {
			w.Do(http.MethodPatch, w.poolsPath()+"/"+w.pool, map[string]any{"identity_claim": "claims.aud"})
		},
		"the issuer changes": func() {
			w.Do(http.MethodPatch, providersPath+"/"+w.provider, map[string]any{"issuer": "https://other.example.com"})
		},
		"the keys move": func() {
			w.Do(http.MethodPatch, providersPath+"/"+w.provider, map[string]any{"jwks_uri": w.issuer.KeysURL + "/2"})
		},
		"the provider is deleted": func() {
			if a := w.Do(http.MethodDelete, providersPath+"/"+w.provider, nil); a.Status != http.StatusNoContent {
				t.Errorf("delete the provider: %d %s", a.Status, a.Raw)
			}
		},
	} {
		w.issuer = issuertest.New(t)
		w.provider = w.newProvider(w.issuer)
		w.pool = w.newPool("true")
		if strings.HasPrefix(name, "its filter") {
			w.Do(http.MethodPatch, w.poolsPath()+"/"+w.pool, map[string]any{"filter": `claims.aud == "weir"`})
		}
		w.bind(w.pool, "EnvironmentAdmin", w.environmentCRN())
		access := w.exchange(w.issuer.Token(nil))
		for _, base := range []string{w.URL, other.URL} {
			w.wantSoon("before "+name, http.StatusOK, func() weirtest.Answer { return w.bearer(base, access, http.MethodGet, w.environment()) })
		}
		// What does not decide who gets in does not end tokens.
		w.Do(http.MethodPatch, w.poolsPath()+"/"+w.pool, map[string]any{"display_name": "renamed"})
		if a := w.bearer(w.URL, access, http.MethodGet, w.environment()); a.Status != http.StatusOK {
			t.Errorf("a new name ends tokens: %d %s", a.Status, a.Raw)
		}
		change()
		if a := w.bearer(w.URL, access, http.MethodGet, w.environment()); a.Status != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s: %d %s", name, a.Status, a.Raw)
		}
		w.wantSoon(name+", on the other replica", http.StatusUnauthorized, func() weirtest.Answer { return w.bearer(other.URL, access, http.MethodGet, w.environment()) })
	}
}

// TestAuditNamesTheIdentity makes requests with both kinds of tokens: the pool is the
// principal, and the event says who of its provider it was.
func TestAuditNamesTheIdentity(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	w := newOAuthWorld(t, weirtest.WithDatabaseURL(url))
	e := besideServer(t, url, t.TempDir(), w.URL)
	w.bind(w.pool, "OrganizationAdmin", w.crn())
	raw := w.issuer.Token(nil)
	access := w.exchange(raw)
	a := w.bearer(w.URL, access, http.MethodGet, w.environment())
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	events, _ := auditTrail(t, e.Store, w.URL, 0)
	last := events[len(events)-1]
	if kind, id := last.Data.Principal(); kind != "identityPool" || id != w.pool {
		t.Errorf("the principal is %s %s", kind, id)
	}
	for _, part := range []string{`"issuer":"` + w.issuer.URL, `"identity":"` + w.crn() + "/identity-provider=" + w.provider + "/identity="} {
		if !strings.Contains(string(last.Raw), part) {
			t.Errorf("without %s: %s", part, last.Raw)
		}
	}
}

// TestBindingsOfPools grants to and on pools.
func TestBindingsOfPools(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newOAuthWorld(t, weirtest.WithDatabaseURL(databaseURL))
		own := w.crn() + "/identity-provider=" + w.provider + "/identity-pool=" + w.pool
		if got, _ := w.Do(http.MethodGet, w.poolsPath()+"/"+w.pool, nil).Body["metadata"].(map[string]any)["resource_name"].(string); got != own {
			t.Errorf("the name is %s, want %s", got, own)
		}
		granted := w.bind(w.pool, "EnvironmentAdmin", w.environmentCRN())
		owner := w.newPool("true")
		owned := w.bind(owner, "ResourceOwner", own)
		if a := w.Do(http.MethodPost, "/iam/v2/role-bindings", map[string]any{
			"principal": "User:" + owner, "role_name": "ResourceOwner", "crn_pattern": w.crn() + "/identity-pool=" + w.pool,
		}); a.Status != http.StatusBadRequest || !strings.Contains(detail(a), "does not exist under that resource name") {
			t.Errorf("the name without the provider: %d %s", a.Status, a.Raw)
		}

		// Who administers accounts may change pools, but not let anybody into one
		// that holds what they could not grant.
		account, key, secret := w.serviceAccount("AccountAdmin", w.crn())
		admin := w.As(key, secret)
		if a := admin.Do(http.MethodPatch, w.poolsPath()+"/"+w.pool, map[string]any{"filter": "true"}); a.Status != http.StatusForbidden {
			t.Errorf("an AccountAdmin opens a pool with a role: %d %s", a.Status, a.Raw)
		}
		if a := admin.Do(http.MethodPatch, w.poolsPath()+"/"+w.pool, map[string]any{"display_name": "renamed"}); a.Status != http.StatusOK {
			t.Errorf("an AccountAdmin renames it: %d %s", a.Status, a.Raw)
		}
		// The owner of the pool holds what that holds, so that its filter is as good.
		if a := admin.Do(http.MethodPatch, w.poolsPath()+"/"+owner, map[string]any{"filter": `claims.a == "b"`}); a.Status != http.StatusForbidden {
			t.Errorf("an AccountAdmin opens the owner: %d %s", a.Status, a.Raw)
		}
		empty := w.newPool(`claims.a == "b"`)
		if a := admin.Do(http.MethodPatch, w.poolsPath()+"/"+empty, map[string]any{"filter": "true"}); a.Status != http.StatusOK {
			t.Errorf("an AccountAdmin opens a pool without roles: %d %s", a.Status, a.Raw)
		}
		for method, path := range map[string]string{http.MethodPost: providersPath, http.MethodPatch: providersPath + "/" + w.provider} {
			if a := admin.Do(method, path, map[string]any{"display_name": "x", "issuer": "https://x.example", "jwks_uri": "https://127.0.0.1:1"}); a.Status != http.StatusForbidden {
				t.Errorf("an AccountAdmin changes providers: %d %s", a.Status, a.Raw)
			}
		}

		// A new pool gets an owner who may then change it, and nothing else.
		a := w.Do(http.MethodPost, w.poolsPath()+"?assigned_resource_owner="+account, map[string]any{"display_name": "theirs", "filter": "true"})
		if a.Status != http.StatusCreated {
			t.Fatalf("a pool with an owner: %d %s", a.Status, a.Raw)
		}
		w.Do(http.MethodDelete, "/iam/v2/role-bindings/"+owned, nil)

		// The bindings of a pool go with it.
		w.Do(http.MethodDelete, w.poolsPath()+"/"+w.pool, nil)
		if a := w.Do(http.MethodGet, "/iam/v2/role-bindings/"+granted, nil); a.Status != http.StatusForbidden {
			t.Errorf("the binding is still there: %d %s", a.Status, a.Raw)
		}
	})
}

// serviceAccount makes one with a role and a key.
func (w *oauthWorld) serviceAccount(role, pattern string) (id, key, secret string) {
	w.t.Helper()
	id = w.make("/iam/v2/service-accounts", map[string]any{"display_name": "account with " + role})
	w.bind(id, role, pattern)
	a := w.Do(http.MethodPost, "/iam/v2/api-keys", map[string]any{"spec": map[string]any{"owner": map[string]any{"id": id}}})
	key, _ = a.Body["id"].(string)
	spec, _ := a.Body["spec"].(map[string]any)
	secret, _ = spec["secret"].(string)
	if secret == "" {
		w.t.Fatalf("make a key: %d %s", a.Status, a.Raw)
	}
	return id, key, secret
}

// TestPublishedDocuments reads what others check Weir's tokens with.
func TestPublishedDocuments(t *testing.T) {
	t.Parallel()
	w := newOAuthWorld(t)
	configuration := w.As("", "").Do(http.MethodGet, "/.well-known/openid-configuration", nil)
	keys := w.As("", "").Do(http.MethodGet, "/.well-known/jwks.json", nil)
	if configuration.Status != http.StatusOK || configuration.Body["issuer"] != w.URL || configuration.Body["jwks_uri"] != w.URL+"/.well-known/jwks.json" ||
		configuration.Body["token_endpoint"] != w.URL+"/sts/v1/oauth2/token" {
		t.Errorf("the configuration is %d %s", configuration.Status, configuration.Raw)
	}
	access := w.exchange(w.issuer.Token(nil))
	if token.UseOf(access) != token.STS {
		t.Error("the token is of another use")
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(keys.Raw, &set); err != nil || len(set.Keys) < 2 || strings.Contains(string(keys.Raw), `"d"`) {
		t.Errorf("the keys are %s, %v", keys.Raw, err)
	}
	if a := w.As("", "").Do(http.MethodPost, "/.well-known/jwks.json", nil); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("POST of the keys: %d", a.Status)
	}
}
