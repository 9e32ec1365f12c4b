package sso

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
)

// Bounds of what is kept of somebody's groups. Who is in more is refused: with a
// part of the list, filters would say what is not so.
const (
	maxGroups     = 1000
	maxGroupBytes = 64 << 10
)

// algorithms are those that ID tokens may be signed with: none that takes a shared
// secret, and not none.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// refusedError is about what a provider says, in words for its users. What it
// wraps is for the log.
type refusedError struct {
	message string
	cause   error
}

func (e *refusedError) Error() string {
	if e.cause == nil {
		return e.message
	}
	return e.message + ": " + e.cause.Error()
}

func (e *refusedError) Unwrap() error { return e.cause }

func refused(message string, cause error) error { return &refusedError{message, cause} }

// unreachableError is about a provider that does not answer as it should.
type unreachableError struct{ cause error }

func (e *unreachableError) Error() string {
	return "the provider does not answer as it should: " + e.cause.Error()
}

func (e *unreachableError) Unwrap() error { return e.cause }

// config is the client of a connection at its provider.
type config struct {
	*oauth2.Config
	provider *oidc.Provider
	// connection is the connection's row, groupsClaim is as in it.
	connection  *engine.Object
	groupsClaim string
}

// open finds out about the connection's provider. The context that it returns is
// for all that is asked of that.
func (s *Service) open(ctx context.Context, connection *engine.Object) (context.Context, *config, error) {
	ctx = oidc.ClientContext(ctx, s.client)
	record, err := iam.DecodeSSORecord(connection.Private)
	if err != nil {
		return ctx, nil, err
	}
	name := connection.Doc.String("issuer")
	provider, ok := s.providers.Get(name)
	if !ok {
		if provider, err = oidc.NewProvider(ctx, name); err != nil {
			return ctx, nil, &unreachableError{withoutBody(err)}
		}
		if err := checkEndpoints(name, provider); err != nil {
			return ctx, nil, &unreachableError{err}
		}
		s.providers.Add(name, provider)
	}
	c := &config{
		Config: &oauth2.Config{
			ClientID: connection.Doc.String("client_id"), ClientSecret: record.ClientSecret,
			Endpoint: provider.Endpoint(), RedirectURL: RedirectURL(s.engine.PublicURL, connection.Org), Scopes: []string{oidc.ScopeOpenID},
		},
		provider: provider, connection: connection, groupsClaim: connection.Doc.String("groups_claim"),
	}
	if c.Endpoint.AuthStyle, err = authStyle(provider, record.ClientSecret); err != nil {
		return ctx, nil, &unreachableError{err}
	}
	scopes, _ := connection.Doc.Get("scopes").([]any)
	for _, scope := range scopes {
		if text, _ := scope.(string); text != oidc.ScopeOpenID {
			c.Scopes = append(c.Scopes, text)
		}
	}
	return ctx, c, nil
}

// withoutBody keeps what a provider answers out of the log, where it could be long.
func withoutBody(err error) error {
	const most = 300
	text := strings.ToValidUTF8(err.Error(), "")
	if len(text) <= most {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:most], "") + "…")
}

// checkEndpoints refuses a provider that sends users or secrets over plain HTTP,
// unless its own name begins so.
func checkEndpoints(name string, provider *oidc.Provider) error {
	plain := strings.HasPrefix(name, "http:")
	endpoint := provider.Endpoint()
	for what, text := range map[string]string{"authorization endpoint": endpoint.AuthURL, "token endpoint": endpoint.TokenURL} {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !plain) {
			return fmt.Errorf("its %s is not a URL of HTTPS", what)
		}
	}
	return nil
}

// authStyle is how the provider takes the client's secret.
func authStyle(provider *oidc.Provider, secret string) (oauth2.AuthStyle, error) {
	var offered struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := provider.Claims(&offered); err != nil {
		return 0, fmt.Errorf("its configuration cannot be read: %w", err)
	}
	basic := len(offered.Methods) == 0 || slices.Contains(offered.Methods, "client_secret_basic")
	if secret != "" && basic {
		return oauth2.AuthStyleInHeader, nil
	}
	return oauth2.AuthStyleInParams, nil
}

// identify trades the code for who the person is.
func (c *config) identify(ctx context.Context, s *Service, a attempt, code string) (person, error) {
	token, err := c.Exchange(ctx, code, oauth2.VerifierOption(a.verifier()))
	if err != nil {
		return person{}, exchangeError(err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return person{}, refused("The provider gave no ID token", nil)
	}
	id, err := c.provider.Verifier(&oidc.Config{ClientID: c.ClientID, SupportedSigningAlgs: algorithms, Now: s.engine.Now}).Verify(ctx, raw)
	if err != nil {
		return person{}, refused("The provider's ID token is not valid", withoutBody(err))
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.nonce())) != 1 {
		return person{}, refused("The provider's ID token is of another sign-in", nil)
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return person{}, refused("The provider's ID token cannot be read", err)
	}
	if azp, given := claims["azp"]; given && azp != c.ClientID || !given && len(id.Audience) > 1 {
		return person{}, refused("The provider's ID token is for another client", nil)
	}
	if claims["email"] == nil || claims[c.groupsClaim] == nil {
		if err := c.complete(ctx, token, id.Subject, claims); err != nil {
			return person{}, err
		}
	}
	return readPerson(claims, c.groupsClaim)
}

// exchangeError says why there is no token. What else the provider answered stays
// out of the log.
func exchangeError(err error) error {
	var answered *oauth2.RetrieveError
	if !errors.As(err, &answered) {
		return &unreachableError{withoutBody(err)}
	}
	status := 0
	if answered.Response != nil {
		status = answered.Response.StatusCode
	}
	return refused("The provider does not take the code that it gave out", fmt.Errorf("status %d, error %.64q", status, answered.ErrorCode))
}

// complete adds the claims that the provider tells at its UserInfo endpoint only,
// where it has one.
func (c *config) complete(ctx context.Context, token *oauth2.Token, subject string, claims map[string]any) error {
	if c.provider.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := c.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return &unreachableError{withoutBody(err)}
	}
	if info.Subject != subject {
		return refused("The provider tells of somebody else than who signed in", nil)
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return refused("What the provider tells of who signed in cannot be read", err)
	}
	if claims["email"] == nil {
		// Whether an address is verified belongs to the address.
		claims["email"], claims["email_verified"] = more["email"], more["email_verified"]
	}
	for _, name := range []string{"name", c.groupsClaim, overageClaim} {
		if claims[name] == nil {
			claims[name] = more[name]
		}
	}
	return nil
}

// overageClaim names the claims that are too long for a token and lie elsewhere.
const overageClaim = "_claim_names"

// readPerson reads the claims about a person.
func readPerson(claims map[string]any, groupsClaim string) (person, error) {
	var p person
	p.email, _ = claims["email"].(string)
	if problem := emailProblem(p.email); problem != "" {
		return p, refused(strings.ToUpper(problem[:1])+problem[1:], nil)
	}
	switch verified := claims["email_verified"].(type) {
	case nil:
	case bool:
		if !verified {
			return p, refused("The provider has not verified the e-mail address", nil)
		}
	default:
		if verified != "true" {
			return p, refused("The provider has not verified the e-mail address", nil)
		}
	}
	name, _ := claims["name"].(string)
	p.name = nameOf(name)
	var err error
	p.groups, err = readGroups(claims, groupsClaim)
	return p, err
}

// readGroups reads the list of groups: texts, or one text.
func readGroups(claims map[string]any, claim string) ([]string, error) {
	if elsewhere, _ := claims[overageClaim].(map[string]any); elsewhere[claim] != nil {
		return nil, refused("The provider keeps the list of groups elsewhere, since it is too long: have it tell only the groups that are assigned to Weir", nil)
	}
	list, isList := claims[claim].([]any)
	if one := claims[claim]; one != nil && !isList {
		list = []any{one}
	}
	if len(list) > maxGroups {
		return nil, refused(fmt.Sprintf("The provider tells more than %d groups: have it tell only those that are assigned to Weir", maxGroups), nil)
	}
	groups, length := make([]string, 0, len(list)), 0
	for _, entry := range list {
		group, ok := entry.(string)
		if !ok {
			return nil, refused("What the provider tells as groups is not a list of names", nil)
		}
		if length += len(group); length > maxGroupBytes {
			return nil, refused("The names of the groups that the provider tells are too long", nil)
		}
		groups = append(groups, group)
	}
	return groups, nil
}
