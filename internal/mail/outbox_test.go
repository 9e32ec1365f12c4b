package mail_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/mail"
)

// outbox makes an outbox and returns it with its directory and its log.
func outbox(t *testing.T) (*mail.Outbox, string, *bytes.Buffer) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data", "outbox")
	log := &bytes.Buffer{}
	o, err := mail.NewOutbox(dir, from, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return o, dir, log
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestOutbox(t *testing.T) {
	t.Parallel()
	o, dir, log := outbox(t)
	for range 2 {
		if err := o.Send(t.Context(), message()); err != nil {
			t.Fatal(err)
		}
	}
	files := names(t, dir)
	if len(files) != 2 {
		t.Fatalf("the outbox holds %q", files)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	for _, name := range files {
		if !regexp.MustCompile(`^\d{8}T\d{6}\.\d{6}Z-[0-9a-z]{8}\.eml$`).MatchString(name) {
			t.Errorf("a file is called %q", name)
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checkMessage(t, string(data))
		if !strings.Contains(log.String(), path) || !strings.Contains(log.String(), "--smtp-url") {
			t.Errorf("the log does not say where the mail is: %s", log)
		}
	}
	if strings.Contains(log.String(), "token") {
		t.Errorf("the log shows what is in the mail: %s", log)
	}
}

func TestOutboxClosesADirectoryThatWasOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	o, err := mail.NewOutbox(dir, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	if err := o.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, names(t, dir)[0]))
	if err != nil {
		t.Fatal(err)
	}
	sender, err := parse(t, string(data)).header.AddressList("From")
	if err != nil || len(sender) != 1 || sender[0].Address != "weir@localhost" {
		t.Errorf("from %v, %v", sender, err)
	}
}

func TestOutboxFailures(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mail.NewOutbox(file, "", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("an outbox that is a file: %v", err)
	}
	if _, err := mail.NewOutbox(t.TempDir(), "nobody", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a sender without an address is taken")
	}
	o, dir, _ := outbox(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.Send(ctx, message()); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := o.Send(t.Context(), message()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its directory: %v", err)
	}
}

// Whoever chooses an address or a name must not choose header fields.
func TestInjectionIsRefused(t *testing.T) {
	t.Parallel()
	s := &server{}
	s.listen(t, false, false)
	o, dir, _ := outbox(t)
	for name, change := range map[string]func(*mail.Message){
		"CRLF in the address":      func(m *mail.Message) { m.To = "marty@example.com\r\nBcc: doc@example.com" },
		"LF in the address":        func(m *mail.Message) { m.To = "marty@example.com\nBcc: doc@example.com" },
		"quoted CRLF":              func(m *mail.Message) { m.To = "\"marty\r\nBcc: x\"@example.com" },
		"command in the address":   func(m *mail.Message) { m.To = "marty@example.com>\r\nRCPT TO:<doc@example.com" },
		"two addresses":            func(m *mail.Message) { m.To = "marty@example.com, doc@example.com" },
		"name and address":         func(m *mail.Message) { m.To = "Marty <marty@example.com>" },
		"no address":               func(m *mail.Message) { m.To = "" },
		"CRLF in the subject":      func(m *mail.Message) { m.Subject = "a\r\nBcc: doc@example.com" },
		"CR in the subject":        func(m *mail.Message) { m.Subject = "a\rb" },
		"LF in the subject":        func(m *mail.Message) { m.Subject = "a\nb" },
		"NUL in the subject":       func(m *mail.Message) { m.Subject = "a\x00b" },
		"line separator":           func(m *mail.Message) { m.Subject = "a\u2028b" },
		"subject that is no UTF-8": func(m *mail.Message) { m.Subject = "a\xffb" },
		"no subject":               func(m *mail.Message) { m.Subject = "" },
		"no plain part":            func(m *mail.Message) { m.Text = "" },
		"no HTML part":             func(m *mail.Message) { m.HTML = "" },
	} {
		m := message()
		change(&m)
		if err := s.sender(t, "smtp", "", "").Send(t.Context(), m); err == nil {
			t.Errorf("%s: SMTP takes it", name)
		}
		if err := o.Send(t.Context(), m); err == nil {
			t.Errorf("%s: the outbox takes it", name)
		}
	}
	if files := names(t, dir); s.count() != 0 || len(files) != 0 {
		t.Errorf("%d messages went out, the outbox holds %q", s.count(), files)
	}
}
