package server_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/issuer/issuertest"
	"github.com/weirhq/weir/internal/sso"
	"github.com/weirhq/weir/weirtest"
)

const (
	ssoClient = "weir-client"
	ssoSecret = "a secret & of the client"
)

// loginProvider is an OpenID Connect provider that signs in whom the test says. It
// asks for PKCE and the client's secret, and takes each code once.
type loginProvider struct {
	*issuertest.Issuer
	t *testing.T

	mu    sync.Mutex
	codes map[string]issued
	// userinfo is what it tells of everybody there, or nil for no such endpoint.
	userinfo map[string]any
	// raw, where set, is the ID token that it gives out in place of a good one.
	raw func(claims map[string]any) string
	// answer, where it has the path, answers in place of the provider.
	answer map[string]http.HandlerFunc
	// configuration is what it says of itself beside the usual.
	configuration map[string]any
}

// issued is what belongs to a code.
type issued struct {
	challenge, redirect string
	claims              map[string]any
}

func newLoginProvider(t *testing.T) *loginProvider {
	t.Helper()
	p := &loginProvider{Issuer: issuertest.New(t), t: t, codes: map[string]issued{}, answer: map[string]http.HandlerFunc{}}
	p.Handle(p.serve)
	return p
}

func (p *loginProvider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer := p.answer[r.URL.Path]; answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		c := map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		}
		if p.userinfo != nil {
			c["userinfo_endpoint"] = p.URL + "/userinfo"
		}
		maps.Copy(c, p.configuration)
		_ = json.NewEncoder(w).Encode(c)
	case "/keys":
		p.ServeKeys(w, r)
	case "/userinfo":
		_ = json.NewEncoder(w).Encode(p.userinfo)
	case "/token":
		p.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (p *loginProvider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	code := r.PostFormValue("code")
	is, ok := p.codes[code]
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if id != ssoClient || secret != url.QueryEscape(ssoSecret) || !ok || r.PostFormValue("redirect_uri") != is.redirect ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != is.challenge {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"<script>alert(1)</script>"}`)
		return
	}
	delete(p.codes, code)
	raw := ""
	if p.raw != nil {
		raw = p.raw(p.Claims(is.claims))
	} else {
		raw = p.Token(is.claims)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": raw})
}

// signsIn is the provider's part of a sign-in: it answers the request for a code by
// somebody with the claims.
func (p *loginProvider) signsIn(request *url.URL, claims map[string]any) string {
	q := request.Query()
	all := map[string]any{"aud": ssoClient, "nonce": q.Get("nonce"), "email": "alice@example.com", "groups": []string{"engineering"}}
	maps.Copy(all, claims)
	code := rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = issued{q.Get("code_challenge"), q.Get("redirect_uri"), all}
	return code
}

// set changes the provider.
func (p *loginProvider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// ssoWorld is a server whose organization has a connection.
type ssoWorld struct {
	*weirtest.Server
	*enginetest.World
	t *testing.T
	p *loginProvider
}

func newSSOWorld(t *testing.T, databaseURL string, options ...weirtest.Option) *ssoWorld {
	t.Helper()
	w := &ssoWorld{t: t, p: newLoginProvider(t)}
	w.Server, w.World = start(t, databaseURL, options...)
	w.connect(w.OrganizationID, w.p)
	return w
}

func (w *ssoWorld) connect(organization string, p *loginProvider) {
	w.t.Helper()
	_, err := sso.Set(w.t.Context(), w.Engine, organization, sso.Settings{Issuer: p.URL, ClientID: ssoClient, ClientSecret: ssoSecret})
	if err != nil {
		w.t.Fatal(err)
	}
}

// browser keeps cookies, as one does, and lets the test follow redirects.
type browser struct {
	*http.Client
	t *testing.T
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{&http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, t}
}

// shown is a page.
type shown struct {
	status int
	header http.Header
	body   string
}

func (b *browser) get(to string) shown {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, to, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	body, err := io.ReadAll(a.Body)
	_ = a.Body.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	return shown{a.StatusCode, a.Header, string(body)}
}

// begins opens the page of an organization and returns where it leads.
func (w *ssoWorld) begins(b *browser, organization string) *url.URL {
	w.t.Helper()
	a := b.get(w.Server.URL + iam.SSOPath + organization)
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusSeeOther {
		w.t.Fatalf("begin: %d %v %s", a.status, err, a.body)
	}
	return to
}

// ends opens the page that the provider sends the browser back to.
func (w *ssoWorld) ends(b *browser, request *url.URL, query url.Values) shown {
	w.t.Helper()
	return b.get(request.Query().Get("redirect_uri") + "?" + query.Encode())
}

// signIn is a whole sign-in of somebody with the claims.
func (w *ssoWorld) signIn(claims map[string]any) shown {
	w.t.Helper()
	b := newBrowser(w.t)
	request := w.begins(b, w.OrganizationID)
	return w.ends(b, request, url.Values{"code": {w.p.signsIn(request, claims)}, "state": {request.Query().Get("state")}})
}

var (
	shownToken = regexp.MustCompile(`<pre id="token">([^<]+)</pre>`)
	shownCode  = regexp.MustCompile(`<pre id="code">([^<]+)</pre>`)
)

// session reads the token and the code on a page, which must be there.
func (w *ssoWorld) session(a shown) (token, code string) {
	w.t.Helper()
	t, c := shownToken.FindStringSubmatch(a.body), shownCode.FindStringSubmatch(a.body)
	if a.status != http.StatusOK || t == nil || c == nil {
		w.t.Fatalf("no session: %d %s", a.status, a.body)
	}
	return html.UnescapeString(t[1]), html.UnescapeString(c[1])
}

// refusesWith checks that a page has no session, and the text.
func refusesWith(t *testing.T, what string, a shown, status int, text string) {
	t.Helper()
	if a.status != status || !strings.Contains(a.body, text) || shownToken.MatchString(a.body) {
		t.Errorf("%s: %d %s, want %d with %q", what, a.status, a.body, status, text)
	}
}

// within polls, for two seconds at most.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within two seconds", what)
		}
	}
}

func (w *ssoWorld) make(path string, body map[string]any) string {
	w.t.Helper()
	a := w.Do(http.MethodPost, path, body)
	id, _ := a.Body["id"].(string)
	if a.Status != http.StatusCreated {
		w.t.Fatalf("POST %s: %d %s", path, a.Status, a.Raw)
	}
	return id
}

// user returns the user with the address, or nil.
func (w *ssoWorld) user(email string) map[string]any {
	w.t.Helper()
	list, _ := w.Do(http.MethodGet, "/iam/v2/users?page_size=100", nil).Body["data"].([]any)
	for _, e := range list {
		if u, _ := e.(map[string]any); u["email"] == email {
			return u
		}
	}
	return nil
}

// TestSSO is the way of somebody who comes for the first time.
func TestSSO(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newSSOWorld(t, databaseURL)
		// One that the mapping for everybody has no roles in.
		made := w.make("/org/v2/environments", map[string]any{"display_name": "made later"})
		environment := "/org/v2/environments/" + made
		mapping := w.make("/iam/v2/sso/group-mappings", map[string]any{"display_name": "engineers", "filter": `"engineering" in groups`})
		w.make("/iam/v2/role-bindings", map[string]any{
			"principal": "User:" + mapping, "role_name": "EnvironmentAdmin",
			"crn_pattern": "crn://confluent.cloud/organization=" + w.OrganizationID + "/environment=" + made,
		})

		b := newBrowser(t)
		request := w.begins(b, w.OrganizationID)
		q := request.Query()
		if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("nonce")) != 43 || len(q.Get("state")) != 43 ||
			q.Get("response_type") != "code" || q.Get("scope") != "openid profile email" || q.Get("client_id") != ssoClient ||
			q.Get("redirect_uri") != w.Server.URL+"/login/sso/"+w.OrganizationID+"/callback" {
			t.Errorf("it asks for %v", q)
		}
		a := w.ends(b, request, url.Values{"code": {w.p.signsIn(request, map[string]any{"name": "Alice  Liddell"})}, "state": {q.Get("state")}})
		raw, code := w.session(a)
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}

		// An account without roles of its own, and for as long as the session lives
		// what the mapping gives.
		alice := w.user("alice@example.com")
		if alice == nil || alice["auth_type"] != iam.AuthTypeSSO || alice["full_name"] != "Alice Liddell" {
			t.Fatalf("the account is %v", alice)
		}
		id := fmt.Sprint(alice["id"])
		in := w.WithToken(raw)
		if got := in.Do(http.MethodGet, environment, nil); got.Status != http.StatusOK {
			t.Errorf("in the session: %d %s", got.Status, got.Raw)
		}
		key := in.Do(http.MethodPost, "/iam/v2/api-keys", map[string]any{"spec": map[string]any{"owner": map[string]any{"id": id}}})
		if key.Status != http.StatusAccepted {
			t.Fatalf("a key: %d %s", key.Status, key.Raw)
		}
		spec, _ := key.Body["spec"].(map[string]any)
		if got := w.As(fmt.Sprint(key.Body["id"]), fmt.Sprint(spec["secret"])).Do(http.MethodGet, environment, nil); got.Status != http.StatusNotFound {
			t.Errorf("by the user's key: %d %s", got.Status, got.Raw)
		}

		// The CLI takes the code for a password, once, for the address that it is of.
		anybody := w.As("", "")
		v1Failure(t, anybody.Do(http.MethodPost, "/api/sessions", map[string]any{"email": w.Email, "password": code}), http.StatusUnauthorized)
		v1Failure(t, anybody.Do(http.MethodPost, "/api/sessions", map[string]any{"email": "alice@example.com", "password": code, "orgResourceId": w.Other.Organization}), http.StatusUnauthorized)
		cli := anybody.Do(http.MethodPost, "/api/sessions", map[string]any{"email": "Alice@example.com", "password": code, "orgResourceId": w.OrganizationID})
		cliToken, _ := cli.Body["token"].(string)
		if got := w.WithToken(cliToken).Do(http.MethodGet, environment, nil); cli.Status != http.StatusOK || got.Status != http.StatusOK {
			t.Fatalf("with the CLI: %d %s, then %d %s", cli.Status, cli.Raw, got.Status, got.Raw)
		}
		again := anybody.Do(http.MethodPost, "/api/sessions", map[string]any{"refreshToken": cli.Body["refresh_token"]})
		renewed, _ := again.Body["token"].(string)
		if got := w.WithToken(renewed).Do(http.MethodGet, environment, nil); got.Status != http.StatusOK {
			t.Errorf("after a refresh: %d %s", got.Status, got.Raw)
		}

		// Changes of the mapping count for sessions that there are.
		filter := func(text string, status int) {
			t.Helper()
			if a := w.Do(http.MethodPatch, "/iam/v2/sso/group-mappings/"+mapping, map[string]any{"filter": text}); a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Raw)
			}
			within(t, text, func() bool { return in.Do(http.MethodGet, environment, nil).Status == status })
		}
		filter(`"operations" in groups`, http.StatusNotFound)
		filter(`engineering`, http.StatusOK)
		filter(`!("engineering" in groups)`, http.StatusNotFound)
		filter(`true`, http.StatusOK)

		// Who is in no group has a session, too; the second sign-in makes no account.
		none, _ := w.session(w.signIn(map[string]any{"groups": nil}))
		filter(`"engineering" in groups`, http.StatusOK)
		if got := w.WithToken(none).Do(http.MethodGet, environment, nil); got.Status != http.StatusNotFound {
			t.Errorf("in no group: %d %s", got.Status, got.Raw)
		}
		if got := w.user("alice@example.com"); got["id"] != id {
			t.Errorf("another account: %v", got)
		}

		// Sessions end with a sign-out, and all of them with the connection.
		if a := in.Do(http.MethodDelete, "/api/sessions", map[string]any{"idToken": raw}); a.Status != http.StatusOK {
			t.Errorf("sign out: %d %s", a.Status, a.Raw)
		}
		gone := func(token string) func() bool {
			return func() bool {
				return w.WithToken(token).Do(http.MethodGet, environment, nil).Status == http.StatusUnauthorized
			}
		}
		within(t, "sign out", gone(raw))
		if gone(none)() {
			t.Error("the other session has ended")
		}
		if err := sso.Remove(t.Context(), w.Engine, w.OrganizationID); err != nil {
			t.Fatal(err)
		}
		within(t, "without the connection", gone(none))
		refusesWith(t, "without the connection", newBrowser(t).get(w.Server.URL+iam.SSOPath+w.OrganizationID), http.StatusNotFound, "no single sign-on")
	})
}

// The connection brings a mapping for everybody, once; another provider is another
// connection, a changed secret is not.
func TestSSOConnections(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newSSOWorld(t, databaseURL)
		mappings := w.Do(http.MethodGet, "/iam/v2/sso/group-mappings", nil)
		list, _ := mappings.Body["data"].([]any)
		if len(list) != 1 {
			t.Fatalf("the mappings are %s", mappings.Raw)
		}
		everybody, _ := list[0].(map[string]any)
		if everybody["display_name"] != "all-sso-users" || everybody["filter"] != "true" {
			t.Errorf("the mapping is %v", everybody)
		}
		bindings := w.Do(http.MethodGet, "/iam/v2/role-bindings?principal=User:"+fmt.Sprint(everybody["id"])+"&crn_pattern="+
			url.QueryEscape("crn://confluent.cloud/organization="+w.OrganizationID+"/*"), nil)
		var roles []string
		data, _ := bindings.Body["data"].([]any)
		for _, e := range data {
			binding, _ := e.(map[string]any)
			roles = append(roles, fmt.Sprint(binding["role_name"]))
		}
		if slices.Sort(roles); !slices.Equal(roles, []string{"DataDiscovery", "FlinkDeveloper"}) {
			t.Errorf("its roles are %v: %s", roles, bindings.Raw)
		}

		raw, _ := w.session(w.signIn(nil))
		w.connect(w.OrganizationID, w.p)
		if a := w.WithToken(raw).Do(http.MethodGet, "/api/me", nil); a.Status != http.StatusOK {
			t.Errorf("set as it was: %d %s", a.Status, a.Raw)
		}
		b := newBrowser(t)
		request := w.begins(b, w.OrganizationID)
		before := w.p
		w.p = newLoginProvider(t)
		w.connect(w.OrganizationID, w.p)
		within(t, "another provider", func() bool {
			return w.WithToken(raw).Do(http.MethodGet, "/api/me", nil).Status == http.StatusUnauthorized
		})
		refusesWith(t, "a sign-in at the provider before", w.ends(b, request, url.Values{
			"code": {before.signsIn(request, nil)}, "state": {request.Query().Get("state")},
		}), http.StatusBadRequest, "Begin again")
		w.session(w.signIn(nil))
		if list, _ := w.Do(http.MethodGet, "/iam/v2/sso/group-mappings", nil).Body["data"].([]any); len(list) != 1 {
			t.Errorf("there are %d mappings", len(list))
		}
	})
}

// Who has an account comes in where it is one for single sign-on.
func TestSSOUsers(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newSSOWorld(t, databaseURL)
		member := map[string]any{"email": "MEMBER@example.com"}
		refusesWith(t, "a local user", w.signIn(member), http.StatusForbidden, "a password")
		if a := w.Do(http.MethodPatch, "/iam/v2/users/"+w.Member.Principal+"/auth", map[string]any{"auth_type": iam.AuthTypeSSO}); a.Status != http.StatusNoContent {
			t.Fatalf("convert: %d %s", a.Status, a.Raw)
		}
		raw, _ := w.session(w.signIn(member))
		me := w.WithToken(raw).Do(http.MethodGet, "/api/me", nil)
		if u := object(t, me, "user"); u["resource_id"] != w.Member.Principal {
			t.Errorf("the converted user is %v", u)
		}
		// Back again ends the session.
		if a := w.Do(http.MethodPatch, "/iam/v2/users/"+w.Member.Principal+"/auth", map[string]any{"auth_type": iam.AuthTypeLocal}); a.Status != http.StatusNoContent {
			t.Fatalf("convert back: %d %s", a.Status, a.Raw)
		}
		within(t, "converted back", func() bool {
			return w.WithToken(raw).Do(http.MethodGet, "/api/me", nil).Status == http.StatusUnauthorized
		})

		// Invitations are for single sign-on where nothing else is said, which an
		// OrganizationAdmin alone may.
		invite := w.Do(http.MethodPost, "/iam/v2/invitations", map[string]any{"email": "bob@example.com"})
		if invite.Status != http.StatusCreated || invite.Body["auth_type"] != iam.AuthTypeSSO {
			t.Fatalf("invite: %d %s", invite.Status, invite.Raw)
		}
		invited := object(t, invite, "user")["id"]
		raw, _ = w.session(w.signIn(map[string]any{"email": "bob@example.com"}))
		if u := object(t, w.WithToken(raw).Do(http.MethodGet, "/api/me", nil), "user"); u["resource_id"] != invited {
			t.Errorf("the invited user is %v", u)
		}
		if a := w.Do(http.MethodGet, "/iam/v2/invitations/"+fmt.Sprint(invite.Body["id"]), nil); a.Body["status"] != iam.StatusAccepted || a.Body["accepted_at"] == nil {
			t.Errorf("the invitation is %s", a.Raw)
		}
		w.make("/iam/v2/role-bindings", map[string]any{
			"principal": "User:" + w.Nobody.Principal, "role_name": "AccountAdmin", "crn_pattern": "crn://confluent.cloud/organization=" + w.OrganizationID,
		})
		inviter := w.As(w.Nobody.Key, w.Nobody.Secret)
		within(t, "the role", func() bool {
			return inviter.Do(http.MethodGet, "/iam/v2/users/"+w.Member.Principal, nil).Status == http.StatusOK
		})
		if a := inviter.Do(http.MethodPost, "/iam/v2/invitations", map[string]any{"email": "c@example.com", "auth_type": iam.AuthTypeLocal}); a.Status != http.StatusForbidden {
			t.Errorf("an AccountAdmin invites locally: %d %s", a.Status, a.Raw)
		}
		if a := inviter.Do(http.MethodPost, "/iam/v2/invitations", map[string]any{"email": "c@example.com"}); a.Status != http.StatusCreated {
			t.Errorf("an AccountAdmin invites: %d %s", a.Status, a.Raw)
		}
		if a := w.Do(http.MethodPost, "/iam/v2/invitations", map[string]any{"email": "d@example.com", "auth_type": iam.AuthTypeLocal}); a.Status != http.StatusCreated {
			t.Errorf("an OrganizationAdmin invites locally: %d %s", a.Status, a.Raw)
		}
		refusesWith(t, "invited to choose a password", w.signIn(map[string]any{"email": "d@example.com"}), http.StatusForbidden, "a password")

		// Without accounts made by themselves, others stay outside.
		if a := w.Do(http.MethodPatch, "/org/v2/organizations/"+w.OrganizationID, map[string]any{"jit_enabled": false}); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Raw)
		}
		refusesWith(t, "no account", w.signIn(map[string]any{"email": "eve@example.com"}), http.StatusForbidden, "invite you")
		if w.user("eve@example.com") != nil {
			t.Error("there is an account all the same")
		}
		w.session(w.signIn(map[string]any{"email": "bob@example.com"}))

		// Deletion of the user ends the session.
		raw, _ = w.session(w.signIn(map[string]any{"email": "bob@example.com"}))
		if a := w.Do(http.MethodDelete, "/iam/v2/users/"+fmt.Sprint(invited), nil); a.Status != http.StatusNoContent {
			t.Fatalf("delete: %d %s", a.Status, a.Raw)
		}
		within(t, "deleted", func() bool {
			return w.WithToken(raw).Do(http.MethodGet, "/api/me", nil).Status == http.StatusUnauthorized
		})
	})
}

// Several tabs of one person make one account.
func TestSSOFirstSignInsAtOnce(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newSSOWorld(t, databaseURL)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				b := newBrowser(t)
				a := b.get(w.Server.URL + iam.SSOPath + w.OrganizationID)
				request, err := url.Parse(a.header.Get("Location"))
				if err != nil || a.status != http.StatusSeeOther {
					t.Errorf("%d %v", a.status, err)
					return
				}
				a = b.get(request.Query().Get("redirect_uri") + "?" + url.Values{"code": {w.p.signsIn(request, nil)}, "state": {request.Query().Get("state")}}.Encode())
				if a.status != http.StatusOK {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		all.Wait()
	})
}

// TestSSOAttacks: none of these signs anybody in.
func TestSSOAttacks(t *testing.T) {
	t.Parallel()
	w := newSSOWorld(t, "")
	other := newLoginProvider(t)
	w.connect(w.Other.Organization, other)
	back := func(b *browser, request *url.URL, code string) shown {
		return w.ends(b, request, url.Values{"code": {code}, "state": {request.Query().Get("state")}})
	}

	t.Run("the state", func(t *testing.T) {
		b := newBrowser(t)
		request := w.begins(b, w.OrganizationID)
		state := request.Query().Get("state")
		for name, state := range map[string][]string{
			"none": nil, "empty": {""}, "another": {strings.Repeat("A", 43)}, "a part": {state[:42]}, "another browser's": {w.begins(newBrowser(t), w.OrganizationID).Query().Get("state")},
		} {
			refusesWith(t, name, w.ends(b, request, url.Values{"code": {w.p.signsIn(request, nil)}, "state": state}), http.StatusBadRequest, "Begin again")
		}
		// What others make up does not end what the browser has begun.
		w.session(back(b, request, w.p.signsIn(request, nil)))
	})
	t.Run("a victim's browser with the attacker's link", func(t *testing.T) {
		attackers := newBrowser(t)
		request := w.begins(attackers, w.OrganizationID)
		code := w.p.signsIn(request, nil)
		refusesWith(t, "without a cookie", back(newBrowser(t), request, code), http.StatusBadRequest, "Begin again")
		victims := newBrowser(t)
		w.begins(victims, w.OrganizationID)
		refusesWith(t, "with another cookie", back(victims, request, code), http.StatusBadRequest, "Begin again")
	})
	t.Run("made-up cookies", func(t *testing.T) {
		request := w.begins(newBrowser(t), w.OrganizationID)
		for _, value := range []string{"", ".", "99999999999." + strings.Repeat("A", 43), "x." + strings.Repeat("A", 43), strings.Repeat("9", 4000)} {
			b := newBrowser(t)
			u, _ := url.Parse(w.Server.URL)
			b.Jar.SetCookies(u, []*http.Cookie{{Name: "weir-sso", Value: value}})
			refusesWith(t, value, back(b, request, w.p.signsIn(request, nil)), http.StatusBadRequest, "Begin again")
		}
	})
	t.Run("a code twice", func(t *testing.T) {
		b := newBrowser(t)
		request := w.begins(b, w.OrganizationID)
		u, _ := url.Parse(w.Server.URL)
		kept := b.Jar.Cookies(u)
		code := w.p.signsIn(request, nil)
		w.session(back(b, request, code))
		if left := b.Jar.Cookies(u); len(left) != 0 {
			t.Errorf("the cookie is still there: %v", left)
		}
		refusesWith(t, "the same link", back(b, request, code), http.StatusBadRequest, "Begin again")
		b.Jar.SetCookies(u, kept)
		refusesWith(t, "with the cookie kept", back(b, request, code), http.StatusForbidden, "does not take the code")
	})
	t.Run("a code of another sign-in", func(t *testing.T) {
		// PKCE: the attacker's own browser, with a code that the victim was given.
		code := w.p.signsIn(w.begins(newBrowser(t), w.OrganizationID), nil)
		b := newBrowser(t)
		refusesWith(t, "injected", back(b, w.begins(b, w.OrganizationID), code), http.StatusForbidden, "does not take the code")
	})
	t.Run("another organization's provider", func(t *testing.T) {
		b := newBrowser(t)
		request := w.begins(b, w.Other.Organization)
		to := w.Server.URL + iam.SSOPath + w.OrganizationID + "/callback?" +
			url.Values{"code": {w.p.signsIn(request, nil)}, "state": {request.Query().Get("state")}}.Encode()
		refusesWith(t, "the state of another organization", b.get(to), http.StatusBadRequest, "Begin again")
		b = newBrowser(t)
		request = w.begins(b, w.OrganizationID)
		refusesWith(t, "RFC 9207", w.ends(b, request, url.Values{
			"code": {w.p.signsIn(request, nil)}, "state": {request.Query().Get("state")}, "iss": {other.URL},
		}), http.StatusForbidden, "another provider")
		// Its users are its own: it makes no sessions of others' by their address.
		b = newBrowser(t)
		request = w.begins(b, w.Other.Organization)
		refusesWith(t, "an address of another organization", back(b, request, other.signsIn(request, map[string]any{"email": w.Email})), http.StatusForbidden, "no account yet")
	})
	for name, claims := range map[string]map[string]any{
		"another issuer":    {"iss": other.URL},
		"another client":    {"aud": "somebody-else"},
		"no audience":       {"aud": nil},
		"two audiences":     {"aud": []string{ssoClient, "somebody-else"}},
		"another party":     {"azp": "somebody-else"},
		"expired":           {"exp": time.Now().Add(-time.Second).Unix()},
		"no end":            {"exp": nil},
		"not yet":           {"nbf": time.Now().Add(time.Hour).Unix()},
		"no nonce":          {"nonce": nil},
		"another nonce":     {"nonce": "another"},
		"no address":        {"email": nil},
		"no text":           {"email": 1},
		"no real address":   {"email": "alice"},
		"a named address":   {"email": "Alice <alice@example.com>"},
		"two lines":         {"email": "alice@example.com\r\nBcc: all@example.com"},
		"a long address":    {"email": strings.Repeat("a", 1<<16) + "@example.com"},
		"not verified":      {"email_verified": false},
		"not verified text": {"email_verified": "false"},
		"verified how":      {"email_verified": 1},
		"too many groups":   {"groups": make([]string, 1001)},
		"long groups":       {"groups": []string{strings.Repeat("x", 65<<10)}},
		"odd groups":        {"groups": []any{map[string]any{"name": "engineering"}}},
		"groups elsewhere":  {"groups": nil, "_claim_names": map[string]any{"groups": "src1"}},
	} {
		t.Run(name, func(t *testing.T) { refusesWith(t, name, w.signIn(claims), http.StatusForbidden, "not signed in") })
	}
	for name, raw := range map[string]func(claims []byte) string{
		"not signed": func(claims []byte) string {
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims) + "."
		},
		"signed with the client's secret": func(claims []byte) string {
			return issuertest.Sign(t, jose.HS256, []byte(strings.Repeat(ssoSecret, 2)), nil, claims)
		},
		"signed with another key": func(claims []byte) string {
			return issuertest.Sign(t, jose.RS256, issuertest.RSA(0), map[string]any{"kid": w.p.Signer().KeyID}, claims)
		},
		"no token at all": func([]byte) string { return "" },
		"garbage":         func([]byte) string { return "a.b.c" },
	} {
		t.Run(name, func(t *testing.T) {
			w.p.set(func() {
				w.p.raw = func(claims map[string]any) string {
					b, _ := json.Marshal(claims)
					return raw(b)
				}
			})
			refusesWith(t, name, w.signIn(nil), http.StatusForbidden, "not signed in")
			w.p.set(func() { w.p.raw = nil })
		})
	}
	t.Run("errors", func(t *testing.T) {
		for _, text := range []string{"access_denied", `<script>alert(1)</script>`, "x\r\nSet-Cookie: a=b", strings.Repeat("e", 1000)} {
			b := newBrowser(t)
			request := w.begins(b, w.OrganizationID)
			a := w.ends(b, request, url.Values{
				"error": {text}, "error_description": {`"><script>alert(2)</script>`}, "error_uri": {"javascript:alert(3)"}, "state": {request.Query().Get("state")},
			})
			refusesWith(t, text, a, http.StatusForbidden, "did not sign you in")
			if strings.Contains(a.body, "alert") || a.header.Get("Set-Cookie") == "a=b" || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("%q comes back: %v %s", text, a.header, a.body)
			}
		}
	})
	t.Run("names of groups", func(t *testing.T) {
		a := w.signIn(map[string]any{"groups": []string{`<script>alert(1)</script>`}})
		w.session(a)
		if strings.Contains(a.body, "<script>") {
			t.Error("a group is code")
		}
	})
	t.Run("where to go", func(t *testing.T) {
		for _, path := range []string{
			"", "/", "//evil.example", w.OrganizationID + "/", w.OrganizationID + "//evil.example", w.OrganizationID + "/callback/x", "callback", "/callback",
			"%2e%2e/x", w.OrganizationID + "%0d%0aX-Injected:%20y", "00000000-0000-0000-0000-000000000000",
		} {
			a := newBrowser(t).get(w.Server.URL + iam.SSOPath + path)
			if a.status == http.StatusOK || a.status == http.StatusSeeOther || a.header.Get("X-Injected") != "" || strings.Contains(a.header.Get("Location"), "evil") {
				t.Errorf("%q: %d %v", path, a.status, a.header)
			}
		}
		for _, more := range []string{"?redirect_uri=https://evil.example", "?next=//evil.example", "?return_to=https://evil.example"} {
			to := w.begins(newBrowser(t), w.OrganizationID+more)
			if !strings.HasPrefix(to.String(), w.p.URL+"/authorize?") || strings.Contains(to.RawQuery, "evil") {
				t.Errorf("%s leads to %s", more, to)
			}
		}
	})
	t.Run("methods", func(t *testing.T) {
		for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPut} {
			if a := w.Do(method, iam.SSOPath+w.OrganizationID, nil); a.Status != http.StatusMethodNotAllowed {
				t.Errorf("%s: %d", method, a.Status)
			}
		}
	})
	if u := w.user("alice@example.com"); u == nil {
		t.Error("the good sign-ins between made no account")
	}
}

