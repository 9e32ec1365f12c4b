package authn_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

const (
	orgID       = "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"
	cloudKey    = "CLOUDKEY00000000"
	resourceKey = "RESOURCEKEY00000"
	brokenKey   = "BROKENKEY0000000"
	secret      = "the secret of both keys"
	owner       = "sa-abc123"
)

// keys is a store with a few API keys and the bindings of their owner. Reads
// that authentication has no business with fail the test.
type keys struct {
	store.Reader
	t        testing.TB
	rows     map[string]*store.Row
	bindings []string
	err      error
	gets     int
	lists    int
}

func newKeys(t testing.TB) *keys {
	row := func(id, scheme string) *store.Row {
		record := authn.KeyRecord{Hash: hasher(1).Hash(secret), Owner: owner, Scheme: scheme}
		return &store.Row{Key: store.Key{Kind: authn.APIKeyKind, ID: id}, Org: orgID, Private: record.Encode()}
	}
	return &keys{t: t, rows: map[string]*store.Row{
		cloudKey: row(cloudKey, authn.SchemeCloudKey), resourceKey: row(resourceKey, authn.SchemeResourceKey),
		brokenKey: {Key: store.Key{Kind: authn.APIKeyKind, ID: brokenKey}, Org: orgID, Private: []byte("{")},
	}}
}

func (k *keys) Get(_ context.Context, org string, key store.Key) (*store.Row, error) {
	k.gets++
	if org != "" || key.Kind != authn.APIKeyKind {
		k.t.Errorf("read of %s in %q", key.Kind, org)
	}
	if k.err != nil {
		return nil, k.err
	}
	if row := k.rows[key.ID]; row != nil {
		return row, nil
	}
	return nil, store.ErrNotFound
}

func (k *keys) List(_ context.Context, q store.Query) ([]store.Row, error) {
	k.lists++
	bound := slices.ContainsFunc(q.Where, func(c store.Condition) bool {
		return c.Field == "principal" && slices.Contains(c.Values, "User:"+owner)
	})
	if q.Org != orgID || q.Kind != authn.RoleBindingKind || !bound || q.Limit < 1000 {
		k.t.Errorf("list of %+v", q)
	}
	var rows []store.Row
	for i, body := range k.bindings {
		rows = append(rows, store.Row{Key: store.Key{Kind: authn.RoleBindingKind, ID: fmt.Sprint("rb-", i)}, Body: []byte(body)})
	}
	return rows, nil
}

func (k *keys) authenticate(authorization string, accepted ...string) (*authn.Caller, error) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	a := &authn.Authenticator{Directory: authn.NewDirectory(k), Hasher: hasher(1)}
	return a.Authenticate(r, accepted)
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

const (
	plainChallenge = "Basic"
	tokenChallenge = `Bearer error="invalid_token", error_description="The access token is invalid"`
	keyChallenge   = `Basic error="invalid_key", error_description="The API Key is invalid"`
	resourceOnly   = "invalid API key: make sure you're using a Cloud API Key and not a resource-specific API key"
)

