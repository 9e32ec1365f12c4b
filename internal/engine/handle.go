package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/ipfilter"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
)

// request is one request on its way through the steps.
type request struct {
	*http.Request
	op     operation.Operation
	kind   *Kind
	verb   Verb
	action *Action
	check  *Check
	call   *Call
	id     string
	parent string
	params operation.Params
	query  url.Values
	caller *authn.Caller
	body   map[string]any
	// object is what the path names, once it was read; decision is what was
	// decided of it.
	object   *Object
	decision *audit.Authorization
	// filters are the IP filters of the caller's organization, client is the
	// address that they are asked about, group the operation group.
	filters *ipfilter.Table
	client  netip.Addr
	group   string
}

// Answer is what an operation answers when it succeeds.
type Answer struct {
	Status   int
	Location string
	// Body has marks in place of the public URL; nil means no content.
	Body []byte
	// page is what follows Body in the answer to a list.
	page *documents
}

// Rest is what follows Body, without marks.
func (a *Answer) Rest() []byte {
	if a.page == nil {
		return nil
	}
	return a.page.text
}

// Release says that Rest is read no more, so that the next list need not make
// room of its own. It need not be called.
func (a *Answer) Release() {
	if a.page != nil {
		a.page.release()
		a.page = nil
	}
}

// Handle takes the steps of an operation: the same for every kind, in this
// order, and no kind can skip one.
func (e *Engine) Handle(rw http.ResponseWriter, r *http.Request, op operation.Operation, params operation.Params) (*Answer, *authn.Caller, error) {
	// 1. Resolve: which kind, what is to be done, to which object. What is
	// public but not built says so.
	to, ok := e.routes[op.ID]
	if !ok {
		return nil, nil, api.New(api.NotImplemented, fmt.Sprintf("The operation %s (%s, %s) is not served by this server yet", op.ID, op.API(), op.Lifecycle))
	}
	q := &request{Request: r, op: op, kind: to.kind, verb: to.verb, action: to.action, check: to.check, call: to.call, params: params}
	for _, p := range params {
		if p.Name == "id" {
			q.id = p.Value
		} else {
			q.parent = p.Value
		}
	}

	// 2. Authenticate, unless the operation asks for no credentials. Where they
	// are in the body, that is read first.
	var err error
	inBody := to.call != nil && to.call.Identify != nil
	switch {
	case inBody:
		if err = q.decode(to); err == nil {
			q.caller, err = e.identify(r.Context(), q, to.call)
		}
	case len(op.Credentials) > 0:
		q.caller, err = e.Authenticate(r, op.Credentials)
	}
	caller := q.caller

	// 3. Admit: the limits of the caller, or of the address of who is none. The
	// request counts as under way until all steps are done.
	if err == nil || clientsFault(err) {
		leave, limited := e.Admit(rw, r, caller)
		if limited != nil {
			return nil, caller, limited
		}
		defer leave()
	}
	ctx := audit.WithActor(r.Context(), e.actor(r, caller, err))
	if err != nil {
		e.recordFailure(ctx, q, err)
		return nil, nil, err
	}

	// What came of it is in the audit log before it is told: a change has written
	// its event with itself.
	answer, err := e.answer(ctx, q, to, inBody)
	if err != nil {
		e.recordFailure(ctx, q, err)
	} else {
		e.recordSuccess(ctx, q)
	}
	return answer, caller, err
}

// answer takes the steps of a request that was admitted; decoded says whether
// it has been read for its credentials already.
func (e *Engine) answer(ctx context.Context, q *request, to route, decoded bool) (*Answer, error) {
	if err := checkScopes(q.caller, q.op.Scopes); err != nil {
		return nil, err
	}

	// 4. IP filters: those of the caller's organization. Those of an environment
	// are asked about in step 6, where it is known what the request is about.
	var err error
	if q.caller != nil {
		if err := e.admitOrganization(ctx, q); err != nil {
			return nil, err
		}
	}

	// 5. Decode.
	if !decoded {
		if err = q.decode(to); err != nil {
			return nil, err
		}
	}

	// 6. Authorize, validate, write and render: in one transaction for a
	// change, so that what was found of the object still holds when it is
	// written. The caller's roles are those of the beginning of the request.
	var answer *Answer
	if to.call != nil {
		answer, err = e.call(ctx, q, to.call)
	} else {
		answer, err = e.perform(ctx, q)
	}
	return answer, e.exceeded(err)
}

// decode reads what the request says: its query, what answer it takes, and its
// body.
func (q *request) decode(to route) error {
	var err error
	if q.query, err = api.ParseQuery(q.URL.RawQuery); err != nil {
		return err
	}
	if !api.AcceptsJSON(q.Header.Values("Accept")) {
		return api.New(api.NotAcceptable, "The Accept header must allow application/json")
	}
	q.body, err = to.readBody(q.Request)
	return err
}

// readBody reads the request's body where the operation has one.
func (to route) readBody(r *http.Request) (map[string]any, error) {
	switch {
	case to.call != nil && to.call.Body == nil, to.verb == List, to.verb == Read, to.verb == Delete:
		return nil, nil
	case to.call != nil && to.call.Form:
		return api.ReadForm(r)
	default:
		return api.ReadObject(r)
	}
}

func (e *Engine) perform(ctx context.Context, q *request) (*Answer, error) {
	if q.verb == List {
		return e.list(ctx, q)
	}
	if q.check != nil {
		return e.check(ctx, q)
	}
	if err := q.nameParent(); err != nil {
		return nil, err
	}
	// Who may not is told so before anything is locked; under the lock of a
	// change the question is put again.
	if q.verb != Create {
		from, err := e.reader(ctx, q)
		if err != nil {
			return nil, err
		}
		o, err := q.kind.builtIn(ctx, e.Store, q.caller.Org, q.id)
		var row *store.Row
		stored := o == nil
		if stored && err == nil {
			o, row, err = e.load(ctx, from.Get, q)
		}
		if err != nil {
			return nil, err
		}
		q.object = o
		if err := e.authorize(q, o, q.asks()); err != nil {
			return nil, err
		}
		if q.verb == Read {
			body := o.stored
			if stored {
				body, err = q.kind.document(row)
			}
			return &Answer{Status: q.op.Success, Body: body}, err
		}
		if !stored {
			return nil, api.New(api.BadRequest, fmt.Sprintf("The %s '%s' is built in; it cannot be changed or deleted", q.kind.Name, q.id))
		}
	}
	var answer *Answer
	err := e.Store.Update(ctx, func(tx store.Tx) error {
		w := &Write{Engine: e, Tx: tx, Verb: q.verb, Caller: q.caller, Client: q.client, Query: q.query, Now: e.Now().UTC(), request: q}
		err := e.lockUsed(ctx, tx, q, q.object)
		if err != nil {
			return err
		}
		switch q.verb {
		case Create:
			answer, err = e.create(ctx, q, w)
		case Update, act:
			answer, err = e.update(ctx, q, w)
		default:
			answer, err = e.delete(ctx, q, w)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// check looks at the object that the body names.
func (e *Engine) check(ctx context.Context, q *request) (*Answer, error) {
	body, problems := merge(q.check.fields(q.kind), nil, q.body, "")
	if len(problems) > 0 {
		return nil, api.Invalid(problems...)
	}
	q.id = body.String("id")
	if q.kind.ParentField != "" {
		q.parent = body.String(q.kind.ParentField + ".id")
	}
	o, _, err := e.load(ctx, e.Store.Get, q)
	if err != nil {
		return nil, err
	}
	if err := e.authorize(q, o, q.check.Asks); err != nil {
		return nil, err
	}
	if err := q.check.Run(ctx, e, o, body); err != nil {
		return nil, err
	}
	return &Answer{Status: q.op.Success}, nil
}

// nameParent reads the parameter that names the parent of the object.
func (q *request) nameParent() error {
	name := q.kind.ParentParameter
	if name == "" || q.verb != Read && q.verb != Delete {
		return nil
	}
	if q.parent = q.query.Get(name); q.parent == "" {
		return api.BadParameter(api.InvalidParameter, name, "The parameter '"+name+"' is required: the ID of the "+q.kind.Parent.Name+" that the "+q.kind.Name+" is in")
	}
	return nil
}

// asks is the operation that the request asks permission for.
func (q *request) asks() string {
	if q.action != nil {
		return q.action.Asks
	}
	return q.kind.asks(q.verb)
}

// load reads the object that the path names with get: Store.Get, or Tx.Lock.
func (e *Engine) load(ctx context.Context, get func(context.Context, string, store.Key) (*store.Row, error), q *request) (*Object, *store.Row, error) {
	row, err := get(ctx, q.caller.Org, store.Key{Kind: q.kind.StoreKey(), ID: q.id})
	if errors.Is(err, store.ErrNotFound) || err == nil && q.parent != "" && row.Parent != q.parent {
		return nil, nil, q.kind.missing(q.id)
	}
	if err != nil {
		return nil, nil, err
	}
	var o *Object
	if q.verb == Read && q.kind.byName() {
		o = q.kind.object(row)
	} else {
		o, err = q.kind.Decode(row)
	}
	q.object = o
	return o, row, err
}

// authorize asks the decision function about an object that exists, and then
// the IP filters of its environment. Who may not even see it gets the answer of
// an object that does not exist.
func (e *Engine) authorize(q *request, o *Object, operation string) error {
	guards := q.kind.guards(Read, o)
	if q.decided(operation, guards, q.kind.allowsOn(guards, q.caller, operation, o)) {
		return q.admitToObject(q.kind, guards, o)
	}
	if !q.kind.VisibleTo(q.caller, o) {
		return q.kind.missing(q.id)
	}
	return denied(operation, guards)
}

// VisibleTo reports whether the caller may know of the object.
func (k *Kind) VisibleTo(caller *authn.Caller, o *Object) bool {
	return k.allows(caller, k.asks(Read), Read, o)
}

// allows puts the question to the decision function: permission on any guard
// of the object is enough.
func (k *Kind) allows(caller *authn.Caller, operation string, v Verb, o *Object) bool {
	return k.allowsOn(k.guards(v, o), caller, operation, o)
}

func (k *Kind) allowsOn(guards []Guard, caller *authn.Caller, operation string, o *Object) bool {
	owner := k.owner(o)
	for _, g := range guards {
		if authz.Decide(caller.Subject, authz.Question{Operation: operation, Resource: g.Resource, On: g.On, Owner: owner}) {
			return true
		}
	}
	return false
}

// checkScopes refuses a token that was not granted what the operation asks for.
// The challenge is that of RFC 6750.
func checkScopes(caller *authn.Caller, needed []string) error {
	for _, scope := range needed {
		if !slices.Contains(caller.Scopes, scope) {
			return api.New(api.InsufficientScope, "This operation takes a token with the scope "+scope).
				WithHeader("WWW-Authenticate", fmt.Sprintf("Bearer error=%q, scope=%q", api.InsufficientScope.Name, strings.Join(needed, " ")))
		}
	}
	return nil
}

func unauthenticated(err error) bool {
	var refused *api.Error
	return errors.As(err, &refused) && refused.Code.Status == http.StatusUnauthorized
}

// clientsFault reports whether a request is refused for what its sender did:
// without a caller that counts against the address.
func clientsFault(err error) bool {
	var refused *api.Error
	return errors.As(err, &refused) && refused.Code.Status < http.StatusInternalServerError
}

func denied(operation string, guards []Guard) error {
	resource := "this"
	if len(guards) > 0 {
		resource = guards[0].Resource
	}
	return api.New(api.UserUnauthorized, fmt.Sprintf("None of your roles permits %s on %s here", operation, resource))
}
