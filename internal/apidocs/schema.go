package apidocs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// maxDepth is how many levels of objects a table shows.
const maxDepth = 8

// maxRows is how many rows of properties a table has: a schema can contain
// itself in so many ways that depth alone would not keep it short.
const maxRows = 1000

// row is one line of a schema's table: a property, or a heading above the
// properties of one alternative.
type row struct {
	// Depth is the number of properties above this one.
	Depth int
	// Parent is what stands before Name in the full name: "spec.".
	Parent, Name string
	Type         string
	Description  string
	Default      string
	Limits       []string
	Enum         []string

	Required, ReadOnly, WriteOnly, Immutable, Deprecated bool
	// Heading marks a row that has nothing but a Name.
	Heading bool
}

// direction is which way a document travels: a request does not show what only
// the server sets, a response not what only the client sends.
type direction int

const (
	request direction = iota
	response
)

// tabulator turns schemas into rows.
type tabulator struct {
	doc  *openapi3.T
	dir  direction
	rows []row
	// open are the schemas being shown, so that one that contains itself ends.
	open []*openapi3.Schema
}

// table returns the rows of a schema, and a row for the schema as a whole
// where that has no properties.
func table(doc *openapi3.T, ref *openapi3.SchemaRef, dir direction) []row {
	s := resolve(doc, ref)
	if s == nil {
		return nil
	}
	t := &tabulator{doc: doc, dir: dir}
	t.children(s, "", 0)
	if len(t.rows) == 0 {
		return []row{t.row(s, "", "(body)", 0, true)}
	}
	return t.rows
}

// resolve returns the schema that the reference leads to, also where whoever
// made the document left the value of a local reference empty.
func resolve(doc *openapi3.T, ref *openapi3.SchemaRef) *openapi3.Schema {
	for range maxDepth {
		if ref == nil || ref.Value != nil {
			break
		}
		name, ok := strings.CutPrefix(ref.Ref, "#/components/schemas/")
		if !ok || doc.Components == nil {
			return nil
		}
		ref = doc.Components.Schemas[name]
	}
	if ref == nil {
		return nil
	}
	return ref.Value
}

// children adds the rows for what a schema contains.
func (t *tabulator) children(s *openapi3.Schema, parent string, depth int) {
	if depth >= maxDepth || slices.Contains(t.open, s) {
		return
	}
	t.open = append(t.open, s)
	defer func() { t.open = t.open[:len(t.open)-1] }()

	s = effective(t.doc, s)
	for _, name := range slices.SortedFunc(maps.Keys(s.Properties), wellKnownFirst) {
		p := resolve(t.doc, s.Properties[name])
		if p == nil || len(t.rows) >= maxRows {
			continue
		}
		r := t.row(p, parent, name, depth, slices.Contains(s.Required, name))
		if (t.dir == request && r.ReadOnly) || (t.dir == response && r.WriteOnly) {
			continue
		}
		t.rows = append(t.rows, r)
		t.children(p, parent+name+".", depth+1)
	}
	if items := resolve(t.doc, s.Items); items != nil {
		// The elements of a list stand under the list.
		t.children(items, strings.TrimSuffix(parent, ".")+"[].", depth)
	}
	if values := resolve(t.doc, s.AdditionalProperties.Schema); values != nil {
		t.rows = append(t.rows, t.row(values, parent, "*", depth, false))
		t.children(values, parent+"*.", depth+1)
	}
	for _, alternatives := range []openapi3.SchemaRefs{s.OneOf, s.AnyOf} {
		for i, ref := range alternatives {
			alternative := resolve(t.doc, ref)
			if alternative == nil {
				continue
			}
			name := cmp.Or(alternative.Title, refName(ref.Ref), strconv.Itoa(i+1))
			t.rows = append(t.rows, row{
				Depth: depth, Heading: true,
				Name: fmt.Sprintf("Alternative %d of %d: %s", i+1, len(alternatives), name),
			})
			t.children(alternative, parent, depth)
		}
	}
}

