package invitation_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
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

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/invitation"
	"github.com/weirhq/weir/internal/sso"
	"github.com/weirhq/weir/internal/store"
)

const good = "back to 1985"

func TestLinksThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	id, link := w.sent(marty)
	staged := w.invite("doc@example.com")
	h := w.handler()
	base, token, _ := strings.Cut(link, "token=")
	base += "token="
	_, secret, _ := strings.Cut(token, ".")
	other := "A" + secret[1:]
	if secret[0] == 'A' {
		other = "B" + secret[1:]
	}
	for name, link := range map[string]string{
		"no query":            strings.TrimSuffix(base, "?token="),
		"empty":               base,
		"no secret":           base + id,
		"empty secret":        base + id + ".",
		"wrong secret":        base + id + "." + other,
		"cut secret":          base + token[:len(token)-1],
		"longer secret":       base + token + "A",
		"secret alone":        base + secret,
		"another invitation":  base + staged + "." + secret,
		"no such invitation":  base + "i-zzzzzz." + secret,
		"another kind":        base + "u-" + id[2:] + "." + secret,
		"NUL":                 base + "i-%00%00%00%00%00%00." + secret,
		"broken encoding":     base + "%zz",
		"other parameter":     strings.Replace(link, "token=", "tokens=", 1),
		"case of the ID":      base + strings.ToUpper(id) + "." + secret,
		"staged, no mail yet": base + staged + "." + strings.Repeat("A", 43),
	} {
		t.Run(name, func(t *testing.T) {
			open(t, h, link).want(t, http.StatusNotFound, "not valid")
			if a := submit(t, h, link, "Marty", good, good); a.Code != http.StatusNotFound && a.Code != http.StatusBadRequest {
				t.Errorf("the form is answered with %d: %s", a.Code, a.body)
			}
		})
	}
	if _, record := w.user(id); !record.Pending {
		t.Error("one of them was good enough")
	}
}

func TestFormProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	id, link := w.sent(marty)
	h := w.handler()
	for name, c := range map[string]struct {
		name, password, again string
		want                  []string
	}{
		"nothing":             {"", "", "", []string{"Enter your name.", "Choose a password."}},
		"blank name":          {" \t ", good, good, []string{"Enter your name."}},
		"long name":           {strings.Repeat("é", 256), good, good, []string{"Shorten your name"}},
		"control in the name": {"Marty\x1b[31m", good, good, []string{"without control characters"}},
		"broken name":         {"Marty\xff", good, good, []string{"without control characters"}},
		"short":               {"Marty", "1234567", "1234567", []string{"at least 8 characters"}},
		"short, many bytes":   {"Marty", "éééé", "éééé", []string{"at least 8 characters"}},
		"long":                {"Marty", strings.Repeat("x", 129), strings.Repeat("x", 129), []string{"at most 128 characters"}},
		"broken":              {"Marty", "12345678\xff", "12345678\xff", []string{"can be read"}},
		"the address":         {"Marty", marty, marty, []string{"not your e-mail address."}},
		"the address, folded": {"Marty", strings.ToUpper(marty), strings.ToUpper(marty), []string{"not your e-mail address."}},
		"not repeated":        {"Marty", good, "", []string{"Repeat the password."}},
		"mismatch":            {"Marty", good, good + "!", []string{"the two differ"}},
		"case":                {"Marty", good, strings.ToUpper(good), []string{"the two differ"}},
		"space at the end":    {"Marty", good, good + " ", []string{"the two differ"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := submit(t, h, link, c.name, c.password, c.again)
			a.want(t, http.StatusUnprocessableEntity, append(c.want, "<form", `role="alert"`, `aria-invalid="true"`)...)
			if kept := strings.TrimSpace(c.name); kept == "Marty" && !strings.Contains(a.body, `value="Marty"`) {
				t.Error("the name is lost")
			}
			for _, m := range regexp.MustCompile(`<input[^>]*type="password"[^>]*>`).FindAllString(a.body, -1) {
				if strings.Contains(m, "value") {
					t.Errorf("a password is sent back: %s", m)
				}
			}
			for _, p := range []string{c.password, c.again} {
				if p != "" && !strings.EqualFold(p, marty) && strings.Contains(a.body, p) {
					t.Errorf("the page has the password in it: %s", a.body)
				}
			}
		})
	}
	w.wantStatus(id, iam.StatusSent)
	if user, record := w.user(id); !record.Pending || record.PasswordHash != "" || user.Doc.String("full_name") != "" {
		t.Error("a form with problems changed the user")
	}
}

