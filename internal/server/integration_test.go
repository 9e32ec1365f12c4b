package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/cloudaccess"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

const integrationsV1 = "/pim/v1/integrations"

// in names the environment that a read or a deletion has to name.
func in(env string) string { return "?environment=" + env }

// integrated is a scene with an environment.
type integrated struct {
	*scene
	env string
}

func newIntegrated(t *testing.T, w *enginetest.World) *integrated {
	t.Helper()
	s := newScene(w)
	return &integrated{s, s.environment(t)}
}

// v1 makes an integration with AWS through pim/v1.
func (s *integrated) v1(t *testing.T, role string) enginetest.Answer {
	t.Helper()
	return s.admin.Do(t, http.MethodPost, integrationsV1, s.awsBody(s.env, role))
}

func (s *integrated) awsBody(env, role string) map[string]any {
	return map[string]any{
		"display_name": fmt.Sprintf("integration %d", drawn.Add(1)), "environment": map[string]any{"id": env},
		"config": map[string]any{"kind": "AwsIntegrationConfig", "customer_iam_role_arn": role},
	}
}

// draft makes a draft through pim/v2 and returns its ID.
func (s *integrated) draft(t *testing.T, provider, name string) string {
	t.Helper()
	return create(t, s.admin, integrations, map[string]any{"display_name": name, "provider": provider, "environment": map[string]any{"id": s.env}})
}

func (s *integrated) read(t *testing.T, path, id string) enginetest.Answer {
	t.Helper()
	return s.admin.Do(t, http.MethodGet, path+"/"+id+in(s.env), nil).Want(t, http.StatusOK)
}

// configure sends a config for an integration.
func (s *integrated) configure(t *testing.T, id string, config any) enginetest.Answer {
	t.Helper()
	return s.admin.Do(t, http.MethodPatch, integrations+"/"+id, map[string]any{"config": config, "environment": map[string]any{"id": s.env}})
}

var uuidShape = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func TestIntegrations(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL, weirtest.WithConfig(func(c *server.Config) {
			c.Clouds.AWSAccountID, c.Clouds.GCPProject, c.Clouds.AzureAppID = "851725421142", "cspi-prod-1", "87654321-4321-4321-4321-abcdef123456"
		}))
		t.Run("V1", func(t *testing.T) { testIntegrationV1(t, newIntegrated(t, w)) })
		t.Run("CustomerRole", func(t *testing.T) { testCustomerRole(t, newIntegrated(t, w)) })
		t.Run("V2", func(t *testing.T) { testIntegrationV2(t, newIntegrated(t, w)) })
		t.Run("Clouds", func(t *testing.T) { testIntegrationClouds(t, newIntegrated(t, w)) })
		t.Run("Lists", func(t *testing.T) { testIntegrationLists(t, newIntegrated(t, w)) })
		t.Run("Bindings", func(t *testing.T) { testIntegrationBindings(t, newIntegrated(t, w)) })
		t.Run("Environment", func(t *testing.T) { testIntegrationEnvironment(t, newIntegrated(t, w)) })
		t.Run("Shape", func(t *testing.T) { testValidateShape(t, newIntegrated(t, w)) })
	})
}

