package iam

import (
	"context"
	"errors"
	"fmt"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

const assignedResourceOwner = "assigned_resource_owner"

// ownerParameter is the query parameter that assignOwner reads.
func ownerParameter(of string) engine.Parameter {
	return engine.Parameter{
		Name:        assignedResourceOwner,
		Description: "The ID of the user, service account, group mapping or identity pool that becomes ResourceOwner of the new " + of + ".",
		Example:     "u-a83k9b",
	}
}

// assignOwner binds ResourceOwner on a new object to the principal
// that the request names.
func assignOwner(ctx context.Context, w *engine.Write) error {
	owner := w.Query.Get(assignedResourceOwner)
	if w.Verb != engine.Create || owner == "" {
		return nil
	}
	if err := pinVisible(ctx, w, owner); errors.Is(err, store.ErrNotFound) {
		return api.BadParameter(api.InvalidParameter, assignedResourceOwner,
			fmt.Sprintf("The parameter '%s' names the principal '%s', which does not exist", assignedResourceOwner, owner))
	} else if err != nil {
		return err
	}
	return Bind(ctx, w.Engine, w.Tx, w.New.Org, owner, authz.ResourceOwner, w.New.ResourceName())
}
