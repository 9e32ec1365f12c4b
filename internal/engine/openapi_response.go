package engine

import (
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/operation"
)

// notBuilt is the component's name of the answer of what is not served.
const notBuilt = "NotImplemented"

// success is the answer of an operation that went well.
func (d *document) success(op operation.Operation, k *Kind, verb Verb) *openapi3.Response {
	r := d.done()
	switch {
	case verb == List:
		r.WithDescription("One page of the list.").WithJSONSchemaRef(d.listSchema(k))
	case op.Success == http.StatusNoContent:
		r.WithDescription("Done; there is nothing more to say.")
	case verb == Delete:
		r.WithDescription("The object as it was before it was deleted.").WithJSONSchemaRef(d.kindSchema(k, answered))
	default:
		r.WithDescription("The object.").WithJSONSchemaRef(d.kindSchema(k, answered))
	}
	if verb == Create {
		r.Headers["Location"] = d.header("Location")
	}
	return r
}

// done is an answer with the headers that every success has.
func (d *document) done() *openapi3.Response {
	r := openapi3.NewResponse()
	r.Headers = d.headers("X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
	return r
}

// failures returns the statuses of failure of the call, each with the codes
// that can come with it.
func (c *Call) failures(op operation.Operation) map[int][]*api.Code {
	codes := append([]*api.Code{
		api.MalformedRequest, api.HTTPSRequired, api.NotAcceptable, api.TooManyRequests, api.Internal, api.Unavailable,
	}, c.Codes...)
	if len(op.Credentials) > 0 {
		codes = append(codes, api.Unauthenticated, api.UserUnauthorized, api.AddressNotAllowed)
	}
	if len(c.Parameters) > 0 {
		codes = append(codes, api.InvalidParameter)
	}
	if c.Body != nil {
		wrong := c.Wrong
		if wrong == nil {
			wrong = api.ValidationFailed
		}
		codes = append(codes, wrong, api.PayloadTooLarge, api.UnsupportedMediaType)
	}
	return byStatus(codes)
}

// failures returns the statuses of failure that the API declares for the
// verb, and those that this server adds, each with the codes that can come
// with it. A status without codes is declared and not given.
func (e *Engine) failures(k *Kind, verb Verb) map[int][]*api.Code {
	codes := []*api.Code{
		api.MalformedRequest, api.Unauthenticated, api.UserUnauthorized, api.AddressNotAllowed, api.HTTPSRequired,
		api.NotAcceptable, api.TooManyRequests, api.Internal, api.Unavailable,
	}
	codes = append(codes, k.Codes[verb]...)
	var declared []int
	if k.Parent != nil && strings.Contains(k.Path, "{") {
		codes = append(codes, k.Parent.missing("").Code)
	}
	if len(k.Parameters[verb]) > 0 || k.ParentParameter != "" && (verb == Read || verb == Delete) {
		codes = append(codes, api.InvalidParameter)
	}
	if verb == List {
		codes = append(codes, api.InvalidParameter, api.InvalidPageToken)
	}
	if verb == Create || verb == Update || verb == act {
		codes = append(codes, api.AlreadyExists, api.ValidationFailed, api.PayloadTooLarge, api.UnsupportedMediaType)
		declared = append(declared, http.StatusPaymentRequired)
		for _, c := range api.Codes() {
			if c.Status == http.StatusPaymentRequired {
				codes = append(codes, c)
			}
		}
	}
	if verb == Checking {
		codes = append(codes, api.ValidationFailed, api.PayloadTooLarge, api.UnsupportedMediaType)
	}
	if verb == Delete {
		codes = append(codes, api.InUse)
	}
	if verb != List && verb != Create {
		codes = append(codes, k.missing("").Code)
		declared = append(declared, http.StatusNotFound)
	}
	out := byStatus(codes)
	for _, status := range declared {
		if out[status] == nil {
			out[status] = []*api.Code{}
		}
	}
	return out
}

// byStatus groups the codes, each once.
func byStatus(codes []*api.Code) map[int][]*api.Code {
	out := map[int][]*api.Code{}
	for _, c := range codes {
		if !slices.Contains(out[c.Status], c) {
			out[c.Status] = append(out[c.Status], c)
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b *api.Code) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}

// failure is an answer with one of the codes.
func (d *document) failure(status int, codes []*api.Code) *openapi3.Response {
	var text []string
	for _, c := range codes {
		text = append(text, "`"+c.Name+"`: "+c.Meaning)
	}
	if len(codes) == 0 {
		text = []string{http.StatusText(status) + ": the API declares this answer; this server does not give it here."}
	}
	r := openapi3.NewResponse().WithDescription(strings.Join(text, "\n\n")).WithJSONSchemaRef(d.ref("Failure"))
	r.Headers = d.headers("X-Request-Id")
	switch status {
	case http.StatusUnauthorized:
		r.Headers["WWW-Authenticate"] = d.header("WWW-Authenticate")
	case http.StatusConflict:
		r.Headers["Location"] = d.header("Location")
	case http.StatusTooManyRequests:
		r.Headers = d.headers("X-Request-Id", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
	case http.StatusServiceUnavailable:
		r.Headers["Retry-After"] = d.header("Retry-After")
	}
	return r
}

func (d *document) notImplemented() *openapi3.Response {
	return d.failure(http.StatusNotImplemented, []*api.Code{api.NotImplemented})
}

func (d *document) headers(names ...string) openapi3.Headers {
	out := make(openapi3.Headers, len(names))
	for _, name := range names {
		out[name] = d.header(name)
	}
	return out
}

func (d *document) header(name string) *openapi3.HeaderRef {
	return &openapi3.HeaderRef{Ref: "#/components/headers/" + name, Value: d.Components.Headers[name].Value}
}

// sharedHeaders are the headers of answers. Only the request's ID comes with
// every one of them: the others depend on whether a limit applies, or whether
// there is something to point to.
func sharedHeaders() openapi3.Headers {
	header := func(description string, schema *openapi3.Schema) *openapi3.HeaderRef {
		return &openapi3.HeaderRef{Value: &openapi3.Header{Parameter: openapi3.Parameter{
			Description: description, Schema: schema.NewRef(),
		}}}
	}
	count := func() *openapi3.Schema { return openapi3.NewIntegerSchema().WithMin(0) }
	out := openapi3.Headers{
		"X-Request-Id":          header("The request's ID, as the server's log has it.", openapi3.NewStringSchema()),
		"X-RateLimit-Limit":     header("How many requests the limit allows in its period.", count()),
		"X-RateLimit-Remaining": header("How many requests can follow at once.", count()),
		"X-RateLimit-Reset":     header("In how many seconds from now the whole limit is there again.", count()),
		"Retry-After":           header("In how many seconds from now a request can succeed.", count()),
		"Location":              header("The URL of the object: the new one, or the one in conflict.", openapi3.NewStringSchema().WithFormat("uri")),
		"WWW-Authenticate":      header("Which kind of credentials to send, and what was wrong with those sent.", openapi3.NewStringSchema()),
	}
	out["X-Request-Id"].Value.Required = true
	return out
}
