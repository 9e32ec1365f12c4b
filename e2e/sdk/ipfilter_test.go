package sdk_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	ipfilteringv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam-ip-filtering/v2"
)

func groupRefs(ids ...string) *[]ipfilteringv2.GlobalObjectReference {
	refs := make([]ipfilteringv2.GlobalObjectReference, len(ids))
	for i, id := range ids {
		refs[i] = ipfilteringv2.GlobalObjectReference{Id: id}
	}
	return &refs
}

func testIPGroups(t *testing.T, w *world) {
	c := w.admin
	blocks := []string{"127.0.0.1/8", "192.0.2.7/24"} // with host bits, which stay
	creation := got(c.ipGroups.CreateIamV2IpGroup(c.ctx).IamV2IpGroup(ipfilteringv2.IamV2IpGroup{
		GroupName: new("CorpNet"), CidrBlocks: &blocks,
	}).Execute())
	made := creation.created(t, http.StatusCreated, w.URL+"/iam/v2/ip-groups/"+creation.value.GetId())
	read := got(c.ipGroups.GetIamV2IpGroup(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	for _, g := range []ipfilteringv2.IamV2IpGroup{made, read} {
		if g.GetGroupName() != "CorpNet" || !slices.Equal(g.GetCidrBlocks(), blocks) || !strings.HasPrefix(g.GetId(), "ipg-") {
			t.Errorf("made: %+v", g)
		}
	}
	updated := got(c.ipGroups.UpdateIamV2IpGroup(c.ctx, made.GetId()).IamV2IpGroup(ipfilteringv2.IamV2IpGroup{
		Id: made.Id, GroupName: new("Corp, Net"), CidrBlocks: &[]string{"10.0.0.0/8"},
	}).Execute()).want(t, http.StatusOK)
	if updated.GetGroupName() != "Corp, Net" || !slices.Equal(updated.GetCidrBlocks(), []string{"10.0.0.0/8"}) {
		t.Errorf("updated: %+v", updated)
	}
	if _, source := got(c.ipGroups.CreateIamV2IpGroup(c.ctx).IamV2IpGroup(ipfilteringv2.IamV2IpGroup{
		GroupName: new("broken"), CidrBlocks: &[]string{"10.0.0.0/8", "10.0.0.0/99"},
	}).Execute()).fails(t, http.StatusUnprocessableEntity, "invalid_configuration"); source != "/cidr_blocks/1" {
		t.Errorf("a block that is none is blamed on %q", source)
	}
	list := got(c.ipGroups.ListIamV2IpGroups(c.ctx).Execute()).want(t, http.StatusOK)
	if len(list.Data) != 1 || list.Data[0].GetId() != made.GetId() {
		t.Errorf("the list is %+v", list.Data)
	}
	done(c.ipGroups.DeleteIamV2IpGroup(c.ctx, made.GetId()).Execute()).want(t, http.StatusNoContent)
	if detail, _ := got(c.ipGroups.GetIamV2IpGroup(c.ctx, made.GetId()).Execute()).fails(t, http.StatusNotFound, "resource_not_found"); detail != "IP group not found: not found" {
		t.Errorf("a group that is gone: %q", detail)
	}
}

func testIPFilters(t *testing.T, w *world) {
	c := w.admin
	local := got(c.ipGroups.CreateIamV2IpGroup(c.ctx).IamV2IpGroup(ipfilteringv2.IamV2IpGroup{
		GroupName: new("this machine"), CidrBlocks: &[]string{"127.0.0.0/8"},
	}).Execute()).want(t, http.StatusCreated)
	// As the CLI sends it for the organization.
	creation := got(c.ipFilters.CreateIamV2IpFilter(c.ctx).IamV2IpFilter(ipfilteringv2.IamV2IpFilter{
		FilterName: new("Management API Rules"), ResourceGroup: new("multiple"), ResourceScope: new(""),
		OperationGroups: &[]string{"MANAGEMENT"}, IpGroups: groupRefs(local.GetId()),
	}).Execute())
	made := creation.created(t, http.StatusCreated, w.URL+"/iam/v2/ip-filters/"+creation.value.GetId())
	if made.GetResourceScope() != w.crn("") || !slices.Equal(made.GetOperationGroups(), []string{"MANAGEMENT"}) || made.GetIpGroups()[0].GetRelated() != w.URL+"/iam/v2/ip-groups/"+local.GetId() {
		t.Errorf("made: %+v", made)
	}
	inEnvironment := got(c.ipFilters.CreateIamV2IpFilter(c.ctx).IamV2IpFilter(ipfilteringv2.IamV2IpFilter{
		FilterName: new("legacy"), ResourceGroup: new("management"), ResourceScope: new(w.crn("/environment=" + w.EnvironmentID)), IpGroups: groupRefs(local.GetId()),
	}).Execute()).want(t, http.StatusCreated)

	// The CLI reads the whole filter and sends it back changed.
	whole := got(c.ipFilters.GetIamV2IpFilter(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	whole.SetOperationGroups([]string{"MANAGEMENT", "SCHEMA", "FLINK"})
	whole.IpGroups = groupRefs(local.GetId(), "ipg-none")
	updated := got(c.ipFilters.UpdateIamV2IpFilter(c.ctx, made.GetId()).IamV2IpFilter(whole).Execute()).want(t, http.StatusOK)
	if !slices.Equal(updated.GetOperationGroups(), []string{"MANAGEMENT", "SCHEMA", "FLINK"}) || len(updated.GetIpGroups()) != 2 {
		t.Errorf("updated: %+v", updated)
	}

	list := func(scope, parents string) []string {
		page := got(c.ipFilters.ListIamV2IpFilters(c.ctx).ResourceScope(scope).IncludeParentScopes(parents).PageSize(100).Execute()).want(t, http.StatusOK)
		var ids []string
		for _, f := range page.Data {
			ids = append(ids, f.GetId())
		}
		return ids
	}
	environment := w.crn("/environment=" + w.EnvironmentID)
	for _, c := range []struct {
		scope, parents string
		want           []string
	}{
		{"", "", []string{made.GetId(), inEnvironment.GetId()}},
		{environment, "", []string{inEnvironment.GetId()}},
		{environment, "true", []string{made.GetId(), inEnvironment.GetId()}},
	} {
		if ids := list(c.scope, c.parents); !slices.Equal(ids, c.want) {
			t.Errorf("of %q with parents %q there are %v, want %v", c.scope, c.parents, ids, c.want)
		}
	}

	summary := got(c.ipFilterSummaries.GetIamV2IpFilterSummary(c.ctx).Scope(environment).Execute()).want(t, http.StatusOK)
	if summary.GetScope() != environment || len(summary.GetCategories()) == 0 {
		t.Errorf("the summary is %+v", summary)
	}
	for _, category := range summary.GetCategories() {
		if category.GetName() == "management" && (category.GetStatus() != "LIMITED" || category.GetOperationGroups()[0].GetName() != "MANAGEMENT") {
			t.Errorf("of management the summary says %+v", category)
		}
	}

	// The words that the CLI looks for.
	if detail, _ := first(t, done(c.ipGroups.DeleteIamV2IpGroup(c.ctx, local.GetId()).Execute()).failed(t, http.StatusConflict).Body(), http.StatusConflict, "resource_in_use"); !strings.Contains(detail, "related IP filters") {
		t.Errorf("a group in use: %q", detail)
	}
	detail, _ := got(c.ipFilters.UpdateIamV2IpFilter(c.ctx, made.GetId()).IamV2IpFilter(ipfilteringv2.IamV2IpFilter{IpGroups: groupRefs("ipg-none")}).Execute()).
		fails(t, http.StatusBadRequest, "requester_locked_out")
	if lock, please := strings.Index(detail, "lock out"), strings.Index(detail, "Please"); lock < 0 || please < lock {
		t.Errorf("locked out: %q", detail)
	}
	for _, id := range []string{made.GetId(), inEnvironment.GetId()} {
		done(c.ipFilters.DeleteIamV2IpFilter(c.ctx, id).Execute()).want(t, http.StatusNoContent)
	}
	if detail, _ := got(c.ipFilters.GetIamV2IpFilter(c.ctx, made.GetId()).Execute()).fails(t, http.StatusNotFound, "resource_not_found"); detail != "IP filter not found: not found" {
		t.Errorf("a filter that is gone: %q", detail)
	}
	// The group that has no network is read as an object like the others.
	if none := got(c.ipGroups.GetIamV2IpGroup(c.ctx, "ipg-none").Execute()).want(t, http.StatusOK); none.GetGroupName() == "" {
		t.Errorf("the group without a network is %+v", none)
	}
}
