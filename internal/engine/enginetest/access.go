package enginetest

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
)

// each calls f for every operation of the kind, with the path of the
// collection or of the object.
func (r *tester) each(t *testing.T, parent, id string, f func(verb engine.Verb, op operation.Operation, path string)) {
	t.Helper()
	for _, verb := range []engine.Verb{engine.List, engine.Create, engine.Read, engine.Update, engine.Delete} {
		if !r.has(verb) {
			continue
		}
		path := r.collection(parent)
		if verb != engine.List && verb != engine.Create {
			path = r.item(parent, id)
		}
		f(verb, r.op(t, verb), path)
	}
}

// payload is a body for the verb, or nil.
func (r *tester) payload(t *testing.T, verb engine.Verb, c *Client) any {
	t.Helper()
	if verb != engine.Create && verb != engine.Update {
		return nil
	}
	return r.body(t, c)
}

// testMethods tries every method that the paths do not have.
func (r *tester) testMethods(t *testing.T) {
	id := r.object(t, r.admin)
	for path, template := range map[string]string{r.collection(r.parent): r.k.Path, r.item(r.parent, id): r.k.Path + "/{id}"} {
		allow := []string{http.MethodOptions}
		for _, op := range operation.All() {
			if op.Path == template {
				allow = append(allow, op.Method)
				if op.Method == http.MethodGet {
					allow = append(allow, http.MethodHead)
				}
			}
		}
		slices.Sort(allow)
		if len(allow) == 1 {
			continue // the API has no such path
		}
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "PROPFIND"} {
			if slices.Contains(allow, method) {
				continue
			}
			for _, c := range []*Client{r.admin, r.nobody, r.Client(Caller{})} {
				a := c.Do(t, method, path, nil).WantCode(t, api.MethodNotAllowed)
				if got := strings.Join(allow, ", "); a.Header.Get("Allow") != got {
					t.Errorf("%s %s: Allow is %q, want %q", method, path, a.Header.Get("Allow"), got)
				}
			}
		}
	}
}

func (r *tester) testUnauthenticated(t *testing.T) {
	id := r.object(t, r.admin)
	strangers := []Caller{
		{},
		{Key: r.Admin.Key, Secret: "wrong"},
		{Key: r.Admin.Key, Secret: ""},
		{Key: r.Admin.Key, Secret: r.Other.Secret},
		{Key: "NOSUCHKEY0000000", Secret: r.Admin.Secret},
		{Key: strings.ToLower(r.Admin.Key), Secret: r.Admin.Secret},
		{Key: "\x00", Secret: "\x00"},
		{Key: "\xff", Secret: "x"},
		{Key: strings.Repeat("K", 1000), Secret: "x"},
		{Token: r.Admin.Token + "x"},
		{Token: strings.ToLower(r.Admin.Token + "x")},
		{Key: r.Admin.Principal, Secret: r.Admin.Token},
	}
	r.each(t, r.parent, id, func(verb engine.Verb, op operation.Operation, path string) {
		if len(op.Credentials) == 0 {
			return
		}
		for _, s := range strangers {
			r.Client(s).Do(t, op.Method, path, r.payload(t, verb, r.admin)).WantCode(t, api.Unauthenticated)
		}
		for _, header := range []string{"Bearer " + r.Admin.Secret, "Basic", "Basic !!!", "Basic " + r.Admin.Key, "Negotiate x", " "} {
			req := r.Client(Caller{}).Request(t, op.Method, path, r.payload(t, verb, r.admin))
			req.Header.Set("Authorization", header)
			r.admin.Send(t, req).WantCode(t, api.Unauthenticated)
		}
	})
	if r.has(engine.Read) {
		r.read(t, id) // nothing of all this deleted it
	}
}

