package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weirhq/weir/internal/clientcert/certtest"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/partner"
	"github.com/weirhq/weir/internal/server"
)

// specs say of each kind what its definition cannot, by the kind's key.
var specs = map[string]enginetest.Spec{
	"iam.v2/sso.GroupMapping": {
		Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any {
			return map[string]any{
				"display_name": fmt.Sprintf("mapping %d", n), "description": fmt.Sprintf("the mapping %d", n),
				"filter": fmt.Sprintf(`"team-%d" in groups`, n),
			}
		},
		Only: map[string]string{"filter": "it must be a condition"},
	},
	"iam/v2.ApiKey": {
		Body: func(t *testing.T, c *enginetest.Client, n int) map[string]any {
			cloud := map[string]any{"id": "cloud"}
			return map[string]any{"spec": map[string]any{
				"display_name": fmt.Sprintf("key %d", n),
				"description":  fmt.Sprintf("the key %d", n),
				"owner":        map[string]any{"id": serviceAccount(t, c, n)},
				"resource":     cloud,
				"resources":    []any{cloud},
			}}
		},
		Uncounted: map[string]string{
			"iam.max_cloud_api_keys.per_user":              "the keys are a service account's",
			"iam.max_cluster_api_keys.per_service_account": "the keys are Cloud API keys",
			"iam.max_cluster_api_keys.per_user":            "the keys are Cloud API keys",
		},
	},
	"iam/v2.IdentityPool": {
		Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any {
			return map[string]any{
				"display_name": fmt.Sprintf("pool %d", n), "description": fmt.Sprintf("the pool %d", n),
				"identity_claim": fmt.Sprintf("claims.n%d", n), "filter": fmt.Sprintf(`claims.aud == "team-%d"`, n),
			}
		},
		Only:   map[string]string{"filter": "it must be a condition", "identity_claim": "it must name a claim"},
		Parent: identityProvider,
	},
	"iam/v2.IdentityProvider": {
		Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any {
			return map[string]any{
				"display_name": fmt.Sprintf("provider %d", n), "description": fmt.Sprintf("the provider %d", n),
				"identity_claim": fmt.Sprintf("claims.n%d", n), "issuer": fmt.Sprintf("https://issuer-%d.example.com/", n),
				// A port of this machine that nobody listens on.
				"jwks_uri": fmt.Sprintf("https://127.0.0.1:1/%d", n),
			}
		},
		Only: map[string]string{"issuer": "it must be a URL", "jwks_uri": "it must be a URL", "identity_claim": "it must name a claim"},
	},
	"iam/v2.CertificateAuthority": {
		Body: func(t *testing.T, _ *enginetest.Client, n int) map[string]any {
			return certificateAuthority(t, n)
		},
		Only: map[string]string{"certificate_chain": "it must be a chain", "crl_chain": "it must be a list", "crl_url": "it must be a URL"},
		Omit: map[string]string{"crl_chain": "crl_url is there"},
	},
	"iam/v2.CertificateIdentityPool": {
		Parent: func(t *testing.T, c *enginetest.Client) string {
			return create(t, c, "/iam/v2/certificate-authorities", certificateAuthority(t, 0))
		},
		Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any {
			return map[string]any{
				"display_name": fmt.Sprintf("pool %d", n), "description": fmt.Sprintf("the pool %d", n),
				"external_identifier": "CN", "filter": fmt.Sprintf(`O == "Example" && CN == "%d"`, n),
			}
		},
		Only: map[string]string{"filter": "it must be a condition"},
	},
	"iam/v2.Invitation": {
		Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any {
			return map[string]any{"email": email(n), "auth_type": "AUTH_TYPE_LOCAL"}
		},
		Only: map[string]string{"auth_type": "without a single sign-on connection there is one way to sign in"},
	},
	"iam/v2.IpFilter": {
		Body: func(t *testing.T, c *enginetest.Client, n int) map[string]any {
			env := create(t, c, "/org/v2/environments", map[string]any{"display_name": fmt.Sprintf("filtered %d", n)})
			return map[string]any{
				"filter_name": fmt.Sprintf("filter %d", n), "resource_group": "management",
				"resource_scope": "crn://confluent.cloud/organization=" + c.Organization + "/environment=" + env,
				"ip_groups":      []any{map[string]any{"id": create(t, c, "/iam/v2/ip-groups", ipGroup(n))}},
			}
		},
		Omit: map[string]string{"operation_groups": "they go with one resource group only"},
	},
	"iam/v2.IpGroup": {
		Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any { return ipGroup(n) },
		Only: map[string]string{"cidr_blocks": "they must be networks"},
	},
	"iam/v2.RoleBinding": {
		Body: func(t *testing.T, c *enginetest.Client, n int) map[string]any {
			roles := []string{"MetricsViewer", "OrganizationAdmin"}
			return map[string]any{
				"principal": "User:" + serviceAccount(t, c, n), "role_name": roles[n%2],
				"crn_pattern": "crn://confluent.cloud/organization=" + c.Organization,
			}
		},
		Only: map[string]string{
			"principal": "the principal must exist", "role_name": "the roles are a list of their own", "crn_pattern": "what is named must exist",
		},
		Query: func(_ *testing.T, c *enginetest.Client) url.Values {
			return url.Values{"crn_pattern": {"crn://confluent.cloud/organization=" + c.Organization + "/*"}}
		},
	},
	"iam/v2.ServiceAccount": {
		Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any {
			return map[string]any{"display_name": fmt.Sprintf("account %d", n), "description": fmt.Sprintf("the account %d", n)}
		},
	},
	"iam/v2.User": {
		Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any {
			return map[string]any{"email": email(n), "full_name": fmt.Sprintf("User No. %d", n)}
		},
		Make: func(t *testing.T, c *enginetest.Client, n int) string {
			return c.Do(t, http.MethodPost, "/iam/v2/invitations", map[string]any{"email": email(n)}).Want(t, http.StatusCreated).Text("user.id")
		},
	},
	"org/v2.Environment": {
		Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any {
			return map[string]any{
				"display_name":             fmt.Sprintf("environment %d", n),
				"stream_governance_config": map[string]any{"package": "ESSENTIALS"},
			}
		},
	},
	"org/v2.Organization": {
		Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any {
			return map[string]any{"display_name": fmt.Sprintf("Organization %d", n), "jit_enabled": true}
		},
		Make: func(_ *testing.T, c *enginetest.Client, _ int) string { return c.Organization },
	},
	"partner/v2.Entitlement": {
		Body: func(t *testing.T, c *enginetest.Client, n int) map[string]any {
			body := entitlement(n)
			body["usage_reporting_id"] = fmt.Sprintf("usage %d", n)
			body["resource_id"] = fmt.Sprintf("resource %d", n)
			body["organization"] = map[string]any{"id": signedUp(t, c)}
			return body
		},
	},
	"partner/v2.Organization": {
		Make: func(t *testing.T, c *enginetest.Client, _ int) string { return signedUp(t, c) },
	},
	"pim/v1.Integration": {
		Body: func(t *testing.T, c *enginetest.Client, n int) map[string]any {
			return map[string]any{
				"display_name": fmt.Sprintf("integration %d", n), "provider": []string{"AWS", "aws"}[n%2],
				"config":      map[string]any{"kind": "AwsIntegrationConfig", "customer_iam_role_arn": customerRole(n)},
				"environment": map[string]any{"id": sharedEnvironment(t, c)},
			}
		},
		Only: map[string]string{
			"provider": "this version makes integrations with AWS alone", "config.kind": "it follows from the provider",
		},
		Query: inSharedEnvironment,
	},
	"pim/v2.Integration": {
		Body: func(t *testing.T, c *enginetest.Client, n int) map[string]any {
			return map[string]any{
				"display_name": fmt.Sprintf("integration %d", n), "provider": []string{"gcp", "AZURE", "aws", "GCP", "azure", "AWS"}[n%6],
				"environment": map[string]any{"id": sharedEnvironment(t, c)},
			}
		},
		Omit: func() map[string]string {
			const reason = "it is set once, in a draft, and differs from cloud to cloud"
			return map[string]string{
				"config": reason, "config.kind": reason, "config.customer_iam_role_arn": reason,
				"config.customer_google_service_account": reason, "config.customer_azure_tenant_id": reason,
			}
		}(),
		Query: inSharedEnvironment,
	},
	"service-quota/v1.AppliedQuota": {
		Make:  func(*testing.T, *enginetest.Client, int) string { return "iam.max_environments.per_org" },
		Query: func(*testing.T, *enginetest.Client) url.Values { return url.Values{"scope": {"ORGANIZATION"}} },
		Omit: map[string]string{
			"environment": "of another scope", "network": "of another scope", "kafka_cluster": "of another scope",
			"identity_provider": "of another scope", "certificate_authority": "of another scope",
		},
	},
	"service-quota/v1.Scope": {
		Make: func(*testing.T, *enginetest.Client, int) string { return "ORGANIZATION" },
	},
}

