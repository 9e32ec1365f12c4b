package apidocs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// schemaDocument returns a document whose schema S is the given YAML, in flow
// style.
func schemaDocument(t testing.TB, schemas string) *openapi3.T {
	t.Helper()
	return mustDocument(t, "openapi: 3.1.0\ninfo: {title: T, version: v}\npaths: {}\ncomponents:\n  schemas:\n"+schemas)
}

// describe writes a row as one line.
func describe(r row) string {
	if r.Heading {
		return fmt.Sprintf("%d # %s", r.Depth, r.Name)
	}
	s := fmt.Sprintf("%d %s%s: %s", r.Depth, r.Parent, r.Name, r.Type)
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"required", r.Required}, {"read-only", r.ReadOnly}, {"write-only", r.WriteOnly},
		{"immutable", r.Immutable}, {"deprecated", r.Deprecated},
	} {
		if f.set {
			s += " " + f.name
		}
	}
	if len(r.Limits) > 0 {
		s += " [" + strings.Join(r.Limits, ", ") + "]"
	}
	if len(r.Enum) > 0 {
		s += " {" + strings.Join(r.Enum, " ") + "}"
	}
	if r.Default != "" {
		s += " =" + r.Default
	}
	return s
}

func TestTable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, schemas string
		dir           direction
		want          []string
	}{
		{"scalar", "    S: {type: string, format: uri}", response, []string{"0 (body): string (uri) required"}},
		{"anything", "    S: {}", response, []string{"0 (body): any required"}},
		{
			"nested", "    S: {type: object, required: [spec], properties: {spec: {type: object, properties: {b: {type: boolean, default: false}, a: {type: integer}}}, kind: {type: string}, id: {type: string}}}",
			response,
			[]string{"0 kind: string", "0 id: string", "0 spec: object required", "1 spec.a: integer", "1 spec.b: boolean =false"},
		},
		{
			"lists", "    S: {type: object, properties: {l: {type: array, items: {type: array, items: {type: object, properties: {x: {type: string}}}}}, tags: {type: array, items: {type: string, enum: [a, b]}}}}",
			response,
			[]string{"0 l: array of array of object", "1 l[][].x: string", "0 tags: array of string {a b}"},
		},
		{"list at the top", "    S: {type: array, items: {type: object, properties: {x: {type: string}}}}", response, []string{"0 [].x: string"}},
		{
			"map", "    S: {type: object, properties: {m: {type: object, additionalProperties: {type: object, properties: {x: {type: string}}}}}}",
			response,
			[]string{"0 m: map of object", "1 m.*: object", "2 m.*.x: string"},
		},
		{
			"request", "    S: {type: object, properties: {id: {type: string, readOnly: true}, in: {type: string, writeOnly: true}, x: {type: string, x-immutable: true, deprecated: true}}}",
			request,
			[]string{"0 in: string write-only", "0 x: string immutable deprecated"},
		},
		{
			"answer", "    S: {type: object, properties: {id: {type: string, readOnly: true}, in: {type: string, writeOnly: true}}}",
			response,
			[]string{"0 id: string read-only"},
		},
		{
			"parts", "    B: {type: object, description: base, properties: {spec: {type: object, properties: {a: {type: string}}}, x: {type: string, readOnly: true}}}\n" +
				"    S: {allOf: [{$ref: '#/components/schemas/B'}, {required: [spec], properties: {spec: {required: [a], properties: {b: {type: integer}}}}}]}",
			response,
			[]string{"0 spec: object required", "1 spec.a: string required", "1 spec.b: integer", "0 x: string read-only"},
		},
		{
			"parts of a list", "    S: {type: object, properties: {data: {allOf: [{type: array, items: {type: object, properties: {a: {type: string}}}}, {items: {required: [a]}}]}}}",
			response,
			[]string{"0 data: array of object", "1 data[].a: string required"},
		},
		{
			"alternatives", "    A: {type: object, properties: {a: {type: string}}}\n" +
				"    S: {type: object, properties: {c: {oneOf: [{$ref: '#/components/schemas/A'}, {title: Other, type: object, properties: {b: {type: string}}}]}, d: {type: string}}}",
			response,
			[]string{"0 c: one of several", "1 # Alternative 1 of 2: A", "1 c.a: string", "1 # Alternative 2 of 2: Other", "1 c.b: string", "0 d: string"},
		},
		{
			"contains itself", "    S: {type: object, properties: {name: {type: string}, child: {$ref: '#/components/schemas/S'}}}",
			response,
			[]string{"0 child: object", "0 name: string"},
		},
		{
			"limits", "    S: {type: object, properties: {a: {type: string, minLength: 1, maxLength: 64, pattern: '^x'}, b: {type: string, maxLength: 5}, c: {type: array, minItems: 2, maxItems: 2, uniqueItems: true}, d: {type: number, exclusiveMinimum: 0, maximum: 1.5, multipleOf: 0.5}, e: {type: [string, 'null'], minLength: 3}, f: {const: X}}}",
			response,
			[]string{
				"0 a: string [1 to 64 characters, matches ^x]", "0 b: string [at most 5 characters]", "0 c: array [exactly 2 items, no item twice]",
				"0 d: number [greater than 0, at most 1.5, a multiple of 0.5]", "0 e: string or null [at least 3 characters]", "0 f: any {X}",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc := schemaDocument(t, tt.schemas)
			var got []string
			for _, r := range table(doc, openapi3.NewSchemaRef("#/components/schemas/S", nil), tt.dir) {
				got = append(got, describe(r))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

func TestTableOfNothing(t *testing.T) {
	t.Parallel()
	for _, ref := range []*openapi3.SchemaRef{nil, {}, {Ref: "#/components/schemas/none"}, {Ref: "elsewhere"}} {
		if got := table(&openapi3.T{}, ref, response); got != nil {
			t.Errorf("%v: got %v", ref, got)
		}
	}
}

// Schemas that contain themselves in several ways at once end in a table of
// bounded size.
func TestTableIsBounded(t *testing.T) {
	t.Parallel()
	part := &openapi3.Schema{Type: &openapi3.Types{"object"}}
	whole := &openapi3.Schema{AllOf: openapi3.SchemaRefs{{Value: part}, {Value: &openapi3.Schema{Properties: make(openapi3.Schemas)}}}}
	whole.AllOf = append(whole.AllOf, &openapi3.SchemaRef{Value: whole})
	part.Properties = make(openapi3.Schemas)
	for i := range 12 {
		name := fmt.Sprintf("p%d", i)
		part.Properties[name] = &openapi3.SchemaRef{Value: &openapi3.Schema{AllOf: openapi3.SchemaRefs{{Value: whole}}}}
		whole.AllOf[1].Value.Properties[name] = &openapi3.SchemaRef{Value: &openapi3.Schema{Items: &openapi3.SchemaRef{Value: whole}, Type: &openapi3.Types{"array"}}}
	}
	rows := table(&openapi3.T{}, &openapi3.SchemaRef{Value: whole}, response)
	if len(rows) == 0 || len(rows) > maxRows {
		t.Errorf("%d rows", len(rows))
	}
	if got := len(part.Properties) + len(whole.AllOf); got != 15 {
		t.Errorf("the schema was changed")
	}
}