// testIntegrationV1 makes an integration through pim/v1 and looks at it through
// both versions.
func testIntegrationV1(t *testing.T, s *integrated) {
	role := customerRole(int(drawn.Add(1)))
	made := s.v1(t, role).Want(t, http.StatusCreated)
	id := made.ID()
	if want := s.URL + integrationsV1 + "/" + id + in(s.env); made.Header.Get("Location") != want || made.Text("metadata.self") != want {
		t.Errorf("Location is %q and self %q, want %q", made.Header.Get("Location"), made.Text("metadata.self"), want)
	}
	for path, want := range map[string]string{
		"api_version": "pim/v1", "kind": "Integration", "provider": "AWS",
		"config.kind": "AwsIntegrationConfig", "config.customer_iam_role_arn": role,
		"config.iam_role_arn":    "arn:aws:iam::851725421142:role/" + id,
		"environment.id":         s.env,
		"metadata.resource_name": s.root + "/environment=" + s.env + "/provider-integration=" + id,
	} {
		if got := made.Text(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if !uuidShape.MatchString(made.Text("config.external_id")) {
		t.Errorf("the external ID is %q", made.Text("config.external_id"))
	}
	if usages, ok := made.Body["usages"].([]any); !ok || len(usages) != 0 {
		t.Errorf("usages are %v", made.Body["usages"])
	}
	if _, there := made.Body["status"]; there {
		t.Errorf("pim/v1 tells a status: %s", made.Raw)
	}

	second := s.read(t, integrations, id)
	for path, want := range map[string]string{
		"api_version": "pim/v2", "status": "CREATED", "provider": "AWS",
		"config.iam_role_arn": made.Text("config.iam_role_arn"), "config.external_id": made.Text("config.external_id"),
		"config.customer_iam_role_arn": role, "metadata.resource_name": made.Text("metadata.resource_name"),
		"metadata.self": s.URL + integrations + "/" + id + in(s.env),
	} {
		if got := second.Text(path); got != want {
			t.Errorf("through pim/v2 %s is %q, want %q", path, got, want)
		}
	}
	s.admin.Do(t, http.MethodDelete, integrationsV1+"/"+id+in(s.env), nil).Want(t, http.StatusNoContent)
	gone := s.admin.Do(t, http.MethodGet, integrations+"/"+id+in(s.env), nil).WantCode(t, api.ProviderIntegrationNotFound)
	if code, _ := gone.Body["error_code"].(float64); code != http.StatusNotFound || gone.Text("message") != "Provider Integration "+id+" not found" {
		t.Errorf("the older part of the answer is not as recorded: %s", gone.Raw)
	}
}

// testCustomerRole is about a customer's role, which is in one integration of an
// environment, whichever version made it.
func testCustomerRole(t *testing.T, s *integrated) {
	role := customerRole(int(drawn.Add(1)))
	first := s.v1(t, role).Want(t, http.StatusCreated)
	for name, a := range map[string]enginetest.Answer{
		integrationsV1: s.v1(t, role),
		integrations:   s.admin.Do(t, http.MethodPost, integrations, merged(s.awsBody(s.env, role), "provider", "AWS")),
		"the draft":    s.configure(t, s.draft(t, "aws", "late"), map[string]any{"kind": "AwsIntegrationConfig", "customer_iam_role_arn": role}),
	} {
		a.WantCode(t, api.AlreadyExists)
		if !strings.HasSuffix(a.Header.Get("Location"), "/"+first.ID()+in(s.env)) {
			t.Errorf("%s: Location is %q", name, a.Header.Get("Location"))
		}
	}
	elsewhere := s.environment(t)
	s.admin.Do(t, http.MethodPost, integrationsV1, s.awsBody(elsewhere, role)).Want(t, http.StatusCreated)
	s.v1(t, strings.ToUpper(role)).Want(t, http.StatusUnprocessableEntity)
	s.v1(t, role+"-x").Want(t, http.StatusCreated)
	s.admin.Do(t, http.MethodDelete, integrations+"/"+first.ID()+in(s.env), nil).Want(t, http.StatusNoContent)
	s.v1(t, role).Want(t, http.StatusCreated)
}

func merged(body map[string]any, name string, value any) map[string]any {
	body[name] = value
	return body
}

// testIntegrationV2 takes a draft through its life.
func testIntegrationV2(t *testing.T, s *integrated) {
	id := s.draft(t, "gcp", "bigquery")
	draft := s.read(t, integrations, id)
	own := id + "@cspi-prod-1.iam.gserviceaccount.com"
	for path, want := range map[string]string{
		"status": "DRAFT", "provider": "gcp", "config.kind": "GcpIntegrationConfig",
		"config.google_service_account": own, "config.customer_google_service_account": "",
	} {
		if got := draft.Text(path); got != want {
			t.Errorf("of the draft %s is %q, want %q", path, got, want)
		}
	}
	const customer = "customer-sa@customer-project.iam.gserviceaccount.com"
	config := map[string]any{"kind": "GcpIntegrationConfig", "customer_google_service_account": customer}

	// What says nothing new leaves a draft, and what is wrong too.
	s.configure(t, id, map[string]any{"kind": "GcpIntegrationConfig"}).Want(t, http.StatusOK)
	s.configure(t, id, nil).WantInvalid(t, "/config")
	s.configure(t, id, map[string]any{"kind": "AzureIntegrationConfig", "customer_azure_tenant_id": "12345678-1234-1234-1234-123456789abc"}).
		WantInvalid(t, "/config/kind", "/config/customer_azure_tenant_id")
	s.configure(t, id, map[string]any{"kind": "GcpIntegrationConfig", "customer_google_service_account": "invalid-format"}).
		WantInvalid(t, "/config/customer_google_service_account")
	s.admin.Do(t, http.MethodPatch, integrations+"/"+id, map[string]any{"config": config, "environment": map[string]any{"id": s.environment(t)}}).
		WantInvalid(t, "/environment")
	s.admin.Do(t, http.MethodPatch, integrations+"/"+id, map[string]any{"display_name": "another"}).WantInvalid(t, "/display_name")
	if got := s.read(t, integrations, id); !slices.Equal(got.Raw, draft.Raw) {
		t.Errorf("the draft changed:\n%s\n%s", draft.Raw, got.Raw)
	}

	after := s.configure(t, id, config).Want(t, http.StatusOK)
	if after.Text("status") != "CREATED" || after.Text("config.customer_google_service_account") != customer || after.Text("config.google_service_account") != own {
		t.Errorf("configured: %s", after.Raw)
	}
	// The same again is no change; another one comes too late.
	if again := s.configure(t, id, config).Want(t, http.StatusOK); !slices.Equal(again.Raw, after.Raw) {
		t.Errorf("the same config again: %s", again.Raw)
	}
	s.configure(t, id, map[string]any{"kind": "GcpIntegrationConfig", "customer_google_service_account": "x" + customer}).WantCode(t, api.BadRequest)
	s.configure(t, id, nil).WantInvalid(t, "/config")
	if got := s.read(t, integrations, id); !slices.Equal(got.Raw, after.Raw) {
		t.Errorf("the integration changed:\n%s\n%s", after.Raw, got.Raw)
	}

	// Through pim/v1 it is there, without what that version has no words for.
	old := s.read(t, integrationsV1, id)
	if old.Text("provider") != "gcp" || old.Text("config.kind") != "GcpIntegrationConfig" || strings.Contains(string(old.Raw), "gserviceaccount") {
		t.Errorf("pim/v1 shows it as %s", old.Raw)
	}
}

// testIntegrationClouds makes integrations with each cloud in one request.
func testIntegrationClouds(t *testing.T, s *integrated) {
	body := func(provider, kind, field, value string) map[string]any {
		return map[string]any{
			"display_name": "at once", "provider": provider, "environment": map[string]any{"id": s.env},
			"config": map[string]any{"kind": kind, field: value},
		}
	}
	const tenant = "12345678-1234-1234-1234-123456789ABC"
	azure := s.admin.Do(t, http.MethodPost, integrations, body("azure", "AzureIntegrationConfig", "customer_azure_tenant_id", tenant)).Want(t, http.StatusCreated)
	if azure.Text("status") != "CREATED" || azure.Text("config.confluent_multi_tenant_app_id") != "87654321-4321-4321-4321-abcdef123456" || azure.Text("config.customer_azure_tenant_id") != tenant {
		t.Errorf("Azure: %s", azure.Raw)
	}
	// No provider is GCP in pim/v2 and AWS in pim/v1, as their documents say.
	for path, want := range map[string]string{integrations: "GCP", integrationsV1: "AWS"} {
		for _, null := range []bool{true, false} {
			b := map[string]any{"display_name": "no cloud", "environment": map[string]any{"id": s.env}}
			if path == integrationsV1 {
				b["config"] = map[string]any{"kind": "AwsIntegrationConfig"}
			}
			if null {
				b["provider"] = nil
			}
			if a := s.admin.Do(t, http.MethodPost, path, b).Want(t, http.StatusCreated); a.Text("provider") != want || s.read(t, integrations, a.ID()).Text("status") != "DRAFT" {
				t.Errorf("%s: %s", path, a.Raw)
			}
		}
	}
	for _, c := range []struct {
		path     string
		body     map[string]any
		pointers []string
	}{
		{integrations, body("GCP", "AwsIntegrationConfig", "customer_iam_role_arn", customerRole(1)), []string{"/config/kind", "/config/customer_iam_role_arn"}},
		{integrations, body("AZURE", "AzureIntegrationConfig", "customer_azure_tenant_id", "not-a-uuid"), []string{"/config/customer_azure_tenant_id"}},
		{integrations, body("AWS", "AwsIntegrationConfig", "customer_iam_role_arn", "arn:aws:iam::1:role/short"), []string{"/config/customer_iam_role_arn"}},
		{integrations, body("AWS", "AwsIntegrationConfig", "customer_iam_role_arn", "arn:aws:iam::111122223333:user/somebody"), []string{"/config/customer_iam_role_arn"}},
		{integrations, body("Azure", "AzureIntegrationConfig", "customer_azure_tenant_id", tenant), []string{"/provider"}},
		{integrations, merged(body("GCP", "AwsIntegrationConfig", "customer_iam_role_arn", customerRole(1)), "provider", nil), []string{"/config/kind", "/config/customer_iam_role_arn"}},
		{integrationsV1, body("azure", "AzureIntegrationConfig", "customer_azure_tenant_id", tenant), []string{"/provider"}},
		{integrationsV1, body("aws", "GcpIntegrationConfig", "x", "y"), []string{"/config/kind"}},
	} {
		s.admin.Do(t, http.MethodPost, c.path, c.body).WantInvalid(t, c.pointers...)
	}
	for _, arn := range []string{"arn:aws-cn:iam::111122223333:role/r", "arn:aws-us-gov:iam::111122223333:role/team/r_1+=,.@-", customerRole(0)[:31] + strings.Repeat("r", 2048-31)} {
		s.v1(t, arn).Want(t, http.StatusCreated)
	}
}

// testIntegrationLists filters, through both versions.
func testIntegrationLists(t *testing.T, s *integrated) {
	first := s.v1(t, customerRole(int(drawn.Add(1)))).Want(t, http.StatusCreated).ID()
	google, azure := s.draft(t, "gcp", "Orders to BigQuery"), s.draft(t, "AZURE", "Orders to OneLake")
	s.configure(t, azure, map[string]any{"kind": "AzureIntegrationConfig", "customer_azure_tenant_id": "12345678-1234-1234-1234-123456789abc"}).Want(t, http.StatusOK)
	other := s.environment(t)
	create(t, s.admin, integrations, map[string]any{"display_name": "Orders to BigQuery", "environment": map[string]any{"id": other}})
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", []string{first, google, azure}},
		{"&provider=", []string{first, google, azure}},
		{"&provider=AWS", []string{first}},
		{"&provider=aws", []string{first}},
		{"&provider=GCP", []string{google}},
		{"&provider=azure", []string{azure}},
		{"&provider=IBM", nil},
	} {
		for _, path := range []string{integrationsV1, integrations} {
			if got := walkIDs(t, s.admin, path+in(s.env)+c.query); !slices.Equal(got, c.want) {
				t.Errorf("%s%s lists %q, want %q", path, c.query, got, c.want)
			}
		}
	}
	for query, want := range map[string][]string{
		"display_name=to+Big":                     {google},
		"display_name=Orders":                     {google, azure},
		"display_name=orders":                     nil,
		"display_name=Orders+to+BigQuery":         {google},
		"display_name=%25":                        nil,
		"status=DRAFT":                            {google},
		"status=CREATED":                          {first, azure},
		"status=ACTIVE":                           nil,
		"status=CREATED&provider=azure":           {azure},
		"display_name=Orders&status=CREATED":      {azure},
		"display_name=Orders&provider=AWS":        nil,
		"display_name=Orders&page_size=1":         {google, azure},
		"display_name=Ord&display_name=BigQuery":  {google, azure},
		"page_size=1&display_name=O&status=DRAFT": {google},
	} {
		if got := walkIDs(t, s.admin, integrations+in(s.env)+"&"+query); !slices.Equal(got, want) {
			t.Errorf("%s lists %q, want %q", query, got, want)
		}
	}
	if got := walkIDs(t, s.admin, integrationsV1+in("env-000000")); len(got) != 0 {
		t.Errorf("an environment that does not exist has %q", got)
	}
	// What the older version lists is what it reads.
	list := s.admin.Do(t, http.MethodGet, integrationsV1+in(s.env), nil).Want(t, http.StatusOK)
	var raw struct{ Data []json.RawMessage }
	if err := json.Unmarshal(list.Raw, &raw); err != nil || len(raw.Data) != 3 {
		t.Fatalf("%v: %s", err, list.Raw)
	}
	for i, id := range []string{first, google, azure} {
		if read := s.read(t, integrationsV1, id); !slices.Equal([]byte(raw.Data[i]), read.Raw) {
			t.Errorf("%s is listed as\n%s\nand read as\n%s", id, raw.Data[i], read.Raw)
		}
	}
}

// testIntegrationBindings binds roles to integrations: they must exist where
// the name says, and take the bindings along.
func testIntegrationBindings(t *testing.T, s *integrated) {
	id, account := s.draft(t, "aws", "bound"), s.account(t)
	name := func(env, id string) string { return s.root + "/environment=" + env + "/provider-integration=" + id }
	for _, nowhere := range []string{name(s.env, "cspi-00000"), name(s.environment(t), id)} {
		s.admin.Do(t, http.MethodPost, roleBindings, binding(account, "Assigner", nowhere)).WantCode(t, api.BadRequest)
	}
	c := s.holder(t, "Assigner", name(s.env, id))
	if got := walkIDs(t, c, integrations+in(s.env)); !slices.Equal(got, []string{id}) {
		t.Errorf("the Assigner lists %q", got)
	}
	bound := roleBindings + "?crn_pattern=" + url.QueryEscape(name(s.env, id))
	if got := walkIDs(t, s.admin, bound); len(got) != 1 {
		t.Errorf("bindings are %q", got)
	}
	c.Do(t, http.MethodDelete, integrations+"/"+id+in(s.env), nil).WantCode(t, api.UserUnauthorized)
	s.admin.Do(t, http.MethodDelete, integrations+"/"+id+in(s.env), nil).Want(t, http.StatusNoContent)
	if got := walkIDs(t, s.admin, bound); len(got) != 0 {
		t.Errorf("bindings stay: %q", got)
	}
}

// testIntegrationEnvironment deletes the environment, and makes integrations in
// none.
func testIntegrationEnvironment(t *testing.T, s *integrated) {
	one := s.v1(t, customerRole(int(drawn.Add(1)))).Want(t, http.StatusCreated).ID()
	two := s.draft(t, "azure", "goes too")
	admin := s.holder(t, "EnvironmentAdmin", s.root+"/environment="+s.env)
	elsewhere := s.environment(t)
	if got := walkIDs(t, admin, integrationsV1+in(s.env)); !slices.Equal(got, []string{one, two}) {
		t.Errorf("the environment's administrator lists %q", got)
	}
	if got := walkIDs(t, admin, integrationsV1+in(elsewhere)); len(got) != 0 {
		t.Errorf("in another environment the administrator lists %q", got)
	}
	admin.Do(t, http.MethodPost, integrationsV1, s.awsBody(elsewhere, customerRole(1))).WantCode(t, api.UserUnauthorized)
	for _, strange := range []string{"env-000000", "a b", "é", "..", "\u0001", strings.Repeat("x", 255)} {
		s.admin.Do(t, http.MethodPost, integrationsV1, s.awsBody(strange, customerRole(1))).WantInvalid(t, "/environment/id")
		admin.Do(t, http.MethodPost, integrationsV1, s.awsBody(strange, customerRole(1))).WantCode(t, api.UserUnauthorized)
	}
	s.admin.Do(t, http.MethodDelete, environments+"/"+s.env, nil).Want(t, http.StatusNoContent)
	for _, id := range []string{one, two} {
		s.admin.Do(t, http.MethodGet, integrationsV1+"/"+id+in(s.env), nil).WantCode(t, api.ProviderIntegrationNotFound)
	}
}

// testValidateShape validates where no cloud is asked.
func testValidateShape(t *testing.T, s *integrated) {
	validate := func(id string, config any) enginetest.Answer {
		t.Helper()
		body := map[string]any{"id": id, "environment": map[string]any{"id": s.env}}
		if config != nil {
			body["config"] = config
		}
		return s.admin.Do(t, http.MethodPost, integrations+":validate", body)
	}
	refused := func(a enginetest.Answer, detail string) {
		t.Helper()
		a.WantCode(t, api.BadRequest)
		if got := a.Text("error.message"); !strings.HasPrefix(got, detail) {
			t.Errorf("the answer is %q, want %q", got, detail)
		}
	}
	const tenant = "12345678-1234-1234-1234-123456789abc"
	id := s.draft(t, "azure", "validated")
	before := s.read(t, integrations, id)
	refused(validate(id, nil), "Cloud provider setup incomplete")
	refused(validate(id, map[string]any{"kind": "AzureIntegrationConfig"}), "Cloud provider setup incomplete")
	refused(validate(id, map[string]any{"kind": "AzureIntegrationConfig", "customer_azure_tenant_id": "not-a-valid-uuid"}), "invalid customer AZURE tenant id")
	refused(validate(id, map[string]any{"kind": "GcpIntegrationConfig", "customer_google_service_account": "a@b.iam.gserviceaccount.com"}), "The config is of the kind 'GcpIntegrationConfig'")
	validate(id, map[string]any{"kind": "AzureIntegrationConfig", "customer_azure_tenant_id": tenant}).Want(t, http.StatusNoContent)
	if after := s.read(t, integrations, id); !slices.Equal(before.Raw, after.Raw) {
		t.Errorf("validation changed it:\n%s\n%s", before.Raw, after.Raw)
	}
	config := map[string]any{"kind": "AzureIntegrationConfig", "customer_azure_tenant_id": tenant}
	s.configure(t, id, config).Want(t, http.StatusOK)
	validate(id, nil).Want(t, http.StatusNoContent)
	validate(id, config).Want(t, http.StatusNoContent)
	refused(validate(id, map[string]any{"kind": "AzureIntegrationConfig", "customer_azure_tenant_id": strings.Replace(tenant, "1", "2", 1)}), "The provider integration "+id)

	google := s.draft(t, "GCP", "validated")
	refused(validate(google, map[string]any{"kind": "GcpIntegrationConfig", "customer_google_service_account": "invalid-format"}), "invalid Google Service Account")
	role := s.draft(t, "AWS", "validated")
	refused(validate(role, map[string]any{"kind": "AwsIntegrationConfig", "customer_iam_role_arn": "arn:aws:s3:::bucket"}), "invalid customer AWS IAM role ARN")
	validate(s.v1(t, customerRole(int(drawn.Add(1)))).Want(t, http.StatusCreated).ID(), nil).Want(t, http.StatusNoContent)
}

// TestPlaceholders is about a server that nobody told who it is in the clouds.
func TestPlaceholders(t *testing.T) {
	t.Parallel()
	s := newIntegrated(t, serve(t, "", server.Kinds(), time.Now))
	for provider, want := range map[string]string{
		"aws": "arn:aws:iam::123456789012:role/", "azure": "00000000-0000-0000-0000-000000000000", "gcp": "@weir-example.iam.gserviceaccount.com",
	} {
		a := s.read(t, integrations, s.draft(t, provider, "placeholders"))
		config := a.Body["config"].(map[string]any)
		found := false
		for _, v := range config {
			text, _ := v.(string)
			found = found || strings.Contains(text, want)
		}
		if !found {
			t.Errorf("%s: %v does not have %q", provider, config, want)
		}
	}
}

// cloud stands for what can be asked in all clouds: it answers what the test
// says, once it may.
type cloud struct {
	answers chan error
	asked   chan string
}

func (c *cloud) ask(ctx context.Context, question ...string) error {
	c.asked <- strings.Join(question, " ")
	select {
	case err := <-c.answers:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *cloud) Assume(ctx context.Context, own, customer, external string) error {
	return c.ask(ctx, own, customer, external)
}
func (c *cloud) SignIn(ctx context.Context, app, tenant string) error { return c.ask(ctx, app, tenant) }
func (c *cloud) Impersonate(ctx context.Context, own, customer string) error {
	return c.ask(ctx, own, customer)
}

// TestValidateAsksTheCloud validates where the operator named the clouds.
func TestValidateAsksTheCloud(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		c := &cloud{make(chan error, 1), make(chan string, 1)}
		s := newIntegrated(t, serveWith(t, databaseURL, server.Kinds(), time.Now, func(e *engine.Engine) {
			e.Clouds = cloudaccess.Clouds{AWS: c, Azure: c, Google: c}
		}))
		const tenant, member = "12345678-1234-1234-1234-123456789abc", "orders@customer.iam.gserviceaccount.com"
		role := customerRole(1)
		for _, test := range []struct{ provider, kind, field, value, own string }{
			{"AWS", "AwsIntegrationConfig", "customer_iam_role_arn", role, "config.iam_role_arn"},
			{"azure", "AzureIntegrationConfig", "customer_azure_tenant_id", tenant, "config.confluent_multi_tenant_app_id"},
			{"gcp", "GcpIntegrationConfig", "customer_google_service_account", member, "config.google_service_account"},
		} {
			id := s.draft(t, test.provider, "asked")
			read := s.read(t, integrations, id)
			want := strings.TrimSpace(read.Text(test.own) + " " + test.value + " " + read.Text("config.external_id"))
			config := map[string]any{"kind": test.kind, test.field: test.value}
			validate := func(config any) enginetest.Answer {
				body := map[string]any{"id": id, "environment": map[string]any{"id": s.env}}
				if config != nil {
					body["config"] = config
				}
				return s.admin.Do(t, http.MethodPost, integrations+":validate", body)
			}
			wantAsked := func() {
				t.Helper()
				if got := <-c.asked; got != want {
					t.Errorf("%s was asked about %q, want %q", test.provider, got, want)
				}
			}
			c.answers <- nil
			validate(config).Want(t, http.StatusNoContent)
			wantAsked()
			c.answers <- &cloudaccess.Refused{Reason: "no such trust", Err: errors.New("secret details")}
			if a := validate(config).WantCode(t, api.BadRequest); a.Text("error.message") != "Cloud provider setup incomplete: no such trust" || strings.Contains(string(a.Raw), "secret details") {
				t.Errorf("a refusal answers %s", a.Raw)
			}
			wantAsked()
			c.answers <- errors.New("dial tcp: secret details")
			if a := validate(config).WantCode(t, api.Unavailable); a.Header.Get("Retry-After") == "" || strings.Contains(string(a.Raw), "secret details") {
				t.Errorf("a cloud that is away answers %s", a.Raw)
			}
			wantAsked()

			// While a cloud thinks, others work.
			done := make(chan enginetest.Answer)
			go func() { done <- validate(config) }()
			wantAsked()
			s.configure(t, id, config).Want(t, http.StatusOK)
			s.admin.Do(t, http.MethodDelete, integrations+"/"+id+in(s.env), nil).Want(t, http.StatusNoContent)
			c.answers <- nil
			(<-done).Want(t, http.StatusNoContent)
			// What does not look right is not asked about.
			other := s.draft(t, test.provider, "not asked")
			s.admin.Do(t, http.MethodPost, integrations+":validate", map[string]any{
				"id": other, "environment": map[string]any{"id": s.env}, "config": map[string]any{"kind": test.kind, test.field: "../" + test.value},
			}).WantCode(t, api.BadRequest)
		}
		if len(c.asked) != 0 {
			t.Errorf("a cloud was asked too much: %q", <-c.asked)
		}
	})
}
