package authz

import (
	"testing"

	"github.com/weirhq/weir/internal/crn"
)

// The organization of the subject, another one, and names in them.
const (
	home = "crn://confluent.cloud/organization=9bb441c4-edef-46ac-8a41-c49e44a3fd9a"
	away = "crn://confluent.cloud/organization=0d1f2b7e-3a55-4d0c-9c3e-7f6f6a0d9b11"

	env1  = home + "/environment=env-1"
	env2  = home + "/environment=env-2"
	lkc1  = env1 + "/cloud-cluster=lkc-1"
	lkc2  = env1 + "/cloud-cluster=lkc-2"
	kafka = lkc1 + "/kafka=lkc-1"
	sa1   = home + "/service-account=sa-1"
	sa2   = home + "/service-account=sa-2"
)

func pattern(t testing.TB, text string) crn.Pattern {
	t.Helper()
	p, err := crn.ParsePattern(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

// subject holds roles, written as a role and a pattern in turn.
func subject(t testing.TB, principal string, held ...string) *Subject {
	t.Helper()
	var bindings []Binding
	for i := 0; i < len(held); i += 2 {
		bindings = append(bindings, Binding{Role: held[i], Scope: pattern(t, held[i+1])})
	}
	return NewSubject("9bb441c4-edef-46ac-8a41-c49e44a3fd9a", principal, bindings)
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                    string
		held                    []string
		operation, resource, on string
		want                    bool
	}{
		{"no role", nil, Describe, "Environment", env1, false},
		{"no role, the organization itself", nil, Describe, "Organization", home, false},
		{"an unknown role", []string{"Emperor", home}, Describe, "Environment", env1, false},
		{"the name of a role in another case", []string{"organizationadmin", home}, Describe, "Environment", env1, false},

		{"everything, everywhere", []string{OrganizationAdmin, home}, "Anything", "Whatever", lkc1, true},
		{"but not elsewhere", []string{OrganizationAdmin, home}, Describe, "Environment", away + "/environment=env-1", false},
		{"nor there by a binding that points there", []string{OrganizationAdmin, away}, Describe, "Environment", away + "/environment=env-1", false},
		{"nor here by it", []string{OrganizationAdmin, away}, Describe, "Environment", env1, false},
		{"an organization whose ID begins alike", []string{OrganizationAdmin, home}, Describe, "Environment", home + "0/environment=env-1", false},
		{"another authority", []string{OrganizationAdmin, home}, Describe, "Environment", "crn://example.com/organization=9bb441c4-edef-46ac-8a41-c49e44a3fd9a/environment=env-1", false},

		{"an environment", []string{"EnvironmentAdmin", env1}, "Alter", "Environment", env1, true},
		{"what lies in it", []string{"EnvironmentAdmin", env1}, "Create", "KafkaApiKey", lkc1, true},
		{"however deep", []string{"EnvironmentAdmin", env1}, "Read", "Topic", kafka + "/topic=orders", true},
		{"its sibling", []string{"EnvironmentAdmin", env1}, Describe, "Environment", env2, false},
		{"a name that begins alike", []string{"EnvironmentAdmin", env1}, Describe, "Environment", env1 + "0", false},
		{"what is above", []string{"EnvironmentAdmin", env1}, "CreateEnvironment", "Organization", home, false},
		{"a type that the role does not have", []string{"EnvironmentAdmin", env1}, "Create", "CloudApiKey", env1, false},
		{"an operation that the role does not have", []string{"Operator", env1}, "Alter", "Environment", env1, false},

		{"a union: the first", []string{"MetricsViewer", env1, "EnvironmentAdmin", env2}, "Alter", "Environment", env2, true},
		{"a union: no more than its parts", []string{"MetricsViewer", env1, "EnvironmentAdmin", env2}, "Alter", "Environment", env1, false},
		{"a union on one scope", []string{"MetricsViewer", env1, "EnvironmentAdmin", env1}, "Alter", "Environment", env1, true},
		{"no role takes away", []string{"EnvironmentAdmin", env1, "DataDiscovery", env1}, "Delete", "Environment", env1, true},

		{"a prefix", []string{"DeveloperRead", kafka + "/topic=or*"}, "Read", "Topic", kafka + "/topic=orders", true},
		{"the prefix itself is a name", []string{"DeveloperRead", kafka + "/topic=or*"}, "Read", "Topic", kafka + "/topic=or", true},
		{"what does not begin so", []string{"DeveloperRead", kafka + "/topic=or*"}, "Read", "Topic", kafka + "/topic=o", false},
		{"the same prefix of another type", []string{"DeveloperRead", kafka + "/topic=or*"}, "Read", "Group", kafka + "/group=orders", false},
		{"the same prefix elsewhere", []string{"DeveloperRead", kafka + "/topic=or*"}, "Read", "Topic", lkc2 + "/kafka=lkc-2/topic=orders", false},
		{"every name", []string{"DeveloperRead", kafka + "/topic=*"}, "Read", "Topic", kafka + "/topic=orders", true},
		{"a star in a name is a name", []string{"DeveloperRead", kafka + "/topic=or%2A"}, "Read", "Topic", kafka + "/topic=orders", false},

		{"grant on a longer prefix", []string{ResourceOwner, kafka + "/topic=or*"}, AlterAccess, "Topic", kafka + "/topic=order*", true},
		{"grant on the same prefix", []string{ResourceOwner, kafka + "/topic=or*"}, AlterAccess, "Topic", kafka + "/topic=or*", true},
		{"grant on a shorter prefix", []string{ResourceOwner, kafka + "/topic=or*"}, AlterAccess, "Topic", kafka + "/topic=o*", false},
		{"grant on all names", []string{ResourceOwner, kafka + "/topic=or*"}, AlterAccess, "Topic", kafka + "/topic=*", false},
		{"grant on a prefix that is one's own name", []string{ResourceOwner, kafka + "/topic=or"}, AlterAccess, "Topic", kafka + "/topic=or*", false},
		{"grant on all topics of one's cluster", []string{"CloudClusterAdmin", lkc1}, AlterAccess, "Topic", kafka + "/topic=*", true},
		{"grant on all topics of a neighbour", []string{"CloudClusterAdmin", lkc1}, AlterAccess, "Topic", lkc2 + "/kafka=lkc-2/topic=*", false},

		{"in the whole organization, wherever it is bound", []string{"EnvironmentAdmin", env1}, Describe, "User", home + "/user=u-2", true},
		{"and no more than that", []string{"EnvironmentAdmin", env1}, "Alter", "User", home + "/user=u-2", false},
		{"in no other organization", []string{"EnvironmentAdmin", env1}, Describe, "User", away + "/user=u-2", false},

		{"who works in an environment knows it", []string{"DeveloperRead", kafka + "/topic=or*"}, Describe, "Environment", env1, true},
		{"and the organization", []string{"DeveloperRead", kafka + "/topic=or*"}, Describe, "Organization", home, true},
		{"but no other environment", []string{"DeveloperRead", kafka + "/topic=or*"}, Describe, "Environment", env2, false},
		{"nor all of the organization's", []string{"BillingAdmin", home}, Describe, "Environment", env1, false},
		{"and may not change it", []string{"DeveloperRead", kafka + "/topic=or*"}, "Alter", "Environment", env1, false},
		{"nor see the cluster", []string{"DeveloperRead", kafka + "/topic=or*"}, Describe, "CloudCluster", lkc1, false},
		{"an owner of a service account knows no environment", []string{ResourceOwner, sa1}, Describe, "Environment", env1, false},
		{"an unknown role tells of no place", []string{"Emperor", env1}, Describe, "Environment", env1, false},

		{"keys for one's own service account", []string{ResourceOwner, sa1}, "Create", "CloudApiKey", sa1, true},
		{"keys for another one", []string{ResourceOwner, sa1}, "Create", "CloudApiKey", sa2, false},
		{"owning a ksqlDB cluster makes no keys", []string{ResourceOwner, lkc1 + "/ksql=lksqlc-1"}, "Create", "KsqlApiKey", lkc1 + "/ksql=lksqlc-1", false},
		{"its administration does", []string{"KsqlAdmin", lkc1 + "/ksql=lksqlc-1"}, "Create", "KsqlApiKey", lkc1 + "/ksql=lksqlc-1", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := subject(t, "sa-9", test.held...)
			q := Question{Operation: test.operation, Resource: test.resource, On: pattern(t, test.on)}
			if got := Decide(s, q); got != test.want {
				t.Errorf("%s %s on %s with %q: %t", q.Operation, q.Resource, q.On, test.held, got)
			}
		})
	}
}

