package delivery

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/audit"
)

// An endpoint behind TLS that asks who one is.
func TestHTTPSignsIn(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "weir" || password != "p@ss" || r.URL.Query().Get("token") != "t" || r.URL.Path != "/events" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(server.URL, "https://")
	event := (&audit.Event{ID: "1", Method: "CreateEnvironment", Access: audit.Modification}).Entry()
	for text, c := range map[string]struct {
		ca   string
		want string
	}{
		"https://weir:p%40ss@" + address + "/events?token=t":  {ca, ""},
		"https://weir:p%40ss@" + address + "/events?token=no": {ca, "401"},
		"https://weir:secret@" + address + "/events?token=t":  {ca, "401"},
		"https://weir:p%40ss@" + address + "/events?token=t&": {"", "certificate"},
	} {
		p, err := ParseSink(text)
		if err != nil {
			t.Fatal(err)
		}
		sink, err := p.open(Options{CAFile: c.ca}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sink.Deliver(t.Context(), []Message{message(event, "")})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", text, err, c.want)
		case err != nil && (strings.Contains(err.Error(), "token") || strings.Contains(err.Error(), "secret")):
			t.Errorf("the error tells the URL: %v", err)
		}
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A redirect is not followed: the event would go as something else, elsewhere.
func TestHTTPFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	followed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed = true
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer server.Close()
	p, err := ParseSink(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	sink, err := p.open(Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	event := (&audit.Event{ID: "1", Method: "CreateEnvironment", Access: audit.Modification}).Entry()
	if n, err := sink.Deliver(t.Context(), []Message{message(event, "")}); err == nil || n != 0 || followed {
		t.Errorf("a redirect is taken for success: %v", err)
	}
}
