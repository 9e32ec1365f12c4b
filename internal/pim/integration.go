// Package pim holds the kind of the API group pim: provider integrations, in
// the two versions that the API serves them at.
package pim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

// Statuses of an integration: nobody has said yet who the customer is, somebody
// has, something uses it.
const (
	draft   = "DRAFT"
	created = "CREATED"
	active  = "ACTIVE"
)

// Integration is a provider integration as pim/v2 has it, and as all are
// stored: what lets Weir's resources act in a customer's cloud account. It names
// Weir's side, which the customer trusts, and the customer's.
//
// Sources: openapi provider-integration.v2, and recorded answers for the values
// in a draft, the names of clouds and the missing one (facts, semantics 10).
var Integration = &engine.Kind{
	Group: "pim", Version: "v2", Name: "Integration",
	Description: "A provider integration lets resources of this server act in a cloud account of the customer's: it names the identity that they act as, and the customer's identity that lets them in.",
	Path:        "/pim/v2/integrations",
	Operations: map[engine.Verb]string{
		engine.List:   "listPimV2Integrations",
		engine.Create: "createPimV2Integration",
		engine.Read:   "getPimV2Integration",
		engine.Update: "updatePimV2Integration",
		engine.Delete: "deletePimV2Integration",
	},
	ID:       integrationID,
	Segment:  segment,
	Resource: resource,
	Parent:   org.Environment,
	// The API's documents name the limit and no code for it.
	Quotas: []*engine.Quota{{
		Code: "pim.max_integrations.per_org", Scope: engine.PerOrganization, DisplayName: "Provider Integrations Per Organization", Limit: 100,
	}},
	ParentField:     "environment",
	ParentParameter: "environment",
	UniqueKey:       customerIdentity,
	NameTaken:       "Another provider integration of this environment has this customer IAM role",
	Usages:          "usages",
	Missing:         missing,
	Fields: []engine.Field{
		displayName(engine.Field{FilterBy: partOfName, Filter: engine.FilterOne}),
		provider(gcp),
		{
			Name: "config", Type: engine.Structure,
			Description: "Who acts, and whom the customer lets act. What the customer says can be set while the status is DRAFT, once.",
			Fields: []engine.Field{
				kindField(), roleField(), externalIDField(), customerRoleField(),
				{
					Name: "google_service_account", ReadOnly: true, Example: "cspi-def456@weir-example.iam.gserviceaccount.com",
					Description: "Google Cloud: the service account that this server acts as.",
				},
				{
					Name: "customer_google_service_account", MaxLength: 255, Example: "orders@customer.iam.gserviceaccount.com",
					Pattern: mustLook(gcp), PatternHint: "be the address of a service account, such as orders@customer.iam.gserviceaccount.com",
					Description: "Google Cloud: the customer's service account that is acted as in the end.",
				},
				{
					Name: "confluent_multi_tenant_app_id", ReadOnly: true, Example: "9bb441c4-edef-46ac-8a41-c49e44a3fd9a",
					Description: "Azure: the client ID of the application that this server acts as.",
				},
				{
					Name: "customer_azure_tenant_id", MaxLength: 36, Example: "12345678-1234-1234-1234-123456789abc",
					Pattern: mustLook(azure), PatternHint: "be the UUID of a tenant",
					Description: "Azure: the customer's tenant, in which the application has a service principal.",
				},
			},
		},
		usagesField(),
		{
			Name: "status", ReadOnly: true, Required: true, Enum: []string{draft, created, active}, Filter: engine.FilterOne, Example: created,
			Description: "DRAFT until the customer's side is known, then CREATED, and ACTIVE while something uses the integration.",
		},
		environmentField(true),
	},
	Codes: map[engine.Verb][]*api.Code{
		engine.Update:   {api.BadRequest},
		engine.Checking: {api.BadRequest},
	},
	Checks: []engine.Check{{
		Operation: "validatePimV2Integration",
		Asks:      "Describe",
		Fields: []engine.Field{{
			Name: "config", Type: engine.Structure,
			Description: "What the customer's side would be. It is needed while the status is DRAFT.",
			Fields: []engine.Field{
				{Name: "kind", Required: true, MaxLength: 255, Description: "Which cloud's config this is.", Example: "AwsIntegrationConfig"},
				{Name: "customer_iam_role_arn", MaxLength: 2048, Description: "AWS: the customer's IAM role."},
				{Name: "customer_google_service_account", MaxLength: 255, Description: "Google Cloud: the customer's service account."},
				{Name: "customer_azure_tenant_id", MaxLength: 255, Description: "Azure: the customer's tenant."},
			},
		}},
		Run: check,
	}},
	Hooks: engine.Hooks{Validate: validate, BeforeWrite: settle, Used: func(o *engine.Object) { o.Doc.Set("status", status(o)) }},
}

