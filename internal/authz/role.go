package authz

import (
	"slices"
	"sync"
)

// Operations that are asked for by name in more than one place.
const (
	Describe       = "Describe"
	DescribeAccess = "DescribeAccess"
	AlterAccess    = "AlterAccess"
)

// Role is one row of the table of roles.
type Role struct {
	Name string
	// Scopes are the types of resources that the role can be bound to.
	Scopes []Scope
	// Within is what the role permits on what it is bound to and below.
	Within Grants
	// BoundTo is what it permits there besides, by what it is bound to.
	BoundTo map[Scope]Grants
	// Organization is what it permits in the whole organization besides,
	// wherever it is bound.
	Organization Grants
}

// Grants are permissions: the operations on each resource type. The type Any
// stands for every type, the operation All for every operation.
type Grants map[string][]string

// Any is every resource type, All every operation.
const (
	Any = "*"
	All = "All"
)

func (g Grants) permits(resource, operation string) bool {
	return contains(g[resource], operation) || contains(g[Any], operation)
}

func contains(operations []string, operation string) bool {
	return slices.Contains(operations, operation) || slices.Contains(operations, All)
}

// BindableTo reports whether the role can be bound to the type of scope.
func (r *Role) BindableTo(s Scope) bool { return slices.Contains(r.Scopes, s) }

var byName = sync.OnceValue(func() map[string]*Role {
	m := make(map[string]*Role, len(roles))
	for i := range roles {
		m[roles[i].Name] = &roles[i]
	}
	return m
})

// RoleNamed returns the role with the name, or nil.
func RoleNamed(name string) *Role { return byName()[name] }

// Roles returns the table, sorted by name.
func Roles() []Role { return slices.Clone(roles) }
