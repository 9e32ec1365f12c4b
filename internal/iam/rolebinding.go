package iam

import (
	"context"
	"strings"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

const principalPrefix = "User:"

// RoleBinding gives a principal a role on a scope. It goes when the principal
// goes.
var RoleBinding = &engine.Kind{
	Group: "iam", Version: "v2", Name: "RoleBinding",
	Description: "A role binding gives a principal a role on the resources that a pattern names.",
	Path:        "/iam/v2/role-bindings",
	ID:          engine.IDShape{Prefix: "rb-", Length: 6, Alphabet: random.MixedAlphanumeric},
	Segment:     "role-binding",
	Resource:    "RoleBinding",
	Fields: []engine.Field{
		{
			Name: "principal", Required: true, Immutable: true, MinLength: 1, MaxLength: 300, Filter: engine.FilterOne,
			Description: "Who holds the role: 'User:' and the ID of a user, service account, identity pool or group mapping.",
			Example:     "User:sa-12mgdv",
		},
		{
			Name: "role_name", Required: true, Immutable: true, MinLength: 1, MaxLength: 100, Filter: engine.FilterOne,
			Description: "The role.", Example: "EnvironmentAdmin",
		},
		{
			Name: "crn_pattern", Required: true, Immutable: true, MinLength: 1,
			Description: "The resource that the role is bound to, by its CRN; a final asterisk stands for any ending.",
			Example:     "crn://confluent.cloud/organization=9bb441c4-edef-46ac-8a41-c49e44a3fd9a/environment=env-456xy",
		},
	},
	Links: bindingLinks,
}

func bindingLinks(o *engine.Object) []engine.Link {
	id := strings.TrimPrefix(o.Doc.String("principal"), principalPrefix)
	p, ok := principalOf(id)
	if !ok {
		return nil
	}
	return []engine.Link{{Field: "principal.id", To: store.Key{Kind: p.Key, ID: id}, OnDelete: engine.Cascade}}
}

// Bind gives a principal that exists a role on the resource with the name.
func Bind(ctx context.Context, e *engine.Engine, tx store.Tx, org, principal, role, resourceName string) error {
	return e.Insert(ctx, tx, &engine.Object{Kind: RoleBinding, Org: org, Doc: engine.Doc{
		"principal":   principalPrefix + principal,
		"role_name":   role,
		"crn_pattern": resourceName,
	}})
}
