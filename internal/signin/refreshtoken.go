package signin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/weirhq/weir/internal/iam"
)

// refreshToken is "v1.", which the vendor's CLI looks for, and then three parts
// with dots between them: the session's ID, a secret, and a tag that proves that
// this installation made the token. The first secret of a session is random,
// each further one follows from the token before, so that asking twice gives
// the same answer. Of the tokens only hashes are stored.
type refreshToken struct{ session, secret, tag string }

const (
	refreshPrefix = "v1."
	// textLength is how long 32 bytes are in Base64.
	textLength = 43
)

func newRefreshToken(key []byte, session string) refreshToken {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return tagged(key, session, b)
}

func tagged(key []byte, session string, secret []byte) refreshToken {
	t := refreshToken{session: session, secret: base64.RawURLEncoding.EncodeToString(secret)}
	t.tag = base64.RawURLEncoding.EncodeToString(t.sum(key, "tag", t.session+"."+t.secret))
	return t
}

// parseRefreshToken reports whether the text can be a refresh token at all.
func parseRefreshToken(text string) (refreshToken, bool) {
	rest, ok := strings.CutPrefix(text, refreshPrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 {
		return refreshToken{}, false
	}
	t := refreshToken{parts[0], parts[1], parts[2]}
	return t, iam.Session.ID.Has(t.session) && len(t.secret) == textLength && len(t.tag) == textLength
}

func (t refreshToken) String() string {
	return refreshPrefix + t.session + "." + t.secret + "." + t.tag
}

// authentic reports whether this installation made the token, be it good or
// used up. Somebody who makes up tokens can thus end no session.
func (t refreshToken) authentic(key []byte) bool {
	want := base64.RawURLEncoding.EncodeToString(t.sum(key, "tag", t.session+"."+t.secret))
	return subtle.ConstantTimeCompare([]byte(t.tag), []byte(want)) == 1
}

// next is the token that takes the place of this one.
func (t refreshToken) next(key []byte) refreshToken {
	return tagged(key, t.session, t.sum(key, "next", t.String()))
}

// hash is what is stored in place of the token. A fast hash is enough for 256
// random bits.
func (t refreshToken) hash(key []byte) []byte { return t.sum(key, "hash", t.String()) }

func (t refreshToken) sum(key []byte, use, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("weir refresh token " + use + "\x00"))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// same compares in constant time. No hash is the same as one that is not there.
func same(hash, stored []byte) bool {
	return len(stored) > 0 && subtle.ConstantTimeCompare(hash, stored) == 1
}
