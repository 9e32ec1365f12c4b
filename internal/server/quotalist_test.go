package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/clientcert/certtest"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/server"
)

// TestQuotaLists asks as the CLI and others do.
func TestQuotaLists(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		s := newScene(w)
		codes := func(scope engine.QuotaScope) (out []string) {
			for _, q := range w.Engine.Quotas() {
				if q.Scope == scope {
					out = append(out, q.Code)
				}
			}
			return out
		}
		// An organization has an environment, and an authority if it makes one.
		create(t, s.admin, authoritiesPath, authorityWith(map[string]any{"certificate_chain": certtest.New(t, "root").PEM()}))
		for _, scope := range engine.QuotaScopes() {
			small := strings.ToLower(string(scope))
			for _, query := range []string{
				"scope=" + string(scope), "scope=" + small, "scope=" + strings.ReplaceAll(small, "_", "-"),
				"scope=" + small + "&environment=&network=&kafka_cluster=&id=", "scope=&scope=" + small, "page_size=3&scope=" + small, "page_size=200&scope=" + small,
			} {
				if got, want := walkIDs(t, s.admin, appliedQuotas+"?"+query), codes(scope); !slices.Equal(got, want) {
					t.Errorf("%s shows %q, want %q", query, got, want)
				}
			}
			s.admin.Do(t, http.MethodGet, quotaScopes+"/"+string(scope), nil).Want(t, http.StatusOK)
		}
		if got := walkIDs(t, s.admin, quotaScopes); len(got) != len(engine.QuotaScopes()) {
			t.Errorf("the scopes are %q", got)
		}
		for _, query := range []string{"", "?scope=", "?scope=planet", "?scope=ORGANIZATION%2CENVIRONMENT", "?scope=%00"} {
			s.admin.Do(t, http.MethodGet, appliedQuotas+query, nil).WantParameter(t, api.InvalidParameter, "scope")
		}
		if got := walkIDs(t, s.admin, appliedQuotas+"?scope=organization&id="+maxUsers); !slices.Equal(got, []string{maxUsers}) {
			t.Errorf("the filter id selects %q", got)
		}
		for _, query := range []string{"scope=organization&id=iam.max_cloud_api_keys.per_user", "scope=organization&environment=env-1", "scope=network&network=n-1"} {
			if got := walkIDs(t, s.admin, appliedQuotas+"?"+query); len(got) != 0 {
				t.Errorf("%s selects %q", query, got)
			}
		}

		one := s.admin.Do(t, http.MethodGet, appliedQuotas+"/"+maxUsers, nil).Want(t, http.StatusOK)
		if one.Text("organization.id") != w.Admin.Organization || one.Text("organization.related") != w.URL+organizations+"/"+w.Admin.Organization ||
			one.Text("organization.kind") != "" || one.Text("scope") != "ORGANIZATION" || one.Body["default_limit"] != 1000.0 {
			t.Errorf("a quota is shown as %s", one.Raw)
		}
		// A quota for each user is about the caller, where that is one.
		perUser := appliedQuotas + "/iam.max_cloud_api_keys.per_user"
		if a := s.admin.Do(t, http.MethodGet, perUser, nil); a.Text("user.id") != w.Admin.Principal || a.Body["usage"] != 1.0 {
			t.Errorf("the administrator is told %s", a.Raw)
		}
		viewer := s.holder(t, "MetricsViewer", s.root)
		a := viewer.Do(t, http.MethodGet, perUser, nil).Want(t, http.StatusOK)
		if _, told := a.Body["usage"]; told || a.Text("user.id") != "" || a.Body["applied_limit"] == nil {
			t.Errorf("a service account is told %s", a.Raw)
		}
		if a := viewer.Do(t, http.MethodGet, appliedQuotas+"/iam.max_cloud_api_keys.per_service_account", nil).Want(t, http.StatusOK); a.Body["usage"] != 1.0 {
			t.Errorf("a service account is told %s of itself", a.Raw)
		}
		for _, path := range []string{appliedQuotas + "?scope=user_account", appliedQuotas + "?scope=organization", quotaScopes} {
			if got := walkIDs(t, s.Client(s.Nobody), path); len(got) != 0 {
				t.Errorf("who holds no role sees %q", got)
			}
		}
	})
}

