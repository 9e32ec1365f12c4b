package sdk_test

import (
	"net/http"
	"testing"

	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
)

func testUsers(t *testing.T, w *world) {
	c := w.admin
	self := w.adminID(t)
	list := got(c.users.ListIamV2Users(c.ctx).Execute()).want(t, http.StatusOK)
	if len(list.Data) != 1 || list.Data[0].GetId() != self || list.Data[0].GetEmail() != w.Email {
		t.Fatalf("the users are %+v", list.Data)
	}
	updated := got(c.users.UpdateIamV2User(c.ctx, self).IamV2UserUpdate(iamv2.IamV2UserUpdate{FullName: new("Marty McFly")}).Execute()).want(t, http.StatusOK)
	read := got(c.users.GetIamV2User(c.ctx, self).Execute()).want(t, http.StatusOK)
	for _, u := range []iamv2.IamV2User{updated, read} {
		if u.GetFullName() != "Marty McFly" || u.GetEmail() != w.Email || u.GetAuthType() != "AUTH_TYPE_LOCAL" || u.Metadata.GetResourceName() != w.crn("/user="+self) {
			t.Errorf("after the update: %+v", u)
		}
	}

	// This module of the SDK has no call for it.
	const path = "/iam/v2/users/"
	if a := w.Do(http.MethodPatch, path+self+"/auth", map[string]any{"auth_type": "AUTH_TYPE_LOCAL"}); a.Status != http.StatusNoContent {
		t.Errorf("the authentication type: %d %s", a.Status, a.Raw)
	}
	for _, authType := range []string{"AUTH_TYPE_SSO", "AUTH_TYPE_NONE", ""} {
		if a := w.Do(http.MethodPatch, path+self+"/auth", map[string]any{"auth_type": authType}); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("the authentication type %q: %d %s", authType, a.Status, a.Raw)
		}
	}

	guest := w.invite(t, "guest@example.com").User.GetId()
	if u := got(c.users.GetIamV2User(c.ctx, guest).Execute()).want(t, http.StatusOK); u.GetEmail() != "guest@example.com" {
		t.Errorf("the invited user is %+v", u)
	}
	done(c.users.DeleteIamV2User(c.ctx, guest).Execute()).want(t, http.StatusNoContent)
	got(c.users.GetIamV2User(c.ctx, guest).Execute()).fails(t, http.StatusNotFound, "resource_not_found")
	// Somebody must be left who may do everything.
	done(c.users.DeleteIamV2User(c.ctx, self).Execute()).fails(t, http.StatusBadRequest, "bad_request")
	got(c.users.GetIamV2User(c.ctx, self).Execute()).want(t, http.StatusOK)
}
