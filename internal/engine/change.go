package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/store"
)

// create makes the object that the body describes.
func (e *Engine) create(ctx context.Context, q *request, w *Write) (*Answer, error) {
	k := q.kind
	doc, problems := merge(k.Fields, nil, q.body, "")
	w.New = &Object{Kind: k, Org: q.caller.Org, Parent: q.parent, Doc: doc}
	if k.ParentField != "" {
		w.New.Parent = doc.String(k.ParentField + ".id")
	}

	// No resource name could be made of what no object can have as its ID.
	if q.parent != "" && !possibleID(q.parent) {
		return nil, k.Parent.missing(q.parent)
	}
	more, err := e.locate(ctx, w)
	if err != nil {
		return nil, err
	}
	problems = append(problems, more...)

	// The question is asked of the scope that will hold the object, before
	// anything is said of the body: who may not create learns nothing by trying.
	p := k.permission(Create)
	on := []Guard{{Resource: p.Resource, On: crn.PatternOf(k.scope(w.New))}}
	if !q.decided(p.Operation, on, k.mayCreate(q.caller, w.New)) {
		return nil, denied(p.Operation, on)
	}
	if err := q.admit(k, Create, w.New); err != nil {
		return nil, err
	}
	if q.parent != "" {
		if _, err := w.Tx.Pin(ctx, w.New.Org, store.Key{Kind: k.Parent.StoreKey(), ID: q.parent}); err != nil {
			if errors.Is(err, store.ErrNotFound) {
				return nil, k.Parent.missing(q.parent)
			}
			return nil, err
		}
	}
	if err := e.insert(ctx, w, problems); err != nil {
		return nil, err
	}
	// Only now is it settled what the object is about.
	if err := q.admit(k, Read, w.New); err != nil {
		return nil, err
	}
	return &Answer{Status: q.op.Success, Location: w.New.Path(), Body: w.New.render(true)}, nil
}

// Insert creates an object for Weir itself, in a transaction that is under
// way: the same steps as the operation but for authorization. The document may
// hold read-only fields. It sets the ID of an object that has none; since a
// transaction's function may run more than once, each run has to make its own
// object.
func (e *Engine) Insert(ctx context.Context, tx store.Tx, o *Object) error {
	w := &Write{Engine: e, Tx: tx, Verb: Create, New: o, Now: e.Now().UTC()}
	problems, err := e.locate(ctx, w)
	if err != nil {
		return err
	}
	return e.insert(ctx, w, problems)
}

func (e *Engine) locate(ctx context.Context, w *Write) ([]api.Problem, error) {
	if hook := w.New.Kind.hooks().Locate; hook != nil {
		return hook(ctx, w)
	}
	return nil, nil
}

// Save writes an existing object that Weir itself changed, in a transaction
// that is under way and holds its lock. What changes in Private alone is no
// update to those who see the document.
func (e *Engine) Save(ctx context.Context, tx store.Tx, o *Object) error {
	return e.save(ctx, &Write{Engine: e, Tx: tx, Verb: Update, New: o, Now: e.Now().UTC()})
}

func (e *Engine) save(ctx context.Context, w *Write) error {
	o := w.New
	before, err := e.before(o)
	if err != nil {
		return err
	}
	if !bytes.Equal(o.as(o.Kind.stored()).render(false), o.stored) {
		o.Updated = w.Now
	}
	if err := e.write(ctx, w, before, o); err != nil {
		return err
	}
	return e.tellUsages(ctx, w.Tx, o.Org, before, o)
}

// before is a changed object as it was read, where that matters: to quotas, and
// to what it referred to. Else nobody looks into it.
func (e *Engine) before(o *Object) (*Object, error) {
	if k := o.Kind.stored(); len(k.Quotas) == 0 && !e.users[k] {
		return o, nil
	}
	return o.Kind.Decode(&store.Row{Key: o.Key(), Org: o.Org, Parent: o.Parent, Body: o.stored})
}

// Lock reads an object that Weir itself is about to change, or answers
// store.ErrNotFound.
func (e *Engine) Lock(ctx context.Context, tx store.Tx, org string, k *Kind, id string) (*Object, error) {
	row, err := tx.Lock(ctx, org, store.Key{Kind: k.StoreKey(), ID: id})
	if err != nil {
		return nil, err
	}
	return k.Decode(row)
}

