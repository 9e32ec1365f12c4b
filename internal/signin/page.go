package signin

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/page"
	"github.com/weirhq/weir/internal/store"
)

//go:embed assets
var assets embed.FS

// PasswordPath is where the page is on which users change their password, below
// the public URL.
const PasswordPath = "/password"

// Names of the form's fields.
const (
	fieldPassword = "password"
	fieldNew      = "new_password"
	fieldAgain    = "new_password_again"
)

// PasswordPage is the page at PasswordPath. It keeps no session and sets no
// cookie: whoever sends the form proves the password in it, so that no other
// site can have it sent for them.
type PasswordPage struct {
	service *Service
	admit   func(http.ResponseWriter, *http.Request) (leave func(), err error)
	address func(*http.Request) string
	page    *page.Page
}

// NewPasswordPage returns the page. Admit is asked before a form is looked at;
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
	Title, Text         string
	Form                bool
	Email, Organization string
	// Problems are what is wrong with the form, by field.
	Problems map[string]string
}

const formTitle = "Change your password"

// ServeHTTP implements [http.Handler].
func (p *PasswordPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.page.Guard(w.Header())
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		p.page.Write(w, r, http.StatusOK, view{Title: formTitle, Form: true})
	case http.MethodPost:
		p.change(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		p.page.Write(w, r, http.StatusMethodNotAllowed, view{Title: "This page cannot do that", Text: "Open it in a browser."})
	}
}

// change takes the form.
func (p *PasswordPage) change(w http.ResponseWriter, r *http.Request) {
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
	a := Attempt{
		Email: r.PostForm.Get("email"), Organization: r.PostForm.Get("organization"),
		Password: r.PostForm.Get(fieldPassword), Address: p.address(r),
	}
	v := view{Title: formTitle, Form: true, Email: a.Email, Organization: a.Organization}
	wanted, again := r.PostForm.Get(fieldNew), r.PostForm.Get(fieldAgain)
	if v.Problems = problems(a, wanted, again); len(v.Problems) > 0 {
		p.page.Write(w, r, http.StatusUnprocessableEntity, v)
		return
	}
	if err := p.service.ChangePassword(r.Context(), a, wanted); err != nil {
		p.fail(w, r, v, err)
		return
	}
	p.page.Write(w, r, http.StatusOK, view{
		Title: "Your password is changed",
		Text:  "You are signed out everywhere; sign in with the new password. You can close this page.",
	})
}

func problems(a Attempt, wanted, again string) map[string]string {
	p := make(map[string]string)
	if a.Password == "" {
		p[fieldPassword] = "Enter the password that you have now."
	}
	switch problem := authn.PasswordProblem(wanted, a.Email); {
	case problem != "":
		p[fieldNew] = problem
	case wanted == a.Password:
		p[fieldNew] = "Choose a password other than the one that you have now."
	case again == "":
		p[fieldAgain] = "Repeat the new password."
	case again != wanted:
		p[fieldAgain] = "Repeat the same password: the two differ."
	}
	return p
}

func (p *PasswordPage) fail(w http.ResponseWriter, r *http.Request, v view, err error) {
	var tooMany *TooManyError
	switch {
	case errors.Is(err, ErrCredentials):
		v.Problems = map[string]string{fieldPassword: "The e-mail address or the password is wrong."}
		p.page.Write(w, r, http.StatusForbidden, v)
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
