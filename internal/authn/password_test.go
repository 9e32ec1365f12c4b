package authn_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
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

// A generated password is hashed in no time, and compared in the time of others:
// what it takes of memory is counted, for which the test must be alone.
func TestHashGenerated(t *testing.T) { //nolint:paralleltest // see above
	const password = "x7Rk2mPq9Lw4Zt6Bn8Vc3Hs5"
	hash, err := authn.HashGenerated(password)
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=1024,t=1,p=1$") {
		t.Fatalf("the hash is %s, %v", hash, err)
	}
	for attempt, want := range map[string]bool{password: true, password + "x": false, "": false} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := authn.PasswordMatches(attempt, hash)
		runtime.ReadMemStats(&after)
		if err != nil || got != want {
			t.Errorf("%q matches: %v, %v", attempt, got, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took < 64<<20 {
			t.Errorf("%q is compared in %d bytes: quicker than other passwords", attempt, took)
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

// What stands for accounts that do not exist costs what a real hash costs, and
// matches nothing.
func TestNoPassword(t *testing.T) {
	t.Parallel()
	hash, err := authn.HashPassword("anything")
	if err != nil {
		t.Fatal(err)
	}
	none := authn.NoPassword()
	if len(none) != len(hash) || none[:strings.LastIndex(none[:30], "$")+1] != hash[:strings.LastIndex(hash[:30], "$")+1] {
		t.Errorf("%s has not the form of %s", none, hash)
	}
	for _, password := range []string{"", "\x00", strings.Repeat("\x00", 32)} {
		if ok, err := authn.PasswordMatches(password, none); ok || err != nil {
			t.Errorf("%q matches: %t, %v", password, ok, err)
		}
	}
}

func TestPasswordProblem(t *testing.T) {
	t.Parallel()
	const email = "marty@example.com"
	for password, good := range map[string]bool{
		"": false, "1234567": false, "12345678": true, strings.Repeat("é", 128): true, strings.Repeat("é", 129): false,
		email: false, strings.ToUpper(email): false, email + "!": true, "        ": true, "\xff\xff\xff\xff\xff\xff\xff\xff": false,
	} {
		if problem := authn.PasswordProblem(password, email); (problem == "") != good {
			t.Errorf("%q: %q", password, problem)
		}
	}
}

// So many run at once, and whoever's time runs out is told.
func TestPasswordsTakeTurns(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}, 10), make(chan struct{})
	p := authn.NewPasswords(func(password string) (string, error) {
		started <- struct{}{}
		<-release
		return "hash of " + password, nil
	})
	var wg sync.WaitGroup
	for range authn.HashesAtOnce {
		wg.Go(func() {
			if hash, err := p.Hash(t.Context(), "x"); err != nil || hash != "hash of x" {
				t.Errorf("%q, %v", hash, err)
			}
		})
	}
	for range authn.HashesAtOnce {
		<-started
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Hash(ctx, "one too many"); !errors.Is(err, authn.ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	if len(started) > 0 {
		t.Error("one too many was hashed")
	}
	close(release)
	wg.Wait()
	if err := p.Turn(t.Context(), func() error { return errors.New("mine") }); err == nil || err.Error() != "mine" {
		t.Errorf("what runs in a turn fails with %v", err)
	}
}
