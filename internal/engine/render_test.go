package engine

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/api"
)

// sampleKind is a kind with a field of every type.
func sampleKind() *Kind {
	reference := Field{Name: "item", Type: Reference, Description: "d", To: &ReferenceTo{Typed: true}}
	return &Kind{
		Group: "sample", Version: "v1", Name: "Sample", Path: "/sample/v1/samples", Segment: "sample", Resource: "Sample",
		ID: IDShape{Prefix: "sm-", Length: 6, Alphabet: "abc"},
		Fields: []Field{
			{Name: "text"},
			{Name: "required", Required: true},
			{Name: "flag", Type: Boolean},
			{Name: "n", Type: Integer},
			{Name: "at", Type: Timestamp},
			{Name: "spec", Type: Structure, Fields: []Field{
				{Name: "secret", Once: true},
				{Name: "inner"},
				{Name: "list", Type: Array, Items: &Field{Name: "item"}},
				{Name: "owner", Type: Reference, To: &ReferenceTo{}},
			}},
			{Name: "ref", Type: Reference, To: &ReferenceTo{}},
			{Name: "refs", Type: Array, Items: &reference},
			{Name: "parts", Type: Array, Items: &Field{Name: "part", Type: Structure, Fields: []Field{{Name: "name"}, {Name: "size", Type: Integer}}}},
		},
	}
}

var sampleTime = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func sampleObject(k *Kind, doc Doc) *Object {
	return &Object{Kind: k, Org: "9bb441c4-edef-46ac-8a41-c49e44a3fd9a", ID: "sm-abcabc", Doc: doc, Created: sampleTime, Updated: sampleTime.Add(time.Hour)}
}

const publicURL = "https://weir.example.com"

// sent is what a client gets of a rendered document.
func sent(t testing.TB, rendered []byte) map[string]any {
	t.Helper()
	spliced := api.AppendSpliced(nil, rendered, publicURL)
	dec := json.NewDecoder(bytes.NewReader(spliced))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil || !json.Valid(spliced) {
		t.Fatalf("not JSON: %v\n%q", err, spliced)
	}
	return v
}

func TestRender(t *testing.T) {
	t.Parallel()
	o := sampleObject(sampleKind(), Doc{
		"refs": []any{Doc{"id": "u-1", "related": "/iam/v2/users/u-1", "resource_name": "crn://c/user=u-1", "api_version": "iam/v2", "kind": "User"}},
		"text": "a", "required": "b", "flag": false, "n": json.Number("7"),
		"spec":  Doc{"inner": "c", "list": []any{}, "owner": Doc{"id": "cloud", "related": "cloud", "resource_name": "cloud"}},
		"parts": []any{Doc{"name": "p", "size": 3}, Doc{}},
		"other": "not a field",
	})
	const want = `{"api_version":"sample/v1","kind":"Sample","id":"sm-abcabc","metadata":{` +
		`"self":"https://weir.example.com/sample/v1/samples/sm-abcabc",` +
		`"resource_name":"crn://confluent.cloud/organization=9bb441c4-edef-46ac-8a41-c49e44a3fd9a/sample=sm-abcabc",` +
		`"created_at":"2026-03-01T12:00:00.123456Z","updated_at":"2026-03-01T13:00:00.123456Z"},` +
		`"text":"a","required":"b","flag":false,"n":7,` +
		`"spec":{"inner":"c","list":[],"owner":{"id":"cloud","related":"cloud","resource_name":"cloud"}},` +
		`"refs":[{"id":"u-1","related":"https://weir.example.com/iam/v2/users/u-1","resource_name":"crn://c/user=u-1","api_version":"iam/v2","kind":"User"}],` +
		`"parts":[{"name":"p","size":3},{}]}`
	rendered := o.render(false)
	if got := string(api.AppendSpliced(nil, rendered, publicURL)); got != want {
		t.Errorf("rendered\n%s, want\n%s", got, want)
	}
	if got := bytes.Count(rendered, []byte{api.BaseMark}); got != 2 {
		t.Errorf("%d marks, want one for self and one for the reference", got)
	}
}

func TestRenderShowsOnceFieldsOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	o := sampleObject(sampleKind(), Doc{"required": "r", "spec": Doc{"inner": "c", "secret": "in the document by mistake"}})
	o.Once = map[string]string{"spec.secret": "s3cret \"quoted\" \x01"}
	shown := sent(t, o.render(true))["spec"].(map[string]any)
	if shown["secret"] != "s3cret \"quoted\" \x01" || shown["inner"] != "c" {
		t.Errorf("the answer to create has %v", shown)
	}
	if stored := o.render(false); bytes.Contains(stored, []byte("secret")) || bytes.Contains(stored, []byte("mistake")) {
		t.Errorf("the stored document is %q", stored)
	}
}

// oddTexts are what users may put into a text and what could break a document
// or be taken for something else.
var oddTexts = []string{
	"", " ", "\x01", "\x01/iam/v2/users/u-1", "\x01\x01", "\x02\x1f\x7f", "\r\n\t\b\f", `"\/`, `\u0001`, "</script><!-- & -->",
	"\u2028\u2029\u0085\ufeff", "é😀🇩🇪\u200d", "\ufffd", "/a/path", "https://weir.example.com/iam", "//host/path", "null", "{}", `","id":"x`,
	strings.Repeat("\x01", 100), "\U0010ffff", "e\u0301",
}

