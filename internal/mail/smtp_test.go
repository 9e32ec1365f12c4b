package mail_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/weirhq/weir/internal/mail"
)

const from = "Weir für alle <weir@example.com>"

func message() mail.Message {
	return mail.Message{
		To: "marty@example.com", Subject: "Einladung zu „Łódź & Søn“ 🎉",
		Text: "Grüße an alle.\n.\nA line with a dot alone stands above; this one is longer than the seventy-six characters that quoted-printable allows: https://weir.example.com/invitation?token=i-abc123.xyz\n",
		HTML: "<p>Grüße an <b>alle</b>.</p>",
	}
}

// sender makes a sender for the server under the scheme; credentials and
// query are as in the URL.
func (s *server) sender(t *testing.T, scheme, credentials, query string) *mail.SMTP {
	t.Helper()
	m, err := mail.NewSMTP(scheme+"://"+credentials+s.addr+query, from)
	if err != nil {
		t.Fatal(err)
	}
	if s.roots != nil {
		m.Trust(s.roots)
	}
	return m
}

func userinfo(password string) string {
	return url.UserPassword(user, password).String() + "@"
}

func TestSMTP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		auth, secure, implicit     bool
		scheme, credentials, query string
	}{
		"plain on this machine":    {scheme: "smtp"},
		"plain with a password":    {auth: true, scheme: "smtp", credentials: userinfo(password)},
		"STARTTLS":                 {secure: true, scheme: "smtp", query: "?tls=starttls"},
		"STARTTLS with a password": {auth: true, secure: true, scheme: "smtp", credentials: userinfo(password), query: "?tls=starttls"},
		"TLS":                      {implicit: true, scheme: "smtps"},
		"TLS with a password":      {auth: true, implicit: true, scheme: "smtps", credentials: userinfo(password)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{auth: c.auth}
			s.listen(t, c.secure, c.implicit)
			if err := s.sender(t, c.scheme, c.credentials, c.query).Send(t.Context(), message()); err != nil {
				t.Fatal(err)
			}
			d := s.one(t)
			if d.from != "weir@example.com" || d.to != "marty@example.com" {
				t.Errorf("from %q to %q", d.from, d.to)
			}
			if want := c.secure || c.implicit; d.encrypted != want {
				t.Errorf("encrypted is %v, want %v", d.encrypted, want)
			}
			if c.auth != (d.as == user) {
				t.Errorf("authenticated as %q", d.as)
			}
			checkMessage(t, d.data)
		})
	}
}

// checkMessage compares what arrived with message and from.
func checkMessage(t *testing.T, data string) {
	t.Helper()
	p, want := parse(t, data), message()
	if p.subject != want.Subject || p.text != want.Text || p.html != want.HTML {
		t.Errorf("arrived as %q\n%q\n%q", p.subject, p.text, p.html)
	}
	sender, err := p.header.AddressList("From")
	if err != nil || len(sender) != 1 || sender[0].Name != "Weir für alle" || sender[0].Address != "weir@example.com" {
		t.Errorf("from %v, %v", sender, err)
	}
	if to, err := p.header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != want.To {
		t.Errorf("to %v, %v", to, err)
	}
	if date, err := p.header.Date(); err != nil || time.Since(date).Abs() > time.Minute {
		t.Errorf("date %v, %v", date, err)
	}
	if id := p.header.Get("Message-ID"); !strings.HasSuffix(id, "@example.com>") {
		t.Errorf("message ID %q", id)
	}
	if p.header.Get("Auto-Submitted") != "auto-generated" {
		t.Error("holiday notices will answer this mail")
	}
}

func TestSMTPFailures(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server             *server
		secure, untrusted  bool
		scheme, auth, mode string
		want               string
	}{
		"wrong password":        {server: &server{auth: true}, scheme: "smtp", auth: userinfo("p%ss w@rd:/#!"), want: "password in it"},
		"no STARTTLS":           {scheme: "smtp", mode: "?tls=starttls", want: "STARTTLS"},
		"no STARTTLS, password": {server: &server{auth: true}, scheme: "smtp", auth: userinfo(password), mode: "?tls=starttls", want: "STARTTLS"},
		"certificate":           {secure: true, untrusted: true, scheme: "smtp", mode: "?tls=starttls", want: "certificate"},
		"no TLS":                {scheme: "smtps", want: "TLS"},
		"no authentication":     {scheme: "smtp", auth: userinfo(password), want: "AUTH"},
		"authentication needed": {server: &server{auth: true}, scheme: "smtp", want: "authenticate"},
		"recipient refused": {
			server: &server{refuse: &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody of that name"}},
			scheme: "smtp", want: "nobody of that name",
		},
		"server down":           {server: &server{addr: nobody}, scheme: "smtp", want: "refused"},
		"server down, password": {server: &server{addr: nobody}, scheme: "smtps", auth: userinfo(password), want: "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.server
			if s == nil {
				s = &server{}
			}
			if s.addr == "" {
				s.listen(t, c.secure, false)
			}
			if c.untrusted {
				s.roots = nil
			}
			err := s.sender(t, c.scheme, c.auth, c.mode).Send(t.Context(), message())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.addr) {
				t.Errorf("the error is %v, want %q and %s in it", err, c.want, s.addr)
			}
			if err != nil && strings.Contains(err.Error(), "w@rd") {
				t.Errorf("the error shows the password: %v", err)
			}
			if s.count() != 0 {
				t.Error("the message was delivered all the same")
			}
		})
	}
}

