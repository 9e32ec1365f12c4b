package engine

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
)

const (
	// credentialWindow is how long reads with one credential from one address
	// add no further event to the audit log.
	credentialWindow = time.Hour
	// rememberedCredentials bounds what is remembered for that.
	rememberedCredentials = 20_000
	// recordTimeout bounds the writing of an event that belongs to no change.
	recordTimeout = 5 * time.Second
	// maxRefusedBody bounds, in bytes, what of a request that was refused is in
	// its event.
	maxRefusedBody = 8 << 10
)

// presented is a credential as it comes from somewhere.
type presented struct {
	credential string
	client     netip.Addr
}

// changes reports whether the verb is one of those that write.
func (v Verb) changes() bool { return v != List && v != Read }

// method is the name of the verb, or of the action, in the audit log.
func (k *Kind) method(v Verb, a *Action) string {
	if a != nil && a.Method != "" {
		return a.Method
	}
	if v == act {
		v = Update
	}
	if name := k.Methods[v]; name != "" {
		return name
	}
	noun := k.Noun
	if noun == "" {
		noun = k.Name
	}
	switch v {
	case List:
		return "Get" + noun + "s"
	case Create:
		return "Create" + noun
	case Read:
		return "Get" + noun
	case Update:
		return "Update" + noun
	default:
		return "Delete" + noun
	}
}

// auditResources names the object by where it stands, and by what else
// permission to it is asked on, such as the cluster that a key reaches.
func (o *Object) auditResources() []audit.Resource {
	kind := audit.TypeOf(o.Kind.Name)
	resources := []audit.Resource{audit.ResourceOf(o.Kind.CRN(o), kind, o.ID)}
	if o.Kind.Guards == nil {
		return resources
	}
	for _, g := range o.Kind.Guards(o) {
		scope := slices.Collect(g.On.Segments())
		if g.On.Wildcard() && len(scope) > 0 {
			scope = scope[:len(scope)-1]
		}
		if len(scope) > 1 && !slices.ContainsFunc(resources, func(r audit.Resource) bool { return slices.Equal(r.Scope, scope) }) {
			resources = append(resources, audit.Resource{Scope: scope, Type: kind, ID: o.ID})
		}
	}
	return resources
}

// changes reports whether the request is one that writes.
func (q *request) changes() bool {
	if q.call != nil {
		return q.op.Method != http.MethodGet
	}
	return q.verb.changes()
}

// method is the name of the request in the audit log.
func (q *request) method() string {
	switch {
	case q.call == nil:
		return q.kind.method(q.verb, q.action)
	case q.call.Method != "":
		return q.call.Method
	default:
		return strings.ToUpper(q.op.ID[:1]) + q.op.ID[1:]
	}
}

// decided remembers the decision for the audit log, and returns it.
func (q *request) decided(operation string, on []Guard, allowed bool) bool {
	q.decision = &audit.Authorization{Operation: operation, Allowed: allowed}
	if len(on) > 0 {
		q.decision.ResourceType, q.decision.ResourceName = on[0].Resource, on[0].On.String()
	}
	return allowed
}

// submitted is what the body says that may be read, as JSON, or nil. What a
// call is sent may be secret.
func (q *request) submitted() []byte {
	if q.body == nil || q.call != nil {
		return nil
	}
	fields := q.kind.Fields
	if q.action != nil {
		fields = q.action.Fields
	}
	b, err := json.Marshal(readable(fields, q.body))
	if err != nil {
		panic("engine: encode what was submitted: " + err.Error()) // it was decoded from JSON
	}
	return b
}

// readable keeps of what was submitted the values of the fields that users
// both set and read.
func readable(fields []Field, body map[string]any) map[string]any {
	out := map[string]any{}
	for i := range fields {
		f := &fields[i]
		if v, ok := body[f.Name]; ok && !f.ReadOnly && !f.Once && !f.WriteOnly {
			if v, ok = readableValue(f, v); ok {
				out[f.Name] = v
			}
		}
	}
	return out
}

