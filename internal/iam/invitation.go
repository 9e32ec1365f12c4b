package iam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

// Statuses of invitations.
const (
	// StatusStaged: made, the mail is not out yet.
	StatusStaged = "INVITE_STATUS_STAGED"
	// StatusSent: the mail is out.
	StatusSent = "INVITE_STATUS_SENT"
	// StatusAccepted: the user has signed up.
	StatusAccepted = "INVITE_STATUS_ACCEPTED"
	// StatusExpired: nobody signed up in time.
	StatusExpired = "INVITE_STATUS_EXPIRED"
	// StatusDeactivated: the invitation or its user was deleted before.
	StatusDeactivated = "INVITE_STATUS_DEACTIVATED"
)

// InvitationTTL is how long an invitation can be accepted: exactly seven days
// in every recorded answer (facts, semantics 3).
const InvitationTTL = 7 * 24 * time.Hour

const (
	invitationKey   = "iam/v2.Invitation"
	organizationKey = "org/v2.Organization"
)

// Invitation asks a person to join the organization. Its creation allocates
// the user, who holds no roles and cannot act before the invitation is
// accepted; roles can be bound to the user meanwhile. Its deletion leaves it
// as a record, deactivated, and removes the user; one that was accepted can
// no longer be deleted. Private holds an InvitationRecord.
//
// After an invitation expired, the same address can be invited again and keeps
// its user with the roles bound to it.
var Invitation = &engine.Kind{
	Group: "iam", Version: "v2", Name: "Invitation",
	Description: "An invitation asks a person by e-mail to join the organization. Creating it allocates the user; the person sets a password on the page that the mail links to.",
	Path:        "/iam/v2/invitations",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2Invitations",
		engine.Create: "createIamV2Invitation",
		engine.Read:   "getIamV2Invitation",
		engine.Delete: "deleteIamV2Invitation",
	},
	ID:       engine.IDShape{Prefix: "i-", Length: 6, Alphabet: random.LowerAlphanumeric},
	Segment:  "invitation",
	Resource: "Invitation",
	OwnedBy:  "creator",
	Quotas: []*engine.Quota{{
		Code: "iam.max_pending_invitations.per_organization", Scope: engine.PerOrganization, DisplayName: "Pending Invitations Per Organization", Limit: 150,
		Counts: isOpen,
	}},
	Fields: []engine.Field{
		{
			Name: "email", Required: true, Immutable: true, Format: "email", MinLength: 3, MaxLength: 254, Filter: engine.FilterOne,
			Description: "The address of the person.", Example: "marty@example.com",
		},
		{
			Name: "auth_type", Enum: []string{AuthTypeLocal, AuthTypeSSO},
			Description: "How the user will sign in: by default through single sign-on where the organization has a connection, and with a password where not. AUTH_TYPE_SSO needs a connection; with one, AUTH_TYPE_LOCAL needs an OrganizationAdmin.",
		},
		{
			Name: "status", ReadOnly: true, Filter: engine.FilterOne,
			Enum:        []string{StatusSent, StatusStaged, StatusAccepted, StatusExpired, StatusDeactivated},
			Description: "How far the invitation has come: STAGED until the mail is out, then SENT, and at last ACCEPTED, EXPIRED or DEACTIVATED.",
		},
		{Name: "accepted_at", Type: engine.Timestamp, ReadOnly: true, Description: "When the person accepted."},
		{Name: "expires_at", Type: engine.Timestamp, ReadOnly: true, Description: "Until when the invitation can be accepted."},
		{
			Name: "user", Type: engine.Reference, ReadOnly: true, Filter: engine.FilterOne,
			Description: "The user that the invitation allocated.",
			To:          &engine.ReferenceTo{Kinds: []string{userID.Key}, OnDelete: engine.Keep, Typed: true, Resolved: true},
		},
		{
			Name: "creator", Type: engine.Reference, ReadOnly: true, Filter: engine.FilterOne,
			Description: "Who made the invitation.",
			To:          &engine.ReferenceTo{Kinds: []string{userID.Key, serviceAccountID.Key, identityPoolID.Key}, OnDelete: engine.Keep, Typed: true, Resolved: true},
		},
	},
	Codes: map[engine.Verb][]*api.Code{engine.Delete: {api.BadRequest}},
	Hooks: engine.Hooks{Locate: locateInvitation, Validate: validateInvitation, BeforeWrite: allocateUser, Retire: withdraw},
}

// InvitationRecord is what is kept with an invitation and never sent.
type InvitationRecord struct {
	// TokenHash is the keyed hash of the token in the mail's link.
	TokenHash []byte `json:"token_hash,omitempty"`
	// ClaimedUntil is until when one sender has the mail in hand.
	ClaimedUntil time.Time `json:"claimed_until,omitzero"`
}

// Encode returns the record as stored bytes.
func (r InvitationRecord) Encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("iam: encode invitation record: %v", err)) // bytes and times always encode
	}
	return b
}

// DecodeInvitationRecord reads what Encode returned.
func DecodeInvitationRecord(b []byte) (InvitationRecord, error) {
	var r InvitationRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("iam: stored invitation record cannot be read: %w", err)
	}
	return r, nil
}

func validateInvitation(w *engine.Write) []api.Problem {
	var problems []api.Problem
	if email := w.New.Doc.String("email"); email != "" {
		if a, err := mail.ParseAddress(email); err != nil || a.Address != email {
			problems = append(problems, api.Problem{Message: "The field 'email' must be an e-mail address such as marty@example.com", Pointer: "/email"})
		}
	}
	return problems
}

// locateInvitation settles how the user will sign in.
func locateInvitation(ctx context.Context, w *engine.Write) ([]api.Problem, error) {
	doc := w.New.Doc
	if doc.String("auth_type") == "" {
		has, err := hasSSO(ctx, w.Tx, w.New.Org)
		if err != nil {
			return nil, err
		}
		doc.Set("auth_type", AuthTypeLocal)
		if has {
			doc.Set("auth_type", AuthTypeSSO)
		}
	}
	return checkAuthType(ctx, w.Tx, w.New.Org, doc.String("auth_type"))
}

// mayInviteLocally refuses to invite past the organization's single sign-on who is
// no OrganizationAdmin (facts, semantics 1.1).
func mayInviteLocally(ctx context.Context, w *engine.Write) error {
	if w.Caller == nil || w.New.Doc.String("auth_type") != AuthTypeLocal || isOrganizationAdmin(w.Caller.Subject, w.New.Org) {
		return nil
	}
	has, err := hasSSO(ctx, w.Tx, w.New.Org)
	if has && err == nil {
		err = api.New(api.ForbiddenAccess, "The organization has single sign-on: only an OrganizationAdmin invites users of AUTH_TYPE_LOCAL; leave auth_type out")
	}
	return err
}

// allocateUser completes a new invitation with its user.
func allocateUser(ctx context.Context, w *engine.Write) error {
	if w.Old != nil {
		return nil
	}
	if err := mayInviteLocally(ctx, w); err != nil {
		return err
	}
	doc := w.New.Doc
	user, err := invitee(ctx, w)
	if err != nil {
		return err
	}
	doc.Set("user", user.Refer())
	if w.Caller != nil {
		p, _ := principalOf(w.Caller.Principal)
		k := w.Engine.Kind(p.Key)
		if k == nil {
			return api.New(api.UserUnauthorized, "Users, service accounts and identity pools invite others, and nobody else")
		}
		row, err := w.Tx.Pin(ctx, w.New.Org, store.Key{Kind: p.Key, ID: w.Caller.Principal})
		if errors.Is(err, store.ErrNotFound) {
			return api.New(api.UserUnauthorized, "You were deleted while you made the invitation")
		}
		if err != nil {
			return err
		}
		creator, err := k.Decode(row)
		if err != nil {
			return err
		}
		doc.Set("creator", creator.Refer())
	}
	doc.Set("status", StatusStaged)
	doc.Set("expires_at", api.Timestamp(w.Now.Add(InvitationTTL)))
	w.New.Private = InvitationRecord{}.Encode()
	return nil
}

