package bootstrap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

// Credentials are what a new installation begins with.
type Credentials struct {
	OrganizationID, EnvironmentID string
	Email, Password               string
	APIKey, APISecret             string

	// generated says that the password was made here.
	generated bool
}

// Names of settings in the store.
const (
	settingFirstOrganization = "first-organization"
	settingHashKey           = "hash-key"
	settingPageTokenKey      = "page-token-key"
)

// Keys are the installation's own secrets, the same on every replica.
type Keys struct{ Hash, PageToken []byte }

// LoadKeys reads the installation's keys, and makes them on the first start.
func LoadKeys(ctx context.Context, s store.Store) (Keys, error) {
	var k Keys
	for name, key := range map[string]*[]byte{settingHashKey: &k.Hash, settingPageTokenKey: &k.PageToken} {
		var err error
		if *key, err = loadKey(ctx, s, name); err != nil {
			return Keys{}, fmt.Errorf("load %s: %w", name, err)
		}
	}
	return k, nil
}

func loadKey(ctx context.Context, s store.Store, name string) ([]byte, error) {
	key, err := s.Setting(ctx, name)
	if !errors.Is(err, store.ErrNotFound) {
		return key, err
	}
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails: it ends the program instead
	err = s.Update(ctx, func(tx store.Tx) error {
		// Another replica may have been quicker; then its key counts.
		_, err := tx.PutSetting(ctx, name, fresh)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.Setting(ctx, name)
}

// Needed reports whether the installation has no organization yet.
func Needed(ctx context.Context, s store.Store) (bool, error) {
	_, err := s.Setting(ctx, settingFirstOrganization)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// FirstOrganization returns the ID of the organization that the first start
// made, or an error for the operator where there is none.
func FirstOrganization(ctx context.Context, s store.Store) (string, error) {
	id, err := s.Setting(ctx, settingFirstOrganization)
	if errors.Is(err, store.ErrNotFound) {
		return "", errors.New("this database has no organization yet: start the server once")
	}
	return string(id), err
}

// Choose fills in the credentials of a new installation, from the options
// where they fix a value.
func Choose(o Options) Credentials {
	c := Credentials{
		OrganizationID: o.OrganizationID,
		Email:          o.Email, Password: o.Password,
		APIKey: o.APIKey, APISecret: o.APISecret,
		EnvironmentID: org.Environment.ID.New(),
		generated:     o.Password == "",
	}
	for value, choose := range map[*string]func() string{
		&c.OrganizationID: uuid.NewString,
		&c.Email:          func() string { return "admin@weir.local" },
		&c.Password:       func() string { return random.Text(24, random.MixedAlphanumeric) },
		&c.APIKey:         iam.APIKey.ID.New,
		&c.APISecret:      authn.NewSecret,
	} {
		if *value == "" {
			*value = choose()
		}
	}
	return c
}

// Create makes the organization with all that belongs to it, in one
// transaction, and reports whether it did: another replica may have been
// quicker.
func Create(ctx context.Context, e *engine.Engine, c Credentials) (bool, error) {
	hash := authn.HashPassword
	if c.generated {
		hash = authn.HashGenerated // the first start need not wait for it
	}
	password, err := hash(c.Password)
	if err != nil {
		return false, err
	}
	created := false
	ctx = audit.As(ctx, "bootstrap")
	err = e.Store.Update(ctx, func(tx store.Tx) error {
		var err error
		if created, err = tx.PutSetting(ctx, settingFirstOrganization, []byte(c.OrganizationID)); err != nil || !created {
			return err
		}
		if err := NewOrganization(ctx, e, tx, c.OrganizationID, "Weir", c.EnvironmentID); err != nil {
			return err
		}
		user := &engine.Object{Kind: iam.User, Org: c.OrganizationID, Private: iam.UserRecord{PasswordHash: password}.Encode(), Doc: engine.Doc{
			"email": c.Email, "full_name": "Administrator", "auth_type": iam.AuthTypeLocal,
		}}
		if err := e.Insert(ctx, tx, user); err != nil {
			return err
		}
		if err := iam.Appoint(ctx, e, tx, c.OrganizationID, user.ID); err != nil {
			return err
		}
		return insertKey(ctx, e, tx, c.OrganizationID, user.ID, c.APIKey, c.APISecret)
	})
	return created, err
}

// NewOrganization makes an organization with what each has from the beginning,
// in a transaction that is under way. Whoever calls it sees to an administrator
// (iam.Appoint, iam.InviteAdministrator).
func NewOrganization(ctx context.Context, e *engine.Engine, tx store.Tx, id, name, environmentID string) error {
	organization := &engine.Object{Kind: org.Organization, Org: id, ID: id, Doc: engine.Doc{
		"display_name": name, "jit_enabled": true,
	}}
	if err := e.Insert(ctx, tx, organization); err != nil {
		return err
	}
	return e.Insert(ctx, tx, &engine.Object{Kind: org.Environment, Org: id, ID: environmentID, Doc: engine.Doc{
		"display_name": "default",
	}})
}

func insertKey(ctx context.Context, e *engine.Engine, tx store.Tx, organization, owner, id, secret string) error {
	return e.Insert(ctx, tx, &engine.Object{
		Kind: iam.APIKey, Org: organization, ID: id,
		Once: map[string]string{"spec.secret": secret},
		Doc: engine.Doc{"spec": engine.Doc{
			"display_name": "bootstrap",
			"description":  "Made on this server's own machine",
			"owner":        engine.Doc{"id": owner},
		}},
	})
}

// NewKey makes another Cloud API key for an administrator of the organization,
// "" for the first one, or for the named user or service account in it, and
// returns its id, its secret and its owner. It is the way back in for who lost
// the key, and so bound to no quota.
func NewKey(ctx context.Context, e *engine.Engine, organization, owner string) (id, secret, ownedBy string, err error) {
	if organization == "" {
		if organization, err = FirstOrganization(ctx, e.Store); err != nil {
			return "", "", "", err
		}
	}
	if owner == "" {
		admins, err := iam.Administrators(ctx, e.Store, organization)
		if err != nil {
			return "", "", "", err
		}
		if len(admins) == 0 {
			return "", "", "", errors.New("nobody in the organization is an OrganizationAdmin who can act: name the owner with --owner")
		}
		owner = admins[0]
	}
	if acts, err := iam.CanAct(ctx, e.Store, organization, owner); err != nil {
		return "", "", "", err
	} else if !acts {
		return "", "", "", fmt.Errorf("the owner %q does not exist, or is a user who has not accepted the invitation yet", owner)
	}
	id, secret = iam.APIKey.ID.New(), authn.NewSecret()
	ctx = audit.As(ctx, audit.Operator)
	err = e.Store.Update(ctx, func(tx store.Tx) error {
		tx.Overdraw()
		return insertKey(ctx, e, tx, organization, owner, id, secret)
	})
	return id, secret, owner, err
}
