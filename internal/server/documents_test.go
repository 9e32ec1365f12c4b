package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

// fetch gets what stands beside the API, without credentials.
func fetch(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s: no X-Request-Id", url)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, _ := open(t, func(c *server.Config) { c.DatabaseURL = databaseURL })
		status := func(path string) (int, string) {
			rec := ask(s, http.MethodGet, path, loopback, func(r *http.Request) { r.Header.Del("Authorization") })
			var body struct{ Status, Reason string }
			if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
				t.Errorf("%s: %v: %s", path, err, rec.Body)
			}
			if rec.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s may be cached", path)
			}
			return rec.Code, body.Status
		}
		for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready"} {
			if code, text := status(path); code != http.StatusOK || text != want {
				t.Errorf("%s: %d %q", path, code, text)
			}
		}
		if err := s.Store().Close(); err != nil {
			t.Fatal(err)
		}
		if code, text := status("/readyz"); code != http.StatusServiceUnavailable || text == "ready" {
			t.Errorf("/readyz without a database: %d %q", code, text)
		}
		if code, _ := status("/healthz"); code != http.StatusOK {
			t.Errorf("/healthz without a database: %d", code)
		}
		rec := ask(s, http.MethodGet, environments, loopback, nil)
		if rec.Code != http.StatusServiceUnavailable || code(t, rec) != api.Unavailable.Name {
			t.Errorf("the API without a database: %d: %s", rec.Code, rec.Body)
		}
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s, w := start(t, "")
	c := w.Client(w.Admin)
	for range 3 {
		c.Do(t, http.MethodGet, environments, nil).Want(t, http.StatusOK)
	}
	c.Do(t, http.MethodGet, "/nowhere-secret-path", nil).Want(t, http.StatusNotFound)
	status, _, body := fetch(t, s.URL+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d", status)
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatalf("/metrics is no exposition: %v\n%s", err, body)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "weir_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, line := range []string{
		`weir_http_requests_total{operation="listOrgV2Environments",status="200"} 3`,
		`weir_http_requests_total{operation="other",status="404"} 1`,
		`weir_http_request_duration_seconds_count{operation="listOrgV2Environments"} 3`,
		`weir_build_info{version="test"} 1`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	for _, private := range []string{"nowhere", w.Admin.Key, w.Admin.Principal, w.Admin.Organization} {
		if strings.Contains(body, private) {
			t.Errorf("/metrics tells %s", private)
		}
	}
}

// TestDocuments fetches what tells of the API, and all that it links to.
func TestDocuments(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "")
	status, header, body := fetch(t, s.URL+"/openapi.json")
	var document struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil || status != http.StatusOK || header.Get("Content-Type") != "application/json" {
		t.Fatalf("/openapi.json: %d %q %v", status, header.Get("Content-Type"), err)
	}
	if !strings.HasPrefix(document.OpenAPI, "3.") {
		t.Errorf("/openapi.json is of version %q", document.OpenAPI)
	}
	for _, k := range server.Kinds() {
		for _, id := range k.Operations {
			op, _ := operation.ByID(id)
			if document.Paths[op.Path][strings.ToLower(op.Method)] == nil {
				t.Errorf("/openapi.json lacks %s %s", op.Method, op.Path)
			}
		}
	}
	for _, path := range []string{"/docs", "/"} {
		status, header, body = fetch(t, s.URL+path)
		if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %q", path, status, header.Get("Content-Type"))
		}
	}
	links := regexp.MustCompile(`(?:href|src)="(/[^"#]*)`).FindAllStringSubmatch(body, -1)
	if len(links) == 0 {
		t.Error("/docs links to nothing")
	}
	seen := map[string]bool{}
	for _, link := range links {
		if path := link[1]; !seen[path] {
			seen[path] = true
			if status, _, _ := fetch(t, s.URL+path); status != http.StatusOK {
				t.Errorf("/docs links to %s: %d", path, status)
			}
		}
	}
	if status, _, _ := fetch(t, s.URL+"/docs/no-such-page"); status != http.StatusNotFound {
		t.Errorf("/docs/no-such-page: %d", status)
	}
}

// TestErrorPages opens the page that each error's doc_url names.
func TestErrorPages(t *testing.T) {
	t.Parallel()
	s, w := start(t, "")
	failure := w.Client(w.Admin).Do(t, http.MethodGet, "/nowhere", nil)
	if got, want := failure.Text("doc_url"), s.URL+"/docs/errors/"+api.RouteNotFound.Upper(); got != want {
		t.Errorf("doc_url is %q, want %q", got, want)
	}
	for _, c := range api.Codes() {
		status, header, body := fetch(t, s.URL+"/docs/errors/"+c.Upper())
		if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/html") || !strings.Contains(body, c.Upper()) || !strings.Contains(body, c.Title) {
			t.Errorf("the page of %s: %d", c.Name, status)
		}
	}
	if status, _, _ := fetch(t, s.URL+"/docs/errors/NO_SUCH_CODE"); status != http.StatusNotFound {
		t.Errorf("the page of a code that there is not: %d", status)
	}
}

// TestSelfSigned serves over TLS with a CA of the server's own, which stays the
// same when the server starts again.
func TestSelfSigned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var pem []byte
	var key, secret string
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		s, err := server.Open(ctx, server.Config{Listen: "127.0.0.1:0", DataDir: dir, TLSSelfSigned: true}, "test", slog.New(slog.DiscardHandler))
		if err != nil {
			stop()
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx) }()
		read, err := os.ReadFile(s.CAPath)
		if err != nil {
			t.Error(err)
		}
		if s.First != nil {
			pem, key, secret = read, s.First.APIKey, s.First.APISecret
		}
		checkTLS(t, s.URL, pem, key, secret)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}

func checkTLS(t *testing.T, url string, pem []byte, key, secret string) {
	t.Helper()
	if !strings.HasPrefix(url, "https://") {
		t.Errorf("the server is at %s", url)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("the file of the CA has no certificate")
	}
	get := func(c *tls.Config) (*http.Response, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
		req, err := http.NewRequest(http.MethodGet, url+environments, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(key, secret)
		resp, err := client.Do(req)
		if err == nil {
			defer func() { _ = resp.Body.Close() }()
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		return resp, err
	}
	if resp, err := get(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("with the CA: %v %v", resp, err)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := get(&tls.Config{MinVersion: tls.VersionTLS12}); !errors.As(err, &unknown) {
		t.Errorf("without the CA: %v", err)
	}
	if _, err := get(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("the server speaks TLS 1.1")
	}
	// Plain HTTP on the same port gets no answer of the API.
	resp, err := http.Get("http" + strings.TrimPrefix(url, "https") + "/healthz")
	if err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP on the port of TLS answers %d", resp.StatusCode)
		}
	}
}

// TestRefusedConfigurations starts servers that must not start.
func TestRefusedConfigurations(t *testing.T) {
	t.Parallel()
	for text, change := range map[string]func(*server.Config){
		"--listen":                         func(c *server.Config) { c.Listen = "nonsense" },
		"plain HTTP":                       func(c *server.Config) { c.Listen = "0.0.0.0:0" },
		"--tls-cert":                       func(c *server.Config) { c.TLSCert = "cert.pem" },
		"--trusted-proxy":                  func(c *server.Config) { c.TrustedProxies = []string{"nonsense"} },
		"--public-url":                     func(c *server.Config) { c.PublicURL = "weir.example.com" },
		"--rate-limit-principal":           func(c *server.Config) { c.RateLimitPrincipal = -1 },
		"--rate-limit-organization":        func(c *server.Config) { c.RateLimitOrganization = 100_000_001 },
		"--rate-limit-address":             func(c *server.Config) { c.RateLimitAddress = -1 },
		"--concurrency-limit-principal":    func(c *server.Config) { c.ConcurrencyLimitPrincipal = -1 },
		"--concurrency-limit-organization": func(c *server.Config) { c.ConcurrencyLimitOrganization = -1 },
		"--concurrency-limit-address":      func(c *server.Config) { c.ConcurrencyLimitAddress = -1 },
		"database URL":                     func(c *server.Config) { c.DatabaseURL = "mysql://root:hidden-password@localhost/x" },
	} {
		config := server.Config{Listen: "127.0.0.1:0", DataDir: t.TempDir()}
		change(&config)
		s, err := server.Open(t.Context(), config, "test", slog.New(slog.DiscardHandler))
		if err == nil {
			_ = s.Close()
			t.Errorf("a server starts with %+v", config)
			continue
		}
		if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error %q does not say %q", err, text)
		}
	}
}

// TestPublicURL serves behind another name: all links have it.
func TestPublicURL(t *testing.T) {
	t.Parallel()
	const public = "https://weir.example.com/base"
	s := weirtest.Start(t, weirtest.WithConfig(func(c *server.Config) { c.PublicURL = public + "/" }))
	if s.URL != public {
		t.Fatalf("the URL is %q", s.URL)
	}
	o, _ := open(t, func(c *server.Config) { c.PublicURL = public })
	rec := ask(o, http.MethodGet, fmt.Sprintf("%s/%s", environments, o.First.EnvironmentID), loopback, nil)
	if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"self":"`+public+environments+"/"+o.First.EnvironmentID+`"`) {
		t.Errorf("%d: %s", rec.Code, rec.Body)
	}
}
