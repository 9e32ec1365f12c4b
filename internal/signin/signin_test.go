package signin_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/signin"
	"github.com/weirhq/weir/internal/store"
)

func TestBegin(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		w.personWith(w.org, "pending@example.com", iam.AuthTypeLocal, iam.UserRecord{Pending: true, PasswordHash: quickHash(t, password)})
		w.personWith(w.org, "sso@example.com", iam.AuthTypeSSO, iam.UserRecord{PasswordHash: quickHash(t, password)})
		w.person(w.org, "nopassword@example.com", "")
		g := w.begin()
		w.lives(g, true)
		if g.User != w.user || g.Organization != w.org || !strings.HasPrefix(g.Refresh, "v1.") || strings.Count(g.Token, ".") != 2 || !g.Expires.Equal(w.clock.Now().Add(signin.TokenLife)) {
			t.Errorf("the grant is %+v", g)
		}
		for _, a := range []signin.Attempt{
			{Email: strings.ToUpper(marty), Password: password},
			{Email: marty, Password: password, Organization: w.org},
		} {
			if _, err := w.Begin(t.Context(), a); err != nil {
				t.Errorf("%+v: %v", a, err)
			}
		}
		for _, a := range []signin.Attempt{
			{}, {Email: marty}, {Password: password},
			{Email: marty, Password: password + " "},
			{Email: marty, Password: strings.ToUpper(password)},
			{Email: " " + marty, Password: password},
			{Email: marty + "\x00", Password: password},
			{Email: marty, Password: password, Organization: "another"},
			{Email: marty, Password: password, Organization: w.org + "\r\nX: y"},
			{Email: "nobody@example.com", Password: password},
			{Email: "pending@example.com", Password: password},
			{Email: "sso@example.com", Password: password},
			{Email: "nopassword@example.com"},
			{Email: w.user, Password: password},
			{Email: strings.Repeat("x", 1<<20), Password: password},
			{Email: marty, Password: strings.Repeat("x", 1<<20)},
		} {
			if g, err := w.Begin(t.Context(), a); !errors.Is(err, signin.ErrCredentials) || g != nil {
				t.Errorf("%.60v: %v", a, err)
			}
		}
		w.silent(password, "nobody@example.com", g.Token, g.Refresh)
	})
}

// An address can have users in several organizations, each with a password of
// its own.
func TestBeginInOneOfSeveralOrganizations(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		const there = "another password"
		other := w.organization("Elsewhere")
		user := w.person(other, marty, there)
		first := w.begin()
		if first.Organization != w.org {
			t.Errorf("without a name it is %s", first.Organization)
		}
		a := attempt(there)
		if _, err := w.Begin(t.Context(), a); !errors.Is(err, signin.ErrCredentials) {
			t.Errorf("another organization's password: %v", err)
		}
		a.Organization = other
		g, err := w.Begin(t.Context(), a)
		if err != nil || g.Organization != other || g.User != user {
			t.Fatalf("%+v, %v", g, err)
		}
		w.lives(g, true)
		a.Password = password
		if _, err := w.Begin(t.Context(), a); !errors.Is(err, signin.ErrCredentials) {
			t.Errorf("the first organization's password: %v", err)
		}
		// To refresh is not to switch; and having tried it costs nothing.
		if _, err := w.Renew(t.Context(), g.Refresh, w.org, nil); !errors.Is(err, signin.ErrRefresh) {
			t.Errorf("refresh into another organization: %v", err)
		}
		if _, err := w.Renew(t.Context(), g.Refresh, other, nil); err != nil {
			t.Error(err)
		}
		// Who is no longer in the first organization signs in to the next.
		w.update(func(tx store.Tx) error {
			o, err := w.Lock(t.Context(), tx, w.org, iam.User, w.user)
			if err != nil {
				return err
			}
			return w.Remove(t.Context(), tx, o)
		})
		if g, err := w.Begin(t.Context(), attempt(there)); err != nil || g.Organization != other {
			t.Errorf("%+v, %v", g, err)
		}
	})
}

func TestTokensLiveShortly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := w.begin()
	w.clock.Forward(signin.TokenLife - time.Second)
	w.lives(g, true)
	w.clock.Forward(time.Second)
	w.lives(g, false)
	w.lives(w.renew(g.Refresh), true)
}

