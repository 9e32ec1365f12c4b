package sdk_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
	identityproviderv2 "github.com/confluentinc/ccloud-sdk-go-v2/identity-provider/v2"

	"github.com/weirhq/weir/e2e/oidc"
)

func (w *world) identityProvider(t *testing.T, p *oidc.Provider) *identityproviderv2.IamV2IdentityProvider {
	t.Helper()
	c := w.admin
	creation := got(c.identityProviders.CreateIamV2IdentityProvider(c.ctx).IamV2IdentityProvider(identityproviderv2.IamV2IdentityProvider{
		DisplayName: new("login"), Description: new("The company's"), Issuer: new(p.Issuer), JwksUri: new(p.KeysURL),
	}).Execute())
	return new(creation.created(t, http.StatusCreated, w.URL+"/iam/v2/identity-providers/"+creation.value.GetId()))
}

func (w *world) identityPool(t *testing.T, provider, filter string) *identityproviderv2.IamV2IdentityPool {
	t.Helper()
	c := w.admin
	creation := got(c.identityPools.CreateIamV2IdentityPool(c.ctx, provider).IamV2IdentityPool(identityproviderv2.IamV2IdentityPool{
		DisplayName: new("services"), Description: new("They run"), IdentityClaim: new("claims.sub"), Filter: new(filter),
	}).Execute())
	return new(creation.created(t, http.StatusCreated, w.URL+"/iam/v2/identity-providers/"+provider+"/identity-pools/"+creation.value.GetId()))
}