// readableValue is ok for what has the form that the field asks for, so that
// what stands in the wrong place is left out.
func readableValue(f *Field, v any) (_ any, ok bool) {
	switch v := v.(type) {
	case map[string]any:
		switch f.Type {
		case Structure:
			return readable(f.Fields, v), true
		case Reference:
			out := map[string]any{}
			for _, name := range referenceNames {
				if s, isText := v[name].(string); isText {
					out[name] = s
				}
			}
			return out, true
		}
		return nil, false
	case []any:
		if f.Type != Array {
			return nil, false
		}
		out := make([]any, 0, len(v))
		for _, item := range v {
			if item, ok := readableValue(f.Items, item); ok {
				out = append(out, item)
			}
		}
		return out, true
	default:
		return v, v == nil || f.Type != Structure && f.Type != Reference && f.Type != Array
	}
}

// Actor is who the audit log says has sent the request, as far as the request
// alone tells: its ID and its address. Who finds out more fills it in, and
// hands it on with audit.WithActor or in an event for Record.
func (e *Engine) Actor(r *http.Request) *audit.Actor {
	a := &audit.Actor{RequestID: api.RequestID(r.Context())}
	if e.Client != nil {
		a.Client = e.Client(r)
	}
	return a
}

// actor is Actor with the caller, or with who failed to be one.
func (e *Engine) actor(r *http.Request, caller *authn.Caller, err error) *audit.Actor {
	a := e.Actor(r)
	if caller == nil {
		var refusal *authn.Refusal
		if errors.As(err, &refusal) {
			a.Organization, a.Principal, a.Credential = refusal.Org, refusal.Principal, refusal.Credential
			a.Mechanism = refusal.Mechanism
		}
		if err != nil {
			a.Refused = message(err)
			if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
				a.Mechanism = audit.HTTPBearer
			}
		}
		return a
	}
	a.Organization, a.Principal = caller.Org, caller.Principal
	switch caller.Scheme {
	case authn.SchemeCloudKey, authn.SchemeGlobalKey, authn.SchemeResourceKey:
		a.Mechanism, a.Credential = audit.HTTPBasic, caller.Credential
	case authn.SchemeCertificate:
		a.Mechanism, a.Token = audit.MutualTLS, &audit.Token{ID: caller.Credential, Type: caller.Scheme}
	default:
		a.Mechanism, a.Token = audit.HTTPBearer, &audit.Token{ID: caller.Credential, Type: caller.Scheme, Subject: caller.Principal}
	}
	if who := caller.Identity; who != nil {
		// The principal is a pool; who of those in it asks, only the identity tells.
		a.Token.Issuer, a.Token.Subject, a.Token.Audience = who.Issuer, who.Subject, who.Audience
		if name, err := OrganizationCRN(caller.Org).Append("identity-provider", who.Provider); err == nil {
			if name, err = name.Append("identity", who.Subject); err == nil {
				a.Identity = name.String()
			}
		}
	}
	return a
}

// message is what the client is told of an error, or nothing where it is told
// no cause.
func message(err error) string {
	var e *api.Error
	if errors.As(err, &e) && len(e.Problems) > 0 {
		return e.Problems[0].Message
	}
	return ""
}

// recordFailure adds the event of a request of which nothing came: credentials
// that were not accepted, a denial, and a change that was refused. It returns
// once that is durable.
//
// What failed for the server's own reasons and may have been kept is left out,
// as is what was refused for coming too fast.
func (e *Engine) recordFailure(ctx context.Context, q *request, err error) {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	var refused *api.Error
	errors.As(err, &refused)
	forbidden := refused != nil && refused.Code.Status == http.StatusForbidden || q.decision != nil && !q.decision.Allowed
	if !forbidden && !unauthenticated(err) && !q.changes() {
		return
	}
	ev := e.of(ctx, q)
	if forbidden {
		var denial audit.Authorization
		if q.decision != nil {
			denial = *q.decision
		}
		denial.Allowed = false
		if refused != nil && refused.Code == api.AddressNotAllowed {
			denial.OperationGroup = q.group
		}
		ev.Authorization = &denial
	}
	if len(ev.Submitted) > maxRefusedBody {
		ev.Submitted = nil
	}
	e.RecordFailure(ctx, ev, err)
}

