package iam

import (
	"context"
	"errors"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

// keepAdministrator refuses a deletion that takes the binding of an
// OrganizationAdmin and leaves the organization without one who can act.
func keepAdministrator(ctx context.Context, w *engine.Write, gone []*engine.Object) error {
	for _, o := range gone {
		if o.Doc.String("role_name") == authz.OrganizationAdmin {
			return mustHaveAdministrator(ctx, w, o.Org)
		}
	}
	return nil
}

// keepAdministratorKey is the same for a deletion that takes the key of an
// OrganizationAdmin. Who can sign in with a password needs none.
func keepAdministratorKey(ctx context.Context, w *engine.Write, gone []*engine.Object) error {
	for _, o := range gone {
		admin, err := holdsAdmin(ctx, w.Tx, o.Org, o.Doc.String("spec.owner.id"))
		if err != nil {
			return err
		}
		if admin {
			return mustHaveAdministrator(ctx, w, o.Org)
		}
	}
	return nil
}

func holdsAdmin(ctx context.Context, r store.Reader, org, principal string) (bool, error) {
	n, err := r.Count(ctx, store.Query{Org: org, Kind: authn.RoleBindingKind, Limit: 1, Where: []store.Condition{
		{Field: "principal", Values: []string{authn.PrincipalPrefix + principal}},
		{Field: "role_name", Values: []string{authz.OrganizationAdmin}},
	}})
	return n > 0, err
}

// mustHaveAdministrator locks the organization, so that two who remove each
// other do so one after the other, and looks for who is left.
func mustHaveAdministrator(ctx context.Context, w *engine.Write, org string) error {
	if _, err := w.Tx.Lock(ctx, org, store.Key{Kind: organizationKey, ID: org}); err != nil {
		return err
	}
	left, err := Administrators(ctx, w.Tx, org)
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return api.New(api.BadRequest, "The organization would be left without an OrganizationAdmin who can manage it; give the role to somebody else first")
	}
	keys, err := w.Tx.Count(ctx, store.Query{Org: org, Kind: authn.APIKeyKind, Limit: 1, Where: []store.Condition{
		{Field: "spec.owner", Values: left},
		{Field: "spec.resource", Values: managementKeys()},
	}})
	if err != nil {
		return err
	}
	if keys > 0 {
		return nil
	}
	for _, id := range left {
		if can, err := canSignIn(ctx, w.Tx, org, id); can || err != nil {
			return err
		}
	}
	return api.New(api.BadRequest, "No OrganizationAdmin would have a password or an API key left to manage the organization with; make another key first")
}

// canSignIn reports whether the principal is a user with a password, or with single
// sign-on to sign in through.
func canSignIn(ctx context.Context, r store.Reader, org, id string) (bool, error) {
	if !userID.ID.Has(id) {
		return false, nil
	}
	row, err := r.Get(ctx, org, store.Key{Kind: userID.Key, ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	user, err := User.Decode(row)
	if err != nil {
		return false, err
	}
	record, err := DecodeUserRecord(user.Private)
	if err == nil && !record.Pending && user.Doc.String("auth_type") == AuthTypeSSO {
		return hasSSO(ctx, r, org)
	}
	hash, err := PasswordOf(user)
	return hash != "", err
}

// managementKeys are the resources of keys that reach management operations.
func managementKeys() []string {
	var out []string
	for _, r := range keyResources {
		if r.scheme != authn.SchemeResourceKey {
			out = append(out, r.literal)
		}
	}
	return out
}

// Administrators returns the principals of the organization that are
// OrganizationAdmin and can act: service accounts, and users who accepted
// their invitation.
func Administrators(ctx context.Context, r store.Reader, org string) ([]string, error) {
	bindings, err := r.List(ctx, store.Query{
		Org: org, Kind: authn.RoleBindingKind, Limit: maxHeld,
		Where: []store.Condition{{Field: "role_name", Values: []string{authz.OrganizationAdmin}}},
	})
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range bindings {
		id, err := principalIn(bindings[i].Body)
		if err != nil {
			return nil, err
		}
		acts, err := CanAct(ctx, r, org, id)
		if err != nil {
			return nil, err
		}
		if acts {
			out = append(out, id)
		}
	}
	return out, nil
}

// principalIn reads whose a stored binding is.
func principalIn(body []byte) (string, error) {
	b, err := authn.DecodeBinding(body)
	return strings.TrimPrefix(b.Principal, authn.PrincipalPrefix), err
}

// CanAct reports whether the principal exists and can hold keys: a service
// account, or a user who accepted the invitation.
func CanAct(ctx context.Context, r store.Reader, org, id string) (bool, error) {
	p, ok := principalOf(id)
	if !ok || p.Key != userID.Key && p.Key != serviceAccountID.Key {
		return false, nil
	}
	row, err := r.Get(ctx, org, store.Key{Kind: p.Key, ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil || p.Key != userID.Key {
		return err == nil, err
	}
	record, err := DecodeUserRecord(row.Private)
	return err == nil && !record.Pending, err
}

// Appoint makes a user or service account that exists OrganizationAdmin, unless
// it is already.
func Appoint(ctx context.Context, e *engine.Engine, tx store.Tx, org, principal string) error {
	held, err := holdsAdmin(ctx, tx, org, principal)
	if err != nil || held {
		return err
	}
	return Bind(ctx, e, tx, org, principal, authz.OrganizationAdmin, engine.OrganizationCRN(org).String())
}

// InviteAdministrator invites a person, as Weir itself, to be OrganizationAdmin
// of an organization. The mail goes out as for any other invitation.
func InviteAdministrator(ctx context.Context, e *engine.Engine, tx store.Tx, org, email, fullName string) error {
	invitation := &engine.Object{Kind: Invitation, Org: org, Doc: engine.Doc{"email": email, "auth_type": AuthTypeLocal}}
	if err := e.Insert(ctx, tx, invitation); err != nil {
		return err
	}
	user, err := e.Lock(ctx, tx, org, User, invitation.Doc.String("user.id"))
	if err != nil {
		return err
	}
	user.Doc.Set("full_name", fullName)
	if err := e.Save(ctx, tx, user); err != nil {
		return err
	}
	return Appoint(ctx, e, tx, org, user.ID)
}

// HasAdministrator reports whether somebody is, or is invited to become, an
// administrator of the organization.
func HasAdministrator(ctx context.Context, r store.Reader, org string) (bool, error) {
	admins, err := Administrators(ctx, r, org)
	if err != nil || len(admins) > 0 {
		return len(admins) > 0, err
	}
	open, err := openInvitations(ctx, r, org)
	if err != nil {
		return false, err
	}
	for i := range open {
		o, err := Invitation.Decode(&open[i])
		if err != nil {
			return false, err
		}
		if held, err := holdsAdmin(ctx, r, org, o.Doc.String("user.id")); err != nil || held {
			return held, err
		}
	}
	return false, nil
}
