package engine

import (
	"maps"
	"net/http"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weirhq/weir/internal/operation"
)

// shape is one of the forms that a kind's objects take on the wire.
type shape int

const (
	// answered is what the server sends.
	answered shape = iota
	// created is the body of a create.
	created
	// changed is the body of a PATCH: all of it is optional.
	changed
	// replaced is the body of a PUT.
	replaced
	// formed is a form: there is no null in it.
	formed
)

func shapeOf(verb Verb, op operation.Operation) shape {
	switch {
	case verb == Create:
		return created
	case verb == Update && op.Method == http.MethodPut:
		return replaced
	case verb == Update:
		return changed
	default:
		return answered
	}
}

// requires reports whether an object of the shape always has the field.
func (s shape) requires(f *Field) bool {
	switch {
	case s == answered && f.Always:
		return true
	case !f.Required || f.Once || f.WriteOnly && s != created:
		return false
	case s == answered:
		return true
	case s == changed, f.ReadOnly, s != replaced && f.Default != nil:
		return false
	default:
		return s != replaced || !f.Immutable
	}
}

// clears reports whether null is taken for the field: it then is absent.
func (s shape) clears(f *Field) bool {
	return s != answered && s != formed && !f.Required && !f.ReadOnly && !f.Once
}

const schemas = "#/components/schemas/"

// ref refers to a schema among the components.
func (d *document) ref(name string) *openapi3.SchemaRef {
	return openapi3.NewSchemaRef(schemas+name, d.Components.Schemas[name].Value)
}

// kindSchema refers to the schema of a kind's objects, which it adds to the
// components when it is first asked for. The names of those sent by clients
// end in Create, Update and Replace.
func (d *document) kindSchema(k *Kind, s shape) *openapi3.SchemaRef {
	name := k.schemaName() + [...]string{answered: "", created: "Create", changed: "Update", replaced: "Replace"}[s]
	if d.Components.Schemas[name] == nil {
		object := d.structure(k.Fields, s)
		object.Description = k.Description
		d.envelope(object, k, k.Name)
		object.Properties["id"] = property(openapi3.NewStringSchema().WithMaxLength(MaxID),
			"The identifier. It is never given to another object, not even after the object is deleted.")
		object.Properties["metadata"] = d.metadata(k, s)
		for _, name := range []string{"api_version", "kind", "id", "metadata"} {
			object.Properties[name].Value.ReadOnly = true
		}
		if s == answered {
			object.Required = append(object.Required, "api_version", "id", "kind", "metadata")
			slices.Sort(object.Required)
		}
		d.Components.Schemas[name] = object.NewRef()
	}
	return d.ref(name)
}

// metadata is the schema of an object's metadata. In requests it is ignored,
// so there none of it is required. What is computed has no times.
func (d *document) metadata(k *Kind, s shape) *openapi3.SchemaRef {
	const name = "ObjectMeta"
	if s == answered && k.Source == nil {
		return d.described(name, d.Components.Schemas[name].Value.Description)
	}
	meta := *d.Components.Schemas[name].Value
	meta.Required = nil
	if s == answered {
		meta.Required = []string{"resource_name", "self"}
	}
	return meta.NewRef()
}

// listSchema refers to the schema of the kind's lists.
func (d *document) listSchema(k *Kind) *openapi3.SchemaRef {
	name := k.schemaName() + "List"
	if d.Components.Schemas[name] == nil {
		list := openapi3.NewObjectSchema().WithRequired([]string{"api_version", "data", "kind", "metadata"})
		list.Description = "One page of a collection."
		d.envelope(list, k, k.ListKind())
		list.Properties["metadata"] = d.described("ListMeta", "Links to other pages.")
		data := openapi3.NewArraySchema().WithUniqueItems(true)
		data.Items = d.kindSchema(k, answered)
		list.Properties["data"] = property(data, "The objects on this page.")
		d.Components.Schemas[name] = list.NewRef()
	}
	return d.ref(name)
}

// schemaName is the kind's name among the components: "iam.v2.ServiceAccount".
func (k *Kind) schemaName() string { return k.Group + "." + k.Version + "." + k.Name }

// envelope adds the properties that tell what a document is.
func (d *document) envelope(s *openapi3.Schema, k *Kind, name string) {
	if s.Properties == nil {
		s.Properties = openapi3.Schemas{}
	}
	s.Properties["api_version"] = property(openapi3.NewStringSchema().WithEnum(k.APIVersion()), "The API and its version.")
	s.Properties["kind"] = property(openapi3.NewStringSchema().WithEnum(name), "What kind of document this is.")
}

func property(s *openapi3.Schema, description string) *openapi3.SchemaRef {
	s.Description = description
	return s.NewRef()
}