// effective returns the schema with its allOf parts taken into it, so that
// what it says stands in one place. What it says itself wins over its parts,
// and a later part over an earlier one; a property that several of them have is
// all of these together. The schema given is not changed.
func effective(doc *openapi3.T, s *openapi3.Schema) *openapi3.Schema {
	if len(s.AllOf) == 0 {
		return s
	}
	merged := &openapi3.Schema{}
	mergeInto(doc, merged, s, nil)
	return merged
}

// mergeInto adds what s says to m; seen holds the schemas above, against parts
// that contain themselves.
func mergeInto(doc *openapi3.T, m, s *openapi3.Schema, seen []*openapi3.Schema) {
	if slices.Contains(seen, s) {
		return
	}
	for _, part := range s.AllOf {
		if p := resolve(doc, part); p != nil {
			mergeInto(doc, m, p, append(seen, s))
		}
	}
	overlay(m, s)
	m.Required = append(m.Required, s.Required...)
	if m.Extensions == nil {
		m.Extensions, m.Properties = make(map[string]any), make(openapi3.Schemas)
	}
	maps.Copy(m.Extensions, s.Extensions)
	for name, ref := range s.Properties {
		m.Properties[name] = both(m.Properties[name], ref)
	}
}

// both returns a schema that is a and b together, either of which may be nil.
func both(a, b *openapi3.SchemaRef) *openapi3.SchemaRef {
	switch {
	case a == nil || a == b:
		return b
	case b == nil:
		return a
	}
	return openapi3.NewSchemaRef("", &openapi3.Schema{AllOf: openapi3.SchemaRefs{a, b}})
}

// overlay copies the keywords that s has to m.
func overlay(m, s *openapi3.Schema) {
	m.Type = cmp.Or(s.Type, m.Type)
	m.Title, m.Format = cmp.Or(s.Title, m.Title), cmp.Or(s.Format, m.Format)
	m.Description, m.Pattern = cmp.Or(s.Description, m.Description), cmp.Or(s.Pattern, m.Pattern)
	m.Min, m.Max, m.MultipleOf = cmp.Or(s.Min, m.Min), cmp.Or(s.Max, m.Max), cmp.Or(s.MultipleOf, m.MultipleOf)
	m.ExclusiveMin, m.ExclusiveMax = cmp.Or(s.ExclusiveMin, m.ExclusiveMin), cmp.Or(s.ExclusiveMax, m.ExclusiveMax)
	m.MinLength, m.MaxLength = cmp.Or(s.MinLength, m.MinLength), cmp.Or(s.MaxLength, m.MaxLength)
	m.MinItems, m.MaxItems = cmp.Or(s.MinItems, m.MinItems), cmp.Or(s.MaxItems, m.MaxItems)
	m.MinProps, m.MaxProps = cmp.Or(s.MinProps, m.MinProps), cmp.Or(s.MaxProps, m.MaxProps)
	m.ReadOnly, m.WriteOnly, m.Deprecated = s.ReadOnly || m.ReadOnly, s.WriteOnly || m.WriteOnly, s.Deprecated || m.Deprecated
	m.UniqueItems, m.Nullable = s.UniqueItems || m.UniqueItems, s.Nullable || m.Nullable
	m.Items = both(m.Items, s.Items)
	m.AdditionalProperties.Schema = both(m.AdditionalProperties.Schema, s.AdditionalProperties.Schema)
	if len(s.Enum) > 0 {
		m.Enum = s.Enum
	}
	if len(s.OneOf) > 0 {
		m.OneOf = s.OneOf
	}
	if len(s.AnyOf) > 0 {
		m.AnyOf = s.AnyOf
	}
	if len(s.Examples) > 0 {
		m.Examples = s.Examples
	}
	if s.Const != nil {
		m.Const = s.Const
	}
	if s.Default != nil {
		m.Default = s.Default
	}
	if s.Example != nil {
		m.Example = s.Example
	}
}

// wellKnownFirst sorts names as the API's own objects are written: what every
// object has, then the rest by name.
func wellKnownFirst(a, b string) int {
	order := []string{"api_version", "kind", "id", "metadata"}
	return cmp.Or(
		cmp.Compare(uint(slices.Index(order, a)), uint(slices.Index(order, b))),
		strings.Compare(a, b),
	)
}

