package invitation

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/authn"
)

// maxName bounds the name, in characters: as the user's full_name.
const maxName = 255

// Names of the form's fields.
const (
	fieldName     = "full_name"
	fieldPassword = "password"
	fieldRepeat   = "password_again"
)

// form is what a person sent.
type form struct{ name, password, repeat string }

func readForm(v url.Values) form {
	return form{
		name:     strings.TrimSpace(v.Get(fieldName)),
		password: v.Get(fieldPassword), repeat: v.Get(fieldRepeat),
	}
}

// problems says what is wrong, by field, in words for the person.
func (f form) problems(email string) map[string]string {
	p := make(map[string]string)
	switch length := utf8.RuneCountInString(f.name); {
	case length == 0:
		p[fieldName] = "Enter your name."
	case length > maxName:
		p[fieldName] = "Shorten your name: it can have at most 255 characters."
	case !utf8.ValidString(f.name) || strings.ContainsFunc(f.name, unicode.IsControl):
		p[fieldName] = "Enter your name without control characters."
	}
	switch problem := authn.PasswordProblem(f.password, email); {
	case problem != "":
		p[fieldPassword] = problem
	case f.repeat == "":
		p[fieldRepeat] = "Repeat the password."
	case f.password != f.repeat:
		p[fieldRepeat] = "Repeat the same password: the two differ."
	}
	return p
}
