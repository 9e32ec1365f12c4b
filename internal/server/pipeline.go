package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/apidocs"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/ccloudv1"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/invitation"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/partner"
	"github.com/weirhq/weir/internal/ratelimit"
	"github.com/weirhq/weir/internal/signin"
	"github.com/weirhq/weir/internal/sso"
)

// handler is the whole pipeline, outermost first. The order matters: the
// request id comes before all that may log or fail; the log sees what recovery
// made of a panic; whether the transport is good enough is decided before
// anything of the request is believed; and paths are brought into one form
// before anything matches them.
func (s *Server) handler() (http.Handler, error) {
	routes, err := s.routes()
	if err != nil {
		return nil, err
	}
	layers := []func(http.Handler) http.Handler{
		s.withContext,
		s.withLog,
		s.withRecovery,
		s.withSecureTransport,
		s.withPlainPath,
	}
	if s.tracer != nil {
		layers = slices.Insert(layers, 2, s.withTrace) // inside of withLog, which names the trace
	}
	h := routes
	for i := len(layers) - 1; i >= 0; i-- {
		h = layers[i](h)
	}
	return h, nil
}

// routes divides the paths between the API and what stands beside it.
func (s *Server) routes() (http.Handler, error) {
	documents := s.documents()
	var pages []apidocs.ErrorPage
	for _, c := range api.Codes() {
		pages = append(pages, apidocs.ErrorPage{Code: c.Upper(), Status: c.Status, Title: c.Title, Meaning: c.Meaning, Remedy: c.Remedy})
	}
	docs, err := apidocs.New(s.log, documents.parsed, pages)
	if err != nil {
		return nil, err
	}
	admitForm := func(w http.ResponseWriter, r *http.Request) (leave func(), err error) {
		return s.limits.admit(w, r, nil)
	}
	invitations, err := invitation.NewHandler(s.engine, s.passwords, admitForm)
	if err != nil {
		return nil, err
	}
	passwords, err := signin.NewPasswordPage(s.signIn, admitForm, addressOf)
	if err != nil {
		return nil, err
	}
	singleSignOn, err := sso.NewHandler(s.sso, admitForm)
	if err != nil {
		return nil, err
	}
	forms := map[string]http.Handler{
		invitation.Path:     invitations,
		signin.PasswordPath: passwords, signin.ForgottenPath: passwords, signin.ResetPath: passwords,
	}
	private := ccloudv1.New(ccloudv1.Config{
		Engine: s.engine, SignIn: s.signIn, Admit: s.limits.admit, Fail: s.fail,
		Identified: func(ctx context.Context, caller *authn.Caller) { recordOf(ctx).caller = caller },
		Address:    addressOf,
		Realm:      ccloudv1.PasswordRealm,
	})
	// The paths beside the API, each exactly as it is: http.ServeMux would
	// answer dot segments with redirects of its own making.
	beside := map[string]http.Handler{
		"/": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, s.URL+"/docs", http.StatusFound)
		}),
		"/healthz":      http.HandlerFunc(s.healthz),
		"/readyz":       http.HandlerFunc(s.readyz),
		"/metrics":      s.metrics.handler(),
		"/openapi.json": documents,
		"/docs":         docs,
	}
	maps.Copy(beside, s.oauth.Documents(s.errors.Write))
	tokens := &partner.TokenEndpoint{
		Engine: s.engine, Clients: patient{s.store}, Refuse: s.errors.Write,
		Admit: func(w http.ResponseWriter, r *http.Request, caller *authn.Caller) (leave func(), err error) {
			recordOf(r.Context()).caller = caller
			return s.limits.admit(w, r, caller)
		},
	}
	groups := groups()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if form := forms[r.URL.Path]; form != nil {
			s.form(w, r, form)
			return
		}
		switch {
		case private.Serves(r.URL.Path):
			private.ServeHTTP(w, r)
			return
		case r.URL.Path == partner.TokenPath:
			tokens.ServeHTTP(w, r)
			return
		case strings.HasPrefix(r.URL.Path, iam.SSOPath):
			singleSignOn.ServeHTTP(w, r)
			return
		}
		h := beside[r.URL.Path]
		if strings.HasPrefix(r.URL.Path, "/docs/") {
			h = docs
		}
		switch {
		case h == nil:
			missing := s.missing
			if first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); recordOf(r.Context()).belowAPI && !groups[first] {
				missing = private.Missing
			}
			s.api(w, r, missing)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			h.ServeHTTP(w, r)
		default:
			s.methodNotAllowed(w, r, []string{http.MethodGet, http.MethodHead})
		}
	}), nil
}

// groups are the API groups with a version in their paths, as in "/iam/v2/users".
// What else is asked for below /api is of the CLI's older API.
func groups() map[string]bool {
	out := map[string]bool{}
	for _, op := range operation.All() {
		if first, rest, _ := strings.Cut(op.Path[1:], "/"); strings.HasPrefix(rest, op.Version+"/") {
			out[first] = true
		}
	}
	return out
}