func (t *tabulator) row(s *openapi3.Schema, parent, name string, depth int, required bool) row {
	s = effective(t.doc, s)
	r := row{
		Depth: depth, Parent: parent, Name: name, Required: required,
		Type: t.typeName(s, 0), Description: s.Description, Limits: limits(s),
		ReadOnly: s.ReadOnly, WriteOnly: s.WriteOnly, Deprecated: s.Deprecated,
		Immutable: extension[bool](s.Extensions, "x-immutable"),
	}
	values := s.Enum
	if items := resolve(t.doc, s.Items); items != nil && len(values) == 0 {
		values = items.Enum
	}
	if s.Const != nil {
		values = []any{s.Const}
	}
	for _, v := range values {
		r.Enum = append(r.Enum, literal(v))
	}
	if s.Default != nil {
		r.Default = literal(s.Default)
	}
	return r
}

// typeName says what a value is, in words: "array of string (uri)".
func (t *tabulator) typeName(s *openapi3.Schema, depth int) string {
	if depth >= maxDepth {
		return "any"
	}
	s = effective(t.doc, s)
	var names []string
	for _, name := range s.Type.Slice() {
		items := resolve(t.doc, s.Items)
		switch {
		case name == "array" && items != nil:
			names = append(names, "array of "+t.typeName(items, depth+1))
		case name == "object" && s.AdditionalProperties.Schema != nil && len(s.Properties) == 0:
			values := resolve(t.doc, s.AdditionalProperties.Schema)
			if values == nil {
				values = &openapi3.Schema{}
			}
			names = append(names, "map of "+t.typeName(values, depth+1))
		case s.Format != "" && name != "null":
			names = append(names, name+" ("+s.Format+")")
		default:
			names = append(names, name)
		}
	}
	switch {
	case len(names) > 0:
	case len(s.Properties) > 0:
		names = []string{"object"}
	case len(s.OneOf) > 0 || len(s.AnyOf) > 0:
		names = []string{"one of several"}
	}
	if len(names) == 0 {
		names = []string{"any"}
	}
	if s.Nullable && !slices.Contains(names, "null") {
		names = append(names, "null")
	}
	return strings.Join(names, " or ")
}

// limits says in words what values a schema allows, apart from an enum.
func limits(s *openapi3.Schema) []string {
	var l []string
	span := func(least uint64, most *uint64, unit string) {
		switch {
		case most != nil && least == *most:
			l = append(l, fmt.Sprintf("exactly %d %s", least, unit))
		case most != nil && least > 0:
			l = append(l, fmt.Sprintf("%d to %d %s", least, *most, unit))
		case most != nil:
			l = append(l, fmt.Sprintf("at most %d %s", *most, unit))
		case least > 0:
			l = append(l, fmt.Sprintf("at least %d %s", least, unit))
		}
	}
	span(s.MinLength, s.MaxLength, "characters")
	span(s.MinItems, s.MaxItems, "items")
	span(s.MinProps, s.MaxProps, "entries")
	if s.UniqueItems {
		l = append(l, "no item twice")
	}
	if s.Min != nil {
		l = append(l, bound("at least", "greater than", *s.Min, s.ExclusiveMin.IsTrue()))
	}
	if v := s.ExclusiveMin.Value; v != nil {
		l = append(l, bound("", "greater than", *v, true))
	}
	if s.Max != nil {
		l = append(l, bound("at most", "less than", *s.Max, s.ExclusiveMax.IsTrue()))
	}
	if v := s.ExclusiveMax.Value; v != nil {
		l = append(l, bound("", "less than", *v, true))
	}
	if s.MultipleOf != nil {
		l = append(l, "a multiple of "+number(*s.MultipleOf))
	}
	if s.Pattern != "" {
		l = append(l, "matches "+s.Pattern)
	}
	return l
}

func bound(inclusive, exclusive string, v float64, strict bool) string {
	if strict {
		inclusive = exclusive
	}
	return inclusive + " " + number(v)
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// literal writes a value as JSON, but a string without its quotes.
func literal(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// refName returns the last part of a reference: "Failure" for
// "#/components/schemas/Failure".
func refName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }
