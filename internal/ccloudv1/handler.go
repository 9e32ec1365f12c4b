// Package ccloudv1 serves what the vendor's CLI needs beside the public API: the
// endpoints of an older, private API that it signs in with and looks up
// identities and roles at. It has those and no others; what Weir has nothing
// behind says so.
//
// The endpoints are known from the CLI and its SDK (facts, clients C). Errors look
// as that SDK reads them: {"error":{"code":…,"message":…}}. Those of them that are
// public operations all the same are an engine.Call: ListUsers,
// ListServiceAccounts and ReportUsage.
package ccloudv1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/signin"
)

// Config is what a Handler is made of.
type Config struct {
	Engine *engine.Engine
	SignIn *signin.Service
	// Admit is asked for each request, with the caller or nil; its error is a
	// 429. Without an error leave is called when the request is answered.
	Admit func(rw http.ResponseWriter, r *http.Request, caller *authn.Caller) (leave func(), err error)
	// Fail answers with an error, whose body body makes.
	Fail func(rw http.ResponseWriter, r *http.Request, err error, body func(*api.Error) any)
	// Identified is told who makes a request, for the log.
	Identified func(ctx context.Context, caller *authn.Caller)
	// Address is where a request comes from, in the form that attempts to sign
	// in are counted under.
	Address func(r *http.Request) string
	// Realm says how the user with an address signs in; see PasswordRealm.
	Realm func(ctx context.Context, email, organization string) (Realm, error)
}

// Handler serves the endpoints. Paths are those behind /api.
type Handler struct {
	Config
	endpoints map[string]map[string]endpoint
}

// endpoint is one method of one path.
type endpoint struct {
	// open endpoints ask for no credentials: the request brings its own.
	open bool
	// method is what the audit log calls it; those that are open write their
	// own events.
	method string
	do     func(ctx context.Context, q *request) (any, error)
}

type request struct {
	*http.Request
	// caller is nil for open endpoints.
	caller *authn.Caller
	// name is the last part of the path, where the path ends in a name.
	name string
}

// rolePath is the one path that ends in a name.
const rolePath = "/metadata/security/v2alpha1/roles/"

// New returns the handler.
func New(c Config) *Handler {
	h := &Handler{Config: c}
	h.endpoints = map[string]map[string]endpoint{
		"/login/realm":                          {http.MethodGet: {open: true, do: h.realm}},
		"/sessions":                             {http.MethodPost: {open: true, do: h.signIn}, http.MethodDelete: {open: true, do: h.signOut}},
		"/me":                                   {http.MethodGet: {method: "GetMe", do: h.me}},
		"/growth/v1/free-trial-info":            {http.MethodGet: {method: "GetFreeTrialInfo", do: h.freeTrial}},
		"/metadata/security/v2alpha1/roles":     {http.MethodGet: {method: "ListRoles", do: h.roles}},
		"/metadata/security/v2alpha1/roleNames": {http.MethodGet: {method: "ListRoleNames", do: h.roleNames}},
		rolePath + "{name}":                     {http.MethodGet: {method: "GetRole", do: h.role}},
		"/access_tokens":                        {http.MethodPost: {method: "CreateAccessToken", do: h.dataPlaneToken}},
		"/usage_limits":                         {http.MethodGet: {method: "ListUsageLimits", do: h.usageLimits}},
	}
	return h
}

// find returns the methods of the path, and the name that it ends in.
func (h *Handler) find(path string) (map[string]endpoint, string) {
	if name, ok := strings.CutPrefix(path, rolePath); ok && name != "" && !strings.Contains(name, "/") {
		return h.endpoints[rolePath+"{name}"], name
	}
	if strings.Contains(path, "{") {
		return nil, ""
	}
	return h.endpoints[path], ""
}

// Serves reports whether the path is one of the handler's.
func (h *Handler) Serves(path string) bool {
	methods, _ := h.find(path)
	return methods != nil
}

// credentials are what the endpoints take: what management operations take.
var credentials = []string{authn.SchemeAPIKey}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	methods, name := h.find(r.URL.Path)
	to, ok := methods[r.Method]
	if !ok {
		allow := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		h.Fail(rw, r, api.New(api.MethodNotAllowed, "The path takes "+allow).WithHeader("Allow", allow), errorBody)
		return
	}
	answer, err := h.answer(rw, r, to, name)
	var silent *unavailableError
	switch {
	case errors.As(err, &silent):
		write(rw, http.StatusNotImplemented, map[string]string{"error": silent.message})
	case err != nil:
		h.Fail(rw, r, translate(err), errorBody)
	default:
		write(rw, http.StatusOK, answer)
	}
}