// invitee makes the user of a new invitation, or finds the one that an expired
// invitation to the same address left.
func invitee(ctx context.Context, w *engine.Write) (*engine.Object, error) {
	email := w.New.Doc.String("email")
	rows, err := w.Tx.List(ctx, store.Query{
		Org: w.New.Org, Kind: userID.Key, Limit: 1,
		Where: []store.Condition{{Field: store.FieldName, Values: []string{engine.FoldASCII(email)}}},
	})
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		user, err := leftBehind(ctx, w, rows[0].ID)
		if err == nil && user.Doc.String("auth_type") != w.New.Doc.String("auth_type") {
			user.Doc.Set("auth_type", w.New.Doc.String("auth_type"))
			err = w.Engine.Save(ctx, w.Tx, user)
		}
		if !errors.Is(err, store.ErrNotFound) { // gone meanwhile: then there is none
			return user, err
		}
	}
	user := &engine.Object{Kind: w.Engine.Kind(userID.Key), Org: w.New.Org, Private: UserRecord{Pending: true}.Encode(), Doc: engine.Doc{
		"email": email, "auth_type": w.New.Doc.String("auth_type"),
	}}
	return user, w.Engine.Insert(ctx, w.Tx, user)
}

// leftBehind returns the user with the address of a new invitation if it waits
// for one: pending, without an open invitation, and with the very same address,
// since the mail that decides who becomes the user goes there. Any other user
// is a conflict.
func leftBehind(ctx context.Context, w *engine.Write, id string) (*engine.Object, error) {
	k := w.Engine.Kind(userID.Key)
	user, err := w.Engine.Lock(ctx, w.Tx, w.New.Org, k, id)
	if err != nil {
		return nil, err
	}
	record, err := DecodeUserRecord(user.Private)
	if err != nil {
		return nil, err
	}
	open, err := openInvitations(ctx, w.Tx, w.New.Org, store.Condition{Field: "user", Values: []string{user.ID}})
	if err != nil {
		return nil, err
	}
	if !record.Pending || len(open) > 0 || user.Doc.String("email") != w.New.Doc.String("email") {
		e := api.New(api.AlreadyExists, k.NameTaken)
		e.Problems[0].Pointer = "/email"
		if w.Caller == nil || k.VisibleTo(w.Caller, user) {
			e.Location = user.Path()
			if record.Pending {
				e.Problems[0].Message += ", invited as '" + user.Doc.String("email") + "'; delete that invitation first"
			}
		}
		return nil, e
	}
	return user, nil
}

// isOpen reports whether the status says that the invitation can be accepted.
func isOpen(o *engine.Object) bool {
	return slices.Contains(openStatuses, o.Doc.String("status"))
}

var openStatuses = []string{StatusStaged, StatusSent}

// openInvitations lists the invitations that can still be accepted.
func openInvitations(ctx context.Context, r store.Reader, org string, where ...store.Condition) ([]store.Row, error) {
	return r.List(ctx, store.Query{
		Org: org, Kind: invitationKey, Limit: maxHeld,
		Where: append(where, store.Condition{Field: "status", Values: openStatuses}),
	})
}

// withdraw deactivates an invitation in place of its removal.
func withdraw(ctx context.Context, w *engine.Write) error {
	switch w.Old.Doc.String("status") {
	case StatusAccepted:
		return api.New(api.BadRequest, "Bad Request. The invitation was already accepted")
	case StatusDeactivated:
		return nil // a deletion that is repeated has nothing left to do
	}
	w.New.Doc.Set("status", StatusDeactivated)
	user, err := w.Engine.Lock(ctx, w.Tx, w.Old.Org, w.Engine.Kind(userID.Key), w.Old.Doc.String("user.id"))
	if errors.Is(err, store.ErrNotFound) {
		return nil // went before the record of its invitation
	}
	if err != nil {
		return err
	}
	// An expired invitation leaves its user to a later one, which may be open
	// or accepted by now: then the user is no longer this invitation's to take.
	record, err := DecodeUserRecord(user.Private)
	if err != nil || !record.Pending {
		return err
	}
	open, err := openInvitations(ctx, w.Tx, w.Old.Org, store.Condition{Field: "user", Values: []string{user.ID}})
	if err != nil || slices.ContainsFunc(open, func(r store.Row) bool { return r.ID != w.Old.ID }) {
		return err
	}
	return w.Engine.Remove(ctx, w.Tx, user)
}
