package terraform_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/weirtest"
)

// scenarios are the configurations, by their folders.
var scenarios = map[string]scenario{
	"api_key": {
		made:   3,
		update: []string{"-var", "name=ci-2"}, updated: "0 added, 2 changed, 0 destroyed",
		first:  func(t *testing.T, w *weirtest.Server, o outputs) { checkKey(t, w, o, "ci") },
		second: func(t *testing.T, w *weirtest.Server, o outputs) { checkKey(t, w, o, "ci-2") },
	},
	"certificate_authority": {
		made:   2,
		update: []string{"-var", "name=services", "-var", "filename=services.pem"}, updated: "0 added, 2 changed, 0 destroyed",
		flagged: 2, // the chains, which are never read back
		first: func(t *testing.T, _ *weirtest.Server, o outputs) {
			checkAuthorities(t, o, "workloads", "workloads.pem")
		},
		second: func(t *testing.T, _ *weirtest.Server, o outputs) {
			checkAuthorities(t, o, "services", "services.pem")
		},
	},
	"certificate_pool": {
		made:   5,
		update: []string{"-var", `filter="a.example.com" in SAN`, "-var", "description=They sell"}, updated: "0 added, 1 changed, 0 destroyed",
		flagged: 1,
		first: func(t *testing.T, _ *weirtest.Server, o outputs) {
			checkCertificatePool(t, o, `O == "Example" && OU == "shop"`, "Services of the shop")
		},
		second: func(t *testing.T, _ *weirtest.Server, o outputs) {
			checkCertificatePool(t, o, `"a.example.com" in SAN`, "They sell")
		},
	},
	"environment": {
		made:   2,
		update: []string{"-var", "name=production", "-var", "package=ADVANCED"}, updated: "0 added, 2 changed, 0 destroyed",
		first: func(t *testing.T, w *weirtest.Server, o outputs) {
			checkEnvironments(t, w, o, "staging", "ESSENTIALS")
		},
		second: func(t *testing.T, w *weirtest.Server, o outputs) {
			checkEnvironments(t, w, o, "production", "ADVANCED")
		},
	},
	"group_mapping": {
		made:   2,
		update: []string{"-var", `filter="platform" in groups`, "-var", "description=Who runs it"}, updated: "0 added, 1 changed, 0 destroyed",
		first: func(_ *testing.T, _ *weirtest.Server, o outputs) {
			checkMapping(o, `"engineering" in groups`, "Who builds it")
		},
		second: func(_ *testing.T, _ *weirtest.Server, o outputs) {
			checkMapping(o, `"platform" in groups`, "Who runs it")
		},
	},
	"identity_pool": {
		made:   5,
		update: []string{"-var", `filter=claims.sub.startsWith("orders-")`, "-var", "description=They write orders"}, updated: "0 added, 1 changed, 0 destroyed",
		first: func(t *testing.T, _ *weirtest.Server, o outputs) {
			checkPool(t, o, `claims.aud == "weir" && "orders" in claims.groups`, "Services that write orders")
		},
		second: func(t *testing.T, _ *weirtest.Server, o outputs) {
			checkPool(t, o, `claims.sub.startsWith("orders-")`, "They write orders")
		},
	},
	"identity_provider": {
		made:   2,
		update: []string{"-var", "name=sign-on", "-var", "issuer=https://login.example.com/v2", "-var", "jwks_uri=https://127.0.0.1:1/v2/keys"}, updated: "0 added, 2 changed, 0 destroyed",
		first: func(t *testing.T, _ *weirtest.Server, o outputs) {
			checkProvider(t, o, "login", "https://login.example.com/realms/company/", "https://127.0.0.1:1/keys/")
		},
		second: func(t *testing.T, _ *weirtest.Server, o outputs) {
			checkProvider(t, o, "sign-on", "https://login.example.com/v2", "https://127.0.0.1:1/v2/keys")
		},
	},
	"invitation": {
		made:   1,
		update: []string{"-var", "email=doc@example.com"}, updated: "1 added, 0 changed, 1 destroyed",
		replaced: []string{"confluent_invitation.guest"},
		flagged:  1,
		first: func(t *testing.T, w *weirtest.Server, o outputs) {
			checkInvitation(t, w, o, "Marty.McFly@example.com")
		},
		second: func(t *testing.T, w *weirtest.Server, o outputs) {
			checkInvitation(t, w, o, "doc@example.com")
			a := w.Do(http.MethodGet, "/iam/v2/invitations?status=INVITE_STATUS_DEACTIVATED", nil)
			if data, _ := a.Body["data"].([]any); len(data) != 1 {
				t.Errorf("the first invitation is not deactivated: %s", a.Raw)
			}
		},
	},
	"ip_filter": {
		made:   6,
		update: []string{"-var", "name=Rules, renamed", "-var", `operations=["SCHEMA"]`, "-var", "resource_group=management"}, updated: "0 added, 3 changed, 0 destroyed",
		first: func(_ *testing.T, w *weirtest.Server, o outputs) {
			checkFilters(w, o, "Management API Rules", []any{"FLINK", "SCHEMA"}, "multiple")
		},
		second: func(_ *testing.T, w *weirtest.Server, o outputs) {
			checkFilters(w, o, "Rules, renamed", []any{"SCHEMA"}, "management")
		},
	},
	"ip_group": {
		made:   1,
		update: []string{"-var", "name=Office", "-var", `blocks=["203.0.113.9/32"]`}, updated: "0 added, 1 changed, 0 destroyed",
		first: func(_ *testing.T, _ *weirtest.Server, o outputs) {
			checkGroup(o, "Office [EU]", []any{"192.0.2.7/24", "198.51.100.0/28"})
		},
		second: func(_ *testing.T, _ *weirtest.Server, o outputs) { checkGroup(o, "Office", []any{"203.0.113.9/32"}) },
	},
	"many": {
		options: []string{"-parallelism=50"},
		made:    40,
		update:  []string{"-var", "description=One of very many"}, updated: "0 added, 40 changed, 0 destroyed",
		first:  func(_ *testing.T, _ *weirtest.Server, o outputs) { checkMany(o, "One of many") },
		second: func(_ *testing.T, _ *weirtest.Server, o outputs) { checkMany(o, "One of very many") },
	},
	"organization": {
		first: checkOrganization,
	},
	"provider_integration": {
		made:   4,
		update: []string{"-var", "role=arn:aws:iam::111122223333:role/orders-2"}, updated: "2 added, 0 changed, 2 destroyed",
		replaced: []string{"confluent_provider_integration.archive", "confluent_role_binding.assigner"},
		flagged:  1,
		first: func(_ *testing.T, _ *weirtest.Server, o outputs) {
			checkIntegration(o, "arn:aws:iam::111122223333:role/orders")
		},
		second: func(_ *testing.T, _ *weirtest.Server, o outputs) {
			checkIntegration(o, "arn:aws:iam::111122223333:role/orders-2")
		},
	},
	"provider_integration_setup": {
		made:   5,
		update: []string{"-var", "name=sales"}, updated: "4 added, 0 changed, 4 destroyed",
		replaced: []string{
			"confluent_provider_integration_setup.azure", "confluent_provider_integration_authorization.azure",
			"confluent_provider_integration_setup.google", "confluent_provider_integration_authorization.google",
		},
		first:  func(_ *testing.T, _ *weirtest.Server, o outputs) { checkSetups(o, "orders") },
		second: func(_ *testing.T, _ *weirtest.Server, o outputs) { checkSetups(o, "sales") },
	},
	"role_binding": {
		made:   5,
		update: []string{"-var", "role=DataDiscovery"}, updated: "1 added, 0 changed, 1 destroyed",
		replaced: []string{"confluent_role_binding.environment"},
		flagged:  1,
		first:    func(t *testing.T, w *weirtest.Server, o outputs) { checkBindings(t, w, o, "EnvironmentAdmin") },
		second:   func(t *testing.T, w *weirtest.Server, o outputs) { checkBindings(t, w, o, "DataDiscovery") },
	},
	"service_account": {
		made:   2,
		update: []string{"-var", "name=sales", "-var", "description=Reads orders"}, updated: "0 added, 2 changed, 0 destroyed",
		first: func(_ *testing.T, _ *weirtest.Server, o outputs) {
			checkAccounts(o, "orders", "Writes orders from the shop")
		},
		second: func(_ *testing.T, _ *weirtest.Server, o outputs) { checkAccounts(o, "sales", "Reads orders") },
	},
	"team": {
		made:   4,
		update: []string{"-var", "team=billing"}, updated: "0 added, 3 changed, 0 destroyed",
		first: checkTeam, second: checkTeam,
	},
}