func (e *Engine) insert(ctx context.Context, w *Write, problems []api.Problem) error {
	o := w.New
	o.Created, o.Updated = w.Now, w.Now
	given := o.ID != ""
	for {
		if !given {
			o.ID = o.Kind.NewID()
		}
		if err := e.settle(ctx, w, problems); err != nil {
			return err
		}
		err := e.write(ctx, w, nil, o)
		var taken *store.ErrTaken
		switch {
		case errors.As(err, &taken) && taken.Name == "" && !given:
			continue // a random ID was used before: draw another one
		case errors.As(err, &taken):
			return e.conflict(ctx, w, taken)
		case err != nil:
			return err
		}
		if err := e.tellUsages(ctx, w.Tx, o.Org, nil, o); err != nil {
			return err
		}
		return e.after(ctx, w)
	}
}

// mayCreate asks whether the caller may make the object where it is to be.
func (k *Kind) mayCreate(caller *authn.Caller, o *Object) bool {
	if p := k.CreateOn; p != nil {
		return authz.Decide(caller.Subject, authz.Question{Operation: p.Operation, Resource: p.Resource, On: crn.PatternOf(k.scope(o))})
	}
	return k.allows(caller, k.asks(Create), Create, o)
}

// update changes what the body names, or does what an action says.
func (e *Engine) update(ctx context.Context, q *request, w *Write) (*Answer, error) {
	old, row, err := e.load(ctx, w.Tx.Lock, q)
	if err != nil {
		return nil, err
	}
	if err := e.authorize(q, old, q.asks()); err != nil {
		return nil, err
	}
	w.Old, w.New = old, old.clone()
	problems, err := q.apply(ctx, w)
	if err != nil {
		return nil, err
	}
	if err := e.settle(ctx, w, problems); err != nil {
		return nil, err
	}
	// A request that changes nothing leaves the object as it is, updated_at
	// included, so that repeating a request is harmless.
	body := w.New.render(false)
	if string(body) == string(row.Body) && string(w.New.Private) == string(old.Private) {
		return q.answer(body), w.Tx.Append(e.change(ctx, w, body).Entry())
	}
	w.New.Updated = w.Now
	var taken *store.ErrTaken
	switch err := e.write(ctx, w, old, w.New); {
	case errors.As(err, &taken):
		return nil, e.conflict(ctx, w, taken)
	case err != nil:
		return nil, err
	}
	body = w.New.stored
	if err := e.tellUsages(ctx, w.Tx, w.New.Org, old, w.New); err != nil {
		return nil, err
	}
	if err := e.after(ctx, w); err != nil {
		return nil, err
	}
	if err := q.admit(q.kind, Read, w.New); err != nil {
		return nil, err
	}
	return q.answer(body), nil
}

// apply puts what the body says into w.New.
func (q *request) apply(ctx context.Context, w *Write) ([]api.Problem, error) {
	if q.action != nil {
		body, problems := merge(q.action.Fields, nil, q.body, "")
		if len(problems) > 0 {
			return problems, nil
		}
		return nil, q.action.Apply(ctx, w, body)
	}
	base := w.New.Doc // a copy: what is set in the result must not show in w.Old
	if q.op.Method == http.MethodPut {
		base = replaceable(q.kind.Fields, w.New.Doc)
	}
	var problems []api.Problem
	w.New.Doc, problems = merge(q.kind.Fields, base, q.body, "")
	return problems, nil
}

// answer sends the body, unless the operation answers without one.
func (q *request) answer(body []byte) *Answer {
	if q.op.Success == http.StatusNoContent {
		body = nil
	}
	return &Answer{Status: q.op.Success, Body: body}
}

// replaceable keeps of a document what a PUT does not replace: what is
// read-only or immutable.
func replaceable(fields []Field, old Doc) Doc {
	d := Doc{}
	for i := range fields {
		f := &fields[i]
		v, ok := old[f.Name]
		switch inner, _ := v.(Doc); {
		case !ok:
		case f.ReadOnly || f.Immutable:
			d[f.Name] = v
		case f.Type == Structure:
			if kept := replaceable(f.Fields, inner); len(kept) > 0 {
				d[f.Name] = kept
			}
		}
	}
	return d
}