// A password goes to another machine over TLS or not at all. The server is
// told from this machine by its name alone, so an address that is not loopback
// by its looks stands for another machine.
func TestPasswordIsNotSentInTheClear(t *testing.T) {
	t.Parallel()
	s := &server{auth: true}
	s.listen(t, false, false)
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	other := &server{addr: net.JoinHostPort("0.0.0.0", port), auth: true}
	err = other.sender(t, "smtp", userinfo(password), "?tls=none").Send(t.Context(), message())
	if err == nil || !strings.Contains(err.Error(), "unencrypted") || s.count() != 0 {
		t.Errorf("the error is %v", err)
	}
	// Without a password, tls=none is enough.
	s.auth = false
	if err := other.sender(t, "smtp", "", "?tls=none").Send(t.Context(), message()); err != nil {
		t.Error(err)
	}
	if err := other.sender(t, "smtp", "", "").Send(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("without tls=none the error is %v", err)
	}
}

// silent accepts connections and says nothing.
func silent(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &server{addr: l.Addr().String()}
}

func TestSilentServer(t *testing.T) {
	t.Parallel()
	t.Run("timeout", func(t *testing.T) {
		t.Parallel()
		m := silent(t).sender(t, "smtp", "", "")
		m.SetTimeout(50 * time.Millisecond)
		var timeout net.Error
		if err := m.Send(t.Context(), message()); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if err := silent(t).sender(t, "smtps", "", "").Send(ctx, message()); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestNewSMTP(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]struct {
		host           string
		port           int
		user, password string
	}{
		"smtp://mail.example.com":              {host: "mail.example.com", port: 587},
		"smtp://mail.example.com/":             {host: "mail.example.com", port: 587},
		"smtp://mail.example.com:25?tls=none":  {host: "mail.example.com", port: 25},
		"smtps://mail.example.com":             {host: "mail.example.com", port: 465},
		"smtps://u:p%40%3A%2F@[::1]:1465":      {"::1", 1465, "u", "p@:/"},
		"smtp://me%40example.com:x@localhost":  {"localhost", 587, "me@example.com", "x"},
		"smtp://only-a-user@localhost:2525":    {"localhost", 2525, "only-a-user", ""},
		"smtp://localhost:2525?tls=starttls":   {host: "localhost", port: 2525},
		"smtp://mail.example.com?tls=starttls": {host: "mail.example.com", port: 587},
	} {
		m, err := mail.NewSMTP(raw, from)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		host, port, user, password := m.Server()
		if host != want.host || port != want.port || user != want.user || password != want.password {
			t.Errorf("%s is %s port %d as %q with %q", raw, host, port, user, password)
		}
	}
	for _, raw := range []string{
		"", "mail.example.com", "mail.example.com:587", "http://mail.example.com", "smtp://", "smtp://:587", "smtp:mail.example.com",
		"smtp://u:hunter2%@mail.example.com", "smtp://u:hunter2#@mail.example.com", "smtp://u:12#hunter2@mail.example.com",
		"smtp://u:12?hunter2@mail.example.com", "smtp://u:12/hunter2@mail.example.com", "smtp://u:hunter2@mail.example.com/box",
		"smtp://:hunter2@mail.example.com", "smtp://u:hunter2@mail.example.com:0", "smtp://u:hunter2@mail.example.com:65536",
		"smtp://u:hunter2@mail.example.com?tls=maybe", "smtp://u:hunter2@mail.example.com?ssl=1", "smtps://u:hunter2@mail.example.com?tls=none",
		"smtp://u:hunter2@mail.example.com?tls=%", "smtp://u:hunter2@mail.example.com#x",
	} {
		m, err := mail.NewSMTP(raw, from)
		if err == nil {
			t.Errorf("%s is taken: %v", raw, m)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "12") {
			t.Errorf("%s: the error shows the password: %v", raw, err)
		}
	}
	for _, bad := range []string{"", "weir", "Weir", "<>", "weir@example.com, other@example.com", "Weir\r\nBcc: x@example.com <weir@example.com>"} {
		if _, err := mail.NewSMTP("smtp://localhost", bad); err == nil || !strings.Contains(err.Error(), "sender") {
			t.Errorf("the sender %q: %v", bad, err)
		}
	}
}