func checkKey(t *testing.T, w *weirtest.Server, o outputs, name string) {
	t.Helper()
	o.want(map[string]any{
		"key.display_name": name, "key.description": "Lets the pipeline in as " + name,
		"key.owner.0.kind": "ServiceAccount", "key.owner.0.api_version": "iam/v2",
	})
	o.same("owner", "key.owner.0.id")
	if secret := o.text("key.secret"); len(secret) != 64 || !strings.HasPrefix(secret, "cflt") {
		t.Errorf("the secret has %d characters", len(secret))
	}
	if a := w.As(o.text("key.id"), o.text("key.secret")).Do(http.MethodGet, "/org/v2/environments", nil); a.Status != http.StatusOK {
		t.Errorf("the key gets %d %s", a.Status, a.Raw)
	}
	o.want(map[string]any{
		"tableflow.display_name": name, "tableflow.managed_resource.0.id": "tableflow",
		"tableflow.managed_resource.0.kind": "Tableflow", "tableflow.managed_resource.0.api_version": "tableflow/v1",
	})
}

func checkEnvironments(t *testing.T, w *weirtest.Server, o outputs, name, pkg string) {
	t.Helper()
	o.want(map[string]any{
		"governed.display_name": name, "governed.stream_governance.0.package": pkg,
		"governed.resource_name": "crn://confluent.cloud/organization=" + w.OrganizationID + "/environment=" + o.text("governed.id"),
		"plain.display_name":     name + " as it comes", "plain.stream_governance.0.package": "ESSENTIALS",
		"by_id.display_name": name, "by_id.stream_governance.0.package": pkg,
	})
	o.same("governed.id", "by_id.id")
	o.same("governed.resource_name", "by_id.resource_name")
	o.same("plain.id", "by_name.id")
	for _, id := range []string{w.EnvironmentID, o.text("governed.id"), o.text("plain.id")} {
		if !strings.Contains(fmt.Sprint(o.at("all")), id) {
			t.Errorf("%s is not in %v", id, o.at("all"))
		}
	}
	if all := o.at("all").([]any); len(all) != 3 {
		t.Errorf("the environments are %v", all)
	}
}