func testIdentityProviders(t *testing.T, w *world) {
	c := w.admin
	issuer := oidc.Start(t)
	made := w.identityProvider(t, issuer)
	if made.GetIssuer() != issuer.Issuer || made.GetJwksUri() != issuer.KeysURL || made.GetState() != "ENABLED" || !strings.HasPrefix(made.GetId(), "op-") {
		t.Errorf("made: %+v", made)
	}
	updated := got(c.identityProviders.UpdateIamV2IdentityProvider(c.ctx, made.GetId()).IamV2IdentityProviderUpdate(identityproviderv2.IamV2IdentityProviderUpdate{
		DisplayName: new("sign-on"),
	}).Execute()).want(t, http.StatusOK)
	if updated.GetDisplayName() != "sign-on" || updated.GetDescription() != "The company's" {
		t.Errorf("after the update: %+v", updated)
	}

	// This version of the SDK does not know the operation that fetches the keys.
	a := w.Do(http.MethodPatch, "/iam/v2/identity-providers/"+made.GetId()+"/jwks", map[string]any{"spec": map[string]any{"jwks_status": "REFRESHED"}})
	var jwks struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"api_version"`
		Status     struct {
			Status string `json:"jwks_status"`
			At     string `json:"jwks_last_refresh_at"`
		} `json:"status"`
	}
	if err := json.Unmarshal(a.Raw, &jwks); err != nil || a.Status != http.StatusOK || jwks.Kind != "Jwks" || jwks.APIVersion != "iam/v2" ||
		jwks.Status.Status != "REFRESHED" && jwks.Status.Status != "OK" || jwks.Status.At == "" {
		t.Errorf("the keys: %d %s, %v", a.Status, a.Raw, err)
	}
	read := got(c.identityProviders.GetIamV2IdentityProvider(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	if keys := read.GetKeys(); len(keys) != 1 || keys[0].GetAlg() != "RS256" || keys[0].GetKid() == "" {
		t.Errorf("the keys are %+v", keys)
	}
	got(c.identityProviders.CreateIamV2IdentityProvider(c.ctx).IamV2IdentityProvider(identityproviderv2.IamV2IdentityProvider{
		DisplayName: new("again"), Description: new(""), Issuer: new(issuer.Issuer), JwksUri: new(issuer.KeysURL),
	}).Execute()).fails(t, http.StatusConflict, "resource_already_exists")
	list := got(c.identityProviders.ListIamV2IdentityProviders(c.ctx).Execute()).want(t, http.StatusOK)
	if len(list.Data) != 1 || list.Data[0].GetId() != made.GetId() {
		t.Errorf("the list is %+v", list.Data)
	}
	done(c.identityProviders.DeleteIamV2IdentityProvider(c.ctx, made.GetId()).Execute()).want(t, http.StatusNoContent)
	got(c.identityProviders.GetIamV2IdentityProvider(c.ctx, made.GetId()).Execute()).fails(t, http.StatusNotFound, "identity_provider_not_found")
}

func testIdentityPools(t *testing.T, w *world) {
	c := w.admin
	provider := w.identityProvider(t, oidc.Start(t)).GetId()
	made := w.identityPool(t, provider, `claims.aud == "a"`)
	if made.GetPrincipal() != made.GetId() || made.GetState() != "ENABLED" || made.Metadata.GetResourceName() != w.crn("/identity-provider="+provider+"/identity-pool="+made.GetId()) {
		t.Errorf("made: %+v", made)
	}
	updated := got(c.identityPools.UpdateIamV2IdentityPool(c.ctx, provider, made.GetId()).IamV2IdentityPool(identityproviderv2.IamV2IdentityPool{
		Filter: new(`claims.aud == "b" || "x" in claims.groups`),
	}).Execute()).want(t, http.StatusOK)
	read := got(c.identityPools.GetIamV2IdentityPool(c.ctx, provider, made.GetId()).Execute()).want(t, http.StatusOK)
	for _, p := range []identityproviderv2.IamV2IdentityPool{updated, read} {
		if p.GetFilter() != `claims.aud == "b" || "x" in claims.groups` || p.GetDescription() != "They run" || p.GetIdentityClaim() != "claims.sub" {
			t.Errorf("after the update: %+v", p)
		}
	}
	if detail, source := got(c.identityPools.UpdateIamV2IdentityPool(c.ctx, provider, made.GetId()).IamV2IdentityPool(identityproviderv2.IamV2IdentityPool{
		Filter: new(`claims.aud = "b"`),
	}).Execute()).fails(t, http.StatusUnprocessableEntity, "invalid_configuration"); source != "/filter" || !strings.Contains(detail, "character 12") {
		t.Errorf("a filter that is none: %q blamed on %q", detail, source)
	}
	list := got(c.identityPools.ListIamV2IdentityPools(c.ctx, provider).Execute()).want(t, http.StatusOK)
	if len(list.Data) != 1 || list.Data[0].GetId() != made.GetId() {
		t.Errorf("the list is %+v", list.Data)
	}
	bound := c.bind(made.GetId(), "MetricsViewer", w.crn("")).want(t, http.StatusCreated)
	done(c.identityPools.DeleteIamV2IdentityPool(c.ctx, provider, made.GetId()).Execute()).want(t, http.StatusNoContent)
	got(c.identityPools.GetIamV2IdentityPool(c.ctx, provider, made.GetId()).Execute()).fails(t, http.StatusNotFound, "identity_pool_not_found")
	got(c.roleBindings.GetIamV2RoleBinding(c.ctx, bound.GetId()).Execute()).fails(t, http.StatusForbidden, "role_binding_forbidden")
}

// testOAuthTokens takes a token from a real provider, exchanges it and works
// with what comes back.
func testOAuthTokens(t *testing.T, w *world) {
	issuer := oidc.Start(t)
	provider := w.identityProvider(t, issuer).GetId()
	pool := w.identityPool(t, provider, `claims.sub == "`+oidc.ClientID+`" && "`+oidc.ClientID+`" in claims.aud`).GetId()
	w.admin.bind(pool, "AccountAdmin", w.crn("")).want(t, http.StatusCreated)
	c := w.as("", "")
	exchange := c.oauthTokens.ExchangeStsV1OauthToken(c.ctx).
		GrantType("urn:ietf:params:oauth:grant-type:token-exchange").IdentityPoolId(pool).
		SubjectTokenType("urn:ietf:params:oauth:token-type:jwt").RequestedTokenType("urn:ietf:params:oauth:token-type:access_token")
	reply := got(exchange.SubjectToken(issuer.Token()).ExpiresIn(300).Execute()).want(t, http.StatusOK)
	if reply.ExpiresIn != 300 || reply.TokenType != "Bearer" || reply.IssuedTokenType != "urn:ietf:params:oauth:token-type:access_token" {
		t.Errorf("the reply is %+v", reply)
	}
	got(exchange.SubjectToken("a.b.c").Execute()).fails(t, http.StatusBadRequest, "invalid_token_exchange")
	got(exchange.SubjectToken(issuer.Token()).ExpiresIn(3600).Execute()).fails(t, http.StatusBadRequest, "invalid_token_exchange")

	b := w.bearing(reply.AccessToken)
	got(b.serviceAccounts.CreateIamV2ServiceAccount(b.ctx).IamV2ServiceAccount(iamv2.IamV2ServiceAccount{DisplayName: new("made by a pool")}).Execute()).want(t, http.StatusCreated)
	got(b.identityPools.GetIamV2IdentityPool(b.ctx, provider, pool).Execute()).want(t, http.StatusOK)
	got(b.identityProviders.CreateIamV2IdentityProvider(b.ctx).IamV2IdentityProvider(identityproviderv2.IamV2IdentityProvider{
		DisplayName: new("another"), Description: new(""), Issuer: new("https://another.example.com"), JwksUri: new(issuer.KeysURL),
	}).Execute()).fails(t, http.StatusForbidden, "user_unauthorized")

	// The provider's own token is for other operations.
	external := w.bearing(issuer.Token())
	got(external.serviceAccounts.ListIamV2ServiceAccounts(external.ctx).Execute()).fails(t, http.StatusUnauthorized, "user_unauthenticated")
	done(w.admin.identityProviders.DeleteIamV2IdentityProvider(w.admin.ctx, provider).Execute()).want(t, http.StatusNoContent)
	got(b.serviceAccounts.ListIamV2ServiceAccounts(b.ctx).Execute()).fails(t, http.StatusUnauthorized, "user_unauthenticated")
}
