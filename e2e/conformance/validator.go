package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Reporter is told of failures; a testing.TB is one. Errorf may be called from
// several goroutines at once.
type Reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// Contract is what a set of documents demands of answers. Making one takes
// about a tenth of a second for each document, so tests share it; it does not
// change, and is safe for use by several goroutines.
type Contract struct {
	options *openapi3filter.Options
	routers []routers.Router
}

// NewContract reads the documents, which it does not change.
func NewContract(docs ...*openapi3.T) (*Contract, error) {
	c := &Contract{options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true}}
	c.options.WithCustomSchemaErrorFunc(func(err *openapi3.SchemaError) string {
		return "at /" + strings.Join(err.JSONPointer(), "/") + ": " + err.Reason
	})
	for _, given := range docs {
		// With allOf merged a message names the property that is wrong, and not
		// just a list of schemas of which one does not fit.
		doc, err := merged(given, func(any) {})
		if err != nil {
			return nil, fmt.Errorf("document %q: %w", given.Info.Title, err)
		}
		promiseHeaders(doc)
		doc.Servers = nil // whatever the host is
		router, err := gorillamux.NewRouter(doc)
		if err != nil {
			return nil, fmt.Errorf("document %q: %w", doc.Info.Title, err)
		}
		c.routers = append(c.routers, router)
	}
	return c, nil
}

// Validator is an [http.RoundTripper] that lets every request through and
// holds every answer to the vendor's document of its operation: the status is
// declared, the declared headers are there and well formed, and the body has
// the declared type and schema. Answers to requests that no document has an
// operation for pass unseen. The request is not checked: what a client may
// send is for the server to say.
type Validator struct {
	*Contract
	next     http.RoundTripper
	report   Reporter
	mu       sync.Mutex
	answered map[string]bool
}

// Validator returns a Validator before next (nil: the default transport) that
// tells the reporter what is wrong.
func (c *Contract) Validator(next http.RoundTripper, report Reporter) *Validator {
	if next == nil {
		next = http.DefaultTransport
	}
	return &Validator{Contract: c, next: next, report: report, answered: map[string]bool{}}
}

// promiseHeaders marks the declared response headers as required. The vendor
// leaves the mark out everywhere, and describes them as always sent; only the
// Location of a conflict depends on there being something to point to.
func promiseHeaders(doc *openapi3.T) {
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for status, response := range op.Responses.Map() {
				for name, ref := range response.Value.Headers {
					header := *ref.Value // other statuses may refer to the same one
					header.Required = name != "Location" || !strings.HasPrefix(status, "4")
					response.Value.Headers[name] = &openapi3.HeaderRef{Value: &header}
				}
			}
		}
	}
}

// RoundTrip implements [http.RoundTripper].
func (v *Validator) RoundTrip(r *http.Request) (*http.Response, error) {
	v.report.Helper()
	res, err := v.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	route, params := v.route(r)
	if route == nil {
		return res, nil
	}
	body, err := io.ReadAll(res.Body)
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	for _, problem := range v.problems(r, route, params, res, body) {
		v.report.Errorf("conformance: %s %s (%s) answered %d: %s",
			r.Method, r.URL.Path, route.Operation.OperationID, res.StatusCode, problem)
	}
	return res, nil
}

// Answered returns what was checked, sorted: "getIamV2User 404" and so on. A
// test that asserts nothing by itself can look here whether it tried anything.
func (v *Validator) Answered() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Keys(v.answered))
}

func (c *Contract) route(r *http.Request) (*routers.Route, map[string]string) {
	for _, router := range c.routers {
		if route, params, err := router.FindRoute(r); err == nil {
			return route, params
		}
	}
	return nil, nil
}

// problems returns what is wrong with the answer, one entry for each thing.
func (v *Validator) problems(r *http.Request, route *routers.Route, params map[string]string, res *http.Response, body []byte) []string {
	v.mu.Lock()
	v.answered[route.Operation.OperationID+" "+strconv.Itoa(res.StatusCode)] = true
	v.mu.Unlock()

	if route.Operation.Responses.Status(res.StatusCode) == nil && route.Operation.Responses.Default() == nil {
		if tolerated(UndeclaredStatus, fmt.Sprintf("%s %s %d", r.Method, route.Path, res.StatusCode)) < 0 {
			return []string{"the document does not declare this status"}
		}
		if res.Header.Get("X-Request-Id") == "" {
			return []string{"the header X-Request-Id is missing"}
		}
		// A failure looks like those that are declared.
		route = withStatus(route, res.StatusCode)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: v.options},
		Status:                 res.StatusCode, Header: res.Header, Options: v.options,
	}
	input.SetBodyBytes(body)
	// Validation ends at the first header that is wrong; the body is looked at
	// when all headers are right.
	return messages(openapi3filter.ValidateResponse(context.WithoutCancel(r.Context()), input))
}

// withStatus returns the route with the schema of failures declared for the
// status, if the document has one.
func withStatus(route *routers.Route, status int) *routers.Route {
	response := openapi3.NewResponse().WithDescription("")
	if c := route.Spec.Components; c != nil && c.Schemas["Failure"] != nil {
		response.WithJSONSchemaRef(c.Schemas["Failure"])
	}
	op := *route.Operation
	op.Responses = openapi3.NewResponses(openapi3.WithStatus(status, &openapi3.ResponseRef{Value: response}))
	r := *route
	r.Operation = &op
	return &r
}

// messages takes an error apart into what a person wants to read.
func messages(err error) []string {
	if err == nil {
		return nil
	}
	var response *openapi3filter.ResponseError
	if !errors.As(err, &response) {
		return []string{err.Error()}
	}
	var several openapi3.MultiError
	if errors.As(response.Err, &several) {
		var out []string
		for _, e := range several {
			out = append(out, response.Reason+": "+e.Error())
		}
		return out
	}
	if response.Err != nil {
		return []string{response.Reason + ": " + response.Err.Error()}
	}
	return []string{response.Reason}
}
