package sdk_test

import (
	"net/http"
	"testing"
	"time"

	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
)

func (w *world) invite(t *testing.T, email string) iamv2.IamV2Invitation {
	t.Helper()
	creation := w.invitation(email)
	return creation.created(t, http.StatusCreated, w.URL+"/iam/v2/invitations/"+creation.value.GetId())
}

func (w *world) invitation(email string) outcome[iamv2.IamV2Invitation] {
	return got(w.admin.invitations.CreateIamV2Invitation(w.admin.ctx).IamV2Invitation(iamv2.IamV2Invitation{Email: new(email)}).Execute())
}

// testInvitations is about what an administrator sees; the mail and its answer
// are no business of the SDK.
func testInvitations(t *testing.T, w *world) {
	c := w.admin
	made := w.invite(t, "Doc.Brown@example.com")
	if made.GetEmail() != "Doc.Brown@example.com" || made.GetAuthType() != "AUTH_TYPE_LOCAL" || made.AcceptedAt.Get() != nil {
		t.Errorf("made: %+v", made)
	}
	if valid := made.ExpiresAt.Sub(*made.Metadata.CreatedAt); valid != 7*24*time.Hour {
		t.Errorf("it can be accepted for %s", valid)
	}
	if made.Creator.Id != w.adminID(t) || made.User.ResourceName != w.crn("/user="+made.User.Id) || made.User.Related != w.URL+"/iam/v2/users/"+made.User.Id {
		t.Errorf("the references are %+v and %+v", made.Creator, made.User)
	}
	got(c.users.GetIamV2User(c.ctx, made.User.Id).Execute()).want(t, http.StatusOK)
	if _, source := w.invitation("doc.brown@example.com").fails(t, http.StatusConflict, "resource_already_exists"); source != "/email" {
		t.Errorf("a second invitation is blamed on %q", source)
	}

	done(c.invitations.DeleteIamV2Invitation(c.ctx, made.GetId()).Execute()).want(t, http.StatusNoContent)
	after := got(c.invitations.GetIamV2Invitation(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	if after.GetStatus() != "INVITE_STATUS_DEACTIVATED" || after.User.Id != made.User.Id {
		t.Errorf("after its deletion: %+v", after)
	}
	got(c.users.GetIamV2User(c.ctx, made.User.Id).Execute()).fails(t, http.StatusNotFound, "resource_not_found")
	again := w.invite(t, "doc.brown@example.com")
	if again.User.Id == made.User.Id {
		t.Error("the new invitation has the user that was removed")
	}
	// A deletion that is repeated changes nothing, neither there nor of who was
	// invited again.
	done(c.invitations.DeleteIamV2Invitation(c.ctx, made.GetId()).Execute()).want(t, http.StatusNoContent)
	if same := got(c.invitations.GetIamV2Invitation(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK); !same.Metadata.UpdatedAt.Equal(*after.Metadata.UpdatedAt) || same.GetStatus() != after.GetStatus() {
		t.Errorf("after its second deletion: %+v", same)
	}
	got(c.users.GetIamV2User(c.ctx, again.User.Id).Execute()).want(t, http.StatusOK)
}

func testInvitationFilters(t *testing.T, w *world) {
	c := w.admin
	one, two, gone := w.invite(t, "one@example.com"), w.invite(t, "two@example.com"), w.invite(t, "gone@example.com")
	done(c.invitations.DeleteIamV2Invitation(c.ctx, gone.GetId()).Execute()).want(t, http.StatusNoContent)
	all := c.invitations.ListIamV2Invitations(c.ctx)
	for name, test := range map[string]struct {
		request iamv2.ApiListIamV2InvitationsRequest
		want    []string
	}{
		"all":             {all, []string{one.GetId(), two.GetId(), gone.GetId()}},
		"email":           {all.Email("two@example.com"), []string{two.GetId()}},
		"unknown email":   {all.Email("three@example.com"), nil},
		"user":            {all.User(one.User.Id), []string{one.GetId()}},
		"status":          {all.Status("INVITE_STATUS_DEACTIVATED"), []string{gone.GetId()}},
		"creator":         {all.Creator(w.adminID(t)), []string{one.GetId(), two.GetId(), gone.GetId()}},
		"another creator": {all.Creator(one.User.Id), nil},
		"both":            {all.Email("one@example.com").User(two.User.Id), nil},
	} {
		var ids []string
		for _, i := range got(test.request.Execute()).want(t, http.StatusOK).Data {
			ids = append(ids, i.GetId())
		}
		sameSet(t, ids, test.want, name)
	}
}