// RecordFailure is Record for an event of which nothing came, for the reason
// that the error gives to clients.
func (e *Engine) RecordFailure(ctx context.Context, ev *audit.Event, err error) {
	outcome := map[string]any{"status": http.StatusInternalServerError, "code": api.Internal.Name}
	var refused *api.Error
	if errors.As(err, &refused) {
		outcome = map[string]any{"status": refused.Code.Status, "code": refused.Code.Name, "message": message(err)}
	}
	ev.Failed = true
	if ev.Result, err = json.Marshal(outcome); err != nil {
		panic("engine: encode the outcome: " + err.Error()) // numbers and texts always encode
	}
	e.Record(ctx, ev)
}

// RecordRefusal adds the event of a request outside of the operations that was
// refused before it was looked at: for its credentials, where caller is nil, or
// for its address.
func (e *Engine) RecordRefusal(r *http.Request, method string, caller *authn.Caller, err error) {
	a := e.actor(r, caller, err)
	ev := &audit.Event{Organization: a.Organization, Method: method, Access: audit.Unknown, Actor: a}
	var refused *api.Error
	if errors.As(err, &refused) && refused.Code == api.AddressNotAllowed {
		ev.Authorization = &audit.Authorization{OperationGroup: operation.Management}
	}
	e.RecordFailure(r.Context(), ev, err)
}

// recordSuccess adds the event of a call that writes, and one when a credential
// has read something for the first time in a while from its address: an event
// for each read would make every read a write. A change has its event already.
func (e *Engine) recordSuccess(ctx context.Context, q *request) {
	switch {
	case q.changes() && q.call == nil, q.caller == nil && !q.changes():
		return
	case q.changes():
		e.Record(ctx, e.of(ctx, q))
		return
	}
	a := audit.ActorOf(ctx)
	key := presented{a.Credential, a.Client}
	if a.Token != nil {
		key.credential = a.Token.Type + " " + a.Principal
	}
	now := e.Now()
	if last, ok := e.audited.Get(key); ok && now.Sub(last) < credentialWindow {
		return
	}
	e.audited.Add(key, now)
	e.Record(ctx, e.of(ctx, q))
}

// of is an event about the request, which says nothing yet of what came of it.
func (e *Engine) of(ctx context.Context, q *request) *audit.Event {
	a := audit.ActorOf(ctx)
	ev := &audit.Event{
		Organization: a.Organization, Actor: a, Access: audit.ReadOnly,
		Method: q.method(), Authorization: q.decision,
	}
	switch {
	case q.changes() && q.call != nil:
		ev.Access = audit.Unknown
	case q.changes():
		ev.Access, ev.Submitted = audit.Modification, q.submitted()
	}
	switch {
	case q.call != nil:
		if a.Organization != "" {
			root := OrganizationCRN(a.Organization)
			ev.Resource, ev.Resources = root.String(), []audit.Resource{audit.ResourceOf(root, audit.TypeOf("organization"), a.Organization)}
		}
	case q.object != nil:
		ev.Resource, ev.Resources = q.object.ResourceName(), q.object.auditResources()
	case a.Organization != "":
		r := audit.Resource{Type: audit.TypeOf(q.kind.Name), Scope: []crn.Segment{{Key: "organization", Value: a.Organization}}}
		if len(q.id) <= maxIndexed {
			r.ID = q.id
		}
		ev.Resources = []audit.Resource{r}
	}
	return ev
}

// Record adds an event that belongs to no change, in a transaction of its own,
// and returns once it is durable: before the answer is sent. It fills in the
// event's ID, time and actor where they are not set. An event that cannot be
// written is logged, and changes nothing for the client.
func (e *Engine) Record(ctx context.Context, ev *audit.Event) {
	if ev.ID == "" {
		ev.ID = audit.NewID()
	}
	if ev.Time.IsZero() {
		ev.Time = e.Now().UTC()
	}
	if ev.Actor == nil {
		ev.Actor = audit.ActorOf(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := e.Store.Update(ctx, func(tx store.Tx) error { return tx.Append(ev.Entry()) }); err != nil {
		e.Log.ErrorContext(ctx, "an event could not be added to the audit log",
			"request_id", ev.Actor.RequestID, "method", ev.Method, "error", err)
	}
}
