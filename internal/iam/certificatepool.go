package iam

import (
	"github.com/weirhq/weir/internal/celfilter"
	"github.com/weirhq/weir/internal/clientcert"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
)

// CertificateIdentityPool is the identity of all who show a certificate of its
// authority that passes its filter. Its deletion takes its role bindings along.
//
// It stands in names directly below the organization, as the vendor's document
// and recordings have it, unlike the pools of identity providers. An empty
// filter matches nobody (facts, semantics 5.6).
var CertificateIdentityPool = &engine.Kind{
	Group: "iam", Version: "v2", Name: "CertificateIdentityPool",
	Description: "A certificate identity pool gives roles to workloads that authenticate with a certificate, by what the certificate says of them.",
	Path:        "/iam/v2/certificate-authorities/{certificate_authority_id}/identity-pools",
	Parent:      CertificateAuthority,
	Under:       func(o *engine.Object) crn.CRN { return engine.OrganizationCRN(o.Org) },
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2CertificateIdentityPools",
		engine.Create: "createIamV2CertificateIdentityPool",
		engine.Read:   "getIamV2CertificateIdentityPool",
		engine.Update: "updateIamV2CertificateIdentityPool",
		engine.Delete: "deleteIamV2CertificateIdentityPool",
	},
	ID:       certificatePoolID.ID,
	Segment:  certificatePoolID.Segment,
	Resource: "IdentityPool",
	Quotas: []*engine.Quota{{
		Code: "iam.max_identity_pools.per_certificate_authority", Scope: engine.PerCertificateAuthority, DisplayName: "Identity Pools Per Certificate Authority", Limit: 100,
		Subject: func(o *engine.Object) string { return o.Parent },
	}},
	Parameters: map[engine.Verb][]engine.Parameter{engine.Create: {ownerParameter("pool")}},
	Fields: []engine.Field{
		{
			Name: "display_name", Required: true, MinLength: 1,
			Description: "The pool's name for people.", Example: "Order services",
		},
		{
			Name: "description", Always: true,
			Description: "What the pool is for.", Example: "Services of the shop",
		},
		{
			Name: "external_identifier", Required: true, Enum: clientcert.Attributes,
			Description: "The attribute of the certificate that names its bearer in the audit log.", Example: "CN",
		},
		{
			Name: "filter", Always: true, MaxLength: celfilter.MaxLength,
			Description: "Whose certificates belong to the pool: a condition in a part of the Common Expression Language over the attributes of the subject (C, CN, DC, E, L, O, OU, S, ST, STREET, UID) and SAN, the list of its alternative names. An empty filter is for nobody.",
			Example:     `O == "Example" && OU == "shop"`,
		},
		{
			Name: "principal", ReadOnly: true, Required: true,
			Description: "The pool's ID; a role binding names it as 'User:' and this.", Example: "pool-w4vP8xQ2",
		},
		{
			Name: "state", ReadOnly: true, Required: true, Enum: []string{stateEnabled},
			Description: "Always ENABLED.", Example: stateEnabled,
		},
	},
	Hooks: engine.Hooks{Validate: checkFilter(celfilter.Subjects), BeforeWrite: settleFiltered, AfterWrite: assignOwner},
}
