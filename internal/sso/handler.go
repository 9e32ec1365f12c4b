package sso

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/page"
	"github.com/weirhq/weir/internal/signin"
	"github.com/weirhq/weir/internal/store"
)

//go:embed assets
var assets embed.FS

// Handler serves the pages below iam.SSOPath: an organization's ID begins a
// sign-in, and behind it callback ends one.
type Handler struct {
	service *Service
	admit   func(http.ResponseWriter, *http.Request) (leave func(), err error)
	page    *page.Page
}

// NewHandler returns the handler. Admit is asked before a page does anything; its
// error means that the sender has to wait, and without one leave is called once
// the request is answered.
func NewHandler(s *Service, admit func(http.ResponseWriter, *http.Request) (leave func(), err error)) (*Handler, error) {
	p, err := page.New(assets, "assets/sso.html", s.engine.Log)
	if err != nil {
		return nil, fmt.Errorf("sso: %w", err)
	}
	return &Handler{s, admit, p}, nil
}

// view is what the page shows: a notice, or a session.
type view struct {
	Title, Text string
	// Again is where to begin anew, or "".
	Again string
	// Grant is the session that began, or nil.
	Grant *signin.Grant
	// URL is the server's public URL; Email and Groups tell who signed in.
	URL, Email string
	Groups     []string
	Expires    string
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.page.Guard(w.Header())
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		h.page.Write(w, r, http.StatusMethodNotAllowed, view{Title: "This page cannot do that", Text: "Open it in a browser."})
		return
	}
	leave, err := h.admit(w, r)
	if err != nil {
		h.page.Write(w, r, http.StatusTooManyRequests, view{Title: "Too many attempts", Text: "Wait a moment, then begin again."})
		return
	}
	defer leave()
	organization, ends := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, iam.SSOPath), callback)
	connection, err := iam.SSOConnectionOf(r.Context(), h.service.engine.Store, organization)
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoConnection
	}
	if err == nil {
		err = h.service.engine.CheckAddress(r, connection.Org, operation.Management)
	}
	switch {
	case err != nil:
		h.fail(w, r, connection, err)
	case ends:
		h.end(w, r, connection)
	default:
		h.begin(w, r, connection)
	}
}

// begin sends the browser to the provider.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request, connection *engine.Object) {
	s := h.service
	_, c, err := s.open(r.Context(), connection)
	if err != nil {
		h.fail(w, r, connection, err)
		return
	}
	a := newAttempt(s.engine.Hasher.Key, connection.ID, s.engine.Now())
	http.SetCookie(w, cookie(s.engine.PublicURL, a.value))
	http.Redirect(w, r, c.AuthCodeURL(a.state(), oidc.Nonce(a.nonce()), oauth2.S256ChallengeOption(a.verifier())), http.StatusSeeOther)
}

// end takes what the provider sends the browser back with.
func (h *Handler) end(w http.ResponseWriter, r *http.Request, connection *engine.Object) {
	s := h.service
	grant, p, err := s.finish(r, connection)
	// Whatever came of it, this attempt is over; one that another site made up is
	// none.
	if !errors.Is(err, errNotBegun) {
		http.SetCookie(w, cookie(s.engine.PublicURL, ""))
	}
	if err != nil {
		h.fail(w, r, connection, err)
		return
	}
	h.page.Write(w, r, http.StatusOK, view{
		Title: "You are signed in", Grant: grant, URL: s.engine.PublicURL, Email: p.email, Groups: p.groups,
		Expires: grant.Expires.UTC().Format(time.RFC1123),
	})
}

// errNotBegun means that this browser has begun no sign-in that the request could
// end, or too long ago.
var errNotBegun = errors.New("the browser has not begun this sign-in, or too long ago")

// finish ends a sign-in with a session.
func (s *Service) finish(r *http.Request, connection *engine.Object) (*signin.Grant, person, error) {
	query, err := api.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, person{}, errNotBegun
	}
	kept, err := r.Cookie(cookieName(s.engine.PublicURL))
	if err != nil {
		return nil, person{}, errNotBegun
	}
	a, ok := continued(s.engine.Hasher.Key, connection.ID, kept.Value, query.Get("state"), s.engine.Now())
	if !ok {
		return nil, person{}, errNotBegun
	}
	// RFC 9207: the provider says who it is, where it knows how to.
	if iss := query.Get("iss"); iss != "" && iss != connection.Doc.String("issuer") {
		return nil, person{}, refused("The answer is of another provider", nil)
	}
	if code := query.Get("error"); code != "" {
		return nil, person{}, declined(code)
	}
	code := query.Get("code")
	if code == "" {
		return nil, person{}, refused("The provider sent no code", nil)
	}
	ctx, c, err := s.open(r.Context(), connection)
	if err != nil {
		return nil, person{}, err
	}
	p, err := c.identify(ctx, s, a, code)
	if err != nil {
		return nil, p, err
	}
	grant, err := s.admit(r, connection, p)
	return grant, p, err
}

