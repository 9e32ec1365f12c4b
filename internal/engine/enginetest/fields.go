package enginetest

import (
	"bytes"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
)

// post tries to create an object of Admin's.
func (r *tester) post(t *testing.T, body any) Answer {
	t.Helper()
	return r.admin.Do(t, http.MethodPost, r.collection(r.parent), body)
}

// junk puts into a body what the server must ignore: unknown properties at
// every depth, and values of the wrong type for what is read-only.
func (r *tester) junk(body map[string]any) map[string]any {
	body = with(body, "unknown", map[string]any{"a": []any{1, "x", nil}})
	for _, p := range settable(r.k.Fields) {
		if _, there := get(body, p.path); there && (p.Type == engine.Structure || p.Type == engine.Reference) {
			body = with(body, p.path+".unknown", true)
		}
	}
	for _, path := range ignored(r.k.Fields, "") {
		if at := strings.LastIndex(path, "."); at >= 0 {
			if _, there := get(body, path[:at]); !there {
				continue
			}
		}
		body = with(body, path, []any{"not", "the", "type"})
	}
	return with(with(with(with(body, "api_version", "x/v9"), "kind", "Other"), "id", "zz-1"), "metadata", map[string]any{
		"self": "https://elsewhere.example", "created_at": "2001-01-01T00:00:00Z", "resource_name": 5, "deleted_at": "2001-01-01T00:00:00Z",
	})
}

func (r *tester) testCreateIgnores(t *testing.T) {
	body := r.body(t, r.admin)
	req := r.admin.Request(t, http.MethodPost, r.collection(r.parent)+"?unknown=1&page_size=0", r.junk(body))
	req.Header.Set("X-Unknown", "1")
	a := r.admin.Send(t, req).Want(t, r.op(t, engine.Create).Success)
	r.checkEnvelope(t, a)
	if bytes.Contains(a.Raw, []byte("unknown")) || bytes.Contains(a.Raw, []byte(`"not"`)) || bytes.Contains(a.Raw, []byte("elsewhere")) {
		t.Errorf("the answer has what should be ignored: %s", a.Raw)
	}
	for _, p := range leaves(r.k.Fields) {
		sent, ok := get(body, p.path)
		if answered, _ := get(a.Body, p.path); ok && !shows(p.Field, sent, answered) {
			t.Errorf("beside ignored properties %s was sent as %v and answered as %v", p.path, sent, answered)
		}
	}
}

func (r *tester) testUpdateIgnores(t *testing.T) {
	id, body := r.fresh(t)
	before := r.read(t, id)
	op := r.op(t, engine.Update)
	sent := r.junk(map[string]any{})
	if op.Method == http.MethodPut {
		sent = r.junk(body)
	}
	a := r.admin.Do(t, op.Method, adding(r.item(r.parent, id), "unknown=1"), sent).Want(t, op.Success)
	if !bytes.Equal(a.Raw, before.Raw) {
		t.Errorf("%s with nothing but what is ignored changes the object:\n%s\n%s", op.Method, before.Raw, a.Raw)
	}
	// The whole object as it was read may be sent back.
	if a := r.admin.Do(t, op.Method, r.item(r.parent, id), before.Body).Want(t, op.Success); !bytes.Equal(a.Raw, before.Raw) {
		t.Errorf("sending the object back changes it:\n%s\n%s", before.Raw, a.Raw)
	}
}

// testTexts sends what encoders and databases get wrong.
func (r *tester) testTexts(t *testing.T) {
	const text = "\u0001 \"quoted\" back\\slash </script>&amp; 'a' \u00e9 e\u0301 \u2028 \ufffd \U0001f600 ${x} %s \t\n\u007f"
	for _, p := range leaves(r.k.Fields) {
		if !free(p.Field) || r.spec.Omit[p.path]+r.spec.Only[p.path] != "" || p.MaxLength > 0 && p.MaxLength < len(text) {
			continue
		}
		a := r.create(t, with(r.body(t, r.admin), p.path, text))
		if a.Text(p.path) != text {
			t.Errorf("%s is %q, want %q", p.path, a.Text(p.path), text)
		}
		if r.has(engine.Read) && r.read(t, a.ID()).Text(p.path) != text {
			t.Errorf("%s is read as %q, want %q", p.path, r.read(t, a.ID()).Text(p.path), text)
		}
		r.discard(t, a.ID())
		r.post(t, with(r.body(t, r.admin), p.path, "a\x00b")).WantInvalid(t, p.pointer())
	}
}

