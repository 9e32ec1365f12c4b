package engine

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/operation"
)

// OpenAPI returns the OpenAPI 3.1 document of the whole public API, with the
// version in its info. Operations that are served are described in full, from
// the definitions of their kinds; the others are listed with what the table of
// operations says of them and the answer 501.
//
// These extensions tell what OpenAPI has no word for: x-weir-served,
// x-lifecycle-stage, x-deprecated-at and x-sunset-at on operations, and
// x-immutable on properties.
//
// Every call builds the document anew, the same each time, and takes some
// milliseconds: who serves it should keep it.
func (e *Engine) OpenAPI(version string) *openapi3.T {
	server := e.PublicURL
	if server == "" {
		server = "/"
	}
	d := &document{
		engine: e,
		T: &openapi3.T{
			OpenAPI: "3.1.0",
			Info:    &openapi3.Info{Title: "Weir", Version: version, Description: introduction},
			Servers: openapi3.Servers{{URL: server, Description: "This server"}},
			Paths:   openapi3.NewPaths(),
			Components: &openapi3.Components{
				Schemas: sharedSchemas(),
				Headers: sharedHeaders(),
			},
		},
	}
	d.Components.Responses = openapi3.ResponseBodies{notBuilt: {Value: d.notImplemented()}}
	all := operation.All()
	d.Components.SecuritySchemes = securitySchemes(all, e.PublicURL)
	for _, op := range all {
		d.operation(op)
	}
	slices.SortFunc(d.Tags, func(a, b *openapi3.Tag) int { return strings.Compare(a.Name, b.Name) })
	return d.T
}

const introduction = "Weir serves the Confluent Cloud APIs from a server of your own. " +
	"The whole public API is listed here. Operations with `x-weir-served: true` work as described; " +
	"the others answer 501 and change nothing. Weir is not affiliated with Confluent."

// document is an OpenAPI document in the making.
type document struct {
	*openapi3.T
	engine *Engine
}

var pathParameter = regexp.MustCompile(`\{([^}]+)\}`)

// operation adds one row of the table of operations.
func (d *document) operation(op operation.Operation) {
	to, served := d.engine.routes[op.ID]
	o := &openapi3.Operation{
		OperationID: op.ID,
		Summary:     op.Title(),
		Tags:        []string{op.Tag()},
		Deprecated:  op.Lifecycle == operation.Deprecated || !op.Deprecated.IsZero(),
		Security:    &openapi3.SecurityRequirements{},
		Extensions: map[string]any{
			"x-weir-served":     served,
			"x-lifecycle-stage": op.Lifecycle,
		},
	}
	for name, day := range map[string]time.Time{"x-deprecated-at": op.Deprecated, "x-sunset-at": op.Sunset} {
		if !day.IsZero() {
			o.Extensions[name] = day.Format(time.DateOnly)
		}
	}
	for _, scheme := range op.Credentials {
		requirement := openapi3.SecurityRequirement{scheme: {}}
		if scheme == operation.PartnerToken {
			requirement[scheme] = op.Scopes
		}
		*o.Security = append(*o.Security, requirement)
	}
	for _, m := range pathParameter.FindAllStringSubmatch(op.Path, -1) {
		p := openapi3.NewPathParameter(m[1]).WithSchema(openapi3.NewStringSchema())
		if served && to.kind != nil {
			p.Description = to.kind.pathParameter(m[1])
		}
		o.AddParameter(p)
	}
	tag := &openapi3.Tag{Name: op.Tag()}
	switch {
	case to.call != nil:
		d.called(o, op, to.call)
	case served:
		tag.Description = to.kind.Description
		d.served(o, op, to)
	default:
		o.Responses = openapi3.NewResponses(openapi3.WithStatus(http.StatusNotImplemented, &openapi3.ResponseRef{
			Ref: "#/components/responses/" + notBuilt, Value: d.Components.Responses[notBuilt].Value,
		}))
	}
	d.tag(tag)
	d.AddOperation(op.Path, op.Method, o)
}

// tag adds the tag unless it is there; the first description stays.
func (d *document) tag(tag *openapi3.Tag) {
	if have := d.Tags.Get(tag.Name); have == nil {
		d.Tags = append(d.Tags, tag)
	} else if have.Description == "" {
		have.Description = tag.Description
	}
}

// maxPageToken is the length in characters that the API promises page tokens
// to stay within.
const maxPageToken = 255

func (k *Kind) pathParameter(name string) string {
	if name == "id" {
		return "The ID of the " + k.Name + "."
	}
	return "The ID of the " + k.Parent.Name + " that it belongs to."
}

