package oauth

import (
	"context"
	"errors"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/store"
)

// Calls are the operations of the Service that belong to no kind.
func (s *Service) Calls() []*engine.Call { return []*engine.Call{s.refreshKeys(), s.exchange()} }

// refreshKeys is the operation that has the keys of an identity provider
// fetched.
func (s *Service) refreshKeys() *engine.Call {
	spec := []engine.Field{{
		Name: "jwks_status", Required: true, Enum: []string{iam.JWKSRefreshed}, Description: "REFRESHED, to have the keys fetched.", Example: iam.JWKSRefreshed,
	}}
	answer := []engine.Field{
		{Name: "api_version", Required: true, Enum: []string{iam.IdentityProvider.APIVersion()}, Description: "The version of the API."},
		{Name: "kind", Required: true, Enum: []string{"Jwks"}, Description: "What this is."},
		{Name: "spec", Type: engine.Structure, Required: true, Description: "What was asked for.", Fields: spec},
		{Name: "status", Type: engine.Structure, Required: true, Description: "What came of it.", Fields: []engine.Field{
			{
				Name: "jwks_status", Required: true, Enum: []string{iam.JWKSRefreshed, iam.JWKSOK, iam.JWKSInvalidURI, iam.JWKSError},
				Description: "REFRESHED: the keys were fetched. OK: they were fetched just before. INVALID_JWKS_URI: the URI leads to no key set, or to where this server fetches none from. ERROR_FETCHING_JWKS: the keys could not be fetched, which may be over soon. When it fails, the keys from before go on.",
			},
			{Name: "jwks_last_refresh_at", Type: engine.Timestamp, Description: "When the keys were fetched the last time; absent when they never were."},
		}},
	}
	find := func(ctx context.Context, c *engine.Calling) (*engine.Object, error) {
		id := c.Params.Get("provider_id")
		o, err := c.Engine.Find(ctx, c.Caller, iam.IdentityProvider, id)
		if err == nil && o == nil {
			err = iam.IdentityProvider.Missing(id)
		}
		return o, err
	}
	return &engine.Call{
		Operation:   "refreshIamV2JsonWebKeySet",
		Description: "Fetches the public keys of an identity provider. The keys of one provider are fetched at most once in ten seconds.",
		Asks:        &engine.Permission{Operation: "Alter", Resource: iam.IdentityProvider.Resource},
		On: func(ctx context.Context, c *engine.Calling) (crn.Pattern, error) {
			o, err := find(ctx, c)
			if err != nil {
				return crn.Pattern{}, err
			}
			return crn.PatternOf(iam.IdentityProvider.CRN(o)), nil
		},
		Body:   []engine.Field{{Name: "spec", Type: engine.Structure, Required: true, Description: "What is asked for.", Fields: spec}},
		Answer: answer,
		Codes:  []*api.Code{api.IdentityProviderNotFound},
		Do: func(ctx context.Context, c *engine.Calling) (*engine.Answer, error) {
			status, last, err := s.refreshed(ctx, c.Params.Get("provider_id"))
			if err != nil {
				return nil, err
			}
			doc := engine.Doc{
				"api_version": iam.IdentityProvider.APIVersion(), "kind": "Jwks", "spec": c.Body["spec"],
				"status": engine.Doc{"jwks_status": status},
			}
			if !last.IsZero() {
				doc.Set("status.jwks_last_refresh_at", api.Timestamp(last))
			}
			return &engine.Answer{Status: c.Success, Body: engine.Document(answer, doc)}, nil
		},
	}
}

// refreshed refreshes the provider's keys, and returns what came of it and when
// that went well the last time.
func (s *Service) refreshed(ctx context.Context, id string) (status string, last time.Time, err error) {
	p, err := s.directory.providers.Get(ctx, id)
	if err != nil {
		return "", last, missing(err, id)
	}
	status, fetched, err := s.refresh(ctx, p)
	if err != nil {
		return "", last, err
	}
	if status == iam.JWKSRefreshed && !fetched {
		status = iam.JWKSOK
	}
	if p, err = s.directory.providers.Get(ctx, id); err != nil {
		return "", last, missing(err, id)
	}
	return status, p.record.Refreshed, nil
}

// missing is the answer for a provider that is gone meanwhile.
func missing(err error, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return iam.IdentityProvider.Missing(id)
	}
	return err
}