// gadget is a made-up kind with a quota for each environment.
func gadget(quotas ...*engine.Quota) *engine.Kind {
	return &engine.Kind{
		Group: "test", Version: "v1", Name: "Gadget",
		Description: "A made-up kind with a quota for each environment.",
		Path:        "/byok/v1/keys",
		Operations: map[engine.Verb]string{
			engine.List:   "listByokV1Keys",
			engine.Create: "createByokV1Key",
			engine.Read:   "getByokV1Key",
			engine.Update: "updateByokV1Key",
			engine.Delete: "deleteByokV1Key",
		},
		ID:       engine.IDShape{Prefix: "g-", Length: 6, Alphabet: random.LowerAlphanumeric},
		Segment:  "gadget",
		Resource: "Gadget",
		Quotas:   quotas,
		Fields: []engine.Field{
			{Name: "size", Default: "small", Enum: []string{"small", "large"}, Description: "A size."},
			{
				Name: "environment", Type: engine.Reference, Required: true, Description: "The environment.",
				To: &engine.ReferenceTo{Kinds: []string{"org/v2.Environment"}, OnDelete: engine.Cascade},
			},
		},
	}
}

// gadgetQuotas limit gadgets for each environment, and large ones for all.
func gadgetQuotas() []*engine.Quota {
	return []*engine.Quota{
		{
			Code: "test.max_gadgets.per_env", Scope: engine.PerEnvironment, DisplayName: "Gadgets Per Environment", Limit: 3,
			Subject: func(o *engine.Object) string { return o.Doc.String("environment.id") },
		},
		{
			Code: "test.max_large_gadgets.per_org", Scope: engine.PerOrganization, DisplayName: "Large Gadgets Per Organization", Limit: 2,
			Counts: func(o *engine.Object) bool { return o.Doc.String("size") == "large" },
		},
	}
}

func withGadgets(quotas ...*engine.Quota) []*engine.Kind {
	return append(server.Kinds(), gadget(quotas...))
}