func TestDecideOnNothing(t *testing.T) {
	t.Parallel()
	s := subject(t, "sa-9", OrganizationAdmin, home)
	if Decide(s, Question{Operation: Describe, Resource: "Environment"}) {
		t.Error("permission on nothing")
	}
	if Decide(s, Question{Resource: "Environment", On: pattern(t, env1), Operation: Describe, Owner: ""}) != true {
		t.Error("the administrator does not see an environment")
	}
}

// TestOwn is about what principals may do without any role.
func TestOwn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		principal, owner, operation, resource string
		want                                  bool
	}{
		{"u-1", "u-1", "Create", "CloudApiKey", true},
		{"u-1", "u-1", "Delete", "KafkaApiKey", true},
		{"u-1", "u-2", "Describe", "CloudApiKey", false},
		{"u-1", "u-1", "Describe", "User", true},
		{"u-1", "u-1", "Alter", "User", true},
		{"u-1", "u-1", "Delete", "User", false},
		{"u-1", "u-1", "AlterAuthType", "User", false},
		{"u-1", "u-1", "Delete", "Invitation", true},
		{"u-1", "u-1", "Create", "Invitation", false},
		{"u-1", "u-1", "DescribeAccess", "Environment", true},
		{"u-1", "u-1", "AlterAccess", "Environment", false},
		{"sa-1", "sa-1", "Describe", "CloudApiKey", true},
		{"sa-1", "sa-1", "Delete", "CloudApiKey", true},
		{"sa-1", "sa-1", "Create", "CloudApiKey", false},
		{"sa-1", "sa-1", "Describe", "ServiceAccount", true},
		{"sa-1", "sa-1", "Alter", "ServiceAccount", false},
		{"sa-1", "sa-1", "AlterAccess", "ServiceAccount", false},
		{"pool-1", "pool-1", "Describe", "CloudApiKey", true},
		{"pool-1", "pool-1", "Create", "CloudApiKey", false},
		{"", "", "Describe", "CloudApiKey", false},
	} {
		s := subject(t, test.principal)
		q := Question{Operation: test.operation, Resource: test.resource, On: pattern(t, home), Owner: test.owner}
		if got := Decide(s, q); got != test.want {
			t.Errorf("%s asks for %s on a %s of %q: %t", test.principal, test.operation, test.resource, test.owner, got)
		}
		if test.owner == "" || test.owner != test.principal {
			continue
		}
		if got := OwnerMay(test.principal, test.operation, []string{"Nothing", test.resource}); got != test.want {
			t.Errorf("OwnerMay(%s, %s, %s) is %t", test.principal, test.operation, test.resource, got)
		}
	}
}

