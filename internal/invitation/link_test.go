package invitation

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	e := &engine.Engine{Config: engine.Config{Hasher: authn.NewHasher([]byte("one key"))}}
	seen := map[string]bool{}
	for range 100 {
		made := newToken("i-abc123")
		if seen[made.secret] || len(made.secret) != random.SecretLength {
			t.Fatalf("the secret %q was seen before or has a wrong length", made.secret)
		}
		seen[made.secret] = true
		u, err := url.Parse(made.link("https://weir.example.com/team"))
		if err != nil {
			t.Fatal(err)
		}
		if u.Path != "/team/invitation" {
			t.Errorf("the link goes to %s", u.Path)
		}
		if read, ok := parseToken(u.Query().Get("token")); !ok || read != made {
			t.Errorf("the link of %v is read as %v, %v", made, read, ok)
		}
	}
	a, b := newToken("i-abc123"), newToken("i-abc123")
	moved := token{"i-abc124", a.secret}
	for _, other := range []token{b, moved} {
		if bytes.Equal(a.hash(e), other.hash(e)) {
			t.Errorf("%v and %v have the same hash", a, other)
		}
	}
	elsewhere := &engine.Engine{Config: engine.Config{Hasher: authn.NewHasher([]byte("another key"))}}
	if bytes.Equal(a.hash(e), a.hash(elsewhere)) {
		t.Error("the hash does not depend on the key")
	}
	if bytes.Equal(a.hash(e), e.Hasher.Hash(a.String())) {
		t.Error("a token hashes like an API key's secret")
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("i-abc123." + strings.Repeat("A", random.SecretLength))
	f.Add("i-abc123.")
	f.Add(".")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, ok := parseToken(text)
		if !ok {
			return
		}
		if parsed.String() != text || len(parsed.id) > engine.MaxID || strings.ContainsAny(parsed.id, ". \x00") {
			t.Errorf("%q is read as %q", text, parsed)
		}
	})
}
