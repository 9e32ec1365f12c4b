package sdk_test

import (
	"net/http"
	"testing"

	mdsv2 "github.com/confluentinc/ccloud-sdk-go-v2/mds/v2"
)

func (c *client) bind(principal, role, pattern string) outcome[mdsv2.IamV2RoleBinding] {
	return got(c.roleBindings.CreateIamV2RoleBinding(c.ctx).IamV2RoleBinding(mdsv2.IamV2RoleBinding{
		Principal: new("User:" + principal), RoleName: new(role), CrnPattern: new(pattern),
	}).Execute())
}

func testRoleBindings(t *testing.T, w *world) {
	c := w.admin
	account, environment := w.serviceAccount(t, "worker"), w.environment(t, "stage")
	key := w.keyFor(account.GetId(), "").want(t, http.StatusAccepted)
	worker := w.as(key.GetId(), key.Spec.GetSecret())
	got(worker.environments.GetOrgV2Environment(worker.ctx, environment.GetId()).Execute()).fails(t, http.StatusNotFound, "resource_not_found")

	creation := c.bind(account.GetId(), "EnvironmentAdmin", environment.Metadata.GetResourceName())
	made := creation.created(t, http.StatusCreated, w.URL+"/iam/v2/role-bindings/"+creation.value.GetId())
	// A role is in force at once.
	got(worker.environments.GetOrgV2Environment(worker.ctx, environment.GetId()).Execute()).want(t, http.StatusOK)
	read := got(c.roleBindings.GetIamV2RoleBinding(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	for _, b := range []mdsv2.IamV2RoleBinding{made, read} {
		if b.GetId() != made.GetId() || b.GetPrincipal() != "User:"+account.GetId() || b.GetRoleName() != "EnvironmentAdmin" || b.GetCrnPattern() != environment.Metadata.GetResourceName() {
			t.Errorf("the binding is %+v", b)
		}
	}

	removed := got(c.roleBindings.DeleteIamV2RoleBinding(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	if removed.GetId() != made.GetId() || removed.GetRoleName() != "EnvironmentAdmin" {
		t.Errorf("the deletion answers with %+v", removed)
	}
	got(worker.environments.GetOrgV2Environment(worker.ctx, environment.GetId()).Execute()).fails(t, http.StatusNotFound, "resource_not_found")
	got(c.roleBindings.GetIamV2RoleBinding(c.ctx, made.GetId()).Execute()).fails(t, http.StatusForbidden, "role_binding_forbidden")

	for name, test := range map[string]struct {
		principal, role, pattern string
		status                   int
		code                     string
	}{
		"unknown role":        {account.GetId(), "Emperor", w.crn(""), http.StatusBadRequest, "invalid-role"},
		"wrong scope":         {account.GetId(), "OrganizationAdmin", environment.Metadata.GetResourceName(), http.StatusBadRequest, "invalid_role_scope"},
		"unknown principal":   {"sa-000000", "EnvironmentAdmin", environment.Metadata.GetResourceName(), http.StatusForbidden, "forbidden_access"},
		"unknown environment": {account.GetId(), "EnvironmentAdmin", w.crn("/environment=env-000000"), http.StatusBadRequest, "bad_request"},
		"no pattern":          {account.GetId(), "EnvironmentAdmin", "crn://confluent.cloud/", http.StatusBadRequest, "bad_request"},
	} {
		t.Run(name, func(t *testing.T) { c.bind(test.principal, test.role, test.pattern).fails(t, test.status, test.code) })
	}

	// A binding goes with what it is bound to, and with its principal.
	onEnvironment := c.bind(account.GetId(), "EnvironmentAdmin", environment.Metadata.GetResourceName()).want(t, http.StatusCreated)
	done(c.environments.DeleteOrgV2Environment(c.ctx, environment.GetId()).Execute()).want(t, http.StatusNoContent)
	onOrganization := c.bind(account.GetId(), "MetricsViewer", w.crn("")).want(t, http.StatusCreated)
	done(c.serviceAccounts.DeleteIamV2ServiceAccount(c.ctx, account.GetId()).Execute()).want(t, http.StatusNoContent)
	for _, b := range []mdsv2.IamV2RoleBinding{onEnvironment, onOrganization} {
		got(c.roleBindings.GetIamV2RoleBinding(c.ctx, b.GetId()).Execute()).fails(t, http.StatusForbidden, "role_binding_forbidden")
	}
}

func testRoleBindingFilters(t *testing.T, w *world) {
	c := w.admin
	account, environment := w.serviceAccount(t, "worker"), w.environment(t, "stage")
	name, pattern := account.GetId(), environment.Metadata.GetResourceName()
	admin := c.bind(name, "EnvironmentAdmin", pattern).want(t, http.StatusCreated)
	steward := c.bind(name, "DataSteward", pattern).want(t, http.StatusCreated)
	viewer := c.bind(name, "MetricsViewer", w.crn("")).want(t, http.StatusCreated)
	first := got(c.roleBindings.ListIamV2RoleBindings(c.ctx).CrnPattern(w.crn("")).RoleName("OrganizationAdmin").Execute()).want(t, http.StatusOK)
	if len(first.Data) != 1 || first.Data[0].GetPrincipal() != "User:"+w.adminID(t) {
		t.Fatalf("the first bindings are %+v", first.Data)
	}
	all := c.roleBindings.ListIamV2RoleBindings(c.ctx)
	for text, test := range map[string]struct {
		request mdsv2.ApiListIamV2RoleBindingsRequest
		want    []string
	}{
		"environment":       {all.CrnPattern(pattern), []string{admin.GetId(), steward.GetId()}},
		"organization":      {all.CrnPattern(w.crn("")), []string{first.Data[0].GetId(), viewer.GetId()}},
		"organization, all": {all.CrnPattern(w.crn("") + "/*"), []string{first.Data[0].GetId(), viewer.GetId(), admin.GetId(), steward.GetId()}},
		"role":              {all.CrnPattern(pattern).RoleName("DataSteward"), []string{steward.GetId()}},
		"principal":         {all.CrnPattern(w.crn("") + "/*").Principal("User:" + name), []string{viewer.GetId(), admin.GetId(), steward.GetId()}},
		"empty filters":     {all.CrnPattern(pattern).Principal("").RoleName(""), []string{admin.GetId(), steward.GetId()}},
		"nothing":           {all.CrnPattern(pattern).RoleName("MetricsViewer"), nil},
	} {
		var ids []string
		for _, b := range got(test.request.Execute()).want(t, http.StatusOK).Data {
			ids = append(ids, b.GetId())
		}
		sameSet(t, ids, test.want, text)
	}
}

// testRoleBindingTwice grants the same a second time. Were there two bindings,
// the deletion of one would take nothing away.
func testRoleBindingTwice(t *testing.T, w *world) {
	c := w.admin
	account := w.serviceAccount(t, "worker")
	c.bind(account.GetId(), "MetricsViewer", w.crn("")).want(t, http.StatusCreated)
	c.bind(account.GetId(), "MetricsViewer", w.crn("")).fails(t, http.StatusConflict, "resource_already_exists")
}
