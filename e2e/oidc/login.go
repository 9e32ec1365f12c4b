package oidc

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The client that people sign in to, and one of the people.
const (
	LoginClientID     = "weir"
	LoginClientSecret = "a secret of Weir's"

	Password = "verysecure"
	Email    = "test-user@zitadel.ch"
	// Group is the one that everybody is in.
	Group = "engineering"
)

// Username is what the person signs in with here.
func (p *Provider) Username() string {
	u, err := url.Parse(p.Issuer)
	if err != nil {
		p.t.Fatal(err)
	}
	return "test-user@" + u.Hostname()
}

// LoginTo lets people sign in to LoginClientID, and sends them back to the URL.
func (p *Provider) LoginTo(redirectURL string) {
	p.clients.set(storage.WebClient(LoginClientID, LoginClientSecret, redirectURL))
}

// form finds the field of the login form that says what it is about.
var form = regexp.MustCompile(`name="id" value="([^"]+)"`)

// SignIn opens the page, which must lead to the provider, signs the person in there,
// and returns the page that this leads to, with its status.
func (p *Provider) SignIn(start string) (status int, body string) {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	send := func(method, to string, values url.Values) (*http.Response, string) {
		p.t.Helper()
		r, err := http.NewRequestWithContext(p.t.Context(), method, to, strings.NewReader(values.Encode()))
		if err != nil {
			p.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		a, err := browser.Do(r)
		if err != nil {
			p.t.Fatal(err)
		}
		defer func() { _ = a.Body.Close() }()
		body, err := io.ReadAll(a.Body)
		if err != nil {
			p.t.Fatal(err)
		}
		return a, string(body)
	}
	a, body := send(http.MethodGet, start, nil)
	found := form.FindStringSubmatch(body)
	if found == nil || !strings.HasPrefix(a.Request.URL.String(), p.Issuer) {
		p.t.Fatalf("%s leads to %s: %d %s", start, a.Request.URL, a.StatusCode, body)
	}
	a, body = send(http.MethodPost, p.Issuer+"/login/username", url.Values{"id": {found[1]}, "username": {p.Username()}, "password": {Password}})
	return a.StatusCode, body
}

func (s clientStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	if c := s.logins.get(); c != nil && id == LoginClientID {
		return c, nil
	}
	return s.Storage.GetClientByClientID(ctx, id)
}

func (s clientStorage) AuthorizeClientIDSecret(ctx context.Context, id, secret string) error {
	if id == LoginClientID {
		if secret != LoginClientSecret {
			return oidc.ErrInvalidClient()
		}
		return nil
	}
	return s.Storage.AuthorizeClientIDSecret(ctx, id, secret)
}

// SetUserinfoFromToken says what the UserInfo endpoint tells: here that everybody is in
// the group.
func (s clientStorage) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, tokenID, subject, origin string) error {
	if err := s.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin); err != nil {
		return err
	}
	info.AppendClaims("groups", []string{Group})
	return nil
}
