package sdk_test

import (
	"net/http"
	"strings"
	"testing"

	apikeysv2 "github.com/confluentinc/ccloud-sdk-go-v2/apikeys/v2"
	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
	orgv2 "github.com/confluentinc/ccloud-sdk-go-v2/org/v2"
)

// testErrors is about failures that no other subject has, as the SDK decodes
// them.
func testErrors(t *testing.T, w *world) {
	c := w.admin
	for name, test := range map[string]struct {
		fail   func(t *testing.T) (detail, source string)
		source string
	}{
		"missing name": {func(t *testing.T) (string, string) {
			return got(c.environments.CreateOrgV2Environment(c.ctx).OrgV2Environment(orgv2.OrgV2Environment{}).Execute()).fails(t, http.StatusUnprocessableEntity, "invalid_configuration")
		}, "/display_name"},
		"name too long": {func(t *testing.T) (string, string) {
			return got(c.serviceAccounts.CreateIamV2ServiceAccount(c.ctx).IamV2ServiceAccount(iamv2.IamV2ServiceAccount{
				DisplayName: new(strings.Repeat("x", 65)),
			}).Execute()).fails(t, http.StatusUnprocessableEntity, "invalid_configuration")
		}, "/display_name"},
		"not one of the values": {func(t *testing.T) (string, string) {
			return got(c.environments.CreateOrgV2Environment(c.ctx).OrgV2Environment(orgv2.OrgV2Environment{
				DisplayName: new("x"), StreamGovernanceConfig: &orgv2.OrgV2StreamGovernanceConfig{Package: "SUPER"},
			}).Execute()).fails(t, http.StatusUnprocessableEntity, "invalid_configuration")
		}, "/stream_governance_config/package"},
		"key without an owner": {func(t *testing.T) (string, string) {
			return got(c.apiKeys.CreateIamV2ApiKey(c.ctx).IamV2ApiKey(apikeysv2.IamV2ApiKey{
				Spec: &apikeysv2.IamV2ApiKeySpec{},
			}).Execute()).fails(t, http.StatusUnprocessableEntity, "invalid_configuration")
		}, "/spec/owner"},
		"bad address": {func(t *testing.T) (string, string) {
			return w.invitation("marty").fails(t, http.StatusUnprocessableEntity, "invalid_configuration")
		}, "/email"},
		"list without a required filter": {func(t *testing.T) (string, string) {
			return got(c.roleBindings.ListIamV2RoleBindings(c.ctx).CrnPattern("").Execute()).fails(t, http.StatusBadRequest, "invalid_parameter")
		}, "crn_pattern"},
		"update of what is not there": {func(t *testing.T) (string, string) {
			return got(c.environments.UpdateOrgV2Environment(c.ctx, "env-000000").OrgV2Environment(orgv2.OrgV2Environment{DisplayName: new("x")}).Execute()).fails(t, http.StatusNotFound, "resource_not_found")
		}, ""},
		"deletion of what is not there": {func(t *testing.T) (string, string) {
			return done(c.users.DeleteIamV2User(c.ctx, "u-000000").Execute()).fails(t, http.StatusNotFound, "resource_not_found")
		}, ""},
		"another organization": {func(t *testing.T) (string, string) {
			return got(c.organizations.GetOrgV2Organization(c.ctx, "9bb441c4-edef-46ac-8a41-c49e44a3fd9a").Execute()).fails(t, http.StatusNotFound, "resource_not_found")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if detail, source := test.fail(t); source != test.source {
				t.Errorf("%q is about %q, want %q", detail, source, test.source)
			}
		})
	}
}

func testUnauthenticated(t *testing.T, w *world) {
	for name, c := range map[string]*client{
		"no key":       w.as("", ""),
		"wrong secret": w.as(w.APIKey, w.APISecret+"x"),
		"unknown key":  w.as("AAAABBBBCCCCDDDD", w.APISecret),
	} {
		t.Run(name, func(t *testing.T) {
			got(c.apiKeys.ListIamV2ApiKeys(c.ctx).Execute()).fails(t, http.StatusUnauthorized, "user_unauthenticated")
			got(c.environments.CreateOrgV2Environment(c.ctx).OrgV2Environment(orgv2.OrgV2Environment{DisplayName: new("x")}).Execute()).fails(t, http.StatusUnauthorized, "user_unauthenticated")
			got(c.users.GetIamV2User(c.ctx, "u-000000").Execute()).fails(t, http.StatusUnauthorized, "user_unauthenticated")
			got(c.roleBindings.DeleteIamV2RoleBinding(c.ctx, "rb-000000").Execute()).fails(t, http.StatusUnauthorized, "user_unauthenticated")
		})
	}
}

// testForbidden is about a caller without any role.
func testForbidden(t *testing.T, w *world) {
	account := w.serviceAccount(t, "nobody")
	key := w.keyFor(account.GetId(), "").want(t, http.StatusAccepted)
	c := w.as(key.GetId(), key.Spec.GetSecret())
	got(c.environments.CreateOrgV2Environment(c.ctx).OrgV2Environment(orgv2.OrgV2Environment{DisplayName: new("x")}).Execute()).fails(t, http.StatusForbidden, "user_unauthorized")
	got(c.serviceAccounts.CreateIamV2ServiceAccount(c.ctx).IamV2ServiceAccount(iamv2.IamV2ServiceAccount{DisplayName: new("x")}).Execute()).fails(t, http.StatusForbidden, "user_unauthorized")
	got(c.invitations.CreateIamV2Invitation(c.ctx).IamV2Invitation(iamv2.IamV2Invitation{Email: new("x@example.com")}).Execute()).fails(t, http.StatusForbidden, "user_unauthorized")
	c.bind(account.GetId(), "OrganizationAdmin", w.crn("")).fails(t, http.StatusForbidden, "user_unauthorized")
	// What it may not know of is not there.
	got(c.organizations.UpdateOrgV2Organization(c.ctx, w.OrganizationID).OrgV2Organization(orgv2.OrgV2Organization{DisplayName: new("x")}).Execute()).fails(t, http.StatusNotFound, "resource_not_found")
	got(c.environments.GetOrgV2Environment(c.ctx, w.EnvironmentID).Execute()).fails(t, http.StatusNotFound, "resource_not_found")
	got(c.apiKeys.GetIamV2ApiKey(c.ctx, w.APIKey).Execute()).fails(t, http.StatusForbidden, "forbidden_access")
	if list := got(c.environments.ListOrgV2Environments(c.ctx).Execute()).want(t, http.StatusOK); len(list.Data) != 0 {
		t.Errorf("it sees the environments %+v", list.Data)
	}
}

// testNotImplemented calls what is known and not served. No module of the SDK
// that the others use has such a call.
func testNotImplemented(t *testing.T, w *world) {
	for _, path := range []string{"/networking/v1/networks?environment=" + w.EnvironmentID, "/ksqldbcm/v2/clusters?environment=" + w.EnvironmentID} {
		a := w.Do(http.MethodGet, path, nil)
		if a.Status != http.StatusNotImplemented {
			t.Errorf("%s: %d %s", path, a.Status, a.Raw)
		}
		first(t, a.Raw, http.StatusNotImplemented, "not_implemented")
	}
}
