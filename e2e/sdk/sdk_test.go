// Package sdk_test drives Weir with the official Go SDK, unmodified, on both
// databases. Every answer is also held to the vendor's own documents, and when
// all tests of a database have run, every operation of those documents that
// Weir serves must have succeeded once.
package sdk_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weirhq/weir/e2e/conformance"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

// subjects are what is tested, each with a server of its own.
var subjects = []struct {
	name string
	test func(*testing.T, *world)
}{
	{"ApiKeys", testAPIKeys},
	{"ApiKeyFilters", testAPIKeyFilters},
	{"ApiKeyOwners", testAPIKeyOwners},
	{"CertificateAuthorities", testCertificateAuthorities},
	{"CertificatePools", testCertificatePools},
	{"Environments", testEnvironments},
	{"Errors", testErrors},
	{"Forbidden", testForbidden},
	{"GroupMappings", testGroupMappings},
	{"IdentityPools", testIdentityPools},
	{"IdentityProviders", testIdentityProviders},
	{"InvitationFilters", testInvitationFilters},
	{"Invitations", testInvitations},
	{"IpFilters", testIPFilters},
	{"IpGroups", testIPGroups},
	{"NotImplemented", testNotImplemented},
	{"OAuthTokens", testOAuthTokens},
	{"Organizations", testOrganizations},
	{"Paging", testPaging},
	{"PagingWithFilters", testPagingWithFilters},
	{"ProviderIntegrations", testProviderIntegrations},
	{"ProviderIntegrationSetups", testProviderIntegrationSetups},
	{"QuotaRefusals", testQuotaRefusals},
	{"Quotas", testQuotas},
	{"RoleBindingFilters", testRoleBindingFilters},
	{"RoleBindings", testRoleBindings},
	{"RoleBindingTwice", testRoleBindingTwice},
	{"ServiceAccounts", testServiceAccounts},
	{"TableflowRegions", testTableflowRegions},
	{"Unauthenticated", testUnauthenticated},
	{"Users", testUsers},
}

func TestSDK(t *testing.T) {
	t.Parallel()
	for store, databaseURL := range map[string]func(testing.TB) string{
		"SQLite":     func(testing.TB) string { return "" },
		"PostgreSQL": pgtest.URL,
	} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			var seen coverage
			t.Run("Subject", func(t *testing.T) {
				for _, s := range subjects {
					t.Run(s.name, func(t *testing.T) {
						t.Parallel()
						w := start(t, databaseURL(t))
						s.test(t, w)
						seen.add(w.validator.Answered())
					})
				}
			})
			if seen.subjects < len(subjects) {
				t.Logf("%d of %d subjects have run to the end: no word on what is covered", seen.subjects, len(subjects))
				return
			}
			operations := servedOperations(t)
			t.Logf("%d operations answered in %d ways: %v", len(operations), len(seen.answered), seen.answered)
			for _, id := range conformance.Unproven(operations, seen.answered) {
				t.Errorf("%s is served and never succeeded here", id)
			}
		})
	}
}

// coverage is what the subjects of one database have seen.
type coverage struct {
	mu       sync.Mutex
	subjects int
	answered []string
}

func (c *coverage) add(answered []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subjects++
	c.answered = append(c.answered, answered...)
	slices.Sort(c.answered)
	c.answered = slices.Compact(c.answered)
}

var loadDocuments = sync.OnceValues(func() ([]*openapi3.T, error) {
	return conformance.Documents(backgroundContext)
})

var loadContract = sync.OnceValues(func() (*conformance.Contract, error) {
	docs, err := loadDocuments()
	if err != nil {
		return nil, err
	}
	return conformance.NewContract(docs...)
})

var loadServed = sync.OnceValues(func() ([]string, error) {
	docs, err := loadDocuments()
	if err != nil {
		return nil, err
	}
	e, err := engine.New(engine.Config{PublicURL: "https://weir.example.com", Kinds: server.Kinds(), Calls: server.Calls()})
	if err != nil {
		return nil, err
	}
	return conformance.Served(docs, e.OpenAPI("test")), nil
})

// servedOperations are those of the vendor's documents that Weir serves.
func servedOperations(t *testing.T) []string {
	t.Helper()
	ids, err := loadServed()
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// world is a running Weir and what validates its answers.
type world struct {
	*weirtest.Server
	validator *conformance.Validator
	// admin calls with the first key, which may do everything.
	admin *client
}

func start(t *testing.T, databaseURL string) *world {
	t.Helper()
	contract, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		Server:    weirtest.Start(t, weirtest.WithDatabaseURL(databaseURL)),
		validator: contract.Validator(nil, t),
	}
	w.admin = w.as(w.APIKey, w.APISecret)
	return w
}

// adminID is the user that the first key belongs to.
func (w *world) adminID(t *testing.T) string {
	t.Helper()
	key := got(w.admin.apiKeys.GetIamV2ApiKey(w.admin.ctx, w.APIKey).Execute()).want(t, http.StatusOK)
	return key.Spec.Owner.GetId()
}

// crn is the resource name of what is below the organization.
func (w *world) crn(path string) string {
	return "crn://confluent.cloud/organization=" + w.OrganizationID + path
}
