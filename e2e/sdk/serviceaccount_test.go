package sdk_test

import (
	"net/http"
	"testing"

	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
)

func (w *world) serviceAccount(t *testing.T, name string) iamv2.IamV2ServiceAccount {
	t.Helper()
	return got(w.admin.serviceAccounts.CreateIamV2ServiceAccount(w.admin.ctx).
		IamV2ServiceAccount(iamv2.IamV2ServiceAccount{DisplayName: new(name)}).Execute()).want(t, http.StatusCreated)
}

func testServiceAccounts(t *testing.T, w *world) {
	c := w.admin
	owner := w.adminID(t)
	creation := got(c.serviceAccounts.CreateIamV2ServiceAccount(c.ctx).AssignedResourceOwner(owner).
		IamV2ServiceAccount(iamv2.IamV2ServiceAccount{DisplayName: new("orders"), Description: new("Writes orders")}).Execute())
	made := creation.created(t, http.StatusCreated, w.URL+"/iam/v2/service-accounts/"+creation.value.GetId())
	if made.GetDisplayName() != "orders" || made.GetDescription() != "Writes orders" || made.GetKind() != "ServiceAccount" || made.GetApiVersion() != "iam/v2" {
		t.Errorf("made: %+v", made)
	}
	bound := got(c.roleBindings.ListIamV2RoleBindings(c.ctx).CrnPattern(made.Metadata.GetResourceName()).Execute()).want(t, http.StatusOK)
	if len(bound.Data) != 1 || bound.Data[0].GetPrincipal() != "User:"+owner || bound.Data[0].GetRoleName() != "ResourceOwner" {
		t.Errorf("the assigned owner holds %+v", bound.Data)
	}

	updated := got(c.serviceAccounts.UpdateIamV2ServiceAccount(c.ctx, made.GetId()).
		IamV2ServiceAccount(iamv2.IamV2ServiceAccount{Description: new("Reads orders")}).Execute()).want(t, http.StatusOK)
	read := got(c.serviceAccounts.GetIamV2ServiceAccount(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	for _, a := range []iamv2.IamV2ServiceAccount{updated, read} {
		if a.GetDisplayName() != "orders" || a.GetDescription() != "Reads orders" {
			t.Errorf("after the update: %+v", a)
		}
	}

	detail, source := got(c.serviceAccounts.CreateIamV2ServiceAccount(c.ctx).
		IamV2ServiceAccount(iamv2.IamV2ServiceAccount{DisplayName: new("orders")}).Execute()).fails(t, http.StatusConflict, "resource_already_exists")
	if detail != "Service name is already in use" || source != "/display_name" {
		t.Errorf("a taken name: %q at %q", detail, source)
	}
	w.serviceAccount(t, "billing")
	for _, names := range [][]string{{"orders"}, {"orders", "billing"}, {"nobody"}} {
		list := got(c.serviceAccounts.ListIamV2ServiceAccounts(c.ctx).DisplayName(names).Execute()).want(t, http.StatusOK)
		want := len(names)
		if names[0] == "nobody" {
			want = 0
		}
		if len(list.Data) != want {
			t.Errorf("the names %v find %d service accounts, want %d", names, len(list.Data), want)
		}
	}

	done(c.serviceAccounts.DeleteIamV2ServiceAccount(c.ctx, made.GetId()).Execute()).want(t, http.StatusNoContent)
	got(c.serviceAccounts.GetIamV2ServiceAccount(c.ctx, made.GetId()).Execute()).fails(t, http.StatusNotFound, "service_account_not_found")
	w.serviceAccount(t, "orders") // the name is free again
}
