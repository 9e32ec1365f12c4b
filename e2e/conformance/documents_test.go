package conformance

import (
	"strings"
	"testing"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	docs := vendorDocuments(t)
	if len(docs) != len(Sources()) {
		t.Fatalf("%d documents, want %d", len(docs), len(Sources()))
	}
	for i, path := range []string{"/iam/v2/api-keys", "/iam/v2/certificate-authorities", "/iam/v2/users", "/iam/v2/ip-groups", "/iam/v2/identity-providers", "/iam/v2/role-bindings", "/org/v2/environments", "/pim/v1/integrations", "/pim/v2/integrations", "/service-quota/v1/applied-quotas", "/iam/v2/sso/group-mappings", "/sts/v1/oauth2/token"} {
		if docs[i].Paths.Value(path) == nil {
			t.Errorf("%v has no %s", Sources()[i], path)
		}
	}
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source Source
		want   string
	}{
		{Source{"example.com/none", "v2"}, "find module example.com/none"},
		{Source{sdk + "org", "v9"}, "read the document of " + sdk + "org"},
	} {
		_, err := c.source.Load(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q in it", c.source, err, c.want)
		}
	}
}