func TestRenew(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		first := w.begin()
		w.clock.Forward(time.Minute)
		second := w.renew(first.Refresh)
		if second.Refresh == first.Refresh || second.Token == first.Token || second.Session != first.Session {
			t.Errorf("%+v became %+v", first, second)
		}
		w.lives(first, true)
		w.lives(second, true)

		// An answer that was lost, or two commands at the same time.
		w.clock.Forward(signin.RefreshGrace - time.Second)
		again := w.renew(first.Refresh)
		if again.Refresh != second.Refresh {
			t.Error("the same token gives another one")
		}
		w.lives(again, true)
		third := w.renew(second.Refresh)
		w.lives(third, true)
		if w.sessions() != 1 {
			t.Errorf("there are %d sessions", w.sessions())
		}
		w.silent(first.Refresh, second.Refresh, third.Token)
	})
}

// A refresh token that comes a second time is in two hands, and there is no
// telling whose are the right ones.
func TestReuseEndsTheSession(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		for name, steps := range map[string]int{"the one before": 1, "an older one": 3} {
			stolen := w.begin()
			bystander := w.begin()
			newest := stolen
			for range steps {
				newest = w.renew(newest.Refresh)
				w.clock.Forward(signin.RefreshGrace)
			}
			w.lives(newest, true)
			if _, err := w.Renew(t.Context(), stolen.Refresh, "", nil); !errors.Is(err, signin.ErrRefresh) {
				t.Fatalf("%s: %v", name, err)
			}
			w.lives(newest, false)
			if _, err := w.Renew(t.Context(), newest.Refresh, "", nil); !errors.Is(err, signin.ErrRefresh) {
				t.Errorf("%s: the newest is still good: %v", name, err)
			}
			w.lives(bystander, true)
		}
		if !strings.Contains(w.log.String(), "used twice") {
			t.Errorf("the log does not tell: %s", w.log)
		}
	})
}

// Who makes up tokens ends no session, and begins none.
func TestMadeUpRefreshTokens(t *testing.T) {
	t.Parallel()
	w, elsewhere := newWorld(t, ""), newWorld(t, "")
	g := w.begin()
	foreign := elsewhere.begin()
	parts := strings.Split(g.Refresh, ".")
	bad := []string{
		"", "v1.", "v1...", g.Token, g.Session, "v2" + g.Refresh[2:], g.Refresh + ".", g.Refresh + "A", " " + g.Refresh, strings.ToUpper(g.Refresh), foreign.Refresh,
		// another session's, with tags of this one
		strings.Join([]string{"v1", strings.Split(foreign.Refresh, ".")[1], parts[2], parts[3]}, "."),
		strings.Join([]string{"v1", parts[1], strings.Split(foreign.Refresh, ".")[2], parts[3]}, "."),
		strings.Join([]string{"v1", parts[1], parts[3], parts[2]}, "."),
		strings.Repeat("v1.", 1<<16),
	}
	for i := range g.Refresh {
		changed := []byte(g.Refresh)
		changed[i] ^= 1
		bad = append(bad, string(changed))
	}
	for _, refresh := range bad {
		if _, err := w.Renew(t.Context(), refresh, "", nil); !errors.Is(err, signin.ErrRefresh) {
			t.Fatalf("%.80q: %v", refresh, err)
		}
		if err := w.End(t.Context(), "", refresh); !errors.Is(err, signin.ErrRefresh) {
			t.Fatalf("sign out with %.80q: %v", refresh, err)
		}
	}
	w.lives(g, true)
	w.renew(g.Refresh)
}

// A token of another installation, another session's or a changed one opens
// nothing.
func TestMadeUpTokens(t *testing.T) {
	t.Parallel()
	w, elsewhere := newWorld(t, ""), newWorld(t, "")
	g := w.begin()
	foreign := elsewhere.begin()
	w.lives(g, true)
	if caller(t, w.Engine, foreign.Token) != nil {
		t.Error("a token of another installation is good")
	}
	mine, theirs := strings.Split(g.Token, "."), strings.Split(foreign.Token, ".")
	for _, raw := range []string{
		mine[0] + "." + theirs[1] + "." + mine[2], theirs[0] + "." + mine[1] + "." + mine[2], mine[0] + "." + mine[1] + ".", mine[0] + "." + mine[1], g.Refresh,
	} {
		if caller(t, w.Engine, raw) != nil {
			t.Errorf("%s is good", raw)
		}
	}
	for i := range mine[1] {
		changed := []byte(mine[1])
		changed[i] ^= 1
		same, _ := base64.RawURLEncoding.DecodeString(string(changed))
		if was, _ := base64.RawURLEncoding.DecodeString(mine[1]); bytes.Equal(same, was) {
			continue // the last character has bits that mean nothing
		}
		if caller(t, w.Engine, mine[0]+"."+string(changed)+"."+mine[2]) != nil {
			t.Fatalf("changed at %d it is good", i)
		}
	}
	if err := w.End(t.Context(), foreign.Token, ""); !errors.Is(err, authn.ErrToken) {
		t.Errorf("sign out with a token of another installation: %v", err)
	}
}

