package sdk_test

import (
	"net/http"
	"regexp"
	"testing"

	apikeysv2 "github.com/confluentinc/ccloud-sdk-go-v2/apikeys/v2"
)

// keyFor asks for an API key; with an empty resource for a Cloud one.
func (w *world) keyFor(owner, resource string) outcome[apikeysv2.IamV2ApiKey] {
	spec := &apikeysv2.IamV2ApiKeySpec{
		DisplayName: new("made by a test"), Description: new("of the SDK"), Owner: &apikeysv2.ObjectReference{Id: owner},
	}
	if resource != "" {
		spec.Resource = &apikeysv2.ObjectReference{Id: resource}
	}
	return got(w.admin.apiKeys.CreateIamV2ApiKey(w.admin.ctx).IamV2ApiKey(apikeysv2.IamV2ApiKey{Spec: spec}).Execute())
}

var secret = regexp.MustCompile(`^cflt[A-Za-z0-9+/]{60}$`)

// testTableflowRegions is all that a key for Tableflow opens.
func testTableflowRegions(t *testing.T, w *world) {
	account := w.serviceAccount(t, "lake")
	key := w.keyFor(account.GetId(), "tableflow").want(t, http.StatusAccepted)
	c := w.as(key.GetId(), key.Spec.GetSecret())
	list := got(c.tableflowRegions.ListTableflowV1Regions(c.ctx).Cloud("AWS").PageSize(100).Execute()).want(t, http.StatusOK)
	if list.ApiVersion != "tableflow/v1" || list.Kind != "RegionList" || len(list.Data) != 0 {
		t.Errorf("the list is %+v", list)
	}
	got(c.environments.ListOrgV2Environments(c.ctx).Execute()).fails(t, http.StatusUnauthorized, "user_unauthenticated")
	got(w.admin.tableflowRegions.ListTableflowV1Regions(w.admin.ctx).Execute()).fails(t, http.StatusUnauthorized, "user_unauthenticated")
}

