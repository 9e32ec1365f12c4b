// Package iam holds the kinds of the API group iam/v2: who there is, what
// proves it, and what each may do.
package iam

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

// Authentication types of users.
const (
	AuthTypeLocal = "AUTH_TYPE_LOCAL"
	AuthTypeSSO   = "AUTH_TYPE_SSO"
)

// User is a person. Private holds a UserRecord. Users are not made through
// this API but by invitation; a user's deletion takes its keys and role
// bindings along and deactivates its open invitations.
var User = &engine.Kind{
	Group: "iam", Version: "v2", Name: "User",
	Description: "A user is a person with an account in the organization.",
	Path:        "/iam/v2/users",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2Users",
		engine.Read:   "getIamV2User",
		engine.Update: "updateIamV2User",
		engine.Delete: "deleteIamV2User",
	},
	Actions: []engine.Action{{
		Operation: "updateIamV2UserAuth",
		Asks:      "AlterAuthType",
		Fields: []engine.Field{{
			Name: "auth_type", Required: true, Enum: []string{AuthTypeLocal, AuthTypeSSO},
			Description: "How the user is to sign in.",
		}},
		Apply: setAuthType,
	}},
	// Users come to be by invitation.
	Methods:    map[engine.Verb]string{engine.Create: "InviteUser"},
	ID:         userID.ID,
	Segment:    userID.Segment,
	Resource:   "User",
	OwnedBy:    store.FieldID,
	UniqueName: "email", UniqueFold: true,
	NameTaken: "This user already exists within the Organization",
	Quotas: []*engine.Quota{{
		Code: "iam.max_users.per_org", Scope: engine.PerOrganization, DisplayName: "Users Per Organization", Limit: 1000,
	}},
	Fields: []engine.Field{
		{
			Name: "email", Required: true, Immutable: true, Format: "email", MinLength: 3, MaxLength: 254,
			Description: "The address that the user signs in with.", Example: "marty@example.com",
		},
		{
			Name: "full_name", MaxLength: 255,
			Description: "The user's name.", Example: "Marty McFly",
		},
		{
			Name: "auth_type", ReadOnly: true, Enum: []string{AuthTypeLocal, AuthTypeSSO},
			Description: "How the user signs in: with a password, or through the organization's single sign-on.",
		},
	},
	Codes: map[engine.Verb][]*api.Code{engine.Delete: {api.BadRequest}},
	Hooks: engine.Hooks{BeforeDelete: deactivateInvitations},
}

// UserRecord is what is kept with a user and never sent.
type UserRecord struct {
	// PasswordHash is the argon2id hash of the password, or "".
	PasswordHash string `json:"password_hash,omitempty"`
	// Pending users were invited and have not accepted yet.
	Pending bool `json:"pending,omitempty"`
	// ResetHash is the keyed hash, in hexadecimal, of the token that lets the user
	// choose another password until ResetExpires, or "".
	ResetHash    string    `json:"reset_hash,omitempty"`
	ResetExpires time.Time `json:"reset_expires,omitzero"`
}

// Encode returns the record as stored bytes.
func (r UserRecord) Encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("iam: encode user record: %v", err)) // text always encodes
	}
	return b
}

// DecodeUserRecord reads what Encode returned.
func DecodeUserRecord(b []byte) (UserRecord, error) {
	var r UserRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("iam: stored user record cannot be read: %w", err)
	}
	return r, nil
}

// setAuthType ends the sessions that began the other way.
func setAuthType(ctx context.Context, w *engine.Write, body engine.Doc) error {
	wanted := body.String("auth_type")
	problems, err := checkAuthType(ctx, w.Tx, w.Old.Org, wanted)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return api.Invalid(problems...)
	}
	if w.Old.Doc.String("auth_type") == wanted {
		return nil
	}
	w.New.Doc.Set("auth_type", wanted)
	return EndSessions(ctx, w.Engine, w.Tx, w.Old.Org, w.Old.ID)
}

// checkAuthType refuses single sign-on in an organization that has no connection:
// such a user could never sign in.
func checkAuthType(ctx context.Context, tx store.Tx, org, authType string) ([]api.Problem, error) {
	if authType != AuthTypeSSO {
		return nil, nil
	}
	if has, err := hasSSO(ctx, tx, org); has || err != nil {
		return nil, err
	}
	return []api.Problem{{
		Message: "The organization has no single sign-on connection, so that AUTH_TYPE_SSO cannot be used",
		Pointer: "/auth_type",
	}}, nil
}

// deactivateInvitations ends the open invitations of a user who goes.
func deactivateInvitations(ctx context.Context, w *engine.Write) error {
	open, err := openInvitations(ctx, w.Tx, w.Old.Org, store.Condition{Field: "user", Values: []string{w.Old.ID}})
	if err != nil {
		return err
	}
	for _, row := range open {
		o, err := w.Engine.Lock(ctx, w.Tx, row.Org, w.Engine.Kind(invitationKey), row.ID)
		if err != nil {
			return err
		}
		o.Doc.Set("status", StatusDeactivated)
		if err := w.Engine.Save(ctx, w.Tx, o); err != nil {
			return err
		}
	}
	return nil
}
