package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	apikeysv2 "github.com/confluentinc/ccloud-sdk-go-v2/apikeys/v2"
	certificateauthorityv2 "github.com/confluentinc/ccloud-sdk-go-v2/certificate-authority/v2"
	ipfilteringv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam-ip-filtering/v2"
	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
	identityproviderv2 "github.com/confluentinc/ccloud-sdk-go-v2/identity-provider/v2"
	mdsv2 "github.com/confluentinc/ccloud-sdk-go-v2/mds/v2"
	orgv2 "github.com/confluentinc/ccloud-sdk-go-v2/org/v2"
	pimv1 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v1"
	pimv2 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v2"
	quotav1 "github.com/confluentinc/ccloud-sdk-go-v2/service-quota/v1"
	ssov2 "github.com/confluentinc/ccloud-sdk-go-v2/sso/v2"
	stsv1 "github.com/confluentinc/ccloud-sdk-go-v2/sts/v1"
	tableflowv1 "github.com/confluentinc/ccloud-sdk-go-v2/tableflow/v1"
)

// backgroundContext is for what all tests share; the others have t.Context.
var backgroundContext = context.Background()

// client is the SDK with one API key or token: its modules, which do not know
// of each other.
type client struct {
	// ctx carries the key, which is how the SDK wants it.
	ctx                    context.Context
	apiKeys                apikeysv2.APIKeysIamV2Api
	certificateAuthorities certificateauthorityv2.CertificateAuthoritiesIamV2Api
	certificatePools       certificateauthorityv2.CertificateIdentityPoolsIamV2Api
	environments           orgv2.EnvironmentsOrgV2Api
	groupMappings          ssov2.GroupMappingsIamV2SsoApi
	identityPools          identityproviderv2.IdentityPoolsIamV2Api
	identityProviders      identityproviderv2.IdentityProvidersIamV2Api
	invitations            iamv2.InvitationsIamV2Api
	ipFilters              ipfilteringv2.IPFiltersIamV2Api
	ipFilterSummaries      ipfilteringv2.IPFilterSummariesIamV2Api
	ipGroups               ipfilteringv2.IPGroupsIamV2Api
	oauthTokens            stsv1.OAuthTokensStsV1Api
	organizations          orgv2.OrganizationsOrgV2Api
	quotas                 quotav1.AppliedQuotasServiceQuotaV1Api
	roleBindings           mdsv2.RoleBindingsIamV2Api
	scopes                 quotav1.ScopesServiceQuotaV1Api
	serviceAccounts        iamv2.ServiceAccountsIamV2Api
	tableflowRegions       tableflowv1.RegionsTableflowV1Api
	users                  iamv2.UsersIamV2Api
	integrationsV1         pimv1.IntegrationsPimV1Api
	integrationsV2         pimv2.IntegrationsPimV2Api
}

