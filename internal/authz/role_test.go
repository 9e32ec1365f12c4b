package authz

import (
	"slices"
	"testing"
)

func TestRolesAreSorted(t *testing.T) {
	t.Parallel()
	names := make([]string, 0, len(roles))
	for _, r := range Roles() {
		names = append(names, r.Name)
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("the table is not sorted, or names a role twice: %q", names)
	}
}

// TestRoles checks the shape of each row.
func TestRoles(t *testing.T) {
	t.Parallel()
	types := ScopeResources()
	for _, r := range Roles() {
		if found := RoleNamed(r.Name); found == nil || found.Name != r.Name {
			t.Errorf("%s is not found by its name", r.Name)
		}
		if len(r.Scopes) == 0 {
			t.Errorf("%s can be bound to nothing", r.Name)
		}
		for _, s := range r.Scopes {
			if !slices.Contains(types, s.Resource()) {
				t.Errorf("%s is bound to %q, which is no scope", r.Name, s)
			}
			if !r.BindableTo(s) {
				t.Errorf("%s is not bindable to its own scope %s", r.Name, s)
			}
		}
		for s := range r.BoundTo {
			if !r.BindableTo(s) {
				t.Errorf("%s says what it permits when bound to a %s, and cannot be", r.Name, s)
			}
		}
		// All of everything, and All of what stays within its scope, are for
		// who administrates; in the whole organization nothing is that wide.
		if slices.Contains(r.Within[Any], All) && r.Name != OrganizationAdmin {
			t.Errorf("%s permits everything", r.Name)
		}
		for resource, operations := range r.Organization {
			if resource == Any || slices.Contains(operations, All) || slices.Contains(operations, AlterAccess) {
				t.Errorf("%s permits %s of %s in the whole organization", r.Name, operations, resource)
			}
		}
	}
	if RoleNamed("") != nil || RoleNamed("organizationadmin") != nil {
		t.Error("a name that is none finds a role")
	}
}

// TestWhoGrants names the roles that can hand out access, and on what: a new one
// has to be added here on purpose. Everything on a type includes access to it.
func TestWhoGrants(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"AccountAdmin":      {"ServiceAccount"},
		"CloudClusterAdmin": ScopeResources(),
		"EnvironmentAdmin":  ScopeResources(),
		OrganizationAdmin:   ScopeResources(),
		ResourceOwner:       ScopeResources(),
	}
	for _, r := range Roles() {
		for _, resource := range ScopeResources() {
			grants := r.Within.permits(resource, AlterAccess) || r.Organization.permits(resource, AlterAccess)
			for _, g := range r.BoundTo {
				grants = grants || g.permits(resource, AlterAccess)
			}
			if grants != slices.Contains(want[r.Name], resource) {
				t.Errorf("%s hands out access to a %s: %t", r.Name, resource, grants)
			}
		}
	}
}

// TestRolesIsACopy keeps callers from changing the table.
func TestRolesIsACopy(t *testing.T) {
	t.Parallel()
	Roles()[0] = Role{}
	if Roles()[0].Name == "" {
		t.Error("the table can be changed through what Roles returns")
	}
}
