// Package sso signs the users of an organization in at the organization's own
// OpenID Connect provider: by the authorization code flow with PKCE, with accounts
// made on the first sign-in, and with the group mappings of the organization for as
// long as the session lives.
//
// The connection to the provider is an iam.SSOConnection, which the operator sets.
// What a browser comes by is a session as any other (package signin), shown once
// on a page. No cookie stands for it, so that no other site can use it.
package sso

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/hashicorp/golang-lru/v2/expirable"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/signin"
	"github.com/weirhq/weir/internal/store"
)

// Errors for who signs in.
var (
	// ErrNoConnection: there is no such organization, or it has no connection.
	ErrNoConnection = errors.New("the organization has no single sign-on")
	// ErrLocalUser: the user signs in with a password.
	ErrLocalUser = errors.New("the user signs in with a password")
	// ErrNoUser: there is no such user, and the organization makes none by itself.
	ErrNoUser = errors.New("the organization has no user with the address, and makes none on the first sign-in")
	// ErrInvitationOver: the user was invited, and did not come in time.
	ErrInvitationOver = errors.New("the user's invitation is over")
)

const (
	// providerLife is how long what a provider says of itself is believed, and its
	// keys without need.
	providerLife = 5 * time.Minute
	// rememberedProviders bounds how many are.
	rememberedProviders = 1000
)

// Service signs users in. It may be used from several goroutines.
type Service struct {
	engine    *engine.Engine
	signIn    *signin.Service
	client    *http.Client
	providers *expirable.LRU[string, *oidc.Provider]
}

// New returns the service for the engine's store, clock, keys and log. It reaches
// providers through the fetcher.
func New(e *engine.Engine, s *signin.Service, f *issuer.Fetcher) *Service {
	return &Service{e, s, f.Client(), expirable.NewLRU[string, *oidc.Provider](rememberedProviders, nil, providerLife)}
}

// Settings are what an operator says of a connection.
type Settings struct {
	// Name is for people; empty stands for the provider's host.
	Name string
	// Issuer is the provider's name, as in its tokens.
	Issuer string
	// ClientID and ClientSecret are Weir's at the provider; a provider may take
	// clients without a secret.
	ClientID, ClientSecret string
	// GroupsClaim names the claim that lists groups; empty stands for
	// DefaultGroupsClaim. Scopes are what is asked for beside openid; none stands
	// for DefaultScopes.
	GroupsClaim string
	Scopes      []string
}

// DefaultGroupsClaim is the claim that lists groups where nothing else is said.
const DefaultGroupsClaim = "groups"

// DefaultScopes are asked for where nothing else is said.
var DefaultScopes = []string{"profile", "email"}

// check completes the settings; its errors are for the operator.
func (s *Settings) check() error {
	u, err := url.Parse(s.Issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("the issuer %q is not a URL such as https://login.example.com", s.Issuer)
	}
	if s.ClientID == "" {
		return errors.New("the client ID is missing: it is what the provider knows this server by")
	}
	if s.Name == "" {
		s.Name = u.Hostname()
	}
	if s.GroupsClaim == "" {
		s.GroupsClaim = DefaultGroupsClaim
	}
	if len(s.Scopes) == 0 {
		s.Scopes = DefaultScopes
	}
	return nil
}

// Set gives the organization a connection, or changes the one that it has. With
// another issuer or client it is another connection: then the sessions that began
// through the one before end. The first time the organization gets a group mapping
// for everybody (iam.MapEverybody).
func Set(ctx context.Context, e *engine.Engine, organization string, s Settings) (*engine.Object, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	scopes := []any{}
	for _, scope := range s.Scopes {
		scopes = append(scopes, scope)
	}
	doc := engine.Doc{"display_name": s.Name, "issuer": s.Issuer, "client_id": s.ClientID, "groups_claim": s.GroupsClaim, "scopes": scopes}
	private := iam.SSORecord{ClientSecret: s.ClientSecret}.Encode()
	var set *engine.Object
	err := e.Store.Update(ctx, func(tx store.Tx) error {
		current, err := lockConnection(ctx, e, tx, organization)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case current.Doc.String("issuer") == s.Issuer && current.Doc.String("client_id") == s.ClientID:
			current.Doc, current.Private = doc.Clone(), private
			set = current
			return e.Save(ctx, tx, current)
		default:
			if err := e.Remove(ctx, tx, current); err != nil {
				return err
			}
		}
		set = &engine.Object{Kind: iam.SSOConnection, Org: organization, Doc: doc.Clone(), Private: private}
		if err := e.Insert(ctx, tx, set); err != nil {
			return err
		}
		if current != nil {
			return nil
		}
		return iam.MapEverybody(ctx, e, tx, organization)
	})
	return set, err
}

