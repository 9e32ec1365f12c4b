package authn_test

import (
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/authn"
)

func TestPasswords(t *testing.T) {
	t.Parallel()
	const password = "correct horse 🔋"
	hash, err := authn.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	// The parameters are in the hash, so that they can be raised later.
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=4$") || strings.Contains(hash, "horse") {
		t.Errorf("the hash is %s", hash)
	}
	again, err := authn.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	if again == hash {
		t.Error("two hashes of one password are the same: there is no salt")
	}
	for attempt, want := range map[string]bool{
		password: true, password + " ": false, "Correct horse 🔋": false, "": false, hash: false,
	} {
		got, err := authn.PasswordMatches(attempt, hash)
		if err != nil || got != want {
			t.Errorf("%q matches: %v, %v", attempt, got, err)
		}
	}
}

func TestPasswordMatchesRefusesWhatIsNoHash(t *testing.T) {
	t.Parallel()
	for _, hash := range []string{"", "x", "$argon2id$", "$argon2i$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g", "$2a$10$abcdefghijklmnopqrstuv"} {
		if ok, err := authn.PasswordMatches("", hash); ok || err == nil {
			t.Errorf("%q matches: %v, %v", hash, ok, err)
		}
	}
}