// free is whether a field takes any text of the right length.
func free(f *engine.Field) bool {
	return f.Type == engine.String && f.Pattern == nil && len(f.Enum) == 0 && f.Format == ""
}

// discard deletes an object, where that is possible, so that its name is free.
func (r *tester) discard(t *testing.T, id string) {
	t.Helper()
	if r.has(engine.Delete) {
		r.admin.Do(t, http.MethodDelete, r.item(r.parent, id), nil).Want(t, r.op(t, engine.Delete).Success)
	}
}

func (r *tester) testRequired(t *testing.T) {
	body := r.body(t, r.admin)
	var top []string
	for _, p := range taken(r.k.Fields) {
		if r.spec.Omit[p.path] != "" {
			continue
		}
		if !p.Required {
			// Null on create says no value, as absent does.
			created := r.create(t, with(r.body(t, r.admin), p.path, nil))
			absent := r.create(t, without(r.body(t, r.admin), p.path))
			_, null := get(created.Body, p.path)
			_, left := get(absent.Body, p.path)
			if null != left && p.Default == nil {
				t.Errorf("%s sent as null is there: %t, and left out: %t", p.path, null, left)
			}
			continue
		}
		if p.Default != nil {
			if v, _ := get(r.create(t, without(r.body(t, r.admin), p.path)).Body, p.path); v != p.Default {
				t.Errorf("%s left out is %v, want %v", p.path, v, p.Default)
			}
			r.post(t, with(body, p.path, nil)).WantInvalid(t, p.pointer())
			continue
		}
		if !strings.Contains(p.path, ".") {
			top = append(top, p.pointer())
		}
		r.post(t, without(body, p.path)).WantInvalid(t, p.pointer())
		r.post(t, with(body, p.path, nil)).WantInvalid(t, p.pointer())
	}
	if len(top) > 0 {
		r.post(t, map[string]any{}).WantInvalid(t, top...)
	}
	for _, text := range []string{"", "{", `{"a":}`, "[]", "null", `"x"`, "{} {}", "{\"a\":\"\xff\"}"} {
		a := r.post(t, text)
		a.WantCode(t, api.MalformedRequest)
	}
}

func (r *tester) testWrongTypes(t *testing.T) {
	body := r.body(t, r.admin)
	everything := body
	var pointers []string
	for _, p := range taken(r.k.Fields) {
		if r.spec.Omit[p.path] != "" {
			continue
		}
		for _, w := range wrong(p.Field) {
			r.post(t, with(body, p.path, w.value)).WantInvalid(t, p.pointer()+w.suffix)
		}
		if p.Type != engine.Structure {
			w := wrong(p.Field)[0]
			everything = with(everything, p.path, w.value)
			pointers = append(pointers, p.pointer()+w.suffix)
		}
	}
	// Every failing field has its entry, not only the first.
	r.post(t, everything).WantInvalid(t, pointers...)
}

func (r *tester) testBorders(t *testing.T) {
	for _, p := range leaves(r.k.Fields) {
		if r.spec.Omit[p.path] != "" {
			continue
		}
		accepted, refused := borders(p.Field)
		if p.Type == engine.Array {
			accepted, refused = r.sizes(t, p)
		}
		if r.spec.Only[p.path] != "" {
			accepted = nil
		}
		for _, v := range accepted {
			a := r.create(t, with(r.body(t, r.admin), p.path, v))
			if answered, _ := get(a.Body, p.path); !shows(p.Field, v, answered) {
				t.Errorf("%s was sent as %.100v and answered as %.100v", p.path, v, answered)
			}
			r.discard(t, a.ID())
		}
		for _, v := range refused {
			r.post(t, with(r.body(t, r.admin), p.path, v)).WantInvalid(t, p.pointer())
		}
	}
}

