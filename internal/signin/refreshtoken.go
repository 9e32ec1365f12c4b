package signin

import (
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/random"
)

// refreshToken is "v1.", which the vendor's CLI looks for, and then three parts
// with dots between them: the session's ID, a secret, and a tag that proves that
// this installation made the token. The first secret of a session is random,
// each further one follows from the token before, so that asking twice gives
// the same answer. Of the tokens only hashes are stored.
type refreshToken struct{ session, secret, tag string }

const refreshPrefix = "v1."

func newRefreshToken(key []byte, session string) refreshToken {
	return tagged(key, session, random.Secret())
}

func tagged(key []byte, session, secret string) refreshToken {
	t := refreshToken{session: session, secret: secret}
	t.tag = t.wanted(key)
	return t
}

// wanted is the tag that proves where the token comes from.
func (t refreshToken) wanted(key []byte) string {
	return base64.RawURLEncoding.EncodeToString(t.sum(key, "tag", t.session+"."+t.secret))
}

// parseRefreshToken reports whether the text can be a refresh token at all.
func parseRefreshToken(text string) (refreshToken, bool) {
	rest, ok := strings.CutPrefix(text, refreshPrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 {
		return refreshToken{}, false
	}
	t := refreshToken{parts[0], parts[1], parts[2]}
	return t, iam.Session.ID.Has(t.session) && len(t.secret) == random.SecretLength && len(t.tag) == random.SecretLength
}

func (t refreshToken) String() string {
	return refreshPrefix + t.session + "." + t.secret + "." + t.tag
}

// authentic reports whether this installation made the token, be it good or
// used up. Somebody who makes up tokens can thus end no session.
func (t refreshToken) authentic(key []byte) bool {
	return subtle.ConstantTimeCompare([]byte(t.tag), []byte(t.wanted(key))) == 1
}

// next is the token that takes the place of this one.
func (t refreshToken) next(key []byte) refreshToken {
	return tagged(key, t.session, base64.RawURLEncoding.EncodeToString(t.sum(key, "next", t.String())))
}

// hash is what is stored in place of the token. A fast hash is enough for 256
// random bits.
func (t refreshToken) hash(key []byte) []byte { return t.sum(key, "hash", t.String()) }

func (t refreshToken) sum(key []byte, use, text string) []byte {
	return authn.Sum(key, "weir refresh token "+use, text)
}

// same compares in constant time. No hash is the same as one that is not there.
func same(hash, stored []byte) bool {
	return len(stored) > 0 && subtle.ConstantTimeCompare(hash, stored) == 1
}
