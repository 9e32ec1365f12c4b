package issuer

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // refuses names that come twice, and folds no case
	"github.com/go-jose/go-jose/v4/jwt"
)

// MaxToken is the greatest length in bytes of a token that is read.
const MaxToken = 8 << 10

// leeway is how far an issuer's clock may be ahead.
const leeway = time.Minute

// Errors of tokens that are not good. What they say is for the client too, and
// has nothing of the token in it.
var (
	// ErrUnknownKey: no key of the issuer has the ID that the token names. A
	// newer set may have it.
	ErrUnknownKey = errors.New("no key of its identity provider has the ID that the token names")
	// ErrForged: the token is not what the issuer signed, or no token at all.
	ErrForged = errors.New("it is no JSON Web Token that its identity provider signed")
	// ErrNotNow: the token was good, or will be.
	ErrNotNow = errors.New("the token is not good now")
)

// Token is a token that was read and not checked yet.
type Token struct {
	parsed    *jose.JSONWebSignature
	keyID     string
	algorithm string
	issuer    string
}

// Parse reads a token: signed by one key, in the compact form, with one of the
// algorithms that are accepted. Its error is ErrForged. Nothing that the token
// says of keys but an ID is looked at: not the headers jwk, jku, x5c and x5u.
func Parse(raw string) (*Token, error) {
	if len(raw) > MaxToken || strings.Count(raw, ".") != 2 || strings.ContainsFunc(raw, outsideCompact) {
		return nil, ErrForged
	}
	parsed, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil || len(parsed.Signatures) != 1 {
		return nil, ErrForged
	}
	header := parsed.Signatures[0].Protected
	if _, critical := header.ExtraHeaders["crit"]; critical || header.KeyID == "" {
		return nil, ErrForged
	}
	t := &Token{parsed: parsed, keyID: header.KeyID, algorithm: header.Algorithm}
	claims, err := readClaims(parsed.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, err
	}
	t.issuer, _ = claims["iss"].(string)
	return t, nil
}

func outsideCompact(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

// Issuer is whom the token claims to be from.
func (t *Token) Issuer() string { return t.issuer }

// Verify checks the token: signed by the one of the keys that it names, with
// that key's algorithm; from the issuer, byte for byte; good now, with an end.
// It returns what the token says. For whom the token is (aud) is not looked at.
// Errors wrap one of the package's.
func (t *Token) Verify(issuer string, keys []Key, now time.Time) (map[string]any, error) {
	payload, err := t.signed(keys)
	if err != nil {
		return nil, err
	}
	claims, err := readClaims(payload)
	if err != nil {
		return nil, err
	}
	if issuer == "" || claims["iss"] != issuer {
		return nil, fmt.Errorf("%w: its issuer (iss) is another one", ErrForged)
	}
	var times struct {
		Expiry    *jwt.NumericDate `json:"exp"`
		NotBefore *jwt.NumericDate `json:"nbf"`
		IssuedAt  *jwt.NumericDate `json:"iat"`
	}
	if json.Unmarshal(payload, &times) != nil {
		return nil, fmt.Errorf("%w: its times are no numbers of seconds", ErrForged)
	}
	switch {
	case times.Expiry == nil:
		return nil, fmt.Errorf("%w: it has no end (exp)", ErrNotNow)
	case !now.Before(times.Expiry.Time()):
		return nil, fmt.Errorf("%w: it has expired", ErrNotNow)
	case times.NotBefore != nil && now.Add(leeway).Before(times.NotBefore.Time()):
		return nil, fmt.Errorf("%w: it is not valid yet (nbf)", ErrNotNow)
	case times.IssuedAt != nil && now.Add(leeway).Before(times.IssuedAt.Time()):
		return nil, fmt.Errorf("%w: it was issued in the future (iat)", ErrNotNow)
	}
	return claims, nil
}

// signed returns what the key that the token names has signed.
func (t *Token) signed(keys []Key) ([]byte, error) {
	for _, k := range keys {
		if k.ID != t.keyID {
			continue
		}
		public, ok := k.public()
		if !ok || k.Algorithm != t.algorithm {
			return nil, ErrForged
		}
		payload, err := t.parsed.Verify(public)
		if err != nil {
			return nil, ErrForged
		}
		return payload, nil
	}
	return nil, ErrUnknownKey
}

// readClaims reads a JSON object in which no name comes twice.
func readClaims(payload []byte) (map[string]any, error) {
	var claims map[string]any
	if !utf8.Valid(payload) || json.Unmarshal(payload, &claims) != nil || claims == nil {
		return nil, fmt.Errorf("%w: what it says is no JSON object, or says something twice", ErrForged)
	}
	return claims, nil
}