func TestEnd(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		for _, with := range []string{"token", "refresh token"} {
			g, other := w.begin(), w.begin()
			w.lives(g, true)
			raw, refresh := g.Token, ""
			if with == "refresh token" {
				raw, refresh = "", g.Refresh
			}
			for range 2 { // the second time there is nothing left to end
				if err := w.End(t.Context(), raw, refresh); err != nil {
					t.Fatalf("%s: %v", with, err)
				}
			}
			w.lives(g, false)
			if _, err := w.Renew(t.Context(), g.Refresh, "", nil); !errors.Is(err, signin.ErrRefresh) {
				t.Errorf("%s: the session can be renewed: %v", with, err)
			}
			w.lives(other, true)
		}
	})
}

func TestSessionsGrowOld(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		idle, used, began := w.begin(), w.begin(), w.clock.Now()
		w.clock.Forward(signin.IdleLife - time.Second)
		used = w.renew(used.Refresh)
		w.clock.Forward(time.Second)
		if _, err := w.Renew(t.Context(), idle.Refresh, "", nil); !errors.Is(err, signin.ErrRefresh) {
			t.Errorf("a session that was idle for %s: %v", signin.IdleLife, err)
		}
		for ends := began.Add(signin.MaxLife); w.clock.Now().Add(signin.IdleLife / 2).Before(ends); {
			w.clock.Forward(signin.IdleLife / 2)
			used = w.renew(used.Refresh)
		}
		w.clock.Forward(signin.IdleLife / 2)
		if _, err := w.Renew(t.Context(), used.Refresh, "", nil); !errors.Is(err, signin.ErrRefresh) {
			t.Errorf("a session of %s: %v", signin.MaxLife, err)
		}
		if n := w.sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// No token outlives its session.
func TestTheLastTokenIsShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := w.begin()
	ends := w.clock.Now().Add(signin.MaxLife)
	for w.clock.Now().Before(ends.Add(-signin.IdleLife / 2)) {
		w.clock.Forward(signin.IdleLife / 2)
		g = w.renew(g.Refresh)
	}
	w.clock.Forward(ends.Sub(w.clock.Now()) - time.Minute)
	if g = w.renew(g.Refresh); !g.Expires.Equal(ends) {
		t.Errorf("the last token lives until %s, the session until %s", g.Expires, ends)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		for range 3 {
			w.begin()
		}
		w.clock.Forward(signin.IdleLife / 2)
		young := w.begin()
		w.clock.Forward(signin.IdleLife / 2)
		if err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.sessions(); n != 1 {
			t.Errorf("%d sessions are left", n)
		}
		w.renew(young.Refresh)
	})
}

func TestAUserHasSoManySessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	first := w.begin()
	var newest *signin.Grant
	for range signin.MaxSessions {
		newest = w.begin()
	}
	if n := w.sessions(); n != signin.MaxSessions {
		t.Errorf("there are %d sessions", n)
	}
	w.lives(first, false)
	w.lives(newest, true)
}