// A provider that does not behave is told of, and hurts nobody.
func TestSSOProviderFails(t *testing.T) {
	t.Parallel()
	w := newSSOWorld(t, "")
	long := func(rw http.ResponseWriter, _ *http.Request) {
		for range 1 << 12 {
			if _, err := rw.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	}
	configured := func(more map[string]any) func(*loginProvider) {
		return func(p *loginProvider) { p.configuration = more }
	}
	answers := func(path string, h http.HandlerFunc) func(*loginProvider) {
		return func(p *loginProvider) { p.answer[path] = h }
	}
	const discovery = "/.well-known/openid-configuration"
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect is followed") }))
	t.Cleanup(inside.Close)
	for name, change := range map[string]func(*loginProvider){
		"is not there":      answers(discovery, http.NotFound),
		"answers at length": answers(discovery, long),
		"redirects":         answers(discovery, func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, inside.URL, http.StatusFound) }),
		"is another":        configured(map[string]any{"issuer": "https://login.example.com"}),
		"runs code":         configured(map[string]any{"authorization_endpoint": "javascript:alert(1)"}),
		"has no tokens":     configured(map[string]any{"token_endpoint": nil}),
	} {
		w.p = newLoginProvider(t)
		change(w.p)
		w.connect(w.OrganizationID, w.p)
		within(t, name, func() bool {
			a := newBrowser(t).get(w.Server.URL + iam.SSOPath + w.OrganizationID)
			return a.status == http.StatusBadGateway && a.header.Get("Location") == "" && strings.Contains(a.body, "does not answer as it should")
		})
	}
	for name, change := range map[string]func(*loginProvider){
		"gives long tokens": answers("/token", long),
		"gives no JSON":     answers("/token", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "<html>") }),
		"has long keys":     answers("/keys", long),
		"has no keys":       answers("/keys", http.NotFound),
		"tells of others": func(p *loginProvider) {
			p.userinfo = map[string]any{"sub": "somebody-else", "email": "alice@example.com"}
		},
		"tells no address": func(p *loginProvider) { p.userinfo = map[string]any{"sub": "alice"} },
		"has not verified it": func(p *loginProvider) {
			p.userinfo = map[string]any{"sub": "alice", "email": "alice@example.com", "email_verified": false}
		},
		"tells it at length": func(p *loginProvider) { p.userinfo = map[string]any{}; p.answer["/userinfo"] = long },
		"is gone by then":    answers("/token", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		"answers with a proxy": answers("/token", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, inside.URL, http.StatusTemporaryRedirect)
		}),
	} {
		w.p = newLoginProvider(t)
		change(w.p)
		w.connect(w.OrganizationID, w.p)
		if a := w.signInSoon(map[string]any{"email": nil}); a.status != http.StatusForbidden && a.status != http.StatusBadGateway || shownToken.MatchString(a.body) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	// What the ID token leaves out is asked for.
	w.p = newLoginProvider(t)
	w.p.userinfo = map[string]any{"sub": "alice", "email": "carol@example.com", "email_verified": true, "groups": "operations", "name": "Carol"}
	w.connect(w.OrganizationID, w.p)
	a := w.signInSoon(map[string]any{"email": nil, "groups": nil})
	w.session(a)
	if !strings.Contains(a.body, "carol@example.com") || !strings.Contains(a.body, "operations") || w.user("carol@example.com")["full_name"] != "Carol" {
		t.Errorf("%s", a.body)
	}
}

// signInSoon is signIn once the server knows of the provider that was set last.
func (w *ssoWorld) signInSoon(claims map[string]any) shown {
	w.t.Helper()
	within(w.t, "the provider", func() bool {
		return strings.HasPrefix(newBrowser(w.t).get(w.Server.URL+iam.SSOPath+w.OrganizationID).header.Get("Location"), w.p.URL)
	})
	return w.signIn(claims)
}
