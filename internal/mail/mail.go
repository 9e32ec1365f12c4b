// Package mail sends Weir's own mail: to an SMTP server, or, where none is
// configured, into files of a directory.
package mail

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"github.com/weirhq/weir/internal/random"
)

// Message is one mail to one recipient, with the same content as plain text
// and as HTML.
type Message struct {
	// To is a bare address such as marty@example.com.
	To string
	// Subject is one line in any script.
	Subject string
	// Text and HTML are the two parts; both are needed.
	Text, HTML string
}

// Sender sends mail. An error means that the message may not have gone out;
// it never holds the password of the server.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// sender is the address that messages come from.
type sender struct{ address *mail.Address }

// parseFrom reads an address with or without a name: "Weir <weir@example.com>".
func parseFrom(from string) (sender, error) {
	a, err := mail.ParseAddress(from)
	if err != nil || !oneLine(from) || !strings.Contains(a.Address, "@") {
		return sender{}, fmt.Errorf("mail: the sender %q is not an address such as \"Weir <weir@example.com>\"", from)
	}
	return sender{address: a}, nil
}

// compose turns a message into what is sent. What could add header fields of
// its own is refused rather than repaired.
func (s sender) compose(m Message) (*gomail.Msg, error) {
	to, err := mail.ParseAddress(m.To)
	if err != nil || to.Address != m.To || !oneLine(m.To) {
		return nil, fmt.Errorf("mail: the recipient %q is not a bare address", m.To)
	}
	if m.Subject == "" || !oneLine(m.Subject) {
		return nil, fmt.Errorf("mail: the subject %q is not one line of text", m.Subject)
	}
	if m.Text == "" || m.HTML == "" {
		return nil, errors.New("mail: a message needs a plain part and an HTML part")
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(s.address)
	msg.SetAddrHeaderFromMailAddress(gomail.HeaderTo, to)
	msg.Subject(m.Subject)
	msg.SetDate()
	_, domain, _ := strings.Cut(s.address.Address, "@")
	msg.SetMessageIDWithValue(random.Text(32, random.LowerAlphanumeric) + "@" + domain)
	// RFC 3834: nobody's holiday notice answers this.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return msg, nil
}

// oneLine reports whether the text has nothing in it that ends a line, and no
// other control character.
func oneLine(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	}) < 0
}