func testAPIKeys(t *testing.T, w *world) {
	c := w.admin
	account := w.serviceAccount(t, "owner")
	for _, test := range []struct{ resource, apiVersion, kind string }{
		{"", "iam/v2", "Cloud"},
		{"CLOUD", "iam/v2", "Cloud"},
		{"global", "global/v1", "Global"},
	} {
		creation := w.keyFor(account.GetId(), test.resource)
		made := creation.created(t, http.StatusAccepted, w.URL+"/iam/v2/api-keys/"+creation.value.GetId())
		if r := made.Spec.Resource; r.GetApiVersion() != test.apiVersion || r.GetKind() != test.kind {
			t.Errorf("the resource %q became %+v", test.resource, r)
		}
		if o := made.Spec.Owner; o.Id != account.GetId() || o.GetApiVersion() != "iam/v2" || o.GetKind() != "ServiceAccount" || o.ResourceName != account.Metadata.GetResourceName() {
			t.Errorf("the owner is %+v", o)
		}
		if !secret.MatchString(made.Spec.GetSecret()) {
			t.Errorf("the secret has not the shape of a secret, and %d characters", len(made.Spec.GetSecret()))
		}
		// It works at once.
		caller := w.as(made.GetId(), made.Spec.GetSecret())
		got(caller.environments.ListOrgV2Environments(caller.ctx).Execute()).want(t, http.StatusOK)

		updated := got(c.apiKeys.UpdateIamV2ApiKey(c.ctx, made.GetId()).IamV2ApiKeyUpdate(apikeysv2.IamV2ApiKeyUpdate{
			Spec: &apikeysv2.IamV2ApiKeySpecUpdate{DisplayName: new("renamed")},
		}).Execute()).want(t, http.StatusOK)
		read := got(c.apiKeys.GetIamV2ApiKey(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
		for _, k := range []apikeysv2.IamV2ApiKey{updated, read} {
			if k.Spec.GetDisplayName() != "renamed" || k.Spec.GetDescription() != "of the SDK" {
				t.Errorf("after the update: %+v", k.Spec)
			}
			if k.Spec.GetSecret() != "" {
				t.Error("the secret is shown a second time")
			}
			if k.Spec.Resource.GetKind() != test.kind || k.Spec.Owner.GetKind() != "ServiceAccount" {
				t.Errorf("the references are %+v and %+v", k.Spec.Resource, k.Spec.Owner)
			}
		}

		done(c.apiKeys.DeleteIamV2ApiKey(c.ctx, made.GetId()).Execute()).want(t, http.StatusNoContent)
		got(caller.environments.ListOrgV2Environments(caller.ctx).Execute()).fails(t, http.StatusUnauthorized, "user_unauthenticated")
		got(c.apiKeys.GetIamV2ApiKey(c.ctx, made.GetId()).Execute()).fails(t, http.StatusForbidden, "forbidden_access")
	}
}

// testAPIKeyOwners is about what a key's owner means for the key.
func testAPIKeyOwners(t *testing.T, w *world) {
	c := w.admin
	self := w.adminID(t)
	mine := w.keyFor(self, "").want(t, http.StatusAccepted)
	if mine.Spec.Owner.GetKind() != "User" {
		t.Errorf("the owner is %+v", mine.Spec.Owner)
	}
	other := w.invite(t, "other@example.com").User.GetId()
	w.keyFor(other, "").fails(t, http.StatusForbidden, "user_unauthorized")
	w.keyFor("sa-000000", "").fails(t, http.StatusUnprocessableEntity, "invalid_configuration")
	if _, source := w.keyFor(self, "lkc-000000").fails(t, http.StatusUnprocessableEntity, "invalid_configuration"); source != "/spec/resource/id" {
		t.Errorf("a cluster that does not exist is blamed on %q", source)
	}

	account := w.serviceAccount(t, "short-lived")
	key := w.keyFor(account.GetId(), "").want(t, http.StatusAccepted)
	caller := w.as(key.GetId(), key.Spec.GetSecret())
	got(caller.environments.ListOrgV2Environments(caller.ctx).Execute()).want(t, http.StatusOK)
	done(c.serviceAccounts.DeleteIamV2ServiceAccount(c.ctx, account.GetId()).Execute()).want(t, http.StatusNoContent)
	got(caller.environments.ListOrgV2Environments(caller.ctx).Execute()).fails(t, http.StatusUnauthorized, "user_unauthenticated")
	got(c.apiKeys.GetIamV2ApiKey(c.ctx, key.GetId()).Execute()).fails(t, http.StatusForbidden, "forbidden_access")
}

func testAPIKeyFilters(t *testing.T, w *world) {
	c := w.admin
	one, two := w.serviceAccount(t, "one"), w.serviceAccount(t, "two")
	cloud := w.keyFor(one.GetId(), "").want(t, http.StatusAccepted)
	global := w.keyFor(one.GetId(), "global").want(t, http.StatusAccepted)
	other := w.keyFor(two.GetId(), "").want(t, http.StatusAccepted)
	for _, test := range []struct {
		owner, resource string
		want            []string
	}{
		{one.GetId(), "", []string{cloud.GetId(), global.GetId()}},
		{two.GetId(), "", []string{other.GetId()}},
		{one.GetId(), "cloud", []string{cloud.GetId()}},
		{"", "global", []string{global.GetId()}},
		{two.GetId(), "global", nil},
		{"", "", []string{w.APIKey, cloud.GetId(), global.GetId(), other.GetId()}},
	} {
		// As the CLI does, an empty filter is sent and means nothing.
		list := got(c.apiKeys.ListIamV2ApiKeys(c.ctx).SpecOwner(test.owner).SpecResource(test.resource).Execute()).want(t, http.StatusOK)
		var ids []string
		for _, k := range list.Data {
			ids = append(ids, k.GetId())
			if k.Spec.GetSecret() != "" {
				t.Error("the list shows a secret")
			}
		}
		sameSet(t, ids, test.want, "owner "+test.owner+", resource "+test.resource)
	}
}
