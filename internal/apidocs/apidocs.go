// Package apidocs renders an OpenAPI document as an API reference for people.
//
// The pages are HTML made on the server: they need no network, no JavaScript
// (which only filters the index while one types) and no host but Weir's own.
// All text of the document is escaped; of its markup only paragraphs and code
// spans are shown as such.
//
// Beyond plain OpenAPI 3.1 the package reads these extensions:
//
//   - x-weir-served (boolean) on an operation: whether Weir serves it;
//   - x-lifecycle-stage, x-deprecated-at and x-sunset-at (strings) on an
//     operation: the stage of its life, and days such as 2026-01-31;
//   - x-immutable (boolean) on a schema: cannot be changed after creation.
//
// An operation stands under its first tag, "Service Accounts (iam/v2)": the
// resource, and in parentheses the API. More levels after the version, as in
// "(iam/v2/sso)", do not make another API. An operation without such a tag
// stands under the API that its path begins with, else under "other/all".
package apidocs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

// ErrorPage says what one error code of the API means.
type ErrorPage struct {
	// Code is the error code, of letters, digits, '_' and '-'. It is the last
	// segment of the page's path.
	Code string
	// Status is the HTTP status that the code is sent with.
	Status int
	// Title is the error in a few words, Meaning why it is sent, and Remedy
	// what a client does about it. Meaning and Remedy may have paragraphs,
	// divided by empty lines, and code between backticks.
	Title, Meaning, Remedy string
}

//go:embed assets
var assets embed.FS

// contentSecurityPolicy lets a page load this handler's own style and script
// and nothing else.
const contentSecurityPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxQuery is the number of bytes of a search that count.
const maxQuery = 200

type handler struct {
	log       *slog.Logger
	mux       *http.ServeMux
	templates *template.Template
	document  func() (*openapi3.T, error)
	errors    []ErrorPage

	mu    sync.Mutex
	ref   *reference
	pages map[string]page
}

// page is a rendered page, compressed: the whole reference is then a few
// hundred kilobytes.
type page struct {
	etag string
	gzip []byte
}

var errorCode = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// New returns the handler for everything at and below /docs; it expects to be
// reached under that path:
//
//	/docs                   the index; ?q=WORDS keeps what contains the words
//	/docs/{group}/{version} one API
//	/docs/errors/           the error codes
//	/docs/errors/{code}     one error code
//
// The document is asked for when the first page needs it, and again after an
// error, which is answered with status 500. It must not change once returned.
// Pages are rendered when first asked for and then kept. New fails for an
// error page whose code is malformed or given twice.
func New(log *slog.Logger, document func() (*openapi3.T, error), errors []ErrorPage) (http.Handler, error) {
	errors = slices.Clone(errors)
	slices.SortFunc(errors, func(a, b ErrorPage) int { return strings.Compare(a.Code, b.Code) })
	for i, e := range errors {
		if !errorCode.MatchString(e.Code) {
			return nil, fmt.Errorf("error page %q: a code has letters, digits, '_' and '-' only", e.Code)
		}
		if i > 0 && errors[i-1].Code == e.Code {
			return nil, fmt.Errorf("error page %q is given twice", e.Code)
		}
	}
	h := &handler{log: log, document: document, errors: errors, pages: make(map[string]page)}

	h.mux = http.NewServeMux()
	versions := make(map[string]string)
	for _, name := range []string{"style.css", "search.js"} {
		content, err := assets.ReadFile("assets/" + name)
		if err != nil {
			return nil, fmt.Errorf("asset %s: %w", name, err)
		}
		versions[name] = digest(content)
		h.mux.HandleFunc("GET /docs/"+name, asset(name, content))
	}
	var err error
	h.templates, err = template.New("").Funcs(template.FuncMap{
		"asset": func(name string) string { return "/docs/" + name + "?v=" + versions[name] },
		"prose": prose,
		"join":  strings.Join,
		"lower": strings.ToLower,
		"slug":  slug,
	}).ParseFS(assets, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}

	h.mux.HandleFunc("GET /docs", h.index)
	h.mux.HandleFunc("GET /docs/{$}", h.index)
	h.mux.HandleFunc("GET /docs/{group}/{version}", h.api)
	h.mux.HandleFunc("GET /docs/errors", h.errorIndex)
	h.mux.HandleFunc("GET /docs/errors/{$}", h.errorIndex)
	h.mux.HandleFunc("GET /docs/errors/{code}", h.errorPage)
	h.mux.HandleFunc("GET /docs/", h.notFound)
	return h, nil
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", contentSecurityPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	h.mux.ServeHTTP(w, r)
}

// view is what every template gets.
type view struct {
	// Title of the page, without the name of the site.
	Title string
	// Section is the part of the site that the navigation marks.
	Section string
	// Query is what was searched for, on the index.
	Query string
	Data  any
}