// ipGroup is a body of an IP group that has this machine in it.
func ipGroup(n int) map[string]any {
	return map[string]any{"group_name": fmt.Sprintf("group %d", n), "cidr_blocks": []any{"127.0.0.0/8", fmt.Sprintf("10.%d.%d.0/24", n/256%256, n%256)}}
}

// ofPartners reports whether a kind's objects belong to partners, whose tokens
// have scopes, and not to organizations.
func ofPartners(k *engine.Kind) bool {
	for _, id := range k.Operations {
		op, _ := operation.ByID(id)
		return len(op.Scopes) > 0
	}
	return k == partner.Partner
}

// ofResource reports whether an operation takes keys for a resource alone, which
// open nothing else.
func ofResource(op operation.Operation) bool {
	return slices.Equal(op.Credentials, []string{operation.ResourceAPIKey})
}

// ofResources reports whether that is so of a kind's operations.
func ofResources(k *engine.Kind) bool {
	for _, id := range k.Operations {
		op, _ := operation.ByID(id)
		return ofResource(op)
	}
	return false
}

// ofOrganizations are the kinds of the table whose objects belong to
// organizations.
func ofOrganizations() []*engine.Kind { return slices.DeleteFunc(server.Kinds(), ofPartners) }
func customerRole(n int) string       { return fmt.Sprintf("arn:aws:iam::111122223333:role/customer-%d", n) }

