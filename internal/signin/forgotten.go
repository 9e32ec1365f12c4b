package signin

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	html "html/template"
	"net/url"
	"strings"
	text "text/template"
	"time"

	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/ratelimit"
	"github.com/weirhq/weir/internal/store"
)

const (
	// ResetLife is how long the link in the mail is good.
	ResetLife = time.Hour
	// maxForgotten bounds the addresses that wait for mail in a process.
	maxForgotten = 1000
	// mailTimeout bounds one attempt to send.
	mailTimeout = 45 * time.Second
)

// perAsked limits how often mail is sent to one address, so that nobody's mailbox
// is filled.
var perAsked = ratelimit.Limit{Requests: 1, Per: 10 * time.Minute, Burst: 3}

// ErrReset means that the link in the mail is not, or no longer, good.
var ErrReset = errors.New("the link is not valid any more")

// Forgot has a mail sent with a link that lets the users with the address choose
// another password, where there are any who can sign in with one. Nothing about
// the answer tells: what there is to do is done later. A mail that gets lost, by a
// failure or the end of the process, is not sent again by itself.
func (s *Service) Forgot(email string) {
	if email == "" || len(email) > maxEmail || !s.asked.Take(engine.FoldASCII(email), s.engine.Now()).Allowed {
		return
	}
	select {
	case s.forgotten <- email:
	default: // so many wait that the mail server must be away
		s.engine.Log.Warn("a user who forgot the password gets no mail: too many wait for it")
	}
}

// deliver sends mail until the context ends.
func (s *Service) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case email := <-s.forgotten:
			if err := s.send(ctx, email); err != nil && ctx.Err() == nil {
				s.engine.Log.WarnContext(ctx, "cannot send mail to a user who forgot the password", "error", err)
			}
		}
	}
}

// send sends one mail to each user with the address.
func (s *Service) send(ctx context.Context, email string) error {
	users, err := iam.UsersWith(ctx, s.engine.Store, "", email)
	if err != nil {
		return err
	}
	var failed []error
	for _, user := range users {
		t := newResetToken(user.ID)
		err := s.engine.Store.Update(ctx, func(tx store.Tx) error {
			return iam.OfferReset(ctx, s.engine, tx, user.Org, user.ID, t.hash(s.engine.Hasher.Key), s.engine.Now().Add(ResetLife))
		})
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err == nil {
			err = s.mail(ctx, user, t)
		}
		if err == nil {
			s.engine.Log.InfoContext(ctx, "mail sent to a user who forgot the password", "user", user.ID, "organization", user.Org)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

var (
	mailText = text.Must(text.ParseFS(assets, "assets/mail.txt"))
	mailHTML = html.Must(html.ParseFS(assets, "assets/mail.html"))
)

func (s *Service) mail(ctx context.Context, user *engine.Object, t resetToken) error {
	facts := struct{ Email, Organization, Link string }{
		user.Doc.String("email"), user.Org, s.engine.PublicURL + ResetPath + "?" + url.Values{"token": {t.String()}}.Encode(),
	}
	var plain, rich bytes.Buffer
	if err := errors.Join(mailText.Execute(&plain, facts), mailHTML.Execute(&rich, facts)); err != nil {
		return fmt.Errorf("write the mail: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	// To the address that the user has, not to the one that was typed.
	return s.sender.Send(ctx, mail.Message{To: facts.Email, Subject: "Your password on Weir", Text: plain.String(), HTML: rich.String()})
}

// ResetUser returns the user whom the token of a link lets choose another
// password, or ErrReset.
func (s *Service) ResetUser(ctx context.Context, raw string) (*engine.Object, error) {
	t, ok := parseResetToken(raw)
	if !ok {
		return nil, ErrReset
	}
	row, err := s.engine.Store.Get(ctx, "", store.Key{Kind: iam.User.Key(), ID: t.user})
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrReset
	}
	if err != nil {
		return nil, err
	}
	user, err := iam.User.Decode(row)
	if err != nil {
		return nil, err
	}
	record, err := iam.DecodeUserRecord(user.Private)
	if err != nil {
		return nil, err
	}
	if !record.Resettable(t.hash(s.engine.Hasher.Key), s.engine.Now()) {
		return nil, ErrReset
	}
	return user, nil
}

// ResetPassword gives the user of a link another password, which must be a good
// one, uses the link up and ends all of the user's sessions. It answers ErrReset
// or authn.ErrBusy to who has to try again.
func (s *Service) ResetPassword(ctx context.Context, raw, password string) error {
	user, err := s.ResetUser(ctx, raw)
	if err != nil {
		return err
	}
	ctx = as(ctx, audit.PasswordLink, user)
	t, _ := parseResetToken(raw)
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	err = s.engine.Store.Update(ctx, func(tx store.Tx) error {
		return iam.SetPassword(ctx, s.engine, tx, user.Org, user.ID, hash, func(r iam.UserRecord) bool {
			return r.Resettable(t.hash(s.engine.Hasher.Key), s.engine.Now())
		})
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, iam.ErrNoSignIn) {
		return ErrReset // used up meanwhile
	}
	if err != nil {
		return err
	}
	s.engine.Log.InfoContext(ctx, "password changed by the link in a mail", "user", user.ID, "organization", user.Org)
	return nil
}

// resetToken is what makes a link good: the user's ID, a dot, and 32 random bytes.
type resetToken struct{ user, secret string }

func newResetToken(user string) resetToken { return resetToken{user, random.Secret()} }

// parseResetToken reports whether the text can be a token at all.
func parseResetToken(raw string) (resetToken, bool) {
	user, secret, _ := strings.Cut(raw, ".")
	return resetToken{user, secret}, iam.User.ID.Has(user) && len(secret) == random.SecretLength
}

func (t resetToken) String() string { return t.user + "." + t.secret }

// hash is what is stored in place of the token. A fast hash is enough for 256
// random bits.
func (t resetToken) hash(key []byte) string {
	return hex.EncodeToString(authn.Sum(key, "weir password reset token", t.String()))
}
