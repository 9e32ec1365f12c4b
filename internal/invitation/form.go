package invitation

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a person chooses, in characters. The name's is that of the
// user's full_name.
const (
	minPassword = 8
	maxPassword = 128
	maxName     = 255
)

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
	switch length := utf8.RuneCountInString(f.password); {
	case length == 0:
		p[fieldPassword] = "Choose a password."
	case length < minPassword:
		p[fieldPassword] = "Choose a longer password: it needs at least 8 characters."
	case length > maxPassword:
		p[fieldPassword] = "Choose a shorter password: it can have at most 128 characters."
	case !utf8.ValidString(f.password):
		p[fieldPassword] = "Choose a password of characters that can be read."
	case strings.EqualFold(f.password, email):
		p[fieldPassword] = "Choose a password that is not your e-mail address."
	case f.repeat == "":
		p[fieldRepeat] = "Repeat the password."
	case f.password != f.repeat:
		p[fieldRepeat] = "Repeat the same password: the two differ."
	}
	return p
}
