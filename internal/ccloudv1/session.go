package ccloudv1

import (
	"context"
	"net/http"
	"slices"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/signin"
	"github.com/weirhq/weir/internal/store"
)

// Realm says how a user signs in.
type Realm struct {
	// IsSSO sends the CLI to the browser, to the connection named Realm;
	// otherwise it asks for a password.
	IsSSO bool   `json:"is_sso"`
	Realm string `json:"realm"`
	// MFARequired asks for a second factor.
	MFARequired bool `json:"mfa_required"`
}

// PasswordRealm is the Realm of everybody, be there such a user or not: the CLI
// looks for single sign-on at the vendor's own host and nowhere else. Who signs in
// through it at Weir gets a code for the CLI that takes the place of a password.
func PasswordRealm(context.Context, string, string) (Realm, error) { return Realm{}, nil }

func (h *Handler) realm(ctx context.Context, q *request) (any, error) {
	query, err := api.ParseQuery(q.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	return h.Realm(ctx, query.Get("email"), query.Get("org_resource_id"))
}

// credentialsOf reads the body of requests about sessions. The SDK writes
// names in lowerCamelCase and reads both forms; so does Weir.
func credentialsOf(r *http.Request) (func(name, camel string) string, error) {
	body, err := api.ReadObject(r)
	return func(name, camel string) string {
		for _, n := range []string{camel, name} {
			if text, _ := body[n].(string); text != "" {
				return text
			}
		}
		return ""
	}, err
}

// session is the answer to who signed in.
type session struct {
	Token        string       `json:"token"`
	RefreshToken string       `json:"refresh_token"`
	User         user         `json:"user"`
	Organization organization `json:"organization"`
}

// signIn takes a password or a refresh token.
func (h *Handler) signIn(ctx context.Context, q *request) (any, error) {
	body, err := credentialsOf(q.Request)
	if err != nil {
		return nil, err
	}
	var g *signin.Grant
	organization := body("org_resource_id", "orgResourceId")
	switch refresh := body("refresh_token", "refreshToken"); {
	case refresh != "":
		g, err = h.SignIn.Renew(ctx, refresh, organization, h.admit(q))
	case body("id_token", "idToken") != "":
		return nil, api.New(api.Unauthenticated, "An identity token of another server opens nothing here; send an e-mail address and a password, or the code that the page of single sign-on shows").WithHeader("WWW-Authenticate", "Bearer")
	default:
		g, err = h.SignIn.Begin(ctx, signin.Attempt{
			Email: body("email", "email"), Password: body("password", "password"), Organization: organization, Address: h.Address(q.Request), Admit: h.admit(q),
		})
	}
	if err != nil {
		return nil, err
	}
	u, o, err := h.userAndOrganization(ctx, g.Organization, g.User)
	return session{g.Token, g.Refresh, u, o}, err
}

// admit holds who signs in to the IP filters of the organization.
func (h *Handler) admit(q *request) signin.Admit {
	return func(organization string) error {
		return h.Engine.CheckAddress(q.Request, organization, operation.Management)
	}
}

// signOut ends the session that a token is of.
func (h *Handler) signOut(ctx context.Context, q *request) (any, error) {
	body, err := credentialsOf(q.Request)
	if err != nil {
		return nil, err
	}
	token, refresh := body("id_token", "idToken"), body("refresh_token", "refreshToken")
	if token == "" && refresh == "" {
		return nil, api.New(api.MalformedRequest, "The body must have the token of the session in 'idToken'")
	}
	return struct{}{}, h.SignIn.End(ctx, token, refresh)
}

// self is everything about who asks.
type self struct {
	User         user         `json:"user"`
	Organization organization `json:"organization"`
	// Account is the first of Accounts, which are the environments that the
	// user may see from where the request comes. The CLI begins with it.
	Account  *account  `json:"account,omitempty"`
	Accounts []account `json:"accounts"`
}

func (h *Handler) me(ctx context.Context, q *request) (any, error) {
	u, o, err := h.userAndOrganization(ctx, q.caller.Org, q.caller.Principal)
	if err != nil {
		return nil, err
	}
	me := self{User: u, Organization: o, Accounts: []account{}}
	filters, err := h.Engine.Filters(ctx, q.caller.Org)
	if err != nil {
		return nil, err
	}
	keptFrom := filters.Denied(operation.Management, h.Engine.Client(q.Request))
	err = each(ctx, h.Engine, q.caller, org.Environment, func(row *store.Row) error {
		if slices.Contains(keptFrom, row.ID) {
			return nil
		}
		a, err := accountOf(row, o)
		me.Accounts = append(me.Accounts, a)
		return err
	})
	if err == nil && len(me.Accounts) > 0 {
		me.Account = &me.Accounts[0]
	}
	return me, err
}
