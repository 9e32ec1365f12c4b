package sdk_test

import (
	"net/http"
	"testing"

	orgv2 "github.com/confluentinc/ccloud-sdk-go-v2/org/v2"
	pimv1 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v1"
	pimv2 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v2"
)

// newEnvironment makes an environment and returns its ID.
func (w *world) newEnvironment(t *testing.T, name string) string {
	t.Helper()
	made := got(w.admin.environments.CreateOrgV2Environment(w.admin.ctx).OrgV2Environment(orgv2.OrgV2Environment{DisplayName: new(name)}).Execute()).want(t, http.StatusCreated)
	return made.GetId()
}

func testProviderIntegrations(t *testing.T, w *world) {
	c, env := w.admin, w.newEnvironment(t, "integrated")
	const role = "arn:aws:iam::111122223333:role/orders-archive"
	body := pimv1.PimV1Integration{
		DisplayName: new("orders-archive"), Provider: new("aws"), Environment: &pimv1.GlobalObjectReference{Id: env},
		Config: &pimv1.PimV1IntegrationConfigOneOf{PimV1AwsIntegrationConfig: &pimv1.PimV1AwsIntegrationConfig{
			Kind: "AwsIntegrationConfig", CustomerIamRoleArn: new(role),
		}},
	}
	creation := got(c.integrationsV1.CreatePimV1Integration(c.ctx).PimV1Integration(body).Execute())
	made := creation.created(t, http.StatusCreated, w.URL+"/pim/v1/integrations/"+creation.value.GetId()+"?environment="+env)
	config := made.GetConfig().PimV1AwsIntegrationConfig
	if config == nil || config.GetIamRoleArn() != "arn:aws:iam::123456789012:role/"+made.GetId() || config.GetExternalId() == "" || config.GetCustomerIamRoleArn() != role {
		t.Errorf("made: %+v", config)
	}
	if made.GetProvider() != "aws" || made.Environment.GetId() != env || made.Usages == nil || len(made.GetUsages()) != 0 {
		t.Errorf("made: %+v", made)
	}
	read := got(c.integrationsV1.GetPimV1Integration(c.ctx, made.GetId()).Environment(env).Execute()).want(t, http.StatusOK)
	if *read.GetConfig().PimV1AwsIntegrationConfig != *config && read.GetConfig().PimV1AwsIntegrationConfig.GetExternalId() != config.GetExternalId() {
		t.Errorf("read: %+v", read)
	}
	got(c.integrationsV1.CreatePimV1Integration(c.ctx).PimV1Integration(body).Execute()).fails(t, http.StatusConflict, "resource_already_exists")
	for provider, want := range map[string]int{"": 1, "AWS": 1, "aws": 1, "GCP": 0} {
		list := c.integrationsV1.ListPimV1Integrations(c.ctx).Environment(env)
		if provider != "" {
			list = list.Provider(provider)
		}
		if page := got(list.Execute()).want(t, http.StatusOK); len(page.Data) != want {
			t.Errorf("of the provider %q there are %+v", provider, page.Data)
		}
	}
	done(c.integrationsV1.DeletePimV1Integration(c.ctx, made.GetId()).Environment(w.newEnvironment(t, "another")).Execute()).fails(t, http.StatusNotFound, "provider_integration_not_found")
	done(c.integrationsV1.DeletePimV1Integration(c.ctx, made.GetId()).Environment(env).Execute()).want(t, http.StatusNoContent)
	got(c.integrationsV1.GetPimV1Integration(c.ctx, made.GetId()).Environment(env).Execute()).fails(t, http.StatusNotFound, "provider_integration_not_found")
}

