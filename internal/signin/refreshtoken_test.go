package signin

import (
	"bytes"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/random"
)

func FuzzResetToken(f *testing.F) {
	key := bytes.Repeat([]byte{1}, 32)
	good := newResetToken("u-12mgdv")
	f.Add(good.String())
	f.Add(".")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		token, ok := parseResetToken(text)
		if ok && token.String() != text {
			t.Fatalf("%q is read as %q", text, token)
		}
		if ok && (token.hash(key) == good.hash(key)) != (token == good) {
			t.Fatalf("%q has the hash of another", text)
		}
	})
}

func FuzzRefreshToken(f *testing.F) {
	key, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	// The same in every process that takes part.
	good := tagged(key, "session-0123456789abcdefghij", strings.Repeat("3", random.SecretLength))
	f.Add(good.String())
	f.Add(good.next(key).String())
	f.Add(tagged(other, good.session, strings.Repeat("4", random.SecretLength)).String())
	f.Add("v1.session-a.b.c")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		token, ok := parseRefreshToken(text)
		if !ok {
			return
		}
		if token.String() != text {
			t.Fatalf("%q is read as %q", text, token)
		}
		if token.authentic(key) && token != good && token != good.next(key) {
			t.Fatalf("%q was made up and is authentic", text)
		}
		if next := token.next(key); next == token || !next.authentic(key) || next.authentic(other) || next != token.next(key) {
			t.Fatalf("%q leads to %q", text, next)
		}
		if same(token.hash(key), nil) || !same(token.hash(key), token.hash(key)) || same(token.hash(key), token.hash(other)) {
			t.Fatalf("the hash of %q is compared wrongly", text)
		}
	})
}