func TestPasswordsThatAreGood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	h := w.handler()
	for i, password := range []string{"12345678", strings.Repeat("x", 128), strings.Repeat("é", 128), " leading and trailing ", "пароль для всех", `"<&'>;--`} {
		email := strings.Repeat("x", i+1) + "@example.com"
		id, link := w.sent(email)
		submit(t, h, link, strings.Repeat("é", 255), password, password).want(t, http.StatusOK, "is active")
		if _, record := w.user(id); record.PasswordHash != "hash of "+password {
			t.Errorf("the password %q became %q", password, record.PasswordHash)
		}
	}
}

// Of forms sent at once with one link, one makes the account.
func TestRaceForOneLink(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		const people = 6
		id, link := w.sent(marty)
		h := w.handler()
		var hashed sync.WaitGroup // all have seen the link open before any uses it
		hashed.Add(authn.HashesAtOnce)
		var first atomic.Int32
		h.HashWith(func(p string) (string, error) {
			if first.Add(1) <= authn.HashesAtOnce {
				hashed.Done()
				hashed.Wait()
			}
			return p, nil
		})
		var wg sync.WaitGroup
		var winner atomic.Value
		var won, lost atomic.Int32
		for i := range people {
			password := "password of " + string(rune('A'+i))
			wg.Go(func() {
				switch a := submit(t, h, link, password, password, password); a.Code {
				case http.StatusOK:
					won.Add(1)
					winner.Store(password)
				case http.StatusGone:
					lost.Add(1)
				default:
					t.Errorf("the page answers %d: %s", a.Code, a.body)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != people-1 {
			t.Fatalf("%d won, %d lost", won.Load(), lost.Load())
		}
		user, record := w.user(id)
		if record.PasswordHash != winner.Load() || user.Doc.String("full_name") != winner.Load() || record.Pending {
			t.Errorf("%v won and the user has %q and %q", winner.Load(), record.PasswordHash, user.Doc.String("full_name"))
		}
	})
}

// Each hash takes 64 MiB, so few are made at once; who waits does so no longer
// than the request may take.
func TestHashesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	h := w.handler()
	started, release := make(chan struct{}, 10), make(chan struct{})
	h.HashWith(func(p string) (string, error) {
		started <- struct{}{}
		<-release
		return p, nil
	})
	var links []string
	for _, email := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		_, link := w.sent(email)
		links = append(links, link)
	}
	var wg sync.WaitGroup
	for _, link := range links[:authn.HashesAtOnce] {
		wg.Go(func() { submit(t, h, link, "Marty", good, good).want(t, http.StatusOK) })
	}
	for range authn.HashesAtOnce {
		<-started
	}
	r := request(t, http.MethodPost, links[2], url.Values{"full_name": {"Doc"}, "password": {good}, "password_again": {good}})
	// A form that is wrong does not wait for a hash.
	submit(t, h, links[2], "", good, good).want(t, http.StatusUnprocessableEntity)
	ctx, cancel := context.WithTimeout(r.Context(), 200*time.Millisecond)
	defer cancel()
	a := serve(h, r.WithContext(ctx))
	a.want(t, http.StatusServiceUnavailable, "still good")
	if a.Header().Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
	if len(started) > 0 {
		t.Error("one hash too many was made")
	}
	close(release)
	wg.Wait()
	submit(t, h, links[2], "Doc", good, good).want(t, http.StatusOK) // the link is still good
}

func TestHashFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	id, link := w.sent(marty)
	h := w.handler()
	h.HashWith(func(string) (string, error) { return "", errors.New("no memory") })
	submit(t, h, link, "Marty", good, good).want(t, http.StatusInternalServerError, "Something went wrong")
	w.wantStatus(id, iam.StatusSent)
	if !strings.Contains(w.log.String(), "no memory") || strings.Contains(w.log.String(), good) {
		t.Errorf("the log says %s", w.log)
	}
	w.wantNoToken()
}

func TestAttemptsAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	id, link := w.sent(marty)
	asked := 0
	h := w.slowHandler(func(rw http.ResponseWriter, r *http.Request) (leave func(), err error) {
		asked++
		if r.Method != http.MethodPost {
			t.Errorf("it is asked about a %s", r.Method)
		}
		rw.Header().Set("Retry-After", "7")
		return nil, errors.New("slow down")
	})
	open(t, h, link).want(t, http.StatusOK)
	for _, l := range []string{link, publicURL + "/invitation?token=x"} {
		a := submit(t, h, l, "Marty", good, good)
		a.want(t, http.StatusTooManyRequests, "Too many attempts")
		if a.Header().Get("Retry-After") != "7" {
			t.Errorf("the headers are %v", a.Header())
		}
	}
	if asked != 2 {
		t.Errorf("it was asked %d times", asked)
	}
	w.wantStatus(id, iam.StatusSent)
}

func TestBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	id, link := w.sent(marty)
	h := w.handler()
	form := "full_name=Marty&password=" + url.QueryEscape(good) + "&password_again=" + url.QueryEscape(good)
	for name, c := range map[string]struct {
		kind, body string
		want       int
	}{
		"too large":       {"application/x-www-form-urlencoded", form + "&x=" + strings.Repeat("x", 16<<10), http.StatusRequestEntityTooLarge},
		"broken":          {"application/x-www-form-urlencoded", "full_name=%zz", http.StatusBadRequest},
		"no type":         {"", form, http.StatusUnprocessableEntity},
		"JSON":            {"application/json", `{"full_name":"Marty"}`, http.StatusUnprocessableEntity},
		"nothing":         {"application/x-www-form-urlencoded", "", http.StatusUnprocessableEntity},
		"type is no type": {"a/b/c;;", form, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, http.MethodPost, link, nil)
			r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, r.URL.String(), strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			serve(h, r).want(t, c.want)
		})
	}
	// What stands in the address is not taken for the form.
	serve(h, request(t, http.MethodPost, link+"&"+form, nil)).want(t, http.StatusUnprocessableEntity)
	w.wantStatus(id, iam.StatusSent)
}

func TestMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	id, link := w.sent(marty)
	h := w.handler()
	serve(h, request(t, http.MethodHead, link, nil)).want(t, http.StatusOK)
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
		a := serve(h, request(t, method, link, nil))
		a.want(t, http.StatusMethodNotAllowed)
		if a.Header().Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: Allow is %q", method, a.Header().Get("Allow"))
		}
	}
	w.wantStatus(id, iam.StatusSent)
}

// Every answer keeps the link to itself.
func TestHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	_, link := w.sent(marty)
	h := w.handler()
	for name, a := range map[string]answer{
		"form":       open(t, h, link),
		"problems":   submit(t, h, link, "", "", ""),
		"welcome":    submit(t, h, link, "Marty", good, good),
		"spent":      open(t, h, link),
		"not found":  open(t, h, publicURL+"/invitation"),
		"not method": serve(h, request(t, http.MethodPut, link, nil)),
	} {
		for header, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
			"X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8",
		} {
			if got := a.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
		_, after, _ := strings.Cut(a.body, "<style>")
		style, _, found := strings.Cut(after, "</style>")
		sum := sha256.Sum256([]byte(style))
		want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
		if got := a.Header().Get("Content-Security-Policy"); got != want || !found {
			t.Errorf("%s: the policy is %q, want %q", name, got, want)
		}
		if strings.Contains(a.body, "<script") || strings.Contains(a.body, "style=") || strings.Contains(a.body, "action=") {
			t.Errorf("%s: the page has what its policy forbids, or an address that a prefix breaks: %s", name, a.body)
		}
		_, secret, _ := strings.Cut(link, ".example.com/team/invitation?token=")
		if strings.Contains(a.body, secret) {
			t.Errorf("%s: the page repeats the token", name)
		}
	}
	w.wantNoToken()
}

