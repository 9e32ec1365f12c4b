// Package quota holds the kinds of the API group service-quota/v1: what limits
// hold, and how much of them is used. Both kinds are computed. What is limited
// is said where it is defined, in engine.Kind.Quotas; the engine enforces it.
package quota

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

// Scope is what quotas hold for: an organization, an environment, a user. The
// list of them is fixed.
var Scope = &engine.Kind{
	Group: "service-quota", Version: "v1", Name: "Scope",
	Description: "A scope is what a quota holds for. Lists of applied quotas are about one of them.",
	Path:        "/service-quota/v1/scopes",
	Operations: map[engine.Verb]string{
		engine.List: "listServiceQuotaV1Scopes",
		engine.Read: "getServiceQuotaV1Scope",
	},
	Segment:   "scope",
	Resource:  organizationResource,
	Guards:    onOrganization,
	GuardedAs: []string{organizationResource},
	PageSize:  pageSize,
	Source:    scopes,
	Fields: []engine.Field{{
		Name: "description", ReadOnly: true, Required: true,
		Description: "What the quotas of the scope hold for.", Example: "Quotas that hold for each environment",
	}},
}

// organizationResource is the resource type of organizations: who may see the
// organization may see what limits it has.
const organizationResource = "Organization"

func onOrganization(o *engine.Object) []engine.Guard {
	return []engine.Guard{{Resource: organizationResource, On: crn.PatternOf(engine.OrganizationCRN(o.Org))}}
}

// pageSize is the vendor's for this API, unlike others.
var pageSize = engine.PageSize{Default: 10, Max: 200}

var scopeDescriptions = map[engine.QuotaScope]string{
	engine.PerOrganization:         "Quotas that hold for the organization as a whole",
	engine.PerEnvironment:          "Quotas that hold for each environment",
	engine.PerNetwork:              "Quotas that hold for each network",
	engine.PerKafkaCluster:         "Quotas that hold for each Kafka cluster",
	engine.PerServiceAccount:       "Quotas that hold for each service account",
	engine.PerUser:                 "Quotas that hold for each user",
	engine.PerIdentityProvider:     "Quotas that hold for each identity provider",
	engine.PerCertificateAuthority: "Quotas that hold for each certificate authority",
}

func scopes(context.Context, *engine.Asked) ([]*engine.Object, error) {
	var out []*engine.Object
	for i, s := range engine.QuotaScopes() {
		out = append(out, &engine.Object{ID: string(s), Place: int64(i + 1), Doc: engine.Doc{"description": scopeDescriptions[s]}})
	}
	return out, nil
}

// parseScope reads a scope as clients write it: the CLI sends small letters.
func parseScope(text string) (engine.QuotaScope, error) {
	s := engine.QuotaScope(strings.ReplaceAll(strings.ToUpper(text), "-", "_"))
	if !slices.Contains(engine.QuotaScopes(), s) {
		return "", errors.New("must be one of " + strings.Join(scopeNames(), ", "))
	}
	return s, nil
}

func scopeNames() []string {
	var names []string
	for _, s := range engine.QuotaScopes() {
		names = append(names, string(s))
	}
	return names
}

func byScope(text string, _ url.Values) (store.Condition, error) {
	s, err := parseScope(text)
	return store.Condition{Field: "scope", Values: []string{string(s)}}, err
}
