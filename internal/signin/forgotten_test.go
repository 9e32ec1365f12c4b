package signin_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/signin"
	"github.com/weirhq/weir/internal/store"
)

// running lets the service send mail until the test ends.
func (w *world) running() {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	var work sync.WaitGroup
	work.Go(func() { w.Run(ctx) })
	w.t.Cleanup(func() { stop(); work.Wait() })
}

var linkPattern = regexp.MustCompile(`https://weir\.example\.com/password/reset\?token=\S+`)

// received is the next mail, and the token of its link.
func (w *world) received() (m mail.Message, token string) {
	w.t.Helper()
	select {
	case m = <-w.mail.sent:
	case <-time.After(20 * time.Second):
		w.t.Fatalf("no mail came: %s", w.log)
	}
	link := linkPattern.FindString(m.Text)
	if link == "" || !strings.Contains(m.HTML, strings.ReplaceAll(link, "&", "&amp;")) {
		w.t.Fatalf("the mail has no link: %s", m.Text)
	}
	u, err := url.Parse(link)
	if err != nil {
		w.t.Fatal(err)
	}
	return m, u.Query().Get("token")
}

func TestForgotten(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		w.running()
		g := w.begin()
		w.Forgot(strings.ToUpper(marty))
		m, token := w.received()
		if m.To != marty {
			t.Errorf("the mail goes to %q", m.To)
		}
		w.lives(g, true) // to ask changes nothing
		const wanted = "a new password"
		for range 2 { // nor does looking
			if user, err := w.ResetUser(t.Context(), token); err != nil || user.ID != w.user {
				t.Fatalf("%v, %v", user, err)
			}
		}
		if err := w.ResetPassword(t.Context(), token, wanted); err != nil {
			t.Fatal(err)
		}
		w.lives(g, false)
		if _, err := w.Begin(t.Context(), attempt(password)); !errors.Is(err, signin.ErrCredentials) {
			t.Errorf("the old password: %v", err)
		}
		if _, err := w.Begin(t.Context(), attempt(wanted)); err != nil {
			t.Errorf("the new password: %v", err)
		}
		if err := w.ResetPassword(t.Context(), token, "another password"); !errors.Is(err, signin.ErrReset) {
			t.Errorf("the link a second time: %v", err)
		}
		w.silent(token, wanted, marty)
	})
}

func TestLinksEnd(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		w.running()
		refused := func(what, token string) {
			t.Helper()
			if _, err := w.ResetUser(t.Context(), token); !errors.Is(err, signin.ErrReset) {
				t.Errorf("%s: to look: %v", what, err)
			}
			if err := w.ResetPassword(t.Context(), token, "a new password"); !errors.Is(err, signin.ErrReset) {
				t.Errorf("%s: %v", what, err)
			}
		}
		w.Forgot(marty)
		_, first := w.received()
		for _, bad := range []string{"", ".", first + "x", first[:len(first)-1], "u-zzzzzz" + first[8:], w.user + ".", w.user, strings.ToUpper(first), strings.Repeat("x", 1<<16)} {
			refused("made up", bad)
		}
		w.Forgot(marty)
		_, second := w.received()
		refused("not of the newest mail", first)
		w.clock.Forward(signin.ResetLife)
		refused("too old", second)
		w.Forgot(marty)
		_, third := w.received()
		if err := w.ChangePassword(t.Context(), attempt(password), "something else"); err != nil {
			t.Fatal(err)
		}
		refused("the password changed meanwhile", third)
		w.clock.Forward(time.Hour)
		w.Forgot(marty)
		_, fourth := w.received()
		w.update(func(tx store.Tx) error {
			o, err := w.Lock(t.Context(), tx, w.org, iam.User, w.user)
			if err != nil {
				return err
			}
			return w.Remove(t.Context(), tx, o)
		})
		refused("the user is gone", fourth)
	})
}

