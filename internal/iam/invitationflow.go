package iam

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

// An invitation goes this way:
//
//	STAGED        a sender claims it, as often as it takes, until the mail is out
//	  → SENT      MarkInvitationSent
//	STAGED, SENT
//	  → ACCEPTED  AcceptInvitation: the person has signed up
//	  → EXPIRED   ExpireInvitation: its time is over
//	STAGED, SENT, EXPIRED
//	  → DEACTIVATED  the invitation or (while open) its user is deleted
//
// The functions here are the steps that Weir takes by itself. Each runs in a
// transaction of the caller's, finds out under the row's lock whether the step
// still is to be taken, and takes it once however many ask.

// InvitationClosedError says that an invitation can no longer be accepted.
type InvitationClosedError struct {
	// Status is why: StatusAccepted, StatusExpired or StatusDeactivated.
	Status string
}

func (e *InvitationClosedError) Error() string {
	return "iam: the invitation cannot be accepted, it is " + e.Status
}

// InvitationOpen answers *InvitationClosedError unless the invitation can be
// accepted at the time. Past expires_at it cannot, whether or not its status
// says so yet.
func InvitationOpen(o *engine.Object, now time.Time) error {
	switch status := o.Doc.String("status"); status {
	case StatusStaged, StatusSent:
	default:
		return &InvitationClosedError{status}
	}
	expires, err := InvitationExpires(o)
	if err != nil {
		return err
	}
	if !now.Before(expires) {
		return &InvitationClosedError{StatusExpired}
	}
	return nil
}

// InvitationExpires returns when the invitation can no longer be accepted.
func InvitationExpires(o *engine.Object) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, o.Doc.String("expires_at"))
	if err != nil {
		return t, fmt.Errorf("iam: invitation %s: expires_at: %w", o.ID, err)
	}
	return t, nil
}

// FindInvitation returns the invitation of any organization, whatever its
// status, to who knows its token; the hash is that of the token. To others it
// answers store.ErrNotFound.
func FindInvitation(ctx context.Context, r store.Reader, id string, tokenHash []byte) (*engine.Object, error) {
	row, err := r.Get(ctx, "", store.Key{Kind: Invitation.Key(), ID: id})
	if err != nil {
		return nil, err
	}
	o, err := Invitation.Decode(row)
	if err != nil {
		return nil, err
	}
	record, err := DecodeInvitationRecord(o.Private)
	if err != nil {
		return nil, err
	}
	if !record.hasToken(tokenHash) {
		return nil, store.ErrNotFound
	}
	return o, nil
}

// hasToken compares in constant time. An invitation without a token has none
// that matches.
func (r InvitationRecord) hasToken(hash []byte) bool {
	return len(r.TokenHash) > 0 && subtle.ConstantTimeCompare(r.TokenHash, hash) == 1
}

// ClaimInvitation hands the mail of a staged invitation to one sender: until
// the given time nobody else gets it. The token whose hash is given replaces
// the one before, so that of several mails the last one's link is good.
//
// Without the claim the invitation is nil; heldUntil is then the end of
// another sender's claim, or zero where no mail is to be sent any more.
func ClaimInvitation(ctx context.Context, e *engine.Engine, tx store.Tx, id string, tokenHash []byte, until time.Time) (claimed *engine.Object, heldUntil time.Time, err error) {
	o, record, err := lockInvitation(ctx, e, tx, id)
	if err != nil {
		return nil, time.Time{}, err
	}
	now := e.Now()
	var closed *InvitationClosedError
	switch err := InvitationOpen(o, now); {
	case errors.As(err, &closed), err == nil && o.Doc.String("status") != StatusStaged:
		return nil, time.Time{}, nil
	case err != nil:
		return nil, time.Time{}, err
	case record.ClaimedUntil.After(now):
		return nil, record.ClaimedUntil, nil
	}
	o.Private = InvitationRecord{TokenHash: tokenHash, ClaimedUntil: until.UTC()}.Encode()
	return o, until, e.Save(ctx, tx, o)
}

// MarkInvitationSent says that the mail with the token is out. It does nothing
// where the invitation has gone on meanwhile, or another sender's token has
// taken the place of this one.
func MarkInvitationSent(ctx context.Context, e *engine.Engine, tx store.Tx, id string, tokenHash []byte) error {
	o, record, err := lockInvitation(ctx, e, tx, id)
	if err != nil {
		return err
	}
	if o.Doc.String("status") != StatusStaged || !record.hasToken(tokenHash) {
		return nil
	}
	o.Doc.Set("status", StatusSent)
	o.Private = InvitationRecord{TokenHash: record.TokenHash}.Encode()
	return e.Save(ctx, tx, o)
}