// IntegrationV1 is a provider integration as pim/v1 has it. That version makes
// integrations with AWS alone, shows those of all clouds, and changes none.
//
// Sources: openapi provider-integration.v1; recorded answers for Weir's side and
// the missing one (facts, semantics 10).
var IntegrationV1 = &engine.Kind{
	Group: "pim", Version: "v1", Name: "Integration",
	Of:          Integration,
	Description: "A provider integration lets resources of this server act in a cloud account of the customer's. This version makes integrations with AWS; it lists those with other clouds too, without what only pim/v2 knows of them.",
	Path:        "/pim/v1/integrations",
	Operations: map[engine.Verb]string{
		engine.List:   "listPimV1Integrations",
		engine.Create: "createPimV1Integration",
		engine.Read:   "getPimV1Integration",
		engine.Delete: "deletePimV1Integration",
	},
	ID:              integrationID,
	Segment:         segment,
	Resource:        resource,
	Parent:          org.Environment,
	ParentField:     "environment",
	ParentParameter: "environment",
	Missing:         missing,
	Fields: []engine.Field{
		displayName(engine.Field{}),
		provider(aws),
		{
			Name: "config", Type: engine.Structure, Required: true, Immutable: true,
			Description: "Who acts, and whom the customer lets act.",
			Fields:      []engine.Field{kindField(), roleField(), externalIDField(), customerRoleField()},
		},
		usagesField(),
		environmentField(false),
	},
}

const (
	segment  = "provider-integration"
	resource = "ProviderIntegration"
)

// Recorded: cspi-42o61.
var integrationID = engine.IDShape{Prefix: "cspi-", Length: 5, Alphabet: random.LowerAlphanumeric}

func missing(id string) *api.Error {
	return api.New(api.ProviderIntegrationNotFound, "Provider Integration "+id+" not found")
}

func displayName(more engine.Field) engine.Field {
	more.Name, more.Required, more.Immutable = "display_name", true, true
	more.MinLength, more.MaxLength = 1, 60
	more.Example = "orders-archive"
	more.Description = "The integration's name for people, at most 60 characters; it need not be unique. As a filter it selects the names that have this text in them."
	return more
}

// partOfName selects by a part of the name.
func partOfName(value string, _ url.Values) (store.Condition, error) {
	return store.Condition{Field: "display_name", Contains: value}, nil
}

// provider is taken in capitals, as the documents write it, and in small
// letters, as clients send it and as answers were recorded; and kept as sent.
func provider(fallback string) engine.Field {
	f := engine.Field{
		Name: "provider", Immutable: true, Default: fallback, Example: fallback, Filter: engine.FilterOne,
		Description: "The cloud, in capitals or small letters; as a filter it selects either.",
		FilterBy: func(value string, _ url.Values) (store.Condition, error) {
			return store.Condition{Field: "provider", Values: []string{strings.ToUpper(value), strings.ToLower(value)}}, nil
		},
	}
	for _, c := range clouds {
		f.Enum = append(f.Enum, c.name, strings.ToLower(c.name))
	}
	return f
}

func kindField() engine.Field {
	f := engine.Field{Name: "kind", Required: true, Immutable: true, Example: "AwsIntegrationConfig", Description: "Which cloud's config this is."}
	for _, c := range clouds {
		f.Enum = append(f.Enum, c.kind)
	}
	return f
}

func roleField() engine.Field {
	return engine.Field{
		Name: "iam_role_arn", ReadOnly: true, Example: "arn:aws:iam::123456789012:role/cspi-42o61",
		Description: "AWS: the IAM role that this server acts as, to name in the trust policy of the customer's.",
	}
}

func externalIDField() engine.Field {
	return engine.Field{
		Name: "external_id", ReadOnly: true, Format: "uuid",
		Description: "AWS: the external ID that the customer's trust policy must ask for.",
	}
}