func TestWhatEndsAllSessionsOfAUser(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		for name, end := range map[string]func(user string){
			"another password": func(user string) {
				w.update(func(tx store.Tx) error {
					return iam.SetPassword(t.Context(), w.Engine, tx, w.org, user, quickHash(t, "another"), nil)
				})
			},
			"deletion": func(user string) {
				w.update(func(tx store.Tx) error {
					o, err := w.Lock(t.Context(), tx, w.org, iam.User, user)
					if err != nil {
						return err
					}
					return w.Remove(t.Context(), tx, o)
				})
			},
		} {
			email := strings.ReplaceAll(name, " ", "-") + "@example.com"
			user := w.person(w.org, email, password)
			var grants []*signin.Grant
			for range 2 {
				g, err := w.Begin(t.Context(), signin.Attempt{Email: email, Password: password})
				if err != nil {
					t.Fatal(err)
				}
				w.lives(g, true)
				grants = append(grants, g)
			}
			bystander := w.begin()
			end(user)
			for _, g := range grants {
				w.lives(g, false)
				if _, err := w.Renew(t.Context(), g.Refresh, "", nil); !errors.Is(err, signin.ErrRefresh) {
					t.Errorf("%s: the session can be renewed: %v", name, err)
				}
			}
			w.lives(bystander, true)
			if _, err := w.Begin(t.Context(), signin.Attempt{Email: email, Password: password}); !errors.Is(err, signin.ErrCredentials) {
				t.Errorf("%s: the old password signs in: %v", name, err)
			}
		}
	})
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		const wanted = "roads? where we're going"
		g := w.begin()
		if err := w.ChangePassword(t.Context(), attempt("wrong"), wanted); !errors.Is(err, signin.ErrCredentials) {
			t.Errorf("with a wrong password: %v", err)
		}
		w.lives(g, true)
		if err := w.ChangePassword(t.Context(), attempt(password), wanted); err != nil {
			t.Fatal(err)
		}
		w.lives(g, false)
		if _, err := w.Begin(t.Context(), attempt(password)); !errors.Is(err, signin.ErrCredentials) {
			t.Errorf("the old password: %v", err)
		}
		if _, err := w.Begin(t.Context(), attempt(wanted)); err != nil {
			t.Errorf("the new password: %v", err)
		}
		w.silent(password, wanted)
	})
}

// A sign-in that was under way when the password changed leaves no session.
func TestSignInAgainstChangeOfPassword(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		var grants sync.Map
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				a := attempt(password)
				a.Address = fmt.Sprint(i) // who comes too late is refused, and that counts
				if g, err := w.Begin(t.Context(), a); err == nil {
					grants.Store(g.Session, g)
				} else if !errors.Is(err, signin.ErrCredentials) {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if err := w.ChangePassword(t.Context(), attempt(password), "something else"); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		grants.Range(func(_, g any) bool {
			w.lives(g.(*signin.Grant), false)
			return true
		})
		if n := w.sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// Of commands that refresh at the same time each gets tokens that work.
func TestRenewAtTheSameTime(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		first := w.begin()
		grants := make([]*signin.Grant, 8)
		var wg sync.WaitGroup
		for i := range grants {
			wg.Go(func() {
				var err error
				if grants[i], err = w.Renew(t.Context(), first.Refresh, "", nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, g := range grants {
			if g == nil || g.Refresh != grants[0].Refresh {
				t.Fatalf("%+v and %+v", g, grants[0])
			}
			w.lives(g, true)
		}
		w.renew(grants[0].Refresh)
	})
}

// What ends a session on one replica counts on the others as soon as they hear of
// it; storetest says how soon that is.
func TestSessionsEndOnEveryReplica(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		there := w.again()
		g := w.begin()
		eventually := func(what string, want bool) {
			t.Helper()
			for deadline := time.Now().Add(20 * time.Second); (caller(t, there, g.Token) != nil) != want; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: on the other replica it is good: %t", what, !want)
				}
			}
		}
		eventually("a new session", true)
		if err := w.End(t.Context(), g.Token, ""); err != nil {
			t.Fatal(err)
		}
		w.lives(g, false)
		eventually("a session that ended", false)
		// Renewed there, good here.
		g = w.begin()
		next, err := w.service(there).Renew(t.Context(), g.Refresh, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		w.lives(next, true)
	})
}

func TestAttemptsAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	fail := func(email, address string) error {
		t.Helper()
		_, err := w.Begin(t.Context(), signin.Attempt{Email: email, Password: "wrong", Address: address})
		return err
	}
	var tooMany *signin.TooManyError
	exhaust := func(email, address string) (tries int) {
		t.Helper()
		for err := fail(email, address); !errors.As(err, &tooMany); err = fail(email, address) {
			if tries++; !errors.Is(err, signin.ErrCredentials) || tries > 500 {
				t.Fatalf("attempt %d: %v", tries, err)
			}
		}
		return tries
	}
	if n := exhaust(marty, "192.0.2.66"); n != 10 {
		t.Errorf("%d attempts from one address", n)
	}
	if s := tooMany.Seconds(); s < 1 || s > 60 {
		t.Errorf("the next in %d seconds", s)
	}
	// The right password must wait there too, or guesses could go on. It does so
	// whatever the case of the address.
	if _, err := w.Begin(t.Context(), signin.Attempt{Email: strings.ToUpper(marty), Password: password, Address: "192.0.2.66"}); !errors.As(err, &tooMany) {
		t.Errorf("the right password where too many failed: %v", err)
	}
	w.begin() // the owner is somewhere else
	// One that is not there is counted the same.
	if n := exhaust("nobody@example.com", "192.0.2.67"); n != 10 {
		t.Errorf("%d attempts on an account that does not exist", n)
	}
	w.clock.Forward(tooMany.RetryAfter)
	if err := fail(marty, "192.0.2.66"); !errors.Is(err, signin.ErrCredentials) {
		t.Errorf("after the time that it was told to wait: %v", err)
	}

	// One address and many accounts.
	tries := 0
	for ; tries < 500; tries++ {
		if err := fail(fmt.Sprintf("user-%d@example.com", tries), "192.0.2.68"); errors.As(err, &tooMany) {
			break
		}
	}
	if tries != 60 {
		t.Errorf("one address tried %d accounts", tries)
	}
	w.clock.Forward(time.Hour)
}

