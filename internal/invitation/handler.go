package invitation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/page"
	"github.com/weirhq/weir/internal/store"
)

// Handler serves the page at Path, where invited people sign up. It works
// without JavaScript, under any public URL.
//
// The link alone lets one in, so it is kept from others: the page may not be
// stored, framed, or tell other sites where one comes from. A request that
// reads changes nothing: programs that look at the links in mail do not spend
// them.
type Handler struct {
	engine    *engine.Engine
	passwords *authn.Passwords
	admit     func(http.ResponseWriter, *http.Request) (leave func(), err error)
	page      *page.Page
}

// NewHandler returns the handler. Admit is asked before a form is looked at; an
// error means that its sender has to wait, and is answered with 429. It may set
// headers such as Retry-After. Without an error leave is called once the form is
// answered.
func NewHandler(e *engine.Engine, passwords *authn.Passwords, admit func(http.ResponseWriter, *http.Request) (leave func(), err error)) (*Handler, error) {
	p, err := page.New(assets, "assets/page.html", e.Log)
	if err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	return &Handler{engine: e, passwords: passwords, admit: admit, page: p}, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	h.page.Guard(header)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.show(w, r)
	case http.MethodPost:
		h.accept(w, r)
	default:
		header.Set("Allow", "GET, HEAD, POST")
		h.write(w, r, http.StatusMethodNotAllowed, notice("This page cannot do that", "Open it with the link in your mail."))
	}
}

// show answers with the form.
func (h *Handler) show(w http.ResponseWriter, r *http.Request) {
	o, _, err := h.find(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	v, err := h.form(r.Context(), o)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.write(w, r, http.StatusOK, v)
}

// accept takes the form.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request) {
	leave, err := h.admit(w, r)
	if err != nil {
		h.write(w, r, http.StatusTooManyRequests, notice("Too many attempts", "Wait a moment, then send the form again."))
		return
	}
	defer leave()
	o, t, err := h.find(r)
	if err != nil {
		h.refuse(r, err)
		h.fail(w, r, err)
		return
	}
	if status := page.ReadForm(w, r); status != 0 {
		h.write(w, r, status, notice("The form could not be read", "Open the link in your mail again and fill in the form there."))
		return
	}
	v, err := h.form(r.Context(), o)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if v.SignInAt != "" {
		h.write(w, r, http.StatusConflict, v)
		return
	}
	f := readForm(r.PostForm)
	v.FullName = f.name
	if v.Problems = f.problems(v.Email); len(v.Problems) > 0 {
		h.write(w, r, http.StatusUnprocessableEntity, v)
		return
	}
	who := h.engine.Actor(r)
	who.Mechanism = audit.InvitationLink
	who.Organization, who.Principal, who.Credential = o.Org, o.Doc.String("user.id"), o.ID
	if err := h.signUp(audit.WithActor(r.Context(), who), t, f); err != nil {
		h.fail(w, r, err)
		return
	}
	h.engine.Log.InfoContext(r.Context(), "an invitation was accepted", "invitation", o.ID, "request_id", api.RequestID(r.Context()))
	v.Title, v.Form, v.Done, v.URL = "Welcome", false, true, h.engine.PublicURL
	h.write(w, r, http.StatusOK, v)
}

// find returns the invitation of the request's link, where it is open.
func (h *Handler) find(r *http.Request) (*engine.Object, token, error) {
	t, ok := parseToken(r.URL.Query().Get("token"))
	if !ok {
		return nil, t, store.ErrNotFound
	}
	o, err := iam.FindInvitation(r.Context(), h.engine.Store, t.id, t.hash(h.engine))
	if err != nil {
		return nil, t, err
	}
	return o, t, iam.InvitationOpen(o, h.engine.Now())
}

// refuse puts a form with a link that is not valid into the audit log: somebody
// may be guessing.
func (h *Handler) refuse(r *http.Request, err error) {
	if !errors.Is(err, store.ErrNotFound) {
		return
	}
	who := h.engine.Actor(r)
	who.Mechanism, who.Refused = audit.InvitationLink, "The link is not valid"
	h.engine.RecordFailure(r.Context(), &audit.Event{
		Method: "AcceptInvitation", Access: audit.Modification, Actor: who,
		Resources: []audit.Resource{{Type: audit.TypeOf(iam.Invitation.Name)}},
	}, api.New(api.ResourceNotFound, who.Refused))
}

