package conformance

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/server"
)

func weirDocument(t *testing.T) *openapi3.T {
	t.Helper()
	e, err := engine.New(engine.Config{PublicURL: "https://weir.example.com", Kinds: server.Kinds(), Calls: server.Calls()})
	if err != nil {
		t.Fatal(err)
	}
	return e.OpenAPI("test")
}

// documents are read once for all tests, none of which changes them.
var documents = sync.OnceValues(func() ([]*openapi3.T, error) {
	return Documents(context.Background())
})

func vendorDocuments(t *testing.T) []*openapi3.T {
	t.Helper()
	docs, err := documents()
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// vendorDocument returns the document that comes with a module of the SDK.
func vendorDocument(t *testing.T, module string) *openapi3.T {
	t.Helper()
	i := slices.IndexFunc(Sources(), func(s Source) bool { return s.Module == sdk+module })
	if i < 0 {
		t.Fatalf("no document is of the module %s", module)
	}
	return vendorDocuments(t)[i]
}

// Weir's document promises all that the vendor's do, for what is served.
func TestDocumentKeepsTheVendorsPromises(t *testing.T) {
	t.Parallel()
	weir := weirDocument(t)
	used := make([]bool, len(tolerances))
	for _, vendor := range vendorDocuments(t) {
		differences, err := Compare(vendor, weir)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range differences {
			if i := tolerated(d.Check, d.Text); i >= 0 {
				used[i] = true
			} else {
				t.Errorf("%s: %s", vendor.Info.Title, d)
			}
		}
	}
	for i, tolerance := range tolerances {
		if !used[i] && tolerance.Check != UndeclaredStatus {
			t.Errorf("no difference needs the tolerance for %s where %s", tolerance.Check, tolerance.Where)
		}
	}
}

// The comparison covers what is served, and only that: without this a document
// that marks nothing as served would pass.
func TestServedOperationsAreCompared(t *testing.T) {
	t.Parallel()
	weir := weirDocument(t)
	compared := map[string]bool{}
	for _, vendor := range vendorDocuments(t) {
		pruned, err := merged(vendor, func(any) {})
		if err != nil {
			t.Fatal(err)
		}
		if missing := keepServed(pruned, weir); len(missing) != 0 {
			t.Errorf("missing: %v", missing)
		}
		for path, item := range vendor.Paths.Map() {
			for method, op := range item.Operations() {
				kept := pruned.Paths.Value(path) != nil && pruned.Paths.Value(path).GetOperation(method) != nil
				if want := served(weir.Paths.Value(path).GetOperation(method)); kept != want {
					t.Errorf("%s: compared %v, served %v", op.OperationID, kept, want)
				}
				compared[op.OperationID] = kept
			}
		}
	}
	for _, id := range []string{"createIamV2ApiKey", "listIamV2ServiceAccounts", "updateOrgV2Organization"} {
		if !compared[id] {
			t.Errorf("%s is not compared", id)
		}
	}
}

func TestOnlyWhatIsServedIsCompared(t *testing.T) {
	t.Parallel()
	weir := weirDocument(t)
	const path = "/org/v2/environments"
	weir.Paths.Value(path).Post.Extensions["x-weir-served"] = false
	weir.Paths.Value(path).Post.Responses = openapi3.NewResponses()
	differences, err := Compare(vendorDocument(t, "org"), weir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		if strings.HasPrefix(d.Text, "POST "+path) {
			t.Errorf("what is not served is compared: %s", d)
		}
	}
}

func TestTolerancesSayWhy(t *testing.T) {
	t.Parallel()
	for _, tolerance := range Tolerances() {
		if tolerance.Check == "" || tolerance.Reason == "" || tolerance.Where.MatchString("") {
			t.Errorf("%s allows anything, or does not say why", tolerance.Check)
		}
	}
}

// Every promise that is taken away is found.
func TestCompareFinds(t *testing.T) {
	t.Parallel()
	const accounts = "/iam/v2/service-accounts"
	for name, c := range map[string]struct {
		damage func(*openapi3.T)
		check  string
	}{
		"nothing":   {func(*openapi3.T) {}, ""},
		"operation": {func(d *openapi3.T) { d.Paths.Value(accounts).Post = nil }, MissingOperation},
		"parameter": {func(d *openapi3.T) {
			get := d.Paths.Value(accounts).Get
			get.Parameters = slices.DeleteFunc(get.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.Name == "display_name" })
		}, "request-parameter-removed"},
		"parameter's type": {func(d *openapi3.T) {
			d.Paths.Value(accounts).Get.Parameters.GetByInAndName("query", "display_name").Schema = openapi3.NewBoolSchema().NewRef()
		}, "request-parameter-type-changed"},
		"parameter's maximum": {func(d *openapi3.T) {
			d.Paths.Value(accounts).Get.Parameters.GetByInAndName("query", "page_size").Schema.Value.WithMax(50)
		}, "request-parameter-max-decreased"},
		"parameter's default": {func(d *openapi3.T) {
			d.Paths.Value(accounts).Get.Parameters.GetByInAndName("query", "page_size").Schema.Value.WithDefault(20)
		}, "request-parameter-default-value-changed"},
		"request property": {func(d *openapi3.T) {
			delete(d.Components.Schemas["iam.v2.ServiceAccountCreate"].Value.Properties, "description")
		}, "request-property-removed"},
		"new required request property": {func(d *openapi3.T) {
			s := d.Components.Schemas["iam.v2.ServiceAccountCreate"].Value
			s.Required = append(s.Required, "description")
		}, "request-property-became-required"},
		"success": {func(d *openapi3.T) { d.Paths.Value(accounts).Post.Responses.Delete("201") }, "response-success-status-removed"},
		"failure": {func(d *openapi3.T) { d.Paths.Value(accounts).Post.Responses.Delete("402") }, "response-non-success-status-removed"},
		"header": {func(d *openapi3.T) {
			delete(d.Paths.Value(accounts).Post.Responses.Value("201").Value.Headers, "Location")
		}, "optional-response-header-removed"},
		"response property": {func(d *openapi3.T) {
			delete(d.Components.Schemas["iam.v2.ServiceAccount"].Value.Properties, "description")
		}, "response-optional-property-removed"},
		"required response property": {func(d *openapi3.T) {
			d.Components.Schemas["iam.v2.ServiceAccount"].Value.Required = nil
		}, "response-property-became-optional"},
		"type of a response property": {func(d *openapi3.T) {
			d.Components.Schemas["iam.v2.ServiceAccount"].Value.Properties["description"] = openapi3.NewBoolSchema().NewRef()
		}, "response-property-type-changed"},
		"enum": {func(d *openapi3.T) {
			d.Components.Schemas["iam.v2.ServiceAccount"].Value.Properties["kind"].Value.Enum = nil
		}, "response-property-became-not-enum"},
		"error property": {func(d *openapi3.T) {
			delete(d.Components.Schemas["Error"].Value.Properties, "detail")
		}, "response-optional-property-removed"},
		"credentials": {func(d *openapi3.T) {
			d.Paths.Value(accounts).Get.Security = &openapi3.SecurityRequirements{{"cloud-api-key": {}}}
		}, "api-security-removed"},
		"operation's name": {func(d *openapi3.T) { d.Paths.Value(accounts).Get.OperationID = "list" }, "api-operation-id-removed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			weir := weirDocument(t)
			c.damage(weir)
			vendor := vendorDocument(t, "iam")
			text, _ := json.Marshal(weir)
			differences, err := Compare(vendor, weir)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, d := range differences {
				if tolerated(d.Check, d.Text) < 0 {
					found = append(found, d.Check)
				}
			}
			if c.check == "" && len(found) > 0 || c.check != "" && !slices.Contains(found, c.check) {
				t.Errorf("found %v, want %q", found, c.check)
			}
			if after, _ := json.Marshal(weir); string(after) != string(text) {
				t.Error("Compare changed the document")
			}
		})
	}
}

// A value that the vendor's open enums list must be one that Weir takes.
func TestCompareFindsMissingEnumValues(t *testing.T) {
	t.Parallel()
	weir := weirDocument(t)
	pkg := weir.Components.Schemas["org.v2.EnvironmentCreate"].Value.Properties["stream_governance_config"].Value.Properties["package"].Value
	pkg.Enum = pkg.Enum[:1]
	differences, err := Compare(vendorDocument(t, "org"), weir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(differences, func(d Difference) bool {
		return d.Check == "request-property-enum-value-removed" && strings.Contains(d.String(), "ADVANCED")
	}) {
		t.Errorf("differences: %v", differences)
	}
}
