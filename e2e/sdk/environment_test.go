package sdk_test

import (
	"net/http"
	"testing"

	orgv2 "github.com/confluentinc/ccloud-sdk-go-v2/org/v2"
)

func (w *world) environment(t *testing.T, name string) orgv2.OrgV2Environment {
	t.Helper()
	return got(w.admin.environments.CreateOrgV2Environment(w.admin.ctx).
		OrgV2Environment(orgv2.OrgV2Environment{DisplayName: new(name)}).Execute()).want(t, http.StatusCreated)
}

func testEnvironments(t *testing.T, w *world) {
	c := w.admin
	creation := got(c.environments.CreateOrgV2Environment(c.ctx).OrgV2Environment(orgv2.OrgV2Environment{
		DisplayName:            new("prod"),
		StreamGovernanceConfig: &orgv2.OrgV2StreamGovernanceConfig{Package: "ESSENTIALS"},
	}).Execute())
	made := creation.created(t, http.StatusCreated, w.URL+"/org/v2/environments/"+creation.value.GetId())
	if made.GetDisplayName() != "prod" || made.StreamGovernanceConfig.GetPackage() != "ESSENTIALS" {
		t.Errorf("made: %+v", made)
	}
	if m := made.Metadata; m.Self != w.URL+"/org/v2/environments/"+made.GetId() ||
		m.GetResourceName() != w.crn("/environment="+made.GetId()) || m.CreatedAt == nil || !m.CreatedAt.Equal(*m.UpdatedAt) {
		t.Errorf("the metadata is %+v", m)
	}
	if plain := w.environment(t, "prod"); plain.StreamGovernanceConfig.GetPackage() != "ESSENTIALS" || plain.GetId() == made.GetId() {
		t.Errorf("an environment of the same name that asks for no package: %+v", plain)
	}
	if first := got(c.environments.GetOrgV2Environment(c.ctx, w.EnvironmentID).Execute()).want(t, http.StatusOK); first.StreamGovernanceConfig.GetPackage() != "ESSENTIALS" {
		t.Errorf("the first environment: %+v", first)
	}

	updated := got(c.environments.UpdateOrgV2Environment(c.ctx, made.GetId()).OrgV2Environment(orgv2.OrgV2Environment{
		DisplayName:            new("production"),
		StreamGovernanceConfig: &orgv2.OrgV2StreamGovernanceConfig{Package: "ADVANCED"},
	}).Execute()).want(t, http.StatusOK)
	read := got(c.environments.GetOrgV2Environment(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	for _, e := range []orgv2.OrgV2Environment{updated, read} {
		if e.GetDisplayName() != "production" || e.StreamGovernanceConfig.GetPackage() != "ADVANCED" || !e.Metadata.UpdatedAt.After(*made.Metadata.UpdatedAt) {
			t.Errorf("after the update: %+v", e)
		}
	}

	done(c.environments.DeleteOrgV2Environment(c.ctx, made.GetId()).Execute()).want(t, http.StatusNoContent)
	got(c.environments.GetOrgV2Environment(c.ctx, made.GetId()).Execute()).fails(t, http.StatusNotFound, "resource_not_found")
	list := got(c.environments.ListOrgV2Environments(c.ctx).Execute()).want(t, http.StatusOK)
	for _, e := range list.Data {
		if e.GetId() == made.GetId() {
			t.Error("the list still has the deleted environment")
		}
	}
	if len(list.Data) != 2 {
		t.Errorf("there are %d environments, want the first and the other one", len(list.Data))
	}
}
