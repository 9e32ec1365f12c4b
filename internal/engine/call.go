package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
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
	// Identify finds the caller of an operation that has its credentials in its
	// body, and of which the table lists none: with it the caller counts as for
	// every other operation, for the rate limit too. An error with a status of
	// 400 and more below 500 counts as one of the address.
	Identify func(ctx context.Context, c *Calling) (*authn.Caller, error)
	// Body are the fields of the request's body, which is read where there are
	// any: JSON, or with Form what an HTML form sends. Wrong is the code for
	// fields that are missing or wrong, where it is not api.ValidationFailed.
	Body  []Field
	Form  bool
	Wrong *api.Code
	// Answer are the fields of the answer's document, for the API reference; Do
	// renders it. None means that there is no content.
	Answer []Field
	// Codes are the errors that Do answers with, beside those that every
	// operation can.
	Codes []*api.Code
	// Method is its name in the audit log; by default the operation's ID. Each
	// call that is no GET is in the log, without its body, which may hold
	// secrets.
	Method string
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
	// Actor is who the audit log will say has made the call. Where an operation
	// asks for no credentials, Do fills in what it finds out.
	Actor *audit.Actor
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

// calling is the request as the call sees it, with all that is wrong with its
// body.
func (e *Engine) calling(ctx context.Context, q *request, call *Call) (*Calling, error) {
	c := &Calling{Engine: e, Request: q.Request, Caller: q.caller, Params: q.params, Query: q.query, Success: q.op.Success, Actor: audit.ActorOf(ctx)}
	if call.Body == nil {
		return c, nil
	}
	body := q.body
	if call.Form {
		body = unformed(call.Body, body)
	}
	var problems []api.Problem
	if c.Body, problems = merge(call.Body, nil, body, ""); len(problems) == 0 {
		return c, nil
	}
	wrong := api.Invalid(problems...)
	if call.Wrong != nil {
		wrong.Code = call.Wrong
	}
	return c, wrong
}

// unformed gives the texts of a form the types of their fields.
func unformed(fields []Field, form map[string]any) map[string]any {
	typed := maps.Clone(form)
	for i := range fields {
		text, sent := form[fields[i].Name].(string)
		switch {
		case !sent:
		case fields[i].Type == Integer:
			typed[fields[i].Name] = json.Number(text)
		case fields[i].Type == Boolean && (text == "true" || text == "false"):
			typed[fields[i].Name] = text == "true"
		}
	}
	return typed
}

// identify finds the caller by the request's body.
func (e *Engine) identify(ctx context.Context, q *request, call *Call) (*authn.Caller, error) {
	c, err := e.calling(ctx, q, call)
	if err != nil {
		return nil, err
	}
	return call.Identify(ctx, c)
}

// call takes a Call's own steps, in place of those of a verb.
func (e *Engine) call(ctx context.Context, q *request, call *Call) (*Answer, error) {
	c, wrong := e.calling(ctx, q, call)
	if p := call.Asks; p != nil {
		on := crn.PatternOf(OrganizationCRN(q.caller.Org))
		if call.On != nil {
			var err error
			if on, err = call.On(ctx, c); err != nil {
				return nil, err
			}
		}
		guards := []Guard{{Resource: p.Resource, On: on}}
		if !q.decided(p.Operation, guards, c.Allows(p.Operation, p.Resource, on)) {
			return nil, denied(p.Operation, guards)
		}
		if err := q.admitTo(on); err != nil {
			return nil, err
		}
	}
	if wrong != nil {
		return nil, wrong
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
	case len(op.Credentials) == 0 && c.Identify == nil && (c.Asks != nil || c.On != nil):
		return fmt.Errorf("operation %s has no caller to ask about", c.Operation)
	case c.Identify != nil && (len(op.Credentials) > 0 || c.Body == nil):
		return fmt.Errorf("operation %s has credentials in its header, or none in its body", c.Operation)
	case (c.Failure == nil) != (c.FailureFields == nil):
		return fmt.Errorf("operation %s must both make and describe errors of its own", c.Operation)
	}
	return nil
}
