package apidocs

import (
	"compress/gzip"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	public "github.com/weirhq/weir/internal/operation"
)

var testErrors = []ErrorPage{
	{Code: "resource_not_found", Status: 404, Title: "No such object", Meaning: "There is none.", Remedy: "Use an `id` that a list returned."},
	{Code: "QUOTA_EXCEEDED", Status: 402, Title: "Over quota", Meaning: "Too many <objects>.", Remedy: "Delete some."},
}

const testDocument = `
openapi: 3.1.0
info: {title: "Test <API>", version: 1.2.3, description: "Read ` + "`this`" + ` & that."}
tags:
- {name: Widgets (shop/v1), description: "About <b>widgets</b>."}
security:
- cloud-api-key: []
- confluent-sts-access-token: []
paths:
  /shop/v1/widgets:
    get:
      operationId: listShopV1Widgets
      summary: List widgets
      tags: [Widgets (shop/v1)]
      x-weir-served: true
      x-lifecycle-stage: Preview
      parameters:
      - {name: page_size, in: query, description: How many., schema: {type: integer, minimum: 1, maximum: 100, default: 10}}
      - {name: environment, in: query, required: true, schema: {type: string}}
      responses:
        "200":
          description: A page.
          headers: {X-Request-Id: {description: Names the request., schema: {type: string}}}
          content: {application/json: {schema: {$ref: '#/components/schemas/WidgetList'}}}
        "404": {$ref: '#/components/responses/NotFound'}
    post:
      operationId: createShopV1Widget
      summary: Create widget
      description: |
        <script>alert("x")</script> & <img src=x onerror=alert(1)>

        Second paragraph with ` + "`<code>`" + `.
      tags: [Widgets (shop/v1)]
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Widget'}}}}
      responses:
        "201": {description: Made., content: {application/json: {schema: {$ref: '#/components/schemas/Widget'}}}}
        "404": {$ref: '#/components/responses/NotFound'}
  /shop/v1/widgets/{id}:
    parameters:
    - {name: id, in: path, required: true, schema: {type: string}}
    delete:
      operationId: deleteShopV1Widget
      summary: Delete widget
      deprecated: true
      x-deprecated-at: "2026-01-31"
      x-sunset-at: "2026-07-31"
      tags: [Widgets (shop/v1)]
      security: []
      responses: {"204": {description: Gone.}}
components:
  securitySchemes:
    cloud-api-key: {type: http, scheme: basic, description: A key.}
    confluent-sts-access-token: {type: http, scheme: bearer}
  responses:
    NotFound: {description: None., content: {application/json: {schema: {$ref: '#/components/schemas/Failure'}}}}
  schemas:
    Failure: {type: object, properties: {errors: {type: array, items: {type: object, properties: {code: {type: string}}}}}}
    WidgetList: {type: object, required: [data], properties: {data: {type: array, items: {$ref: '#/components/schemas/Widget'}}}}
    Widget:
      type: object
      required: [display_name, color]
      properties:
        id: {type: string, readOnly: true}
        display_name: {type: string, minLength: 1, maxLength: 64, description: "A <i>name</i>."}
        color: {type: string, enum: [red, green], x-immutable: true}
        secret: {type: string, writeOnly: true}
`

