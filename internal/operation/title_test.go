package operation

import (
	"regexp"
	"testing"
)

func TestTitle(t *testing.T) {
	t.Parallel()
	tests := []struct{ id, want string }{
		{"listIamV2ServiceAccounts", "List service accounts"},
		{"createIamV2ApiKey", "Create API key"},
		{"getIamV2IpFilterSummary", "Get IP filter summary"},
		{"listIamV2SsoGroupMappings", "List SSO group mappings"},
		{"refreshIamV2JsonWebKeySet", "Refresh JSON web key set"},
		{"updateIamV2UserAuth", "Update authentication type of user"},
		{"listV1Users", "List users"},
		{"listKafkaQuotasV1ClientQuotas", "List client quotas"},
		{"listServiceQuotaV1AppliedQuotas", "List applied quotas"},
		{"listConnectv1ConnectorTasks", "List connector tasks"},
		{"createOrUpdateConnectv1ConnectorConfig", "Create or update connector configuration"},
		{"getSqlV1alpha1StatementResult", "Get statement result"},
		{"listSqlv1beta1Statements", "List statements"},
		{"presigned-upload-urlCamV1PresignedUrl", "Create presigned upload URL"},
		{"upload_imageCdxV1ProviderSharedResource", "Upload image of provider shared resource"},
		{"queryAiV1ChatCompletion", "Request chat completion"},
		{"queryDocsAiV1DocCompletion", "Request documentation completion"},
		{"queryMetricsV2Metrics", "Query metrics"},
		{"getKafkaCluster", "Get cluster"},
		{"listKafkaConsumerGroups", "List consumer groups"},
		{"getTagDefByName", "Get tag definition"},
		{"lookUpSchemaUnderSubject", "Look up schema under subject"},
		{"getSchemaOnly_1", "Get schema string of version"},
		{"list", "List subjects"},
		{"signup", "Sign up organization"},
		{"createOrgV2ScimToken", "Create SCIM token"},
	}
	for _, tt := range tests {
		o, ok := ByID(tt.id)
		if !ok {
			t.Errorf("%s is not in the table", tt.id)
		} else if got := o.Title(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.id, got, tt.want)
		}
	}
	if got := (Operation{Method: "GET", Path: "/x"}).Title(); got != "GET /x" {
		t.Errorf("an operation without an identifier is called %q", got)
	}
}

func TestEveryTitleIsReadable(t *testing.T) {
	t.Parallel()
	// A verb with a capital, then words in lower case but for the proper ones.
	form := regexp.MustCompile(`^[A-Z][a-z]+( ([a-z]+|[a-z]+-[a-z]+|sign-up|[A-Z]+s?|OAuth|Connect|Flink|Kafka|Tableflow))+$`)
	type page struct{ api, resource, title, parent string }
	seen := make(map[page]string)
	for _, o := range All() {
		title := o.Title()
		if !form.MatchString(title) {
			t.Errorf("%s is called %q", o.ID, title)
		}
		p := page{o.API(), o.Resource, title, o.Path}
		if other, ok := seen[p]; ok {
			t.Errorf("%s and %s are both called %q", o.ID, other, title)
		}
		seen[p] = o.ID
	}
	for id := range titles {
		if _, ok := ByID(id); !ok {
			t.Errorf("a title is kept for %s, which is not in the table", id)
		}
	}
}