// testNoRole is about callers without any role: they see nothing, and may do
// nothing.
func (r *tester) testNoRole(t *testing.T) {
	id := r.object(t, r.admin)
	before := r.hidden(t, r.admin, id)
	for _, c := range r.roleless() {
		r.each(t, r.parent, id, func(verb engine.Verb, op operation.Operation, path string) {
			switch verb {
			case engine.List:
				if r.parent != "" { // the parent is hidden, too
					c.Do(t, op.Method, path, nil).WantCode(t, missing(r.k.Parent, r.parent))
					return
				}
				for _, p := range r.walk(t, c, r.at(t, c, r.parent, nil)) {
					if slices.Contains(p.ids, id) {
						t.Errorf("a caller without a role sees %s in the list", id)
					}
					if p.total > len(p.ids) {
						t.Errorf("a caller without a role learns that there are %d objects", p.total)
					}
				}
			case engine.Create:
				c.Do(t, op.Method, path, r.body(t, r.admin)).WantCode(t, api.UserUnauthorized)
				// Who may not create learns nothing of what a body must be.
				c.Do(t, op.Method, path, map[string]any{}).WantCode(t, api.UserUnauthorized)
			default:
				c.Do(t, op.Method, path, r.payload(t, verb, r.admin)).WantCode(t, missing(r.k, id))
			}
		})
	}
	r.checkUnchanged(t, id, before)
}

// hidden is the object as its own organization sees it, nil without Read.
func (r *tester) hidden(t *testing.T, c *Client, id string) []byte {
	t.Helper()
	if !r.has(engine.Read) {
		return nil
	}
	return c.Do(t, http.MethodGet, r.item(r.parent, id), nil).Want(t, http.StatusOK).Raw
}

func (r *tester) checkUnchanged(t *testing.T, id string, before []byte) {
	t.Helper()
	if after := r.hidden(t, r.admin, id); !bytes.Equal(before, after) {
		t.Errorf("the object was changed by who may not:\n%s\n%s", before, after)
	}
}

// asks is the operation that permission for the verb is asked for.
func (r *tester) asks(v engine.Verb) string {
	if operation := r.k.Asks[v]; operation != "" {
		return operation
	}
	return map[engine.Verb]string{
		engine.List: "Describe", engine.Read: "Describe", engine.Create: "Create", engine.Update: "Alter", engine.Delete: "Delete",
	}[v]
}

// testOwner is about kinds whose objects belong to a principal, who needs no
// role for some of what can be done with them.
func (r *tester) testOwner(t *testing.T) {
	for _, c := range r.roleless() {
		resources := r.k.GuardedAs
		if r.k.Guards == nil {
			resources = []string{r.k.Resource}
		}
		may := func(v engine.Verb) bool { return authz.OwnerMay(c.Principal, r.asks(v), resources) }
		if id := r.owned(t, c, may(engine.Create)); id != "" && may(engine.Read) {
			r.checkOwner(t, c, id, may)
		}
	}
}

// owned returns the ID of an object that belongs to the caller, or "" where
// none can be made without giving the caller a role.
func (r *tester) owned(t *testing.T, c *Client, mayCreate bool) string {
	t.Helper()
	if r.k.OwnedBy == store.FieldID {
		if !r.k.ID.Has(c.Principal) {
			return ""
		}
		return c.Principal
	}
	f := field(r.k.Fields, r.k.OwnedBy)
	if f == nil || f.Type != engine.Reference || f.ReadOnly || !r.has(engine.Create) {
		return ""
	}
	body := with(r.body(t, r.admin), r.k.OwnedBy, map[string]any{"id": c.Principal})
	a := c.Do(t, http.MethodPost, r.collection(r.parent), body)
	if mayCreate {
		return a.Want(t, r.op(t, engine.Create).Success).ID()
	}
	a.WantCode(t, api.UserUnauthorized)
	return r.create(t, body).ID()
}

