package sso

import (
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/random"
)

// attemptLife is how long somebody may take at the provider.
const attemptLife = 10 * time.Minute

// attempt is a sign-in on its way. The browser keeps its value in a cookie: when it
// ends, a dot, and 32 random bytes. From that, the connection and the
// installation's key follow state, nonce and verifier, so that no replica keeps
// anything, and nothing that a browser sends is believed but what it was given.
type attempt struct {
	key               []byte
	connection, value string
}

func newAttempt(key []byte, connection string, now time.Time) attempt {
	return attempt{key, connection, strconv.FormatInt(now.Add(attemptLife).Unix(), 10) + "." + random.Secret()}
}

// continued reports whether the attempt with the value is the one that the state
// is of, and whether there is time left.
func continued(key []byte, connection, value, state string, now time.Time) (attempt, bool) {
	a := attempt{key, connection, value}
	until, secret, _ := strings.Cut(value, ".")
	ends, err := strconv.ParseInt(until, 10, 64)
	return a, err == nil && len(secret) == random.SecretLength && now.Unix() < ends &&
		subtle.ConstantTimeCompare([]byte(state), []byte(a.state())) == 1
}

// state is what the provider sends back, nonce is in the ID token, verifier
// proves who asked for the code (RFC 7636).
func (a attempt) state() string    { return a.sum("state") }
func (a attempt) nonce() string    { return a.sum("nonce") }
func (a attempt) verifier() string { return a.sum("verifier") }

func (a attempt) sum(use string) string {
	return base64.RawURLEncoding.EncodeToString(authn.Sum(a.key, "weir single sign-on "+use, a.connection+"\x00"+a.value))
}

// cookie keeps the value in the browser, or takes it away where it is "". Lax
// cookies come along when a provider sends the browser back, and with nothing that
// other sites have it do.
func cookie(publicURL, value string) *http.Cookie {
	c := &http.Cookie{Name: cookieName(publicURL), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(publicURL)} //nolint:gosec // Secure wherever there is TLS to the browser
	if c.MaxAge = int(attemptLife / time.Second); value == "" {
		c.MaxAge = -1
	}
	return c
}

// cookieName has the prefix by which browsers keep a cookie from being set by other
// hosts and over plain HTTP.
func cookieName(publicURL string) string {
	if secure(publicURL) {
		return "__Host-weir-sso"
	}
	return "weir-sso"
}

func secure(publicURL string) bool { return strings.HasPrefix(publicURL, "https:") }
