package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/weirhq/weir/internal/clientcert/certtest"
	"github.com/weirhq/weir/internal/engine/enginetest"
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
		Query: func(c *enginetest.Client) url.Values {
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
			spec, ok := specs[k.Key()]
			if !ok {
				t.Errorf("add a Spec for %s to the table in kinds_test.go", k.Key())
				continue
			}
			t.Run(k.Name, func(t *testing.T) { enginetest.Run(t, w, k, spec) })
		}
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
