// Package enginetest is the test that every kind must pass. It is driven by the
// kind's definition: what the definition says of fields, limits, references,
// lists and status codes is tried over HTTP against a running server, and what
// the definition cannot say (a valid body) comes from a [Spec].
//
// The package knows the engine and no group of kinds, so that it can test kinds
// that were made up for a test as well as the real ones.
package enginetest

import (
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/operation"
)

// World is a running server and those who call it.
type World struct {
	// URL is the base of all paths, without a final slash. Every answer must
	// carry the headers of a rate limit, so one must be set.
	URL string
	// Engine works on the server's store, for what HTTP cannot do.
	Engine *engine.Engine
	// Admin may do everything in its organization, Other in another one. Nobody
	// is a service account of Admin's organization and Member a user; neither
	// holds a role. Where tokens have scopes there are no roles to be without, and
	// neither of the two.
	Admin, Other, Nobody, Member Caller
	// Root is what the resource names of Admin's objects begin with; "" means
	// the organization.
	Root string
}

// root is Root, or the name of Admin's organization.
func (w *World) root() string {
	if w.Root != "" {
		return w.Root
	}
	return "crn://" + crn.Authority + "/organization=" + w.Admin.Organization
}

// Caller is a principal with an API key, or with a token that is sent as Bearer.
type Caller struct {
	Key, Secret string
	Token       string
	// Organization and Principal are the IDs of the caller's organization and
	// of the user or service account that the key stands for.
	Organization, Principal string
}

// Spec says of a kind what its definition cannot. A function is called with the
// client of the organization that the object is for.
type Spec struct {
	// Body returns a valid body with every property that users may set, after
	// making what it refers to. Bodies with different n must differ in every
	// string without an Enum, integer, timestamp, array and changeable or
	// filterable reference. It is nil for kinds without Create and Update.
	Body func(t *testing.T, c *Client, n int) map[string]any
	// Omit names, by dotted path, the properties that Body leaves out, Only
	// those that take no other values than Body's, whatever the definition
	// allows; each with the reason.
	Omit, Only map[string]string
	// Query returns the query parameters without which there is no list. With a
	// ParentParameter it says in which parent Body puts the objects.
	Query func(t *testing.T, c *Client) url.Values
	// Uncounted names, by code, the quotas that do not count what Body makes;
	// each with the reason.
	Uncounted map[string]string
	// Parent makes an object for the parameter in the kind's path and returns
	// its ID.
	Parent func(t *testing.T, c *Client) string
	// Make makes an object with what Body(n) says, where it can, and returns
	// its ID: for kinds that have no Create. It may return an object that is
	// there already when the organization has but one.
	Make func(t *testing.T, c *Client, n int) string
}

// numbers are given to bodies; no two in a process are the same, so that tests
// may share an organization.
var numbers atomic.Int64

// tester is one run for one kind.
type tester struct {
	*World
	k    *engine.Kind
	spec Spec

	admin, other, nobody, member *Client
	// parent is the ID in the path of Admin's objects, "" for kinds whose path
	// names none; within is the ParentParameter of Admin's objects.
	parent, within string
}

