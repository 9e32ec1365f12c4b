package engine

import (
	"context"

	"github.com/weirhq/weir/internal/audit"
)

// write makes the change from before to after, counts it, and appends the event
// that tells of it to the audit log. Nil for before is an insert, nil for after
// a deletion. Every change of every object comes through here, so that none is
// forgotten.
func (e *Engine) write(ctx context.Context, w *Write, before, after *Object) error {
	var body []byte
	var err error
	o := after
	if o == nil {
		o = before
	}
	key := o.Key()
	if after == nil {
		err = w.Tx.Delete(ctx, key, w.Now)
	} else {
		row := after.row()
		if body = row.Body; before == nil {
			err = w.Tx.Insert(ctx, row, e.entries(after))
		} else {
			err = w.Tx.Update(ctx, row, e.entries(after))
		}
	}
	if err != nil {
		return err
	}
	if before, after := before.shares(), after.shares(); len(before)+len(after) > 0 {
		w.Tx.Tally(key, before, after)
	}
	if after != nil {
		after.stored = body
	}
	return w.Tx.Append(e.change(ctx, w, body).Entry())
}

// change is the event of a change that succeeds; body is the object as it is
// stored afterwards, nil where it is gone.
func (e *Engine) change(ctx context.Context, w *Write, body []byte) *audit.Event {
	o := w.New
	if o == nil {
		o = w.Old
	}
	ev := &audit.Event{
		ID: audit.NewID(), Time: w.Now, Organization: o.Org,
		Method: o.Kind.method(w.Verb, nil), Access: audit.Modification,
		Resource: o.ResourceName(), Resources: o.auditResources(),
		Actor: audit.ActorOf(ctx), Result: body,
	}
	if q := w.request; q != nil {
		ev.Authorization = q.decision
		if w.New != nil {
			// What goes along with it was not in the request.
			ev.Method, ev.Submitted = o.Kind.method(w.Verb, q.action), q.submitted()
		}
	}
	return ev
}