func customerRoleField() engine.Field {
	return engine.Field{
		Name: "customer_iam_role_arn", MinLength: 20, MaxLength: 2048, Example: "arn:aws:iam::111122223333:role/orders-archive",
		Pattern: mustLook(aws), PatternHint: "be the ARN of an IAM role, such as arn:aws:iam::111122223333:role/orders-archive",
		Description: "AWS: the customer's IAM role that is acted as in the end. No two integrations of an environment have the same.",
	}
}

func usagesField() engine.Field {
	return engine.Field{
		Name: "usages", Type: engine.Array, ReadOnly: true,
		Description: "The resource names of what uses the integration. While there are any, it cannot be deleted.",
		Items:       &engine.Field{Name: "usage", Format: "uri", Pattern: regexp.MustCompile("^crn://.+$"), Description: "A resource name.", ReadOnly: true},
	}
}

func environmentField(typed bool) engine.Field {
	return engine.Field{
		Name: "environment", Type: engine.Reference, Required: true, Immutable: true,
		Filter: engine.FilterOne, FilterRequired: true,
		Description: "The environment that the integration is in.",
		To:          &engine.ReferenceTo{Kinds: []string{org.Environment.Key()}, OnDelete: engine.Cascade, Typed: typed},
	}
}

// customerIdentity keeps a role of the customer's from being in two
// integrations of one environment.
func customerIdentity(o *engine.Object) string {
	role := o.Doc.String(customerRole)
	if role == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(role)) // an ARN is longer than what the store indexes
	return hex.EncodeToString(sum[:])
}

// validate finds what does not belong to the cloud of the integration.
func validate(w *engine.Write) []api.Problem {
	doc := w.New.Doc
	c := cloudNamed(doc.String("provider"))
	if c == nil {
		return nil // wrong, which is reported already, or null
	}
	var problems []api.Problem
	if w.New.Kind.Version == "v1" && c.name != aws {
		problems = append(problems, api.Problem{Message: "The field 'provider' must be AWS in this version of the API; pim/v2 has the other clouds", Pointer: "/provider"})
	}
	config, _ := doc["config"].(engine.Doc)
	if config == nil {
		if w.Old != nil && w.Old.Doc["config"] != nil {
			problems = append(problems, api.Problem{Message: "The field 'config' cannot be cleared", Pointer: "/config"})
		}
		return problems
	}
	if kind := doc.String(configKind); kind != "" && kind != c.kind {
		problems = append(problems, api.Problem{Message: fmt.Sprintf("The field 'kind' must be %s, as the provider is %s", c.kind, c.name), Pointer: "/config/kind"})
	}
	for _, other := range clouds {
		if other.name != c.name && doc.String(other.customer) != "" {
			problems = append(problems, api.Problem{
				Message: fmt.Sprintf("The field '%s' is for %s, and the provider is %s", strings.TrimPrefix(other.customer, "config."), other.name, c.name),
				Pointer: "/" + strings.ReplaceAll(other.customer, ".", "/"),
			})
		}
	}
	return problems
}

// settle fills in Weir's side of a new integration, lets the customer's side be
// set once, and says where that leaves the integration.
func settle(_ context.Context, w *engine.Write) error {
	doc := w.New.Doc
	if doc.String("provider") == "" { // null was sent
		doc.Set("provider", fallback(w.New.Kind))
		if problems := validate(w); len(problems) > 0 {
			return api.Invalid(problems...)
		}
	}
	c := cloudNamed(doc.String("provider"))
	if w.Old == nil {
		doc.Set(configKind, c.kind)
		c.fill(w.New, w.Engine.Clouds.Identity.Filled())
		doc.Set("usages", []any{})
	} else if old := w.Old.Doc; status(w.Old) != draft && !reflect.DeepEqual(old["config"], doc["config"]) {
		return api.New(api.BadRequest, fmt.Sprintf("The provider integration %s is no %s any more, so that its config cannot be changed; make another one", w.Old.ID, draft))
	}
	doc.Set("status", status(w.New))
	return nil
}

// fallback is the cloud of an integration that names none.
func fallback(k *engine.Kind) string {
	if k.Version == "v1" {
		return aws
	}
	return gcp
}

func status(o *engine.Object) string {
	usages, _ := o.Doc["usages"].([]any)
	switch c := cloudNamed(o.Doc.String("provider")); {
	case c == nil || o.Doc.String(c.customer) == "":
		return draft
	case len(usages) > 0:
		return active
	default:
		return created
	}
}