// settle validates the new object, resolves its references and lets the kind
// fill in the rest. Problems found before are reported together with its own.
func (e *Engine) settle(ctx context.Context, w *Write, problems []api.Problem) error {
	k := w.New.Kind
	if k.hooks().Validate != nil {
		for _, p := range k.hooks().Validate(w) {
			// One entry for each field: what is wrong with it in general says more.
			if !slices.ContainsFunc(problems, func(known api.Problem) bool { return known.Pointer == p.Pointer }) {
				problems = append(problems, p)
			}
		}
	}
	unresolved, err := e.resolve(ctx, w)
	if err != nil {
		return err
	}
	if problems = append(problems, unresolved...); len(problems) > 0 {
		return api.Invalid(problems...)
	}
	if k.hooks().BeforeWrite != nil {
		return k.hooks().BeforeWrite(ctx, w)
	}
	return nil
}

func (e *Engine) after(ctx context.Context, w *Write) error {
	if hook := w.New.Kind.hooks().AfterWrite; hook != nil {
		return hook(ctx, w)
	}
	return nil
}

// delete ends the object and what depends on it.
func (e *Engine) delete(ctx context.Context, q *request, w *Write) (*Answer, error) {
	old, _, err := e.load(ctx, w.Tx.Lock, q)
	if err != nil {
		return nil, err
	}
	if err := e.authorize(q, old, q.asks()); err != nil {
		return nil, err
	}
	w.Old = old
	if retire := q.kind.hooks().Retire; retire != nil {
		w.New = old.clone()
		if err := retire(ctx, w); err != nil {
			return nil, err
		}
		if err := e.save(ctx, w); err != nil {
			return nil, err
		}
		return q.answer(w.New.render(false)), nil
	}
	if err := e.remove(ctx, w, old); err != nil {
		return nil, err
	}
	return q.answer(old.render(false)), nil
}

// Remove deletes a locked object with everything that it contains and all
// that refers to it and is to go with it. A reference that restricts, from
// something that stays, refuses the whole deletion with the name of who refers.
func (e *Engine) Remove(ctx context.Context, tx store.Tx, o *Object) error {
	return e.remove(ctx, &Write{Engine: e, Tx: tx, Verb: Delete, Now: e.Now().UTC()}, o)
}

func (e *Engine) remove(ctx context.Context, cause *Write, o *Object) error {
	doomed, err := e.doomed(ctx, cause, o)
	if err != nil {
		return err
	}
	for _, d := range doomed {
		w := *cause
		w.Old, w.New = d, nil
		if hook := d.Kind.hooks().BeforeDelete; hook != nil {
			if err := hook(ctx, &w); err != nil {
				return err
			}
		}
		d.Deleted = cause.Now
		if err := e.write(ctx, &w, d, nil); err != nil {
			return err
		}
	}
	for _, d := range doomed {
		if err := e.tellUsages(ctx, cause.Tx, d.Org, d, nil); err != nil {
			return err
		}
	}
	gone := map[*Kind][]*Object{}
	for _, d := range doomed {
		gone[d.Kind] = append(gone[d.Kind], d)
	}
	for k, objects := range gone {
		if k.hooks().AfterDelete == nil {
			continue
		}
		if err := k.hooks().AfterDelete(ctx, cause, objects); err != nil {
			return err
		}
	}
	return nil
}

// doomed returns the object and all that goes with it, locked, in the order in
// which one leads to the other.
func (e *Engine) doomed(ctx context.Context, cause *Write, o *Object) ([]*Object, error) {
	tx := cause.Tx
	found := map[store.Key]bool{o.Key(): true}
	out := []*Object{o}
	type restriction struct{ on, by *Object }
	var restricted []restriction
	for i := 0; i < len(out); i++ {
		on := out[i]
		referrers, err := tx.Referrers(ctx, on.Key(), maxReferrers+1)
		if err != nil {
			return nil, err
		}
		if len(referrers) > maxReferrers {
			return nil, api.New(api.InUse, fmt.Sprintf("More than %d objects refer to the %s '%s'; delete them first", maxReferrers, on.Kind.Name, on.ID))
		}
		for _, r := range referrers {
			if found[r.Key] {
				continue
			}
			by, err := e.referrer(ctx, tx, o.Org, r)
			if err != nil {
				return nil, err
			}
			switch {
			case by == nil:
			case by.onDelete(r.Field) == Restrict:
				restricted = append(restricted, restriction{on, by})
			default:
				found[r.Key] = true
				out = append(out, by)
			}
		}
	}
	for _, r := range restricted {
		if !found[r.by.Key()] {
			return nil, inUse(cause, r.on, r.by)
		}
	}
	return out, nil
}