// described is a reference with a description of its own.
func (d *document) described(name, description string) *openapi3.SchemaRef {
	return property(&openapi3.Schema{AllOf: openapi3.SchemaRefs{d.ref(name)}}, description)
}

func (d *document) structure(fields []Field, s shape) *openapi3.Schema {
	object := openapi3.NewObjectSchema()
	object.Properties = make(openapi3.Schemas, len(fields))
	for i := range fields {
		f := &fields[i]
		if f.WriteOnly && s == answered {
			continue
		}
		object.Properties[f.Name] = d.field(f, s).NewRef()
		if s.requires(f) {
			object.Required = append(object.Required, f.Name)
		}
	}
	slices.Sort(object.Required)
	return object
}

func (d *document) field(f *Field, s shape) *openapi3.Schema {
	p := d.fieldType(f, s)
	p.Description = f.Description
	p.ReadOnly = f.ReadOnly || f.Once
	p.WriteOnly = f.WriteOnly
	p.Deprecated = f.Deprecated
	if f.Default != nil {
		p.Default = f.Default
		if doc, ok := f.Default.(Doc); ok {
			p.Default = map[string]any(doc) // the document's own checks know no Doc
		}
	}
	if f.Example != nil {
		p.Examples = []any{f.Example}
	}
	if f.Format != "" {
		p.Format = f.Format
	}
	if f.Immutable {
		p.Extensions = map[string]any{"x-immutable": true}
	}
	if s.clears(f) && !p.Type.IsEmpty() {
		p.Type.With("null")
		if len(p.Enum) > 0 {
			p.Enum = append(p.Enum, nil)
		}
	}
	return p
}

func (d *document) fieldType(f *Field, s shape) *openapi3.Schema {
	switch f.Type {
	case Boolean:
		return openapi3.NewBoolSchema()
	case Integer:
		return openapi3.NewInt64Schema()
	case Timestamp:
		return openapi3.NewDateTimeSchema()
	case Address:
		return openapi3.NewStringSchema().WithFormat("uri")
	case Structure:
		return d.structure(f.Fields, s)
	case Reference:
		return d.reference(f, s)
	case Array:
		if s == changed {
			// An array is replaced whole, so its elements must be complete.
			s = created
		}
		a := openapi3.NewArraySchema().WithItems(d.field(f.Items, s))
		a.MinItems = uint64(f.MinItems)
		if f.MaxItems > 0 {
			a.MaxItems = openapi3.Ptr(uint64(f.MaxItems))
		}
		return a
	default:
		return text(f)
	}
}

func text(f *Field) *openapi3.Schema {
	t := openapi3.NewStringSchema()
	t.MinLength = uint64(f.MinLength)
	switch {
	case f.MaxLength > 0:
		t.MaxLength = openapi3.Ptr(uint64(f.MaxLength))
	case (len(f.Enum) == 0 || f.EnumFold) && !f.ReadOnly && !f.Once:
		t.MaxLength = openapi3.Ptr(uint64(f.maxLength()))
	}
	if f.Pattern != nil {
		t.Pattern = f.Pattern.String()
	}
	if f.EnumFold {
		return t // an enum would exclude the other spellings; the description lists the values
	}
	for _, v := range f.Enum {
		t.Enum = append(t.Enum, v)
	}
	return t
}

// reference is the schema of a reference: in answers one of the components,
// in requests only what a client can say of the other object.
func (d *document) reference(f *Field, s shape) *openapi3.Schema {
	name := "GlobalObjectReference"
	if f.To.Typed {
		name = "ObjectReference"
	}
	if s == answered {
		return &openapi3.Schema{AllOf: openapi3.SchemaRefs{d.ref(name)}}
	}
	sent := *d.Components.Schemas[name].Value
	sent.Required = []string{"id"}
	sent.Type = &openapi3.Types{openapi3.TypeObject}
	sent.Properties = maps.Clone(sent.Properties)
	for _, name := range []string{"id", "environment", "api_version", "kind"} {
		if sent.Properties[name] == nil {
			continue
		}
		sent.Properties[name] = property(openapi3.NewStringSchema().WithMaxLength(MaxID), referenceProperties[name])
	}
	sent.Properties["id"].Value.MinLength = 1
	return &sent
}

var referenceProperties = map[string]string{
	"id":            "The other object's ID.",
	"environment":   "The environment that the other object is in.",
	"related":       "The URL of the other object. Where nothing is behind it, the word that stands for the object, such as `cloud`.",
	"resource_name": "The other object's resource name (CRN).",
	"api_version":   "The other object's API and version.",
	"kind":          "The other object's kind.",
}

