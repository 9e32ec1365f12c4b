package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

// collection is the path of the kind's list below a parent.
func (r *tester) collection(parent string) string {
	before, after, named := strings.Cut(r.k.Path, "{")
	if !named {
		return r.k.Path
	}
	_, after, _ = strings.Cut(after, "}")
	return before + url.PathEscape(parent) + after
}

func (r *tester) item(parent, id string) string {
	return r.itemIn(r.within, parent, id)
}

// itemIn is item for kinds with a ParentParameter, which it is the value of.
func (r *tester) itemIn(within, parent, id string) string {
	path := r.collection(parent) + "/" + url.PathEscape(id)
	if r.k.ParentParameter != "" {
		path += "?" + url.Values{r.k.ParentParameter: {within}}.Encode()
	}
	return path
}

// adding puts more into the query of a path.
func adding(path, query string) string {
	if strings.Contains(path, "?") {
		return path + "&" + query
	}
	return path + "?" + query
}

// parentOf is the parent of a caller's objects.
func (r *tester) parentOf(t *testing.T, c *Client) string {
	t.Helper()
	if c == r.admin || r.spec.Parent == nil {
		return r.parent
	}
	return r.spec.Parent(t, c)
}

// create makes an object of Admin's from the body, which must succeed.
func (r *tester) create(t *testing.T, body map[string]any) Answer {
	t.Helper()
	a := r.admin.Do(t, http.MethodPost, r.collection(r.parent), body).Want(t, r.op(t, engine.Create).Success)
	for _, p := range taken(r.k.Fields) {
		if _, there := get(a.Body, p.path); there && p.WriteOnly {
			t.Errorf("%s is never to be shown, and is: %s", p.path, a.Raw)
		}
	}
	return a
}

// object makes an object of the caller's and returns its ID.
func (r *tester) object(t *testing.T, c *Client) string {
	t.Helper()
	parent := r.parentOf(t, c)
	if !r.has(engine.Create) {
		return r.spec.Make(t, c, r.number())
	}
	a := c.Do(t, http.MethodPost, r.collection(parent), r.body(t, c)).Want(t, r.op(t, engine.Create).Success)
	return a.ID()
}

// read reads an object of Admin's, which must succeed.
func (r *tester) read(t *testing.T, id string) Answer {
	t.Helper()
	return r.admin.Do(t, http.MethodGet, r.item(r.parent, id), nil).Want(t, r.op(t, engine.Read).Success)
}

// missing is the code of an answer about an object that is not there.
func missing(k *engine.Kind, id string) *api.Code {
	if k.Missing != nil {
		return k.Missing(id).Code
	}
	return api.ResourceNotFound
}

func (r *tester) testCreate(t *testing.T) {
	full := r.body(t, r.admin)
	a := r.create(t, full)
	r.checkEnvelope(t, a)
	if got, want := a.Header.Get("Location"), a.Text("metadata.self"); got != want {
		t.Errorf("Location is %q, want the object's own link %q", got, want)
	}
	for _, p := range leaves(r.k.Fields) {
		sent, ok := get(full, p.path)
		answered, there := get(a.Body, p.path)
		if ok && (!there || !shows(p.Field, sent, answered)) {
			t.Errorf("%s was sent as %v and answered as %v", p.path, sent, answered)
		}
		if there {
			r.checkReference(t, p.Field, p.path, answered)
		}
	}
	small := minimal(r.k.Fields, r.body(t, r.admin))
	b := r.create(t, small)
	r.checkEnvelope(t, b)
	for _, p := range leaves(r.k.Fields) {
		answered, there := get(b.Body, p.path)
		if sent, ok := get(small, p.path); ok && !shows(p.Field, sent, answered) {
			t.Errorf("in a minimal body %s was sent as %v and answered as %v", p.path, sent, answered)
		}
		if there && answered == nil {
			t.Errorf("%s is null in an answer, where absent means no value", p.path)
		}
		if _, sent := get(small, p.path); !sent && p.Default != nil && !strings.Contains(p.path, ".") {
			if encoded := clone(map[string]any{"v": p.Default})["v"]; !reflect.DeepEqual(encoded, answered) {
				t.Errorf("%s defaults to %v, want %v", p.path, answered, encoded)
			}
		}
	}
	if a.ID() == b.ID() {
		t.Errorf("two objects have the ID %s", a.ID())
	}
	if !r.has(engine.Read) {
		return
	}
	for _, created := range []Answer{a, b} {
		again := r.read(t, created.ID())
		want := created.Raw
		for _, path := range ignored(r.k.Fields, "") {
			f := field(r.k.Fields, path)
			if !f.Once {
				continue
			}
			secret := created.Text(path)
			if secret == "" {
				t.Errorf("%s is not in the answer to create", path)
				continue
			}
			if bytes.Contains(again.Raw, []byte(secret)) {
				t.Errorf("%s is shown again: %s", path, again.Raw)
			}
			want = cut(want, f.Name, secret)
		}
		if !bytes.Equal(again.Raw, want) {
			t.Errorf("read answers\n%s\nand create had answered\n%s", again.Raw, want)
		}
	}
}