// AcceptInvitation makes the invited user active, with a name and the hash of
// a password. It answers store.ErrNotFound to a wrong token, and
// *InvitationClosedError where it comes too late, and ErrNoSignIn where the user is to
// sign in through single sign-on. A staged invitation can be
// accepted, too: the mail may be read before its sender has said that it is
// out.
func AcceptInvitation(ctx context.Context, e *engine.Engine, tx store.Tx, id string, tokenHash []byte, fullName, passwordHash string) error {
	o, record, err := lockInvitation(ctx, e, tx, id)
	if err != nil {
		return err
	}
	if !record.hasToken(tokenHash) {
		return store.ErrNotFound
	}
	if err := InvitationOpen(o, e.Now()); err != nil {
		return err
	}
	user, err := lockInvitee(ctx, e, tx, o)
	if err != nil {
		return err
	}
	if user.Doc.String("auth_type") == AuthTypeSSO {
		return fmt.Errorf("%w: it is one for single sign-on", ErrNoSignIn)
	}
	user.Doc.Set("full_name", fullName)
	return accept(ctx, e, tx, o, user, UserRecord{PasswordHash: passwordHash})
}

// AcceptInvitationOf accepts the open invitation of a pending user who has signed in
// through single sign-on, and answers *InvitationClosedError where there is none.
func AcceptInvitationOf(ctx context.Context, e *engine.Engine, tx store.Tx, user *engine.Object) error {
	open, err := openInvitations(ctx, tx, user.Org, store.Condition{Field: "user", Values: []string{user.ID}})
	if err != nil {
		return err
	}
	if len(open) == 0 {
		return &InvitationClosedError{StatusExpired}
	}
	o, _, err := lockInvitation(ctx, e, tx, open[0].ID)
	if err != nil {
		return err
	}
	if err := InvitationOpen(o, e.Now()); err != nil {
		return err
	}
	invitee, err := lockInvitee(ctx, e, tx, o)
	if err != nil {
		return err
	}
	if invitee.Doc.String("auth_type") != AuthTypeSSO {
		return &InvitationClosedError{StatusDeactivated}
	}
	return accept(ctx, e, tx, o, invitee, UserRecord{})
}

// lockInvitee returns the user of an open invitation.
func lockInvitee(ctx context.Context, e *engine.Engine, tx store.Tx, o *engine.Object) (*engine.Object, error) {
	user, err := e.Lock(ctx, tx, o.Org, User, o.Doc.String("user.id"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, &InvitationClosedError{StatusDeactivated}
	}
	if err != nil {
		return nil, err
	}
	account, err := DecodeUserRecord(user.Private)
	if err != nil {
		return nil, err
	}
	if !account.Pending {
		// No way leads here, and if one did, it must not lead to the password
		// of a user who is active.
		return nil, &InvitationClosedError{StatusAccepted}
	}
	return user, nil
}

// accept makes the user active, with the record.
func accept(ctx context.Context, e *engine.Engine, tx store.Tx, o, user *engine.Object, record UserRecord) error {
	user.Private = record.Encode()
	if err := e.Save(ctx, tx, user); err != nil {
		return err
	}
	invitation, err := DecodeInvitationRecord(o.Private)
	if err != nil {
		return err
	}
	o.Doc.Set("status", StatusAccepted)
	o.Doc.Set("accepted_at", api.Timestamp(e.Now()))
	o.Private = InvitationRecord{TokenHash: invitation.TokenHash}.Encode()
	return e.Save(ctx, tx, o)
}

// ExpireInvitation ends an invitation whose time is over and that was not
// accepted, and does nothing to others. Its user stays, pending: roles bound to
// the user are there again when the same person is invited anew.
func ExpireInvitation(ctx context.Context, e *engine.Engine, tx store.Tx, id string) error {
	o, record, err := lockInvitation(ctx, e, tx, id)
	if err != nil {
		return err
	}
	switch o.Doc.String("status") {
	case StatusStaged, StatusSent:
	default:
		return nil
	}
	if expires, err := InvitationExpires(o); err != nil || e.Now().Before(expires) {
		return err
	}
	o.Doc.Set("status", StatusExpired)
	o.Private = InvitationRecord{TokenHash: record.TokenHash}.Encode()
	return e.Save(ctx, tx, o)
}

func lockInvitation(ctx context.Context, e *engine.Engine, tx store.Tx, id string) (*engine.Object, InvitationRecord, error) {
	o, err := e.Lock(ctx, tx, "", Invitation, id)
	if err != nil {
		return nil, InvitationRecord{}, err
	}
	record, err := DecodeInvitationRecord(o.Private)
	return o, record, err
}