// Missing answers for a path that neither this API nor the public one has, to
// clients that read errors in this form alone.
func (h *Handler) Missing(rw http.ResponseWriter, r *http.Request) {
	h.Fail(rw, r, api.New(api.RouteNotFound, "There is nothing at this path"), errorBody)
}

// answer takes the steps that every endpoint has in common.
func (h *Handler) answer(rw http.ResponseWriter, r *http.Request, to endpoint, name string) (any, error) {
	q := &request{Request: r, name: name}
	var unknown error
	if !to.open {
		q.caller, unknown = h.Engine.Authenticate(r, credentials)
		if refused := new(api.Error); unknown != nil && !errors.As(unknown, &refused) {
			return nil, unknown
		}
	}
	leave, err := h.Admit(rw, r, q.caller)
	if err != nil {
		return nil, err
	}
	defer leave()
	if unknown != nil {
		h.Engine.RecordRefusal(r, to.method, nil, unknown)
		return nil, unknown
	}
	if q.caller != nil {
		h.Identified(r.Context(), q.caller)
		if err := h.Engine.CheckAddress(r, q.caller.Org, operation.Management); err != nil {
			h.Engine.RecordRefusal(r, to.method, q.caller, err)
			return nil, err
		}
	}
	return to.do(audit.WithActor(r.Context(), h.Engine.Actor(r)), q)
}

// translate says in the API's words why somebody could not sign in.
func translate(err error) error {
	var tooMany *signin.TooManyError
	switch {
	case errors.Is(err, signin.ErrCredentials), errors.Is(err, signin.ErrRefresh), errors.Is(err, authn.ErrToken):
		return api.New(api.Unauthenticated, sentence(err)).WithHeader("WWW-Authenticate", "Bearer")
	case errors.As(err, &tooMany):
		return api.New(api.TooManyRequests, fmt.Sprintf("Too many attempts to sign in have failed; try again in %d seconds", tooMany.Seconds())).
			WithHeader("Retry-After", strconv.Itoa(tooMany.Seconds()))
	case errors.Is(err, authn.ErrBusy):
		return api.New(api.TooManyRequests, "Too many users are signing in right now; try again in a moment").WithHeader("Retry-After", "5")
	default:
		return err
	}
}

func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// failure is an error as the CLI's SDK reads it, and beside it the form that the
// published document of iam/v1 declares.
type failure struct {
	Error   failureEntry `json:"error"`
	Code    int          `json:"code"`
	Message string       `json:"message"`
}

type failureEntry struct {
	Code      int    `json:"code"`
	Message   string `json:"message"`
	ErrorCode string `json:"error_code"`
}

// failureFields describe a failure.
var failureFields = []engine.Field{
	{Name: "error", Type: engine.Structure, Required: true, Description: "What went wrong.", Fields: []engine.Field{
		{Name: "code", Type: engine.Integer, Required: true, Description: "The HTTP status.", Example: http.StatusUnauthorized},
		{Name: "message", Required: true, Description: "What went wrong, for people."},
		{Name: "error_code", Required: true, Description: "The code of the error, as in doc_url elsewhere.", Example: "USER_UNAUTHENTICATED"},
	}},
	{Name: "code", Type: engine.Integer, Required: true, Description: "The HTTP status.", Example: http.StatusUnauthorized},
	{Name: "message", Required: true, Description: "What went wrong, for people."},
}

func errorBody(e *api.Error) any {
	code, message := e.Code.Status, e.Problems[0].Message
	return failure{failureEntry{code, message, e.Code.Upper()}, code, message}
}

// unavailableError answers for what Weir has nothing behind, where the CLI reads
// the error as a text.
type unavailableError struct{ message string }

func (e *unavailableError) Error() string { return e.message }

func write(rw http.ResponseWriter, status int, answer any) {
	body := encode(answer)
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	rw.WriteHeader(status)
	_, _ = rw.Write(body) // a client that went away is no concern of ours
}

func encode(answer any) []byte {
	body, err := json.Marshal(answer)
	if err != nil {
		panic(fmt.Sprintf("ccloudv1: encode answer: %v", err)) // texts, numbers and times always encode
	}
	return body
}
