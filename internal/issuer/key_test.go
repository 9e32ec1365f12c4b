package issuer_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/issuer/issuertest"
)

// published is a public key as an issuer publishes it, changed.
func published(t testing.TB, key any, id string, change func(map[string]any)) map[string]any {
	t.Helper()
	jwk := jose.JSONWebKey{Key: key, KeyID: id}
	public := jwk.Public()
	body, err := json.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(out)
	}
	return out
}

func set(t testing.TB, keys ...map[string]any) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	key := issuertest.RSA(0)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) func(map[string]any) {
		return func(k map[string]any) { k[name] = value }
	}
	whole, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k"})
	if err != nil {
		t.Fatal(err)
	}
	var private map[string]any
	if err := json.Unmarshal(whole, &private); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		key  map[string]any
		want string // the algorithm, or "" for a key that is of no use
	}{
		"RSA without an algorithm":  {published(t, key, "k", nil), "RS256"},
		"RSA with one":              {published(t, key, "k", with("alg", "PS512")), "PS512"},
		"for signatures":            {published(t, key, "k", with("use", "sig")), "RS256"},
		"for encryption":            {published(t, key, "k", with("use", "enc")), ""},
		"to verify":                 {published(t, key, "k", with("key_ops", []string{"verify"})), "RS256"},
		"to encrypt":                {published(t, key, "k", with("key_ops", []string{"encrypt"})), ""},
		"an algorithm of EC":        {published(t, key, "k", with("alg", "ES256")), ""},
		"HS256":                     {published(t, key, "k", with("alg", "HS256")), ""},
		"none":                      {published(t, key, "k", with("alg", "none")), ""},
		"RSA-OAEP":                  {published(t, key, "k", with("alg", "RSA-OAEP")), ""},
		"without an ID":             {published(t, key, "", nil), ""},
		"a long ID":                 {published(t, key, strings.Repeat("k", 256), nil), ""},
		"too small":                 {published(t, small, "k", nil), ""},
		"too large":                 {published(t, key, "k", with("n", strings.Repeat("A_", 700))), ""},
		"no modulus":                {published(t, key, "k", with("n", "")), ""},
		"an exponent of one":        {published(t, key, "k", with("e", "")), ""},
		"a certificate that is bad": {published(t, key, "k", with("x5c", []string{"nonsense"})), "RS256"},
		"a URL of certificates":     {published(t, key, "k", with("x5u", "http://127.0.0.1:1/")), "RS256"},
		"a private key":             {private, "RS256"},
		"P-256":                     {published(t, issuertest.EC(t, elliptic.P256()), "k", nil), "ES256"},
		"P-256 for another":         {published(t, issuertest.EC(t, elliptic.P256()), "k", with("alg", "ES384")), ""},
		"P-521":                     {published(t, issuertest.EC(t, elliptic.P521()), "k", nil), "ES512"},
		"not on the curve":          {published(t, issuertest.EC(t, elliptic.P256()), "k", with("x", strings.Repeat("A", 43))), ""},
		"a secret":                  {map[string]any{"kty": "oct", "kid": "k", "k": "AAAA", "alg": "HS256"}, ""},
		"an unknown type":           {map[string]any{"kty": "XYZ", "kid": "k"}, ""},
		"a number for an ID":        {published(t, key, "k", with("kid", 1)), ""},
	} {
		good := published(t, key, "good", nil)
		keys, _, err := issuer.ParseKeys(set(t, c.key, good))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		got := ""
		if len(keys) == 2 {
			got = keys[0].Algorithm
		}
		if got != c.want || keys[len(keys)-1].ID != "good" {
			t.Errorf("%s: %q, want %q: %+v", what, got, c.want, keys)
		}
		if text := fmt.Sprintf("%+v", keys); private["d"] != nil && strings.Contains(text, private["d"].(string)) {
			t.Errorf("%s: a private part is kept", what)
		}
	}
}

func TestParseKeysOfSets(t *testing.T) {
	t.Parallel()
	key := issuertest.RSA(0)
	var many []map[string]any
	for i := range issuer.MaxKeys + 3 {
		many = append(many, published(t, key, fmt.Sprint(i), nil))
	}
	keys, left, err := issuer.ParseKeys(set(t, many...))
	if err != nil || len(keys) != issuer.MaxKeys || left != 3 || keys[0].ID != "0" {
		t.Errorf("of many: %d keys, %d left, %v", len(keys), left, err)
	}
	// Of two with one ID there is no telling which is meant.
	keys, _, err = issuer.ParseKeys(set(t, published(t, key, "a", nil), published(t, issuertest.RSA(1), "a", nil), published(t, key, "b", nil)))
	if err != nil || len(keys) != 1 || keys[0].ID != "b" {
		t.Errorf("of two with one ID: %+v, %v", keys, err)
	}
	for what, body := range map[string]string{
		"nothing": "", "text": "hello", "a page": "<html></html>", "null": "null", "a list": "[]", "no keys": "{}", "keys that are text": `{"keys":"x"}`,
		"an empty set": `{"keys":[]}`, "one of no use": `{"keys":[{"kty":"oct","kid":"k","k":"AAAA"}]}`, "keys twice": `{"keys":[],"keys":[]}`,
		"not UTF-8": "{\"keys\":[{\"kid\":\"\xff\"}]}", "deep": `{"keys":` + strings.Repeat("[", 100_000), "a configuration": `{"issuer":"x","jwks_uri":"y"}`,
	} {
		if keys, _, err := issuer.ParseKeys([]byte(body)); !errors.Is(err, issuer.ErrNoKeySet) {
			t.Errorf("%s: %d keys, %v", what, len(keys), err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add(set(f, published(f, issuertest.RSA(0), "a", nil), published(f, issuertest.EC(f, elliptic.P256()), "b", nil)))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB","alg":"RS256"},{}]}`))
	f.Add([]byte(`{"keys":[[]]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, left, err := issuer.ParseKeys(body)
		if (err == nil) != (len(keys) > 0) || len(keys) > issuer.MaxKeys || left < 0 {
			t.Fatalf("%d keys, %d left, %v", len(keys), left, err)
		}
		for _, k := range keys {
			if k.ID == "" || k.Algorithm == "" || k.Algorithm == "none" || strings.HasPrefix(k.Algorithm, "HS") {
				t.Fatalf("the key %+v", k)
			}
		}
	})
}
