//go:build !race

// One request comes after the other here, which tells the race detector nothing.

package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
)

// target is a server that is attacked, in this process, with what its own
// OpenAPI document says of it.
type target struct {
	t          testing.TB
	server     *server.Server
	handler    http.Handler
	operations []attacked
	// key is one of an administrator; an attack may end it.
	key [2]string
	org string

	// ids are those of objects, by the path of their list.
	ids map[string][]string

	mu     sync.Mutex
	panics []string
}

// attacked is one operation.
type attacked struct {
	method, path string
	op           *openapi3.Operation
	parameters   openapi3.Parameters
	// outcomes counts the answers, by status.
	outcomes map[int]int
}

// Handle, Enabled, WithAttrs and WithGroup make the target the handler of its
// server's log, which tells of panics.
func (g *target) Handle(_ context.Context, r slog.Record) error {
	if r.Level < slog.LevelError {
		return nil
	}
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	g.mu.Lock()
	defer g.mu.Unlock()
	g.panics = append(g.panics, text)
	return nil
}
func (g *target) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (g *target) WithAttrs([]slog.Attr) slog.Handler           { return g }
func (g *target) WithGroup(string) slog.Handler                { return g }

func newTarget(t testing.TB, databaseURL string) *target {
	t.Helper()
	g := &target{t: t, ids: map[string][]string{}}
	s, err := server.Open(t.Context(), server.Config{
		SMTPURL: "smtp://127.0.0.1:1", MailFrom: "weir@example.com",
		CacheSize: 32, Listen: "127.0.0.1:0", DataDir: t.TempDir(), DatabaseURL: databaseURL,
	}, "test", slog.New(g))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	g.server, g.handler = s, s.Handler()
	g.key, g.org = [2]string{s.First.APIKey, s.First.APISecret}, s.First.OrganizationID
	if err := s.Store().Update(t.Context(), func(tx store.Tx) error {
		for _, q := range s.Engine().Quotas() {
			if err := tx.PutLimit(t.Context(), g.org, q.Code, 1_000_000); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	g.newKey()
	g.read()
	return g
}

// newKey gives the attacker a service account and a key of its own, so that an
// attack that deletes the first administrator does not end the test.
func (g *target) newKey() {
	g.t.Helper()
	ctx := context.WithoutCancel(g.t.Context())
	e := g.server.Engine()
	account := newAccount(g.org)
	err := e.Store.Update(ctx, func(tx store.Tx) error {
		if err := e.Insert(ctx, tx, account); err != nil {
			return err
		}
		if err := iam.Bind(ctx, e, tx, g.org, account.ID, authz.OrganizationAdmin, "crn://confluent.cloud/organization="+g.org); err != nil {
			return err
		}
		c, err := issue(ctx, e, tx, g.org, account.ID)
		g.key = [2]string{c.Key, c.Secret}
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

// read reads the document for what can be attacked.
func (g *target) read() {
	g.t.Helper()
	rec := httptest.NewRecorder()
	g.handler.ServeHTTP(rec, local(httptest.NewRequest(http.MethodGet, "/openapi.json", nil)))
	doc, err := openapi3.NewLoader().LoadFromData(rec.Body.Bytes())
	if err != nil {
		g.t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Extensions["x-weir-served"] == true {
				g.operations = append(g.operations, attacked{method, path, op, append(slices.Clone(item.Parameters), op.Parameters...), map[int]int{}})
			}
		}
	}
	slices.SortFunc(g.operations, func(a, b attacked) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	if len(g.operations) < 50 {
		g.t.Fatalf("the document has %d operations", len(g.operations))
	}
}

func local(r *http.Request) *http.Request {
	r.RemoteAddr = "127.0.0.1:4711"
	return r
}

// attack is a request as it is made up from random numbers; what a fuzzer gives
// takes the place of parts of it.
type attack struct {
	operation *attacked
	request   *http.Request
	sent      string
}

func (g *target) attack(r *rand.Rand, body []byte, query, header string) attack {
	at := &g.operations[r.IntN(len(g.operations))]
	path, parameters := at.path, url.Values{}
	for _, p := range at.parameters {
		switch {
		case p.Value.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", url.PathEscape(g.id(r, path, p.Value.Name)))
		case p.Value.In == "query" && (p.Value.Required || r.IntN(3) == 0):
			for range 1 + r.IntN(8)/7 {
				parameters.Add(p.Value.Name, fmt.Sprint(g.value(r, p.Value.Schema, 0)))
			}
		}
	}
	raw := parameters.Encode()
	switch r.IntN(20) {
	case 0:
		raw += "&" + hostileTexts[r.IntN(len(hostileTexts))]
	case 1:
		raw += "&page_size=" + hostileNumbers[r.IntN(len(hostileNumbers))]
	}
	if query != "" {
		raw = query
	}
	var content []byte
	contentType := "application/json"
	if at.op.RequestBody != nil {
		for name, media := range at.op.RequestBody.Value.Content {
			contentType = name
			v := g.value(r, media.Schema, 0)
			if name == "application/x-www-form-urlencoded" {
				form := url.Values{}
				if m, ok := v.(map[string]any); ok {
					for name, value := range m {
						form.Add(name, fmt.Sprint(value))
					}
				}
				content = []byte(form.Encode())
			} else {
				content, _ = json.Marshal(v) //nolint:errchkjson // what cannot be encoded is no attack
			}
		}
	}
	if r.IntN(4) == 0 {
		content = spoil(r, content)
	}
	if len(body) > 0 {
		content = body
	}
	req := local(httptest.NewRequest(at.method, "/", bytes.NewReader(content)))
	req.URL = &url.URL{Path: "/", RawQuery: raw}
	if u, err := url.Parse(path); err == nil {
		req.URL.Path, req.URL.RawPath = u.Path, u.RawPath
	}
	req.RequestURI = req.URL.RequestURI()
	req.SetBasicAuth(g.key[0], g.key[1])
	if len(content) > 0 {
		req.Header.Set("Content-Type", contentType)
	}
	for range r.IntN(3) {
		name := hostileHeaders[r.IntN(len(hostileHeaders))]
		req.Header.Set(name, hostileTexts[r.IntN(len(hostileTexts))])
	}
	if name, value, ok := strings.Cut(header, ":"); ok {
		req.Header[http.CanonicalHeaderKey(name)] = []string{value}
	}
	return attack{at, req, string(content[:min(len(content), 500)])}
}

// id is one of an object for a part of a path: mostly one that is there.
func (g *target) id(r *rand.Rand, path, name string) string {
	list, _, _ := strings.Cut(path, "/{"+name+"}")
	known := g.ids[list]
	if len(known) > 0 && r.IntN(5) > 0 {
		return known[r.IntN(len(known))]
	}
	return hostileTexts[r.IntN(len(hostileTexts))]
}

var (
	hostileTexts = []string{
		"", "a", "../../etc/passwd", "%00", "\x00", "\u202eabc", "ü", "𝔘", "\ufeffx", "a\nb", "<script>", "'; DROP TABLE objects; --", "null", "{}", "[]",
		"\xff\xfe", "\xc0\xaf", "\xed\xa0\x80", "%zz", "Bearer a.b.c", "Bearer " + strings.Repeat("a", 9000), "Basic Og==", "Basic ###", "gzip", "chunked", "*/*",
		"text/html", "application/json; charset=utf-16", "sa-000000", "u-000000", "pool-aaaa", "User:sa-000000", "crn://confluent.cloud/organization=*",
		"crn://", strings.Repeat("x", 5000), strings.Repeat("(", 300), "2026-13-45T99:99:99Z", "http://127.0.0.1:1/", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
		"100-continue", "bytes=0-1", "127.0.0.1, 10.0.0.1", "for=127.0.0.1;proto=https", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a;b=c,d",
	}
	hostileNumbers = []string{
		"-1", "0", "1", "99999999999999999999", "1e400", "-0", "1.5", "NaN", "0x10", "1_000", "١٢", "+7", " 5", "1e-400", "9223372036854775808",
	}
	hostileHeaders = []string{
		"Authorization", "Accept", "Content-Type", "Content-Encoding", "Expect", "Range", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Host",
		"Confluent-Identity-Pool-Id", "Traceparent", "X-Request-Id", "If-Match", "Accept-Encoding", "Cookie", "Origin", "X-Http-Method-Override",
	}
)

// value makes something of the schema up, and now and then something else.
func (g *target) value(r *rand.Rand, ref *openapi3.SchemaRef, depth int) any {
	if ref == nil || ref.Value == nil || r.IntN(15) == 0 || depth > 8 {
		return odd(r)
	}
	s := ref.Value
	if len(s.AllOf) > 0 && r.IntN(2) == 0 {
		return g.value(r, s.AllOf[r.IntN(len(s.AllOf))], depth)
	}
	switch {
	case len(s.Enum) > 0 && r.IntN(8) > 0:
		return s.Enum[r.IntN(len(s.Enum))]
	case s.Type.Is("object"):
		m := map[string]any{}
		for name, property := range s.Properties {
			required := slices.Contains(s.Required, name)
			switch {
			case property.Value != nil && property.Value.ReadOnly && r.IntN(20) > 0:
			case required && r.IntN(12) > 0, !required && r.IntN(2) == 0:
				m[name] = g.property(r, name, property, depth)
			}
		}
		if r.IntN(20) == 0 {
			m[hostileTexts[r.IntN(len(hostileTexts))]] = odd(r)
		}
		return m
	case s.Type.Is("array"):
		list := []any{}
		for range r.IntN(4) {
			list = append(list, g.value(r, s.Items, depth+1))
		}
		return list
	case s.Type.Is("boolean"):
		return r.IntN(2) == 0
	case s.Type.Is("integer"), s.Type.Is("number"):
		return r.IntN(200) - 20
	}
	if s.Example != nil && r.IntN(3) > 0 {
		return s.Example
	}
	return fmt.Sprint("text ", r.IntN(1000))
}

// property is value, with IDs of objects that are there for references.
func (g *target) property(r *rand.Rand, name string, ref *openapi3.SchemaRef, depth int) any {
	if name == "id" && r.IntN(4) > 0 {
		var all []string
		for _, list := range slices.Sorted(func(yield func(string) bool) {
			for k := range g.ids {
				if !yield(k) {
					return
				}
			}
		}) {
			all = append(all, g.ids[list]...)
		}
		if len(all) > 0 {
			return all[r.IntN(len(all))]
		}
	}
	return g.value(r, ref, depth+1)
}

// odd is what a field does not expect.
func odd(r *rand.Rand) any {
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		return json.RawMessage(strings.ReplaceAll(hostileNumbers[r.IntN(6)], "-0", "-0.0"))
	case 2:
		return []any{map[string]any{}, nil, 1, "a"}
	case 3:
		return map[string]any{"id": map[string]any{"id": nil}}
	case 4:
		return true
	default:
		return strings.ToValidUTF8(hostileTexts[r.IntN(len(hostileTexts))], "\ufffd")
	}
}

// spoil damages a body.
func spoil(r *rand.Rand, body []byte) []byte {
	body = slices.Clone(body)
	switch r.IntN(14) {
	case 0:
		return body[:r.IntN(len(body)+1)]
	case 1:
		return append([]byte("\xef\xbb\xbf"), body...)
	case 2:
		return append(body, body...)
	case 3:
		return bytes.Replace(body, []byte("{"), []byte(`{"display_name":1,"display_name":"two",`), 1)
	case 4:
		return []byte(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000))
	case 5:
		return []byte(strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000))
	case 6:
		return bytes.ReplaceAll(body, []byte("text"), []byte{0xff, 0xfe})
	case 7:
		return bytes.ReplaceAll(body, []byte("text"), []byte(`\ud800`))
	case 8:
		return bytes.ReplaceAll(body, []byte("text"), []byte(`\u0000`))
	case 9:
		var out []byte
		for _, u := range utf16.Encode([]rune(string(body))) {
			out = append(out, byte(u), byte(u>>8))
		}
		return out
	case 10:
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
		_ = z.Close()
		return b.Bytes()
	case 11:
		return []byte(`{"display_name":"` + strings.Repeat("x", 1<<20) + `"}`)
	case 12:
		return []byte(`{"display_name":` + hostileNumbers[r.IntN(len(hostileNumbers))] + `}`)
	default:
		for range 1 + r.IntN(4) {
			if len(body) > 0 {
				body[r.IntN(len(body))] ^= byte(1 << r.IntN(8))
			}
		}
		return body
	}
}

var (
	// leaks are what no answer may tell.
	leaks = regexp.MustCompile(`goroutine \d|SQLSTATE|\.go:\d+|sqlite:|pgx|INSERT INTO|runtime error|invalid memory`)
	// foreignErrors are the paths whose clients read errors in another form.
	foreignErrors = regexp.MustCompile(`^/(oauth2/|service_accounts$|users$)`)
)

// fire sends an attack and judges the answer.
func (g *target) fire(a attack) {
	g.t.Helper()
	rec := httptest.NewRecorder()
	begun := time.Now()
	g.handler.ServeHTTP(rec, a.request)
	body, status := rec.Body.Bytes(), rec.Code
	a.operation.outcomes[status]++
	complain := func(what string) {
		g.t.Errorf("%s: %s %s %.300v\n%q\nanswers %d\n%.1000s", what, a.request.Method, a.request.RequestURI[:min(len(a.request.RequestURI), 300)], a.request.Header, a.sent, status, body)
	}
	if took := time.Since(begun); took > 20*time.Second {
		complain(fmt.Sprint("it took ", took))
	}
	if status >= 500 && status != http.StatusNotImplemented {
		complain("a failure of the server")
	}
	g.mu.Lock()
	if len(g.panics) > 0 {
		complain("the log has " + strings.Join(g.panics, "\n"))
		g.panics = nil
	}
	g.mu.Unlock()
	if rec.Header().Get("X-Request-Id") == "" {
		complain("no request ID")
	}
	if leaks.Match(body) {
		complain("the answer tells of the inside")
	}
	if status == http.StatusNoContent || len(body) == 0 && status < 400 {
		return
	}
	if !json.Valid(body) || !strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") {
		complain("not JSON")
		return
	}
	if status < 400 {
		g.learn(a, body)
		return
	}
	var failure struct {
		Errors []struct{ ID, Status, Code, Title, Detail string }
		Error  any
	}
	_ = json.Unmarshal(body, &failure) // it is valid; another form has no errors
	if foreignErrors.MatchString(a.operation.path) {
		if failure.Error == nil {
			complain("not an error")
		}
		return
	}
	if len(failure.Errors) == 0 || failure.Error == nil {
		complain("not the shape of errors")
		return
	}
	for _, e := range failure.Errors {
		if e.ID == "" || e.Status != fmt.Sprint(status) || e.Code == "" || e.Title == "" || e.Detail == "" {
			complain("not the shape of errors")
			return
		}
	}
}

// learn keeps the IDs of what was made or listed.
func (g *target) learn(a attack, body []byte) {
	var answer struct {
		ID   string
		Data []struct{ ID string }
	}
	_ = json.Unmarshal(body, &answer) // what has none teaches nothing
	list := strings.TrimSuffix(a.request.URL.Path, "/"+answer.ID)
	add := func(id string) {
		if id != "" && len(g.ids[list]) < 50 && !slices.Contains(g.ids[list], id) {
			g.ids[list] = append(g.ids[list], id)
			// The document names the list by its pattern.
			if !slices.Contains(g.ids[a.operation.path], id) && a.operation.method != http.MethodGet {
				g.ids[a.operation.path] = append(g.ids[a.operation.path], id)
			}
		}
	}
	add(answer.ID)
	for _, o := range answer.Data {
		add(o.ID)
	}
}

// alive gives the attacker another key where an attack has ended the old one.
func (g *target) alive() {
	req := local(httptest.NewRequest(http.MethodGet, "/org/v2/organizations", nil))
	req.SetBasicAuth(g.key[0], g.key[1])
	rec := httptest.NewRecorder()
	g.handler.ServeHTTP(rec, req)
	if rec.Code == http.StatusUnauthorized || rec.Code == http.StatusForbidden {
		g.newKey()
	}
}

// TestHostileOperations attacks every operation of the document with thousands of
// requests, from an ordinary one to none that anybody would send: no failure of
// the server, no panic, always the shape of errors, and everything in the database
// holds together afterwards.
func TestHostileOperations(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		g := newTarget(t, databaseURL)
		r := rand.New(rand.NewPCG(1, 2)) // the same every time
		for i := range 3000 {
			if i%25 == 0 {
				g.alive()
			}
			g.fire(g.attack(r, nil, "", ""))
			if t.Failed() {
				return
			}
		}
		succeeded := 0
		for _, at := range g.operations {
			good, total := 0, 0
			for status, n := range at.outcomes {
				total += n
				if status < 400 {
					good += n
				}
			}
			if total == 0 {
				t.Errorf("%s %s was never attacked", at.method, at.path)
			}
			if good > 0 {
				succeeded++
			}
		}
		t.Logf("%d of %d operations have succeeded too", succeeded, len(g.operations))
		if succeeded < len(g.operations)/3 {
			t.Errorf("%d of %d operations have ever succeeded: the attacks stop at the door", succeeded, len(g.operations))
		}
		verify(t, g.server.Engine())
	})
}

