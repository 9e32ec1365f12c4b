package main

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var clientLines = regexp.MustCompile(`export WEIR_PARTNER_CLIENT_ID=(partner-[a-z0-9]+)\nexport WEIR_PARTNER_CLIENT_SECRET=(\S+)\n`)

// clientIn reads the credentials of a partner's client that a command printed.
func clientIn(t *testing.T, r result) (id, secret string) {
	t.Helper()
	match := clientLines.FindStringSubmatch(r.stdout)
	if r.code != 0 || match == nil {
		t.Fatalf("exit code %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	return match[1], match[2]
}

// token is the status of a request for a token.
func (s *serving) token(t *testing.T, id, secret string) int {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestPartners manages a partner beside a server that runs.
func TestPartners(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir)
	partners := func(args ...string) result {
		return run(t, nil, append([]string{"partners"}, append(args, "--data-dir", dir)...)...)
	}
	id, secret := clientIn(t, partners("create", "Acme GmbH", "--scope", "partner:create", "--scope", "partner:describe"))
	if got := s.token(t, id, secret); got != http.StatusOK {
		t.Errorf("the new client gets %d", got)
	}
	list := partners("list")
	if list.code != 0 || !strings.Contains(list.stdout, id) || !strings.Contains(list.stdout, "Acme GmbH") ||
		!strings.Contains(list.stdout, "partner:create,partner:describe ") || strings.Contains(list.stdout, secret) {
		t.Errorf("the list is (%d)\n%s%s", list.code, list.stdout, list.stderr)
	}
	same, rotated := clientIn(t, partners("rotate", id))
	if same != id || rotated == secret || s.token(t, id, secret) != http.StatusUnauthorized || s.token(t, id, rotated) != http.StatusOK {
		t.Error("the rotation did not change the secret")
	}
	link := partners("link-token", id, "9bb441c4-edef-46ac-8a41-c49e44a3fd9a")
	wantFailure(t, link, "9bb441c4-edef-46ac-8a41-c49e44a3fd9a")
	wantFailure(t, partners("create", "x", "--scope", "partner:everything"), "partner:everything", "partner:describe")
	wantFailure(t, partners("create", ""), "name")
	wantFailure(t, partners("create", "x", "--scope", ""), "scope")
	wantFailure(t, partners("rotate", "partner-0000000000"), "partner-0000000000", "weir partners list")
	wantFailure(t, partners("delete", "partner-0000000000"), "partner-0000000000")
	if r := partners("delete", id); r.code != 0 || s.token(t, id, rotated) != http.StatusUnauthorized {
		t.Errorf("the partner is still there: %d, %s", r.code, r.stderr)
	}
	if list := partners("list"); strings.Contains(list.stdout, id) {
		t.Errorf("the list is\n%s", list.stdout)
	}
	s.stop(t, syscall.SIGTERM)
	wantFailure(t, run(t, nil, "partners", "list", "--data-dir", t.TempDir()), "no database")
}
