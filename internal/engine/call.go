package engine

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/operation"
)

// Call is an operation that is no kind's verb and neither an Action nor a Check
// of one object: an exchange, a summary. It takes the same steps as the others,
// up to the point where Do does what is its own.
type Call struct {
	// Operation is its id in the table of operations.
	Operation string
	// Description says what the operation does, for the API reference.
	Description string
	// Asks is the permission that the caller needs, on the organization or on
	// what On returns. An operation of which the table lists credentials must
	// have it, unless Open says that every caller may.
	Asks *Permission
	On   func(ctx context.Context, c *Calling) (crn.Pattern, error)
	Open bool
	// Parameters are its query parameters.
	Parameters []Parameter
	// Body are the fields of the request's body, which is read where there are
	// any: JSON, or with Form what an HTML form sends.
	Body []Field
	Form bool
	// Answer are the fields of the answer's document, for the API reference; Do
	// renders it. None means that there is no content.
	Answer []Field
	// Codes are the errors that Do answers with, beside those that every
	// operation can.
	Codes []*api.Code
	// Failure makes the bodies of its errors, where its clients read them in
	// another form than the usual one, and FailureFields describe that form for
	// the API reference.
	Failure       func(e *api.Error) any
	FailureFields []Field
	// Do does it. It opens its own transactions.
	Do func(ctx context.Context, c *Calling) (*Answer, error)
}

// Calling is one request for a Call.
type Calling struct {
	Engine *Engine
	// Request is for what is in no other field; its body has been read.
	Request *http.Request
	// Caller is nil for an operation that asks for no credentials.
	Caller *authn.Caller
	// Params are the parameters in the path, Query those behind it.
	Params operation.Params
	Query  url.Values
	// Body holds the fields that were sent, checked.
	Body Doc
	// Success is the status of the answer when all went well.
	Success int
}

// Failure returns what makes the bodies of an operation's errors, or nil for the
// usual one.
func (e *Engine) Failure(operationID string) func(*api.Error) any {
	if call := e.routes[operationID].call; call != nil {
		return call.Failure
	}
	return nil
}

// Allows reports whether the caller may do the operation on a resource of the
// type, named by on.
func (c *Calling) Allows(operation, resource string, on crn.Pattern) bool {
	return authz.Decide(c.Caller.Subject, authz.Question{Operation: operation, Resource: resource, On: on})
}

// Document renders an answer's document by the definition of its fields.
func Document(fields []Field, doc Doc) []byte {
	var b encoder
	b.raw("{")
	b.fields(fields, doc, "", nil, false)
	b.raw("}")
	return b.Bytes()
}

// call takes a Call's own steps, in place of those of a verb.
func (e *Engine) call(ctx context.Context, q *request, call *Call, params operation.Params) (*Answer, error) {
	c := &Calling{Engine: e, Request: q.Request, Caller: q.caller, Params: params, Query: q.query, Success: q.op.Success}
	var problems []api.Problem
	if call.Body != nil {
		c.Body, problems = merge(call.Body, nil, q.body, "")
	}
	if p := call.Asks; p != nil {
		on := crn.PatternOf(OrganizationCRN(q.caller.Org))
		if call.On != nil {
			var err error
			if on, err = call.On(ctx, c); err != nil {
				return nil, err
			}
		}
		if !c.Allows(p.Operation, p.Resource, on) {
			return nil, denied(p.Operation, []Guard{{Resource: p.Resource}})
		}
		if err := q.admitTo(on); err != nil {
			return nil, err
		}
	}
	if len(problems) > 0 {
		return nil, api.Invalid(problems...)
	}
	return call.Do(ctx, c)
}

// checkCall reports what is wrong with the definition.
func (c *Call) check() error {
	op, ok := operation.ByID(c.Operation)
	switch {
	case !ok:
		return fmt.Errorf("there is no operation %s to call", c.Operation)
	case c.Do == nil || c.Description == "":
		return fmt.Errorf("operation %s has nothing to do, or no description", c.Operation)
	case len(op.Credentials) > 0 && (c.Asks != nil) == c.Open:
		return fmt.Errorf("operation %s must either ask for a permission or be open to every caller", c.Operation)
	case len(op.Credentials) == 0 && (c.Asks != nil || c.On != nil):
		return fmt.Errorf("operation %s has no caller to ask about", c.Operation)
	case (c.Failure == nil) != (c.FailureFields == nil):
		return fmt.Errorf("operation %s must both make and describe errors of its own", c.Operation)
	}
	return nil
}
