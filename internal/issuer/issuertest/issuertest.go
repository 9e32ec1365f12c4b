// Package issuertest is an issuer of tokens for tests: it signs what a test
// says, serves its key set on loopback, and fails as a test likes.
package issuertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Issuer is such an issuer, until its test ends.
type Issuer struct {
	// URL is its name, KeysURL where it serves its keys.
	URL, KeysURL string
	// Fetches counts how often the keys were asked for.
	Fetches atomic.Int64

	t  testing.TB
	mu sync.Mutex
	// keys are published; the last one signs.
	keys    []jose.JSONWebKey
	handler http.HandlerFunc
}

// New starts an issuer with one RSA key.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t}
	s := httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(s.Close)
	i.URL, i.KeysURL = s.URL, s.URL+"/keys"
	i.Rotate("key-1")
	return i
}

// rsaKeys are made once: making one takes long.
var rsaKeys = [...]func() *rsa.PrivateKey{sync.OnceValue(rsaKey), sync.OnceValue(rsaKey)}

func rsaKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// RSA returns one of two private keys, the same each time.
func RSA(n int) *rsa.PrivateKey { return rsaKeys[n%len(rsaKeys)]() }

// EC returns a new private key.
func EC(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Rotate publishes another RSA key with the ID, which signs from now on.
func (i *Issuer) Rotate(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, jose.JSONWebKey{Key: rsaKey(), KeyID: id, Algorithm: "RS256", Use: "sig"})
}

// Handle serves what the handler says in place of the keys; nil serves the keys
// again.
func (i *Issuer) Handle(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.handler = h
}

// Signer is the private key that signs.
func (i *Issuer) Signer() jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[len(i.keys)-1]
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.Fetches.Add(1)
	i.mu.Lock()
	h := i.handler
	i.mu.Unlock()
	if h == nil {
		h = i.ServeKeys
	}
	h(w, r)
}

// ServeKeys serves the keys, for handlers that do so now and then.
func (i *Issuer) ServeKeys(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	var set jose.JSONWebKeySet
	for _, k := range i.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	i.mu.Unlock()
	_ = json.NewEncoder(w).Encode(set)
}

// Claims are those of a good token of the issuer, with more on top; a nil value
// leaves a claim out.
func (i *Issuer) Claims(more map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": i.URL, "sub": "alice", "aud": "weir", "jti": "token-1",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, more)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Token signs Claims.
func (i *Issuer) Token(more map[string]any) string {
	i.t.Helper()
	body, err := json.Marshal(i.Claims(more))
	if err != nil {
		i.t.Fatal(err)
	}
	key := i.Signer()
	return Sign(i.t, jose.RS256, key.Key, map[string]any{"kid": key.KeyID}, body)
}

// Sign makes a token of a payload, whatever it is, with further headers.
func Sign(t testing.TB, algorithm jose.SignatureAlgorithm, key any, headers map[string]any, payload []byte) string {
	t.Helper()
	options := &jose.SignerOptions{}
	for name, value := range headers {
		options = options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
