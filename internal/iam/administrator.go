package iam

import (
	"context"
	"errors"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

// keepAdministratorBinding refuses to remove the binding of the last
// OrganizationAdmin: by itself, or with its principal.
func keepAdministratorBinding(ctx context.Context, w *engine.Write) error {
	if w.Old.Doc.String("role_name") != authz.OrganizationAdmin {
		return nil
	}
	admins, err := administrators(ctx, w, w.Old.ID)
	if err != nil || len(admins) > 0 {
		return err
	}
	return api.New(api.BadRequest, "The organization would be left without an OrganizationAdmin; give the role to somebody else first")
}

// keepAdministratorKey refuses to remove the last key that an
// OrganizationAdmin can manage the organization with.
func keepAdministratorKey(ctx context.Context, w *engine.Write) error {
	record, err := authn.DecodeKeyRecord(w.Old.Private)
	if err != nil || record.Scheme == authn.SchemeResourceKey {
		return err
	}
	admins, err := administrators(ctx, w, "")
	if err != nil {
		return err
	}
	owns := false
	for _, a := range admins {
		owns = owns || a == record.Owner
	}
	if !owns {
		return nil
	}
	keys, err := w.Tx.List(ctx, store.Query{
		Org: w.Old.Org, Kind: authn.APIKeyKind, Limit: maxHeld,
		Where: []store.Condition{
			{Field: "spec.owner", Values: admins},
			{Field: "spec.resource", Values: []string{"cloud", "global"}},
		},
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.ID != w.Old.ID {
			return nil
		}
	}
	return api.New(api.BadRequest, "This is the last key that an OrganizationAdmin can manage the organization with; make another one first")
}

// administrators returns the principals who are OrganizationAdmin by a binding
// other than the one named, and can act: users who accepted their invitation,
// and service accounts. It locks the organization, so that two who remove each
// other do so one after the other.
func administrators(ctx context.Context, w *engine.Write, except string) ([]string, error) {
	org := w.Old.Org
	if _, err := w.Tx.Lock(ctx, org, store.Key{Kind: organizationKey, ID: org}); err != nil {
		return nil, err
	}
	bindings, err := w.Tx.List(ctx, store.Query{
		Org: org, Kind: authn.RoleBindingKind, Limit: maxHeld,
		Where: []store.Condition{{Field: "role_name", Values: []string{authz.OrganizationAdmin}}},
	})
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range bindings {
		if bindings[i].ID == except {
			continue
		}
		binding, err := w.Engine.Kind(authn.RoleBindingKind).Decode(&bindings[i])
		if err != nil {
			return nil, err
		}
		id := boundPrincipal(binding)
		acts, err := canAct(ctx, w.Tx, org, id)
		if err != nil {
			return nil, err
		}
		if acts {
			out = append(out, id)
		}
	}
	return out, nil
}

// canAct reports whether the principal is a service account, or a user who
// accepted the invitation. A group mapping lends its roles to those who sign in
// and matches whom somebody else's directory says, perhaps nobody.
func canAct(ctx context.Context, tx store.Tx, org, id string) (bool, error) {
	p, ok := principalOf(id)
	if !ok || p == groupMappingID {
		return false, nil
	}
	row, err := tx.Get(ctx, org, store.Key{Kind: p.Key, ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil || p.Key != userID.Key {
		return p.Key != userID.Key, err
	}
	record, err := DecodeUserRecord(row.Private)
	return !record.Pending, err
}
