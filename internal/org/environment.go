package org

import (
	"context"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
)

// Environment is an isolated namespace in an organization. Deleting one takes
// everything in it along.
//
// Names need not be unique: no document of the real service says so, and its
// Terraform data source has an answer for two of the same name. The package of
// Stream Governance can go up and not down, as the provider's documents say of
// the clusters that it stands for; without one asked for it is ESSENTIALS (facts,
// clients B.6).
var Environment = &engine.Kind{
	Group: "org", Version: "v2", Name: "Environment",
	Description: "An environment is a namespace that keeps a group of resources, and the access to them, apart from others in the organization.",
	Path:        "/org/v2/environments",
	Operations: map[engine.Verb]string{
		engine.List:   "listOrgV2Environments",
		engine.Create: "createOrgV2Environment",
		engine.Read:   "getOrgV2Environment",
		engine.Update: "updateOrgV2Environment",
		engine.Delete: "deleteOrgV2Environment",
	},
	ID:       engine.IDShape{Prefix: "env-", Length: 6, Alphabet: random.LowerAlphanumeric},
	Segment:  "environment",
	Resource: "Environment",
	CreateOn: &engine.Permission{Operation: "CreateEnvironment", Resource: "Organization"},
	Quotas: []*engine.Quota{{
		Code: "iam.max_environments.per_org", Scope: engine.PerOrganization, DisplayName: "Environments Per Organization", Limit: 25,
	}},
	Fields: []engine.Field{
		{
			Name: "display_name", Required: true, MinLength: 1, MaxLength: 255, Example: "prod-finance01",
			Description: "The environment's name for people.",
		},
		{
			Name: governance, Type: engine.Structure, Default: engine.Doc{"package": essentials},
			Description: "Which features of Stream Governance the environment has; null is the same as ESSENTIALS.",
			Fields: []engine.Field{{
				Name: "package", Required: true, Enum: []string{essentials, advanced}, Example: essentials,
				Description: "The Stream Governance package. It can be raised from ESSENTIALS to ADVANCED, and not lowered.",
			}},
		},
	},
	Hooks: engine.Hooks{Validate: validateEnvironment, BeforeWrite: govern},
}

// governance is the field that names the package.
const governance = "stream_governance_config"

const (
	essentials = "ESSENTIALS"
	advanced   = "ADVANCED"
)

func validateEnvironment(w *engine.Write) []api.Problem {
	if w.Old == nil || packageOf(w.Old) != advanced || packageOf(w.New) == advanced {
		return nil
	}
	return []api.Problem{{
		Message: "The Stream Governance package cannot be lowered from ADVANCED or removed",
		Pointer: "/" + governance + "/package",
	}}
}

func packageOf(o *engine.Object) string { return o.Doc.String(governance + ".package") }

// govern keeps a package from being absent: what Terraform generates from an
// environment without one is no valid configuration. Environments that were made
// before there was a default have none until they are given one.
func govern(_ context.Context, w *engine.Write) error {
	if packageOf(w.New) == "" && (w.Old == nil || packageOf(w.Old) != "") {
		w.New.Doc.Set(governance, engine.Doc{"package": essentials})
	}
	return nil
}