func checkGroup(o outputs, name string, blocks []any) {
	o.t.Helper()
	o.want(map[string]any{
		"office.group_name": name, "office.cidr_blocks": blocks,
		"by_id.group_name": name, "by_id.cidr_blocks": blocks, "none.id": "ipg-none",
	})
	o.same("office.id", "by_id.id")
}

func checkFilters(w *weirtest.Server, o outputs, name string, operations []any, group string) {
	o.t.Helper()
	organization := "crn://confluent.cloud/organization=" + w.OrganizationID
	o.want(map[string]any{
		"management.filter_name": name, "management.resource_group": "management", "management.resource_scope": organization,
		"management.operation_groups":  []any{},
		"environment.operation_groups": operations, "by_id.operation_groups": operations,
		"changing.resource_group": group, "changing.resource_scope": organization, "changing.operation_groups": []any{},
	})
	o.same("guarded", "environment.resource_scope", "by_id.resource_scope")
	o.same("environment.id", "by_id.id")
}

func checkMapping(o outputs, filter, description string) {
	o.t.Helper()
	o.want(map[string]any{
		"engineers.display_name": "engineers", "engineers.filter": filter, "engineers.description": description,
		"by_id.filter": filter, "by_name.description": description,
	})
	o.same("engineers.id", "by_id.id", "by_name.id")
}