// cut takes a property with a text value out of encoded JSON.
func cut(body []byte, name, value string) []byte {
	encodedName, _ := json.Marshal(name)
	encodedValue, _ := json.Marshal(value)
	member := string(encodedName) + ":" + string(encodedValue)
	text := string(body)
	for _, form := range []string{"," + member, member + ",", member} {
		if strings.Contains(text, form) {
			return []byte(strings.Replace(text, form, "", 1))
		}
	}
	return body
}

func field(fields []engine.Field, path string) *engine.Field {
	head, rest, more := strings.Cut(path, ".")
	for i := range fields {
		if fields[i].Name == head && !more {
			return &fields[i]
		}
		if fields[i].Name == head {
			return field(fields[i].Fields, rest)
		}
	}
	return nil
}

// checkEnvelope checks what stands around the fields of every object.
func (r *tester) checkEnvelope(t *testing.T, a Answer) {
	t.Helper()
	if a.Text("api_version") != r.k.APIVersion() || a.Text("kind") != r.k.Name {
		t.Errorf("api_version and kind are %q and %q, want %q and %q", a.Text("api_version"), a.Text("kind"), r.k.APIVersion(), r.k.Name)
	}
	shape := r.k.ID
	rest, ok := strings.CutPrefix(a.ID(), shape.Prefix)
	if r.has(engine.Create) {
		switch {
		case shape.Length == 0:
			ok = ok && len(rest) == 36 && strings.Count(rest, "-") == 4
		default:
			ok = ok && len(rest) == shape.Length && strings.Trim(rest, shape.Alphabet) == ""
		}
	}
	if !ok || a.ID() == "" {
		t.Errorf("the id is %q, want %q and %d of %q", a.ID(), shape.Prefix, shape.Length, shape.Alphabet)
	}
	if want := r.URL + r.item(r.parent, a.ID()); a.Text("metadata.self") != want {
		t.Errorf("metadata.self is %q, want %q", a.Text("metadata.self"), want)
	}
	name := a.Text("metadata.resource_name")
	if !strings.HasPrefix(name, r.root()) || r.k.Segment != "" && !strings.HasSuffix(name, "/"+r.k.Segment+"="+a.ID()) {
		t.Errorf("metadata.resource_name is %q", name)
	}
	if r.k.Source != nil {
		return // it has no times
	}
	created, err := time.Parse(micros, a.Text("metadata.created_at"))
	updated, uerr := time.Parse(micros, a.Text("metadata.updated_at"))
	if err != nil || uerr != nil || updated.Before(created) {
		t.Errorf("metadata has the times %q and %q", a.Text("metadata.created_at"), a.Text("metadata.updated_at"))
	}
	if _, there := get(a.Body, "metadata.deleted_at"); there {
		t.Errorf("metadata.deleted_at is in the answer for a live object")
	}
}

// checkReference checks what the server says of an object referred to.
func (r *tester) checkReference(t *testing.T, f *engine.Field, path string, answered any) {
	t.Helper()
	if f.Type == engine.Array {
		items, _ := answered.([]any)
		for _, item := range items {
			r.checkReference(t, f.Items, path, item)
		}
		return
	}
	if f.Type != engine.Reference || f.To.Resolved {
		return
	}
	ref, _ := answered.(map[string]any)
	text := func(name string) string { s, _ := ref[name].(string); return s }
	related, _, _ := strings.Cut(text("related"), "?")
	if !strings.HasPrefix(related, r.URL+"/") || !strings.HasSuffix(related, "/"+text("id")) {
		t.Errorf("%s.related is %q", path, text("related"))
	}
	if !strings.HasPrefix(text("resource_name"), r.root()) {
		t.Errorf("%s.resource_name is %q", path, text("resource_name"))
	}
	if typed := text("kind") != "" && text("api_version") != ""; typed != f.To.Typed {
		t.Errorf("%s is %v; typed should be %t", path, ref, f.To.Typed)
	}
}

