package server_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

// A filter that cannot be decoded must not be dropped: the list would answer
// with everything.
func TestQueriesThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	for _, path := range []string{
		"/iam/v2/service-accounts?display_name=100%", "/iam/v2/service-accounts?display_name=a;b",
		"/org/v2/environments?page_size=zz%", "/org/v2/environments?page_token=%", "/iam/v2/users?page_size=%zz",
		"/iam/v2/role-bindings?crn_pattern=%", "/iam/v2/invitations?email=%", "/iam/v2/api-keys?spec.owner=%",
	} {
		a := s.Do(http.MethodGet, path, nil)
		_, query, _ := strings.Cut(path, "?")
		parameter, _, _ := strings.Cut(query, "=")
		if a.Status != http.StatusBadRequest || !strings.Contains(string(a.Raw), `"parameter":"`+parameter+`"`) {
			t.Errorf("%s: %d %s", path, a.Status, a.Raw)
		}
	}
}

// A page token is of no use to another caller of the same list.
func TestPageTokensBelongToTheirCaller(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	for _, name := range []string{"a", "b", "c"} {
		s.Do(http.MethodPost, "/iam/v2/service-accounts", map[string]any{"display_name": name})
	}
	list := s.Do(http.MethodGet, "/iam/v2/service-accounts?page_size=1", nil)
	data, _ := list.Body["data"].([]any)
	owner, _ := data[0].(map[string]any)["id"].(string)
	key := s.Do(http.MethodPost, "/iam/v2/api-keys", map[string]any{"spec": map[string]any{"owner": map[string]any{"id": owner}}})
	id, _ := key.Body["id"].(string)
	secret, _ := key.Body["spec"].(map[string]any)["secret"].(string)

	next, _ := list.Body["metadata"].(map[string]any)["next"].(string)
	u, err := url.Parse(next)
	if err != nil || next == "" {
		t.Fatalf("next is %q, %v", next, err)
	}
	if a := s.Do(http.MethodGet, u.RequestURI(), nil); a.Status != http.StatusOK {
		t.Errorf("for its caller: %d %s", a.Status, a.Raw)
	}
	if a := s.As(id, secret).Do(http.MethodGet, u.RequestURI(), nil); a.Status != http.StatusBadRequest {
		t.Errorf("for another caller: %d %s", a.Status, a.Raw)
	}
}

// The paths beside the API know their methods too.
func TestMethodsBesideTheAPI(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/errors/", "/"} {
		a := s.Do(http.MethodPost, path, nil)
		if a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d, Allow %q", path, a.Status, a.Header.Get("Allow"))
		}
	}
}

// A start that fails makes no credentials: the next one would count as a later
// start and never show them.
func TestAFailedStartMakesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := server.Config{Listen: "127.0.0.1:0", DataDir: dir, TLSCert: filepath.Join(dir, "no.crt"), TLSKey: filepath.Join(dir, "no.key")}
	if _, err := server.Open(t.Context(), config, "test", slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("started without its certificate")
	}
	for _, name := range []string{bootstrap.CredentialsFile, bootstrap.CredentialsFile + ".pending"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	config.TLSCert, config.TLSKey = "", ""
	s, err := server.Open(t.Context(), config, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if s.First == nil {
		t.Error("the next start shows no credentials")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A path that is no text, or too long, names nothing.
func TestPathsThatNameNothing(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	for _, id := range []string{"%C0%AF", "%00", "a%0Ab", strings.Repeat("x", 256), strings.Repeat("x", 5000)} {
		for path, methods := range map[string][]string{
			"/iam/v2/identity-providers/" + id + "/identity-pools":      {http.MethodGet, http.MethodPost},
			"/iam/v2/certificate-authorities/" + id + "/identity-pools": {http.MethodGet, http.MethodPost},
			"/iam/v2/service-accounts/" + id:                            {http.MethodGet, http.MethodPatch, http.MethodDelete},
		} {
			for _, method := range methods {
				body := map[string]any{"display_name": "a", "description": "", "filter": "true", "identity_claim": "claims.sub", "external_identifier": "CN"}
				if a := s.Do(method, path, body); a.Status != http.StatusNotFound && a.Status != http.StatusForbidden {
					t.Errorf("%s %.60s: %d %s", method, path, a.Status, a.Raw)
				}
			}
		}
	}
}
