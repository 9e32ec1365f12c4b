// Package authz decides who may do what. The decision is a pure function of
// what a principal holds and what is asked; roles are data.
package authz

import (
	"maps"
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

	root crn.Pattern
	// bound are the bindings that permit something, exact and wild the same by
	// how they are found: the roles bound to precisely one resource, so that a
	// decision costs a look-up for each level of the name and not a walk over
	// all bindings, and the others.
	bound, wild []bound
	exact       map[crn.Pattern][]held
	// everywhere are the roles held anywhere in the organization: some permit
	// a little outside their scope.
	everywhere []*Role
	// places are the environments that the subject holds a role on or in, and
	// other names of that length.
	places map[crn.Pattern]struct{}
}

// held is a role, and what it permits for the type of scope that it is bound
// to.
type held struct {
	role *Role
	here Grants
}

func (h held) permits(resource, operation string) bool {
	return h.role.Within.permits(resource, operation) || h.here.permits(resource, operation)
}

type bound struct {
	held
	scope crn.Pattern
}

// NewSubject prepares a principal for decisions. Bindings to roles that do not
// exist, or outside the organization, permit nothing.
func NewSubject(org, principal string, bindings []Binding) *Subject {
	s := &Subject{
		Org: org, Principal: principal, Bindings: bindings,
		root:  crn.PatternOf(Root(org)),
		exact: make(map[crn.Pattern][]held, len(bindings)), places: map[crn.Pattern]struct{}{},
		bound: make([]bound, 0, len(bindings)),
	}
	for _, b := range bindings {
		role := RoleNamed(b.Role)
		if role == nil || !s.root.Covers(b.Scope) {
			continue
		}
		h := held{role: role}
		if role.BoundTo != nil {
			scope, _ := ScopeOf(b.Scope)
			h.here = role.BoundTo[scope]
		}
		s.bound = append(s.bound, bound{h, b.Scope})
		if b.Scope.Wildcard() {
			s.wild = append(s.wild, bound{h, b.Scope})
		} else {
			s.exact[b.Scope] = append(s.exact[b.Scope], h)
		}
		if !slices.Contains(s.everywhere, role) {
			s.everywhere = append(s.everywhere, role)
		}
		if place := placeOf(b.Scope); !place.IsZero() {
			s.places[place] = struct{}{}
		}
	}
	return s
}

// placeOf returns the part of the scope's name that would name an environment,
// or nothing.
func placeOf(scope crn.Pattern) crn.Pattern {
	const levels = 2 // organization, environment
	c := scope.Scope()
	if c.Len() == levels-1 && !scope.Wildcard() {
		return scope
	}
	for c.Len() > levels {
		c = c.Parent()
	}
	if c.Len() < levels {
		return crn.Pattern{}
	}
	return crn.PatternOf(c)
}

// all is what the names of all organizations begin with.
var all = crn.Must(crn.New(crn.Authority))

// Root is the name of an organization, which all of its resources' names begin
// with.
func Root(org string) crn.CRN { return crn.Must(all.Append("organization", org)) }

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
// what nothing allows is denied. It allocates nothing. Its cost does not grow
// with the number of bindings to single resources, and by some nanoseconds for
// each binding to a pattern with a wildcard.
func Decide(s *Subject, q Question) bool {
	if q.Owner != "" && q.Owner == s.Principal && ownGrants(s.Principal).permits(q.Resource, q.Operation) {
		return true
	}
	if !s.root.Covers(q.On) {
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
		if b.scope.Covers(q.On) && b.permits(q.Resource, q.Operation) {
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
	for _, h := range s.exact[scope] {
		if h.permits(q.Resource, q.Operation) {
			return true
		}
	}
	return false
}

// standsIn reports whether the subject holds a role on something within an
// organization or environment: who works in a place may know that it is there.
func (s *Subject) standsIn(q Question) bool {
	switch q.Resource {
	case "Organization":
		return q.On == s.root && len(s.bound) > 0
	case "Environment":
		_, ok := s.places[q.On]
		return ok
	default:
		return false
	}
}

// Visibility is the part of an organization's objects of one type that a
// subject may see in lists.
type Visibility struct {
	// All of them; else those with these IDs (sorted), and those that lie in
	// the scopes with these names.
	All    bool
	IDs    []string
	Scopes []string
}

// Visible returns what of the resource type the subject's roles let it list.
// segment is the type's key in CRNs; operation is what seeing one asks for. It
// says the same as Decide for each object, but for what the subject owns.
func Visible(s *Subject, operation, resource, segment string) Visibility {
	var v Visibility
	v.All = s.holds(Question{Operation: operation, Resource: resource}, s.root)
	for _, r := range s.everywhere {
		v.All = v.All || r.Organization.permits(resource, operation)
	}
	if operation == Describe && resource == "Organization" && len(s.bound) > 0 {
		v.All = true // there is one, and the subject holds a role in it
	}
	if v.All {
		return v
	}
	ids := map[string]struct{}{}
	for _, b := range s.bound {
		if !b.permits(resource, operation) {
			continue
		}
		v.Scopes = append(v.Scopes, b.scope.String())
		if last := b.scope.Last(); last.Key == segment && !b.scope.Wildcard() {
			ids[last.Value] = struct{}{}
		}
	}
	if operation == Describe && resource == "Environment" {
		for place := range s.places {
			if last := place.Last(); last.Key == segment {
				ids[last.Value] = struct{}{}
			}
		}
	}
	v.IDs = slices.Sorted(maps.Keys(ids))
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
