package oauth

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/token"
)

// What an exchange names its parts by (RFC 8693).
const (
	grantType   = "urn:ietf:params:oauth:grant-type:token-exchange"
	jwtType     = "urn:ietf:params:oauth:token-type:jwt"
	accessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// maxLife is the greatest life of an exchanged token in seconds, and the one
// that it has when the request does not say (openapi sts.v1).
const maxLife = 900

// stsClaims is what an exchanged token says beside what all of Weir's tokens do.
type stsClaims struct {
	// Identity is who the subject token was about.
	Identity authn.Identity `json:"identity"`
}

// exchange is the security token service: it takes a token of an identity
// provider and gives out one of Weir's own for an identity pool. The request
// carries no other credentials than the subject token.
func (s *Service) exchange() *engine.Call {
	answer := []engine.Field{
		{Name: "access_token", Required: true, Description: "The access token: a JSON Web Token, to be sent as 'Authorization: Bearer'."},
		{Name: "issued_token_type", Required: true, Enum: []string{accessToken}, Description: "What kind of token it is.", Example: accessToken},
		{Name: "token_type", Required: true, Enum: []string{"Bearer"}, Description: "How it is used.", Example: "Bearer"},
		{Name: "expires_in", Type: engine.Integer, Format: "int32", Required: true, Description: "How long it is good, in seconds from now.", Example: maxLife},
	}
	return &engine.Call{
		Operation:   "exchangeStsV1OauthToken",
		Description: "Exchanges a token that an identity provider issued for an access token that acts for an identity pool. The token must be a JSON Web Token that one of the provider's keys signed, good at this moment and with an end, and pass the pool's filter. Nothing else proves who asks.",
		Form:        true,
		Wrong:       api.InvalidExchange,
		Body: []engine.Field{
			{Name: "grant_type", Required: true, Enum: []string{grantType}, Description: "The kind of request.", Example: grantType},
			{Name: "subject_token", Required: true, MinLength: 1, MaxLength: issuer.MaxToken, Description: "The token of the identity provider."},
			{Name: "identity_pool_id", Required: true, MinLength: 1, MaxLength: maxPoolID, Description: "The ID of the identity pool to act for.", Example: "pool-AzXR"},
			{Name: "subject_token_type", Required: true, Enum: []string{jwtType}, Description: "What kind of token the subject token is.", Example: jwtType},
			{Name: "requested_token_type", Required: true, Enum: []string{accessToken}, Description: "What kind of token is asked for.", Example: accessToken},
			{Name: "expires_in", Type: engine.Integer, Format: "int32", Description: "How long the access token is to be good, in seconds: 1 to 900, and 900 when it is left out.", Example: maxLife},
		},
		Answer:   answer,
		Codes:    []*api.Code{api.InvalidExchange},
		Identify: s.identifyExchange,
		Do: func(ctx context.Context, c *engine.Calling) (*engine.Answer, error) {
			life, err := lifeOf(c.Body)
			if err != nil {
				return nil, err
			}
			raw, _, err := s.config.SigningKeys.Issue(ctx, token.STS,
				token.Claims{Issuer: s.config.PublicURL, Subject: c.Caller.Principal, Organization: c.Caller.Org},
				time.Duration(life)*time.Second, stsClaims{*c.Caller.Identity})
			if err != nil {
				return nil, err
			}
			if len(raw) > token.MaxLength {
				return nil, refuseExchange(refusedFor("what it says of the identity is too long for an access token"))
			}
			return &engine.Answer{Status: c.Success, Body: engine.Document(answer, engine.Doc{
				"access_token": raw, "issued_token_type": accessToken, "token_type": "Bearer", "expires_in": life,
			})}, nil
		},
	}
}

// identifyExchange finds for which pool an exchange is, and who asks.
func (s *Service) identifyExchange(ctx context.Context, c *engine.Calling) (*authn.Caller, error) {
	t, err := readExternal(c.Body.String("subject_token"))
	if err != nil {
		return nil, refuseExchange(err)
	}
	l, err := s.lookUp(ctx, c.Body.String("identity_pool_id"))
	if err != nil {
		return nil, refuseExchange(err)
	}
	p, claims, err := s.passes(ctx, l, t)
	if err != nil {
		s.config.Log.DebugContext(ctx, "an exchange is refused", "request_id", api.RequestID(ctx), "pool", l.id, "error", err)
		return nil, refuseExchange(err)
	}
	who, err := identity(p, l.claim, claims, l.id)
	if err != nil {
		return nil, refuseExchange(err)
	}
	who.Admission = l.admission
	subject, err := s.config.Directory.Subject(ctx, l.org, l.id)
	if err != nil {
		return nil, err
	}
	return &authn.Caller{Subject: subject, Scheme: operation.ExternalToken, Credential: nameOf(claims), Identity: who}, nil
}

// lifeOf is how long the token that is asked for is to live, in seconds.
func lifeOf(body engine.Doc) (int, error) {
	n, ok := body.Get("expires_in").(json.Number)
	if !ok {
		return maxLife, nil
	}
	life, err := strconv.Atoi(n.String())
	if err != nil || life < 1 || life > maxLife {
		return 0, &api.Error{Code: api.InvalidExchange, Problems: []api.Problem{{
			Message: "The field 'expires_in' must be a number of seconds from 1 to " + strconv.Itoa(maxLife), Pointer: "/expires_in",
		}}}
	}
	return life, nil
}

// refuseExchange is the answer to an exchange that fails.
func refuseExchange(err error) error {
	if !isRefusal(err) {
		return err
	}
	return &api.Error{Code: api.InvalidExchange, Problems: []api.Problem{{
		Message: "The subject token is refused: " + told(err).Error(), Pointer: "/subject_token",
	}}}
}

// nameOf is what the logs may name a token of an identity provider by.
func nameOf(claims map[string]any) string {
	id, _ := claims["jti"].(string)
	if len(id) > maxSubject {
		return ""
	}
	return id
}