// errorCode is what the errors of RFC 6749 look like.
var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// declined is about a provider that lets nobody in. What else it says is not shown:
// anybody can make up a link with it.
func declined(code string) error {
	if !errorCode.MatchString(code) {
		code = "unknown"
	}
	return refused("The provider did not sign you in", errors.New("error "+code))
}

// admit begins the session of a person whom the provider vouches for.
func (s *Service) admit(r *http.Request, connection *engine.Object, p person) (*signin.Grant, error) {
	who := s.actor(r, connection)
	who.Component, who.Identity = "sso", identityOf(connection, p)
	ctx := audit.WithActor(r.Context(), who)
	user, err := s.userOf(ctx, connection, p)
	if err != nil {
		return nil, err
	}
	as := *who
	as.Component, as.Principal = "", user.ID
	return s.signIn.BeginSSO(audit.WithActor(ctx, &as), user, connection, p.groups)
}

// actor is who signs in, as far as it is known before.
func (s *Service) actor(r *http.Request, connection *engine.Object) *audit.Actor {
	who := s.engine.Actor(r)
	who.Organization, who.Mechanism = connection.Org, audit.SSO
	return who
}

// identityOf is the resource name of a person at a provider, or "" where it has no
// form of one.
func identityOf(connection *engine.Object, p person) string {
	name, err := iam.SSOConnection.CRN(connection).Append("identity", p.email)
	if err != nil {
		return ""
	}
	return name.String()
}

// fail says on a page what is wrong, and in the log why. Connection is nil where
// there is none.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, connection *engine.Object, err error) {
	v, status := h.explain(r.Context(), err)
	if status == 0 {
		return // the person is gone, and nobody reads an answer
	}
	if connection != nil {
		h.record(r, connection, status, err)
		h.service.engine.Log.WarnContext(r.Context(), "single sign-on failed", "reason", err.Error(), "organization", connection.Org,
			"connection", connection.ID, "request_id", api.RequestID(r.Context()))
		if status != http.StatusNotFound {
			v.Again = h.service.engine.PublicURL + iam.SSOPath + connection.Org
		}
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	h.page.Write(w, r, status, v)
}

// record puts somebody who was kept out into the audit log. What comes without a
// sign-in that was begun is left out: anybody can send as much of that as they like.
func (h *Handler) record(r *http.Request, connection *engine.Object, status int, err error) {
	if status != http.StatusForbidden {
		return
	}
	who := h.service.actor(r, connection)
	who.Refused = err.Error()
	var said *refusedError
	if errors.As(err, &said) {
		who.Refused = said.message // the rest is the provider's, and for the log alone
	}
	h.service.engine.RecordFailure(r.Context(), &audit.Event{
		Method: "SignIn", Access: audit.Modification, Actor: who, Organization: connection.Org,
		Resources: []audit.Resource{{Type: audit.TypeOf(iam.Session.Name)}},
	}, api.New(api.ForbiddenAccess, who.Refused))
}

func (h *Handler) explain(ctx context.Context, err error) (view, int) {
	var said *refusedError
	var unreachable *unreachableError
	answer := new(api.Error)
	switch {
	case errors.Is(err, ErrNoConnection):
		return view{Title: "There is no single sign-on here", Text: "The organization has none, or does not exist. Look at the address again, or sign in with a password."}, http.StatusNotFound
	case errors.Is(err, errNotBegun):
		return view{Title: "Begin again", Text: "This browser has not begun this sign-in, or too long ago. Begin again here, and take ten minutes at most."}, http.StatusBadRequest
	case errors.Is(err, ErrLocalUser):
		return view{Title: "You have a password here", Text: "The organization has a user with your address who signs in with a password. Do that, or ask an administrator to change the authentication type to AUTH_TYPE_SSO."}, http.StatusForbidden
	case errors.Is(err, ErrNoUser):
		return view{Title: "You have no account yet", Text: "The organization makes no accounts by itself. Ask an administrator to invite you, and sign in again then."}, http.StatusForbidden
	case errors.Is(err, ErrInvitationOver):
		return view{Title: "Your invitation is over", Text: "Ask an administrator to invite you again, and sign in then."}, http.StatusForbidden
	case errors.Is(err, signin.ErrCredentials):
		return view{Title: "Your account has changed", Text: "It was changed while you signed in. Begin again."}, http.StatusForbidden
	case errors.As(err, &said):
		return view{Title: "You are not signed in", Text: said.message + ". If it stays so, tell an administrator of your organization."}, http.StatusForbidden
	case errors.As(err, &answer):
		return view{Title: "You are not signed in", Text: answer.Problems[0].Message + "."}, answer.Code.Status
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return view{}, 0
	case errors.As(err, &unreachable):
		return view{Title: "The provider does not answer", Text: "The organization's provider does not answer as it should. Try again in a moment; if it stays so, tell an administrator of your organization."}, http.StatusBadGateway
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return view{Title: "Try again in a moment", Text: "The server is too busy just now."}, http.StatusServiceUnavailable
	default:
		h.service.engine.Log.ErrorContext(ctx, "the single sign-on page failed", "request_id", api.RequestID(ctx), "error", err)
		return view{Title: "Something went wrong", Text: "The server could not do this. Try again later, or tell its operator."}, http.StatusInternalServerError
	}
}