// maxReferrers bounds what one object can take along in one transaction.
const maxReferrers = 100_000

// referrer locks and reads what refers to an object, or returns nil when it is
// gone meanwhile.
func (e *Engine) referrer(ctx context.Context, tx store.Tx, org string, r store.Referrer) (*Object, error) {
	k := e.kinds[r.Kind]
	if k == nil {
		return nil, fmt.Errorf("engine: %s %s refers to another object and has no definition", r.Kind, r.ID)
	}
	o, err := e.Lock(ctx, tx, org, k, r.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return o, err
}

// onDelete says what becomes of the object when what the field refers to goes.
func (o *Object) onDelete(field string) OnDelete {
	if field == store.FieldParent || field == o.Kind.ParentField {
		return Cascade
	}
	if f := o.Kind.field(field); f != nil {
		if f.Type == Array {
			f = f.Items
		}
		if f.To != nil {
			return f.To.OnDelete
		}
	}
	if o.Kind.Links != nil {
		for _, l := range o.Kind.Links(o) {
			if l.Field == field {
				return l.OnDelete
			}
		}
	}
	return Restrict
}

// inUse names who refers, unless that is hidden from the caller.
func inUse(w *Write, o, by *Object) error {
	if w.Caller != nil && !by.Kind.VisibleTo(w.Caller, by) {
		return api.New(api.InUse, o.Kind.InUse+fmt.Sprintf("The %s '%s' is used by something that you may not know of", o.Kind.Name, o.ID))
	}
	e := api.New(api.InUse, o.Kind.InUse+fmt.Sprintf("The %s '%s' is used by %s", o.Kind.Name, o.ID, by.ResourceName()))
	e.Location = by.Path()
	return e
}

// conflict reports that another object has what must be unique, and where it
// is, unless that is hidden from the caller.
func (e *Engine) conflict(ctx context.Context, w *Write, taken *store.ErrTaken) error {
	o, k := w.New, w.New.Kind.stored()
	message := k.NameTaken
	if message == "" || taken.Name == "" {
		message = fmt.Sprintf("Another %s already has this identity", k.Name)
	}
	problem := api.Problem{Message: message}
	if k.UniqueName != "" && taken.Name != "" {
		problem.Pointer = pointer(k.UniqueName)
	}
	conflict := &api.Error{Code: api.AlreadyExists, Problems: []api.Problem{problem}}
	row, err := w.Tx.Get(ctx, o.Org, taken.By)
	if errors.Is(err, store.ErrNotFound) {
		return conflict // gone meanwhile, or its ID alone is taken
	}
	if err != nil {
		return err
	}
	other, err := o.Kind.Decode(row)
	if err != nil {
		return err
	}
	if w.Caller == nil || o.Kind.VisibleTo(w.Caller, other) {
		conflict.Location = other.Path()
	}
	return conflict
}

// row is the object as it is stored.
func (o *Object) row() *store.Row {
	o = o.as(o.Kind.stored())
	r := &store.Row{
		Key: o.Key(), Org: o.Org, Parent: o.Parent,
		Created: o.Created, Updated: o.Updated,
		Body: o.render(false), Private: o.Private,
	}
	if o.Kind.UniqueName != "" {
		r.Name = o.Doc.String(o.Kind.UniqueName)
	}
	if o.Kind.UniqueFold {
		r.Name = FoldASCII(r.Name)
	}
	if o.Kind.UniqueKey != nil {
		r.Name = o.Kind.UniqueKey(o)
	}
	return r
}

// as is the object in another version of its kind.
func (o *Object) as(k *Kind) *Object {
	if o.Kind == k {
		return o
	}
	other := *o
	other.Kind = k
	return &other
}

// scope is the CRN that a new object will stand below.
func (k *Kind) scope(o *Object) crn.CRN {
	root := OrganizationCRN(o.Org)
	switch {
	case k.Under != nil:
		return k.Under(o)
	case k.Parent != nil && o.Parent != "":
		// A parent that cannot be named does not exist; whoever may make such
		// objects anywhere is told so.
		if name, err := k.Parent.scope(&Object{Org: o.Org}).Append(k.Parent.Segment, o.Parent); err == nil {
			return name
		}
	}
	return root
}

// pointer turns a dotted path into a JSON pointer.
func pointer(path string) string { return "/" + strings.ReplaceAll(path, ".", "/") }
