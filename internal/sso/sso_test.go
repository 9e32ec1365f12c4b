package sso

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestAttempts(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{1}, 32)
	a := newAttempt(key, "sso-aaaaaa", start)
	b, ok := continued(key, "sso-aaaaaa", a.value, a.state(), start.Add(attemptLife-time.Second))
	if !ok || b.nonce() != a.nonce() || b.verifier() != a.verifier() {
		t.Error("the attempt is lost")
	}
	if a.state() == a.nonce() || a.nonce() == a.verifier() || a.state() == a.verifier() {
		t.Error("two of its texts are the same")
	}
	if other := newAttempt(key, "sso-aaaaaa", start); other.value == a.value || other.state() == a.state() {
		t.Error("two attempts are the same")
	}
	if b := (attempt{bytes.Repeat([]byte{2}, 32), a.connection, a.value}); b.state() == a.state() {
		t.Error("the state does not depend on the key")
	}
	until, random, _ := strings.Cut(a.value, ".")
	for name, c := range map[string]struct {
		connection, value, state string
		now                      time.Time
	}{
		"too late":           {"sso-aaaaaa", a.value, a.state(), start.Add(attemptLife)},
		"another connection": {"sso-bbbbbb", a.value, a.state(), start},
		"another state":      {"sso-aaaaaa", a.value, a.nonce(), start},
		"no state":           {"sso-aaaaaa", a.value, "", start},
		"made longer":        {"sso-aaaaaa", until + "0." + random, a.state(), start},
		"cut":                {"sso-aaaaaa", a.value[:len(a.value)-1], a.state(), start},
		"nothing":            {"sso-aaaaaa", "", "", start},
	} {
		if _, ok := continued(key, c.connection, c.value, c.state, c.now); ok {
			t.Errorf("%s: it goes on", name)
		}
	}
}

// FuzzAttempt looks for a cookie and a state that go on with an attempt that never
// was.
func FuzzAttempt(f *testing.F) {
	key := bytes.Repeat([]byte{1}, 32)
	a := newAttempt(bytes.Repeat([]byte{2}, 32), "sso-aaaaaa", start)
	f.Add(a.value, a.state())
	f.Add("", "")
	f.Add("9999999999.", ".")
	f.Fuzz(func(t *testing.T, value, state string) {
		if _, ok := continued(key, "sso-aaaaaa", value, state, start); ok {
			t.Errorf("%q and %q are good", value, state)
		}
	})
}

func TestCookies(t *testing.T) {
	t.Parallel()
	for publicURL, want := range map[string]string{
		"https://weir.example.com/team": "__Host-weir-sso=x; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax",
		"http://127.0.0.1:8080":         "weir-sso=x; Path=/; Max-Age=600; HttpOnly; SameSite=Lax",
	} {
		if got := cookie(publicURL, "x").String(); got != want {
			t.Errorf("%s: %s", publicURL, got)
		}
		if got := cookie(publicURL, "").String(); !strings.Contains(got, "Max-Age=0") {
			t.Errorf("%s: it does not go: %s", publicURL, got)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, issuer := range []string{"", "login.example.com", "ftp://login.example.com", "https://", "https://a:b@login.example.com", "https://login.example.com?x=y", "https://login.example.com#x", "://"} {
		if err := (&Settings{Issuer: issuer, ClientID: "weir"}).check(); err == nil {
			t.Errorf("%q is an issuer", issuer)
		}
	}
	if err := (&Settings{Issuer: "https://login.example.com"}).check(); err == nil || !strings.Contains(err.Error(), "client ID") {
		t.Errorf("without a client: %v", err)
	}
	s := Settings{Issuer: "https://login.example.com:8443/realms/a", ClientID: "weir"}
	if err := s.check(); err != nil || s.Name != "login.example.com" || s.GroupsClaim != "groups" || !slices.Equal(s.Scopes, []string{"profile", "email"}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// FuzzPerson reads whatever a provider may say: who comes of it has an address and
// groups within bounds.
func FuzzPerson(f *testing.F) {
	f.Add(`{"email":"alice@example.com","email_verified":true,"name":"Alice","groups":["a","b"]}`, "groups")
	f.Add(`{"email":"alice@example.com","email_verified":"true","roles":"one"}`, "roles")
	f.Add(`{"email":"a@b","groups":null,"_claim_names":{"groups":"x"}}`, "groups")
	f.Add(`{"email":["a@b"],"groups":[[1]]}`, "groups")
	f.Fuzz(func(t *testing.T, text, claim string) {
		claims := map[string]any{}
		if json.Unmarshal([]byte(text), &claims) != nil {
			return
		}
		p, err := readPerson(claims, claim)
		if err != nil {
			if message := err.Error(); message == "" || strings.Contains(message, "\n") {
				t.Errorf("the error is %q", message)
			}
			return
		}
		if emailProblem(p.email) != "" || utf8.RuneCountInString(p.name) > maxName || !utf8.ValidString(p.name) || len(p.groups) > maxGroups || p.groups == nil {
			t.Errorf("%s is %+v", text, p)
		}
		if verified := claims["email_verified"]; verified != nil && verified != true && verified != "true" {
			t.Errorf("%s is verified", text)
		}
	})
}
