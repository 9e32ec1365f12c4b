package signin

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/page"
	"github.com/weirhq/weir/internal/store"
)

//go:embed assets
var assets embed.FS

// Where the pages are, below the public URL.
const (
	// PasswordPath: users change a password that they know.
	PasswordPath = "/password"
	// ForgottenPath: users ask for a mail with a link.
	ForgottenPath = "/password/forgotten"
	// ResetPath: the link leads there.
	ResetPath = "/password/reset"
)

// Names of the form's fields.
const (
	fieldEmail        = "email"
	fieldOrganization = "organization"
	fieldPassword     = "password"
	fieldNew          = "new_password"
	fieldAgain        = "new_password_again"
)

// PasswordPage is the pages at PasswordPath, ForgottenPath and ResetPath. They
// keep no session and set no cookie: whoever sends a form proves the password in
// it, or has the link, so that no other site can have it sent for them.
type PasswordPage struct {
	service *Service
	admit   func(http.ResponseWriter, *http.Request) (leave func(), err error)
	address func(*http.Request) string
	page    *page.Page
}

// NewPasswordPage returns the pages. Admit is asked before a form is looked at;
// its error means that the sender has to wait, and without one leave is called
// once the form is answered. Address is where a request comes from, as in
// Attempt.
func NewPasswordPage(s *Service, admit func(http.ResponseWriter, *http.Request) (leave func(), err error), address func(*http.Request) string) (*PasswordPage, error) {
	p, err := page.New(assets, "assets/password.html", s.engine.Log)
	if err != nil {
		return nil, fmt.Errorf("signin: %w", err)
	}
	return &PasswordPage{s, admit, address, p}, nil
}

// view is what the page shows: a form, or a notice.
type view struct {
	Title, Text string
	// Form is one of the forms below, or "".
	Form                string
	Email, Organization string
	// Problems are what is wrong with the form, by field.
	Problems map[string]string
}

// The forms.
const (
	formChange    = "change"
	formForgotten = "forgotten"
	formReset     = "reset"
)

var changed = view{
	Title: "Your password is changed",
	Text:  "You are signed out everywhere; sign in with the new password. You can close this page.",
}

// ServeHTTP implements [http.Handler].
func (p *PasswordPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.page.Guard(w.Header())
	r = r.WithContext(audit.WithActor(r.Context(), p.service.engine.Actor(r)))
	v := view{Title: "Change your password", Form: formChange}
	send := p.change
	switch r.URL.Path {
	case ForgottenPath:
		v, send = view{Title: "Have you forgotten your password?", Form: formForgotten}, p.forgotten
	case ResetPath:
		v, send = view{Title: "Choose another password", Form: formReset}, p.reset
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		p.show(w, r, v)
	case http.MethodPost:
		leave, err := p.admit(w, r)
		if err != nil {
			p.page.Write(w, r, http.StatusTooManyRequests, view{Title: "Too many attempts", Text: "Wait a moment, then send the form again."})
			return
		}
		defer leave()
		if status := page.ReadForm(w, r); status != 0 {
			p.page.Write(w, r, status, view{Title: "The form could not be read", Text: "Open the page again and fill in the form there."})
			return
		}
		send(w, r, v)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		p.page.Write(w, r, http.StatusMethodNotAllowed, view{Title: "This page cannot do that", Text: "Open it in a browser."})
	}
}

// show answers with the empty form. To look at it uses no link up.
func (p *PasswordPage) show(w http.ResponseWriter, r *http.Request, v view) {
	if v.Form == formReset {
		user, err := p.service.ResetUser(r.Context(), r.URL.Query().Get("token"))
		if err != nil {
			p.fail(w, r, v, err)
			return
		}
		v.Email = user.Doc.String("email")
	}
	p.page.Write(w, r, http.StatusOK, v)
}

// change takes the form of who knows the password.
func (p *PasswordPage) change(w http.ResponseWriter, r *http.Request, v view) {
	a := Attempt{
		Email: r.PostForm.Get(fieldEmail), Organization: r.PostForm.Get(fieldOrganization),
		Password: r.PostForm.Get(fieldPassword), Address: p.address(r),
		Admit: func(organization string) error { return p.checkAddress(r, organization) },
	}
	v.Email, v.Organization = a.Email, a.Organization
	wanted := r.PostForm.Get(fieldNew)
	v.Problems = problems(a.Email, wanted, r.PostForm.Get(fieldAgain))
	switch {
	case a.Password == "":
		v.Problems[fieldPassword] = "Enter the password that you have now."
	case a.Password == wanted:
		v.Problems[fieldNew] = "Choose a password other than the one that you have now."
	}
	if len(v.Problems) > 0 {
		p.page.Write(w, r, http.StatusUnprocessableEntity, v)
		return
	}
	if err := p.service.ChangePassword(r.Context(), a, wanted); err != nil {
		p.fail(w, r, v, err)
		return
	}
	p.page.Write(w, r, http.StatusOK, changed)
}

