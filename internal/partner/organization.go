package partner

import (
	"context"
	"fmt"

	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
)

const organizationKey = "partner/v2.Organization"

// Organization is what a partner sees of an organization that it signed up, or
// that was linked to it; the ID is the organization's own. An organization
// belongs to one partner for all time.
//
// The name is the one that the partner knows the organization by. Its customer
// may rename it, which is none of the partner's business.
var Organization = &engine.Kind{
	Group: "partner", Version: "v2", Name: "Organization",
	Description: "An organization that the partner signed up for a customer, or that was linked to the partner.",
	Path:        "/partner/v2/organizations",
	Operations: map[engine.Verb]string{
		engine.List: "listPartnerV2Organizations",
		engine.Read: "getPartnerV2Organization",
	},
	Segment:   "organization",
	Under:     func(o *engine.Object) crn.CRN { return root(o.Org) },
	Resource:  "PartnerOrganization",
	Guards:    guards("PartnerOrganization"),
	GuardedAs: []string{"PartnerOrganization"},
	Fields: []engine.Field{
		{Name: "name", Description: "The name under which the organization was signed up or linked.", Example: "Finance Org"},
		ssoURLField,
		ssoConfigField,
	},
	Links: belongs,
	Hooks: engine.Hooks{BeforeWrite: pinPartner, BeforeDelete: mustHaveAdministrator},
}

var ssoURLField = engine.Field{
	Name: "sso_url", Type: engine.Address, ReadOnly: true,
	Description: "Where the organization's users sign in through single sign-on.",
}

var ssoConfigField = engine.Field{
	Name: "sso_config", Type: engine.Structure, Required: true,
	Description: "The identity provider that the organization's users sign in with.",
	Fields: []engine.Field{
		{Name: "kind", Required: true, Enum: []string{"AzureSSOConfig"}, Description: "Which provider: Microsoft Entra ID."},
		{Name: "tenant_id", Required: true, MinLength: 1, MaxLength: 255, Example: "8f3f1c8f-5b5a-4f3e-8a0e-0c5c3b0f7a11", Description: "The ID of the customer's tenant there."},
	},
}

// newOrganization is what the partner is to see of the organization.
func newOrganization(partner, id, name string, ssoConfig engine.Doc) *engine.Object {
	return &engine.Object{Kind: Organization, Org: partner, ID: id, Doc: engine.Doc{
		"name": name, "sso_url": iam.SSOPath + id, "sso_config": ssoConfig,
	}}
}

// mustHaveAdministrator refuses to forget an organization that nobody can
// manage: only its partner can give it an administrator.
func mustHaveAdministrator(ctx context.Context, w *engine.Write) error {
	admins, err := iam.Administrators(ctx, w.Tx, w.Old.ID)
	if err != nil {
		return err
	}
	if len(admins) == 0 {
		return fmt.Errorf("the partner's organization %s (%s) has no administrator yet, and none but its partner can give it one: wait until the invited person has signed up, or invite one with POST /partner/v2/signup/activate; 'weir partners rotate' keeps the partner out meanwhile",
			w.Old.ID, w.Old.Doc.String("name"))
	}
	return nil
}