func (r *tester) testRead(t *testing.T) {
	id := r.object(t, r.admin)
	a := r.read(t, id)
	r.checkEnvelope(t, a)
	if a.ID() != id {
		t.Errorf("read of %s answers %s", id, a.ID())
	}
	for _, path := range []string{
		adding(r.item(r.parent, id), "unknown=1&page_size=-1&page_token=x"),
		"/api" + r.item(r.parent, id),
		"//api//" + strings.ReplaceAll(r.item(r.parent, id), "/", "//"),
		a.Text("metadata.self"),
	} {
		if b := r.admin.Do(t, http.MethodGet, path, nil).Want(t, a.Status); !bytes.Equal(a.Raw, b.Raw) {
			t.Errorf("%s answers otherwise:\n%s\n%s", path, b.Raw, a.Raw)
		}
	}
	req := r.admin.Request(t, http.MethodGet, r.item(r.parent, id), nil)
	req.Header.Set("X-Unknown", "1")
	req.Header.Set("X-Request-Id", "chosen-by-the-client")
	r.admin.Send(t, req).Want(t, a.Status)
	req.Header.Set("Accept", "text/html")
	r.admin.Send(t, req).WantCode(t, api.NotAcceptable)
	r.checkHead(t, r.item(r.parent, id))
}

// checkHead compares HEAD with GET.
func (r *tester) checkHead(t *testing.T, path string) {
	t.Helper()
	full := r.admin.Do(t, http.MethodGet, path, nil)
	head := r.admin.Do(t, http.MethodHead, path, nil).Want(t, full.Status)
	if len(head.Raw) != 0 {
		t.Errorf("HEAD %s has a body", path)
	}
	for _, name := range []string{"Content-Type", "Content-Length", "Cache-Control"} {
		if got, want := head.Header.Get(name), full.Header.Get(name); got != want {
			t.Errorf("HEAD %s: %s is %q, GET says %q", path, name, got, want)
		}
	}
}

// update sends a change of an object in the way that the operation takes it: a
// PATCH with the change alone, a PUT with the whole body changed.
func (r *tester) update(t *testing.T, id string, whole map[string]any, path string, value any) Answer {
	t.Helper()
	op := r.op(t, engine.Update)
	body := map[string]any{}
	if op.Method == http.MethodPut {
		body = whole
	}
	return r.admin.Do(t, op.Method, r.item(r.parent, id), with(body, path, value))
}

// fresh makes an object of Admin's and returns the body that it was made from,
// or that it could have been made from.
func (r *tester) fresh(t *testing.T) (id string, body map[string]any) {
	t.Helper()
	if r.has(engine.Create) {
		body = r.body(t, r.admin)
		return r.create(t, body).ID(), body
	}
	n := r.number()
	id = r.spec.Make(t, r.admin, n)
	return id, clone(r.spec.Body(t, r.admin, n))
}

// another returns a valid value for the property that is not the one given.
func (r *tester) another(t *testing.T, p property, than any) any {
	t.Helper()
	switch {
	case p.Type == engine.Boolean:
		was, _ := than.(bool)
		return !was
	case len(p.Enum) > 0:
		was, _ := than.(string)
		return p.Enum[(slices.Index(p.Enum, was)+1)%len(p.Enum)]
	}
	v, _ := get(r.body(t, r.admin), p.path)
	if v == nil || reflect.DeepEqual(v, than) {
		t.Fatalf("the Spec's Body gives %s the value %v whatever n is", p.path, v)
	}
	return v
}

