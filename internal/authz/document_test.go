package authz_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/operation"
)

const (
	document = "../../docs/authorization.md"
	begins   = "<!-- What follows is generated from the table of roles: go test ./internal/authz -update -->\n"
	ends     = "<!-- The end of what is generated. -->\n"
)

// TestDocument compares the tables in docs/authorization.md with the roles that
// decide, or writes them.
func TestDocument(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begins)
	_, after, end := strings.Cut(rest, ends)
	if !ok || !end {
		t.Fatalf("%s has lost the lines that enclose its generated part", document)
	}
	golden(t, document, before+begins+"\n"+roleTable()+"\n"+operationTable(t)+"\n"+ends+after)
}

// grants writes permissions as the tables have them.
func grants(g authz.Grants) string {
	var out []string
	for _, resource := range slices.Sorted(maps.Keys(g)) {
		operations := strings.Join(g[resource], ", ")
		if slices.Contains(g[resource], authz.All) {
			operations = "everything"
		}
		if resource == authz.Any {
			resource = "every type"
		}
		out = append(out, resource+": "+operations)
	}
	return strings.Join(out, "<br>")
}

func roleTable() string {
	var b strings.Builder
	b.WriteString("## Roles\n\n| Role | Bound to | Permits there and below | Permits in the whole organization |\n| --- | --- | --- | --- |\n")
	for _, r := range authz.Roles() {
		var scopes []string
		for _, s := range r.Scopes {
			scopes = append(scopes, string(s))
		}
		within := grants(r.Within)
		for _, s := range slices.Sorted(maps.Keys(r.BoundTo)) {
			within += "<br>where bound to a " + string(s) + ": " + strings.ReplaceAll(grants(r.BoundTo[s]), "<br>", "; ")
		}
		_, _ = fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Name, strings.Join(scopes, ", "), within, grants(r.Organization))
	}
	return b.String()
}

// decides asks whether the role permits the operation on the type when it is
// bound to the place and the object is at the other one.
func decides(t *testing.T, role, bound, principal, owner, operation, resource, on string) bool {
	t.Helper()
	var bindings []authz.Binding
	if role != "" {
		bindings = []authz.Binding{{Role: role, Scope: pattern(t, home+bound)}}
	}
	return authz.Decide(authz.NewSubject(homeID, principal, bindings), authz.Question{
		Operation: operation, Resource: resource, On: pattern(t, home+on), Owner: owner,
	})
}

// callers says who may do what the operation asks for on one resource type: by
// a role within its scope, by a role anywhere, and as the owner.
func callers(t *testing.T, a asked, resource string) string {
	t.Helper()
	const outside = "/object=x"
	var within, everywhere, owners []string
	for _, role := range authz.Roles() {
		var scopes []string
		anywhere := false
		for _, s := range role.Scopes {
			bound := places[s]
			anywhere = anywhere || bound != "" && decides(t, role.Name, bound, "sa-9", "", a.operation, resource, outside)
			// The type of the object says whether it can lie in the scope at all.
			if s.Resource() == resource || contains(s, resource) {
				if decides(t, role.Name, bound, "sa-9", "", a.operation, resource, bound) || decides(t, role.Name, bound, "sa-9", "", a.operation, resource, bound+"/object=x") {
					scopes = append(scopes, string(s))
				}
			}
		}
		switch {
		case anywhere:
			everywhere = append(everywhere, role.Name)
		case len(scopes) > 0:
			within = append(within, role.Name+" ("+strings.Join(scopes, ", ")+")")
		}
	}
	if !a.container || len(a.resources) > 1 {
		for principal, name := range map[string]string{"u-9": "users", "sa-9": "service accounts"} {
			if a.kind != nil && a.kind.OwnedBy != "" && decides(t, "", "", principal, principal, a.operation, resource, outside) {
				owners = append(owners, name)
			}
		}
		slices.Sort(owners)
	}
	return strings.Join(within, ", ") + " | " + strings.Join(everywhere, ", ") + " | " + strings.Join(owners, ", ")
}

// contains reports whether objects of the type can lie below the scope, as far
// as it is about something that is served: keys and bindings stand below what
// they are for.
func contains(s authz.Scope, resource string) bool {
	if s == authz.Organization {
		return true
	}
	if strings.HasSuffix(resource, "ApiKey") {
		return s == authz.ServiceAccount || keyed(s, resource)
	}
	if resource == "IpFilter" {
		return s == authz.Environment
	}
	for scope, place := range places {
		if scope.Resource() == resource && strings.HasPrefix(place, places[s]+"/") {
			return true
		}
	}
	return false
}

// keyed says which keys can be for a resource in the scope.
func keyed(s authz.Scope, resource string) bool {
	reach := map[string]authz.Scope{
		"KafkaApiKey": authz.CloudCluster, "SchemaRegistryApiKey": authz.SchemaRegistry,
		"KsqlApiKey": authz.KsqlCluster, "FlinkApiKey": authz.FlinkRegion,
	}
	target, ok := reach[resource]
	return ok && (places[target] == places[s] || strings.HasPrefix(places[target], places[s]+"/"))
}

func operationTable(t *testing.T) string {
	t.Helper()
	// A row is a permission on the types that the same callers hold it on, with
	// the operations that ask for it.
	type row struct{ asks, types, who string }
	var order []row
	operations := map[row][]string{}
	for _, op := range operation.All() { // sorted by path and method
		i := slices.IndexFunc(served(t), func(a asked) bool { return a.id == op.ID })
		if i < 0 {
			continue
		}
		a := served(t)[i]
		var callersOf []string
		types := map[string][]string{}
		for _, resource := range a.resources {
			who := callers(t, a, resource)
			if types[who] == nil {
				callersOf = append(callersOf, who)
			}
			types[who] = append(types[who], resource)
		}
		for _, who := range callersOf {
			r := row{a.operation, strings.Join(types[who], ", "), who}
			if operations[r] == nil {
				order = append(order, r)
			}
			operations[r] = append(operations[r], op.Method+" "+op.Path)
		}
	}
	var b strings.Builder
	b.WriteString("## Operations\n\nA row is a permission and who has it. Lists are never refused: they leave out what\n" +
		"the caller may not see.\n\n" +
		"| Operations | Ask for | On | Roles, within what they are bound to | Roles, in the whole organization | Owners |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range order {
		_, _ = fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", strings.Join(operations[r], "<br>"), r.asks, r.types, r.who)
	}
	return b.String()
}