// borders returns values on both sides of a field's limits.
func borders(f *engine.Field) (accepted, refused []any) {
	switch {
	case f.Type == engine.Integer:
		if f.Pattern == nil {
			accepted = []any{float64(0), float64(-1), float64(1 << 53)}
		}
		return accepted, nil
	case f.Type == engine.Timestamp:
		return []any{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456789+02:00", "0001-01-01T00:00:00Z"}, nil
	case f.Type != engine.String:
		return nil, nil
	case len(f.Enum) > 0:
		for _, v := range f.Enum {
			accepted = append(accepted, v)
			if lower := strings.ToLower(v); f.EnumFold {
				accepted = append(accepted, lower)
			} else if !slices.Contains(f.Enum, lower) {
				refused = append(refused, lower)
			}
		}
		return accepted, append(refused, "", f.Enum[0]+" ", "no-such-value")
	}
	most := f.MaxLength
	if most == 0 {
		most = engine.MaxString
	}
	refused = append(refused, strings.Repeat("é", most+1))
	if f.MinLength > 0 {
		refused = append(refused, "")
	}
	if f.MinLength > 1 {
		refused = append(refused, strings.Repeat("é", f.MinLength-1))
	}
	if free(f) {
		// Limits count characters, not bytes.
		accepted = append(accepted, strings.Repeat("é", most), strings.Repeat("x", max(f.MinLength, 1)))
		if f.MinLength == 0 {
			accepted = append(accepted, "")
		}
		return accepted, refused
	}
	if f.Pattern == nil {
		return accepted, refused
	}
	// Where a pattern limits the length, the border shows by trying; a format
	// of its own may be stricter, so only the refused side is certain there.
	for length := range min(most, 1000) {
		now, next := strings.Repeat("a", length), strings.Repeat("a", length+1)
		if a, b := f.Pattern.MatchString(now), f.Pattern.MatchString(next); a != b {
			if b {
				now, next = next, now
			}
			refused = append(refused, next)
			if f.Format == "" && len(now) >= f.MinLength {
				accepted = append(accepted, now)
			}
		}
	}
	for _, s := range []string{"<", " ", "a\nb", "\"", "ä", "A", "-", "a b"} {
		if !f.Pattern.MatchString(s) {
			refused = append(refused, s)
		}
	}
	return accepted, refused
}

// sizes returns arrays on both sides of a field's limits, of items that the
// Spec made.
func (r *tester) sizes(t *testing.T, p property) (accepted, refused []any) {
	t.Helper()
	v, _ := get(r.body(t, r.admin), p.path)
	items, _ := v.([]any)
	if len(items) == 0 {
		t.Fatalf("the Spec's Body gives %s no item", p.path)
	}
	of := func(n int) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = items[0]
		}
		return out
	}
	if p.MinItems > 0 {
		refused = append(refused, of(p.MinItems-1))
	}
	if p.MaxItems > 0 {
		accepted = append(accepted, of(max(p.MinItems, 1)), of(p.MaxItems))
		refused = append(refused, of(p.MaxItems+1))
	}
	return accepted, refused
}

// testReferences refers to what does not exist.
func (r *tester) testReferences(t *testing.T) {
	for _, p := range leaves(r.k.Fields) {
		if r.spec.Omit[p.path] != "" {
			continue
		}
		for _, id := range []string{"does-not-exist", "sa-000000", "\xc3\xa9", "a/b", strings.Repeat("x", engine.MaxID)} {
			ref := map[string]any{"id": id}
			switch {
			case p.Type == engine.Reference && !p.To.Resolved:
				r.post(t, with(r.body(t, r.admin), p.path, ref)).WantInvalid(t, p.pointer()+"/id")
			case p.Type == engine.Array && p.Items.Type == engine.Reference && !p.Items.To.Resolved && p.MinItems <= 1:
				r.post(t, with(r.body(t, r.admin), p.path, []any{ref})).WantInvalid(t, p.pointer()+"/0/id")
			}
		}
	}
}

