package terraform_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/weirhq/weir/e2e/oidc"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/weirtest"
)

// TestOAuth lets Terraform in without a key: it takes a token from a real
// identity provider and works for an identity pool, with what that may do.
func TestOAuth(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for store, databaseURL := range map[string]func(testing.TB) string{
		"SQLite":     func(testing.TB) string { return "" },
		"PostgreSQL": pgtest.URL,
	} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			w := weirtest.Start(t, weirtest.WithDatabaseURL(databaseURL(t)))
			create := func(path string, body map[string]any) string {
				t.Helper()
				a := w.Do(http.MethodPost, path, body)
				id, _ := a.Body["id"].(string)
				if a.Status != http.StatusCreated {
					t.Fatalf("POST %s: %d %s", path, a.Status, a.Raw)
				}
				return id
			}
			issuer := oidc.Start(t)
			provider := create("/iam/v2/identity-providers", map[string]any{"display_name": "login", "issuer": issuer.Issuer, "jwks_uri": issuer.KeysURL})
			pool := create("/iam/v2/identity-providers/"+provider+"/identity-pools", map[string]any{
				"display_name": "pipelines", "filter": `claims.sub == "` + oidc.ClientID + `"`,
			})
			binding := create("/iam/v2/role-bindings", map[string]any{
				"principal": "User:" + pool, "role_name": "AccountAdmin", "crn_pattern": "crn://confluent.cloud/organization=" + w.OrganizationID,
			})
			ws := newWorkspace(t, tools, w, "oauth")
			ws.keyless = true
			options := []string{
				"-var", "token_url=" + issuer.TokenURL, "-var", "client_id=" + oidc.ClientID, "-var", "client_secret=" + oidc.ClientSecret, "-var", "pool=" + pool,
			}
			ws.apply("1 added, 0 changed, 0 destroyed", options...)
			outputs, _ := ws.state()
			id, _ := outputs["made"].(string)
			if a := w.Do(http.MethodGet, "/iam/v2/service-accounts/"+id, nil); a.Status != http.StatusOK || a.Body["display_name"] != "made by a pool" {
				t.Errorf("the service account: %d %s", a.Status, a.Raw)
			}
			ws.settled(options...)
			renamed := append([]string{"-var", "name=renamed by a pool"}, options...)
			ws.apply("0 added, 1 changed, 0 destroyed", renamed...)
			ws.must(append([]string{"destroy", "-auto-approve", "-no-color"}, renamed...)...)

			// Without its role it gets in, and may do nothing.
			if a := w.Do(http.MethodDelete, "/iam/v2/role-bindings/"+binding, nil); a.Status != http.StatusOK {
				t.Fatalf("take the role away: %d %s", a.Status, a.Raw)
			}
			if code, _, stderr := ws.run(append([]string{"apply", "-auto-approve", "-no-color"}, options...)...); code == 0 || !strings.Contains(stderr, "403") {
				t.Errorf("without a role: exit code %d, %s", code, stderr)
			}
			// A token of somebody else does not pass the filter.
			if a := w.Do(http.MethodPatch, "/iam/v2/identity-providers/"+provider+"/identity-pools/"+pool, map[string]any{"filter": `claims.sub == "somebody"`}); a.Status != http.StatusOK {
				t.Fatalf("change the filter: %d %s", a.Status, a.Raw)
			}
			if code, _, stderr := ws.run(append([]string{"plan", "-no-color"}, options...)...); code == 0 || !strings.Contains(stderr, "400") {
				t.Errorf("with another filter: exit code %d, %s", code, stderr)
			}
		})
	}
}
