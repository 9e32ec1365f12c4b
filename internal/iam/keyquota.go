package iam

import (
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
)

// keyQuotas limit API keys. The vendor's codes tell Cloud keys from those of
// clusters and know of no Global ones: a Global key counts as a Cloud key, as
// it does all that one does, and every key of one resource as that of a
// cluster.
var keyQuotas = []*engine.Quota{
	{
		Code: "iam.max_cloud_api_keys.per_org", Scope: engine.PerOrganization,
		DisplayName: "Cloud API Keys Per Organization", Limit: 1000, Counts: managementKey,
	},
	{
		Code: "iam.max_cloud_api_keys.per_service_account", Scope: engine.PerServiceAccount,
		DisplayName: "Cloud API Keys Per Service Account", Limit: 100, Counts: managementKey, Subject: keyOwner(serviceAccountID),
	},
	{
		Code: "iam.max_cloud_api_keys.per_user", Scope: engine.PerUser,
		DisplayName: "Cloud API Keys Per User", Limit: 10, Counts: managementKey, Subject: keyOwner(userID),
	},
	{
		Code: "iam.max_cluster_api_keys.per_service_account", Scope: engine.PerServiceAccount,
		DisplayName: "Cluster API Keys Per Service Account", Limit: 100, Counts: resourceKey, Subject: keyOwner(serviceAccountID),
	},
	{
		Code: "iam.max_cluster_api_keys.per_user", Scope: engine.PerUser,
		DisplayName: "Cluster API Keys Per User", Limit: 10, Counts: resourceKey, Subject: keyOwner(userID),
	},
}

// managementKey reports whether the key reaches management operations.
func managementKey(o *engine.Object) bool { return !resourceKey(o) }

// resourceKey reports whether the key reaches one resource.
func resourceKey(o *engine.Object) bool {
	r := resourceOf(o.Doc.String("spec.resource.api_version"), o.Doc.String("spec.resource.kind"))
	return r != nil && r.scheme == authn.SchemeResourceKey
}

// keyOwner returns the key's owner if it is a principal of the kind, else "".
func keyOwner(p principal) func(o *engine.Object) string {
	return func(o *engine.Object) string {
		if id := o.Doc.String("spec.owner.id"); p.ID.Has(id) {
			return id
		}
		return ""
	}
}
