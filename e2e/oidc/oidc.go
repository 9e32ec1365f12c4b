// Package oidc runs a real OpenID Connect provider beside a test, on loopback:
// the one of github.com/zitadel/oidc with the storage and the login form of its
// example.
package oidc

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The client that may take tokens for itself (client_credentials). Its tokens
// name it as sub and as aud.
const (
	ClientID     = "sid1"
	ClientSecret = "verysecret"
)

// Provider is such a provider, until its test ends.
type Provider struct {
	// Issuer is its name, KeysURL where its keys are, TokenURL where clients take
	// tokens.
	Issuer, KeysURL, TokenURL string

	t       testing.TB
	clients *loginClient
}

// loginClient is the client that people sign in to, once there is one.
type loginClient struct {
	mu sync.Mutex
	op.Client
}

func (c *loginClient) set(client op.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Client = client
}

func (c *loginClient) get() op.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Client
}

// Start starts a provider.
func Start(t testing.TB) *Provider {
	t.Helper()
	var handler http.Handler
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	p := &Provider{Issuer: s.URL, t: t, clients: &loginClient{}}
	handler = exampleop.SetupServer(s.URL, clientStorage{storage.NewStorage(storage.NewUserStore(s.URL)), p.clients}, nil, false)
	var found struct {
		Issuer   string `json:"issuer"`
		KeysURL  string `json:"jwks_uri"`
		TokenURL string `json:"token_endpoint"`
	}
	p.get(s.URL+"/.well-known/openid-configuration", &found)
	if found.Issuer != s.URL || found.KeysURL == "" || found.TokenURL == "" {
		t.Fatalf("the provider says of itself %+v", found)
	}
	p.KeysURL, p.TokenURL = found.KeysURL, found.TokenURL
	return p
}

func (p *Provider) get(from string, into any) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, from, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.do(r, into)
}

func (p *Provider) do(r *http.Request, into any) {
	p.t.Helper()
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	if err := json.NewDecoder(a.Body).Decode(into); err != nil || a.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s: %s, %v", r.Method, r.URL, a.Status, err)
	}
}

// Token takes a token as the client does.
func (p *Provider) Token() string {
	p.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {ClientID}, "client_secret": {ClientSecret}, "scope": {"openid"}}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var got struct {
		AccessToken string `json:"access_token"`
	}
	p.do(r, &got)
	if strings.Count(got.AccessToken, ".") != 2 {
		p.t.Fatalf("the provider gives out %d characters that are no JSON Web Token", len(got.AccessToken))
	}
	return got.AccessToken
}

// clientStorage is the example's storage with clients whose access tokens are
// JSON Web Tokens; by default they are opaque.
type clientStorage struct {
	*storage.Storage
	logins *loginClient
}

func (s clientStorage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	c, err := s.Storage.ClientCredentials(ctx, id, secret)
	if err != nil {
		return nil, err
	}
	return jwtClient{c}, nil
}

type jwtClient struct{ op.Client }

func (jwtClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
