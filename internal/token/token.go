// Package token makes and reads Weir's own tokens: JSON Web Tokens that the
// installation signs itself, for sessions, exchanged access tokens and
// partners. Tokens of other issuers are none of its business.
package token

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/weirhq/weir/internal/random"
)

// Use is what a token is good for. It is the token's "typ", so that a token of
// one use is never taken for one of another.
type Use string

// The uses.
const (
	// STS is the access token that an exchange gives out.
	STS Use = "weir-sts+jwt"
	// Session is that of a user who signed in.
	Session Use = "weir-session+jwt"
	// Partner is that of the Partner API.
	Partner Use = "weir-partner+jwt"
	// PartnerLink lets a partner link an organization to itself; it is no
	// credential.
	PartnerLink Use = "weir-partner-link+jwt"
)

// Claims are what every token of Weir says.
type Claims struct {
	// ID is the token's own; Issue makes it.
	ID string `json:"jti"`
	// Issuer is the public URL of the server that made it, for others who read
	// the token. Weir itself believes the signature alone: replicas may have
	// different URLs.
	Issuer string `json:"iss"`
	// Subject is the ID of the principal.
	Subject string `json:"sub"`
	// Organization is the ID of the organization that it acts in, if any.
	Organization string `json:"organization,omitempty"`
	// IssuedAt, NotBefore and Expiry are in seconds; Issue sets them.
	IssuedAt  jwt.NumericDate `json:"iat"`
	NotBefore jwt.NumericDate `json:"nbf"`
	Expiry    jwt.NumericDate `json:"exp"`
}

// MaxLength is the greatest length in bytes of a token that is read.
const MaxLength = 8 << 10

// MaxLife is the longest life of a token: a signing key is known for at least
// that long after its last use.
const MaxLife = 24 * time.Hour

// leeway is how far the clocks of replicas may be apart.
const leeway = 5 * time.Second

// ErrInvalid is wrapped by the errors for tokens that are not, or no longer,
// good. What they say is for the log and for the user alike, and has nothing of
// the token in it.
var ErrInvalid = errors.New("the token is not valid")

// algorithm is the one that tokens are signed with and read with: no token
// chooses its own.
const algorithm = jose.ES256

// parse reads a token in its compact form, and no other.
func parse(raw string) (*jwt.JSONWebToken, bool) {
	if len(raw) > MaxLength || strings.ContainsFunc(raw, outsideCompact) {
		return nil, false
	}
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{algorithm})
	return parsed, err == nil && len(parsed.Headers) == 1
}

func outsideCompact(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

// UseOf returns the use that a token claims to have, unchecked, or "" for a
// text that is no token of Weir's.
func UseOf(raw string) Use {
	parsed, ok := parse(raw)
	if !ok {
		return ""
	}
	return useOf(parsed)
}

func useOf(t *jwt.JSONWebToken) Use {
	typ, _ := t.Headers[0].ExtraHeaders[jose.HeaderType].(string)
	switch use := Use(typ); use {
	case STS, Session, Partner, PartnerLink:
		return use
	default:
		return ""
	}
}

// Issue signs a token that lives from now on for the time given, which is at
// most MaxLife and counts in whole seconds. more is a structure with further
// claims, or nil.
func (k *Keys) Issue(ctx context.Context, use Use, c Claims, life time.Duration, more any) (string, Claims, error) {
	if life < time.Second || life > MaxLife {
		return "", c, fmt.Errorf("token: a life of %s is not between a second and %s", life, MaxLife)
	}
	now := k.now()
	keys, err := k.load(ctx, now)
	if err != nil {
		return "", c, err
	}
	c.ID = random.Text(22, random.MixedAlphanumeric)
	c.IssuedAt, c.NotBefore = *jwt.NewNumericDate(now), *jwt.NewNumericDate(now)
	c.Expiry = *jwt.NewNumericDate(now.Add(life))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: keys.signer},
		(&jose.SignerOptions{}).WithType(jose.ContentType(use)))
	if err != nil {
		return "", c, fmt.Errorf("token: sign: %w", err)
	}
	builder := jwt.Signed(signer).Claims(c)
	if more != nil {
		builder = builder.Claims(more)
	}
	raw, err := builder.Serialize()
	if err != nil {
		return "", c, fmt.Errorf("token: sign: %w", err)
	}
	return raw, c, nil
}

// Verify reads a token of the use and its further claims into more, unless it
// is nil. The error of a token that is not good wraps ErrInvalid.
func (k *Keys) Verify(ctx context.Context, use Use, raw string, more any) (Claims, error) {
	var c Claims
	parsed, ok := parse(raw)
	if !ok || useOf(parsed) != use {
		return c, fmt.Errorf("%w: it is not of this server, or for another use", ErrInvalid)
	}
	now := k.now()
	key, err := k.verifying(ctx, now, parsed.Headers[0].KeyID)
	if err != nil {
		return c, err
	}
	into := []any{&c}
	if more != nil {
		into = append(into, more)
	}
	if err := parsed.Claims(key, into...); err != nil {
		return Claims{}, fmt.Errorf("%w: its signature is not this server's", ErrInvalid)
	}
	switch {
	case c.Subject == "" || c.ID == "":
		return Claims{}, fmt.Errorf("%w: it names nobody", ErrInvalid)
	case !now.Before(c.Expiry.Time()):
		return Claims{}, fmt.Errorf("%w: it has expired", ErrInvalid)
	case now.Add(leeway).Before(c.NotBefore.Time()):
		return Claims{}, fmt.Errorf("%w: it is not valid yet", ErrInvalid)
	}
	return c, nil
}