// Remove takes the organization's connection away, and with it the sessions that
// began through it. It answers ErrNoConnection where there is none.
func Remove(ctx context.Context, e *engine.Engine, organization string) error {
	return e.Store.Update(ctx, func(tx store.Tx) error {
		current, err := lockConnection(ctx, e, tx, organization)
		if errors.Is(err, store.ErrNotFound) {
			return ErrNoConnection
		}
		if err != nil {
			return err
		}
		return e.Remove(ctx, tx, current)
	})
}

func lockConnection(ctx context.Context, e *engine.Engine, tx store.Tx, organization string) (*engine.Object, error) {
	o, err := iam.SSOConnectionOf(ctx, tx, organization)
	if err != nil {
		return nil, err
	}
	return e.Lock(ctx, tx, organization, iam.SSOConnection, o.ID)
}

// RedirectURL is where the provider sends users back to. Each organization has one
// of its own, so that a code of one provider never gets to another (RFC 9700,
// section 4.4.2).
func RedirectURL(publicURL, organization string) string {
	return publicURL + iam.SSOPath + organization + callback
}

// callback ends the path of the redirect URL.
const callback = "/callback"

// person is who the provider vouches for.
type person struct {
	email, name string
	groups      []string
}

// maxEmail is the greatest length of an address, maxName that of a name.
const (
	maxEmail = 254
	maxName  = 255
)

// userOf returns the user that the person is, an account made for them if need be.
func (s *Service) userOf(ctx context.Context, connection *engine.Object, p person) (*engine.Object, error) {
	users, err := iam.UsersWith(ctx, s.engine.Store, connection.Org, p.email)
	if err != nil {
		return nil, err
	}
	if len(users) > 0 {
		return s.known(ctx, users[0])
	}
	user, err := s.create(ctx, connection, p)
	if refused := new(api.Error); errors.As(err, &refused) && refused.Code == api.AlreadyExists {
		user, err = s.create(ctx, connection, p) // the same person was quicker in another tab, and is found now
	}
	if err != nil {
		return nil, err
	}
	return s.known(ctx, user)
}

// known lets a user in, who thereby accepts the invitation.
func (s *Service) known(ctx context.Context, user *engine.Object) (*engine.Object, error) {
	if user.Doc.String("auth_type") != iam.AuthTypeSSO {
		return nil, ErrLocalUser
	}
	record, err := iam.DecodeUserRecord(user.Private)
	if err != nil || !record.Pending {
		return user, err
	}
	err = s.engine.Store.Update(ctx, func(tx store.Tx) error {
		return iam.AcceptInvitationOf(ctx, s.engine, tx, user)
	})
	var closed *iam.InvitationClosedError
	if errors.As(err, &closed) {
		return nil, ErrInvitationOver
	}
	return user, err
}

// create makes the account of a person who comes for the first time. It has no
// role. Who has one by now gets that.
func (s *Service) create(ctx context.Context, connection *engine.Object, p person) (*engine.Object, error) {
	var user *engine.Object
	err := s.engine.Store.Update(ctx, func(tx store.Tx) error {
		row, err := tx.Pin(ctx, connection.Org, store.Key{Kind: org.Organization.Key(), ID: connection.Org})
		if err != nil {
			return err
		}
		organization, err := org.Organization.Decode(row)
		if err != nil {
			return err
		}
		if enabled, _ := organization.Doc.Get("jit_enabled").(bool); !enabled {
			return ErrNoUser
		}
		users, err := iam.UsersWith(ctx, tx, connection.Org, p.email)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			user = users[0]
			return nil
		}
		user = &engine.Object{Kind: iam.User, Org: connection.Org, Private: iam.UserRecord{}.Encode(), Doc: engine.Doc{
			"email": p.email, "auth_type": iam.AuthTypeSSO,
		}}
		if p.name != "" {
			user.Doc.Set("full_name", p.name)
		}
		return s.engine.Insert(ctx, tx, user)
	})
	return user, err
}

// emailProblem says what is wrong with an address that a provider tells, or "".
func emailProblem(email string) string {
	if email == "" {
		return "the provider tells no e-mail address; it must be in the claim email"
	}
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email || len(email) > maxEmail || strings.ContainsAny(email, " \t\r\n") {
		return "what the provider tells as e-mail address is none"
	}
	return ""
}

// nameOf is what can be kept of a name that a provider tells.
func nameOf(name string) string {
	name = strings.Join(strings.Fields(strings.ToValidUTF8(name, "")), " ")
	if utf8.RuneCountInString(name) > maxName {
		return ""
	}
	return name
}
