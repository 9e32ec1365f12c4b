package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/store"
)

// environmentSegment is the key of environments in CRNs. What lies below one is
// under its IP filters.
const environmentSegment = "environment"

// admitOrganization refuses a caller whom the IP filters of its organization
// keep out of the operation. Those of environments are asked about where it is
// known what the request is about.
func (e *Engine) admitOrganization(ctx context.Context, q *request) error {
	var err error
	if q.filters, err = e.Filters(ctx, q.caller.Org); err != nil {
		return err
	}
	q.client, q.group = e.Client(q.Request), q.op.OperationGroup()
	if !q.filters.Allows("", q.group, q.client) {
		return keptOut("the organization", q.client)
	}
	return nil
}

// CheckAddress refuses a request from an address that the IP filters of the
// organization keep out of the operations of the group. It is for what finds
// out by itself which organization a request is about: for all operations with
// credentials the engine has asked.
func (e *Engine) CheckAddress(r *http.Request, org, group string) error {
	table, err := e.Filters(r.Context(), org)
	if err != nil {
		return err
	}
	if client := e.Client(r); !table.Allows("", group, client) {
		return keptOut("the organization", client)
	}
	return nil
}

// admit refuses a caller whom the IP filters of an environment keep out that
// the object is in or is about. It is asked together with permission, so that
// nobody learns by it of what is hidden.
func (q *request) admit(k *Kind, v Verb, o *Object) error {
	guards := k.guards(v, o)
	if v != Create {
		return q.admitToObject(k, guards, o)
	}
	return q.admitToAll(guards)
}

// admitToObject is admit for what is there, whose guards are known.
func (q *request) admitToObject(k *Kind, guards []Guard, o *Object) error {
	if k.Guards != nil { // else the object's own name is what guards it
		if err := q.admitTo(crn.PatternOf(k.CRN(o))); err != nil {
			return err
		}
	}
	return q.admitToAll(guards)
}

func (q *request) admitToAll(guards []Guard) error {
	for _, g := range guards {
		if err := q.admitTo(g.On); err != nil {
			return err
		}
	}
	return nil
}

// admitTo is admit for a name. A pattern of several environments is about the
// organization.
func (q *request) admitTo(on crn.Pattern) error {
	environment, ok := on.Value(environmentSegment)
	if !ok || on.Wildcard() && on.Last().Key == environmentSegment {
		return nil
	}
	if !q.filters.Allows(environment, q.group, q.client) {
		return keptOut("the environment '"+environment+"'", q.client)
	}
	return nil
}

// keptOut is the answer to a caller from an address that is not let in. A
// client takes a 403 for an object that is gone and forgets what it manages,
// unless the answer has the words "invalid API key".
func keptOut(of string, client netip.Addr) error {
	return api.New(api.AddressNotAllowed, fmt.Sprintf(
		"The IP filters of %s do not allow requests from IP address %s; an invalid API key is not the reason", of, AddressText(client)))
}

// AddressText writes a client's address for people: "unknown" where nobody
// knows it.
func AddressText(client netip.Addr) string {
	if !client.IsValid() {
		return "unknown"
	}
	return client.String()
}

// keptFrom says, for the store, what of the kind a list leaves out because it
// lies in an environment whose IP filters keep the caller out.
func (q *request) keptFrom() []store.Condition {
	denied := q.filters.Denied(q.group, q.client)
	if len(denied) == 0 {
		return nil
	}
	if q.kind.Segment == environmentSegment {
		return []store.Condition{{Field: store.FieldID, Values: denied}}
	}
	names := make([]string, len(denied))
	for i, environment := range denied {
		names[i] = crn.Must(OrganizationCRN(q.caller.Org).Append(environmentSegment, environment)).String()
	}
	var out []store.Condition
	for _, resource := range q.kind.guardedAs() {
		out = append(out, store.Condition{Field: guardField(resource), Values: names})
	}
	return out
}

// admitToParents refuses a list of what is below environments, named by a
// filter, of which the IP filters of one keep the caller out. Where that one is
// hidden the list is empty, as below an environment that does not exist.
func (e *Engine) admitToParents(ctx context.Context, q *request, parents []string) error {
	k := q.kind.Parent
	if k == nil || k.Segment != environmentSegment {
		return nil
	}
	for _, id := range q.filters.Denied(q.group, q.client) {
		if !slices.Contains(parents, id) {
			continue
		}
		row, err := e.Store.Get(ctx, q.caller.Org, store.Key{Kind: k.Key(), ID: id})
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		o, err := k.Decode(row)
		if err != nil {
			return err
		}
		if k.VisibleTo(q.caller, o) {
			return q.admit(k, Read, o)
		}
	}
	return nil
}