// TestQuotasOfEnvironments is about a quota for each of something that has a
// filter, and about updates that move an object from one count to another.
func TestQuotasOfEnvironments(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := serve(t, databaseURL, withGadgets(gadgetQuotas()...), time.Now)
		s := newScene(w)
		for code, limit := range map[string]int64{"test.max_gadgets.per_env": 3, "test.max_large_gadgets.per_org": 2} {
			setLimit(t, w, code, limit)
		}
		const path, perEnv = "/byok/v1/keys", "test.max_gadgets.per_env"
		one, two := s.environment(t), s.environment(t)
		in := func(env, size string) map[string]any {
			return map[string]any{"size": size, "environment": map[string]any{"id": env}}
		}
		var there []string
		for range 3 {
			there = append(there, create(t, s.admin, path, in(one, "small")))
		}
		wantExceeded(t, s.admin.Do(t, http.MethodPost, path, in(one, "small")), perEnv)
		moves := create(t, s.admin, path, in(two, "small"))
		wantExceeded(t, s.admin.Do(t, http.MethodPatch, path+"/"+moves, map[string]any{"environment": map[string]any{"id": one}}), perEnv)
		s.admin.Do(t, http.MethodPatch, path+"/"+there[0], map[string]any{"environment": map[string]any{"id": two}}).Want(t, http.StatusOK)
		s.admin.Do(t, http.MethodPatch, path+"/"+moves, map[string]any{"environment": map[string]any{"id": one}}).Want(t, http.StatusOK)
		for i, id := range []string{there[0], there[1], there[2]} {
			a := s.admin.Do(t, http.MethodPatch, path+"/"+id, map[string]any{"size": "large"})
			if i < 2 {
				a.Want(t, http.StatusOK)
			} else {
				wantExceeded(t, a, "test.max_large_gadgets.per_org")
			}
		}
		s.admin.Do(t, http.MethodPatch, path+"/"+there[0], map[string]any{"size": "small"}).Want(t, http.StatusOK)
		s.admin.Do(t, http.MethodPatch, path+"/"+there[2], map[string]any{"size": "large"}).Want(t, http.StatusOK)
		verify(t, w.Engine)

		usage := func(c *enginetest.Client, query string) map[string]any {
			t.Helper()
			out := map[string]any{}
			a := c.Do(t, http.MethodGet, appliedQuotas+"?page_size=200&scope=environment"+query, nil).Want(t, http.StatusOK)
			for _, o := range a.Body["data"].([]any) {
				quota := o.(map[string]any)
				id, _ := quota["environment"].(map[string]any)["id"].(string)
				out[id] = quota["usage"]
			}
			return out
		}
		if got := usage(s.admin, ""); got[one] != 3.0 || got[two] != 1.0 {
			t.Errorf("the usage of the environments is %v", got)
		}
		if got := usage(s.admin, "&environment="+two); !maps.Equal(got, map[string]any{two: 1.0}) {
			t.Errorf("the usage of one environment is %v", got)
		}
		// Who may see one environment is told of that one.
		c := s.holder(t, "EnvironmentAdmin", s.root+"/environment="+one)
		if got := usage(c, ""); !maps.Equal(got, map[string]any{one: 3.0}) {
			t.Errorf("the administrator of an environment is told %v", got)
		}
		read := appliedQuotas + "/" + perEnv
		if a := c.Do(t, http.MethodGet, read+"?environment="+one, nil).Want(t, http.StatusOK); a.Body["usage"] != 3.0 || a.Text("environment.id") != one {
			t.Errorf("one environment is shown as %s", a.Raw)
		}
		for _, hidden := range []string{two, "env-000000", w.Other.Organization, "\x00"} {
			if got := usage(c, "&environment="+url.QueryEscape(hidden)); len(got) != 0 {
				t.Errorf("%q is told of: %v", hidden, got)
			}
			c.Do(t, http.MethodGet, read+"?environment="+url.QueryEscape(hidden), nil).WantCode(t, api.ResourceNotFound)
		}
		other := w.Client(w.Other)
		if got := usage(other, "&environment="+one); len(got) != 0 {
			t.Errorf("through the wall %v is told", got)
		}
		other.Do(t, http.MethodGet, read+"?environment="+one, nil).WantCode(t, api.ResourceNotFound)
		if a := other.Do(t, http.MethodGet, read, nil).Want(t, http.StatusOK); a.Body["usage"] != nil || a.Body["environment"] != nil || a.Body["applied_limit"] == nil {
			t.Errorf("without an environment the quota is shown as %s", a.Raw)
		}

		// Pages hold while environments come and go.
		for range 4 {
			s.environment(t)
		}
		page := s.admin.Do(t, http.MethodGet, appliedQuotas+"?scope=environment&page_size=2", nil).Want(t, http.StatusOK)
		s.admin.Do(t, http.MethodDelete, environments+"/"+one, nil).Want(t, http.StatusNoContent)
		rest := walkIDs(t, s.admin, page.Text("metadata.next"))
		if all := usage(s.admin, ""); len(rest) != len(all)+1-2 {
			t.Errorf("after a page of two, and without one of its environments, %d follow of %d", len(rest), len(all))
		}
		verify(t, w.Engine)
	})
}

// TestQuotasOfMadeUpKinds puts a quota for each environment through the test of
// all kinds.
func TestQuotasOfMadeUpKinds(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		kinds := withGadgets(gadgetQuotas()...)
		w := serve(t, databaseURL, kinds, time.Now)
		enginetest.Run(t, w, kinds[len(kinds)-1], enginetest.Spec{
			Body: func(t *testing.T, c *enginetest.Client, n int) map[string]any {
				return map[string]any{"size": "large", "environment": map[string]any{"id": create(t, c, environments, map[string]any{"display_name": fmt.Sprint(n)})}}
			},
		})
		verify(t, w.Engine)
	})
}
