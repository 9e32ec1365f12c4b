package sdk_test

import (
	"net/http"
	"testing"

	orgv2 "github.com/confluentinc/ccloud-sdk-go-v2/org/v2"
)

func testOrganizations(t *testing.T, w *world) {
	c := w.admin
	list := got(c.organizations.ListOrgV2Organizations(c.ctx).Execute()).want(t, http.StatusOK)
	if len(list.Data) != 1 || list.Data[0].GetId() != w.OrganizationID || list.Metadata.Next.Get() != nil {
		t.Fatalf("the organizations are %+v", list)
	}
	before := got(c.organizations.GetOrgV2Organization(c.ctx, w.OrganizationID).Execute()).want(t, http.StatusOK)
	if before.GetDisplayName() == "" || before.Metadata.GetResourceName() != w.crn("") {
		t.Errorf("the organization is %+v, %+v", before, before.Metadata)
	}

	updated := got(c.organizations.UpdateOrgV2Organization(c.ctx, w.OrganizationID).OrgV2Organization(orgv2.OrgV2Organization{
		DisplayName: new("Finance"), JitEnabled: new(!before.GetJitEnabled()),
	}).Execute()).want(t, http.StatusOK)
	if updated.GetDisplayName() != "Finance" || updated.GetJitEnabled() == before.GetJitEnabled() {
		t.Errorf("after the update: %+v", updated)
	}
	if !updated.Metadata.UpdatedAt.After(*before.Metadata.UpdatedAt) || !updated.Metadata.CreatedAt.Equal(*before.Metadata.CreatedAt) {
		t.Errorf("the times are %+v, and were %+v", updated.Metadata, before.Metadata)
	}
	after := got(c.organizations.GetOrgV2Organization(c.ctx, w.OrganizationID).Execute()).want(t, http.StatusOK)
	if after.GetDisplayName() != "Finance" || after.GetJitEnabled() != updated.GetJitEnabled() {
		t.Errorf("read after the update: %+v", after)
	}
	// What is left out stays.
	renamed := got(c.organizations.UpdateOrgV2Organization(c.ctx, w.OrganizationID).
		OrgV2Organization(orgv2.OrgV2Organization{DisplayName: new("Sales")}).Execute()).want(t, http.StatusOK)
	if renamed.GetJitEnabled() != updated.GetJitEnabled() {
		t.Error("renaming the organization changed jit_enabled")
	}
}
