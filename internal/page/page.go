// Package page writes Weir's pages for people: HTML without JavaScript, in one
// style, with the headers that keep what is on them to the person who reads
// them. They work under any public URL.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/weirhq/weir/internal/api"
)

//go:embed assets
var assets embed.FS

const (
	style  = "assets/style.css"
	layout = "assets/layout.html"
)

// MaxBody bounds a form, in bytes: a name of 255 and three passwords of 128
// characters, each of up to twelve bytes when encoded, fit well.
const MaxBody = 16 << 10

// Page is a page from a template: what stands below the title. Its view has a
// Title, and it may define the template "before title".
type Page struct {
	// name is for the log.
	name     string
	template *template.Template
	policy   string
	log      *slog.Logger
}

// New reads the template that the path in files names.
func New(files fs.FS, path string, log *slog.Logger) (*Page, error) {
	css, err := assets.ReadFile(style)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	content, err := fs.ReadFile(files, path)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	t, err := template.ParseFS(assets, layout, style)
	if err == nil {
		_, err = t.New("content").Parse(string(content))
	}
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	sum := sha256.Sum256(css)
	return &Page{name: path, template: t, log: log, policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"}, nil
}

// Guard sets the headers that every answer of the page has: it may not be
// stored, framed or indexed, runs no script, and tells other sites nothing.
func (p *Page) Guard(header http.Header) {
	header.Set("Content-Security-Policy", p.policy)
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Robots-Tag", "noindex")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
}

// Write answers with the page.
func (p *Page) Write(w http.ResponseWriter, r *http.Request, status int, view any) {
	var b bytes.Buffer
	if err := p.template.Execute(&b, view); err != nil {
		p.log.ErrorContext(r.Context(), "a page cannot be rendered", "page", p.name, "request_id", api.RequestID(r.Context()), "error", err)
		http.Error(w, "The page cannot be shown; the server's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a client that went away is no concern of ours
}

// ReadForm reads the request's form, at most MaxBody of it. Status is what to
// answer with where it cannot be read, and 0 where it can.
func ReadForm(w http.ResponseWriter, r *http.Request) (status int) {
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	err := r.ParseForm()
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	default:
		return http.StatusBadRequest
	}
}
