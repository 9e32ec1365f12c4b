package conformance

import (
	"slices"
	"testing"
)

func TestServed(t *testing.T) {
	t.Parallel()
	weir := weirDocument(t)
	before := Served(vendorDocuments(t), weir)
	for _, id := range []string{"createIamV2RoleBinding", "listOrgV2Environments", "updateIamV2User"} {
		if !slices.Contains(before, id) {
			t.Errorf("%s is not among what is served", id)
		}
	}
	if !slices.IsSorted(before) {
		t.Errorf("not sorted: %v", before)
	}
	weir.Paths.Value("/iam/v2/users/{id}").Patch.Extensions["x-weir-served"] = false
	weir.Paths.Delete("/iam/v2/role-bindings")
	after := Served(vendorDocuments(t), weir)
	gone := slices.DeleteFunc(slices.Clone(before), func(id string) bool { return slices.Contains(after, id) })
	if want := []string{"createIamV2RoleBinding", "listIamV2RoleBindings", "updateIamV2User"}; !slices.Equal(gone, want) {
		t.Errorf("%v are gone, want %v", gone, want)
	}
}

func TestUnproven(t *testing.T) {
	t.Parallel()
	operations := []string{"createX", "deleteX", "getX", "listX"}
	for _, c := range []struct{ answered, want []string }{
		{nil, operations},
		{[]string{"createX 201", "deleteX 204", "getX 404", "listX 200"}, []string{"getX"}},
		{[]string{"createX 202", "createX 409", "deleteX 401", "getX 200", "listX 501", "other 200"}, []string{"deleteX", "listX"}},
		{[]string{"createX 201", "deleteX 200", "getX 200", "listX 200"}, nil},
	} {
		if got := Unproven(operations, c.answered); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.answered, got, c.want)
		}
	}
}
