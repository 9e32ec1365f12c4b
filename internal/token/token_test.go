package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
	"github.com/weirhq/weir/internal/testclock"
	"github.com/weirhq/weir/internal/token"
)

func open(t testing.TB) (store.Store, *testclock.Clock) {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), "", t.TempDir(), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	// The middle of a period.
	return s, testclock.At(time.Unix(700*int64(token.Period/time.Second), 0).Add(token.Period / 2))
}

type pools struct {
	Pools []string `json:"pools"`
}

func issue(t testing.TB, k *token.Keys, use token.Use, life time.Duration) string {
	t.Helper()
	raw, _, err := k.Issue(t.Context(), use, token.Claims{Issuer: "https://weir.example.com", Subject: "pool-1", Organization: "org"}, life, pools{[]string{"pool-1"}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestIssueAndVerify(t *testing.T) {
	t.Parallel()
	s, c := open(t)
	k := token.NewKeys(s, c.Now)
	raw := issue(t, k, token.STS, time.Minute)
	if token.UseOf(raw) != token.STS {
		t.Errorf("the use is %q", token.UseOf(raw))
	}
	// Another replica reads it too.
	var more pools
	claims, err := token.NewKeys(s, c.Now).Verify(t.Context(), token.STS, raw, &more)
	if err != nil || claims.Subject != "pool-1" || claims.Organization != "org" || claims.ID == "" ||
		claims.Issuer != "https://weir.example.com" || claims.Expiry.Time().Sub(claims.IssuedAt.Time()) != time.Minute ||
		len(more.Pools) != 1 {
		t.Errorf("the token says %+v, %+v, %v", claims, more, err)
	}
	for _, use := range []token.Use{token.Session, token.Partner, ""} {
		if _, err := k.Verify(t.Context(), use, raw, nil); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("it is good for %q: %v", use, err)
		}
	}
	c.Forward(59 * time.Second)
	if _, err := k.Verify(t.Context(), token.STS, raw, nil); err != nil {
		t.Errorf("it ended too early: %v", err)
	}
	c.Forward(time.Second)
	if _, err := k.Verify(t.Context(), token.STS, raw, nil); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("it lives too long: %v", err)
	}
	c.Forward(-2 * time.Minute)
	if _, err := k.Verify(t.Context(), token.STS, raw, nil); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("it is valid before it was made: %v", err)
	}
}

func TestIssueRefusesALifeOutOfRange(t *testing.T) {
	t.Parallel()
	s, c := open(t)
	for _, life := range []time.Duration{-time.Hour, 0, time.Second - 1, token.MaxLife + 1} {
		if raw, _, err := token.NewKeys(s, c.Now).Issue(t.Context(), token.STS, token.Claims{Subject: "x"}, life, nil); err == nil || raw != "" {
			t.Errorf("a life of %s was given", life)
		}
	}
}

// A token of the end of a period is good in the next, and keys are published
// before they sign.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	s, c := open(t)
	k := token.NewKeys(s, c.Now)
	ids := func() map[string]bool {
		t.Helper()
		set, err := k.Set(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for _, key := range set.Keys {
			if !key.IsPublic() || !key.Valid() || key.Use != "sig" || key.Algorithm != "ES256" {
				t.Errorf("key %s is public: %t, %s, %s", key.KeyID, key.IsPublic(), key.Use, key.Algorithm)
			}
			out[key.KeyID] = true
		}
		return out
	}
	signer := func(raw string) string {
		t.Helper()
		parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Headers[0].KeyID
	}
	if got := ids(); len(got) != 2 {
		t.Errorf("a new installation publishes %d keys, want the current and the next", len(got))
	}
	c.Forward(token.Period/2 - time.Second)
	before := ids()
	old := issue(t, k, token.Session, time.Hour)
	c.Forward(2 * time.Second)
	if _, err := k.Verify(t.Context(), token.Session, old, nil); err != nil {
		t.Errorf("the token of the last period is refused: %v", err)
	}
	fresh := issue(t, k, token.Session, time.Hour)
	if signer(fresh) == signer(old) || !before[signer(fresh)] {
		t.Error("the new key is the old one, or was not published before")
	}
	// A replica whose clock is late reads it all the same.
	late := testclock.At(c.Now().Add(-3 * time.Second))
	if _, err := token.NewKeys(s, late.Now).Verify(t.Context(), token.Session, fresh, nil); err != nil {
		t.Errorf("a replica three seconds behind refuses the token: %v", err)
	}
	if got := ids(); len(got) != 3 || !got[signer(old)] {
		t.Errorf("%d keys are published, the old one among them: %t", len(got), got[signer(old)])
	}
	c.Forward(token.Period)
	if got := ids(); len(got) != 3 || got[signer(old)] {
		t.Error("the key of two periods ago is still published")
	}
}

