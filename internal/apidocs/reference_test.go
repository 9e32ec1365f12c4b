package apidocs

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func TestPlace(t *testing.T) {
	t.Parallel()
	tests := []struct{ tag, path, api, resource string }{
		{"Service Accounts (iam/v2)", "/iam/v2/service-accounts", "iam/v2", "Service Accounts"},
		{"Group Mappings (iam/v2/sso)", "/iam/v2/sso/group-mappings", "iam/v2", "Group Mappings"},
		{"Statements (sql/v1beta1)", "/x", "sql/v1beta1", "Statements"},
		{"Doc Completions (docs-ai/v1)", "/x", "docs-ai/v1", "Doc Completions"},
		{"Topic (v3)", "/kafka/v3/clusters", "kafka/v3", "Topic (v3)"},
		{"Subjects (v1)", "/subjects", "other/all", "Subjects (v1)"},
		{"", "/iam/v2/users", "iam/v2", "Operations"},
		{"", "/health", "other/all", "Operations"},
		{"A/B (../../x)", "/health", "other/all", "A/B (../../x)"},
	}
	for _, tt := range tests {
		if api, resource := place(tt.tag, tt.path); api != tt.api || resource != tt.resource {
			t.Errorf("place(%q, %q) = %q, %q, want %q, %q", tt.tag, tt.path, api, resource, tt.api, tt.resource)
		}
	}
}

func TestExtension(t *testing.T) {
	t.Parallel()
	extensions := map[string]any{
		"text": "a", "raw": json.RawMessage(`"b"`), "yes": true, "rawYes": json.RawMessage(`true`),
		"bad": json.RawMessage(`{`), "number": 1,
	}
	for name, want := range map[string]string{"text": "a", "raw": "b", "yes": "", "bad": "", "number": "", "none": ""} {
		if got := extension[string](extensions, name); got != want {
			t.Errorf("string %s: got %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]bool{"yes": true, "rawYes": true, "text": false, "bad": false, "none": false} {
		if got := extension[bool](extensions, name); got != want {
			t.Errorf("bool %s: got %v, want %v", name, got, want)
		}
	}
}

func TestEmptyDocument(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]*openapi3.T{
		"nothing":  {},
		"no paths": {OpenAPI: "3.1.0", Info: &openapi3.Info{Title: "T"}},
		"bare operation": {Paths: openapi3.NewPaths(openapi3.WithPath("/a/{b}", &openapi3.PathItem{
			Get: &openapi3.Operation{},
			Put: &openapi3.Operation{
				Parameters:  openapi3.Parameters{nil, {}, {Ref: "#/components/parameters/none"}, {Value: &openapi3.Parameter{Name: "b", In: "path"}}},
				RequestBody: &openapi3.RequestBodyRef{Ref: "#/components/requestBodies/none"},
				Responses:   openapi3.NewResponses(openapi3.WithName("default", &openapi3.Response{Content: openapi3.Content{"x/y": nil}})),
			},
		}))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := mustNew(t, func() (*openapi3.T, error) { return doc, nil }, nil)
			for _, target := range []string{"/docs", "/docs/errors/"} {
				if r := get(t, h, target); r.StatusCode != 200 {
					t.Errorf("%s: status %d", target, r.StatusCode)
				}
			}
			want := 404
			if doc.Paths != nil {
				want = 200
			}
			if r := get(t, h, "/docs/other/all"); r.StatusCode != want {
				t.Errorf("/docs/other/all: status %d, want %d", r.StatusCode, want)
			}
		})
	}
}

func TestOperationsStandInOrder(t *testing.T) {
	t.Parallel()
	ref := newReference(mustDocument(t, testDocument))
	var got []string
	for _, o := range ref.APIs[0].Resources[0].Operations {
		got = append(got, o.ID)
	}
	want := []string{"listShopV1Widgets", "createShopV1Widget", "deleteShopV1Widget"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if ref.Served != 1 || ref.Total != 3 {
		t.Errorf("%d of %d served, want 1 of 3", ref.Served, ref.Total)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	ref := newReference(mustDocument(t, testDocument))
	for query, want := range map[string]int{
		"widget": 3, "WIDGET delete": 1, "post": 1, "/shop/v1/widgets/{id}": 1, "shop/v1": 3, "list create": 0, "nothing": 0,
	} {
		if got := ref.search(query).Total; got != want {
			t.Errorf("%q finds %d operations, want %d", query, got, want)
		}
	}
	if ref.Total != 3 {
		t.Errorf("a search changed the reference: %d operations", ref.Total)
	}
}

func TestParametersOfTheOperationWin(t *testing.T) {
	t.Parallel()
	p := func(in, name, description string) *openapi3.ParameterRef {
		return &openapi3.ParameterRef{Value: &openapi3.Parameter{In: in, Name: name, Description: description}}
	}
	ref := &reference{doc: &openapi3.T{Components: &openapi3.Components{
		Parameters: openapi3.ParametersMap{"shared": p("header", "h", "shared")},
	}}}
	got := ref.parameters(operation{
		op:   &openapi3.Operation{Parameters: openapi3.Parameters{p("query", "q", "own"), {Ref: "#/components/parameters/shared"}}},
		item: &openapi3.PathItem{Parameters: openapi3.Parameters{p("query", "q", "common"), p("path", "id", "common")}},
	})
	var names []string
	for _, q := range got {
		names = append(names, q.In+" "+q.Name+" "+q.Description)
	}
	if want := "path id common, query q own, header h shared"; strings.Join(names, ", ") != want {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestProse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want [][]span
	}{
		{"", nil},
		{" \n\n ", nil},
		{"a", [][]span{{{Text: "a"}}}},
		{"a `b` c", [][]span{{{Text: "a "}, {"b", true}, {Text: " c"}}}},
		{"`b`", [][]span{{{"b", true}}}},
		{"a `b", [][]span{{{Text: "a "}, {Text: "`b"}}}},
		{"a\r\n\r\nb\nc", [][]span{{{Text: "a"}}, {{Text: "b\nc"}}}},
	}
	for _, tt := range tests {
		if got := prose(tt.text); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("prose(%q) = %v, want %v", tt.text, got, tt.want)
		}
	}
}

func FuzzProse(f *testing.F) {
	f.Add("a `b` c\n\nd ` e")
	f.Fuzz(func(t *testing.T, text string) {
		keep := strings.NewReplacer("`", "", " ", "", "\n", "", "\r", "", "\t", "")
		var got strings.Builder
		for _, paragraph := range prose(text) {
			for _, s := range paragraph {
				got.WriteString(s.Text)
			}
		}
		// Nothing but space and backticks may be lost.
		if g, w := strings.Join(strings.Fields(keep.Replace(got.String())), ""), strings.Join(strings.Fields(keep.Replace(text)), ""); g != w {
			t.Errorf("prose(%q) keeps %q", text, g)
		}
	})
}