func TestAuthenticateRefuses(t *testing.T) {
	t.Parallel()
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, c := range map[string]struct {
		authorization, challenge, message string
	}{
		"nothing":                    {"", plainChallenge, "must be provided"},
		"another scheme":             {"Digest abc", plainChallenge, "no other scheme"},
		"a token of nobody":          {"Bearer abc", tokenChallenge, "not valid, or of a kind"},
		"no token":                   {"Bearer ", tokenChallenge, "not valid, or of a kind"},
		"a scheme that begins alike": {"Basically " + encode(cloudKey+":"+secret), plainChallenge, "no other scheme"},
		"the key alone":              {cloudKey, plainChallenge, "no other scheme"},
		"the scheme alone":           {"Basic", keyChallenge, "malformed"},
		"the scheme and a space":     {"Basic ", keyChallenge, "malformed"},
		"no Base64":                  {"Basic %%%", keyChallenge, "malformed"},
		"Base64 without padding":     {"Basic " + strings.TrimRight(encode(cloudKey+":abc"), "="), keyChallenge, "malformed"},
		"no colon":                   {"Basic " + encode(cloudKey), keyChallenge, "malformed"},
		"two spaces":                 {"Basic  " + encode(cloudKey+":"+secret), keyChallenge, "malformed"},
		"empty key and secret":       {basic("", ""), keyChallenge, "not valid"},
		"empty secret":               {basic(cloudKey, ""), keyChallenge, "not valid"},
		"unknown key":                {basic("UNKNOWNKEY000000", secret), keyChallenge, "not valid"},
		"unknown key, no secret":     {basic("UNKNOWNKEY000000", ""), keyChallenge, "not valid"},
		"wrong secret":               {basic(cloudKey, secret+"x"), keyChallenge, "not valid"},
		"secret with a line end":     {basic(cloudKey, secret+"\n"), keyChallenge, "not valid"},
		"key in lower case":          {basic(strings.ToLower(cloudKey), secret), keyChallenge, "not valid"},
		"key with a NUL":             {basic(cloudKey+"\x00", secret), keyChallenge, "not valid"},
		"resource key":               {basic(resourceKey, secret), keyChallenge, resourceOnly},
		"resource key, bad secret":   {basic(resourceKey, "x"), keyChallenge, "not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller, err := newKeys(t).authenticate(c.authorization, authn.SchemeCloudKey)
			var e *api.Error
			if !errors.As(err, &e) || caller != nil {
				t.Fatalf("answered %+v, %v", caller, err)
			}
			if e.Code != api.Unauthenticated || e.Code.Status != http.StatusUnauthorized {
				t.Errorf("the code is %s", e.Code.Name)
			}
			if got := e.Header.Values("WWW-Authenticate"); len(got) != 1 || got[0] != c.challenge {
				t.Errorf("WWW-Authenticate is %q, want %q", got, c.challenge)
			}
			if m := e.Problems[0].Message; !strings.Contains(m, c.message) || strings.Contains(m, secret) || strings.HasSuffix(m, ".") {
				t.Errorf("the message is %q, want %q", m, c.message)
			}
		})
	}
}

// Who tries keys must not learn which ones exist: the answers are the same in
// every part, and so is what is read on the way to them.
func TestUnknownKeyAndWrongSecretAreOneAnswer(t *testing.T) {
	t.Parallel()
	unknown, wrong := newKeys(t), newKeys(t)
	_, first := unknown.authenticate(basic("UNKNOWNKEY000000", "x"), authn.SchemeCloudKey)
	_, second := wrong.authenticate(basic(cloudKey, "x"), authn.SchemeCloudKey)
	var here, there *api.Error
	if !errors.As(first, &here) || !errors.As(second, &there) || !reflect.DeepEqual(here, there) {
		t.Errorf("the answers are\n%#v and\n%#v", first, second)
	}
	if unknown.gets != 1 || wrong.gets != 1 || unknown.lists != 0 || wrong.lists != 0 {
		t.Errorf("reads are %d+%d and %d+%d", unknown.gets, unknown.lists, wrong.gets, wrong.lists)
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	k.bindings = []string{
		`{"metadata":{"self":"` + string(rune(api.BaseMark)) + `/iam/v2/role-bindings/rb-0"},"role_name":"OrganizationAdmin","crn_pattern":"crn://confluent.cloud/organization=` + orgID + `"}`,
		`{"role_name":"EnvironmentAdmin","crn_pattern":"crn://confluent.cloud/organization=` + orgID + `/environment=env-*"}`,
	}
	caller, err := k.authenticate(basic(cloudKey, secret), authn.SchemeCloudKey)
	if err != nil {
		t.Fatal(err)
	}
	if caller.Org != orgID || caller.Principal != owner || caller.Scheme != authn.SchemeCloudKey || caller.Credential != cloudKey {
		t.Errorf("the caller is %+v", caller)
	}
	var held []string
	for _, b := range caller.Bindings {
		held = append(held, b.Role+" on "+b.Scope.String())
	}
	want := []string{
		"OrganizationAdmin on crn://confluent.cloud/organization=" + orgID,
		"EnvironmentAdmin on crn://confluent.cloud/organization=" + orgID + "/environment=env-*",
	}
	if !reflect.DeepEqual(held, want) {
		t.Errorf("the bindings are %q, want %q", held, want)
	}
}

func TestAuthenticateAcceptsTheSchemesOfTheOperation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id       string
		accepted []string
		good     bool
	}{
		{cloudKey, []string{authn.SchemeCloudKey}, true},
		{cloudKey, []string{authn.SchemeAPIKey}, true},
		{cloudKey, []string{"confluent-sts-access-token", authn.SchemeCloudKey}, true},
		{cloudKey, []string{authn.SchemeResourceKey}, false},
		{cloudKey, []string{"confluent-sts-access-token"}, false},
		{cloudKey, nil, false},
		{resourceKey, []string{authn.SchemeResourceKey}, true},
		{resourceKey, []string{authn.SchemeCloudKey, authn.SchemeResourceKey}, true},
		{resourceKey, []string{authn.SchemeCloudKey}, false},
		{resourceKey, []string{authn.SchemeAPIKey}, false},
	} {
		caller, err := newKeys(t).authenticate(basic(c.id, secret), c.accepted...)
		if (err == nil) != c.good || (caller != nil) != c.good {
			t.Errorf("%s for %v: %v, %v", c.id, c.accepted, caller, err)
		}
	}
}