// testProviderIntegrationSetups does what Terraform's setup and authorization
// resources and the CLI do.
func testProviderIntegrationSetups(t *testing.T, w *world) {
	c, env := w.admin, w.newEnvironment(t, "integrated")
	const tenant = "12345678-1234-1234-1234-123456789abc"
	creation := got(c.integrationsV2.CreatePimV2Integration(c.ctx).PimV2Integration(pimv2.PimV2Integration{
		DisplayName: new("onelake"), Provider: new("azure"), Environment: &pimv2.ObjectReference{Id: env},
	}).Execute())
	made := creation.created(t, http.StatusCreated, w.URL+"/pim/v2/integrations/"+creation.value.GetId()+"?environment="+env)
	if made.GetStatus() != "DRAFT" || made.GetProvider() != "azure" || made.GetConfig().PimV2AzureIntegrationConfig.GetConfluentMultiTenantAppId() == "" {
		t.Errorf("made: %+v", made)
	}
	validate := func(config *pimv2.PimV2IntegrationValidateRequestConfigOneOf) outcome[struct{}] {
		return done(c.integrationsV2.ValidatePimV2Integration(c.ctx).PimV2IntegrationValidateRequest(pimv2.PimV2IntegrationValidateRequest{
			Id: new(made.GetId()), Environment: &pimv2.GlobalObjectReference{Id: env}, Config: config,
		}).Execute())
	}
	proposed := func(tenant string) *pimv2.PimV2IntegrationValidateRequestConfigOneOf {
		config := pimv2.PimV2AzureIntegrationConfigAsPimV2IntegrationValidateRequestConfigOneOf(&pimv2.PimV2AzureIntegrationConfig{
			Kind: "AzureIntegrationConfig", CustomerAzureTenantId: new(tenant),
		})
		return &config
	}
	validate(nil).fails(t, http.StatusBadRequest, "bad_request")
	validate(proposed("not-a-tenant")).fails(t, http.StatusBadRequest, "bad_request")
	validate(proposed(tenant)).want(t, http.StatusNoContent)

	configure := func(tenant string) outcome[pimv2.PimV2Integration] {
		config := pimv2.PimV2AzureIntegrationConfigAsPimV2IntegrationUpdateConfigOneOf(&pimv2.PimV2AzureIntegrationConfig{
			Kind: "AzureIntegrationConfig", CustomerAzureTenantId: new(tenant),
		})
		return got(c.integrationsV2.UpdatePimV2Integration(c.ctx, made.GetId()).PimV2IntegrationUpdate(pimv2.PimV2IntegrationUpdate{
			Config: &config, Environment: &pimv2.ObjectReference{Id: env},
		}).Execute())
	}
	if updated := configure(tenant).want(t, http.StatusOK); updated.GetStatus() != "CREATED" || updated.GetConfig().PimV2AzureIntegrationConfig.GetCustomerAzureTenantId() != tenant {
		t.Errorf("after the update: %+v", updated)
	}
	configure("22345678-1234-1234-1234-123456789abc").fails(t, http.StatusBadRequest, "bad_request")
	validate(proposed(tenant)).want(t, http.StatusNoContent)
	validate(nil).want(t, http.StatusNoContent)
	read := got(c.integrationsV2.GetPimV2Integration(c.ctx, made.GetId()).Environment(env).Execute()).want(t, http.StatusOK)
	if read.GetStatus() != "CREATED" || read.Environment.GetId() != env {
		t.Errorf("read: %+v", read)
	}
	list := got(c.integrationsV2.ListPimV2Integrations(c.ctx).Environment(env).DisplayName("lake").Provider("AZURE").Status("CREATED").Execute()).want(t, http.StatusOK)
	if len(list.Data) != 1 || list.Data[0].GetId() != made.GetId() {
		t.Errorf("the list is %+v", list.Data)
	}
	done(c.integrationsV2.DeletePimV2Integration(c.ctx, made.GetId()).Environment(env).Execute()).want(t, http.StatusNoContent)
	got(c.integrationsV2.GetPimV2Integration(c.ctx, made.GetId()).Environment(env).Execute()).fails(t, http.StatusNotFound, "provider_integration_not_found")
}