func (r *tester) testUniqueName(t *testing.T) {
	if r.k.UniqueName == "" {
		return
	}
	taken := r.body(t, r.admin)
	name, _ := get(taken, r.k.UniqueName)
	first := r.create(t, taken)
	conflict := func(a Answer) {
		t.Helper()
		a.WantCode(t, api.AlreadyExists)
		if got := a.Header.Get("Location"); got != first.Text("metadata.self") {
			t.Errorf("Location is %q, want the object in the way, %q", got, first.Text("metadata.self"))
		}
		if got := a.sources("pointer"); !slices.Equal(got, []string{"/" + strings.ReplaceAll(r.k.UniqueName, ".", "/")}) {
			t.Errorf("pointers are %q", got)
		}
		if detail, _ := a.errors()[0]["detail"].(string); r.k.NameTaken != "" && detail != r.k.NameTaken {
			t.Errorf("detail is %q, want %q", detail, r.k.NameTaken)
		}
	}
	conflict(r.post(t, with(r.body(t, r.admin), r.k.UniqueName, name)))
	if f := field(r.k.Fields, r.k.UniqueName); r.has(engine.Update) && !f.Immutable {
		id, body := r.fresh(t)
		before := r.read(t, id)
		conflict(r.update(t, id, body, r.k.UniqueName, name))
		if after := r.read(t, id); !bytes.Equal(before.Raw, after.Raw) {
			t.Errorf("a refused change is made:\n%s\n%s", before.Raw, after.Raw)
		}
	}
	if text, _ := name.(string); r.k.UniqueFold {
		conflict(r.post(t, with(r.body(t, r.admin), r.k.UniqueName, strings.ToUpper(text))))
	} else if free(field(r.k.Fields, r.k.UniqueName)) && strings.ToUpper(text) != text {
		r.discard(t, r.create(t, with(r.body(t, r.admin), r.k.UniqueName, strings.ToUpper(text))).ID())
	}
	if r.spec.Parent != nil {
		elsewhere := r.spec.Parent(t, r.admin)
		r.admin.Do(t, http.MethodPost, r.collection(elsewhere), with(r.body(t, r.admin), r.k.UniqueName, name)).
			Want(t, r.op(t, engine.Create).Success)
	}
	if r.has(engine.Delete) {
		r.discard(t, first.ID())
		if r.k.Hooks.Retire != nil {
			return
		}
		again := r.create(t, with(r.body(t, r.admin), r.k.UniqueName, name))
		if again.ID() == first.ID() {
			t.Errorf("the ID %s came back", again.ID())
		}
	}
}

func (r *tester) testUpdateRefuses(t *testing.T) {
	id, body := r.fresh(t)
	before := r.read(t, id)
	for _, p := range settable(r.k.Fields) {
		if r.spec.Omit[p.path] != "" {
			continue
		}
		if p.Required {
			r.update(t, id, body, p.path, nil).WantInvalid(t, p.pointer())
		}
		for _, w := range wrong(p.Field) {
			r.update(t, id, body, p.path, w.value).WantInvalid(t, p.pointer()+w.suffix)
		}
		if !p.fixed && (p.Type == engine.String) {
			_, refused := borders(p.Field)
			for _, v := range refused {
				r.update(t, id, body, p.path, v).WantInvalid(t, p.pointer())
			}
		}
		if !p.Immutable || p.Type == engine.Structure {
			continue
		}
		was, _ := get(before.Body, p.path)
		r.update(t, id, body, p.path, r.different(t, p, was)).WantInvalid(t, p.pointer())
		if !p.Required {
			r.update(t, id, body, p.path, nil).WantInvalid(t, p.pointer())
		}
		r.update(t, id, body, p.path, was).Want(t, r.op(t, engine.Update).Success)
	}
	for _, text := range []string{"", "{", "[]", "null"} {
		r.admin.Do(t, r.op(t, engine.Update).Method, r.item(r.parent, id), text).WantCode(t, api.MalformedRequest)
	}
	if after := r.read(t, id); !bytes.Equal(before.Raw, after.Raw) {
		t.Errorf("refused changes are made:\n%s\n%s", before.Raw, after.Raw)
	}
}

// different returns a value that is well-formed and not the one given; what it
// refers to need not exist, since an immutable property never gets it.
func (r *tester) different(t *testing.T, p property, than any) any {
	t.Helper()
	switch p.Type {
	case engine.Reference:
		return map[string]any{"id": "somebody-else"}
	case engine.Array:
		if items, _ := than.([]any); len(items) > 0 && p.MinItems == 0 {
			return []any{}
		}
		return r.another(t, p, than)
	default:
		v := r.another(t, p, than)
		if reflect.DeepEqual(v, than) {
			t.Fatalf("%s has only one value, and is immutable", p.path)
		}
		return v
	}
}
