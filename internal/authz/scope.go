package authz

import (
	"maps"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/crn"
)

// Scope is a type of resource that a role can be bound to, named as the
// vendor's messages name it.
type Scope string

// The scopes.
const (
	Organization        Scope = "organization"
	Environment         Scope = "environment"
	CloudCluster        Scope = "cloud-cluster"
	KafkaCluster        Scope = "kafka"
	Topic               Scope = "topic"
	Group               Scope = "group"
	TransactionalID     Scope = "transactional-id"
	ClusterLink         Scope = "cluster-link"
	Connector           Scope = "connector"
	SchemaRegistry      Scope = "schema-registry"
	SchemaSubject       Scope = "subject"
	KEK                 Scope = "kek"
	KsqlCluster         Scope = "ksql"
	FlinkRegion         Scope = "flink-region"
	ComputePool         Scope = "compute-pool"
	ServiceAccount      Scope = "service-account"
	IdentityPool        Scope = "identity-pool"
	ProviderIntegration Scope = "provider-integration"
)

// scopes lists every form that the name of a scope can take: the keys of its
// segments. Source: the pattern grammar of the real service as its provider
// and CLI write it (facts, semantics 1.3).
var scopes = map[string]Scope{
	"organization":                                                  Organization,
	"organization/environment":                                      Environment,
	"organization/environment/cloud-cluster":                        CloudCluster,
	"organization/environment/cloud-cluster/kafka":                  KafkaCluster,
	"organization/environment/cloud-cluster/kafka/topic":            Topic,
	"organization/environment/cloud-cluster/kafka/group":            Group,
	"organization/environment/cloud-cluster/kafka/cluster-link":     ClusterLink,
	"organization/environment/cloud-cluster/kafka/transactional-id": TransactionalID,
	"organization/environment/cloud-cluster/connector":              Connector,
	"organization/environment/cloud-cluster/ksql":                   KsqlCluster,
	"organization/environment/schema-registry":                      SchemaRegistry,
	"organization/environment/schema-registry/subject":              SchemaSubject,
	"organization/environment/schema-registry/kek":                  KEK,
	"organization/environment/flink-region":                         FlinkRegion,
	"organization/environment/flink-region/compute-pool":            ComputePool,
	"organization/environment/provider-integration":                 ProviderIntegration,
	"organization/service-account":                                  ServiceAccount,
	"organization/identity-provider/identity-pool":                  IdentityPool,
	"organization/identity-pool":                                    IdentityPool,
	"organization/certificate-identity-pool":                        IdentityPool,
}

// named are the scopes whose resources users name, so that a pattern can stand
// for a prefix of the name. Identifiers are random: a prefix of one means
// nothing.
var named = map[Scope]bool{
	Topic: true, Group: true, TransactionalID: true, ClusterLink: true,
	Connector: true, SchemaSubject: true, KEK: true,
}

// resources are the resource types in permissions, where they are not spelt as
// the scope.
var resources = map[Scope]string{
	Organization: "Organization", Environment: "Environment", CloudCluster: "CloudCluster",
	KafkaCluster: "Cluster", Topic: "Topic", Group: "Group", TransactionalID: "TransactionalId",
	ClusterLink: "ClusterLink", Connector: "Connector", SchemaRegistry: "SchemaRegistry",
	SchemaSubject: "Subject", KEK: "Kek", KsqlCluster: "KsqlCluster", FlinkRegion: "FlinkRegion",
	ComputePool: "ComputePool", ServiceAccount: "ServiceAccount", IdentityPool: "IdentityPool",
	ProviderIntegration: "ProviderIntegration",
}

// ScopeOf returns the type of what the pattern names, and whether roles can be
// bound to such a thing at all.
func ScopeOf(p crn.Pattern) (Scope, bool) {
	var keys strings.Builder
	for s := range p.Segments() {
		if keys.Len() > 0 {
			keys.WriteByte('/')
		}
		keys.WriteString(s.Key)
	}
	s, ok := scopes[keys.String()]
	if !ok || p.Wildcard() && !named[s] {
		return "", false
	}
	return s, true
}

// Resource is the resource type that permissions on the scope are about.
func (s Scope) Resource() string { return resources[s] }

// ScopeResources lists the resource types of all scopes, sorted.
func ScopeResources() []string {
	return slices.Sorted(maps.Values(resources))
}

// Level is the organization, environment or cluster that the scope is one of or
// lies in: Organization, Environment or CloudCluster.
func (s Scope) Level() Scope {
	level := Organization
	for path, scope := range scopes {
		if scope != s {
			continue
		}
		for _, part := range []Scope{Environment, CloudCluster} {
			if slices.Contains(strings.Split(path, "/"), string(part)) {
				level = part
			}
		}
	}
	return level
}