func (r *tester) checkOwner(t *testing.T, c *Client, id string, may func(engine.Verb) bool) {
	t.Helper()
	foreign := r.object(t, r.admin)
	path := r.item(r.parent, id)
	c.Do(t, http.MethodGet, path, nil).Want(t, r.op(t, engine.Read).Success)
	if got := r.ids(t, c, r.parent, nil); !slices.Contains(got, id) || slices.Contains(got, foreign) {
		t.Errorf("%s sees %q, and not %s alone", c.Principal, got, id)
	}
	if f := field(r.k.Fields, r.k.OwnedBy); f != nil && f.Filter != engine.NotFiltered {
		if got := r.ids(t, c, r.parent, url.Values{f.Parameter(r.k.OwnedBy): {r.Admin.Principal}}); len(got) != 0 {
			t.Errorf("filtering by another owner shows %q", got)
		}
	}
	if r.has(engine.Update) {
		op := r.op(t, engine.Update)
		if a := c.Do(t, op.Method, path, map[string]any{}); may(engine.Update) {
			a.Want(t, op.Success)
		} else {
			a.WantCode(t, api.UserUnauthorized)
		}
	}
	switch {
	case !r.has(engine.Delete):
	case !may(engine.Delete):
		c.Do(t, http.MethodDelete, path, nil).WantCode(t, api.UserUnauthorized)
		c.Do(t, http.MethodGet, path, nil).Want(t, r.op(t, engine.Read).Success)
	case id != c.Principal:
		c.Do(t, http.MethodDelete, path, nil).Want(t, r.op(t, engine.Delete).Success)
		c.Do(t, http.MethodGet, path, nil).WantCode(t, missing(r.k, id))
	}
}

// testActions tries the operations beside the five verbs as who may not, and
// on what is not there. What they do is for the kind's own tests.
func (r *tester) testActions(t *testing.T) {
	for _, action := range r.k.Actions {
		op, ok := operation.ByID(action.Operation)
		if !ok {
			t.Fatalf("there is no operation %s", action.Operation)
		}
		id := r.object(t, r.admin)
		before := r.hidden(t, r.admin, id)
		at := func(id string) string { return strings.ReplaceAll(op.Path, "{id}", url.PathEscape(id)) }
		for _, c := range append(r.roleless(), r.other) {
			c.Do(t, op.Method, at(id), map[string]any{}).WantCode(t, missing(r.k, id))
		}
		r.Client(Caller{}).Do(t, op.Method, at(id), map[string]any{}).WantCode(t, api.Unauthenticated)
		for _, nowhere := range strange {
			r.admin.Do(t, op.Method, at(nowhere), map[string]any{}).WantCode(t, missing(r.k, nowhere))
		}
		var required []string
		for _, p := range settable(action.Fields) {
			if p.Required {
				required = append(required, p.pointer())
			}
			for _, w := range wrong(p.Field) {
				a := r.admin.Do(t, op.Method, at(id), with(map[string]any{}, p.path, w.value)).WantCode(t, api.ValidationFailed)
				if !slices.Contains(a.sources("pointer"), p.pointer()+w.suffix) {
					t.Errorf("%s: pointers are %q", op.ID, a.sources("pointer"))
				}
			}
		}
		if len(required) > 0 {
			r.admin.Do(t, op.Method, at(id), map[string]any{"unknown": 1}).WantInvalid(t, required...)
		}
		r.checkUnchanged(t, id, before)
	}
}

// testChecks tries the operations that look at an object as who may not, and on
// what is not there. What they find is for the kind's own tests.
func (r *tester) testChecks(t *testing.T) {
	for _, check := range r.k.Checks {
		op, ok := operation.ByID(check.Operation)
		if !ok {
			t.Fatalf("there is no operation %s", check.Operation)
		}
		id := r.object(t, r.admin)
		before := r.hidden(t, r.admin, id)
		naming := func(id string) map[string]any {
			body := map[string]any{"id": id}
			if r.k.ParentField != "" {
				body[r.k.ParentField] = map[string]any{"id": r.within}
			}
			return body
		}
		for _, c := range []*Client{r.nobody, r.member, r.other} {
			c.Do(t, op.Method, op.Path, naming(id)).WantCode(t, missing(r.k, id))
		}
		r.Client(Caller{}).Do(t, op.Method, op.Path, naming(id)).WantCode(t, api.Unauthenticated)
		for _, nowhere := range strange {
			if utf8.ValidString(nowhere) && nowhere != "\x00" && len(nowhere) <= engine.MaxID {
				r.admin.Do(t, op.Method, op.Path, naming(nowhere)).WantCode(t, missing(r.k, nowhere))
			}
		}
		if r.k.ParentField != "" {
			elsewhere := naming(id)
			elsewhere[r.k.ParentField] = map[string]any{"id": r.k.Parent.ID.New()}
			r.admin.Do(t, op.Method, op.Path, elsewhere).WantCode(t, missing(r.k, id))
		}
		for _, p := range settable(check.Fields) {
			for _, w := range wrong(p.Field) {
				a := r.admin.Do(t, op.Method, op.Path, with(naming(id), p.path, w.value)).WantCode(t, api.ValidationFailed)
				if !slices.Contains(a.sources("pointer"), p.pointer()+w.suffix) {
					t.Errorf("%s: pointers are %q", op.ID, a.sources("pointer"))
				}
			}
		}
		for name := range naming(id) {
			r.admin.Do(t, op.Method, op.Path, without(naming(id), name)).WantInvalid(t, "/"+name)
		}
		r.admin.Do(t, op.Method, op.Path, "{").WantCode(t, api.MalformedRequest)
		r.checkUnchanged(t, id, before)
	}
}

