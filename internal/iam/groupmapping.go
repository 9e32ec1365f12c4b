package iam

import (
	"github.com/weirhq/weir/internal/celfilter"
	"github.com/weirhq/weir/internal/engine"
)

// GroupMapping gives those who sign in through an identity provider the roles
// that are bound to it, if their groups pass its filter. Its deletion takes
// these bindings along.
//
// The api_version is "iam.v2/sso", unlike the path (openapi sso.v2). Names are
// not unique: the vendor's contract says nothing of it, and its Terraform
// provider looks a mapping up by name with an error for several of one name. A
// description may be empty, which is what that provider sends for none;
// every answer has one.
var GroupMapping = &engine.Kind{
	Group: "iam.v2", Version: "sso", Name: "GroupMapping",
	Description: "A group mapping gives roles to people by the groups that they are in at the identity provider, for as long as they are signed in through it.",
	Path:        "/iam/v2/sso/group-mappings",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2SsoGroupMappings",
		engine.Create: "createIamV2SsoGroupMapping",
		engine.Read:   "getIamV2SsoGroupMapping",
		engine.Update: "updateIamV2SsoGroupMapping",
		engine.Delete: "deleteIamV2SsoGroupMapping",
	},
	Noun:     "SSOGroupMapping",
	ID:       groupMappingID.ID,
	Segment:  groupMappingID.Segment,
	Resource: "GroupMapping",
	Quotas: []*engine.Quota{{
		Code: "iam.max_group_mappings.per_org", Scope: engine.PerOrganization, DisplayName: "Group Mappings Per Organization", Limit: 12,
		Exceeded: "Group mapping reached limit %d", // recorded (facts, semantics 5.5)
	}},
	Fields: []engine.Field{
		{
			Name: "display_name", Required: true, MinLength: 1,
			Description: "The group mapping's name for people.", Example: "Engineering",
		},
		{
			Name: "description", Always: true,
			Description: "What the group mapping is for.", Example: "Lets engineers manage the test environment",
		},
		{
			Name: "filter", Required: true, MinLength: 1, MaxLength: celfilter.MaxLength,
			Description: "Whom it is for: the name of one group, or a condition in a part of the Common Expression Language over groups, the list of the groups that somebody is in. The condition true is for everybody who signs in.",
			Example:     `"engineering" in groups || "operations" in groups`,
		},
		{
			Name: "principal", ReadOnly: true, Required: true,
			Description: "The group mapping's ID; a role binding names it as 'User:' and this.", Example: "group-w4vP",
		},
		{
			Name: "state", ReadOnly: true, Required: true, Enum: []string{stateEnabled},
			Description: "Always ENABLED.", Example: stateEnabled,
		},
	},
	Hooks: engine.Hooks{Validate: checkFilter(celfilter.Groups), BeforeWrite: settleFiltered},
}

const stateEnabled = "ENABLED"
