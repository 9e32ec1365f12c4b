// Package authz decides who may do what. The decision is a pure function of
// what a principal holds and what is asked; roles are data.
package authz

import (
	"github.com/weirhq/weir/internal/crn"
)

// Binding gives a principal a role on a scope and on everything below it.
type Binding struct {
	Role  string
	Scope crn.Pattern
}

// Subject is a principal with all that it holds.
type Subject struct {
	// Org is the organization's ID, Principal the ID of the user or service
	// account.
	Org, Principal string
	Bindings       []Binding
}

// Question is what is asked: may the subject do Operation on the object of
// type Resource that CRN names (for a create, on the scope that will hold it).
type Question struct {
	// Operation and Resource are spelt as in the vendor's permissions, for
	// example "Describe" and "Environment".
	Operation, Resource string
	CRN                 crn.CRN
	// Owner is the principal who owns the object, or "".
	Owner string
}

// Decide answers the question. There are only permissions, no prohibitions:
// what nothing allows is denied.
func Decide(s Subject, q Question) bool {
	if q.Owner != "" && q.Owner == s.Principal && ownerMay[q.Resource] {
		return true
	}
	for _, b := range s.Bindings {
		if roles[b.Role].permits(q.Resource, q.Operation) && b.Scope.Contains(q.CRN) {
			return true
		}
	}
	return false
}

// Visibility is the part of an organization's objects of one type that a
// subject may see in lists.
type Visibility struct {
	// All of them; else, with Own, those that the subject owns; else none.
	All, Own bool
}

// Visible returns what of the resource type the subject may see in the
// organization whose root is named.
func Visible(s Subject, resource string, root crn.CRN) Visibility {
	return Visibility{
		All: Decide(s, Question{Operation: "Describe", Resource: resource, CRN: root}),
		Own: ownerMay[resource],
	}
}
