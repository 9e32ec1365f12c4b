package invitation

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	html "html/template"
	"strings"
	text "text/template"
	"unicode"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
)

//go:embed assets
var assets embed.FS

var (
	mailText = text.Must(text.ParseFS(assets, "assets/mail.txt"))
	mailHTML = html.Must(html.ParseFS(assets, "assets/mail.html"))
)

// facts are what the mail and the page say of an invitation.
type facts struct {
	// Organization is the organization's name, on one line.
	Organization string
	// Email is the address that was invited.
	Email string
	// Expires is until when the link is good.
	Expires string
	// Link is the address of the page, in the mail alone.
	Link string
	// SSO is whether the person is to sign in through single sign-on.
	SSO bool
}

// factsOf reads what there is to say of an invitation.
func factsOf(ctx context.Context, r store.Reader, o *engine.Object) (facts, error) {
	expires, err := iam.InvitationExpires(o)
	if err != nil {
		return facts{}, err
	}
	f := facts{Email: o.Doc.String("email"), SSO: o.Doc.String("auth_type") == iam.AuthTypeSSO, Expires: expires.UTC().Format("2 January 2006, 15:04 UTC")}
	row, err := r.Get(ctx, o.Org, store.Key{Kind: org.Organization.Key(), ID: o.Org})
	if errors.Is(err, store.ErrNotFound) {
		f.Organization = o.Org
		return f, nil
	}
	if err != nil {
		return f, err
	}
	organization, err := org.Organization.Decode(row)
	if err != nil {
		return f, err
	}
	f.Organization = line(organization.Doc.String("display_name"))
	return f, nil
}

// line brings a name onto one line: in a subject, a second one is refused.
func line(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
}

// message writes the mail of an invitation.
func (c *Courier) message(ctx context.Context, o *engine.Object, t token) (mail.Message, error) {
	f, err := factsOf(ctx, c.engine.Store, o)
	if err != nil {
		return mail.Message{}, err
	}
	f.Link = t.link(c.engine.PublicURL)
	var plain, rich bytes.Buffer
	if err := errors.Join(mailText.Execute(&plain, f), mailHTML.Execute(&rich, f)); err != nil {
		return mail.Message{}, fmt.Errorf("write the mail: %w", err)
	}
	return mail.Message{
		To: f.Email, Subject: "Invitation to " + f.Organization + " on Weir",
		Text: plain.String(), HTML: rich.String(),
	}, nil
}