func TestAuthenticateTakesTheSchemeInAnyCase(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"basic", "BASIC", "bAsIc"} {
		if _, err := newKeys(t).authenticate(strings.Replace(basic(cloudKey, secret), "Basic", scheme, 1), authn.SchemeCloudKey); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

// tokens is an authenticator that takes the tokens of one scheme.
func tokens(t *testing.T, scheme string, err error) *authn.Authenticator {
	k := newKeys(t)
	read := func(context.Context, *http.Request, string) (*authn.Caller, error) {
		if err != nil {
			return nil, err
		}
		return &authn.Caller{Scheme: scheme, Credential: "the token"}, nil
	}
	return &authn.Authenticator{Directory: authn.NewDirectory(k), Hasher: hasher(1), Tokens: map[string]authn.TokenReader{scheme: read}}
}

// claimed is a text that claims to be a token of the type.
func claimed(typ token.Use) string {
	header := fmt.Sprintf(`{"alg":"ES256","typ":%q}`, typ)
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))
}

func TestAuthenticateReadsTokensByTheirScheme(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		raw, scheme string
		accepted    []string
		good        bool
	}{
		{claimed(token.STS), operation.STSToken, []string{authn.SchemeCloudKey, operation.STSToken}, true},
		{claimed(token.STS), operation.STSToken, []string{authn.SchemeCloudKey}, false},
		{claimed(token.STS), operation.ExternalToken, []string{operation.STSToken, operation.ExternalToken}, false},
		{claimed(token.Session), operation.Session, []string{operation.Session}, true},
		{claimed(token.Session), operation.Session, []string{authn.SchemeCloudKey}, true},
		{claimed(token.Session), operation.Session, []string{authn.SchemeAPIKey}, true},
		{claimed(token.Session), operation.Session, []string{authn.SchemeResourceKey, operation.ExternalToken}, false},
		{claimed(token.Partner), operation.PartnerToken, []string{operation.PartnerToken}, true},
		{claimed(token.Partner), operation.PartnerToken, []string{authn.SchemeCloudKey, operation.STSToken}, false},
		{claimed("JWT"), operation.ExternalToken, []string{operation.ExternalToken}, true},
		{"opaque", operation.ExternalToken, []string{operation.ExternalToken}, true},
		{"opaque", operation.ExternalToken, []string{operation.STSToken}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "bearer "+c.raw)
		caller, err := tokens(t, c.scheme, nil).Authenticate(r, c.accepted)
		if (err == nil) != c.good || (caller != nil) != c.good {
			t.Errorf("%.30s as %s for %v: %v, %v", c.raw, c.scheme, c.accepted, caller, err)
		}
		var e *api.Error
		if err != nil && (!errors.As(err, &e) || e.Code != api.Unauthenticated || !strings.HasPrefix(e.Header.Get("WWW-Authenticate"), "B")) {
			t.Errorf("%.30s for %v: %v with %v", c.raw, c.accepted, err, e.Header)
		}
	}
}

func TestAuthenticateTellsWhyATokenIsRefused(t *testing.T) {
	t.Parallel()
	ask := func(err error, raw string) error {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		_, got := tokens(t, operation.STSToken, err).Authenticate(r, []string{operation.STSToken})
		return got
	}
	var e *api.Error
	if err := ask(fmt.Errorf("%w: it has expired", authn.ErrToken), claimed(token.STS)); !errors.As(err, &e) ||
		e.Problems[0].Message != "The token is not valid: it has expired" || !strings.Contains(e.Header.Get("WWW-Authenticate"), `Bearer error="invalid_token"`) {
		t.Errorf("the answer is %v", err)
	}
	if err := ask(store.ErrUnavailable, claimed(token.STS)); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the store's error became %v", err)
	}
	if err := ask(nil, strings.Repeat("a", token.MaxLength+1)); !errors.As(err, &e) || e.Code != api.Unauthenticated {
		t.Errorf("a very long token: %v", err)
	}
}