// form serves a page with a form for people. A form that is sent is admitted by
// its handler; to look at the page takes reading too, for which its address
// waits.
func (s *Server) form(w http.ResponseWriter, r *http.Request, page http.Handler) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		leave, err := recordOf(r.Context()).await(r.Context())
		if err != nil {
			s.errors.Write(w, r, err)
			return
		}
		defer leave()
	}
	page.ServeHTTP(w, r)
}

// record is what the layers tell the log of a request.
type record struct {
	// operation is the ID of what was asked for and route its path template.
	operation, route string
	caller           *authn.Caller
	// code is the code of the error that was answered, or "".
	code string
	// trace is the ID of the request's trace, or "".
	trace string
	// belowAPI says that the path began with /api, as that of the CLI does.
	belowAPI bool
	// limits are those of the server and client the request's address; limits is
	// nil outside of a request.
	limits *limits
	client netip.Addr
}

// await waits until the address of the request may have something done for it
// that comes before it is known who asks; leave must be called after it. Outside
// of a request, in the operator's commands, there is nothing to wait for.
func (r *record) await(ctx context.Context) (leave func(), err error) {
	if r.limits == nil {
		return func() {}, nil
	}
	return r.limits.turn(ctx, r.client)
}

type recordKey struct{}

func recordOf(ctx context.Context) *record {
	if r, ok := ctx.Value(recordKey{}).(*record); ok {
		return r
	}
	return &record{}
}

// clientOf is the client's address, which withContext finds once for each request.
func clientOf(r *http.Request) netip.Addr { return recordOf(r.Context()).client }

// withContext gives each request an id of the server's own, since a client's
// would let it write what it likes into the log; the record that the layers
// fill; and the time that it may take. A request is copied for each context,
// so that all of it is one step.
func (s *Server) withContext(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := newRequestID()
		w.Header()["X-Request-Id"] = []string{id}
		ctx := &requestContext{
			Context: api.WithRequestID(r.Context(), id), deadline: time.Now().Add(requestTimeout),
			record: record{limits: s.limits, client: s.proxies.Client(r)},
		}
		defer ctx.end()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// newRequestID returns 32 hexadecimal digits: a random UUID without hyphens.
func newRequestID() string {
	id := uuid.New()
	return hex.EncodeToString(id[:])
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// withLog writes one line a request and counts it. The query is left out: it
// can hold what should not lie in logs.
func (s *Server) withLog(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := recordOf(r.Context())
		sw := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(sw, r)
		elapsed := time.Since(start)
		if sw.status == 0 {
			sw.status = http.StatusOK // the handler wrote nothing, and net/http says this
		}
		s.metrics.observe(rec.operation, sw.status, elapsed)
		if !s.log.Enabled(r.Context(), slog.LevelInfo) {
			return
		}
		principal := ""
		if rec.caller != nil {
			principal = rec.caller.Principal
		}
		log := s.log
		if rec.trace != "" {
			log = log.With("trace_id", rec.trace)
		}
		log.LogAttrs(r.Context(), slog.LevelInfo, "request",
			slog.String("request_id", api.RequestID(r.Context())), slog.String("method", r.Method), slog.String("path", r.URL.Path),
			slog.String("operation", rec.operation), slog.String("principal", principal), slog.Int("status", sw.status),
			slog.Duration("duration", elapsed), slog.String("client", rec.client.String()))
	})
}

// withRecovery turns a panic into a 500 and a log entry.
func (s *Server) withRecovery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // a recovered value, which is never wrapped
				panic(p)
			}
			s.log.Error("panic", "request_id", api.RequestID(r.Context()), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			s.errors.Write(w, r, api.New(api.Internal, "The server failed to answer the request"))
		}()
		next.ServeHTTP(w, r)
	})
}

// probes are the paths that tell nothing and that load balancers ask for
// without TLS.
var probes = map[string]bool{"/healthz": true, "/readyz": true}

// withSecureTransport refuses plain HTTP from anywhere but this machine, unless
// a trusted proxy says that it terminated TLS.
func (s *Server) withSecureTransport(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.proxies.Secure(r) && !s.proxies.Local(r) && !probes[r.URL.Path] {
			s.errors.Write(w, r, api.New(api.HTTPSRequired, "This server answers plain HTTP on its own machine only; use HTTPS"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withPlainPath serves the same API below /api, and below /confluent.cloud/api,
// which the CLI needs, and collapses doubled slashes, which clients with a trailing slash in their base
// URL send. The encoded form is kept: an encoded slash belongs to a value.
func (s *Server) withPlainPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
			// What follows a chunked body may be another request for us and a part of
			// this one for a proxy that went by its Content-Length, of which nothing is
			// to be seen here (RFC 9112, 6.1).
			w.Header().Set("Connection", "close")
		}
		if plain, below := plainPath(r.URL.EscapedPath()); plain != r.URL.EscapedPath() {
			u := *r.URL
			parsed, err := u.Parse(plain)
			if err != nil {
				s.errors.Write(w, r, api.New(api.MalformedRequest, "The path is not a valid URL path"))
				return
			}
			u.Path, u.RawPath = parsed.Path, parsed.RawPath
			recordOf(r.Context()).belowAPI = below
			clone := r.Clone(r.Context())
			clone.URL = &u
			r = clone
		}
		next.ServeHTTP(w, r)
	})
}

