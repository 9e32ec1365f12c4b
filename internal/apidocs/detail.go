package apidocs

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// apiDetail is an API with everything that its page shows.
type apiDetail struct {
	Name          string
	Served, Total int
	Resources     []resourceDetail
	// Shared are the schemas of error answers, shown once for each page.
	Shared []sharedSchema
}

type resourceDetail struct {
	Name, Description string
	Operations        []operationDetail
}

type operationDetail struct {
	operation
	Description        string
	DeprecatedAt       string
	SunsetAt           string
	Parameters         []parameter
	Body               *body
	Responses          []answer
	Credentials        []credential
	WithoutCredentials bool
	Example            string
}

type parameter struct {
	row
	// In is where the parameter is sent: path, query, header or cookie.
	In string
}

type body struct {
	Description string
	Required    bool
	MediaType   string
	Rows        []row
}

type answer struct {
	// Status is a code, a range such as "4XX" or "default".
	Status, StatusText string
	Description        string
	Headers            []row
	MediaType          string
	// Rows are the body's, and Shared is the name of a schema at the end of
	// the page; at most one of them is set.
	Rows   []row
	Shared string
}

type sharedSchema struct {
	Name string
	Rows []row
}

type credential struct{ Name, Description string }

// detail returns what the page of the API shows.
func (r *reference) detail(a api) apiDetail {
	d := apiDetail{Name: a.Name, Served: a.Served, Total: a.Total}
	shared := make(map[string]*openapi3.SchemaRef)
	for _, res := range a.Resources {
		rd := resourceDetail{Name: res.Name, Description: res.Description}
		for _, o := range res.Operations {
			rd.Operations = append(rd.Operations, r.operation(o, shared))
		}
		d.Resources = append(d.Resources, rd)
	}
	for _, name := range slices.Sorted(maps.Keys(shared)) {
		d.Shared = append(d.Shared, sharedSchema{name, table(r.doc, shared[name], response)})
	}
	return d
}

func (r *reference) operation(o operation, shared map[string]*openapi3.SchemaRef) operationDetail {
	d := operationDetail{
		operation:    o,
		Description:  o.op.Description,
		DeprecatedAt: extension[string](o.op.Extensions, "x-deprecated-at"),
		SunsetAt:     extension[string](o.op.Extensions, "x-sunset-at"),
	}
	parameters := r.parameters(o)
	for _, p := range parameters {
		d.Parameters = append(d.Parameters, r.parameter(p))
	}
	media, mediaType := (*openapi3.MediaType)(nil), ""
	if b := r.requestBody(o.op.RequestBody); b != nil {
		mediaType, media = preferredMedia(b.Content)
		d.Body = &body{Description: b.Description, Required: b.Required, MediaType: mediaType}
		if media != nil {
			d.Body.Rows = table(r.doc, media.Schema, request)
		}
	}
	if o.op.Responses != nil {
		for _, status := range slices.Sorted(maps.Keys(o.op.Responses.Map())) {
			if res := r.response(o.op.Responses.Value(status)); res != nil {
				d.Responses = append(d.Responses, r.answer(status, res, shared))
			}
		}
	}
	var schemes []string
	schemes, d.WithoutCredentials = r.credentials(o.op)
	for _, name := range schemes {
		c := credential{Name: name}
		if s := r.securityScheme(name); s != nil {
			c.Description = s.Description
		}
		d.Credentials = append(d.Credentials, c)
	}
	d.Example = r.curl(o, parameters, schemes, mediaType, media)
	return d
}

// parameters returns the parameters of the path item and of the operation,
// which win, in the order path, query, header, cookie.
func (r *reference) parameters(o operation) []*openapi3.Parameter {
	var all []*openapi3.Parameter
	for _, list := range []openapi3.Parameters{o.op.Parameters, o.item.Parameters} {
		for _, ref := range list {
			p := r.parameterRef(ref)
			if p == nil || slices.ContainsFunc(all, func(q *openapi3.Parameter) bool { return q.Name == p.Name && q.In == p.In }) {
				continue
			}
			all = append(all, p)
		}
	}
	places := []string{"path", "query", "header", "cookie"}
	slices.SortStableFunc(all, func(a, b *openapi3.Parameter) int {
		return slices.Index(places, a.In) - slices.Index(places, b.In)
	})
	return all
}

