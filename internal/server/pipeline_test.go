package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines are the entries with the message.
func (l *logged) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(l.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("log line is not JSON: %q", line)
		}
		if entry["msg"] == message {
			out = append(out, entry)
		}
	}
	return out
}

// open opens a server that answers through its handler alone, without a
// connection, so that a test can say where a request comes from.
func open(t *testing.T, change func(*server.Config)) (*server.Server, *logged) {
	t.Helper()
	config := server.Config{CacheSize: 32, Listen: "127.0.0.1:0", DataDir: t.TempDir(), RateLimitPrincipal: 1_000_000, RateLimitAddress: 1_000_000}
	if change != nil {
		change(&config)
	}
	log := &logged{}
	s, err := server.Open(t.Context(), config, "test", slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, log
}

// ask sends a request from an address through the handler, as the administrator.
func ask(s *server.Server, method, path, from string, change func(*http.Request)) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, nil)
	req.RemoteAddr = from
	req.SetBasicAuth(s.First.APIKey, s.First.APISecret)
	if change != nil {
		change(req)
	}
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	return rec
}

const loopback = "127.0.0.1:40000"

// code is the code of an error's body.
func code(t *testing.T, rec *httptest.ResponseRecorder) string {
	t.Helper()
	var f struct {
		Errors []struct{ Code string }
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &f); err != nil || len(f.Errors) == 0 {
		t.Fatalf("%d is no error body: %s", rec.Code, rec.Body)
	}
	return f.Errors[0].Code
}

func TestSecureTransport(t *testing.T) {
	t.Parallel()
	s, _ := open(t, func(c *server.Config) { c.TrustedProxies = []string{"10.0.0.0/8", "127.0.0.2"} })
	for _, test := range []struct {
		name, from string
		headers    map[string]string
		served     bool
	}{
		{"loopback", loopback, nil, true},
		{"loopback, IPv6", "[::1]:40000", nil, true},
		{"a stranger", "203.0.113.5:40000", nil, false},
		{"a stranger who says https", "203.0.113.5:40000", map[string]string{"X-Forwarded-Proto": "https"}, false},
		{"a stranger who says loopback", "203.0.113.5:40000", map[string]string{"X-Forwarded-For": "127.0.0.1"}, false},
		{"a listed proxy", "10.1.2.3:40000", map[string]string{"X-Forwarded-For": "203.0.113.5"}, false},
		{"a listed proxy that says nothing", "10.1.2.3:40000", nil, false},
		{"a listed proxy that says https", "10.1.2.3:40000", map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.5"}, true},
		{"a listed proxy that says http", "10.1.2.3:40000", map[string]string{"X-Forwarded-Proto": "http", "X-Forwarded-For": "203.0.113.5"}, false},
		{"a listed proxy that says Forwarded", "10.1.2.3:40000", map[string]string{"Forwarded": "for=203.0.113.5;proto=https"}, true},
		{"a listed proxy of this machine", "127.0.0.2:40000", map[string]string{"X-Forwarded-For": "203.0.113.5"}, false},
		{"a listed proxy of this machine that says https", "127.0.0.2:40000", map[string]string{"X-Forwarded-For": "203.0.113.5", "X-Forwarded-Proto": "https"}, true},
	} {
		for _, path := range []string{environments, "/docs", "/metrics", "/openapi.json"} {
			rec := ask(s, http.MethodGet, path, test.from, func(r *http.Request) {
				for name, value := range test.headers {
					r.Header.Set(name, value)
				}
			})
			switch {
			case test.served && rec.Code != http.StatusOK:
				t.Errorf("%s, %s: %d: %.200s", test.name, path, rec.Code, rec.Body)
			case !test.served && (rec.Code != http.StatusForbidden || code(t, rec) != api.HTTPSRequired.Name):
				t.Errorf("%s, %s: %d: %.200s", test.name, path, rec.Code, rec.Body)
			}
		}
	}
}

func TestRequestLog(t *testing.T) {
	t.Parallel()
	s, log := open(t, nil)
	owner := keyOwner(t, s)
	key := ask(s, http.MethodPost, apiKeys+"?token=hidden-query", loopback, func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(`{"spec":{"owner":{"id":"` + owner + `"},"description":"hidden-body"}}`))
		r.Header.Set("X-Request-Id", "forged-id")
	})
	if key.Code != http.StatusAccepted {
		t.Fatalf("create key: %d: %s", key.Code, key.Body)
	}
	var made struct {
		Spec struct{ Secret string }
	}
	if err := json.Unmarshal(key.Body.Bytes(), &made); err != nil || made.Spec.Secret == "" {
		t.Fatalf("no secret in %s", key.Body)
	}
	refused := ask(s, http.MethodGet, environments, loopback, func(r *http.Request) { r.SetBasicAuth("hidden-key", "hidden-secret") })
	nowhere := ask(s, http.MethodGet, "/nowhere", loopback, nil)

	entries := log.lines(t, "request")
	if len(entries) != 4 {
		t.Fatalf("there are %d lines for 4 requests:\n%s", len(entries), log)
	}
	entries = entries[1:] // without that of keyOwner
	for i, want := range []struct {
		rec                             *httptest.ResponseRecorder
		method, path, op, principal, to string
	}{
		{key, "POST", apiKeys, "createIamV2ApiKey", owner, "202"},
		{refused, "GET", environments, "listOrgV2Environments", "", "401"},
		{nowhere, "GET", "/nowhere", "", "", "404"},
	} {
		e := entries[i]
		status, _ := e["status"].(float64)
		duration, _ := e["duration"].(float64)
		if e["request_id"] != want.rec.Header().Get("X-Request-Id") || e["method"] != want.method || e["path"] != want.path ||
			e["operation"] != want.op || e["principal"] != want.principal || strconv.Itoa(int(status)) != want.to ||
			duration <= 0 || e["client"] != "127.0.0.1" || e["time"] == nil {
			t.Errorf("line %d is %v", i, e)
		}
	}
	for _, secret := range []string{"hidden", "forged", made.Spec.Secret, s.First.APISecret, s.First.Password} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q:\n%s", secret, log)
		}
	}
}

