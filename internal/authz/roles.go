package authz

// Names of roles that code refers to.
const (
	OrganizationAdmin = "OrganizationAdmin"
	ResourceOwner     = "ResourceOwner"
)

var (
	access = []string{DescribeAccess, AlterAccess}
	crud   = []string{"Create", "Describe", "Alter", "Delete"}

	ownUser = Grants{
		"CloudApiKey": crud, "GlobalApiKey": crud, "KafkaApiKey": crud, "SchemaRegistryApiKey": crud,
		"KsqlApiKey": crud, "FlinkApiKey": crud, "TableflowApiKey": crud,
		"User":       {Describe, "Alter"},
		"Invitation": {Describe, "Delete"},
		Any:          {DescribeAccess},
	}
	ownServiceAccount = Grants{
		"CloudApiKey": kept, "GlobalApiKey": kept, "KafkaApiKey": kept, "SchemaRegistryApiKey": kept,
		"KsqlApiKey": kept, "FlinkApiKey": kept, "TableflowApiKey": kept,
		"ServiceAccount": {Describe},
		"Invitation":     {Describe, "Delete"},
		Any:              {DescribeAccess},
	}
	// kept is what a service account may do with its keys: all but make more
	// of them.
	kept = []string{Describe, "Alter", "Delete"}
)

