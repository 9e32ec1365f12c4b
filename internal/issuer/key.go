// Package issuer reads what other issuers publish and sign: their key sets, which
// it fetches, and their tokens. Both are strangers' texts: what they may look
// like, and what it costs to read them, is bounded here.
package issuer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // refuses names that come twice, and folds no case
)

// MaxKeys is how many keys of one issuer are kept: the first ones of its set
// that tokens can be checked with. It is the real service's quota
// iam.max_jwks.per_identity_provider.
const MaxKeys = 15

const (
	// maxKeyID bounds the "kid" of a key in bytes.
	maxKeyID = 255
	// RSA keys of fewer bits are too weak, of more too dear to check with.
	minRSA, maxRSA = 2048, 8192
)

// Key is a public key of an issuer, as it publishes it (RFC 7517): RSA or, with
// Curve, X and Y, elliptic. What else an issuer says of a key is not kept.
type Key struct {
	Type      string `json:"kty"`
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	Use       string `json:"use,omitempty"`
	N         string `json:"n,omitempty"`
	E         string `json:"e,omitempty"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
}

// algorithms are those that tokens may be signed with, all of them with a
// public key.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
}

// ErrNoKeySet is wrapped by errors that say why a text is no set of keys that
// tokens can be checked with.
var ErrNoKeySet = errors.New("it is no JSON Web Key Set")

// ParseKeys reads a JSON Web Key Set and returns the keys that tokens can be
// checked with, at most MaxKeys: those with an ID that comes once, for
// signatures, and of a type and size that is accepted. A key that does not name
// its algorithm is for RS256, or the one that goes with its curve. left is how
// many more such keys there were. A set without any is an ErrNoKeySet.
func ParseKeys(body []byte) (keys []Key, left int, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if !utf8.Valid(body) {
		return nil, 0, fmt.Errorf("%w: it is not UTF-8", ErrNoKeySet)
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &set); err != nil {
		return nil, 0, fmt.Errorf("%w: it is not JSON of its form", ErrNoKeySet)
	}
	ids := map[string]int{}
	var all []Key
	for _, raw := range set.Keys {
		if k, ok := readKey(raw); ok {
			ids[k.ID]++
			all = append(all, k)
		}
	}
	// Of two keys with one ID there is no telling which one is meant.
	all = slices.DeleteFunc(all, func(k Key) bool { return ids[k.ID] > 1 })
	if len(all) == 0 {
		return nil, 0, fmt.Errorf("%w: it has no key with an ID of its own that can check signatures", ErrNoKeySet)
	}
	if len(all) > MaxKeys {
		return all[:MaxKeys], len(all) - MaxKeys, nil
	}
	return all, 0, nil
}

// readKey reads one key of a set, and reports whether it is of use.
func readKey(raw json.RawMessage) (Key, bool) {
	var published struct {
		Key
		Operations []string `json:"key_ops"`
	}
	if json.Unmarshal(raw, &published) != nil {
		return Key{}, false
	}
	k := published.Key
	if k.ID == "" || len(k.ID) > maxKeyID || k.Use != "" && k.Use != "sig" ||
		published.Operations != nil && !slices.Contains(published.Operations, "verify") {
		return Key{}, false
	}
	public, ok := k.public()
	if !ok {
		return Key{}, false
	}
	fit := fitting(public)
	if k.Algorithm == "" && len(fit) > 0 {
		k.Algorithm = string(fit[0])
	}
	return k, slices.Contains(fit, jose.SignatureAlgorithm(k.Algorithm))
}

// public returns the key as the crypto packages take it.
func (k Key) public() (any, bool) {
	k.Algorithm, k.Use = "", ""
	body, err := json.Marshal(k)
	if err != nil {
		return nil, false
	}
	var parsed jose.JSONWebKey
	if parsed.UnmarshalJSON(body) != nil || !parsed.Valid() || !parsed.IsPublic() {
		return nil, false
	}
	return parsed.Key, true
}

// fitting are the algorithms that the key can check, the usual one first; none
// for a key that is not accepted.
func fitting(public any) []jose.SignatureAlgorithm {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return nil
		}
		return algorithms[:6]
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}
		case elliptic.P521():
			return []jose.SignatureAlgorithm{jose.ES512}
		}
	}
	return nil
}
