package authz

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/crn"
)

// universe is a small organization (and a bit of another one), small enough for
// random bindings and objects to meet.
func universe() []string {
	names := []string{home, away, away + "/environment=env-1", away + "/environment=env-1/cloud-cluster=lkc-1", sa1, sa2, home + "/identity-pool=pool-1"}
	clusters := map[string][]string{env1: {"lkc-1", "lkc-2"}, env2: {"lkc-3", "lkc-4"}} // an ID is of one object only
	for _, env := range []string{env1, env2} {
		names = append(names, env,
			env+"/schema-registry=lsrc-1", env+"/schema-registry=lsrc-1/subject=a", env+"/schema-registry=lsrc-1/subject=a*",
			env+"/flink-region=aws.us-east-1", env+"/flink-region=aws.us-east-1/compute-pool=lfcp-1", env+"/provider-integration=cspi-1")
		for _, id := range clusters[env] {
			lkc := env + "/cloud-cluster=" + id
			names = append(names, lkc, lkc+"/ksql=lksqlc-1", lkc+"/connector=a*", lkc+"/connector=ab", lkc+"/kafka="+id)
			for _, topic := range []string{"*", "a*", "ab*", "b*", "a", "ab", "%2A", "a%2A"} {
				names = append(names, lkc+"/kafka="+id+"/topic="+topic, lkc+"/kafka="+id+"/group="+topic)
			}
		}
	}
	return names
}

// shownByID is what a list shows of an object that is guarded by its own name, as
// the store finds it: by its ID.
func shownByID(v Visibility, id string) bool { return v.All || slices.Contains(v.IDs, id) }

// shownByScope is the same of an object that is guarded by another name: the
// store compares the scopes with that name and with all above it.
func shownByScope(v Visibility, on crn.Pattern) bool {
	if v.All {
		return true
	}
	names := []string{on.String()}
	for c := on.Scope(); c.Len() > 0; c = c.Parent() {
		names = append(names, c.String())
	}
	for _, scope := range v.Scopes {
		prefix, wild := strings.CutSuffix(scope, "*")
		for _, name := range names {
			if name == scope || wild && strings.HasPrefix(name, prefix) {
				return true
			}
		}
	}
	return false
}

// agree draws bindings and compares, for every object and every permission that
// a list asks for, what Visible and Decide say.
func agree(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	names := universe()
	var held []string
	for range random.IntN(6) {
		role := roles[random.IntN(len(roles))]
		name := names[random.IntN(len(names))]
		// As for a binding that the API would take; now and then of a role that
		// does not exist.
		if scope, ok := ScopeOf(pattern(t, name)); !ok || !role.BindableTo(scope) {
			continue
		}
		if random.IntN(20) == 0 {
			role.Name += "X"
		}
		held = append(held, role.Name, name)
	}
	s := subject(t, "sa-9", held...)
	for _, name := range names {
		on := pattern(t, name)
		scope, ok := ScopeOf(on)
		if !ok || strings.HasPrefix(name, away) {
			continue // no list reaches another organization
		}
		for _, operation := range []string{Describe, DescribeAccess} {
			q := Question{Operation: operation, Resource: scope.Resource(), On: on}
			want := Decide(s, q)
			// A role binding, or an API key, on what the name stands for.
			if q.Resource != "Environment" && q.Resource != "Organization" || operation != Describe {
				if got := shownByScope(Visible(s, operation, q.Resource, "role-binding"), on); got != want {
					t.Fatalf("seed %d: holding %q, %s %s on %s is %t and lists say %t", seed, held, operation, q.Resource, on, want, got)
				}
			}
			// The object itself.
			if last := on.Last(); !on.Wildcard() && slices.Contains([]Scope{Organization, Environment, ServiceAccount, CloudCluster}, scope) {
				segment := last.Key
				if scope == Organization {
					segment = "" // its name has no segment of its own
				}
				v := Visible(s, operation, q.Resource, segment)
				// What lies in a scope is found by it and not by its ID.
				if got := shownByID(v, last.Value) || scope == CloudCluster && shownByScope(v, on); got != want {
					t.Fatalf("seed %d: holding %q, %s %s is %t and lists say %t", seed, held, operation, on, want, got)
				}
			}
			for _, resource := range []string{"KafkaApiKey", "KsqlApiKey", "CloudApiKey", "TableflowApiKey", "Invitation", "User"} {
				q.Resource = resource
				if got, want := shownByScope(Visible(s, operation, resource, ""), on), Decide(s, q); got != want {
					t.Fatalf("seed %d: holding %q, %s %s on %s is %t and lists say %t", seed, held, operation, resource, on, want, got)
				}
			}
		}
	}
}

// TestVisibleAgreesWithDecide holds lists to the decision about each object.
func TestVisibleAgreesWithDecide(t *testing.T) {
	t.Parallel()
	for seed := range uint64(600) {
		agree(t, seed)
	}
}

// FuzzVisible goes on where the seeds of the test end.
func FuzzVisible(f *testing.F) {
	f.Add(uint64(1 << 40))
	f.Fuzz(agree)
}
