package engine

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
)

// samples are kinds with a field of every sort: a parent, and a child in its
// path that is changed by PUT.
func samples() (parent, child *Kind) {
	parent = &Kind{
		Group: "iam", Version: "v2", Name: "CertificateAuthority", Description: "A parent.",
		Path: "/iam/v2/certificate-authorities", Segment: "certificate-authority", Resource: "CertificateAuthority",
		Operations: map[Verb]string{
			List: "listIamV2CertificateAuthorities", Create: "createIamV2CertificateAuthority", Read: "getIamV2CertificateAuthority",
		},
		Fields: []Field{{Name: "display_name", Required: true, Description: "d"}},
	}
	child = &Kind{
		Group: "iam", Version: "v2", Name: "CertificateIdentityPool", Description: "A child.",
		Path:    "/iam/v2/certificate-authorities/{certificate_authority_id}/identity-pools",
		Segment: "identity-pool", Resource: "IdentityPool", Parent: parent,
		Operations: map[Verb]string{
			List: "listIamV2CertificateIdentityPools", Create: "createIamV2CertificateIdentityPool",
			Read: "getIamV2CertificateIdentityPool", Update: "updateIamV2CertificateIdentityPool",
			Delete: "deleteIamV2CertificateIdentityPool",
		},
		PageSize:   PageSize{Default: 20, Max: 50},
		Parameters: map[Verb][]Parameter{Create: {{Name: "dry_run", Description: "Only checks.", Example: "true"}}},
		Fields: []Field{
			{Name: "display_name", Required: true, MinLength: 2, MaxLength: 64, Filter: FilterAny, Example: "a pool", Description: "d",
				Pattern: regexp.MustCompile("^[a-z ]+$"), PatternHint: "have small letters"},
			{Name: "origin", Required: true, Immutable: true, Filter: FilterOne, Description: "d"},
			{Name: "state", ReadOnly: true, Required: true, Enum: []string{"ON", "OFF"}, Description: "d"},
			{Name: "mode", Enum: []string{"A", "B"}, Default: "A", Description: "d"},
			{Name: "secret", Once: true, Required: true, Description: "d"},
			{Name: "enabled", Type: Boolean, Deprecated: true, Description: "d"},
			{Name: "count", Type: Integer, Description: "d"},
			{Name: "until", Type: Timestamp, Description: "d"},
			{Name: "email", Format: "email", Description: "d"},
			{Name: "spec", Type: Structure, Description: "d", Fields: []Field{
				{Name: "region", Required: true, Description: "d"}, {Name: "zone", Description: "d"},
			}},
			{Name: "owner", Type: Reference, Filter: FilterOne, Description: "d", To: &ReferenceTo{Kinds: []string{"iam/v2.CertificateAuthority"}}},
			{Name: "place", Type: Reference, Required: true, Description: "d", To: &ReferenceTo{Resolved: true, Typed: true}},
			{Name: "rules", Type: Array, MinItems: 1, MaxItems: 3, Description: "d", Items: &Field{
				Type: Structure, Description: "d", Fields: []Field{{Name: "cidr", Required: true, Description: "d"}},
			}},
		},
	}
	return parent, child
}

