package authz_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
)

const (
	homeID = "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"
	home   = "crn://confluent.cloud/organization=" + homeID
	away   = "crn://confluent.cloud/organization=0d1f2b7e-3a55-4d0c-9c3e-7f6f6a0d9b11"
)

// places are a name of each type of scope, without the organization.
var places = map[authz.Scope]string{
	authz.Organization:        "",
	authz.Environment:         "/environment=env-1",
	authz.CloudCluster:        "/environment=env-1/cloud-cluster=lkc-1",
	authz.KafkaCluster:        "/environment=env-1/cloud-cluster=lkc-1/kafka=lkc-1",
	authz.Topic:               "/environment=env-1/cloud-cluster=lkc-1/kafka=lkc-1/topic=orders",
	authz.Group:               "/environment=env-1/cloud-cluster=lkc-1/kafka=lkc-1/group=readers",
	authz.TransactionalID:     "/environment=env-1/cloud-cluster=lkc-1/kafka=lkc-1/transactional-id=tx",
	authz.ClusterLink:         "/environment=env-1/cloud-cluster=lkc-1/kafka=lkc-1/cluster-link=east",
	authz.Connector:           "/environment=env-1/cloud-cluster=lkc-1/connector=sink",
	authz.KsqlCluster:         "/environment=env-1/cloud-cluster=lkc-1/ksql=lksqlc-1",
	authz.SchemaRegistry:      "/environment=env-1/schema-registry=lsrc-1",
	authz.SchemaSubject:       "/environment=env-1/schema-registry=lsrc-1/subject=orders-value",
	authz.KEK:                 "/environment=env-1/schema-registry=lsrc-1/kek=main",
	authz.FlinkRegion:         "/environment=env-1/flink-region=aws.us-east-1",
	authz.ComputePool:         "/environment=env-1/flink-region=aws.us-east-1/compute-pool=lfcp-1",
	authz.ProviderIntegration: "/environment=env-1/provider-integration=cspi-1",
	authz.ServiceAccount:      "/service-account=sa-1",
	authz.IdentityPool:        "/identity-provider=op-1/identity-pool=pool-1",
}

// situation is where the object of a question lies, as seen from where a role
// is bound.
type situation struct {
	name string
	// on names the object, "" where the situation does not exist.
	on func(bound string) string
	// own is the principal who owns the object, or "".
	own string
}

var situations = []situation{
	{name: "itself", on: func(bound string) string { return home + bound }},
	{name: "below", on: func(bound string) string { return home + bound + "/object=x" }},
	{name: "beside", on: func(bound string) string {
		if bound == "" {
			return ""
		}
		return home + bound + "-other"
	}},
	{name: "above", on: func(bound string) string {
		if i := strings.LastIndexByte(bound, '/'); i >= 0 {
			return home + bound[:i]
		}
		return ""
	}},
	{name: "organization", on: func(bound string) string {
		if strings.Count(bound, "/") < 2 {
			return "" // is itself, or above
		}
		return home
	}},
	{name: "elsewhere", on: func(bound string) string { return away + bound }},
	{name: "own-user", on: func(string) string { return home + "/object=mine" }, own: "u-9"},
	{name: "own-account", on: func(string) string { return home + "/object=mine" }, own: "sa-9"},
}

func pattern(t *testing.T, text string) crn.Pattern {
	t.Helper()
	p, err := crn.ParsePattern(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

// cell says for which of the resource types the question is allowed.
func cell(t *testing.T, role, bound string, a asked, s situation) string {
	t.Helper()
	on := s.on(bound)
	if on == "" {
		return "-"
	}
	principal := "sa-9"
	if s.own != "" {
		principal = s.own
	}
	var bindings []authz.Binding
	if role != "" {
		bindings = []authz.Binding{{Role: role, Scope: pattern(t, home+bound)}}
	}
	subject := authz.NewSubject(homeID, principal, bindings)
	var allowed []string
	for _, resource := range a.resources {
		if authz.Decide(subject, authz.Question{Operation: a.operation, Resource: resource, On: pattern(t, on), Owner: s.own}) {
			allowed = append(allowed, resource)
		}
	}
	switch len(allowed) {
	case 0:
		return "deny"
	case len(a.resources):
		return "allow"
	default:
		return strings.Join(allowed, ",")
	}
}

// TestDecisions spells out every role at every scope that it can be bound to,
// for every operation that is served, in every situation. The table is a file,
// so that a change of a role shows there in full; an operation that is new
// changes it too.
func TestDecisions(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("role\tbound to\toperation\tasks for")
	for _, s := range situations {
		b.WriteString("\t" + s.name)
	}
	b.WriteByte('\n')
	rows := func(role string, scope authz.Scope, bound string) {
		for _, a := range served(t) {
			_, _ = fmt.Fprintf(&b, "%s\t%s\t%s\t%s", role, scope, a.id, a.operation)
			for _, s := range situations {
				b.WriteString("\t" + cell(t, strings.TrimPrefix(role, "(none)"), bound, a, s))
			}
			b.WriteByte('\n')
		}
	}
	rows("(none)", "-", "")
	for _, role := range authz.Roles() {
		for _, scope := range role.Scopes {
			place, ok := places[scope]
			if got, _ := authz.ScopeOf(pattern(t, home+place)); !ok || got != scope {
				t.Fatalf("places has no name for the scope %s", scope)
			}
			rows(role.Name, scope, place)
		}
	}
	golden(t, "testdata/decisions.tsv", b.String())
	checkDecisions(t, b.String())
}

// checkDecisions reads the table and checks what must hold of every row,
// whatever the roles say.
func checkDecisions(t *testing.T, table string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(table, "\n"), "\n")
	header := strings.Split(lines[0], "\t")
	column := func(name string) int { return slices.Index(header, name) }
	seen := map[string]bool{}
	for _, line := range lines[1:] {
		f := strings.Split(line, "\t")
		seen[f[0]+" "+f[1]+" "+f[2]] = true
		// Beyond the wall nothing is allowed.
		if f[column("elsewhere")] != "deny" {
			t.Errorf("allowed in another organization: %s", line)
		}
		// What a role permits below what it is bound to, it permits of no
		// neighbour, unless it permits it in the whole organization.
		if beside := f[column("beside")]; beside != "deny" && beside != "-" && beside != f[column("above")] {
			t.Errorf("allowed beside the scope, and not above it: %s", line)
		}
		if f[0] == authz.OrganizationAdmin && (f[column("itself")] != "allow" || f[column("below")] != "allow") {
			t.Errorf("denied to the administrator: %s", line)
		}
	}
	for _, role := range authz.Roles() {
		for _, scope := range role.Scopes {
			for _, a := range served(t) {
				if !seen[role.Name+" "+string(scope)+" "+a.id] {
					t.Errorf("the table does not say whether %s on a %s permits %s", role.Name, scope, a.id)
				}
			}
		}
	}
}