func mustDocument(t testing.TB, text string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func mustNew(t testing.TB, document func() (*openapi3.T, error), errors []ErrorPage) http.Handler {
	t.Helper()
	h, err := New(slog.New(slog.NewTextHandler(t.Output(), nil)), document, errors)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func testHandler(t testing.TB) http.Handler {
	t.Helper()
	doc := mustDocument(t, testDocument)
	return mustNew(t, func() (*openapi3.T, error) { return doc, nil }, testErrors)
}

func get(t testing.TB, h http.Handler, target string, header ...string) *http.Response {
	t.Helper()
	return send(t, h, http.MethodGet, target, header...)
}

func send(t testing.TB, h http.Handler, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPages(t *testing.T) {
	t.Parallel()
	h := testHandler(t)
	tests := []struct {
		target string
		status int
		want   []string
	}{
		{"/docs", 200, []string{
			"<h1>Test &lt;API&gt;</h1>", "Read <code>this</code> &amp; that.", "1 of 3 operations are served.",
			`<a href="/docs/shop/v1#listShopV1Widgets">`, ">List widgets<", "<code>/shop/v1/widgets</code>",
			`<span class="badge stage-preview">Preview</span><span class="badge served">served</span>`, "not served yet",
		}},
		{"/docs/", 200, []string{"<h1>Test &lt;API&gt;</h1>"}},
		{"/docs?q=delete+WIDGET", 200, []string{"1 operation found.", `value="delete WIDGET"`, "Delete widget"}},
		{"/docs?q=%22%3E%3Cscript%3E", 200, []string{"Nothing found.", `value="&#34;&gt;&lt;script&gt;"`}},
		{"/docs/shop/v1", 200, []string{
			`id="listShopV1Widgets"`, "About &lt;b&gt;widgets&lt;/b&gt;.", "The others answer 501",
			"1 to 64 characters", "<code>red</code>, <code>green</code>", "immutable", "read-only", "write-only", "Default <code>10</code>",
			"at least 1, at most 100", "Deprecated since 2026-01-31.", "Withdrawn on 2026-07-31.", "None are needed.",
			"<code>cloud-api-key</code>", `href="#schema-Failure"`, `id="schema-Failure"`, "errors[].", "X-Request-Id",
			`--user &#34;$API_KEY:$API_SECRET&#34;`,
		}},
		{"/docs/errors", 200, []string{`href="/docs/errors/resource_not_found"`, "Over quota"}},
		{"/docs/errors/", 200, []string{`href="/docs/errors/QUOTA_EXCEEDED"`}},
		{"/docs/errors/resource_not_found", 200, []string{"No such object", "Not Found", "There is none.", "<code>id</code>"}},
		{"/docs/errors/QUOTA_EXCEEDED", 200, []string{"Too many &lt;objects&gt;.", "Payment Required"}},
		{"/docs/errors/unknown", 404, []string{"No such page"}},
		{"/docs/shop/v2", 404, []string{"No such page"}},
		{"/docs/shop", 404, []string{"No such page"}},
		{"/docs/a/b/c", 404, []string{"No such page"}},
		{"/docs/style.css", 200, []string{"prefers-color-scheme: dark", ":focus-visible"}},
		{"/docs/search.js", 200, []string{"addEventListener"}},
	}
	for _, tt := range tests {
		t.Run(tt.target, func(t *testing.T) {
			t.Parallel()
			r := get(t, h, tt.target)
			body := text(t, r)
			if r.StatusCode != tt.status {
				t.Fatalf("got status %d, want %d", r.StatusCode, tt.status)
			}
			for _, want := range tt.want {
				if !strings.Contains(body, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
		})
	}
}

func TestTextOfTheDocumentIsEscaped(t *testing.T) {
	t.Parallel()
	body := text(t, get(t, testHandler(t), "/docs/shop/v1"))
	for _, bad := range []string{"<script>", "<img", "<b>widgets", "<i>name"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page contains %s of the document", bad)
		}
	}
	for _, want := range []string{"&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; &lt;img", "<code>&lt;code&gt;</code>", "A &lt;i&gt;name&lt;/i&gt;."} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	h := testHandler(t)
	for _, target := range []string{"/docs", "/docs/shop/v1", "/docs/errors/", "/docs/nothing", "/docs/style.css"} {
		r := get(t, h, target)
		csp := r.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%s: Content-Security-Policy is %q", target, csp)
		}
		if got := r.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options is %q", target, got)
		}
		body := text(t, r)
		if r.Header.Get("Content-Type") == "text/html; charset=utf-8" && (strings.Contains(body, "style=") || strings.Contains(body, `src="http`) || strings.Contains(body, "<style")) {
			t.Errorf("%s: the page asks for what its policy forbids", target)
		}
	}
	if got := get(t, h, "/docs").Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("a page has Cache-Control %q", got)
	}
	if got := get(t, h, "/docs/style.css").Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("the style has Cache-Control %q", got)
	}
	r := send(t, h, http.MethodPost, "/docs")
	if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, Allow %q", r.StatusCode, r.Header.Get("Allow"))
	}
}

