package sdk_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
	mdsv2 "github.com/confluentinc/ccloud-sdk-go-v2/mds/v2"
	orgv2 "github.com/confluentinc/ccloud-sdk-go-v2/org/v2"
)

// sameSet checks that a list has these objects, whatever their order.
func sameSet(t *testing.T, have, want []string, what string) {
	t.Helper()
	have, want = slices.Sorted(slices.Values(have)), slices.Sorted(slices.Values(want))
	if !slices.Equal(have, want) {
		t.Errorf("%s: the list has %v, want %v", what, have, want)
	}
}

// testPaging reads lists of several pages to their ends, while one of them
// grows and shrinks.
func testPaging(t *testing.T, w *world) {
	w.SetLimit("iam.max_environments.per_org", 1000)
	c := w.admin
	want := []string{w.EnvironmentID}
	for i := range 23 {
		want = append(want, *w.environment(t, fmt.Sprintf("environment %02d", i)).Id)
	}
	read := func(size int32, between func()) ([]string, []int) {
		environments, sizes := pages(t, func(token string) page[orgv2.OrgV2Environment] {
			request := c.environments.ListOrgV2Environments(c.ctx)
			if size > 0 {
				request = request.PageSize(size)
			}
			if token != "" {
				request = request.PageToken(token)
				between()
			}
			list := got(request.Execute()).want(t, http.StatusOK)
			return page[orgv2.OrgV2Environment]{list.Data, list.Metadata.Next.Get()}
		})
		var ids []string
		for _, e := range environments {
			ids = append(ids, e.GetId())
		}
		return ids, sizes
	}
	for size, sizes := range map[int32][]int{0: {10, 10, 4}, 1: slices.Repeat([]int{1}, 24), 7: {7, 7, 7, 3}, 12: {12, 12}, 99: {24}, 100: {24}} {
		ids, have := read(size, func() {})
		sameSet(t, ids, want, fmt.Sprintf("pages of %d", size))
		if !slices.Equal(have, sizes) {
			t.Errorf("pages of %d have the sizes %v, want %v", size, have, sizes)
		}
	}

	// What is there all along comes once, whatever comes and goes meanwhile.
	made := 0
	ids, _ := read(5, func() {
		made++
		e := w.environment(t, fmt.Sprintf("passing %d", made))
		if made%2 == 0 {
			done(c.environments.DeleteOrgV2Environment(c.ctx, e.GetId()).Execute()).want(t, http.StatusNoContent)
		}
	})
	count := map[string]int{}
	for _, id := range ids {
		count[id]++
	}
	for id, n := range count {
		if n != 1 {
			t.Errorf("%s comes %d times", id, n)
		}
	}
	for _, id := range want {
		if count[id] == 0 {
			t.Errorf("%s was skipped", id)
		}
	}

	for _, size := range []int32{-1, 0, 101} {
		if _, source := got(c.environments.ListOrgV2Environments(c.ctx).PageSize(size).Execute()).fails(t, http.StatusBadRequest, "invalid_parameter"); source != "page_size" {
			t.Errorf("page_size %d is blamed on %q", size, source)
		}
	}
	if _, source := got(c.environments.ListOrgV2Environments(c.ctx).PageToken("nonsense").Execute()).fails(t, http.StatusBadRequest, "invalid_page_token"); source != "page_token" {
		t.Errorf("a bad page token is blamed on %q", source)
	}
}

// testPagingWithFilters follows links of lists that are filtered: clients
// repeat the filters themselves, and a token goes with its own only.
func testPagingWithFilters(t *testing.T, w *world) {
	c := w.admin
	var names, want []string
	for i := range 9 {
		account := w.serviceAccount(t, fmt.Sprintf("account %d", i))
		if i%2 == 0 {
			names, want = append(names, account.GetDisplayName()), append(want, account.GetId())
		}
	}
	first := ""
	accounts, sizes := pages(t, func(token string) page[iamv2.IamV2ServiceAccount] {
		request := c.serviceAccounts.ListIamV2ServiceAccounts(c.ctx).DisplayName(names).PageSize(2)
		if token != "" {
			request, first = request.PageToken(token), token
		}
		list := got(request.Execute()).want(t, http.StatusOK)
		return page[iamv2.IamV2ServiceAccount]{list.Data, list.Metadata.Next.Get()}
	})
	var ids []string
	for _, a := range accounts {
		ids = append(ids, a.GetId())
	}
	sameSet(t, ids, want, "by name")
	if !slices.Equal(sizes, []int{2, 2, 1}) {
		t.Errorf("the pages have the sizes %v", sizes)
	}
	got(c.serviceAccounts.ListIamV2ServiceAccounts(c.ctx).DisplayName(names[:1]).PageToken(first).Execute()).fails(t, http.StatusBadRequest, "invalid_page_token")

	environment := w.environment(t, "stage")
	want = want[:0]
	for _, a := range accounts {
		want = append(want, *c.bind(a.GetId(), "DataDiscovery", environment.Metadata.GetResourceName()).want(t, http.StatusCreated).Id)
	}
	bindings, sizes := pages(t, func(token string) page[mdsv2.IamV2RoleBinding] {
		request := c.roleBindings.ListIamV2RoleBindings(c.ctx).CrnPattern(w.crn("") + "/*").RoleName("DataDiscovery").PageSize(2)
		if token != "" {
			request = request.PageToken(token)
		}
		list := got(request.Execute()).want(t, http.StatusOK)
		return page[mdsv2.IamV2RoleBinding]{list.Data, list.Metadata.Next.Get()}
	})
	ids = nil
	for _, b := range bindings {
		ids = append(ids, b.GetId())
	}
	sameSet(t, ids, want, "by pattern")
	if !slices.Equal(sizes, []int{2, 2, 1}) {
		t.Errorf("the pages have the sizes %v", sizes)
	}
}
