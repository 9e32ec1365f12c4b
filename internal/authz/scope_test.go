package authz

import (
	"slices"
	"testing"
)

func TestScopeOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		want Scope
	}{
		{home, Organization},
		{env1, Environment},
		{lkc1, CloudCluster},
		{kafka, KafkaCluster},
		{kafka + "/topic=orders", Topic},
		{kafka + "/topic=*", Topic},
		{kafka + "/topic=or*", Topic},
		{kafka + "/group=confluent_cli_consumer_*", Group},
		{kafka + "/transactional-id=my_transaction", TransactionalID},
		{kafka + "/cluster-link=east", ClusterLink},
		{lkc1 + "/connector=sink", Connector},
		{lkc1 + "/ksql=lksqlc-1", KsqlCluster},
		{env1 + "/schema-registry=lsrc-1", SchemaRegistry},
		{env1 + "/schema-registry=lsrc-1/subject=:.ctx:*", SchemaSubject},
		{env1 + "/schema-registry=lsrc-1/kek=name", KEK},
		{env1 + "/flink-region=aws.us-east-1", FlinkRegion},
		{env1 + "/flink-region=aws.us-east-1/compute-pool=lfcp-1", ComputePool},
		{env1 + "/provider-integration=cspi-1", ProviderIntegration},
		{sa1, ServiceAccount},
		{home + "/identity-provider=op-1/identity-pool=pool-1", IdentityPool},
		{home + "/identity-pool=pool-1", IdentityPool},
		// What roles cannot be bound to.
		{home + "/user=u-1", ""},
		{home + "/role-binding=rb-1", ""},
		{home + "/cloud-cluster=lkc-1", ""},
		{env1 + "/environment-two=env-2", ""},
		{lkc1 + "/topic=orders", ""},
		{kafka + "/topic=orders/partition=1", ""},
		{"crn://confluent.cloud/environment=env-1", ""},
		// Prefixes of identifiers mean nothing.
		{home + "/environment=*", ""},
		{home + "/environment=env-*", ""},
		{home + "/service-account=*", ""},
		{env1 + "/cloud-cluster=lkc-*", ""},
		{lkc1 + "/ksql=*", ""},
	} {
		got, ok := ScopeOf(pattern(t, test.name))
		if got != test.want || ok != (test.want != "") {
			t.Errorf("%s is a %q (%t), want %q", test.name, got, ok, test.want)
		}
	}
}

// TestScopeTables holds the tables to each other.
func TestScopeTables(t *testing.T) {
	t.Parallel()
	forms := map[Scope]bool{}
	for _, s := range scopes {
		forms[s] = true
		if s.Resource() == "" {
			t.Errorf("%s has no resource type", s)
		}
	}
	for s := range resources {
		if !forms[s] {
			t.Errorf("no name has the scope %s", s)
		}
	}
	for s := range named {
		if !forms[s] {
			t.Errorf("no name has the scope %s, whose resources users name", s)
		}
	}
	types := ScopeResources()
	if !slices.IsSorted(types) || len(slices.Compact(slices.Clone(types))) != len(types) || len(types) != len(resources) {
		t.Errorf("the resource types are not sorted, or not distinct: %q", types)
	}
}