// TestPrincipals holds the same role by each type of principal: what a role
// permits does not depend on who holds it.
func TestPrincipals(t *testing.T) {
	t.Parallel()
	for _, principal := range []string{"u-1", "sa-1", "pool-1", "group-1"} {
		s := subject(t, principal, "EnvironmentAdmin", env1)
		for on, want := range map[string]bool{env1: true, env2: false} {
			if got := Decide(s, Question{Operation: "Delete", Resource: "Environment", On: pattern(t, on)}); got != want {
				t.Errorf("%s deletes %s: %t", principal, on, got)
			}
		}
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                         string
		held                         []string
		operation, resource, segment string
		all                          bool
		ids, scopes                  int
	}{
		{"no role", nil, Describe, "Environment", "environment", false, 0, 0},
		{"everything", []string{OrganizationAdmin, home}, Describe, "Environment", "environment", true, 0, 0},
		{"all of a type", []string{"EnvironmentAdmin", env1}, Describe, "User", "user", true, 0, 0},
		{"one", []string{"EnvironmentAdmin", env1}, Describe, "Environment", "environment", false, 1, 1},
		{"one, held twice", []string{"EnvironmentAdmin", env1, "Operator", env1}, Describe, "Environment", "environment", false, 1, 2},
		{"where one works", []string{"DeveloperRead", kafka + "/topic=*"}, Describe, "Environment", "environment", false, 1, 0},
		{"the organization", []string{"DeveloperRead", kafka + "/topic=*"}, Describe, "Organization", "", true, 0, 0},
		{"the organization without a role", nil, Describe, "Organization", "", false, 0, 0},
		{"other operations imply nothing", []string{"DeveloperRead", kafka + "/topic=*"}, DescribeAccess, "Environment", "environment", false, 0, 0},
		{"elsewhere", []string{OrganizationAdmin, away}, Describe, "Environment", "environment", false, 0, 0},
	} {
		v := Visible(subject(t, "sa-9", test.held...), test.operation, test.resource, test.segment)
		if v.All != test.all || len(v.IDs) != test.ids || len(v.Scopes) != test.scopes {
			t.Errorf("%s: %+v", test.name, v)
		}
	}
}

// TestDecideAllocatesNothing holds the promise that a decision leaves no
// garbage, on its cheap and on its dear ways.
func TestDecideAllocatesNothing(t *testing.T) {
	s := manyBindings(t, 100)
	for name, q := range questions(t) {
		if n := testing.AllocsPerRun(100, func() { Decide(s, q) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