func sampleDocument(t *testing.T) *openapi3.T {
	t.Helper()
	parent, child := samples()
	e, err := New(Config{PublicURL: "https://weir.example.com", Kinds: []*Kind{parent, child}})
	if err != nil {
		t.Fatal(err)
	}
	doc := e.OpenAPI("1")
	if err := doc.Validate(t.Context(), openapi3.EnableMultiError()); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOpenAPIRequired(t *testing.T) {
	t.Parallel()
	doc := sampleDocument(t)
	for _, c := range []struct {
		schema string
		want   []string
	}{
		{"", []string{"api_version", "display_name", "id", "kind", "metadata", "origin", "place", "state"}},
		{"Create", []string{"display_name", "origin", "place"}},
		{"Replace", []string{"display_name", "place"}},
	} {
		s := doc.Components.Schemas["iam.v2.CertificateIdentityPool"+c.schema]
		if s == nil {
			t.Fatalf("no schema %q", c.schema)
		}
		if !slices.Equal(s.Value.Required, c.want) {
			t.Errorf("%q requires %v, want %v", c.schema, s.Value.Required, c.want)
		}
	}
}

// The schema of a PATCH requires nothing but what arrays hold, which are
// replaced whole.
func TestOpenAPIPatchRequiresNothing(t *testing.T) {
	t.Parallel()
	_, child := samples()
	d := &document{T: &openapi3.T{Components: &openapi3.Components{Schemas: sharedSchemas()}}, engine: &Engine{}}
	s := d.kindSchema(child, changed).Value
	if len(s.Required) != 0 || len(s.Properties["spec"].Value.Required) != 0 || len(s.Properties["metadata"].Value.Required) != 0 {
		t.Errorf("requires %v, in spec %v", s.Required, s.Properties["spec"].Value.Required)
	}
	if items := s.Properties["rules"].Value.Items.Value; !slices.Equal(items.Required, []string{"cidr"}) {
		t.Errorf("elements of rules require %v", items.Required)
	}
	if d.kindSchema(child, changed).Ref != "#/components/schemas/iam.v2.CertificateIdentityPoolUpdate" {
		t.Errorf("is called %s", d.kindSchema(child, changed).Ref)
	}
}

func TestOpenAPIFields(t *testing.T) {
	t.Parallel()
	doc := sampleDocument(t)
	sent := doc.Components.Schemas["iam.v2.CertificateIdentityPoolCreate"].Value.Properties
	answer := doc.Components.Schemas["iam.v2.CertificateIdentityPool"].Value.Properties
	for _, c := range []struct {
		name string
		in   openapi3.Schemas
		want string
	}{
		{"display_name", sent, `{"description":"d","examples":["a pool"],"maxLength":64,"minLength":2,"pattern":"^[a-z ]+$","type":"string"}`},
		{"origin", sent, `{"description":"d","maxLength":256,"type":"string","x-immutable":true}`},
		{"state", sent, `{"description":"d","enum":["ON","OFF"],"readOnly":true,"type":"string"}`},
		{"mode", sent, `{"default":"A","description":"d","enum":["A","B",null],"type":["string","null"]}`},
		{"mode", answer, `{"default":"A","description":"d","enum":["A","B"],"type":"string"}`},
		{"secret", sent, `{"description":"d","readOnly":true,"type":"string"}`},
		{"enabled", sent, `{"deprecated":true,"description":"d","type":["boolean","null"]}`},
		{"count", answer, `{"description":"d","format":"int64","type":"integer"}`},
		{"until", answer, `{"description":"d","format":"date-time","type":"string"}`},
		{"email", answer, `{"description":"d","format":"email","maxLength":4096,"type":"string"}`},
		{"owner", answer, `{"allOf":[{"$ref":"#/components/schemas/GlobalObjectReference"}],"description":"d"}`},
		{"place", answer, `{"allOf":[{"$ref":"#/components/schemas/ObjectReference"}],"description":"d"}`},
	} {
		got, err := json.Marshal(c.in[c.name])
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	owner := sent["owner"].Value
	if !slices.Equal(owner.Required, []string{"id"}) || !owner.Type.IncludesNull() || owner.Properties["kind"] != nil {
		t.Errorf("owner as sent: requires %v, type %v", owner.Required, owner.Type)
	}
	place := sent["place"].Value
	if place.Type.IncludesNull() || place.Properties["kind"].Value.ReadOnly || !place.Properties["related"].Value.ReadOnly {
		t.Errorf("place as sent: %+v", place.Type)
	}
	rules := answer["rules"].Value
	if rules.MinItems != 1 || *rules.MaxItems != 3 || rules.Items.Value.Properties["cidr"] == nil {
		t.Errorf("rules: %+v", rules)
	}
}

func TestOpenAPIParameters(t *testing.T) {
	t.Parallel()
	doc := sampleDocument(t)
	_, child := samples()
	list := doc.Paths.Value(child.Path).Get.Parameters
	var names []string
	for _, p := range list {
		names = append(names, p.Value.In+" "+p.Value.Name)
	}
	want := []string{"path certificate_authority_id", "query display_name", "query origin", "query owner", "query page_size", "query page_token"}
	if !slices.Equal(names, want) {
		t.Errorf("parameters %v, want %v", names, want)
	}
	several := list.GetByInAndName("query", "display_name")
	if !several.Schema.Value.Type.Is("array") || several.Style != "form" || !*several.Explode {
		t.Errorf("display_name: %+v", several)
	}
	size := list.GetByInAndName("query", "page_size").Schema.Value
	if size.Default != 20 || *size.Max != 50 || *size.Min != 1 {
		t.Errorf("page_size: default %v, maximum %v, minimum %v", size.Default, *size.Max, *size.Min)
	}
	if token := list.GetByInAndName("query", "page_token").Schema.Value; *token.MaxLength != 255 {
		t.Errorf("page_token: at most %d", *token.MaxLength)
	}
	if p := list.GetByInAndName("path", "certificate_authority_id"); !strings.Contains(p.Description, "CertificateAuthority") {
		t.Errorf("path parameter: %q", p.Description)
	}
	if doc.Paths.Value(child.Path).Post.Parameters.GetByInAndName("query", "dry_run") == nil {
		t.Error("create has no parameter dry_run")
	}
}

// An action has a body of its own, and a list may ask for a parameter.
func TestOpenAPIActions(t *testing.T) {
	t.Parallel()
	users := &Kind{
		Group: "iam", Version: "v2", Name: "User", Description: "d", Path: "/iam/v2/users", Segment: "user", Resource: "User",
		GuardedAs:  []string{"Organization", "Environment"},
		Operations: map[Verb]string{List: "listIamV2Users"},
		Fields: []Field{{
			Name: "pattern", Description: "What it is.", Filter: FilterOne, FilterRequired: true,
			FilterBy: func(string, url.Values) (store.Condition, error) { return store.Condition{}, nil },
		}},
		Actions: []Action{{
			Operation: "updateIamV2UserAuth", Asks: "AlterAccess",
			Fields: []Field{{Name: "auth_type", Required: true, Enum: []string{"X"}, Description: "d"}},
		}},
	}
	e, err := New(Config{Kinds: []*Kind{users}})
	if err != nil {
		t.Fatal(err)
	}
	doc := e.OpenAPI("1")
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	o := doc.Paths.Value("/iam/v2/users/{id}/auth").Patch
	body := o.RequestBody.Value.Content.Get("application/json").Schema.Value
	if !slices.Equal(body.Required, []string{"auth_type"}) || len(body.Properties) != 1 {
		t.Errorf("body requires %v of %d properties", body.Required, len(body.Properties))
	}
	if !strings.Contains(o.Description, "`AlterAccess`") || !strings.Contains(o.Description, "`Environment`") {
		t.Errorf("description %q", o.Description)
	}
	for _, status := range []string{"204", "404", "409", "413", "422"} {
		if o.Responses.Value(status) == nil {
			t.Errorf("no response %s", status)
		}
	}
	if p := doc.Paths.Value("/iam/v2/users").Get.Parameters.GetByInAndName("query", "pattern"); !p.Required || !strings.Contains(p.Description, "What it is.") {
		t.Errorf("parameter pattern: required %v, %q", p.Required, p.Description)
	}
}

// What render writes is what the document says is sent.
func TestOpenAPIDescribesWhatIsRendered(t *testing.T) {
	t.Parallel()
	doc := sampleDocument(t)
	_, child := samples()
	full := Doc{
		"display_name": "a pool", "origin": "here", "state": "ON", "mode": "B", "enabled": true, "count": json.Number("3"),
		"until": "2026-01-02T03:04:05.000006Z", "email": "marty@example.com", "spec": Doc{"region": "r"},
		"owner": Doc{"id": "x", "related": "/x", "resource_name": "crn://x"},
		"place": Doc{"id": "cloud", "related": "cloud", "resource_name": "cloud", "api_version": "iam/v2", "kind": "Cloud"},
		"rules": []any{Doc{"cidr": "10.0.0.0/8"}},
	}
	least := Doc{"display_name": "a pool", "origin": "here", "state": "OFF", "place": full["place"]}
	for name, d := range map[string]Doc{"full": full, "least": least} {
		o := &Object{Kind: child, Org: "o", ID: "pool-1", Parent: "ca-1", Doc: d, Created: time.Unix(1, 0), Updated: time.Unix(2, 0), Once: map[string]string{"secret": "s"}}
		body := api.AppendSpliced(nil, o.render(true), "https://weir.example.com")
		check(t, doc, "iam.v2.CertificateIdentityPool", name, body)
		list := api.AppendSpliced(nil, []byte(`{"api_version":"iam/v2","kind":"CertificateIdentityPoolList","metadata":{"next":"`+
			"\x01"+`/x?page_token=y","total_size":1},"data":[`+string(o.render(false))+`]}`), "https://weir.example.com")
		check(t, doc, "iam.v2.CertificateIdentityPoolList", name+" list", list)
	}
	delete(least, "place")
	o := &Object{Kind: child, Org: "o", ID: "pool-1", Parent: "ca-1", Doc: least}
	var v any
	if err := json.Unmarshal(api.AppendSpliced(nil, o.render(false), ""), &v); err != nil {
		t.Fatal(err)
	}
	if doc.Components.Schemas["iam.v2.CertificateIdentityPool"].Value.VisitJSON(v) == nil {
		t.Error("an object without a required property passes")
	}
}

// What the error writer writes is what the document says of failures, and all
// of it is described.
func TestOpenAPIDescribesFailures(t *testing.T) {
	t.Parallel()
	doc := sampleDocument(t)
	w := api.ErrorWriter{PublicURL: "https://weir.example.com", Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now}
	for name, err := range map[string]error{
		"problems": api.Invalid(api.Problem{Message: "m", Pointer: "/a"}, api.Problem{Message: "n"}),
		"bare":     errors.New("cause"),
		"number":   api.New(api.WrongScope, "m"),
		"query":    api.BadParameter(api.InvalidParameter, "page_size", "m"),
	} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/x", nil)
		w.Write(rec, r.WithContext(api.WithRequestID(r.Context(), "id")), err)
		check(t, doc, "Failure", name, rec.Body.Bytes())
	}
}

// check holds a body to a schema, under which no property may be unknown.
func check(t *testing.T, doc *openapi3.T, schema, name string, body []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v in %s", name, err, body)
	}
	s := doc.Components.Schemas[schema]
	if err := s.Value.VisitJSON(v, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation(), openapi3.MultiErrors()); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	unknown(t, s.Value, v, name)
}

