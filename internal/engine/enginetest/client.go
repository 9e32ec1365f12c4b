package enginetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/api"
)

// Client sends requests as one caller and holds every answer to the rules that
// all answers share.
type Client struct {
	Caller
	world *World
}

// Client returns the client of a caller; with the zero Caller it sends no
// credentials.
func (w *World) Client(c Caller) *Client { return &Client{c, w} }

// Answer is what the server answered.
type Answer struct {
	Status int
	Header http.Header
	// Raw is the body as sent, Body the same decoded, nil where there is none.
	Raw  []byte
	Body map[string]any
}

// Do sends a request to the path, or to the absolute URL of a link. A string is
// sent as it is, another body that is not nil as JSON.
func (c *Client) Do(t *testing.T, method, path string, body any) Answer {
	t.Helper()
	return c.Send(t, c.Request(t, method, path, body))
}

// Request makes the request that Do sends.
func (c *Client) Request(t *testing.T, method, path string, body any) *http.Request {
	t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			t.Fatalf("encode body: %v", err)
		}
		reader = bytes.NewReader(encoded)
	}
	if !strings.HasPrefix(path, c.world.URL) {
		path = c.world.URL + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, path, reader)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case c.Key != "":
		req.SetBasicAuth(c.Key, c.Secret)
	case c.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return req
}

// Send sends a request as it is.
func (c *Client) Send(t *testing.T, req *http.Request) Answer {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := Answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Raw, err = io.ReadAll(resp.Body); err != nil {
		t.Fatalf("%s %s: read body: %v", req.Method, req.URL, err)
	}
	what := req.Method + " " + req.URL.RequestURI() + ": " + strconv.Itoa(a.Status)
	if len(a.Raw) > 0 {
		if got := a.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: Content-Type is %q", what, got)
		}
		if err := json.Unmarshal(a.Raw, &a.Body); err != nil {
			t.Fatalf("%s: the body is no JSON object: %v\n%q", what, err, a.Raw)
		}
		if bytes.IndexByte(a.Raw, api.BaseMark) >= 0 {
			t.Errorf("%s: the body has a mark where a link belongs: %q", what, a.Raw)
		}
	}
	c.checkHeader(t, what, a)
	if a.Status >= 400 && req.Method != http.MethodHead {
		c.checkFailure(t, what, req, a)
	}
	return a
}

var requestID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// seen are the request ids of all answers in this process: none comes twice.
var seen sync.Map

func (c *Client) checkHeader(t *testing.T, what string, a Answer) {
	t.Helper()
	id := a.Header.Get("X-Request-Id")
	if _, twice := seen.LoadOrStore(id, true); twice || !requestID.MatchString(id) {
		t.Errorf("%s: X-Request-Id is %q (seen before: %t)", what, id, twice)
	}
	if a.Status < 300 {
		for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
			if n, err := strconv.Atoi(a.Header.Get(name)); err != nil || n < 0 {
				t.Errorf("%s: %s is %q", what, name, a.Header.Get(name))
			}
		}
	}
	if challenged := a.Status == http.StatusUnauthorized || a.Code() == api.InsufficientScope.Name; challenged != (a.Header.Get("WWW-Authenticate") != "") {
		t.Errorf("%s: WWW-Authenticate is %q", what, a.Header.Get("WWW-Authenticate"))
	}
	if a.Status == http.StatusMethodNotAllowed != (a.Header.Get("Allow") != "") {
		t.Errorf("%s: Allow is %q", what, a.Header.Get("Allow"))
	}
}

// micros is the form of all timestamps: RFC 3339 in UTC with microseconds.
const micros = "2006-01-02T15:04:05.000000Z"

// checkFailure checks the one shape of errors: the list of the operation's
// document, and the envelope of the API's general section.
func (c *Client) checkFailure(t *testing.T, what string, req *http.Request, a Answer) {
	t.Helper()
	var f struct {
		Errors []struct {
			ID, Status, Code, Title, Detail string
			Source                          *struct{ Pointer, Parameter string }
		}
		Status, RequestID string
		DocURL            string `json:"doc_url"`
		Error             struct{ Code, Message, Timestamp, Path string }
	}
	if err := json.Unmarshal(a.Raw, &f); err != nil || len(f.Errors) == 0 {
		t.Errorf("%s: no error body (%v): %q", what, err, a.Raw)
		return
	}
	code := f.Errors[0].Code
	known := slices.IndexFunc(api.Codes(), func(k *api.Code) bool { return k.Name == code && k.Status == a.Status })
	if known < 0 {
		t.Errorf("%s: the code %q does not belong to the status", what, code)
	}
	status := strconv.Itoa(a.Status)
	ids := map[string]bool{}
	for _, e := range f.Errors {
		if e.ID == "" || ids[e.ID] || e.Status != status || e.Code != code || e.Title == "" || e.Detail == "" || e.Source == nil {
			t.Errorf("%s: entry is incomplete: %s", what, a.Raw)
		}
		ids[e.ID] = true
	}
	upper := strings.ToUpper(code)
	if f.Status != status || f.Error.Code != upper || f.Error.Message == "" || f.RequestID != a.Header.Get("X-Request-Id") ||
		f.DocURL != c.world.URL+"/docs/errors/"+upper {
		t.Errorf("%s: envelope is wrong: %s", what, a.Raw)
	}
	if at, err := time.Parse(micros, f.Error.Timestamp); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("%s: timestamp is %q", what, f.Error.Timestamp)
	}
	// The path is as the operation was found: without /api and doubled slashes.
	if plain := utf8.ValidString(req.URL.Path) && !strings.Contains(req.URL.Path, "//"); plain && !strings.HasSuffix(req.URL.Path, f.Error.Path) {
		t.Errorf("%s: path is %q, not %q", what, f.Error.Path, req.URL.Path)
	}
}

// Want fails the test at once unless the status is the one given.
func (a Answer) Want(t *testing.T, status int) Answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status is %d, want %d: %s", a.Status, status, a.Raw)
	}
	return a
}

// WantCode fails the test unless the answer is an error with the code.
func (a Answer) WantCode(t *testing.T, code *api.Code) Answer {
	t.Helper()
	if a.Status != code.Status || a.Code() != code.Name {
		t.Errorf("answer is %d %q, want %d %q: %s", a.Status, a.Code(), code.Status, code.Name, a.Raw)
	}
	return a
}

// WantInvalid fails the test unless the answer is a 422 with one entry for each
// of the pointers, and no other.
func (a Answer) WantInvalid(t *testing.T, pointers ...string) {
	t.Helper()
	a.WantCode(t, api.ValidationFailed)
	got := a.sources("pointer")
	slices.Sort(got)
	slices.Sort(pointers)
	if !slices.Equal(got, pointers) {
		t.Errorf("pointers are %q, want %q: %s", got, pointers, a.Raw)
	}
}

// WantParameter fails the test unless the answer is a 400 with the code that
// names the query parameter.
func (a Answer) WantParameter(t *testing.T, code *api.Code, parameter string) {
	t.Helper()
	a.WantCode(t, code)
	if got := a.sources("parameter"); !slices.Equal(got, []string{parameter}) {
		t.Errorf("the answer names the parameters %q, want %q: %s", got, parameter, a.Raw)
	}
}

// Code is the code of an error, "" of a success.
func (a Answer) Code() string {
	for _, e := range a.errors() {
		code, _ := e["code"].(string)
		return code
	}
	return ""
}

func (a Answer) sources(name string) []string {
	var out []string
	for _, e := range a.errors() {
		source, _ := e["source"].(map[string]any)
		text, _ := source[name].(string)
		out = append(out, text)
	}
	return out
}

func (a Answer) errors() []map[string]any {
	list, _ := a.Body["errors"].([]any)
	var out []map[string]any
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// Text is the text at a dotted path of the body, or "".
func (a Answer) Text(path string) string {
	v, _ := get(a.Body, path)
	s, _ := v.(string)
	return s
}

// ID is the object's id.
func (a Answer) ID() string { return a.Text("id") }