// as returns a client with the key; an empty one sends no credentials.
func (w *world) as(key, secret string) *client {
	transport := &http.Client{Transport: w.validator}
	org := orgv2.NewConfiguration()
	org.Servers[0].URL, org.HTTPClient = w.URL, transport
	iam := iamv2.NewConfiguration()
	iam.Servers[0].URL, iam.HTTPClient = w.URL, transport
	authority := certificateauthorityv2.NewConfiguration()
	authority.Servers[0].URL, authority.HTTPClient = w.URL, transport
	filtering := ipfilteringv2.NewConfiguration()
	filtering.Servers[0].URL, filtering.HTTPClient = w.URL, transport
	keys := apikeysv2.NewConfiguration()
	keys.Servers[0].URL, keys.HTTPClient = w.URL, transport
	mds := mdsv2.NewConfiguration()
	mds.Servers[0].URL, mds.HTTPClient = w.URL, transport
	integrationsV1 := pimv1.NewConfiguration()
	integrationsV1.Servers[0].URL, integrationsV1.HTTPClient = w.URL, transport
	integrationsV2 := pimv2.NewConfiguration()
	integrationsV2.Servers[0].URL, integrationsV2.HTTPClient = w.URL, transport
	quota := quotav1.NewConfiguration()
	quota.Servers[0].URL, quota.HTTPClient = w.URL, transport
	sso := ssov2.NewConfiguration()
	sso.Servers[0].URL, sso.HTTPClient = w.URL, transport
	provider := identityproviderv2.NewConfiguration()
	provider.Servers[0].URL, provider.HTTPClient = w.URL, transport
	sts := stsv1.NewConfiguration()
	sts.Servers[0].URL, sts.HTTPClient = w.URL, transport
	tableflow := tableflowv1.NewConfiguration()
	tableflow.Servers[0].URL, tableflow.HTTPClient = w.URL, transport

	ctx := backgroundContext
	if key != "" {
		ctx = context.WithValue(ctx, orgv2.ContextBasicAuth, orgv2.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, iamv2.ContextBasicAuth, iamv2.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, ipfilteringv2.ContextBasicAuth, ipfilteringv2.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, certificateauthorityv2.ContextBasicAuth, certificateauthorityv2.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, apikeysv2.ContextBasicAuth, apikeysv2.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, mdsv2.ContextBasicAuth, mdsv2.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, pimv1.ContextBasicAuth, pimv1.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, pimv2.ContextBasicAuth, pimv2.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, quotav1.ContextBasicAuth, quotav1.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, ssov2.ContextBasicAuth, ssov2.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, tableflowv1.ContextBasicAuth, tableflowv1.BasicAuth{UserName: key, Password: secret})
		ctx = context.WithValue(ctx, identityproviderv2.ContextBasicAuth, identityproviderv2.BasicAuth{UserName: key, Password: secret})
	}
	authorityClient := certificateauthorityv2.NewAPIClient(authority)
	providerClient := identityproviderv2.NewAPIClient(provider)
	orgClient, iamClient, quotaClient, filteringClient := orgv2.NewAPIClient(org), iamv2.NewAPIClient(iam), quotav1.NewAPIClient(quota), ipfilteringv2.NewAPIClient(filtering)
	return &client{
		ctx:                    ctx,
		apiKeys:                apikeysv2.NewAPIClient(keys).APIKeysIamV2Api,
		certificateAuthorities: authorityClient.CertificateAuthoritiesIamV2Api,
		certificatePools:       authorityClient.CertificateIdentityPoolsIamV2Api,
		environments:           orgClient.EnvironmentsOrgV2Api,
		groupMappings:          ssov2.NewAPIClient(sso).GroupMappingsIamV2SsoApi,
		identityPools:          providerClient.IdentityPoolsIamV2Api,
		identityProviders:      providerClient.IdentityProvidersIamV2Api,
		invitations:            iamClient.InvitationsIamV2Api,
		ipFilters:              filteringClient.IPFiltersIamV2Api,
		ipFilterSummaries:      filteringClient.IPFilterSummariesIamV2Api,
		ipGroups:               filteringClient.IPGroupsIamV2Api,
		oauthTokens:            stsv1.NewAPIClient(sts).OAuthTokensStsV1Api,
		organizations:          orgClient.OrganizationsOrgV2Api,
		quotas:                 quotaClient.AppliedQuotasServiceQuotaV1Api,
		roleBindings:           mdsv2.NewAPIClient(mds).RoleBindingsIamV2Api,
		scopes:                 quotaClient.ScopesServiceQuotaV1Api,
		serviceAccounts:        iamClient.ServiceAccountsIamV2Api,
		tableflowRegions:       tableflowv1.NewAPIClient(tableflow).RegionsTableflowV1Api,
		users:                  iamClient.UsersIamV2Api,
		integrationsV1:         pimv1.NewAPIClient(integrationsV1).IntegrationsPimV1Api,
		integrationsV2:         pimv2.NewAPIClient(integrationsV2).IntegrationsPimV2Api,
	}
}

// bearing returns a client with an access token in place of a key.
func (w *world) bearing(token string) *client {
	c := w.as("", "")
	c.ctx = context.WithValue(c.ctx, orgv2.ContextAccessToken, token)
	c.ctx = context.WithValue(c.ctx, iamv2.ContextAccessToken, token)
	c.ctx = context.WithValue(c.ctx, identityproviderv2.ContextAccessToken, token)
	return c
}