func (h *handler) index(w http.ResponseWriter, r *http.Request) {
	ref, err := h.reference()
	if err != nil {
		h.failed(w, r, err)
		return
	}
	key, query := "index", r.FormValue("q")
	query = strings.Join(strings.Fields(query[:min(len(query), maxQuery)]), " ")
	if query != "" {
		// What can be searched for has no end, so it is not kept.
		key, ref = "", ref.search(query)
	}
	h.serve(w, r, http.StatusOK, key, "index.html", func() view {
		return view{Title: ref.Title, Section: "index", Query: query, Data: ref}
	})
}

func (h *handler) api(w http.ResponseWriter, r *http.Request) {
	ref, err := h.reference()
	if err != nil {
		h.failed(w, r, err)
		return
	}
	name := r.PathValue("group") + "/" + r.PathValue("version")
	i := slices.IndexFunc(ref.APIs, func(a api) bool { return a.Name == name })
	if i < 0 {
		h.notFound(w, r)
		return
	}
	h.serve(w, r, http.StatusOK, "api "+name, "api.html", func() view {
		return view{Title: name, Section: "api", Data: ref.detail(ref.APIs[i])}
	})
}

func (h *handler) errorIndex(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, http.StatusOK, "errors", "errors.html", func() view {
		return view{Title: "Error codes", Section: "errors", Data: h.errors}
	})
}

func (h *handler) errorPage(w http.ResponseWriter, r *http.Request) {
	code := r.PathValue("code")
	i := slices.IndexFunc(h.errors, func(e ErrorPage) bool { return e.Code == code })
	if i < 0 {
		h.notFound(w, r)
		return
	}
	e := h.errors[i]
	h.serve(w, r, http.StatusOK, "error "+code, "error.html", func() view {
		return view{Title: e.Code, Section: "errors", Data: struct {
			ErrorPage
			StatusText string
		}{e, http.StatusText(e.Status)}}
	})
}

func (h *handler) notFound(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, http.StatusNotFound, "not found", "notfound.html", func() view {
		return view{Title: "No such page"}
	})
}

func (h *handler) failed(w http.ResponseWriter, r *http.Request, err error) {
	h.log.ErrorContext(r.Context(), "cannot render the API reference", "path", r.URL.Path, "error", err)
	http.Error(w, "The API reference cannot be shown; the server's log says why.", http.StatusInternalServerError)
}

// reference returns the document in the form of the index.
func (h *handler) reference() (*reference, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ref == nil {
		doc, err := h.document()
		if err != nil {
			return nil, fmt.Errorf("OpenAPI document: %w", err)
		}
		h.ref = newReference(doc)
	}
	return h.ref, nil
}

// serve answers with a page, which it renders unless it is kept under the
// key; an empty key keeps nothing.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, status int, key, name string, data func() view) {
	h.mu.Lock()
	p, ok := h.pages[key]
	h.mu.Unlock()
	if !ok {
		var err error
		if p, err = h.render(name, data()); err != nil {
			h.failed(w, r, err)
			return
		}
		if key != "" {
			h.mu.Lock()
			h.pages[key] = p
			h.mu.Unlock()
		}
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	header.Set("Vary", "Accept-Encoding")
	if status == http.StatusOK {
		header.Set("ETag", p.etag)
		if noneMatch(r.Header.Get("If-None-Match"), p.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		header.Set("Content-Length", strconv.Itoa(len(p.gzip)))
		w.WriteHeader(status)
		w.Write(p.gzip) //nolint:errcheck // The client is gone.
		return
	}
	w.WriteHeader(status)
	if plain, err := gzip.NewReader(bytes.NewReader(p.gzip)); err == nil {
		_, _ = io.Copy(w, plain) //nolint:gosec // our own page, as large as it was when it was compressed
	}
}

func (h *handler) render(name string, v view) (page, error) {
	var plain, packed bytes.Buffer
	if err := h.templates.ExecuteTemplate(&plain, name, v); err != nil {
		return page{}, fmt.Errorf("page %s: %w", name, err)
	}
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain.Bytes()); err != nil {
		return page{}, fmt.Errorf("page %s: %w", name, err)
	}
	if err := z.Close(); err != nil {
		return page{}, fmt.Errorf("page %s: %w", name, err)
	}
	// Weak, since the page is sent with and without compression.
	return page{etag: `W/"` + digest(plain.Bytes()) + `"`, gzip: packed.Bytes()}, nil
}

// asset serves a file whose address changes with its content.
func asset(name string, content []byte) http.HandlerFunc {
	mediaType := "text/css; charset=utf-8"
	if strings.HasSuffix(name, ".js") {
		mediaType = "text/javascript; charset=utf-8"
	}
	etag := `"` + digest(content) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", mediaType)
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
		header.Set("ETag", etag)
		if noneMatch(r.Header.Get("If-None-Match"), etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		header.Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content) //nolint:errcheck // The client is gone.
	}
}

// noneMatch says whether the If-None-Match header names the tag; as the field
// demands, weak and strong tags are the same.
func noneMatch(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// acceptsGzip says whether the Accept-Encoding header allows gzip by name.
func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return !ok || (err == nil && weight > 0)
	}
	return false
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// slug makes a fragment out of a title.
func slug(s string) string {
	return url.PathEscape(strings.Join(strings.Fields(strings.ToLower(s)), "-"))
}