// Who cannot sign in with a password gets no mail, nor does who does not exist,
// and nobody gets more than a few.
func TestWhoGetsMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.running()
	w.personWith(w.org, "pending@example.com", iam.AuthTypeLocal, iam.UserRecord{Pending: true})
	w.personWith(w.org, "sso@example.com", iam.AuthTypeSSO, iam.UserRecord{PasswordHash: quickHash(t, password)})
	for _, email := range []string{"", "pending@example.com", "sso@example.com", "nobody@example.com", marty + "\r\nBcc: all@example.com", strings.Repeat("x", 1<<16)} {
		w.Forgot(email)
	}
	for range 10 {
		w.Forgot(marty)
	}
	for range 3 {
		if m, _ := w.received(); m.To != marty {
			t.Errorf("%q gets mail", m.To)
		}
	}
	w.clock.Forward(time.Hour)
	w.Forgot(marty)
	w.received() // had there been another one, it would have come before this
	if len(w.mail.sent) > 0 {
		t.Errorf("%d mails too many", len(w.mail.sent))
	}
	// An address in two organizations gets a link for each.
	w.person(w.organization("Elsewhere"), marty, password)
	w.clock.Forward(time.Hour)
	w.Forgot(marty)
	_, one := w.received()
	_, other := w.received()
	if one[:8] == other[:8] {
		t.Errorf("both links are of %s", one[:8])
	}
}

// Of forms sent at once with one link, one changes the password.
func TestRaceForOneResetLink(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		w.running()
		w.Forgot(marty)
		_, token := w.received()
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				switch err := w.ResetPassword(t.Context(), token, "password number "+string(rune('A'+i))); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, signin.ErrReset):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d won", won.Load())
		}
	})
}

// A mail that cannot be sent is told of in the log, and the user may ask again.
func TestMailFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.mail.fail = errors.New("mailbox on fire")
	w.running()
	w.Forgot(marty)
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(w.log.String(), "mailbox on fire"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log does not tell")
		}
	}
	w.begin()
}

func TestForgottenPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.running()
	p, err := signin.NewPasswordPage(w.Service, func(http.ResponseWriter, *http.Request) (func(), error) { return func() {}, nil },
		func(*http.Request) string { return home })
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, path string, form url.Values) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(form.Encode()))
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, r)
		if rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s %s: %v", method, path, rec.Header())
		}
		return rec.Code, rec.Body.String()
	}
	if status, body := send("GET", signin.ForgottenPath, nil); status != http.StatusOK || !strings.Contains(body, "Send me a link") || strings.Contains(body, "new_password") {
		t.Errorf("%d %s", status, body)
	}
	_, known := send("POST", signin.ForgottenPath, url.Values{"email": {marty}})
	_, token := w.received()
	status, unknown := send("POST", signin.ForgottenPath, url.Values{"email": {"nobody@example.com"}})
	if status != http.StatusOK || known != unknown || strings.Contains(known, marty) {
		t.Errorf("%d %s, and for nobody %s", status, known, unknown)
	}
	link := signin.ResetPath + "?token=" + url.QueryEscape(token)
	if status, body := send("GET", link, nil); status != http.StatusOK || !strings.Contains(body, marty) || strings.Contains(body, `name="password"`) || strings.Contains(body, token) {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := send("POST", link, url.Values{"new_password": {"short"}}); status != http.StatusUnprocessableEntity {
		t.Errorf("a short password: %d", status)
	}
	if status, body := send("POST", link, url.Values{"new_password": {"a new password"}, "new_password_again": {"a new password"}}); status != http.StatusOK || !strings.Contains(body, "is changed") {
		t.Errorf("%d %s", status, body)
	}
	for _, method := range []string{"GET", "POST"} {
		if status, body := send(method, link, nil); status != http.StatusNotFound || !strings.Contains(body, "not valid") {
			t.Errorf("the link again: %d %s", status, body)
		}
	}
	if _, err := w.Begin(t.Context(), attempt("a new password")); err != nil {
		t.Error(err)
	}
}