// roundTrip renders, stores and decodes a document.
func roundTrip(t testing.TB, o *Object) *Object {
	t.Helper()
	row := o.row()
	back, err := o.Kind.Decode(row)
	if err != nil {
		t.Fatalf("decode: %v\n%q", err, row.Body)
	}
	if again := back.render(false); !bytes.Equal(again, row.Body) {
		t.Fatalf("rendered again it is\n%q, was\n%q", again, row.Body)
	}
	return back
}

func TestRenderDecodeKeepsOddText(t *testing.T) {
	t.Parallel()
	for _, text := range oddTexts {
		o := sampleObject(sampleKind(), Doc{
			"text": text, "required": text, "spec": Doc{"inner": text, "list": []any{text, text}},
			"ref":   Doc{"id": text + "x", "environment": text + "x"},
			"parts": []any{Doc{"name": text}},
		})
		back := roundTrip(t, o)
		if !reflect.DeepEqual(plain(back.Doc), plain(o.Doc)) {
			t.Errorf("%q came back as %v", text, plain(back.Doc))
		}
		got := sent(t, o.render(false))
		if got["text"] != text || got["spec"].(map[string]any)["list"].([]any)[1] != text || got["parts"].([]any)[0].(map[string]any)["name"] != text {
			t.Errorf("%q is sent as %v", text, got)
		}
		if n := bytes.Count(o.row().Body, []byte{api.BaseMark}); n != 1 {
			t.Errorf("%q: %d marks in the document, want the one of self", text, n)
		}
	}
}

func TestDecodeKeepsWhatTheRowSays(t *testing.T) {
	t.Parallel()
	o := sampleObject(sampleKind(), Doc{"required": "r"})
	o.Private = []byte{0, 1, 2}
	o.Parent = "env-1"
	o.Once = map[string]string{"spec.secret": "s"}
	back := roundTrip(t, o)
	if back.Org != o.Org || back.ID != o.ID || back.Parent != o.Parent || !bytes.Equal(back.Private, o.Private) ||
		!back.Created.Equal(o.Created) || !back.Updated.Equal(o.Updated) || back.Once != nil {
		t.Errorf("came back as %+v", back)
	}
}

func TestDecodeRefusesABrokenDocument(t *testing.T) {
	t.Parallel()
	o := sampleObject(sampleKind(), Doc{"required": "r"})
	for _, broken := range []string{"", "{", "[]", `"x"`} {
		row := o.row()
		row.Body = []byte(broken)
		if _, err := o.Kind.Decode(row); err == nil || !strings.Contains(err.Error(), "sm-abcabc") {
			t.Errorf("%q: the error is %v", broken, err)
		}
	}
}

// A stored document outlives definitions: fields that are gone are dropped and
// null is absence.
func TestDecodeDropsWhatIsNotAField(t *testing.T) {
	t.Parallel()
	k := sampleKind()
	row := sampleObject(k, Doc{"required": "r"}).row()
	row.Body = []byte(`{"id":"x","required":"r","gone":{"a":1},"text":null,"spec":{"gone":1,"inner":"i"}}`)
	o, err := k.Decode(row)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Doc{"required": "r", "spec": Doc{"inner": "i"}}); !reflect.DeepEqual(o.Doc, want) {
		t.Errorf("decoded %v, want %v", o.Doc, want)
	}
}

func TestRenderPanicsOnWhatNoFieldHolds(t *testing.T) {
	t.Parallel()
	defer func() {
		if p, _ := recover().(string); !strings.Contains(p, "text") {
			t.Errorf("recovered %q, want the field's name", p)
		}
	}()
	sampleObject(sampleKind(), Doc{"text": struct{}{}}).render(false)
}

// FuzzRenderDecode takes any text through a document and back: in each place
// where a user can put it, it must come out as it went in.
func FuzzRenderDecode(f *testing.F) {
	for _, text := range oddTexts {
		f.Add(text, "sm-abcabc", "/iam/v2/users/u-1")
	}
	f.Add("x", "id with \x01 and \"", "cloud")
	f.Add("x", "é", "/\x01")
	f.Fuzz(func(t *testing.T, text, id, related string) {
		if !utf8.ValidString(text) || !utf8.ValidString(id) || !utf8.ValidString(related) || id == "" || related == "" {
			return
		}
		k := sampleKind()
		k.Segment = "" // an ID may be any text here, and a name may not
		o := sampleObject(k, Doc{
			"text": text, "required": text, "spec": Doc{"inner": text, "list": []any{text}},
			"ref": Doc{"id": id, "related": related, "resource_name": id},
		})
		o.ID = id
		back := roundTrip(t, o)
		if !reflect.DeepEqual(plain(back.Doc), plain(o.Doc)) {
			t.Fatalf("came back as %q, was %q", plain(back.Doc), plain(o.Doc))
		}
		links := 1
		if strings.HasPrefix(related, "/") {
			links = 2
			related = publicURL + related
		}
		body := o.row().Body
		if n := bytes.Count(body, []byte{api.BaseMark}); n != links {
			t.Fatalf("%d marks, want %d: %q", n, links, body)
		}
		got := sent(t, body)
		if got["text"] != text || got["id"] != id || got["ref"].(map[string]any)["related"] != related ||
			got["metadata"].(map[string]any)["self"] != publicURL+"/sample/v1/samples/"+id {
			t.Fatalf("sent as %q", got)
		}
	})
}