// Names come from people, and stay text.
func TestNamesAreEscaped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	const name = `"><script>alert(1)</script>`
	w.update(func(tx store.Tx) error {
		o, err := w.Lock(t.Context(), tx, w.org, w.Kind("org/v2.Organization"), w.org)
		if err != nil {
			return err
		}
		o.Doc.Set("display_name", "<b>&\r\nBcc: x")
		return w.Save(t.Context(), tx, o)
	})
	_, link := w.sent(marty)
	m := w.mail.all()[0]
	if m.Subject != "Invitation to <b>& Bcc: x on Weir" || strings.Contains(m.HTML, "<b>&") || !strings.Contains(m.HTML, "&lt;b&gt;&amp; Bcc: x") {
		t.Errorf("the mail: %q %s", m.Subject, m.HTML)
	}
	h := w.handler()
	for _, a := range []answer{submit(t, h, link, name, "", ""), submit(t, h, link, name, good, good)} {
		a.want(t, a.Code, "&lt;script&gt;", "&lt;b&gt;&amp;")
		if strings.Contains(a.body, "<script>") || strings.Contains(a.body, "<b>") {
			t.Errorf("the page runs what people call themselves: %s", a.body)
		}
	}
}

// A name that the user already has is offered.
func TestNameIsOffered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	id, link := w.sent(marty)
	w.update(func(tx store.Tx) error {
		o, err := w.Lock(t.Context(), tx, w.org, iam.User, w.get(iam.Invitation, id).Doc.String("user.id"))
		if err != nil {
			return err
		}
		o.Doc.Set("full_name", "Martin Seamus McFly")
		return w.Save(t.Context(), tx, o)
	})
	open(t, w.handler(), link).want(t, http.StatusOK, `value="Martin Seamus McFly"`)
}

// downStore cannot be read.
type downStore struct{ store.Store }

func (downStore) Get(context.Context, string, store.Key) (*store.Row, error) {
	return nil, store.ErrUnavailable
}

func TestPageWithoutStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	_, link := w.sent(marty)
	config := w.Engine.Config
	config.Store = downStore{config.Store}
	e, err := engine.New(config)
	if err != nil {
		t.Fatal(err)
	}
	h, err := invitation.NewHandler(e, authn.NewPasswords(authn.HashPassword), admitted)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []answer{open(t, h, link), submit(t, h, link, "Marty", good, good)} {
		a.want(t, http.StatusServiceUnavailable, "Try again")
		if a.Header().Get("Retry-After") == "" {
			t.Error("it does not say when to try again")
		}
	}
}

// Who is to sign in through single sign-on chooses no password.
func TestInvitedToSingleSignOn(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		if _, err := sso.Set(t.Context(), w.Engine, w.org, sso.Settings{Issuer: "https://login.example.com", ClientID: "weir"}); err != nil {
			t.Fatal(err)
		}
		o := &engine.Object{Kind: iam.Invitation, Org: w.org, Doc: engine.Doc{"email": marty}}
		w.update(func(tx store.Tx) error { return w.Insert(t.Context(), tx, o) })
		w.step(w.courier())
		if m := w.mail.all()[0]; !strings.Contains(m.Text, "Open this page to sign in") || strings.Contains(m.Text+m.HTML, "assword") {
			t.Errorf("the mail says %s", m.Text)
		}
		h, link := w.handler(), w.mail.link(t, marty)
		a := open(t, h, link)
		if a.want(t, http.StatusOK, `href="`+publicURL+iam.SSOPath+w.org+`"`); strings.Contains(a.body, "<form") {
			t.Errorf("there is a form: %s", a.body)
		}
		submit(t, h, link, "Marty", good, good).want(t, http.StatusConflict, "Sign in")
		if user, record := w.user(o.ID); !record.Pending || record.PasswordHash != "" || user.Doc.String("auth_type") != iam.AuthTypeSSO {
			t.Errorf("the user is %v, %+v", user.Doc, record)
		}

		// Invited again after that is over, the user signs in as the newest invitation
		// says.
		w.clock.Forward(iam.InvitationTTL)
		w.step(w.courier())
		again := &engine.Object{Kind: iam.Invitation, Org: w.org, Doc: engine.Doc{"email": marty, "auth_type": iam.AuthTypeLocal}}
		w.update(func(tx store.Tx) error { return w.Insert(t.Context(), tx, again) })
		if user, _ := w.user(again.ID); user.Doc.String("auth_type") != iam.AuthTypeLocal || user.ID != w.get(iam.Invitation, o.ID).Doc.String("user.id") {
			t.Errorf("invited again the user is %v", user.Doc)
		}
	})
}