// served fills in an operation that a kind's verb or action stands behind.
func (d *document) served(o *openapi3.Operation, op operation.Operation, to route) {
	k, verb := to.kind, to.verb
	o.Description = to.description(op)
	if verb == List {
		for _, p := range k.listParameters() {
			o.AddParameter(p)
		}
	}
	if k.ParentParameter != "" && (verb == Read || verb == Delete) {
		o.AddParameter(openapi3.NewQueryParameter(k.ParentParameter).WithRequired(true).WithSchema(openapi3.NewStringSchema()).
			WithDescription("The ID of the " + k.Parent.Name + " that the " + k.Name + " is in."))
	}
	addParameters(o, k.Parameters[verb])
	var body *openapi3.SchemaRef
	switch {
	case to.action != nil:
		body = d.structure(to.action.Fields, created).NewRef()
	case to.check != nil:
		body = d.structure(to.check.fields(k), created).NewRef()
	case verb == Create || verb == Update:
		body = d.kindSchema(k, shapeOf(verb, op))
	}
	if body != nil {
		o.RequestBody = &openapi3.RequestBodyRef{Value: openapi3.NewRequestBody().WithRequired(true).WithJSONSchemaRef(body)}
	}
	o.Responses = openapi3.NewResponsesWithCapacity(16)
	o.Responses.Set(strconv.Itoa(op.Success), &openapi3.ResponseRef{Value: d.success(op, k, verb)})
	for status, codes := range scoped(op, d.engine.failures(k, verb)) {
		o.Responses.Set(strconv.Itoa(status), &openapi3.ResponseRef{Value: d.failure(status, codes)})
	}
}

func addParameters(o *openapi3.Operation, parameters []Parameter) {
	for _, p := range parameters {
		o.AddParameter(p.openAPI())
	}
}

func (p Parameter) openAPI() *openapi3.Parameter {
	q := openapi3.NewQueryParameter(p.Name).WithDescription(p.Description).WithSchema(openapi3.NewStringSchema())
	if p.Example != "" {
		q.Example = p.Example
	}
	return q.WithRequired(p.Required)
}

// called fills in an operation that a Call stands behind.
func (d *document) called(o *openapi3.Operation, op operation.Operation, call *Call) {
	o.Description = call.Description + scopeText(op)
	if p := call.Asks; p != nil {
		o.Description += "\n\nThe caller needs the permission `" + p.Operation + "` on `" + p.Resource + "`."
	}
	addParameters(o, call.Parameters)
	if call.Body != nil {
		content := openapi3.NewContentWithJSONSchema(d.structure(call.Body, created))
		if call.Form {
			content = openapi3.NewContentWithSchema(d.structure(call.Body, formed), []string{"application/x-www-form-urlencoded"})
		}
		o.RequestBody = &openapi3.RequestBodyRef{Value: openapi3.NewRequestBody().WithRequired(true).WithContent(content)}
	}
	o.Responses = openapi3.NewResponsesWithCapacity(16)
	success := d.done().WithDescription("Done; there is nothing more to say.")
	if call.Answer != nil {
		success = d.done().WithDescription("The answer.").WithJSONSchema(d.structure(call.Answer, answered))
	}
	if op.Success == http.StatusCreated {
		success.Headers["Location"] = d.header("Location")
	}
	o.Responses.Set(strconv.Itoa(op.Success), &openapi3.ResponseRef{Value: success})
	for status, codes := range scoped(op, call.failures(op)) {
		failure := d.failure(status, codes)
		if call.Failure != nil {
			failure.Content = openapi3.NewContentWithJSONSchema(d.structure(call.FailureFields, answered))
		}
		o.Responses.Set(strconv.Itoa(status), &openapi3.ResponseRef{Value: failure})
	}
}

// description says what the operation does and what it asks for.
func (to route) description(op operation.Operation) string {
	permission := to.kind.permission(to.verb)
	if to.action != nil {
		permission.Operation = to.action.Asks
	}
	if to.check != nil {
		permission.Operation = to.check.Asks
	}
	on := "`" + permission.Resource + "`"
	if len(to.kind.GuardedAs) > 0 {
		on = "what it is about (`" + strings.Join(to.kind.GuardedAs, "`, `") + "`)"
	}
	asked := "`" + permission.Operation + "` on " + on
	needs := "\n\nThe caller needs the permission " + asked + "."
	left := "\n\nWhat the caller does not hold the permission " + asked + " for is left out."
	if scope := scopeText(op); scope != "" {
		needs, left = scope, scope
	}
	switch to.verb {
	case List:
		order := ", in the order of creation"
		if to.kind.Source != nil {
			order = ""
		}
		return "Returns one page of the collection" + order + "." + left
	case Create:
		return "Creates the object that the body describes, and returns it." + needs
	case Read:
		return "Returns the object." + needs
	case Update:
		if op.Method == http.MethodPut {
			return "Replaces what can be changed of the object by what the body says, and returns the object." + needs
		}
		return "Changes the properties that the body names, and returns the object. " +
			"Null clears a property that may be absent; an array is replaced whole." + needs
	case act:
		return "Changes the object as the body says." + needs
	case Checking:
		return "Checks the object that the body names, and changes nothing." + needs
	default:
		return "Deletes the object, and what belongs to it or cannot be without it." + needs
	}
}