// Run tests one kind as subtests of t.
func Run(t *testing.T, w *World, k *engine.Kind, spec Spec) {
	r := &tester{
		World: w, k: k, spec: spec,
		admin: w.Client(w.Admin), other: w.Client(w.Other), nobody: w.Client(w.Nobody), member: w.Client(w.Member),
	}
	r.checkSpec(t)
	if spec.Parent != nil {
		r.parent = spec.Parent(t, r.admin)
	}
	if k.ParentParameter != "" {
		r.within = spec.Query(t, r.admin).Get(k.ParentParameter)
	}
	for _, test := range []struct {
		name string
		// needs are the verbs that the kind must have for the test to apply.
		needs []engine.Verb
		run   func(*testing.T)
	}{
		{"Create", []engine.Verb{engine.Create}, r.testCreate},
		{"CreateIgnores", []engine.Verb{engine.Create}, r.testCreateIgnores},
		{"Texts", []engine.Verb{engine.Create}, r.testTexts},
		{"Required", []engine.Verb{engine.Create}, r.testRequired},
		{"WrongTypes", []engine.Verb{engine.Create}, r.testWrongTypes},
		{"Borders", []engine.Verb{engine.Create}, r.testBorders},
		{"References", []engine.Verb{engine.Create}, r.testReferences},
		{"UniqueName", []engine.Verb{engine.Create, engine.Read}, r.testUniqueName},
		{"Read", []engine.Verb{engine.Read}, r.testRead},
		{"Update", []engine.Verb{engine.Update}, r.testUpdate},
		{"UpdateRefuses", []engine.Verb{engine.Update}, r.testUpdateRefuses},
		{"UpdateIgnores", []engine.Verb{engine.Update}, r.testUpdateIgnores},
		{"Replace", []engine.Verb{engine.Update}, r.testReplace},
		{"Clear", []engine.Verb{engine.Update}, r.testClear},
		{"Delete", []engine.Verb{engine.Delete, engine.Read}, r.testDelete},
		{"NotFound", nil, r.testNotFound},
		{"Quotas", []engine.Verb{engine.Create}, r.testQuotas},
		{"List", []engine.Verb{engine.List}, r.testList},
		{"PageSize", []engine.Verb{engine.List}, r.testPageSize},
		{"PageToken", []engine.Verb{engine.List}, r.testPageToken},
		{"PageLinks", []engine.Verb{engine.List}, r.testPageLinks},
		{"Filters", []engine.Verb{engine.List}, r.testFilters},
		{"Parents", nil, r.testParents},
		{"Methods", nil, r.testMethods},
		{"Unauthenticated", nil, r.testUnauthenticated},
		{"NoRole", nil, r.testNoRole},
		{"Owner", []engine.Verb{engine.Read, engine.List}, r.testOwner},
		{"Actions", nil, r.testActions},
		{"Checks", nil, r.testChecks},
		{"Wall", nil, r.testWall},
	} {
		applies := true
		for _, verb := range test.needs {
			applies = applies && r.has(verb)
		}
		if applies {
			t.Run(test.name, test.run)
		}
	}
}

// checkSpec refuses a Spec that would leave part of the kind untested.
func (r *tester) checkSpec(t *testing.T) {
	t.Helper()
	switch {
	case !r.has(engine.Create) && r.spec.Make == nil:
		t.Fatalf("the Spec of %s needs Make: the kind has no Create", r.k.Key())
	case (r.has(engine.Create) || r.has(engine.Update)) && r.spec.Body == nil:
		t.Fatalf("the Spec of %s needs Body", r.k.Key())
	case r.k.Parent != nil && r.k.ParentField == "" && r.spec.Parent == nil:
		t.Fatalf("the Spec of %s needs Parent: its path names one", r.k.Key())
	case r.k.ParentParameter != "" && r.spec.Query == nil:
		t.Fatalf("the Spec of %s needs Query: reading an object names its parent", r.k.Key())
	}
	if r.spec.Body == nil {
		return
	}
	body := r.spec.Body(t, r.admin, r.number())
	for _, f := range taken(r.k.Fields) {
		if _, ok := get(body, f.path); !ok && r.spec.Omit[f.path] == "" {
			t.Errorf("the Spec of %s: Body lacks %s; add it, or say in Omit why not", r.k.Key(), f.path)
		}
	}
}

func (r *tester) has(v engine.Verb) bool { return r.k.Operations[v] != "" }

// op is the row of the operation table behind a verb.
func (r *tester) op(t *testing.T, v engine.Verb) operation.Operation {
	t.Helper()
	op, ok := operation.ByID(r.k.Operations[v])
	if !ok {
		t.Fatalf("there is no operation %s", r.k.Operations[v])
	}
	return op
}

// roleless are the callers without any role.
func (r *tester) roleless() []*Client {
	var out []*Client
	for _, c := range []*Client{r.nobody, r.member} {
		if c.Caller != (Caller{}) {
			out = append(out, c)
		}
	}
	return out
}

func (r *tester) number() int { return int(numbers.Add(1)) }

func (r *tester) body(t *testing.T, c *Client) map[string]any {
	t.Helper()
	return clone(r.spec.Body(t, c, r.number()))
}
