package partner

import (
	"context"

	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
)

// Entitlement is what a customer bought from a partner. Its external ID is the
// partner's own and unique among the partner's, so that a purchase which is sent
// twice counts once.
var Entitlement = &engine.Kind{
	Group: "partner", Version: "v2", Name: "Entitlement",
	Description: "An entitlement is what a customer bought from a partner.",
	Path:        "/partner/v2/entitlements",
	Operations: map[engine.Verb]string{
		engine.List:   "listPartnerV2Entitlements",
		engine.Create: "createPartnerV2Entitlement",
		engine.Read:   "getPartnerV2Entitlement",
	},
	ID:         engine.IDShape{Prefix: "ent-", Length: 8, Alphabet: random.LowerAlphanumeric},
	Segment:    "entitlement",
	Under:      func(o *engine.Object) crn.CRN { return root(o.Org) },
	Resource:   "Entitlement",
	Guards:     guards("Entitlement"),
	GuardedAs:  []string{"Entitlement"},
	UniqueName: externalID,
	NameTaken:  "Another entitlement has this external_id already",
	Fields: append(entitlementFields(), engine.Field{
		Name: "organization", Type: engine.Reference, Filter: engine.FilterOne, FilterAs: "organization.id",
		Description: "The organization that the entitlement belongs to: one that the partner signed up. It is named by its ID, or by its URL in related.",
		To:          &engine.ReferenceTo{Kinds: []string{organizationKey}, OnDelete: engine.Cascade, Typed: true},
	}),
	Links: belongs,
	Hooks: engine.Hooks{BeforeWrite: completeEntitlement},
}

const externalID = "external_id"

// entitlementFields are what a partner says of an entitlement, beside whose it
// is. The plans and products are the vendor's, who may add to them: any is taken.
func entitlementFields() []engine.Field {
	return []engine.Field{
		{
			Name: externalID, Required: true, MinLength: 1, MaxLength: 255, Example: "1b54a7c0-6a52-4d0f-a5e2-0a3b0ee4dc57",
			Description: "The partner's own ID of the purchase, unique among the partner's entitlements.",
		},
		{Name: "name", Required: true, MinLength: 1, MaxLength: 255, Example: "Orders in production", Description: "The entitlement's name for people."},
		{Name: "plan_id", Required: true, MinLength: 1, MaxLength: 255, Example: "confluent-cloud-payg-prod", Description: "The plan that was bought."},
		{Name: "product_id", Required: true, MinLength: 1, MaxLength: 255, Example: "confluent-cloud-kafka-service-azure", Description: "The product that was bought."},
		{Name: "usage_reporting_id", MinLength: 1, MaxLength: 255, Description: "What usage is reported under; the external ID where it is left out."},
		{Name: "resource_id", MaxLength: 255, Description: "The partner's own ID of the resource that the purchase stands for."},
	}
}

func completeEntitlement(ctx context.Context, w *engine.Write) error {
	if w.New.Doc.String("usage_reporting_id") == "" {
		w.New.Doc.Set("usage_reporting_id", w.New.Doc.String(externalID))
	}
	return pinPartner(ctx, w)
}
