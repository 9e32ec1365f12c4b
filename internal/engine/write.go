package engine

import (
	"context"

	"github.com/weirhq/weir/internal/audit"
)

// way is how a change reaches the row of an object.
type way int

const (
	insert way = iota
	replace
	remove
)

// write stores w.New, or ends w.Old, and appends the event that tells of it to
// the audit log. Every change of every object comes through here, so that none
// is without its event. It returns the document as it is stored.
func (e *Engine) write(ctx context.Context, w *Write, how way) (body []byte, err error) {
	switch how {
	case remove:
		err = w.Tx.Delete(ctx, w.Old.Key(), w.Now)
	default:
		row := w.New.row()
		body = row.Body
		if how == insert {
			err = w.Tx.Insert(ctx, row, e.entries(w.New))
		} else {
			err = w.Tx.Update(ctx, row, e.entries(w.New))
		}
	}
	if err != nil {
		return nil, err
	}
	return body, w.Tx.Append(e.change(ctx, w, body).Entry())
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
