package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// ErrorWriter is the one place where errors become HTTP answers.
type ErrorWriter struct {
	// PublicURL is the base of links, without a final slash.
	PublicURL string
	Log       *slog.Logger
	Now       func() time.Time
	// Body makes the body of an answer, for APIs whose errors look otherwise;
	// nil means the usual one.
	Body func(e *Error) any
	// Told, where set, is told the code of each error that is answered.
	Told func(ctx context.Context, code *Code)
}

// failure is the body of every error: the errors list that each operation's
// OpenAPI document declares, and the envelope of the API's general section,
// in one object.
type failure struct {
	Errors    []failureEntry  `json:"errors"`
	Status    string          `json:"status"`
	Error     failureEnvelope `json:"error"`
	RequestID string          `json:"requestId"`
	DocURL    string          `json:"doc_url"`
	// The flat form of older parts of the API.
	ErrorCode int    `json:"error_code,omitempty"`
	Message   string `json:"message,omitempty"`
}

type failureEntry struct {
	ID     string        `json:"id"`
	Status string        `json:"status"`
	Code   string        `json:"code"`
	Title  string        `json:"title"`
	Detail string        `json:"detail"`
	Source failureSource `json:"source"`
}

type failureSource struct {
	Pointer   string `json:"pointer,omitempty"`
	Parameter string `json:"parameter,omitempty"`
}

type failureEnvelope struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	Details    string `json:"details,omitempty"`
	Timestamp  string `json:"timestamp"`
	Path       string `json:"path"`
	Suggestion string `json:"suggestion,omitempty"`
}

// Write answers the request with the error. What is not an *Error becomes a
// bare 500, or a 503 where the database is away, and its cause goes to the
// log alone.
func (w ErrorWriter) Write(rw http.ResponseWriter, r *http.Request, err error) {
	e := w.translate(r.Context(), err)
	if w.Told != nil {
		w.Told(r.Context(), e.Code)
	}
	requestID := RequestID(r.Context())
	level := slog.LevelDebug
	if e.Code.Status >= http.StatusInternalServerError && e.Code != NotImplemented && !(e.Code == Unavailable && errors.Is(e.Cause, context.Canceled)) {
		level = slog.LevelError
	}
	if e.Cause != nil {
		w.Log.Log(r.Context(), level, "request failed", "request_id", requestID, "code", e.Code.Name, "cause", e.Cause.Error())
	}

	header := rw.Header()
	for name, values := range e.Header {
		header[name] = values
	}
	if e.Location != "" {
		header.Set("Location", w.PublicURL+e.Location)
	}
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")

	var shape any
	if w.Body != nil {
		shape = w.Body(e)
	} else {
		shape = w.body(e, requestID, requestedPath(r))
	}
	body, merr := json.Marshal(shape)
	if merr != nil {
		// Strings always marshal; this is here so that a mistake shows.
		panic(fmt.Sprintf("api: encode error body: %v", merr))
	}
	rw.WriteHeader(e.Code.Status)
	_, _ = rw.Write(body)
}

// requestedPath is the path as it was sent: the one that handlers see may have
// been brought into another form.
func requestedPath(r *http.Request) string {
	sent, _, _ := strings.Cut(r.RequestURI, "?")
	if path, err := url.PathUnescape(sent); err == nil && strings.HasPrefix(path, "/") {
		return path
	}
	return r.URL.Path
}

func (w ErrorWriter) translate(ctx context.Context, err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return New(Unavailable, "The request was cancelled before it was finished").WithCause(err)
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return New(Unavailable, "The server cannot reach its database right now").WithHeader("Retry-After", "1").WithCause(err)
	default:
		return New(Internal, "The server failed to answer the request").WithCause(err)
	}
}

func (w ErrorWriter) body(e *Error, requestID, path string) failure {
	status := strconv.Itoa(e.Code.Status)
	f := failure{
		Status:    status,
		RequestID: requestID,
		DocURL:    w.PublicURL + "/docs/errors/" + e.Code.Upper(),
		Error: failureEnvelope{
			Code:       e.Code.Upper(),
			Message:    e.Problems[0].Message,
			Details:    e.Code.Meaning,
			Timestamp:  Timestamp(w.Now()),
			Path:       path,
			Suggestion: e.Code.Remedy,
		},
	}
	if n := len(e.Problems); n > 1 {
		f.Error.Message = fmt.Sprintf("%d fields failed validation, first: %s", n, e.Problems[0].Message)
	}
	if e.Code.Number != 0 {
		f.ErrorCode, f.Message = e.Code.Number, f.Error.Message
	}
	title := e.Title
	if title == "" {
		title = e.Code.Title
	}
	for i, p := range e.Problems {
		id := requestID
		if i > 0 {
			id += "-" + strconv.Itoa(i+1)
		}
		f.Errors = append(f.Errors, failureEntry{
			ID: id, Status: status, Code: e.Code.Name, Title: title, Detail: p.Message,
			Source: failureSource{Pointer: p.Pointer, Parameter: p.Parameter},
		})
	}
	return f
}