// TestHostileInputLeavesNothingBehind looks for growth: after some thousand
// attacks there are as many goroutines as before, and little more memory.
func TestHostileInputLeavesNothingBehind(t *testing.T) {
	g := newTarget(t, "")
	r := rand.New(rand.NewPCG(3, 4))
	volley := func(n int) {
		for i := range n {
			if i%25 == 0 {
				g.alive()
			}
			a := g.attack(r, nil, "", "")
			if a.operation.method == http.MethodPost {
				a.operation.outcomes[0]++
				continue // what is made stays by design
			}
			g.fire(a)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	volley(1500)
	goroutines, before := runtime.NumGoroutine(), heap()
	volley(3000)
	waitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
	waitFor(t, "the memory to be free again", func() bool { return heap() < before+32<<20 })
}

// FuzzOperations lets the fuzzer choose the attack, its body, its query and a
// header.
func FuzzOperations(f *testing.F) {
	f.Add(uint64(1), []byte(nil), "", "")
	f.Add(uint64(2), []byte(`{"display_name":"a"}`), "page_size=1", "Accept: */*")
	f.Add(uint64(3), []byte(`{"spec":{"owner":{"id":"u-1"}}}`), "environment=env-1&spec.owner=a", "Authorization: Bearer a.b.c")
	f.Add(uint64(4), []byte("grant_type=a&subject_token=b"), "", "Content-Type: application/x-www-form-urlencoded")
	g := newTarget(f, "")
	f.Fuzz(func(t *testing.T, seed uint64, body []byte, query, header string) {
		g.t = t
		g.alive()
		r := rand.New(rand.NewPCG(seed, 5))
		g.fire(g.attack(r, body, query, header))
	})
}