// signUp makes the user active. The hash is made before the transaction, which
// others may be waiting for.
func (h *Handler) signUp(ctx context.Context, t token, f form) error {
	password, err := h.passwords.Hash(ctx, f.password)
	if err != nil {
		return err
	}
	return h.engine.Store.Update(ctx, func(tx store.Tx) error {
		return iam.AcceptInvitation(ctx, h.engine, tx, t.id, t.hash(h.engine), f.name, password)
	})
}

// fail tells the person what is wrong with the link, or that the fault is not
// theirs.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var closed *iam.InvitationClosedError
	switch {
	case errors.Is(err, store.ErrNotFound):
		h.write(w, r, http.StatusNotFound, notice("This link is not valid",
			"Open it exactly as it stands in the mail. If you were sent more than one mail, only the link in the newest works."))
	case errors.As(err, &closed) && closed.Status == iam.StatusAccepted:
		h.write(w, r, http.StatusGone, notice("This link was already used",
			"A link works once, and with this one an account was activated. If that was not you, tell the administrator who invited you."))
	case errors.As(err, &closed) && closed.Status == iam.StatusExpired:
		h.write(w, r, http.StatusGone, notice("This link has expired",
			"Ask the administrator who invited you for another invitation."))
	case errors.Is(err, iam.ErrNoSignIn):
		h.write(w, r, http.StatusConflict, notice("You need no password",
			"Your account is one for single sign-on now. Open the link in your mail again."))
	case errors.As(err, &closed):
		h.write(w, r, http.StatusGone, notice("This invitation was withdrawn",
			"Ask the administrator who invited you if you think that it should not have been."))
	case errors.Is(err, authn.ErrBusy), errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		w.Header().Set("Retry-After", strconv.Itoa(5))
		h.write(w, r, http.StatusServiceUnavailable, notice("Try again in a moment",
			"The server is too busy just now. Your link is still good."))
	case r.Context().Err() != nil && errors.Is(err, context.Canceled):
		// The person is gone, and nobody reads an answer.
	default:
		h.engine.Log.ErrorContext(r.Context(), "the invitation page failed", "request_id", api.RequestID(r.Context()), "error", err)
		h.write(w, r, http.StatusInternalServerError, notice("Something went wrong",
			"The server could not do this. Try again later, or tell the administrator who invited you."))
	}
}

// view is what the page shows: a form, a welcome, or a notice.
type view struct {
	facts
	Title, Text string
	Form, Done  bool
	FullName    string
	// SignInAt is where the person signs in to accept, where that is single sign-on.
	SignInAt string
	// URL is the server's public URL.
	URL string
	// Problems are what is wrong with the form, by field.
	Problems map[string]string
}

func notice(title, text string) view { return view{Title: title, Text: text} }

// form returns the view with the empty form. Where an administrator has given
// the user a name already, it stands there to be confirmed.
func (h *Handler) form(ctx context.Context, o *engine.Object) (view, error) {
	f, err := factsOf(ctx, h.engine.Store, o)
	if err != nil {
		return view{}, err
	}
	v := view{facts: f, Title: "Join " + f.Organization, Form: true}
	row, err := h.engine.Store.Get(ctx, o.Org, store.Key{Kind: iam.User.Key(), ID: o.Doc.String("user.id")})
	if err != nil {
		return v, err
	}
	user, err := iam.User.Decode(row)
	if err != nil {
		return v, err
	}
	v.FullName = user.Doc.String("full_name")
	if user.Doc.String("auth_type") == iam.AuthTypeSSO {
		v.Form, v.SignInAt = false, h.engine.PublicURL+iam.SSOPath+o.Org
	}
	return v, nil
}

func (h *Handler) write(w http.ResponseWriter, r *http.Request, status int, v view) {
	h.page.Write(w, r, status, v)
}