// forgotten takes the form of who does not. The answer is the same whether there
// is such a user or not.
func (p *PasswordPage) forgotten(w http.ResponseWriter, r *http.Request, _ view) {
	p.service.Forgot(r.PostForm.Get(fieldEmail))
	p.page.Write(w, r, http.StatusOK, view{
		Title: "Look into your mail",
		Text: "If there is an account with this address and a password, a link to choose another one is on its way. " +
			"It is good for an hour. If no mail comes, ask the administrator of your organization which address you were invited with.",
	})
}

// reset takes the form that a link leads to.
func (p *PasswordPage) reset(w http.ResponseWriter, r *http.Request, v view) {
	raw := r.URL.Query().Get("token")
	user, err := p.service.ResetUser(r.Context(), raw)
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	if err := p.checkAddress(r, user.Org); err != nil {
		p.fail(w, r, v, err)
		return
	}
	v.Email = user.Doc.String("email")
	wanted := r.PostForm.Get(fieldNew)
	if v.Problems = problems(v.Email, wanted, r.PostForm.Get(fieldAgain)); len(v.Problems) > 0 {
		p.page.Write(w, r, http.StatusUnprocessableEntity, v)
		return
	}
	if err := p.service.ResetPassword(r.Context(), raw, wanted); err != nil {
		p.fail(w, r, v, err)
		return
	}
	p.page.Write(w, r, http.StatusOK, changed)
}

// checkAddress holds a request to the IP filters of the organization.
func (p *PasswordPage) checkAddress(r *http.Request, organization string) error {
	return p.service.engine.CheckAddress(r, organization, operation.Management)
}

// problems says what is wrong with a new password, by field.
func problems(email, wanted, again string) map[string]string {
	p := make(map[string]string)
	switch problem := authn.PasswordProblem(wanted, email); {
	case problem != "":
		p[fieldNew] = problem
	case again == "":
		p[fieldAgain] = "Repeat the new password."
	case again != wanted:
		p[fieldAgain] = "Repeat the same password: the two differ."
	}
	return p
}

func (p *PasswordPage) fail(w http.ResponseWriter, r *http.Request, v view, err error) {
	var tooMany *TooManyError
	refused := new(api.Error)
	switch {
	case errors.As(err, &refused):
		p.page.Write(w, r, refused.Code.Status, view{Title: "Not from here", Text: refused.Problems[0].Message + "."})
	case errors.Is(err, ErrCredentials):
		v.Problems = map[string]string{fieldPassword: "The e-mail address or the password is wrong."}
		p.page.Write(w, r, http.StatusForbidden, v)
	case errors.Is(err, ErrReset):
		p.page.Write(w, r, http.StatusNotFound, view{
			Title: "This link is not valid",
			Text:  "It works once, for an hour, and only the one in the newest mail does. Ask for another one if you need it.",
		})
	case errors.As(err, &tooMany):
		w.Header().Set("Retry-After", strconv.Itoa(tooMany.Seconds()))
		p.page.Write(w, r, http.StatusTooManyRequests, view{Title: "Too many attempts", Text: "Too many attempts have failed. Wait a minute, then open the page again."})
	case errors.Is(err, authn.ErrBusy), errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		w.Header().Set("Retry-After", "5")
		p.page.Write(w, r, http.StatusServiceUnavailable, view{Title: "Try again in a moment", Text: "The server is too busy just now. Your password is as it was."})
	case r.Context().Err() != nil && errors.Is(err, context.Canceled):
		// The person is gone, and nobody reads an answer.
	default:
		p.service.engine.Log.ErrorContext(r.Context(), "the password page failed", "request_id", api.RequestID(r.Context()), "error", err)
		p.page.Write(w, r, http.StatusInternalServerError, view{Title: "Something went wrong", Text: "The server could not do this. Try again later, or tell its operator."})
	}
}