// testWall is about the administrator of another organization, who cannot see,
// list, change or delete an object, nor learn that there is one.
func (r *tester) testWall(t *testing.T) {
	id := r.object(t, r.admin)
	before := r.hidden(t, r.admin, id)
	parent := r.parentOf(t, r.other)
	unknown := "zz-000000"
	if r.k.ID.Prefix != "" || r.k.ID.Length > 0 {
		unknown = r.k.ID.New()
	}
	r.each(t, parent, id, func(verb engine.Verb, op operation.Operation, path string) {
		switch verb {
		case engine.List:
			if r.k.Source == nil {
				r.wallList(t, parent, id)
			}
		case engine.Create:
			r.wallCreate(t, parent, id)
		default:
			if r.k.Source != nil {
				// What is computed can have the same ID in every organization.
				name := r.other.Do(t, op.Method, path, nil).Want(t, op.Success).Text("metadata.resource_name")
				if !strings.HasPrefix(name, "crn://"+crn.Authority+"/organization="+r.Other.Organization+"/") {
					t.Errorf("another organization reads %s", name)
				}
				return
			}
			body := r.payload(t, verb, r.other)
			a := r.other.Do(t, op.Method, path, body).WantCode(t, missing(r.k, id))
			b := r.other.Do(t, op.Method, r.item(parent, unknown), body)
			r.checkSameAnswer(t, a, id, b, unknown)
			if r.spec.Parent != nil {
				// Through the parent in the other organization it is no nearer.
				r.other.Do(t, op.Method, r.item(r.parent, id), body).WantCode(t, missing(r.k, id))
			}
		}
	})
	r.checkUnchanged(t, id, before)
}

// checkSameAnswer compares an answer about an object of another organization
// with one about an object that does not exist.
func (r *tester) checkSameAnswer(t *testing.T, a Answer, id string, b Answer, unknown string) {
	t.Helper()
	say := func(a Answer, id string) string {
		e := a.errors()
		if len(e) == 0 {
			return ""
		}
		detail, _ := e[0]["detail"].(string)
		return strings.ReplaceAll(detail, id, "ID")
	}
	if a.Status != b.Status || a.Code() != b.Code() || say(a, id) != say(b, unknown) || !slices.Equal(a.sources("pointer"), b.sources("pointer")) {
		t.Errorf("what is in another organization answers otherwise than what is nowhere:\n%s\n%s", a.Raw, b.Raw)
	}
	if got, want := a.Header.Get("Location"), ""; got != want {
		t.Errorf("the answer tells the Location %q", got)
	}
}

func (r *tester) wallList(t *testing.T, parent, id string) {
	t.Helper()
	if slices.Contains(r.ids(t, r.other, parent, nil), id) {
		t.Errorf("the list of another organization has %s", id)
	}
	object := r.shown(t, id)
	for _, p := range filterable(r.k.Fields, "") {
		v, _ := get(object.Body, p.path)
		if s, ok := filterValue(v); ok && slices.Contains(r.ids(t, r.other, parent, url.Values{p.parameter(): {s}}), id) {
			t.Errorf("%s=%s shows %s to another organization", p.parameter(), s, id)
		}
	}
	if r.spec.Parent != nil {
		r.other.Do(t, http.MethodGet, r.at(t, r.other, r.parent, nil), nil).WantCode(t, missing(r.k.Parent, r.parent))
	}
}

