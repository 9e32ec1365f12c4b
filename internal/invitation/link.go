package invitation

import (
	"net/url"
	"strings"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/random"
)

// Path is where the page is, below the public URL.
const Path = "/invitation"

// token is what makes a link good: the invitation's ID, by which it is found,
// a dot, and 32 random bytes in URL-safe Base64.
type token struct{ id, secret string }

func newToken(id string) token { return token{id, random.Secret()} }

// parseToken reports whether the text can be a token at all.
func parseToken(text string) (token, bool) {
	id, secret, _ := strings.Cut(text, ".")
	return token{id, secret}, iam.Invitation.ID.Has(id) && len(secret) == random.SecretLength
}

func (t token) String() string { return t.id + "." + t.secret }

// link is the address that the mail shows.
func (t token) link(publicURL string) string {
	return publicURL + Path + "?" + url.Values{"token": {t.String()}}.Encode()
}

// hash is what is stored in place of the token. A fast hash is enough for 256
// random bits; the key is the installation's, the same on every replica.
func (t token) hash(e *engine.Engine) []byte {
	return e.Hasher.Sum("weir invitation token", t.String())
}