func unknown(t *testing.T, s *openapi3.Schema, v any, at string) {
	t.Helper()
	if len(s.AllOf) == 1 {
		s = s.AllOf[0].Value
	}
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if p := s.Properties[name]; p != nil {
				unknown(t, p.Value, value, at+"."+name)
			} else {
				t.Errorf("%s.%s is sent and not described", at, name)
			}
		}
	case []any:
		for _, item := range v {
			unknown(t, s.Items.Value, item, at+"[]")
		}
	}
}

func TestOpenAPICodes(t *testing.T) {
	t.Parallel()
	parent, child := samples()
	child.Missing = func(string) *api.Error { return api.New(api.ForbiddenAccess, "m") }
	e := &Engine{}
	for _, c := range []struct {
		verb   Verb
		status int
		want   []*api.Code
	}{
		{List, 400, []*api.Code{api.InvalidPageToken, api.InvalidParameter, api.MalformedRequest}},
		{List, 404, []*api.Code{api.ResourceNotFound}},
		{Create, 400, []*api.Code{api.InvalidParameter, api.MalformedRequest}},
		{Create, 422, []*api.Code{api.ValidationFailed}},
		{Read, 403, []*api.Code{api.ForbiddenAccess, api.HTTPSRequired, api.AddressNotAllowed, api.UserUnauthorized}},
		{Update, 409, []*api.Code{api.AlreadyExists}},
		{Delete, 409, []*api.Code{api.InUse}},
		{Delete, 400, []*api.Code{api.MalformedRequest}},
	} {
		if got := e.failures(child, c.verb)[c.status]; !slices.Equal(got, c.want) {
			t.Errorf("%s %d: %v, want %v", c.verb, c.status, got, c.want)
		}
	}
	// A status that the API declares stays in the document even where nothing
	// leads to it.
	child.Parent, child.Path = nil, parent.Path
	codes, declared := e.failures(child, Read)[404]
	if !declared || len(codes) != 0 {
		t.Errorf("404 on read: declared %v, codes %v", declared, codes)
	}
	d := &document{engine: e, T: &openapi3.T{Components: &openapi3.Components{Schemas: sharedSchemas(), Headers: sharedHeaders()}}}
	if text := *d.failure(404, nil).Description; !strings.Contains(text, "does not give it") {
		t.Errorf("description %q", text)
	}
}

func TestOpenAPIKnowsEveryCredential(t *testing.T) {
	t.Parallel()
	ops := operation.All()
	schemes := securitySchemes(ops, "")
	for _, op := range ops {
		for _, name := range op.Credentials {
			if schemes[name] == nil {
				t.Errorf("%s names the credentials %s, which have no scheme", op.ID, name)
			}
		}
	}
	if len(securitySchemes(nil, "")) != 0 {
		t.Error("there are schemes that no operation names")
	}
}
