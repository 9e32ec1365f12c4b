package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/ipfilter"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/issuer/issuertest"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
	"github.com/weirhq/weir/internal/testclock"
	"github.com/weirhq/weir/internal/token"
)

// world is a Service with an organization, an identity provider and a pool.
type world struct {
	*Service
	clock          *testclock.Clock
	issuer         *issuertest.Issuer
	org            string
	provider, pool string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st, err := sqlstore.Open(t.Context(), "", t.TempDir(), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &world{clock: testclock.At(time.Now()), issuer: issuertest.New(t), org: uuid.NewString()}
	w.Service = newService(t, st, w.clock)
	w.make(t, &engine.Object{Kind: org.Organization, Org: w.org, ID: w.org, Doc: engine.Doc{"display_name": "here"}})
	w.provider = w.newProvider(t, w.org, w.issuer.URL, w.issuer.KeysURL)
	w.pool = w.newPool(t, w.org, w.provider, `claims.aud == "weir"`)
	return w
}

// newService is one replica over the store.
func newService(t testing.TB, st store.Store, c *testclock.Clock) *Service {
	t.Helper()
	directory := authn.NewDirectory(st)
	st.Watch(directory.Changed)
	s := New(Config{
		Store: st, Reader: st, Turn: func(context.Context) (func(), error) { return func() {}, nil },
		Directory: directory, SigningKeys: token.NewKeys(st, c.Now),
		Fetcher:   issuer.NewFetcher([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}),
		PublicURL: "https://weir.example.com", Now: c.Now, Log: slog.New(slog.DiscardHandler),
	})
	st.Watch(s.Changed)
	var err error
	s.Engine, err = engine.New(engine.Config{
		Store: st, Calls: s.Calls(), Now: c.Now, Log: slog.New(slog.DiscardHandler),
		Kinds:   []*engine.Kind{iam.GroupMapping, iam.IdentityPool, iam.IdentityProvider, iam.RoleBinding, iam.ServiceAccount, iam.User, org.Environment, org.Organization},
		Filters: func(context.Context, string) (*ipfilter.Table, error) { return ipfilter.Rules{}.Prepare(), nil },
		Client:  func(*http.Request) netip.Addr { return netip.Addr{} },
		Admit:   func(http.ResponseWriter, *http.Request, *authn.Caller) (func(), error) { return func() {}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) make(t testing.TB, o *engine.Object) string {
	t.Helper()
	if err := w.config.Store.Update(t.Context(), func(tx store.Tx) error { return w.Engine.Insert(t.Context(), tx, o) }); err != nil {
		t.Fatal(err)
	}
	return o.ID
}

func (w *world) newProvider(t testing.TB, organization, name, keys string) string {
	t.Helper()
	return w.make(t, &engine.Object{Kind: iam.IdentityProvider, Org: organization, Doc: engine.Doc{"display_name": "login", "issuer": name, "jwks_uri": keys}})
}

func (w *world) newPool(t testing.TB, organization, provider, filter string) string {
	t.Helper()
	return w.make(t, &engine.Object{Kind: iam.IdentityPool, Org: organization, Parent: provider, Doc: engine.Doc{"display_name": "pool", "filter": filter}})
}

// form is the exchange of a token for the pool.
func form(pool, raw string) string {
	return url.Values{
		"grant_type": {grantType}, "subject_token": {raw}, "identity_pool_id": {pool},
		"subject_token_type": {jwtType}, "requested_token_type": {accessToken},
	}.Encode()
}

// exchange answers the request on the replica, and returns the access token.
func exchange(t testing.TB, s *Service, body string) (string, error) {
	t.Helper()
	op, ok := operation.ByID("exchangeStsV1OauthToken")
	if !ok {
		t.Fatal("there is no such operation")
	}
	r := httptest.NewRequest(http.MethodPost, op.Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, _, err := s.Engine.Handle(httptest.NewRecorder(), r, op, nil)
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(answer.Body), `"access_token":"`)
	raw, _, _ := strings.Cut(rest, `"`)
	return raw, nil
}

// refused fails the test unless the error is a refusal of an exchange.
func refused(t testing.TB, what string, err error) string {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.InvalidExchange {
		t.Errorf("%s: %v, want a refusal", what, err)
		return ""
	}
	return e.Error()
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