func checkIntegration(o outputs, role string) {
	o.t.Helper()
	o.want(map[string]any{
		"archive.display_name": "orders-archive", "archive.aws.0.customer_role_arn": role, "archive.usages": []any{},
		"archive.aws.0.iam_role_arn": "arn:aws:iam::123456789012:role/" + o.text("archive.id"),
	})
	if len(o.text("archive.aws.0.external_id")) != 36 {
		o.t.Errorf("the external ID is %v", o.at("archive.aws.0.external_id"))
	}
	for _, field := range []string{"id", "aws.0.external_id", "aws.0.iam_role_arn", "aws.0.customer_role_arn", "environment.0.id"} {
		o.same("archive."+field, "by_id."+field, "by_name."+field)
	}
}

func checkSetups(o outputs, name string) {
	o.t.Helper()
	o.want(map[string]any{
		"azure.azure.0.customer_azure_tenant_id": "12345678-1234-1234-1234-123456789abc", "azure.azure.0.confluent_multi_tenant_app_id": "00000000-0000-0000-0000-000000000000",
		"google.gcp.0.customer_google_service_account": "orders@customer.iam.gserviceaccount.com",
		"google.gcp.0.google_service_account":          o.text("google.id") + "@weir-example.iam.gserviceaccount.com",
		"by_id.display_name":                           name + "-onelake", "by_id.cloud": "AZURE", "by_id.status": "CREATED",
		"by_name.display_name": name + "-bigquery", "by_name.cloud": "GCP", "by_name.status": "CREATED",
	})
	o.same("azure.id", "by_id.id")
	o.same("google.id", "by_name.id", "authorization.id")
	o.same("google.gcp.0.google_service_account", "authorization.gcp.0.google_service_account")
}

func checkPool(t *testing.T, o outputs, filter, description string) {
	t.Helper()
	o.want(map[string]any{
		"orders.display_name": "orders", "orders.filter": filter, "orders.description": description, "orders.identity_claim": "claims.sub",
		"by_id.filter": filter, "by_name.description": description,
	})
	o.same("orders.id", "by_id.id", "by_name.id")
}

func checkAuthorities(t *testing.T, o outputs, name, filename string) {
	t.Helper()
	o.want(map[string]any{
		"plain.display_name": name, "plain.filename": filename, "plain.crl_url": "", "by_id.display_name": name + "-strict",
		"by_id.crl_source": "LOCAL", "by_id.crl_url": "Local file uploaded", "by_id.require_crl_on_client_certificate": true,
	})
	o.same("strict.id", "by_id.id")
	o.same("strict.fingerprints.0", "by_id.fingerprints.0")
}

func checkCertificatePool(t *testing.T, o outputs, filter, description string) {
	t.Helper()
	o.want(map[string]any{
		"shop.display_name": "shop", "shop.filter": filter, "shop.description": description, "shop.external_identifier": "CN",
		"by_id.filter": filter, "by_name.description": description,
	})
	o.same("shop.id", "by_id.id", "by_name.id")
}

func checkProvider(t *testing.T, o outputs, name, issuer, keys string) {
	t.Helper()
	o.want(map[string]any{
		"login.display_name": name, "login.issuer": issuer, "login.jwks_uri": keys, "login.identity_claim": "claims.email",
		"by_id.issuer": issuer, "by_name.jwks_uri": keys,
	})
	o.same("login.id", "by_id.id", "by_name.id")
}