// sharedSchemas are the schemas that do not depend on a kind.
func sharedSchemas() openapi3.Schemas {
	uri := func(description string) *openapi3.SchemaRef {
		return property(openapi3.NewStringSchema().WithFormat("uri"), description)
	}
	moment := func(description string) *openapi3.SchemaRef {
		return property(openapi3.NewDateTimeSchema(), description)
	}
	readOnly := func(r *openapi3.SchemaRef) *openapi3.SchemaRef {
		r.Value.ReadOnly = true
		return r
	}
	plain := func(description string) *openapi3.SchemaRef {
		return property(openapi3.NewStringSchema(), description)
	}
	reference := func(description, format string, names ...string) *openapi3.SchemaRef {
		s := openapi3.NewObjectSchema().WithRequired([]string{"id", "related", "resource_name"})
		s.Description = description
		s.Properties = openapi3.Schemas{}
		for _, name := range names {
			t := openapi3.NewStringSchema().WithMinLength(1)
			switch name {
			case "related", "resource_name":
				t.ReadOnly, t.Format = true, format
			case "id", "environment":
				t.WithMaxLength(MaxID)
			}
			s.Properties[name] = property(t, referenceProperties[name])
		}
		return s.NewRef()
	}
	object := func(description string, required []string, properties openapi3.Schemas) *openapi3.SchemaRef {
		s := openapi3.NewObjectSchema().WithRequired(required)
		s.Description, s.Properties = description, properties
		return s.NewRef()
	}
	total := openapi3.NewInt32Schema().WithMin(0)
	// A typed reference may stand for what is no object, with the same word in
	// every place ("cloud"), which is no URI but can be a reference to one.
	out := openapi3.Schemas{
		"ObjectMeta": object("What the server knows of every object.",
			[]string{"created_at", "resource_name", "self", "updated_at"}, openapi3.Schemas{
				"self":          readOnly(uri("The URL of the object.")),
				"resource_name": readOnly(uri("The object's resource name (CRN).")),
				"created_at":    readOnly(moment("When the object was created.")),
				"updated_at":    readOnly(moment("When the object was changed last.")),
				"deleted_at":    readOnly(moment("When the object was deleted.")),
			}),
		"ListMeta": object("Links to other pages of a list. A link without a page behind it is absent, and some lists have only some of the links.",
			nil, openapi3.Schemas{
				"first":      uri("The first page."),
				"last":       uri("The last page."),
				"prev":       uri("The page before."),
				"next":       uri("The page after."),
				"total_size": property(total, "How many objects there are on all pages together."),
			}),
		"ObjectReference":       reference("A reference to another object.", "uri-reference", "id", "environment", "related", "resource_name", "api_version", "kind"),
		"GlobalObjectReference": reference("A reference to another object, of a kind that lives in no environment.", "uri", "id", "related", "resource_name"),
		"Error": object("One thing that is wrong with the request.",
			[]string{"code", "detail", "id", "source", "status", "title"}, openapi3.Schemas{
				"id":     property(openapi3.NewStringSchema().WithMaxLength(MaxID), "The ID of this problem; it begins with the request's ID."),
				"status": plain("The HTTP status, as text."),
				"code":   plain("What went wrong, in a word for programs."),
				"title":  plain("What went wrong, in a few words that are the same each time."),
				"detail": plain("What is wrong in this request."),
				"source": property(object("", nil, openapi3.Schemas{
					"pointer":   plain("The JSON pointer of the property of the body."),
					"parameter": plain("The name of the query parameter."),
				}).Value, "What in the request is at fault."),
			}),
	}
	problems := openapi3.NewArraySchema().WithMinItems(1).WithUniqueItems(true)
	problems.Items = openapi3.NewSchemaRef(schemas+"Error", out["Error"].Value)
	out["Failure"] = object("The body of every answer that is not a success: a list of errors, and a summary of them.",
		[]string{"doc_url", "error", "errors", "requestId", "status"}, openapi3.Schemas{
			"errors": property(problems, "What is wrong, one entry for each problem."),
			"status": plain("The HTTP status, as text."),
			"error": property(object("", []string{"code", "message", "path", "timestamp"}, openapi3.Schemas{
				"code":       plain("What went wrong, in a word for programs, in capitals."),
				"message":    plain("What is wrong in this request."),
				"details":    plain("What the code means."),
				"timestamp":  moment("When the answer was made."),
				"path":       plain("The path of the request."),
				"suggestion": plain("What can be done about it."),
			}).Value, "The errors in short."),
			"error_code": property(openapi3.NewInt32Schema(), "The code as a number, in older parts of the API."),
			"message":    plain("What is wrong in this request, where there is an error_code."),
			"requestId":  plain("The ID of the request, as in the header X-Request-Id."),
			"doc_url":    uri("A page that says more about the code."),
		})
	return out
}