// keyOwner is the user that the first key stands for.
func keyOwner(t *testing.T, s *server.Server) string {
	t.Helper()
	rec := ask(s, http.MethodGet, apiKeys+"/"+s.First.APIKey, loopback, nil)
	var key struct {
		Spec struct{ Owner struct{ ID string } }
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &key); err != nil || key.Spec.Owner.ID == "" {
		t.Fatalf("no owner in %s", rec.Body)
	}
	return key.Spec.Owner.ID
}

func TestPanic(t *testing.T) {
	t.Parallel()
	s, log := open(t, nil)
	authenticate := s.Engine().Authenticate
	s.Engine().Authenticate = func(r *http.Request, accepted []string) (*authn.Caller, error) {
		if r.Header.Get("X-Panic") != "" {
			panic("secret of the panic")
		}
		return authenticate(r, accepted)
	}
	rec := ask(s, http.MethodGet, environments, loopback, func(r *http.Request) { r.Header.Set("X-Panic", "1") })
	if rec.Code != http.StatusInternalServerError || code(t, rec) != api.Internal.Name || strings.Contains(rec.Body.String(), "secret of") {
		t.Errorf("a panic answers %d: %s", rec.Code, rec.Body)
	}
	id := rec.Header().Get("X-Request-Id")
	entries := log.lines(t, "panic")
	if len(entries) != 1 || entries[0]["request_id"] != id || !strings.Contains(entries[0]["stack"].(string), "pipeline_test.go") {
		t.Errorf("the log says of the panic %v", entries)
	}
	if requests := log.lines(t, "request"); len(requests) != 1 || requests[0]["status"] != float64(500) {
		t.Errorf("the log says of the request %v", requests)
	}
	if rec := ask(s, http.MethodGet, environments, loopback, nil); rec.Code != http.StatusOK {
		t.Errorf("after a panic the server answers %d", rec.Code)
	}
}

// filled puts a text in the place of every parameter of a path.
func filled(path string) string {
	for {
		before, after, ok := strings.Cut(path, "{")
		if !ok {
			return path
		}
		_, after, _ = strings.Cut(after, "}")
		path = before + "a-value" + after
	}
}

// TestTable is about what the table of operations says, served or not.
func TestTable(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil)
	t.Run("Unserved", func(t *testing.T) { testUnserved(t, s) })
	t.Run("Deprecation", func(t *testing.T) { testDeprecation(t, s) })
	t.Run("Options", func(t *testing.T) { testOptions(t, s) })
}

// testUnserved tries every public operation that is not built: it says so, and
// neither that there is no such path nor that all went well.
func testUnserved(t *testing.T, s *server.Server) {
	t.Helper()
	unserved := 0
	for _, op := range operation.All() {
		if s.Engine().Serves(op.ID) {
			continue
		}
		unserved++
		for _, prefix := range []string{"", "/api"} {
			rec := ask(s, op.Method, prefix+filled(op.Path), loopback, func(r *http.Request) { r.Header.Del("Authorization") })
			want, allow := http.StatusNotImplemented, []string(nil)
			if prefix != "" {
				// The CLI asks below /api, and repeats what is 500 and more.
				want, allow = http.StatusMethodNotAllowed, []string{""}
			}
			if got := rec.Header().Values("Allow"); !slices.Equal(got, allow) {
				t.Errorf("%s%s: Allow is %q", prefix, op.Path, got)
			}
			if rec.Code != want || code(t, rec) != api.NotImplemented.Name || !strings.Contains(rec.Body.String(), op.ID) {
				t.Errorf("%s %s%s (%s): %d: %.300s", op.Method, prefix, op.Path, op.ID, rec.Code, rec.Body)
			}
			deprecated := rec.Header().Get("Deprecation") != ""
			if sunset := rec.Header().Get("Sunset") != ""; deprecated == op.Deprecated.IsZero() || sunset == op.Sunset.IsZero() {
				t.Errorf("%s: Deprecation is %q and Sunset %q", op.ID, rec.Header().Get("Deprecation"), rec.Header().Get("Sunset"))
			}
		}
	}
	t.Logf("%d public operations are not served", unserved)
}

// testDeprecation checks the form of the headers on one operation.
func testDeprecation(t *testing.T, s *server.Server) {
	t.Helper()
	rec := ask(s, http.MethodGet, "/v1/metrics/cloud/descriptors", loopback, nil)
	day := time.Date(2021, 9, 25, 0, 0, 0, 0, time.UTC)
	if got, want := rec.Header().Get("Deprecation"), "@"+strconv.FormatInt(day.Unix(), 10); got != want {
		t.Errorf("Deprecation is %q, want %q", got, want)
	}
	if got, want := rec.Header().Get("Sunset"), "Mon, 25 Apr 2022 00:00:00 GMT"; got != want {
		t.Errorf("Sunset is %q, want %q", got, want)
	}
}

func testOptions(t *testing.T, s *server.Server) {
	t.Helper()
	rec := ask(s, http.MethodOptions, environments, loopback, func(r *http.Request) { r.Header.Del("Authorization") })
	if rec.Code != http.StatusNoContent || rec.Header().Get("Allow") != "GET, HEAD, OPTIONS, POST" || rec.Body.Len() != 0 {
		t.Errorf("OPTIONS answers %d, Allow %q: %s", rec.Code, rec.Header().Get("Allow"), rec.Body)
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	s, w := start(t, "", weirtest.WithRateLimits(1, 1_000_000))
	admin, nobody := w.Client(w.Admin), w.Client(w.Nobody)
	served := 0
	for served < 100 {
		a := admin.Do(t, http.MethodGet, environments, nil)
		if a.Status == http.StatusTooManyRequests {
			a.WantCode(t, api.TooManyRequests)
			wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
			if err != nil || wait < 1 || wait > 2 {
				t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
			}
			if a.Header.Get("X-RateLimit-Remaining") != "0" || a.Header.Get("X-RateLimit-Limit") == "" || a.Header.Get("X-RateLimit-Reset") == "" {
				t.Errorf("the headers of the limit are %v", a.Header)
			}
			break
		}
		a.Want(t, http.StatusOK)
		served++
	}
	if served < 10 || served == 100 {
		t.Errorf("%d requests were served, want bursts of ten", served)
	}
	// A write that is refused is not made, and others are not concerned.
	admin.Do(t, http.MethodPost, environments, map[string]any{"display_name": "refused"}).WantCode(t, api.TooManyRequests)
	nobody.Do(t, http.MethodGet, environments, nil).Want(t, http.StatusOK)
	// What asks for no credentials has no such limit.
	resp, err := http.Get(s.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/healthz answers %d", resp.StatusCode)
	}
}

// TestAddressLimit guesses secrets from one address: that is slowed down, while
// a valid key works from there, and guesses from elsewhere are not concerned.
func TestAddressLimit(t *testing.T) {
	t.Parallel()
	s, _ := open(t, func(c *server.Config) { c.RateLimitAddress, c.TrustedProxies = 1, []string{"10.0.0.0/8"} })
	guess := func(client string) *httptest.ResponseRecorder {
		return ask(s, http.MethodGet, environments, "10.0.0.1:1", func(r *http.Request) {
			r.SetBasicAuth(s.First.APIKey, "guess")
			r.Header.Set("X-Forwarded-Proto", "https")
			r.Header.Set("X-Forwarded-For", client)
		})
	}
	refused := 0
	for range 40 {
		switch rec := guess("203.0.113.5"); rec.Code {
		case http.StatusUnauthorized:
			if rec.Header().Get("X-RateLimit-Limit") != "" {
				t.Errorf("a 401 tells the limit: %v", rec.Header())
			}
		case http.StatusTooManyRequests:
			refused++
			if code(t, rec) != api.TooManyRequests.Name || rec.Header().Get("Retry-After") == "" {
				t.Errorf("429 is %v: %s", rec.Header(), rec.Body)
			}
		default:
			t.Fatalf("a guess answers %d", rec.Code)
		}
	}
	if refused < 20 {
		t.Errorf("of 40 guesses %d were slowed down", refused)
	}
	if rec := guess("203.0.113.5, 203.0.113.99"); rec.Code != http.StatusUnauthorized {
		t.Errorf("another client behind the same proxy is answered %d", rec.Code)
	}
	if rec := guess("198.51.100.1, 203.0.113.5"); rec.Code != http.StatusTooManyRequests {
		t.Errorf("a client that makes addresses up is answered %d", rec.Code)
	}
	valid := ask(s, http.MethodGet, environments, "10.0.0.1:1", func(r *http.Request) {
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("X-Forwarded-For", "203.0.113.5")
	})
	if valid.Code != http.StatusOK {
		t.Errorf("a valid key from the same address is answered %d", valid.Code)
	}
}

// TestNoLimits is about servers without limits: no header would be true.
func TestNoLimits(t *testing.T) {
	t.Parallel()
	s, _ := open(t, func(c *server.Config) { c.RateLimitPrincipal, c.RateLimitAddress = 0, 0 })
	rec := ask(s, http.MethodGet, environments, loopback, nil)
	if rec.Code != http.StatusOK || rec.Header().Get("X-RateLimit-Limit") != "" {
		t.Errorf("without a limit: %d %v", rec.Code, rec.Header())
	}
}

// TestGracefulStop stops a server while a request is under way: that one is
// answered, and no other begins.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil)
	authenticate := s.Engine().Authenticate
	entered, release := make(chan struct{}), make(chan struct{})
	s.Engine().Authenticate = func(r *http.Request, accepted []string) (*authn.Caller, error) {
		close(entered)
		<-release
		return authenticate(r, accepted)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()

	answered := make(chan int, 1)
	go func() {
		req, err := http.NewRequest(http.MethodPost, s.URL+environments, strings.NewReader(`{"display_name":"slow"}`))
		if err != nil {
			t.Error(err)
		}
		req.SetBasicAuth(s.First.APIKey, s.First.APISecret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.Copy(io.Discard, resp.Body)
		answered <- resp.StatusCode
	}()
	<-entered
	stop()
	waitFor(t, "the server to refuse new connections", func() bool {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(s.URL + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err != nil
	})
	if rec := ask(s, http.MethodGet, "/readyz", loopback, nil); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a server that stops answers %d", rec.Code)
	}
	select {
	case err := <-ended:
		t.Fatalf("the server ended with a request under way: %v", err)
	default:
	}
	close(release)
	if status := <-answered; status != http.StatusCreated {
		t.Errorf("the request under way was answered %d", status)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// waitFor polls until the condition holds.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestOlderAPI is about paths below /api that nothing is at: the client of the
// CLI's older API reads errors in a form of its own, and fails on any other.
func TestOlderAPI(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil)
	for _, path := range []string{"/api/schema_registries", "/api/service_accounts/7", "/api/growth/v1/offers", "/api//accounts", "/confluent.cloud/api/organizations/1/price_table", "/api/x", "/api/api" + environments} {
		rec := ask(s, http.MethodGet, path, loopback, nil)
		var body struct {
			Error struct {
				Code    int
				Message string
			}
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil || rec.Code != http.StatusNotFound || body.Error.Code != http.StatusNotFound || body.Error.Message == "" {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
	// The public API below /api has the form that it has elsewhere.
	for _, path := range []string{"/api/iam/v2/nothing", "/api/org", "/api/cmk/v9/clusters", "/schema_registries", "/x"} {
		if rec := ask(s, http.MethodGet, path, loopback, nil); rec.Code != http.StatusNotFound || code(t, rec) != api.RouteNotFound.Name {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}