func TestAuthenticateTakesOneHeader(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Authorization"] = []string{basic(cloudKey, secret), basic(cloudKey, secret)}
	k := newKeys(t)
	a := &authn.Authenticator{Directory: authn.NewDirectory(k), Hasher: hasher(1)}
	if caller, err := a.Authenticate(r, []string{authn.SchemeCloudKey}); err == nil || caller != nil {
		t.Errorf("two headers are %v", caller)
	}
}

// A secret may hold a colon: only the first one separates.
func TestAuthenticateSplitsAtTheFirstColon(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	const odd = "a:b::c"
	k.rows[cloudKey].Private = authn.KeyRecord{Hash: hasher(1).Hash(odd), Owner: owner, Scheme: authn.SchemeCloudKey}.Encode()
	if _, err := k.authenticate(basic(cloudKey, odd), authn.SchemeCloudKey); err != nil {
		t.Error(err)
	}
}

func TestAuthenticatePassesStoreErrorsOn(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	k.err = fmt.Errorf("get: %w", store.ErrUnavailable)
	caller, err := k.authenticate(basic(cloudKey, secret), authn.SchemeCloudKey)
	if caller != nil || err != k.err { //nolint:errorlint // it must be the very same
		t.Errorf("answered %v, %v, want the store's error as it is", caller, err)
	}
}

// What the server itself stored and cannot read is no fault of the caller's:
// the error is none that a client sees.
func TestAuthenticateReportsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	try := func(change func(k *keys), id, want string) {
		t.Helper()
		k := newKeys(t)
		change(k)
		caller, err := k.authenticate(basic(id, secret), authn.SchemeCloudKey)
		var e *api.Error
		if caller != nil || err == nil || errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("answered %v, %v, want an error of the server's own that says %q", caller, err, want)
		}
	}
	try(func(*keys) {}, brokenKey, "key record")
	try(func(k *keys) { k.bindings = []string{`{`} }, cloudKey, "rb-0")
	try(func(k *keys) { k.bindings = []string{`{"role_name":"OrganizationAdmin","crn_pattern":"nonsense"}`} }, cloudKey, "rb-0")
	try(func(k *keys) { k.bindings = []string{`{"role_name":"OrganizationAdmin","crn_pattern":""}`} }, cloudKey, "rb-0")
}

// Whatever the header holds, only the key with its secret gets in, and what is
// refused is refused with a challenge.
func FuzzAuthenticate(f *testing.F) {
	f.Add(basic(cloudKey, secret))
	f.Add(basic(cloudKey, "x"))
	f.Add(basic(resourceKey, secret))
	f.Add("")
	f.Add("Basic")
	f.Add("Bearer " + basic(cloudKey, secret))
	f.Add("basic \t" + base64.StdEncoding.EncodeToString([]byte(":")))
	f.Add("Basic " + base64.URLEncoding.EncodeToString([]byte("\xff\xfe:\x00")))
	f.Fuzz(func(t *testing.T, authorization string) {
		caller, err := newKeys(t).authenticate(authorization, authn.SchemeCloudKey)
		if err == nil {
			scheme, credentials, _ := strings.Cut(authorization, " ")
			raw, _ := base64.StdEncoding.DecodeString(credentials)
			if !strings.EqualFold(scheme, "Basic") || string(raw) != cloudKey+":"+secret || caller.Credential != cloudKey {
				t.Fatalf("%q gets in as %+v", authorization, caller)
			}
			return
		}
		var e *api.Error
		if caller != nil {
			t.Fatalf("%q is refused, and has a caller", authorization)
		}
		if errors.As(err, &e) {
			if e.Code != api.Unauthenticated || len(e.Header.Values("WWW-Authenticate")) != 1 {
				t.Fatalf("%q: %v with %v", authorization, err, e.Header)
			}
		} else if !strings.Contains(err.Error(), "key record") {
			t.Fatalf("%q: %v", authorization, err)
		}
	})
}