// outcome is what a call of the SDK returns.
type outcome[T any] struct {
	value    T
	response *http.Response
	err      error
}

func got[T any](value T, response *http.Response, err error) outcome[T] {
	return outcome[T]{value, response, err}
}

// done is got for calls that return no object.
func done(response *http.Response, err error) outcome[struct{}] {
	return outcome[struct{}]{response: response, err: err}
}

// want returns what the call returned, and ends the test unless it succeeded
// with the status.
func (o outcome[T]) want(t *testing.T, status int) T {
	t.Helper()
	if o.err != nil {
		t.Fatalf("%v: %s", o.err, body(o.err))
	}
	if o.response.StatusCode != status {
		t.Fatalf("the status is %d, want %d", o.response.StatusCode, status)
	}
	return o.value
}

// created is want for a creation, whose Location must be the object's own
// link.
func (o outcome[T]) created(t *testing.T, status int, self string) T {
	t.Helper()
	value := o.want(t, status)
	if location := o.response.Header.Get("Location"); location == "" || location != self {
		t.Errorf("the Location is %q, and the object's link %q", location, self)
	}
	return value
}

// failure is an error of the API as every module of the SDK models it.
type failure struct {
	Errors []struct {
		ID, Status, Code, Title, Detail string
		Source                          struct{ Pointer, Parameter string }
	}
}

// sdkError is what every module calls GenericOpenAPIError.
type sdkError interface {
	error
	Body() []byte
	Model() any
}

func body(err error) []byte {
	var e sdkError
	if errors.As(err, &e) {
		return e.Body()
	}
	return nil
}

// fails ends the test unless the call failed with the status and the code, in
// a shape that the SDK decoded into its model of errors. It returns the first
// error's detail with the field or parameter that it is about.
func (o outcome[T]) fails(t *testing.T, status int, code string) (detail, source string) {
	t.Helper()
	e := o.failed(t, status)
	if e.Model() == nil {
		t.Fatalf("the SDK has no model of this error: %s: %s", e, e.Body())
	}
	model, err := json.Marshal(e.Model())
	if err != nil {
		t.Fatal(err)
	}
	return first(t, model, status, code)
}

func (o outcome[T]) failed(t *testing.T, status int) sdkError {
	t.Helper()
	var e sdkError
	if !errors.As(o.err, &e) {
		t.Fatalf("the error is %v", o.err)
	}
	if o.response.StatusCode != status {
		t.Fatalf("the status is %d, want %d: %s", o.response.StatusCode, status, e.Body())
	}
	return e
}

func first(t *testing.T, text []byte, status int, code string) (detail, source string) {
	t.Helper()
	var f failure
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if len(f.Errors) == 0 {
		t.Fatalf("there are no errors in %s", text)
	}
	e := f.Errors[0]
	if e.ID == "" || e.Title == "" || e.Detail == "" || e.Status != strconv.Itoa(status) || e.Code != code {
		t.Errorf("the error is %+v, want status %d and code %s", e, status, code)
	}
	return e.Detail, e.Source.Pointer + e.Source.Parameter
}

// page is one page of a list: its objects and metadata.next.
type page[T any] struct {
	objects []T
	next    *string
}

// pages reads a list to its end as the SDK's users do: they take nothing but
// page_token from the link to the next page, and repeat the request with it.
func pages[T any](t *testing.T, request func(token string) page[T]) (objects []T, sizes []int) {
	t.Helper()
	const most = 100
	seen := map[string]bool{}
	for token := ""; ; {
		p := request(token)
		objects, sizes = append(objects, p.objects...), append(sizes, len(p.objects))
		if p.next == nil || *p.next == "" {
			return objects, sizes
		}
		token = pageToken(t, *p.next)
		if seen[token] || len(seen) == most {
			t.Fatalf("the list does not end: after %d pages", len(sizes))
		}
		seen[token] = true
	}
}

func pageToken(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	token := u.Query().Get("page_token")
	if token == "" || len(token) > 255 {
		t.Fatalf("the link %s has a page token of %d characters", link, len(token))
	}
	return token
}
