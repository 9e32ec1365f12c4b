package sdk_test

import (
	"net/http"
	"testing"

	ssov2 "github.com/confluentinc/ccloud-sdk-go-v2/sso/v2"
)

func testGroupMappings(t *testing.T, w *world) {
	c := w.admin
	creation := got(c.groupMappings.CreateIamV2SsoGroupMapping(c.ctx).IamV2SsoGroupMapping(ssov2.IamV2SsoGroupMapping{
		DisplayName: new("engineers"), Filter: new(`"engineering" in groups`), Description: new(""),
	}).Execute())
	made := creation.created(t, http.StatusCreated, w.URL+"/iam/v2/sso/group-mappings/"+creation.value.GetId())
	if made.GetDisplayName() != "engineers" || made.GetFilter() != `"engineering" in groups` || made.GetDescription() != "" || made.GetPrincipal() == "" {
		t.Errorf("made: %+v", made)
	}
	const filter = `"engineering" in groups || "operations" in groups`
	updated := got(c.groupMappings.UpdateIamV2SsoGroupMapping(c.ctx, made.GetId()).IamV2SsoGroupMapping(ssov2.IamV2SsoGroupMapping{
		Description: new("Who builds it"), Filter: new(filter),
	}).Execute()).want(t, http.StatusOK)
	read := got(c.groupMappings.GetIamV2SsoGroupMapping(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	for _, m := range []ssov2.IamV2SsoGroupMapping{updated, read} {
		if m.GetDisplayName() != "engineers" || m.GetDescription() != "Who builds it" || m.GetFilter() != filter {
			t.Errorf("after the update: %+v", m)
		}
	}
	if _, source := got(c.groupMappings.CreateIamV2SsoGroupMapping(c.ctx).IamV2SsoGroupMapping(ssov2.IamV2SsoGroupMapping{
		DisplayName: new("broken"), Filter: new(`"engineering" in`),
	}).Execute()).fails(t, http.StatusUnprocessableEntity, "invalid_configuration"); source != "/filter" {
		t.Errorf("a filter that is no expression is blamed on %q", source)
	}
	bare := got(c.groupMappings.CreateIamV2SsoGroupMapping(c.ctx).IamV2SsoGroupMapping(ssov2.IamV2SsoGroupMapping{
		DisplayName: new("everybody"), Filter: new("true"),
	}).Execute()).want(t, http.StatusCreated)
	got(c.groupMappings.GetIamV2SsoGroupMapping(c.ctx, bare.GetId()).Execute()).want(t, http.StatusOK)
	done(c.groupMappings.DeleteIamV2SsoGroupMapping(c.ctx, bare.GetId()).Execute()).want(t, http.StatusNoContent)
	list := got(c.groupMappings.ListIamV2SsoGroupMappings(c.ctx).Execute()).want(t, http.StatusOK)
	if len(list.Data) != 1 || list.Data[0].GetId() != made.GetId() {
		t.Errorf("the list is %+v", list.Data)
	}

	// A mapping holds roles like any principal.
	bound := c.bind(made.GetId(), "MetricsViewer", w.crn("")).want(t, http.StatusCreated)
	done(c.groupMappings.DeleteIamV2SsoGroupMapping(c.ctx, made.GetId()).Execute()).want(t, http.StatusNoContent)
	got(c.groupMappings.GetIamV2SsoGroupMapping(c.ctx, made.GetId()).Execute()).fails(t, http.StatusNotFound, "resource_not_found")
	got(c.roleBindings.GetIamV2RoleBinding(c.ctx, bound.GetId()).Execute()).fails(t, http.StatusForbidden, "role_binding_forbidden")
}