// roles is the table of roles, sorted by name. Permissions on what Weir does
// not serve yet are left out until it does; docs/authorization.md says where
// the sources are silent and the narrower reading was taken.
//
// Sources: the vendor's role pages and its CLI's fixtures (facts, semantics
// 1.1 and 1.2), the key matrix (2.2).
var roles = []Role{
	{
		Name: "AccountAdmin", Scopes: []Scope{Organization},
		Within: Grants{
			"User":           {Describe, "Alter", "Delete"},
			"Invitation":     {"Create", Describe, "Delete"},
			"ServiceAccount": {"Create", Describe, "Alter", "Delete", DescribeAccess, AlterAccess},
			"GroupMapping":   crud,
			"IdentityPool":   crud, "IdentityProvider": {Describe}, "CertificateAuthority": {Describe},
		},
	},
	{
		Name: "Assigner", Scopes: []Scope{ServiceAccount, ProviderIntegration, IdentityPool},
		Within: Grants{
			"ServiceAccount":      {Describe, "Assign"},
			"ProviderIntegration": {Describe, "Assign"},
			"IdentityPool":        {Describe, "Assign"},
		},
	},
	{
		Name: "BillingAdmin", Scopes: []Scope{Organization},
		Within: Grants{"Billing": {All}},
	},
	{
		Name: "CloudClusterAdmin", Scopes: []Scope{CloudCluster},
		Within: Grants{
			Any:           access,
			"KafkaApiKey": crud, "KsqlApiKey": crud,
			"Topic": {All}, "Cluster": {All}, "CloudCluster": {All}, "KsqlCluster": {All}, "Subject": {All}, "Connector": {All},
		},
		Organization: Grants{
			"User": {Describe}, "Invitation": {"Create"}, "ServiceAccount": {Describe}, "IdentityPool": {"Create", Describe}, "IdentityProvider": {Describe}, "CertificateAuthority": {Describe},
		},
	},
	{
		Name: "ClusterLinkConnection", Scopes: []Scope{ClusterLink},
		Within: Grants{"ClusterLink": {Describe, "AcceptInbound", "StartOutbound"}},
	},
	{
		Name: "ConnectManager", Scopes: []Scope{Connector},
		Within: Grants{"Connector": {"ReadConfig", "ReadStatus", "PauseResumeRestart"}},
	},
	{
		Name: "DataDiscovery", Scopes: []Scope{Environment},
		Within: Grants{
			"CatalogTagDefinition": {"Read"}, "CatalogBusinessMetadataDefinition": {"Read"},
			"Topic": {"ReadCatalog"}, "Subject": {"Read", "ReadCatalog", "ReadCompatibility"},
		},
	},
	{
		Name: "DataSteward", Scopes: []Scope{Environment},
		Within: Grants{
			"CatalogTagDefinition": {"Read", "Write", "Delete"}, "CatalogBusinessMetadataDefinition": {"Read", "Write", "Delete"},
			"Topic":   {"ReadCatalog", "WriteCatalog"},
			"Subject": {"Read", "Write", "Delete", "ReadCatalog", "WriteCatalog", "ReadCompatibility", "WriteCompatibility"},
		},
	},
	{
		Name: "DeveloperManage", Scopes: []Scope{KafkaCluster, Topic, Group, TransactionalID, Connector, SchemaSubject, KEK, KsqlCluster},
		Within: Grants{
			"Topic": {"Create", "Delete", Describe, "DescribeConfigs"}, "Cluster": {"Create", "DescribeConfigs"},
			"TransactionalId": {Describe}, "Group": {Describe, "Delete"}, "CloudCluster": {Describe},
		},
	},
	{
		Name: "DeveloperRead", Scopes: []Scope{Topic, Group, TransactionalID, Connector, SchemaSubject, KEK, KsqlCluster},
		Within: Grants{
			"Topic": {"Read", Describe}, "Group": {"Read", Describe}, "Subject": {"Read"}, "Connector": {"ReadConfig", "ReadStatus"},
		},
	},
	{
		Name: "DeveloperWrite", Scopes: []Scope{KafkaCluster, Topic, Group, TransactionalID, Connector, SchemaSubject, KEK, KsqlCluster},
		Within: Grants{
			"Topic": {"Write", Describe}, "TransactionalId": {"Write", Describe}, "Subject": {"Write"}, "Connector": {"ReadConfig", "ReadStatus", "Configure"},
		},
	},
	{
		Name: "EnvironmentAdmin", Scopes: []Scope{Environment},
		Within: Grants{
			Any:           access,
			"Environment": {Describe, "Alter", "Delete", "CreateKafkaCluster", AlterAccess, DescribeAccess},
			"KafkaApiKey": crud, "SchemaRegistryApiKey": crud, "FlinkApiKey": crud, "KsqlApiKey": crud,
			"IpFilter":            crud,
			"ProviderIntegration": {All},
			"Topic":               {All}, "Cluster": {All}, "CloudCluster": {All}, "SchemaRegistry": {All}, "Subject": {All},
			"Connector": {All}, "KsqlCluster": {All}, "FlinkRegion": {All}, "ComputePool": {All},
		},
		Organization: Grants{
			"User": {Describe}, "Invitation": {"Create"}, "ServiceAccount": {Describe}, "IdentityPool": {"Create", Describe}, "IdentityProvider": {Describe}, "CertificateAuthority": {Describe},
			"IpGroup": {Describe},
		},
	},
	{
		Name: "FlinkAdmin", Scopes: []Scope{Organization, Environment},
		Within: Grants{
			"FlinkApiKey": crud, "FlinkRegion": {Describe}, "ComputePool": crud,
			"Environment": {Describe}, "FlinkStatement": {All}, "FlinkWorkspace": {All}, "FlinkArtifact": {All},
		},
	},
	{
		Name: "FlinkDeveloper", Scopes: []Scope{Environment, ComputePool},
		Within: Grants{
			"FlinkStatement": {All}, "FlinkWorkspace": {All}, "FlinkArtifact": {All}, "ComputePool": {Describe},
		},
	},
	{
		Name: "KsqlAdmin", Scopes: []Scope{KsqlCluster},
		Within: Grants{"KsqlCluster": {"Create", Describe, "Alter", "Delete", "Contribute", "Terminate"}, "KsqlApiKey": crud},
	},
	{
		Name: "MetricsViewer", Scopes: []Scope{Organization, Environment, CloudCluster},
		Within: Grants{"ClusterMetric": {"Read"}},
	},
	{
		Name: "NetworkAdmin", Scopes: []Scope{Organization},
		Within: Grants{"Network": {All}, "Environment": {Describe}},
	},
	{
		Name: "Operator", Scopes: []Scope{Organization, Environment, CloudCluster},
		Within: Grants{
			"Environment": {Describe}, "CloudCluster": {Describe}, "Connector": {Describe}, "Topic": {Describe}, "Group": {Describe},
			"KafkaApiKey": {Describe}, "SchemaRegistryApiKey": {Describe}, "FlinkApiKey": {Describe}, "KsqlApiKey": {Describe},
			"ClusterMetric": {"Read"},
		},
	},
	{
		Name: OrganizationAdmin, Scopes: []Scope{Organization},
		Within: Grants{Any: {All}},
	},
	{
		Name: "ResourceKeyAdmin", Scopes: []Scope{Organization, Environment, CloudCluster},
		Within: Grants{"KafkaApiKey": crud, "SchemaRegistryApiKey": crud, "KsqlApiKey": crud, "TableflowApiKey": crud},
	},
	{
		Name: ResourceOwner, Scopes: []Scope{Topic, Group, TransactionalID, SchemaSubject, KEK, KsqlCluster, Connector, ServiceAccount, IdentityPool, ProviderIntegration},
		Within: Grants{
			Any:              access,
			"ServiceAccount": {Describe, "Alter", "Delete", "Assign"},
			"IdentityPool":   {Describe, "Alter", "Delete", "Assign"}, "ProviderIntegration": {Describe, "Alter", "Delete", "Assign"},
			"Topic": {All}, "Group": {"Read", Describe, "Delete"}, "TransactionalId": {"Write", Describe},
			"Subject":     {"Read", "Write", "Delete", "ReadCompatibility", "WriteCompatibility"},
			"KsqlCluster": {Describe, "Contribute", "Terminate"}, "Connector": {All},
		},
		// Who owns a ksqlDB cluster makes no keys for it: only who owns the
		// service account that the key is for does.
		BoundTo: map[Scope]Grants{ServiceAccount: {
			"CloudApiKey": crud, "GlobalApiKey": crud, "KafkaApiKey": crud, "SchemaRegistryApiKey": crud,
			"KsqlApiKey": crud, "FlinkApiKey": crud, "TableflowApiKey": crud,
		}},
		// Who owns anything may make a service account, and should name an
		// owner for it.
		Organization: Grants{"ServiceAccount": {"Create"}},
	},
}