func checkInvitation(t *testing.T, w *weirtest.Server, o outputs, email string) {
	t.Helper()
	o.want(map[string]any{"guest.email": email, "guest.auth_type": "AUTH_TYPE_LOCAL", "by_id.email": email})
	for _, field := range []string{"id", "expires_at", "user.0.id", "creator.0.id"} {
		o.same("guest."+field, "by_id."+field)
	}
	if a := w.Do(http.MethodGet, "/iam/v2/users/"+o.text("guest.user.0.id"), nil); a.Status != http.StatusOK || a.Body["email"] != email {
		t.Errorf("the invited user: %d %s", a.Status, a.Raw)
	}
}

func checkMany(o outputs, description string) {
	o.t.Helper()
	o.want(map[string]any{"descriptions": []any{description}})
	var ids []string
	for _, id := range o.at("ids").([]any) {
		ids = append(ids, fmt.Sprint(id))
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 40 {
		o.t.Errorf("the service accounts are %v", ids)
	}
}

func checkOrganization(t *testing.T, w *weirtest.Server, o outputs) {
	t.Helper()
	o.want(map[string]any{
		"organization.id":            w.OrganizationID,
		"organization.resource_name": "crn://confluent.cloud/organization=" + w.OrganizationID,
		"by_id.email":                w.Email, "by_id.kind": "User", "by_id.api_version": "iam/v2",
	})
	o.same("by_id.id", "users.0", "by_email.id", "by_name.id")
	if users := o.at("users").([]any); len(users) != 1 {
		t.Errorf("the users are %v", users)
	}
}

func checkBindings(t *testing.T, w *weirtest.Server, o outputs, role string) {
	t.Helper()
	o.want(map[string]any{
		"environment.principal": "User:" + o.text("operator"), "environment.role_name": role,
		"service_account.principal": "User:" + o.text("operator"), "service_account.role_name": "ResourceOwner",
		"service_account.crn_pattern": "crn://confluent.cloud/organization=" + w.OrganizationID + "/service-account=" + o.text("app"),
	})
	for _, field := range []string{"id", "principal", "role_name", "crn_pattern"} {
		o.same("environment."+field, "by_id."+field)
	}
	a := w.Do(http.MethodGet, "/iam/v2/role-bindings?crn_pattern="+o.text("environment.crn_pattern"), nil)
	if data, _ := a.Body["data"].([]any); len(data) != 1 || data[0].(map[string]any)["role_name"] != role {
		t.Errorf("the environment has the bindings %s", a.Raw)
	}
}

func checkAccounts(o outputs, name, description string) {
	o.t.Helper()
	o.want(map[string]any{
		"described.display_name": name, "described.description": description,
		"described.kind": "ServiceAccount", "described.api_version": "iam/v2",
		"plain.display_name": "Plain-" + name + " of the shop", "plain.description": "",
		"by_id.display_name": name, "by_name.description": description,
	})
	o.same("described.id", "by_id.id", "by_name.id")
	o.same("plain.id", "by_words.id")
}

// checkTeam looks at what the team's key may do: administer its environment,
// and not see another.
func checkTeam(t *testing.T, w *weirtest.Server, o outputs) {
	t.Helper()
	c := w.As(o.text("key"), o.text("secret"))
	const path = "/org/v2/environments"
	a := c.Do(http.MethodGet, path, nil)
	if data, _ := a.Body["data"].([]any); len(data) != 1 || data[0].(map[string]any)["id"] != o.text("environment") {
		t.Errorf("the team sees %d %s", a.Status, a.Raw)
	}
	if a := c.Do(http.MethodGet, path+"/"+w.EnvironmentID, nil); a.Status != http.StatusNotFound {
		t.Errorf("the first environment: %d %s", a.Status, a.Raw)
	}
	if a := c.Do(http.MethodPost, path, map[string]any{"display_name": "more"}); a.Status != http.StatusForbidden {
		t.Errorf("another environment: %d %s", a.Status, a.Raw)
	}
	name := c.Do(http.MethodGet, path+"/"+o.text("environment"), nil).Body["display_name"]
	if a := c.Do(http.MethodPatch, path+"/"+o.text("environment"), map[string]any{"display_name": name}); a.Status != http.StatusOK {
		t.Errorf("its own environment: %d %s", a.Status, a.Raw)
	}
}