func (r *tester) testUpdate(t *testing.T) {
	id, body := r.fresh(t)
	if r.has(engine.Read) {
		before := r.read(t, id)
		if r.op(t, engine.Update).Method == http.MethodPatch {
			same := r.admin.Do(t, http.MethodPatch, r.item(r.parent, id), map[string]any{}).Want(t, r.op(t, engine.Update).Success)
			if !bytes.Equal(same.Raw, before.Raw) {
				t.Errorf("an empty PATCH changes the object:\n%s\n%s", before.Raw, same.Raw)
			}
		}
	}
	for _, p := range leaves(r.k.Fields) {
		if p.fixed || r.spec.Omit[p.path] != "" {
			continue
		}
		before := r.read(t, id)
		was, _ := get(before.Body, p.path)
		if p.Type == engine.Reference || p.Type == engine.Array {
			was, _ = get(body, p.path)
		}
		value := r.another(t, p, was)
		body = with(body, p.path, value)
		a := r.update(t, id, body, p.path, value).Want(t, r.op(t, engine.Update).Success)
		answered, _ := get(a.Body, p.path)
		if !shows(p.Field, value, answered) {
			t.Errorf("%s was changed to %v and is answered as %v", p.path, value, answered)
		}
		r.checkReference(t, p.Field, p.path, answered)
		later, _ := get(a.Body, "metadata.updated_at")
		if later, _ := later.(string); later <= before.Text("metadata.updated_at") {
			t.Errorf("a change of %s leaves updated_at at %s", p.path, later)
		}
		want := with(with(before.Body, p.path, answered), "metadata.updated_at", later)
		if !reflect.DeepEqual(want, a.Body) && r.op(t, engine.Update).Method == http.MethodPatch {
			t.Errorf("a change of %s changes more:\n%s\n%s", p.path, before.Raw, a.Raw)
		}
		if again := r.read(t, id); !bytes.Equal(again.Raw, a.Raw) {
			t.Errorf("read after a change of %s:\n%s\n%s", p.path, again.Raw, a.Raw)
		}
		if again := r.update(t, id, body, p.path, value); !bytes.Equal(again.Raw, a.Raw) {
			t.Errorf("the same change of %s for the second time is no change:\n%s\n%s", p.path, a.Raw, again.Raw)
		}
	}
}

// testReplace is about kinds that update by PUT: what the body leaves out goes.
func (r *tester) testReplace(t *testing.T) {
	if r.op(t, engine.Update).Method != http.MethodPut {
		return
	}
	id, body := r.fresh(t)
	a := r.admin.Do(t, http.MethodPut, r.item(r.parent, id), minimal(r.k.Fields, body)).Want(t, r.op(t, engine.Update).Success)
	for _, p := range leaves(r.k.Fields) {
		answered, there := get(a.Body, p.path)
		_, sent := get(minimal(r.k.Fields, body), p.path)
		was, had := get(body, p.path)
		switch {
		case sent, p.Default != nil:
		case p.fixed && had && !shows(p.Field, was, answered):
			t.Errorf("PUT without the immutable %s changes it to %v", p.path, answered)
		case !p.fixed && there && (!p.Always || answered != ""):
			t.Errorf("PUT without %s leaves it at %v", p.path, answered)
		}
	}
	for _, p := range settable(r.k.Fields) {
		if p.Required && !p.fixed && !strings.Contains(p.path, ".") {
			r.admin.Do(t, http.MethodPut, r.item(r.parent, id), without(body, p.path)).WantInvalid(t, p.pointer())
		}
	}
}

func (r *tester) testClear(t *testing.T) {
	for _, p := range settable(r.k.Fields) {
		if p.Required || p.fixed || r.spec.Omit[p.path] != "" {
			continue
		}
		id, body := r.fresh(t)
		for range 2 { // to clear what is clear already is no mistake
			a := r.update(t, id, body, p.path, nil).Want(t, r.op(t, engine.Update).Success)
			v, there := get(a.Body, p.path)
			if there && p.Default != nil && reflect.DeepEqual(v, clone(map[string]any{"v": p.Default})["v"]) {
				continue // a kind may go back to the default
			}
			if there != p.Always || there && v != "" {
				t.Errorf("%s is still %v after null", p.path, v)
			}
			if again := r.read(t, id); !bytes.Equal(again.Raw, a.Raw) {
				t.Errorf("read after %s was cleared:\n%s\n%s", p.path, again.Raw, a.Raw)
			}
		}
	}
}