func (r *tester) wallCreate(t *testing.T, parent, id string) {
	t.Helper()
	success := r.op(t, engine.Create).Success
	if r.k.UniqueName != "" {
		name, _ := get(r.shown(t, id).Body, r.k.UniqueName)
		r.other.Do(t, http.MethodPost, r.collection(parent), with(r.body(t, r.other), r.k.UniqueName, name)).Want(t, success)
	}
	if r.spec.Parent != nil {
		r.other.Do(t, http.MethodPost, r.collection(r.parent), r.body(t, r.other)).WantCode(t, missing(r.k.Parent, r.parent))
	}
	theirs := r.body(t, r.admin)
	for _, p := range leaves(r.k.Fields) {
		list := p.Type == engine.Array && p.Items.Type == engine.Reference
		if p.Type != engine.Reference && !list {
			continue
		}
		to := p.To
		if list {
			to = p.Items.To
		}
		if to.Resolved || r.spec.Omit[p.path] != "" {
			continue
		}
		ref, _ := get(theirs, p.path)
		if items, ok := ref.([]any); ok && len(items) > 0 {
			ref = items[0]
		}
		foreign, _ := filterValue(ref)
		of := func(id string) any {
			if list {
				return []any{map[string]any{"id": id}}
			}
			return map[string]any{"id": id}
		}
		// An ID that nobody has, of the same shape.
		unknown := foreign[:len(foreign)-1] + "~"
		mine := r.body(t, r.other)
		a := r.other.Do(t, http.MethodPost, r.collection(parent), with(mine, p.path, of(foreign)))
		b := r.other.Do(t, http.MethodPost, r.collection(parent), with(mine, p.path, of(unknown)))
		a.WantCode(t, api.ValidationFailed)
		r.checkSameAnswer(t, a, foreign, b, unknown)
	}
}

// testParentParameter reads and deletes without the parameter that names the
// parent, and by another parent.
func (r *tester) testParentParameter(t *testing.T) {
	id := r.object(t, r.admin)
	for _, verb := range []engine.Verb{engine.Read, engine.Delete} {
		if !r.has(verb) {
			continue
		}
		op := r.op(t, verb)
		bare := r.collection(r.parent) + "/" + url.PathEscape(id)
		for _, path := range []string{bare, r.itemIn("", r.parent, id)} {
			r.admin.Do(t, op.Method, path, nil).WantParameter(t, api.InvalidParameter, r.k.ParentParameter)
		}
		for _, elsewhere := range append([]string{r.k.Parent.ID.New()}, strange...) {
			r.admin.Do(t, op.Method, r.itemIn(elsewhere, r.parent, id), nil).WantCode(t, missing(r.k, id))
		}
	}
	if r.has(engine.Read) {
		r.read(t, id) // nothing of all this deleted it
	}
}

// testParents is about kinds whose path or query names a parent.
func (r *tester) testParents(t *testing.T) {
	if r.k.ParentParameter != "" {
		r.testParentParameter(t)
	}
	if r.spec.Parent == nil {
		return
	}
	id := r.object(t, r.admin)
	elsewhere := r.spec.Parent(t, r.admin)
	if r.has(engine.List) && len(r.ids(t, r.admin, elsewhere, nil)) != 0 {
		t.Errorf("a new parent has objects")
	}
	for _, parent := range []string{"does-not-exist", r.k.Parent.ID.New()} {
		r.each(t, parent, id, func(verb engine.Verb, op operation.Operation, path string) {
			code := missing(r.k, id)
			if verb == engine.List || verb == engine.Create {
				code = missing(r.k.Parent, parent)
			}
			r.admin.Do(t, op.Method, path, r.payload(t, verb, r.admin)).WantCode(t, code)
		})
	}
	r.each(t, elsewhere, id, func(verb engine.Verb, op operation.Operation, path string) {
		if verb != engine.List && verb != engine.Create {
			r.admin.Do(t, op.Method, path, r.payload(t, verb, r.admin)).WantCode(t, missing(r.k, id))
		}
	})
}
