package iam

import (
	"regexp"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/celfilter"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
)

// IdentityPool is a principal for the identities of a provider whose tokens pass
// its filter. Its deletion takes its role bindings along.
//
// Sources: openapi identity-provider.v2; the nested resource name and the flat
// message of a missing one from recorded answers (facts, semantics 5.2). Names
// are not unique: the contract says nothing of it, and the Terraform provider
// has an answer for two of one name.
var IdentityPool = &engine.Kind{
	Group: "iam", Version: "v2", Name: "IdentityPool",
	Description: "An identity pool is a principal for identities of an identity provider: who holds a token of the provider that passes the pool's filter can act for the pool, with the roles that are bound to it.",
	Path:        "/iam/v2/identity-providers/{provider_id}/identity-pools",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2IdentityPools",
		engine.Create: "createIamV2IdentityPool",
		engine.Read:   "getIamV2IdentityPool",
		engine.Update: "updateIamV2IdentityPool",
		engine.Delete: "deleteIamV2IdentityPool",
	},
	ID:      identityPoolID.ID,
	Methods: map[engine.Verb]string{engine.List: "ListIdentityPool"},
	Segment: identityPoolID.Segment,
	Under: func(o *engine.Object) crn.CRN {
		return crn.Must(engine.OrganizationCRN(o.Org).Append(IdentityProvider.Segment, o.Parent))
	},
	Parent:   IdentityProvider,
	Resource: "IdentityPool",
	Missing: func(id string) *api.Error {
		return api.New(api.IdentityPoolNotFound, "The identity pool "+id+" or its provider either doesn't exist or is not active, or you may not know of it")
	},
	Parameters: map[engine.Verb][]engine.Parameter{engine.Create: {ownerParameter("identity pool")}},
	Fields: []engine.Field{
		{
			Name: "display_name", Required: true, MinLength: 1,
			Description: "The identity pool's name for people.", Example: "Order services",
		},
		{
			Name: "description", Always: true,
			Description: "What the identity pool is for.", Example: "The services that write orders",
		},
		{
			Name: "identity_claim", Required: true, Default: "claims.sub", MinLength: 1, MaxLength: 256,
			Pattern: regexp.MustCompile("^" + claimPattern + "$"), PatternHint: claimHint,
			Description: "The claim of a token that tells one identity of the pool from another. It appears in the audit log.", Example: "claims.sub",
		},
		{
			Name: "filter", Required: true, MinLength: 1, MaxLength: celfilter.MaxLength,
			Description: "Whose tokens the pool is for: a condition in a part of the Common Expression Language over claims, which is what a token says. The condition true is for every token of the provider.",
			Example:     `claims.aud == "weir" && "orders" in claims.groups`,
		},
		{
			Name: "principal", ReadOnly: true, Required: true,
			Description: "The identity pool's ID; a role binding names it as 'User:' and this.", Example: "pool-AzXR",
		},
		{
			Name: "state", ReadOnly: true, Required: true, Enum: []string{stateEnabled},
			Description: "Always ENABLED.", Example: stateEnabled,
		},
	},
	Hooks: engine.Hooks{Validate: checkFilter(celfilter.Claims), BeforeWrite: settleFiltered, AfterWrite: assignOwner},
}
