// Package authz decides who may do what. The decision is a pure function of
// what a principal holds and what is asked; roles are data.
package authz

import (
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/crn"
)

// Binding gives a principal a role on a scope and on everything below it.
type Binding struct {
	Role  string
	Scope crn.Pattern
}

// Subject is a principal with all that it holds, made by NewSubject. It does
// not change, and can be shared.
type Subject struct {
	// Org is the organization's ID, Principal the ID of the user, service
	// account, identity pool or group mapping.
	Org, Principal string
	// Bindings are the subject's own and those of its groups.
	Bindings []Binding

	root crn.CRN
	// exact finds the roles bound to precisely one resource, so that a
	// decision costs a look-up for each level of the name and not a walk over
	// all bindings; wild are the others.
	exact map[crn.Pattern][]*Role
	wild  []bound
	// everywhere are the roles held anywhere in the organization: some permit
	// a little outside their scope.
	everywhere []*Role
}

type bound struct {
	role  *Role
	scope crn.Pattern
}

// NewSubject prepares a principal for decisions. Bindings to roles that do not
// exist, or outside the organization, permit nothing.
func NewSubject(org, principal string, bindings []Binding) *Subject {
	s := &Subject{
		Org: org, Principal: principal, Bindings: bindings,
		root:  crn.Must(crn.New(crn.Authority, crn.Segment{Key: "organization", Value: org})),
		exact: map[crn.Pattern][]*Role{},
	}
	for _, b := range bindings {
		role := RoleNamed(b.Role)
		if role == nil || !crn.PatternOf(s.root).Covers(b.Scope) {
			continue
		}
		if !slices.Contains(s.everywhere, role) {
			s.everywhere = append(s.everywhere, role)
		}
		if b.Scope.Wildcard() {
			s.wild = append(s.wild, bound{role, b.Scope})
		} else if held := s.exact[b.Scope]; !slices.Contains(held, role) {
			s.exact[b.Scope] = append(held, role)
		}
	}
	return s
}

// Question is what is asked: may the subject do Operation on what On names, of
// type Resource.
type Question struct {
	// Operation and Resource are spelt as in the vendor's permissions, for
	// example "Describe" and "Environment".
	Operation, Resource string
	// On is the object itself; for a create the scope that will hold it; for
	// a grant the pattern that the role is to be bound to.
	On crn.Pattern
	// Owner is the principal who owns the object, or "".
	Owner string
}

// Decide answers the question. There are only permissions, no prohibitions:
// what nothing allows is denied. It allocates nothing, and its cost does not
// grow with the number of bindings to single resources.
func Decide(s *Subject, q Question) bool {
	if q.Owner != "" && q.Owner == s.Principal && ownGrants(s.Principal).permits(q.Resource, q.Operation) {
		return true
	}
	if !crn.PatternOf(s.root).Covers(q.On) {
		return false
	}
	if s.holds(q, q.On) {
		return true
	}
	for c := q.On.Scope(); !c.IsZero() && c.Len() > 0; c = c.Parent() {
		if s.holds(q, crn.PatternOf(c)) {
			return true
		}
	}
	for _, b := range s.wild {
		if b.role.permits(q.Resource, q.Operation) && b.scope.Covers(q.On) {
			return true
		}
	}
	for _, r := range s.everywhere {
		if r.Organization.permits(q.Resource, q.Operation) {
			return true
		}
	}
	return q.Operation == Describe && s.standsIn(q)
}

func (s *Subject) holds(q Question, scope crn.Pattern) bool {
	for _, r := range s.exact[scope] {
		if r.permits(q.Resource, q.Operation) {
			return true
		}
	}
	return false
}

// standsIn reports whether the subject holds a role on something within an
// organization or environment: who works in a place may know that it is there.
func (s *Subject) standsIn(q Question) bool {
	if q.Resource != "Environment" && q.Resource != "Organization" || q.On.Wildcard() {
		return false
	}
	for _, b := range s.Bindings {
		if RoleNamed(b.Role) != nil && q.On.Covers(b.Scope) {
			return true
		}
	}
	return false
}

// Visibility is the part of an organization's objects of one type that a
// subject may see in lists.
type Visibility struct {
	// All of them; else those with these IDs, and those that lie in the scopes
	// with these names.
	All    bool
	IDs    []string
	Scopes []string
}

// Visible returns what of the resource type the subject's roles let it list.
// segment is the type's key in CRNs; operation is what seeing one asks for. It
// says the same as Decide for each object, but for what the subject owns.
func Visible(s *Subject, operation, resource, segment string) Visibility {
	var v Visibility
	root := crn.PatternOf(s.root)
	v.All = s.holds(Question{Operation: operation, Resource: resource}, root)
	for _, r := range s.everywhere {
		v.All = v.All || r.Organization.permits(resource, operation)
	}
	if operation == Describe && resource == "Organization" && len(s.everywhere) > 0 {
		v.All = true // there is one, and the subject holds a role in it
	}
	if v.All {
		return v
	}
	implied := operation == Describe && resource == "Environment"
	for _, b := range s.Bindings {
		role := RoleNamed(b.Role)
		if role == nil || !root.Covers(b.Scope) {
			continue
		}
		permitted := role.permits(resource, operation)
		if permitted {
			v.Scopes = append(v.Scopes, b.Scope.String())
		}
		if id, ok := b.Scope.Value(segment); ok && (permitted || implied) && !slices.Contains(v.IDs, id) {
			v.IDs = append(v.IDs, id)
		}
	}
	return v
}

// OwnerMay reports whether a principal may do the operation, without a role, on
// what it owns of one of the resource types.
func OwnerMay(principal, operation string, resources []string) bool {
	for _, resource := range resources {
		if ownGrants(principal).permits(resource, operation) {
			return true
		}
	}
	return false
}

func ownGrants(principal string) Grants {
	if strings.HasPrefix(principal, "u-") {
		return ownUser
	}
	return ownServiceAccount
}
