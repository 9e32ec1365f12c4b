// Package org holds the kinds of the API group org/v2: organizations and the
// environments in them.
package org

import (
	"regexp"

	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
)

// Organization is the wall around everything else. Organizations are not made
// through this API; a caller sees the one that its credentials belong to.
//
// Source: openapi org.v2 (name pattern, jit_enabled).
var Organization = &engine.Kind{
	Group: "org", Version: "v2", Name: "Organization",
	Description: "An organization holds everything else: environments, identities, keys and the rules about them. Nothing in one organization can be reached from another.",
	Path:        "/org/v2/organizations",
	Operations: map[engine.Verb]string{
		engine.List:   "listOrgV2Organizations",
		engine.Read:   "getOrgV2Organization",
		engine.Update: "updateOrgV2Organization",
	},
	Resource: "Organization",
	Under:    func(o *engine.Object) crn.CRN { return engine.OrganizationCRN(o.Org) },
	Fields: []engine.Field{
		NameField("display_name"),
		{
			Name: "jit_enabled", Type: engine.Boolean,
			Description: "Whether a first sign-in through single sign-on makes a user account by itself.",
		},
	},
}

// NameField is the field that holds an organization's name, which some
// documents call otherwise.
func NameField(name string) engine.Field {
	return engine.Field{
		Name: name, Required: true, Example: "Finance Org",
		Description: "The organization's name for people, 1 to 31 characters.",
		Pattern:     regexp.MustCompile("^[^<>#%'*^`{|}~\"]{1,31}$"),
		PatternHint: "have 1 to 31 characters, none of them one of < > # % ' * ^ ` { | } ~ \"",
	}
}
