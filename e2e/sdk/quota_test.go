package sdk_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
	orgv2 "github.com/confluentinc/ccloud-sdk-go-v2/org/v2"
	quotav1 "github.com/confluentinc/ccloud-sdk-go-v2/service-quota/v1"
)

const (
	maxEnvironments = "iam.max_environments.per_org"
	maxUserKeys     = "iam.max_cloud_api_keys.per_user"
)

func testQuotas(t *testing.T, w *world) {
	c := w.admin
	read := func(code string) quotav1.ServiceQuotaV1AppliedQuota {
		t.Helper()
		return got(c.quotas.GetServiceQuotaV1AppliedQuota(c.ctx, code).Execute()).want(t, http.StatusOK)
	}
	if q := read(maxEnvironments); q.GetScope() != "ORGANIZATION" || q.GetDefaultLimit() != 25 || q.GetAppliedLimit() != 25 || q.GetUsage() != 1 ||
		q.Organization.Id != w.OrganizationID || q.User != nil || q.Environment != nil ||
		q.Metadata.GetResourceName() != w.crn("/applied-quota="+maxEnvironments) || q.Metadata.CreatedAt != nil {
		t.Errorf("the quota of environments is %+v", q)
	}
	w.SetLimit(maxEnvironments, 2)
	w.environment(t, "the last")
	detail, _ := got(c.environments.CreateOrgV2Environment(c.ctx).
		OrgV2Environment(orgv2.OrgV2Environment{DisplayName: new("one too many")}).Execute()).fails(t, http.StatusPaymentRequired, "quota_exceeded")
	if want := "The request would exceed the quota: " + maxEnvironments + "; the limit is 2"; detail != want {
		t.Errorf("the refusal says %q", detail)
	}
	if q := read(maxEnvironments); q.GetDefaultLimit() != 25 || q.GetAppliedLimit() != 2 || q.GetUsage() != 2 {
		t.Errorf("at its limit the quota is %+v", q)
	}
	if q := read(maxUserKeys); q.GetScope() != "USER_ACCOUNT" || q.GetUsage() != 1 || q.User.Id != w.adminID(t) {
		t.Errorf("the quota of a user's keys is %+v", q)
	}

	// As the CLI asks: small letters, and parameters without a value.
	request := func(scope, token string) page[quotav1.ServiceQuotaV1AppliedQuota] {
		r := c.quotas.ListServiceQuotaV1AppliedQuotas(c.ctx).Scope(scope).Environment("").KafkaCluster("").Network("").Id("")
		if token != "" {
			r = r.PageToken(token)
		} else {
			r = r.PageSize(2)
		}
		list := got(r.Execute()).want(t, http.StatusOK)
		return page[quotav1.ServiceQuotaV1AppliedQuota]{list.Data, list.Metadata.Next.Get()}
	}
	scopes := got(c.scopes.ListServiceQuotaV1Scopes(c.ctx).Execute()).want(t, http.StatusOK)
	listed := map[string][]string{}
	for _, s := range scopes.Data {
		one := got(c.scopes.GetServiceQuotaV1Scope(c.ctx, s.GetId()).Execute()).want(t, http.StatusOK)
		if one.GetDescription() != s.GetDescription() || s.GetDescription() == "" {
			t.Errorf("the scope %s is described as %q and %q", s.GetId(), s.GetDescription(), one.GetDescription())
		}
		quotas, _ := pages(t, func(token string) page[quotav1.ServiceQuotaV1AppliedQuota] { return request(s.GetId(), token) })
		for _, q := range quotas {
			if q.GetScope() != s.GetId() || q.GetDisplayName() == "" {
				t.Errorf("of the scope %s is listed %+v", s.GetId(), q)
			}
			listed[s.GetId()] = append(listed[s.GetId()], q.GetId())
		}
	}
	if len(scopes.Data) != 8 || !slices.Contains(listed["ORGANIZATION"], maxEnvironments) || !slices.Equal(listed["USER_ACCOUNT"], []string{maxUserKeys, "iam.max_cluster_api_keys.per_user"}) {
		t.Errorf("the quotas are %v", listed)
	}
	small, _ := pages(t, func(token string) page[quotav1.ServiceQuotaV1AppliedQuota] { return request("organization", token) })
	if len(small) != len(listed["ORGANIZATION"]) {
		t.Errorf("in small letters the organization has %d quotas of %d", len(small), len(listed["ORGANIZATION"]))
	}
	one := got(c.quotas.ListServiceQuotaV1AppliedQuotas(c.ctx).Scope("ORGANIZATION").Id(maxEnvironments).Execute()).want(t, http.StatusOK)
	if len(one.Data) != 1 || one.Data[0].GetId() != maxEnvironments {
		t.Errorf("by its code %+v is found", one.Data)
	}
	if _, source := got(c.quotas.ListServiceQuotaV1AppliedQuotas(c.ctx).Scope("planet").Execute()).fails(t, http.StatusBadRequest, "invalid_parameter"); source != "scope" {
		t.Errorf("an unknown scope is blamed on %q", source)
	}
	got(c.quotas.GetServiceQuotaV1AppliedQuota(c.ctx, "no.such.quota").Execute()).fails(t, http.StatusNotFound, "resource_not_found")
	got(c.scopes.GetServiceQuotaV1Scope(c.ctx, "PLANET").Execute()).fails(t, http.StatusNotFound, "resource_not_found")
}

// testQuotaRefusals goes beyond the limits of other kinds.
func testQuotaRefusals(t *testing.T, w *world) {
	c := w.admin
	w.SetLimit("iam.max_service_accounts.per_org", 1)
	w.SetLimit("iam.max_pending_invitations.per_organization", 0)
	create := func(name string) outcome[iamv2.IamV2ServiceAccount] {
		return got(c.serviceAccounts.CreateIamV2ServiceAccount(c.ctx).IamV2ServiceAccount(iamv2.IamV2ServiceAccount{DisplayName: new(name)}).Execute())
	}
	first := create("the only one").want(t, http.StatusCreated)
	for i := range 3 {
		create(fmt.Sprint("more ", i)).fails(t, http.StatusPaymentRequired, "quota_exceeded")
	}
	done(c.serviceAccounts.DeleteIamV2ServiceAccount(c.ctx, first.GetId()).Execute()).want(t, http.StatusNoContent)
	create("another one").want(t, http.StatusCreated)
	got(c.invitations.CreateIamV2Invitation(c.ctx).IamV2Invitation(iamv2.IamV2Invitation{Email: new("marty@example.com")}).Execute()).
		fails(t, http.StatusPaymentRequired, "quota_exceeded")
}