// loginPath ends the URL that the CLI logs in to: it takes no other for one of
// this API.
const loginPath = "/confluent.cloud"

// plainPath returns the path in the one form, and whether it was below /api.
func plainPath(escaped string) (plain string, below bool) {
	for strings.Contains(escaped, "//") {
		escaped = strings.ReplaceAll(escaped, "//", "/")
	}
	for _, prefix := range []string{"/api/", loginPath + "/api/"} {
		if rest, ok := strings.CutPrefix(escaped, prefix); ok {
			return "/" + rest, true
		}
	}
	return escaped, false
}

// api answers the public operations, and missing for paths that have none.
func (s *Server) api(w http.ResponseWriter, r *http.Request, missing http.HandlerFunc) {
	op, params, allow := s.router.Match(r.Method, r.URL.EscapedPath())
	switch {
	case op == nil && allow == nil:
		missing(w, r)
		return
	case op == nil && r.Method == http.MethodOptions:
		w.Header().Set("Allow", strings.Join(allow, ", "))
		w.WriteHeader(http.StatusNoContent)
		return
	case op == nil:
		s.methodNotAllowed(w, r, allow)
		return
	}
	rec := recordOf(r.Context())
	rec.operation, rec.route = op.ID, op.Path
	deprecation(w.Header(), op)
	answer, caller, err := s.engine.Handle(w, r, *op, params)
	rec.caller = caller
	if err != nil {
		if rec.belowAPI {
			err = withoutRetry(err)
		}
		s.fail(w, r, err, s.engine.Failure(op.ID))
		return
	}
	s.write(w, answer)
}

// withoutRetry tells the CLI by another status that an operation is not built: it
// repeats whatever was answered with 500 and more, for 15 seconds, and then drops
// the body.
func withoutRetry(err error) error {
	refused := new(api.Error)
	if !errors.As(err, &refused) || refused.Code != api.NotImplemented {
		return err
	}
	code := *api.NotImplemented
	code.Status = http.StatusMethodNotAllowed
	refused.Code = &code
	return refused.WithHeader("Allow", "")
}

func (s *Server) missing(w http.ResponseWriter, r *http.Request) {
	s.errors.Write(w, r, api.New(api.RouteNotFound, "The API has no operation at this path; see "+s.URL+"/docs"))
}

// fail answers with an error, whose body is made by body or, where that is nil, in
// the usual form.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error, body func(*api.Error) any) {
	// With a 401 the headers would tell one who guesses how fast to go.
	if refused := new(api.Error); errors.As(err, &refused) && refused.Code == api.Unauthenticated {
		ratelimit.RemoveHeaders(w.Header())
	}
	failures := s.errors
	failures.Body = body
	failures.Write(w, r, err)
}

// addressOf is where a request comes from, as limits and attempts to sign in count it.
func addressOf(r *http.Request) string { return addressKey(clientOf(r)) }

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request, allow []string) {
	methods := strings.Join(allow, ", ")
	s.errors.Write(w, r, api.New(api.MethodNotAllowed, "The path does not take the method "+r.Method+"; it takes "+methods).WithHeader("Allow", methods))
}

// deprecation tells of operations that are to go, as RFC 9745 and RFC 8594 say.
func deprecation(h http.Header, op *operation.Operation) {
	if !op.Deprecated.IsZero() {
		h.Set("Deprecation", "@"+strconv.FormatInt(op.Deprecated.Unix(), 10))
	}
	if !op.Sunset.IsZero() {
		h.Set("Sunset", op.Sunset.UTC().Format(http.TimeFormat))
	}
}

func (s *Server) write(w http.ResponseWriter, answer *engine.Answer) {
	h := w.Header()
	if answer.Location != "" {
		h.Set("Location", s.URL+answer.Location)
	}
	h.Set("Cache-Control", "no-store")
	if answer.Body == nil {
		w.WriteHeader(answer.Status)
		return
	}
	room, _ := bodies.Get().(*[]byte)
	body, rest := api.AppendSpliced((*room)[:0], answer.Body, s.URL), answer.Rest()
	*room = body
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)+len(rest)))
	w.WriteHeader(answer.Status)
	// A client that went away is no concern of ours. Yet HTTP/2 may still read
	// then, and what it reads must not become the room of another answer.
	if _, err := w.Write(body); err == nil && cap(body) <= maxKeptBody {
		bodies.Put(room)
	}
	if _, err := w.Write(rest); err == nil {
		answer.Release()
	}
}

// maxKeptBody is the greatest room in bytes that is kept for another body.
const maxKeptBody = 64 << 10

// bodies are room for the bodies of answers.
var bodies = sync.Pool{New: func() any { return new([]byte) }}