// shared are the environments that objects of kinds in an environment are made
// in, by the organization: a list shows those of one.
var shared sync.Map

// sharedEnvironment returns the ID of the organization's environment for such
// objects, made by the first who asks.
func sharedEnvironment(t *testing.T, c *enginetest.Client) string {
	t.Helper()
	v, _ := shared.LoadOrStore(c.Organization, sync.OnceValue(func() string {
		return create(t, c, "/org/v2/environments", map[string]any{"display_name": fmt.Sprintf("shared by objects %d", made.Add(1))})
	}))
	return v.(func() string)()
}

func inSharedEnvironment(t *testing.T, c *enginetest.Client) url.Values {
	t.Helper()
	return url.Values{"environment": {sharedEnvironment(t, c)}}
}

func email(n int) string { return fmt.Sprintf("person-%d@example.com", n) }

// certificateAuthority is a body for a new authority, whose list of revoked
// certificates nobody serves.
func certificateAuthority(t *testing.T, n int) map[string]any {
	t.Helper()
	return map[string]any{
		"display_name": fmt.Sprintf("authority %d", n), "description": fmt.Sprintf("the authority %d", n),
		"certificate_chain": certtest.New(t, "root").PEM(), "certificate_chain_filename": fmt.Sprintf("authority-%d.pem", n),
		"crl_url": fmt.Sprintf("http://127.0.0.1:1/%d.crl", n), "require_crl_on_client_certificate": false,
	}
}

// serviceAccount makes a service account and returns its ID.
func serviceAccount(t *testing.T, c *enginetest.Client, n int) string {
	t.Helper()
	return create(t, c, "/iam/v2/service-accounts", map[string]any{"display_name": fmt.Sprintf("owner %d", n)})
}

var providers atomic.Int64

// identityProvider makes an identity provider and returns its ID.
func identityProvider(t *testing.T, c *enginetest.Client) string {
	t.Helper()
	n := providers.Add(1)
	return create(t, c, "/iam/v2/identity-providers", map[string]any{
		"display_name": "parent", "issuer": fmt.Sprintf("https://parent-%d.example.com", n), "jwks_uri": "https://127.0.0.1:1/",
	})
}

// TestKinds puts every kind of the table through the test of all kinds, so that
// a new one is tested on arrival.
func TestKinds(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		for _, k := range server.Kinds() {
			if len(k.Operations) == 0 {
				t.Logf("%s is internal: it has no operations", k.Key())
				continue
			}
			if ofResources(k) {
				continue // tryKey lists them, with the keys that they take
			}
			spec, ok := specs[k.Key()]
			if !ok {
				t.Errorf("add a Spec for %s to the table in kinds_test.go", k.Key())
				continue
			}
			t.Run(strings.ReplaceAll(k.Key(), "/", " "), func(t *testing.T) {
				if ofPartners(k) {
					enginetest.Run(t, partners(t, w), k, spec)
					return
				}
				enginetest.Run(t, w, k, spec)
			})
		}
		verify(t, w.Engine)
	})
}

// TestKindsAreSorted keeps the table easy to find things in.
func TestKindsAreSorted(t *testing.T) {
	t.Parallel()
	kinds := server.Kinds()
	for i := 1; i < len(kinds); i++ {
		if kinds[i-1].Key() >= kinds[i].Key() {
			t.Errorf("%s stands before %s", kinds[i-1].Key(), kinds[i].Key())
		}
	}
	for key := range specs {
		found := false
		for _, k := range kinds {
			found = found || k.Key() == key && len(k.Operations) > 0
		}
		if !found {
			t.Errorf("the Spec for %s is of no kind that is served", key)
		}
	}
}