// Many addresses that guess at one account do not shut out where its owner has
// signed in from before.
func TestManyAddressesAgainstOneAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.begin()
	var tooMany *signin.TooManyError
	tries := 0
	for ; tries < 500; tries++ {
		_, err := w.Begin(t.Context(), signin.Attempt{Email: marty, Password: "wrong", Address: fmt.Sprint("198.51.100.", tries)})
		if errors.As(err, &tooMany) {
			break
		}
	}
	if tries != 100 {
		t.Errorf("%d addresses tried", tries)
	}
	w.begin()
	// Even the familiar address has its own limit.
	for range 10 {
		_, _ = w.Begin(t.Context(), attempt("wrong"))
	}
	if _, err := w.Begin(t.Context(), attempt(password)); !errors.As(err, &tooMany) {
		t.Errorf("after ten failures: %v", err)
	}
}

// Success does not count, however often.
func TestSuccessIsNotLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for range 150 {
		w.begin()
	}
}

// A flood of passwords waits for its turn, and gives up.
func TestPasswordsTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	passwords := authn.NewPasswords(authn.HashPassword)
	s, err := signin.New(w.Engine, passwords, w.mail, 0)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	var holding, taken sync.WaitGroup
	taken.Add(authn.HashesAtOnce)
	for range authn.HashesAtOnce {
		holding.Go(func() {
			_ = passwords.Turn(t.Context(), func() error {
				taken.Done()
				<-release
				return nil
			})
		})
	}
	taken.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Begin(ctx, attempt(password)); !errors.Is(err, authn.ErrBusy) {
		t.Errorf("while all turns are taken: %v", err)
	}
	close(release)
	holding.Wait()
	if _, err := s.Begin(t.Context(), attempt(password)); err != nil {
		t.Error(err)
	}
}

func TestFindAndReset(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		g := w.begin()
		for _, who := range []string{marty, strings.ToUpper(marty), w.user} {
			if o, err := signin.Find(t.Context(), w.Engine, who); err != nil || o.ID != w.user {
				t.Errorf("%s is %v, %v", who, o, err)
			}
		}
		for _, who := range []string{"", "nobody@example.com", "u-zzzzzz", "sa-abc123"} {
			if _, err := signin.Find(t.Context(), w.Engine, who); err == nil {
				t.Errorf("%q was found", who)
			}
		}
		user, err := signin.Find(t.Context(), w.Engine, marty)
		if err != nil {
			t.Fatal(err)
		}
		for bad, word := range map[string]string{"": "choose a password", "short": "longer", strings.Repeat("x", 129): "shorter", marty: "not your e-mail"} {
			if err := signin.Reset(t.Context(), w.Engine, user, bad); err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		w.lives(g, true)
		if err := signin.Reset(t.Context(), w.Engine, user, "a new password"); err != nil {
			t.Fatal(err)
		}
		w.lives(g, false)
		if _, err := w.Begin(t.Context(), attempt("a new password")); err != nil {
			t.Error(err)
		}
		w.person(w.organization("Elsewhere"), marty, password)
		if _, err := signin.Find(t.Context(), w.Engine, marty); err == nil || !strings.Contains(err.Error(), w.user) {
			t.Errorf("an address in two organizations: %v", err)
		}
		pending, err := signin.Find(t.Context(), w.Engine, w.personWith(w.org, "pending@example.com", iam.AuthTypeLocal, iam.UserRecord{Pending: true}))
		if err != nil {
			t.Fatal(err)
		}
		if err := signin.Reset(t.Context(), w.Engine, pending, "a new password"); !errors.Is(err, iam.ErrNoSignIn) || !strings.Contains(err.Error(), "invitation") {
			t.Errorf("a user who is pending: %v", err)
		}
	})
}