// scopeText says which scopes a token must have.
func scopeText(op operation.Operation) string {
	if len(op.Scopes) == 0 {
		return ""
	}
	return "\n\nThe token must have the scope `" + strings.Join(op.Scopes, "`, `") + "`."
}

// scoped adds to the failures of an operation what tokens without its scopes get.
func scoped(op operation.Operation, failures map[int][]*api.Code) map[int][]*api.Code {
	if c := api.InsufficientScope; len(op.Scopes) > 0 {
		failures[c.Status] = append(failures[c.Status], c)
	}
	return failures
}

// listParameters returns the parameters of the kind's list: its filters, then
// those of paging.
func (k *Kind) listParameters() []*openapi3.Parameter {
	var out []*openapi3.Parameter
	k.eachFilter(func(parameter, path string, f *Field) {
		p := openapi3.NewQueryParameter(parameter)
		switch f.Filter {
		case FilterAny:
			p.Description = "Keeps the objects whose `" + path + "` is one of these values: repeat the parameter, or separate the values by commas."
			p.Style, p.Explode = openapi3.SerializationForm, openapi3.Ptr(true)
			p.Schema = openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema()).NewRef()
		default:
			p.Description = "Keeps the objects whose `" + path + "` is this value."
			if f.Type == Reference {
				p.Description = "Keeps the objects whose `" + path + "` has this ID."
			}
			p.Schema = openapi3.NewStringSchema().NewRef()
		}
		if f.FilterBy != nil {
			p.Description = "Keeps the objects that this value selects by `" + path + "`. " + f.Description
		}
		out = append(out, p.WithRequired(f.FilterRequired))
		for _, with := range f.FilterWith {
			out = append(out, with.openAPI())
		}
	})
	sizes := k.pageSize()
	size := openapi3.NewIntegerSchema().WithMin(1).WithMax(float64(sizes.Max)).WithDefault(sizes.Default)
	token := openapi3.NewStringSchema().WithMaxLength(maxPageToken)
	return append(out,
		openapi3.NewQueryParameter("page_size").WithSchema(size).
			WithDescription("The greatest number of objects on a page."),
		openapi3.NewQueryParameter("page_token").WithSchema(token).
			WithDescription("Which page: a token from a link in the metadata of another page, sent back as it is."),
	)
}

// securitySchemes describes the kinds of credentials that the operations name.
func securitySchemes(ops []operation.Operation, publicURL string) openapi3.SecuritySchemes {
	basic := func(description string) *openapi3.SecurityScheme {
		return openapi3.NewSecurityScheme().WithType("http").WithScheme("basic").WithDescription(description)
	}
	bearer := func(description string) *openapi3.SecurityScheme {
		return openapi3.NewSecurityScheme().WithType("http").WithScheme("bearer").WithDescription(description)
	}
	known := map[string]*openapi3.SecurityScheme{
		operation.APIKey:         basic("A Cloud API key or a Global API key: the key's ID is the username, its secret the password."),
		operation.CloudAPIKey:    basic("A Cloud API key: the key's ID is the username, its secret the password."),
		operation.GlobalAPIKey:   basic("A Global API key: the key's ID is the username, its secret the password."),
		operation.ResourceAPIKey: basic("An API key for the resource: the key's ID is the username, its secret the password."),
		operation.STSToken:       bearer("An access token that the operation exchangeStsV1OauthToken gave out."),
		operation.ExternalToken:  bearer("An access token from an identity provider that the organization trusts."),
		operation.PartnerToken:   partnerScheme(ops, publicURL),
		operation.Session:        bearer("The session of a user who signed in."),
	}
	out := openapi3.SecuritySchemes{}
	for _, op := range ops {
		for _, name := range op.Credentials {
			if s := known[name]; s != nil {
				out[name] = &openapi3.SecuritySchemeRef{Value: s}
			}
		}
	}
	return out
}

// partnerScheme describes the tokens of partners, and their scopes.
func partnerScheme(ops []operation.Operation, publicURL string) *openapi3.SecurityScheme {
	scopes := map[string]string{}
	for _, op := range ops {
		for _, scope := range op.Scopes {
			_, verb, _ := strings.Cut(scope, ":")
			scopes[scope] = "The operations that " + verb + " what is the partner's."
		}
	}
	s := openapi3.NewSecurityScheme().WithType("oauth2").WithDescription("An access token of a partner.")
	s.Flows = &openapi3.OAuthFlows{ClientCredentials: &openapi3.OAuthFlow{TokenURL: publicURL + "/oauth2/token", Scopes: scopes}}
	return s
}
