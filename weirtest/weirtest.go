// Package weirtest starts a real Weir inside a test, with an administrator's
// credentials, and ends it with the test.
//
//	w := weirtest.Start(t)
//	req, _ := http.NewRequest("GET", w.URL+"/org/v2/environments", nil)
//	req.SetBasicAuth(w.APIKey, w.APISecret)
package weirtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/server"
)

// Server is a Weir that serves on a loopback address until its test ends.
type Server struct {
	// URL is the base of all paths, without a final slash.
	URL string
	// The credentials that the first start made.
	OrganizationID, EnvironmentID string
	Email, Password               string
	APIKey, APISecret             string

	t        testing.TB
	stop     func()
	setLimit func(ctx context.Context, organization, code string, limit int64) error
	setSSO   func(ctx context.Context, organization, issuer, clientID, clientSecret string) error
}

// Option changes how the server is started.
type Option func(*server.Config)

// WithDatabaseURL makes the server keep its data in PostgreSQL. The database
// must be empty: Start needs the first credentials.
func WithDatabaseURL(url string) Option {
	return func(c *server.Config) { c.DatabaseURL = url }
}

// WithDataDir makes the server keep its data in the directory instead of one
// that goes with the test.
func WithDataDir(dir string) Option {
	return func(c *server.Config) { c.DataDir = dir }
}

// WithRateLimits sets requests a second for each principal and for each
// address without valid credentials; the default is no limit.
func WithRateLimits(principal, address int) Option {
	return func(c *server.Config) { c.RateLimitPrincipal, c.RateLimitAddress = principal, address }
}

// WithConfig changes the configuration as the callback likes. It is for the
// project's own tests.
func WithConfig(change func(*server.Config)) Option { return change }

// Start starts a server with an empty database and fails the test if it
// cannot. The server's log goes to the test's.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	w, s := start(t, options)
	if s.First == nil {
		t.Fatal("weirtest: the database is not empty, so its credentials are not known")
	}
	w.OrganizationID, w.EnvironmentID = s.First.OrganizationID, s.First.EnvironmentID
	w.Email, w.Password = s.First.Email, s.First.Password
	w.APIKey, w.APISecret = s.First.APIKey, s.First.APISecret
	return w
}

// Replica starts another server on the same database, which the options must
// name, and gives it the credentials of the first.
func (s *Server) Replica(options ...Option) *Server {
	s.t.Helper()
	w, opened := start(s.t, options)
	if opened.First != nil {
		s.t.Fatal("weirtest: the replica has a database of its own")
	}
	replica := *s
	replica.URL, replica.stop, replica.setLimit, replica.setSSO = w.URL, w.stop, w.setLimit, w.setSSO
	return &replica
}

func start(t testing.TB, options []Option) (*Server, *server.Server) {
	t.Helper()
	config := server.Config{
		Listen: "127.0.0.1:0", DataDir: t.TempDir(), CacheSize: 32,
		// A stated rate keeps the headers in every answer; no test reaches it.
		RateLimitPrincipal: 1_000_000, RateLimitAddress: 1_000_000,
		Bootstrap: bootstrap.Options{Password: "correct-horse-battery"},
	}
	for _, o := range options {
		o(&config)
	}
	log := slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, cancel := context.WithCancel(context.Background())
	s, err := server.Open(ctx, config, "test", log)
	if err != nil {
		cancel()
		t.Fatalf("weirtest: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	w := &Server{URL: s.URL, t: t, setLimit: s.SetLimit, setSSO: s.SetSSO}
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("weirtest: stop: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w, s
}

// SetLimit sets the limit of a quota, such as "iam.max_environments.per_org",
// from the next request on. The defaults are those of the real service.
func (s *Server) SetLimit(code string, limit int) {
	s.t.Helper()
	if err := s.setLimit(context.Background(), s.OrganizationID, code, int64(limit)); err != nil {
		s.t.Fatalf("weirtest: %v", err)
	}
}

// SetSSO lets the users of the organization sign in at an OpenID Connect provider,
// as 'weir sso set' does.
func (s *Server) SetSSO(issuer, clientID, clientSecret string) {
	s.t.Helper()
	if err := s.setSSO(context.Background(), s.OrganizationID, issuer, clientID, clientSecret); err != nil {
		s.t.Fatalf("weirtest: %v", err)
	}
}

// Stop ends the server before its test does.
func (s *Server) Stop() { s.stop() }

// Answer is what the server answered.
type Answer struct {
	Status int
	Header http.Header
	// Raw is the body as sent, Body the same decoded, nil where it is no JSON
	// object.
	Raw  []byte
	Body map[string]any
}

// Do sends a request with the administrator's key and returns the answer. A
// body that is not nil is sent as JSON; a string is sent as it is.
func (s *Server) Do(method, path string, body any) Answer {
	s.t.Helper()
	return s.As(s.APIKey, s.APISecret).Do(method, path, body)
}

// Client sends requests with one API key, or with the token of a session.
type Client struct {
	s           *Server
	key, secret string
	token       string
}

// As returns a client with another key; with an empty one it sends none.
func (s *Server) As(key, secret string) Client { return Client{s: s, key: key, secret: secret} }

// WithToken returns a client with a bearer token.
func (s *Server) WithToken(token string) Client { return Client{s: s, token: token} }

// SignIn signs a user in as the CLI does, and returns a client with the token
// of the session.
func (s *Server) SignIn(email, password string) Client {
	s.t.Helper()
	a := s.As("", "").Do(http.MethodPost, "/api/sessions", map[string]string{"email": email, "password": password})
	token, _ := a.Body["token"].(string)
	if a.Status != http.StatusOK || token == "" {
		s.t.Fatalf("weirtest: sign in as %s: %d %s", email, a.Status, a.Raw)
	}
	return s.WithToken(token)
}

// Do is Server.Do with the client's key.
func (c Client) Do(method, path string, body any) Answer {
	c.s.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			c.s.t.Fatalf("weirtest: encode body: %v", err)
		}
		reader = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, c.s.URL+path, reader)
	if err != nil {
		c.s.t.Fatalf("weirtest: %v", err)
	}
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.SetBasicAuth(c.key, c.secret)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.s.Send(req)
}

// Send sends a request as it is.
func (s *Server) Send(req *http.Request) Answer {
	s.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("weirtest: %s %s: %v", req.Method, req.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := Answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Raw, err = io.ReadAll(resp.Body); err != nil {
		s.t.Fatalf("weirtest: %s %s: read body: %v", req.Method, req.URL, err)
	}
	_ = json.Unmarshal(a.Raw, &a.Body) // stays nil for what is no JSON object
	return a
}

// logWriter hands log lines to the test.
type logWriter struct{ t testing.TB }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimRight(b, "\n"))
	return len(b), nil
}