func (r *tester) testDelete(t *testing.T) {
	op := r.op(t, engine.Delete)
	id := r.object(t, r.admin)
	path := r.item(r.parent, id)
	before := r.read(t, id)
	a := r.admin.Do(t, http.MethodDelete, path, nil).Want(t, op.Success)
	if op.Success == http.StatusNoContent && len(a.Raw) > 0 {
		t.Errorf("204 with a body: %s", a.Raw)
	}
	if op.Success != http.StatusNoContent {
		if deleted, err := time.Parse(micros, a.Text("metadata.deleted_at")); err != nil || time.Since(deleted).Abs() > time.Minute {
			t.Errorf("the deleted object has deleted_at %q", a.Text("metadata.deleted_at"))
		}
		a.Body = without(a.Body, "metadata.deleted_at")
		if !reflect.DeepEqual(a.Body, before.Body) {
			t.Errorf("delete answers\n%s\nand the object was\n%s", a.Raw, before.Raw)
		}
	}
	if r.k.Hooks.Retire != nil {
		r.checkRetired(t, path, id)
		return
	}
	gone := missing(r.k, id)
	r.admin.Do(t, http.MethodGet, path, nil).WantCode(t, gone)
	r.admin.Do(t, http.MethodDelete, path, nil).WantCode(t, gone)
	if r.has(engine.Update) {
		r.admin.Do(t, r.op(t, engine.Update).Method, path, map[string]any{}).WantCode(t, gone)
	}
	if r.has(engine.List) && slices.Contains(r.ids(t, r.admin, r.parent, nil), id) {
		t.Errorf("the deleted %s is listed", id)
	}
	r.checkIDTaken(t, r.Admin.Organization, id)
	r.checkIDTaken(t, r.Other.Organization, id)
}

// checkRetired is about objects that stay as a record after their deletion.
func (r *tester) checkRetired(t *testing.T, path, id string) {
	t.Helper()
	after := r.read(t, id)
	if r.has(engine.List) && !slices.Contains(r.ids(t, r.admin, r.parent, nil), id) {
		t.Errorf("the retired %s is not listed", id)
	}
	r.admin.Do(t, http.MethodDelete, path, nil).Want(t, r.op(t, engine.Delete).Success)
	if again := r.read(t, id); !bytes.Equal(after.Raw, again.Raw) {
		t.Errorf("a second deletion changes the object:\n%s\n%s", after.Raw, again.Raw)
	}
}

// checkIDTaken tries to give an ID out once more.
func (r *tester) checkIDTaken(t *testing.T, organization, id string) {
	t.Helper()
	undo := errors.New("undo")
	now := time.Now().UTC()
	err := r.Engine.Store.Update(t.Context(), func(tx store.Tx) error {
		err := tx.Insert(context.WithoutCancel(t.Context()), &store.Row{
			Key: store.Key{Kind: r.k.StoreKey(), ID: id}, Org: organization, Created: now, Updated: now, Body: []byte("{}"),
		}, nil)
		if err == nil {
			err = undo
		}
		return err
	})
	var taken *store.ErrTaken
	if !errors.As(err, &taken) || taken.Name != "" {
		t.Errorf("a new object could get the ID %s of a deleted one: %v", id, err)
	}
}

// strange are IDs that no object has: among them what databases, URLs and
// templates choke on.
var strange = []string{"does-not-exist", "0", "a b", "a/b", "%", "'; DROP TABLE", "é", "\x00", "\xff\xfe", strings.Repeat("x", 256), strings.Repeat("x", 3000), "{id}", "*"}

func (r *tester) testNotFound(t *testing.T) {
	ids := strange
	if r.k.ID.Prefix != "" || r.k.ID.Length > 0 {
		ids = append([]string{r.k.ID.New()}, ids...)
	}
	for _, id := range ids {
		path := r.item(r.parent, id)
		if r.has(engine.Read) {
			a := r.admin.Do(t, http.MethodGet, path, nil).WantCode(t, missing(r.k, id))
			detail, _ := a.errors()[0]["detail"].(string)
			// Kinds with an answer of their own need not name the ID.
			if r.k.Missing == nil && !strings.Contains(detail, id) && len(id) < 100 && utf8.ValidString(id) {
				t.Errorf("GET %s: %q does not name the ID", path, detail)
			}
		}
		if r.has(engine.Update) {
			r.admin.Do(t, r.op(t, engine.Update).Method, path, r.body(t, r.admin)).WantCode(t, missing(r.k, id))
		}
		if r.has(engine.Delete) {
			r.admin.Do(t, http.MethodDelete, path, nil).WantCode(t, missing(r.k, id))
		}
	}
}
