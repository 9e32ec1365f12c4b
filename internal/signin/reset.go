package signin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/store"
)

// Find returns the user with the ID or the address, for an operator. Its errors
// are for the operator, too.
func Find(ctx context.Context, e *engine.Engine, who string) (*engine.Object, error) {
	if iam.User.ID.Has(who) {
		row, err := e.Store.Get(ctx, "", store.Key{Kind: iam.User.Key(), ID: who})
		if errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("there is no user %s", who)
		}
		if err != nil {
			return nil, err
		}
		return iam.User.Decode(row)
	}
	users, err := iam.UsersWith(ctx, e.Store, "", who)
	switch {
	case err != nil:
		return nil, err
	case len(users) == 0:
		return nil, fmt.Errorf("there is no user with the address %q", who)
	case len(users) > 1:
		var ids []string
		for _, u := range users {
			ids = append(ids, u.ID+" in organization "+u.Org)
		}
		return nil, fmt.Errorf("several users have the address %q, name one by ID: %s", who, strings.Join(ids, ", "))
	}
	return users[0], nil
}

// Reset gives the user another password and ends all of the user's sessions,
// for an operator: it asks for no proof.
func Reset(ctx context.Context, e *engine.Engine, user *engine.Object, password string) error {
	if problem := authn.PasswordProblem(password, user.Doc.String("email")); problem != "" {
		return errors.New(strings.ToLower(problem[:1]) + strings.TrimSuffix(problem[1:], "."))
	}
	hash, err := authn.HashPassword(password)
	if err != nil {
		return err
	}
	return e.Store.Update(ctx, func(tx store.Tx) error {
		return iam.SetPassword(ctx, e, tx, user.Org, user.ID, hash, nil)
	})
}