func TestReplicasAgreeOnKeys(t *testing.T) {
	t.Parallel()
	s, c := open(t)
	raws := make([]string, 8)
	var all sync.WaitGroup
	for i := range raws {
		all.Go(func() { raws[i] = issue(t, token.NewKeys(s, c.Now), token.STS, time.Minute) })
	}
	all.Wait()
	k := token.NewKeys(s, c.Now)
	for _, raw := range raws {
		if _, err := k.Verify(t.Context(), token.STS, raw, nil); err != nil {
			t.Errorf("a replica signed with a key of its own: %v", err)
		}
	}
}

// forge signs claims with a key that is not the installation's.
func forge(t *testing.T, key jose.SigningKey, use token.Use, kid string, claims any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(use)).WithHeader("kid", kid)
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestVerifyRefusesForgeries(t *testing.T) {
	t.Parallel()
	s, c := open(t)
	k := token.NewKeys(s, c.Now)
	good := issue(t, k, token.STS, time.Minute)
	set, err := k.Set(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	public := set.Keys[0]
	claims := map[string]any{"sub": "u-1", "jti": "1", "exp": c.Now().Add(time.Hour).Unix()}
	encode := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	publicBytes, err := public.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for name, raw := range map[string]string{
		"nothing":             "",
		"alg none":            encode(map[string]any{"alg": "none", "typ": token.STS, "kid": public.KeyID}) + "." + encode(claims) + ".",
		"HMAC of the key":     forge(t, jose.SigningKey{Algorithm: jose.HS256, Key: publicBytes}, token.STS, public.KeyID, claims),
		"another key":         forge(t, jose.SigningKey{Algorithm: jose.ES256, Key: other}, token.STS, public.KeyID, claims),
		"an unknown key":      forge(t, jose.SigningKey{Algorithm: jose.ES256, Key: other}, token.STS, "mine", claims),
		"no signature":        parts[0] + "." + parts[1] + ".",
		"other claims":        parts[0] + "." + encode(claims) + "." + parts[2],
		"another header":      encode(map[string]any{"alg": "ES256", "typ": token.Session, "kid": public.KeyID}) + "." + parts[1] + "." + parts[2],
		"too long":            good + strings.Repeat("A", token.MaxLength),
		"JSON serialization":  `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"with a line feed":    good + "\n",
		"a key of its own":    encode(map[string]any{"alg": "ES256", "typ": token.STS, "jwk": public}) + "." + parts[1] + "." + parts[2],
		"critical extensions": encode(map[string]any{"alg": "ES256", "typ": token.STS, "kid": public.KeyID, "crit": []string{"x"}}) + "." + parts[1] + "." + parts[2],
	} {
		for _, use := range []token.Use{token.STS, token.Session} {
			if got, err := k.Verify(t.Context(), use, raw, nil); !errors.Is(err, token.ErrInvalid) || got.Subject != "" {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	}
	if _, err := k.Verify(t.Context(), token.STS, good, nil); err != nil {
		t.Errorf("the token itself: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	s, c := open(f)
	k := token.NewKeys(s, c.Now)
	good := issue(f, k, token.STS, time.Minute)
	f.Add(good)
	f.Add("a.b.c")
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := k.Verify(t.Context(), token.STS, raw, nil)
		// The last character of the signature has bits that mean nothing.
		known := len(raw) == len(good) && raw[:len(raw)-1] == good[:len(good)-1]
		if err == nil && (!known || c.Subject != "pool-1") || err != nil && !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%q: %+v, %v", raw, c, err)
		}
	})
}