func (r *reference) parameter(p *openapi3.Parameter) parameter {
	s := resolve(r.doc, p.Schema)
	if s == nil {
		s = &openapi3.Schema{}
	}
	t := &tabulator{doc: r.doc}
	line := t.row(s, "", p.Name, 0, p.Required)
	line.Description = cmp.Or(p.Description, line.Description)
	line.Deprecated = line.Deprecated || p.Deprecated
	return parameter{line, p.In}
}

func (r *reference) answer(status string, res *openapi3.Response, shared map[string]*openapi3.SchemaRef) answer {
	a := answer{Status: status}
	code, err := strconv.Atoi(status)
	if err == nil {
		a.StatusText = http.StatusText(code)
	}
	if res.Description != nil {
		a.Description = *res.Description
	}
	for _, name := range slices.Sorted(maps.Keys(res.Headers)) {
		if h := res.Headers[name]; h != nil && h.Value != nil {
			a.Headers = append(a.Headers, r.parameter(&openapi3.Parameter{
				Name: name, Description: h.Value.Description, Schema: h.Value.Schema, Required: h.Value.Required,
			}).row)
		}
	}
	mediaType, media := preferredMedia(res.Content)
	a.MediaType = mediaType
	if media == nil || media.Schema == nil {
		return a
	}
	if name := refName(media.Schema.Ref); name != "" && (err != nil || code >= 400) {
		shared[name], a.Shared = media.Schema, name
		return a
	}
	a.Rows = table(r.doc, media.Schema, response)
	return a
}

// credentials returns the names of the accepted kinds of credentials, of which
// one suffices, and whether none are asked for.
func (r *reference) credentials(op *openapi3.Operation) (names []string, none bool) {
	requirements := r.doc.Security
	if op.Security != nil {
		requirements = *op.Security
	}
	none = len(requirements) == 0
	for _, alternative := range requirements {
		none = none || len(alternative) == 0
		for _, name := range slices.Sorted(maps.Keys(alternative)) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names, none
}

// preferredMedia returns the JSON form of a body where there is one, else the
// first by name.
func preferredMedia(c openapi3.Content) (string, *openapi3.MediaType) {
	names := slices.Sorted(maps.Keys(c))
	if len(names) == 0 {
		return "", nil
	}
	name := names[0]
	if i := slices.IndexFunc(names, isJSON); i >= 0 {
		name = names[i]
	}
	return name, c[name]
}

func isJSON(mediaType string) bool {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// The functions below follow a reference into the document's components, also
// where its value was left empty; nil means that it leads nowhere.

func (r *reference) components() *openapi3.Components {
	if r.doc.Components == nil {
		return &openapi3.Components{}
	}
	return r.doc.Components
}

func (r *reference) parameterRef(ref *openapi3.ParameterRef) *openapi3.Parameter {
	if ref != nil && ref.Value == nil {
		ref = r.components().Parameters[refName(ref.Ref)]
	}
	if ref == nil {
		return nil
	}
	return ref.Value
}

func (r *reference) requestBody(ref *openapi3.RequestBodyRef) *openapi3.RequestBody {
	if ref != nil && ref.Value == nil {
		ref = r.components().RequestBodies[refName(ref.Ref)]
	}
	if ref == nil {
		return nil
	}
	return ref.Value
}

func (r *reference) response(ref *openapi3.ResponseRef) *openapi3.Response {
	if ref != nil && ref.Value == nil {
		ref = r.components().Responses[refName(ref.Ref)]
	}
	if ref == nil {
		return nil
	}
	return ref.Value
}

func (r *reference) securityScheme(name string) *openapi3.SecurityScheme {
	if ref := r.components().SecuritySchemes[name]; ref != nil {
		return ref.Value
	}
	return nil
}