func TestConditionalRequests(t *testing.T) {
	t.Parallel()
	h := testHandler(t)
	for _, target := range []string{"/docs", "/docs?q=list", "/docs/shop/v1", "/docs/errors/QUOTA_EXCEEDED", "/docs/style.css"} {
		etag := get(t, h, target).Header.Get("ETag")
		if etag == "" {
			t.Errorf("%s has no ETag", target)
			continue
		}
		tests := []struct {
			header string
			want   int
		}{
			{etag, 304},
			{`"x", ` + etag, 304},
			{strings.TrimPrefix(etag, "W/"), 304},
			{"*", 304},
			{`"x"`, 200},
			{"", 200},
		}
		for _, tt := range tests {
			r := get(t, h, target, "If-None-Match", tt.header)
			if r.StatusCode != tt.want {
				t.Errorf("%s with If-None-Match %s: got %d, want %d", target, tt.header, r.StatusCode, tt.want)
			}
			if body := text(t, r); tt.want == 304 && body != "" {
				t.Errorf("%s: 304 with a body of %d bytes", target, len(body))
			}
		}
	}
	if r := get(t, h, "/docs/nothing/here", "If-None-Match", "*"); r.StatusCode != 404 {
		t.Errorf("a missing page answers %d", r.StatusCode)
	}
}

func TestCompression(t *testing.T) {
	t.Parallel()
	h := testHandler(t)
	plain := text(t, get(t, h, "/docs/shop/v1"))
	tests := []struct {
		header string
		want   bool
	}{
		{"gzip", true},
		{"br, GZIP;q=0.5", true},
		{"gzip; q = 1", true},
		{"gzip;q=0", false},
		{"br", false},
		{"x-gzip-not", false},
		{"", false},
	}
	for _, tt := range tests {
		r := get(t, h, "/docs/shop/v1", "Accept-Encoding", tt.header)
		if got := r.Header.Get("Content-Encoding") == "gzip"; got != tt.want {
			t.Errorf("Accept-Encoding %q: compressed %v, want %v", tt.header, got, tt.want)
			continue
		}
		if r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: Vary is %q", tt.header, r.Header.Get("Vary"))
		}
		if tt.want {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			r.Body = z
		}
		if got := text(t, r); got != plain {
			t.Errorf("Accept-Encoding %q: another page of %d bytes, want %d", tt.header, len(got), len(plain))
		}
	}
}

func TestDocumentIsMadeOnceAndLate(t *testing.T) {
	t.Parallel()
	calls := 0
	fail := true
	doc := mustDocument(t, testDocument)
	h := mustNew(t, func() (*openapi3.T, error) {
		calls++
		if fail {
			return nil, errors.New("not now")
		}
		return doc, nil
	}, testErrors)
	if r := get(t, h, "/docs/errors/"); r.StatusCode != 200 || calls != 0 {
		t.Errorf("the error codes: status %d after %d calls for the document", r.StatusCode, calls)
	}
	for _, target := range []string{"/docs", "/docs/shop/v1"} {
		r := get(t, h, target)
		if body := text(t, r); r.StatusCode != 500 || strings.Contains(body, "not now") {
			t.Errorf("%s: status %d, %q", target, r.StatusCode, body)
		}
	}
	fail, calls = false, 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, target := range []string{"/docs", "/docs/shop/v1", "/docs?q=a"} {
				if r := get(t, h, target); r.StatusCode != 200 {
					t.Errorf("%s: status %d", target, r.StatusCode)
				}
			}
		})
	}
	wg.Wait()
	if calls != 1 {
		t.Errorf("the document was asked for %d times", calls)
	}
}

func TestNewErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		errors []ErrorPage
		want   string
	}{
		{"slash", []ErrorPage{{Code: "a/b"}}, "letters, digits"},
		{"empty", []ErrorPage{{}}, "letters, digits"},
		{"twice", []ErrorPage{{Code: "b"}, {Code: "a"}, {Code: "b"}}, `"b" is given twice`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(slog.New(slog.DiscardHandler), nil, tt.errors)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// tableDocument makes a document with all operations of the public APIs.
func tableDocument() *openapi3.T {
	doc := &openapi3.T{OpenAPI: "3.1.0", Info: &openapi3.Info{Title: "All"}, Paths: openapi3.NewPaths()}
	for _, o := range public.All() {
		op := &openapi3.Operation{
			OperationID: o.ID, Summary: o.Title(), Tags: []string{o.Tag()},
			Extensions: map[string]any{"x-lifecycle-stage": o.Lifecycle, "x-weir-served": o.Group == "iam"},
			Security:   &openapi3.SecurityRequirements{},
			Responses:  openapi3.NewResponses(openapi3.WithStatus(o.Success, &openapi3.ResponseRef{Value: openapi3.NewResponse()})),
		}
		for _, c := range o.Credentials {
			op.Security.With(openapi3.NewSecurityRequirement().Authenticate(c))
		}
		if !o.Sunset.IsZero() {
			op.Deprecated = true
			op.Extensions["x-sunset-at"] = o.Sunset.Format(time.DateOnly)
		}
		doc.AddOperation(o.Path, o.Method, op)
	}
	return doc
}

var (
	href = regexp.MustCompile(`href="([^"]*)"`)
	ids  = regexp.MustCompile(` id="([^"]*)"`)
)

func TestEveryOperationHasItsPlace(t *testing.T) {
	t.Parallel()
	h := mustNew(t, func() (*openapi3.T, error) { return tableDocument(), nil }, testErrors)
	index := text(t, get(t, h, "/docs"))
	pages := make(map[string]string)
	for _, o := range public.All() {
		page := "/docs/" + o.API()
		if _, ok := pages[page]; !ok {
			r := get(t, h, page)
			if r.StatusCode != 200 {
				t.Fatalf("%s: status %d", page, r.StatusCode)
			}
			pages[page] = text(t, r)
		}
		if want := fmt.Sprintf(`href="%s#%s"`, page, o.ID); !strings.Contains(index, want) {
			t.Errorf("the index lacks %s", want)
		}
		_, article, ok := strings.Cut(pages[page], fmt.Sprintf(`<article class="operation" id="%s"`, o.ID))
		article, _, _ = strings.Cut(article, "</article>")
		if !ok {
			t.Errorf("%s lacks %s", page, o.ID)
			continue
		}
		for _, want := range []string{o.Title(), html.EscapeString(o.Path), o.Lifecycle, o.Method, fmt.Sprint(o.Success)} {
			if !strings.Contains(article, want) {
				t.Errorf("%s: lacks %q", o.ID, want)
			}
		}
	}
	pages["/docs"] = index
	pages["/docs/errors/"] = text(t, get(t, h, "/docs/errors/"))
	for name, page := range pages {
		checkLinks(t, h, pages, name, page)
	}
}

// checkLinks checks that no fragment is there twice and that each link leads
// to a page, and to a fragment that it has.
func checkLinks(t *testing.T, h http.Handler, pages map[string]string, name, page string) {
	t.Helper()
	seen := make(map[string]bool)
	for _, m := range ids.FindAllStringSubmatch(page, -1) {
		if seen[m[1]] {
			t.Errorf("%s: two elements are called %q", name, m[1])
		}
		seen[m[1]] = true
	}
	checked := make(map[string]bool)
	for _, m := range href.FindAllStringSubmatch(page, -1) {
		path, fragment, _ := strings.Cut(m[1], "#")
		target := page
		switch {
		case path == "":
		case pages[path] != "":
			target = pages[path]
		case !checked[path]:
			checked[path] = true
			if r := get(t, h, path); r.StatusCode != 200 {
				t.Errorf("%s: the link %s answers %d", name, path, r.StatusCode)
			}
		}
		if fragment != "" && !strings.Contains(target, ` id="`+fragment+`"`) {
			t.Errorf("%s: the link %s leads nowhere", name, m[1])
		}
	}
}

func BenchmarkIndex(b *testing.B) {
	doc := tableDocument()
	h := mustNew(b, func() (*openapi3.T, error) { return doc, nil }, nil)
	b.ReportAllocs()
	for b.Loop() {
		get(b, h, "/docs", "Accept-Encoding", "gzip")
	}
}
