package engine

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/api"
)

// body decodes a request's body as api.ReadObject does.
func body(t testing.TB, text string) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// plain turns a document into what JSON decoding gives, for comparisons.
func plain(v any) any {
	switch v := v.(type) {
	case Doc:
		out := map[string]any{}
		for name, value := range v {
			out[name] = plain(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	default:
		return v
	}
}

// stored turns a JSON text into a document of the fields.
func stored(t testing.TB, fields []Field, text string) Doc {
	t.Helper()
	if text == "" {
		return nil
	}
	return known(fields, body(t, text))
}

// mergeCase is one request: old is "" for a create.
type mergeCase struct {
	name      string
	fields    []Field
	old, sent string
	want      string
	// problems are pointers and messages, in their order.
	problems [][2]string
}

func runMerge(t *testing.T, cases []mergeCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old := stored(t, c.fields, c.old)
			before := old.Clone()
			doc, problems := merge(c.fields, old, body(t, c.sent), "")
			var got [][2]string
			for _, p := range problems {
				got = append(got, [2]string{p.Pointer, p.Message})
				if p.Parameter != "" || strings.HasSuffix(p.Message, ".") {
					t.Errorf("problem %+v names a parameter or ends with a period", p)
				}
			}
			if !reflect.DeepEqual(got, c.problems) {
				t.Errorf("problems are\n%q, want\n%q", got, c.problems)
			}
			if c.want != "" && !reflect.DeepEqual(plain(doc), any(body(t, c.want))) {
				t.Errorf("the document is\n%v, want\n%s", plain(doc), c.want)
			}
			if old != nil && !reflect.DeepEqual(old, before) {
				t.Errorf("the old document was changed to %v", old)
			}
		})
	}
}

func one(f Field) []Field { f.Name = "f"; return []Field{f} }

func problem(pointer, message string) [][2]string { return [][2]string{{pointer, message}} }

// Every type, with a value that it takes and with those that it does not.
func TestMergeTypes(t *testing.T) {
	t.Parallel()
	inner := []Field{{Name: "x"}, {Name: "n", Type: Integer}}
	reference := Field{Type: Reference, To: &ReferenceTo{}}
	array := func(items Field) []Field { return one(Field{Type: Array, Items: &items}) }
	structures := array(Field{Name: "item", Type: Structure, Fields: []Field{{Name: "x", Required: true}}})
	const wrongText, wrongBool, wrongInt = "The field 'f' must be a string", "The field 'f' must be true or false", "The field 'f' must be a whole number"
	const wrongTime, wrongObject, wrongRef, wrongArray = "The field 'f' must be a time such as 2006-01-02T15:04:05Z", "The field 'f' must be an object", "The field 'f' must be an object with an id", "The field 'f' must be an array"
	runMerge(t, []mergeCase{
		{"string", one(Field{}), "", `{"f":"x"}`, `{"f":"x"}`, nil},
		{"empty string", one(Field{}), "", `{"f":""}`, `{"f":""}`, nil},
		{"string from number", one(Field{}), "", `{"f":1}`, `{}`, problem("/f", wrongText)},
		{"string from bool", one(Field{}), "", `{"f":true}`, `{}`, problem("/f", wrongText)},
		{"string from object", one(Field{}), "", `{"f":{}}`, `{}`, problem("/f", wrongText)},
		{"string from array", one(Field{}), "", `{"f":["x"]}`, `{}`, problem("/f", wrongText)},

		{"true", one(Field{Type: Boolean}), "", `{"f":true}`, `{"f":true}`, nil},
		{"false", one(Field{Type: Boolean}), "", `{"f":false}`, `{"f":false}`, nil},
		{"bool from string", one(Field{Type: Boolean}), "", `{"f":"true"}`, `{}`, problem("/f", wrongBool)},
		{"bool from number", one(Field{Type: Boolean}), "", `{"f":1}`, `{}`, problem("/f", wrongBool)},

		{"integer", one(Field{Type: Integer}), "", `{"f":-9223372036854775808}`, `{"f":-9223372036854775808}`, nil},
		{"integer too great", one(Field{Type: Integer}), "", `{"f":9223372036854775808}`, `{}`, problem("/f", wrongInt)},
		{"integer with fraction", one(Field{Type: Integer}), "", `{"f":1.5}`, `{}`, problem("/f", wrongInt)},
		{"integer from string", one(Field{Type: Integer}), "", `{"f":"1"}`, `{}`, problem("/f", wrongInt)},
		{"integer from object", one(Field{Type: Integer}), "", `{"f":{}}`, `{}`, problem("/f", wrongInt)},

		{"time", one(Field{Type: Timestamp}), "", `{"f":"2024-01-02T03:04:05+02:00"}`, `{"f":"2024-01-02T01:04:05.000000Z"}`, nil},
		{"time with nanoseconds", one(Field{Type: Timestamp}), "", `{"f":"2024-01-02T03:04:05.123456789Z"}`, `{"f":"2024-01-02T03:04:05.123456Z"}`, nil},
		{"time from text", one(Field{Type: Timestamp}), "", `{"f":"tomorrow"}`, `{}`, problem("/f", wrongTime)},
		{"time from a date", one(Field{Type: Timestamp}), "", `{"f":"2024-01-02"}`, `{}`, problem("/f", wrongTime)},
		{"time that does not exist", one(Field{Type: Timestamp}), "", `{"f":"2023-02-29T00:00:00Z"}`, `{}`, problem("/f", wrongTime)},
		{"time from number", one(Field{Type: Timestamp}), "", `{"f":1700000000}`, `{}`, problem("/f", wrongTime)},

		{"structure", one(Field{Type: Structure, Fields: inner}), "", `{"f":{"x":"y","n":1,"other":2}}`, `{"f":{"x":"y","n":1}}`, nil},
		{"empty structure", one(Field{Type: Structure, Fields: inner}), "", `{"f":{}}`, `{"f":{}}`, nil},
		{"structure from string", one(Field{Type: Structure, Fields: inner}), "", `{"f":"x"}`, `{}`, problem("/f", wrongObject)},
		{"structure from array", one(Field{Type: Structure, Fields: inner}), "", `{"f":[]}`, `{}`, problem("/f", wrongObject)},
		{"mistake within a structure", one(Field{Type: Structure, Fields: inner}), "", `{"f":{"x":"y","n":"1"}}`, `{"f":{"x":"y"}}`, problem("/f/n", "The field 'n' must be a whole number")},

		{"reference", one(reference), "", `{"f":{"id":"u-1","environment":"env-1","api_version":"iam/v2","kind":"User"}}`, `{"f":{"id":"u-1","environment":"env-1","api_version":"iam/v2","kind":"User"}}`, nil},
		{"what the server says of a reference is ignored", one(reference), "", `{"f":{"id":"u-1","related":"https://evil.example","resource_name":7,"x":[]}}`, `{"f":{"id":"u-1"}}`, nil},
		{"reference with empty hints", one(reference), "", `{"f":{"id":"u-1","environment":"","kind":null}}`, `{"f":{"id":"u-1"}}`, nil},
		{"reference from string", one(reference), "", `{"f":"u-1"}`, `{}`, problem("/f", wrongRef)},
		{"reference without id", one(reference), "", `{"f":{"kind":"User"}}`, `{}`, problem("/f/id", "The field 'f.id' is required")},
		{"reference with empty id", one(reference), "", `{"f":{"id":""}}`, `{}`, problem("/f/id", "The field 'f.id' is required")},
		{"reference with null id", one(reference), "", `{"f":{"id":null}}`, `{}`, problem("/f/id", "The field 'f.id' is required")},
		{"reference with a number for id", one(reference), "", `{"f":{"id":1}}`, `{}`, problem("/f/id", "The field 'f.id' must be a string")},
		{"reference with an object for kind", one(reference), "", `{"f":{"id":"u-1","kind":{}}}`, `{}`, problem("/f/kind", "The field 'f.kind' must be a string")},
		{"reference with NUL", one(reference), "", `{"f":{"id":"u\u0000"}}`, `{}`, problem("/f/id", "The field 'f.id' must have at most 255 characters and no NUL")},
		{"reference as long as allowed", one(reference), "", `{"f":{"id":"` + strings.Repeat("x", 255) + `"}}`, `{"f":{"id":"` + strings.Repeat("x", 255) + `"}}`, nil},
		{"reference too long", one(reference), "", `{"f":{"id":"` + strings.Repeat("x", 256) + `"}}`, `{}`, problem("/f/id", "The field 'f.id' must have at most 255 characters and no NUL")},

		{"array", array(Field{Name: "item"}), "", `{"f":["a","b"]}`, `{"f":["a","b"]}`, nil},
		{"empty array", array(Field{Name: "item"}), "", `{"f":[]}`, `{"f":[]}`, nil},
		{"array from object", array(Field{Name: "item"}), "", `{"f":{"0":"a"}}`, `{}`, problem("/f", wrongArray)},
		{"array from string", array(Field{Name: "item"}), "", `{"f":"a"}`, `{}`, problem("/f", wrongArray)},
		{"null in an array", array(Field{Name: "item"}), "", `{"f":["a",null]}`, `{}`, problem("/f/1", "The field 'item' must be a string")},
		{"mistakes in an array", array(Field{Name: "item"}), "", `{"f":[1,"a",2]}`, `{}`, [][2]string{{"/f/0", "The field 'item' must be a string"}, {"/f/2", "The field 'item' must be a string"}}},
		{"array of references", array(Field{Name: "item", Type: Reference, To: &ReferenceTo{}}), "", `{"f":[{"id":"a"},{"id":""}]}`, `{}`, problem("/f/1/id", "The field 'item.id' is required")},
		{"array of structures", structures, "", `{"f":[{"x":"1"},{"x":"2","y":"3"}]}`, `{"f":[{"x":"1"},{"x":"2"}]}`, nil},
		{"mistake in an array of structures", structures, "", `{"f":[{"x":"1"},{}]}`, "", problem("/f/1/x", "The field 'x' is required")},
	})
}

// Every attribute, on create and on update.
func TestMergeAttributes(t *testing.T) {
	t.Parallel()
	const needed, notNull, fixed = "The field 'f' is required", "The field 'f' must not be null", "The field 'f' cannot be changed after creation"
	required, readOnly, once, immutable := one(Field{Required: true}), one(Field{ReadOnly: true}), one(Field{Once: true}), one(Field{Immutable: true})
	fixedRef := one(Field{Type: Reference, Immutable: true, To: &ReferenceTo{}})
	fixedRefs := one(Field{Type: Array, Immutable: true, Items: &Field{Name: "item", Type: Reference, To: &ReferenceTo{}}})
	fixedArray := one(Field{Type: Array, Immutable: true, Items: &Field{Name: "item"}})
	fixedTime := one(Field{Type: Timestamp, Immutable: true})
	byDefault := one(Field{Default: "d"})
	runMerge(t, []mergeCase{
		{"required is there", required, "", `{"f":"x"}`, `{"f":"x"}`, nil},
		{"required is absent", required, "", `{}`, `{}`, problem("/f", needed)},
		{"required is null", required, "", `{"f":null}`, "", problem("/f", notNull)},
		{"required has a wrong type", required, "", `{"f":1}`, "", problem("/f", "The field 'f' must be a string")},
		{"required stays", required, `{"f":"x"}`, `{}`, `{"f":"x"}`, nil},
		{"required is changed", required, `{"f":"x"}`, `{"f":"y"}`, `{"f":"y"}`, nil},
		{"required is cleared", required, `{"f":"x"}`, `{"f":null}`, "", problem("/f", notNull)},
		{"optional is cleared", one(Field{}), `{"f":"x"}`, `{"f":null}`, `{}`, nil},
		{"optional is null on create", one(Field{}), "", `{"f":null}`, `{}`, nil},
		{"unknown is ignored", one(Field{}), `{"f":"x"}`, `{"g":1,"F":"y","id":"z","metadata":{}}`, `{"f":"x"}`, nil},

		{"read-only is ignored on create", readOnly, "", `{"f":"x"}`, `{}`, nil},
		{"read-only is ignored on update", readOnly, `{"f":"x"}`, `{"f":"y"}`, `{"f":"x"}`, nil},
		{"read-only of a wrong type is ignored", readOnly, `{"f":"x"}`, `{"f":[1]}`, `{"f":"x"}`, nil},
		{"read-only stays when null is sent", readOnly, `{"f":"x"}`, `{"f":null}`, `{"f":"x"}`, nil},
		{"required and read-only is the server's affair", one(Field{Required: true, ReadOnly: true}), "", `{}`, `{}`, nil},
		{"once is ignored", once, "", `{"f":"x"}`, `{}`, nil},
		{"once is ignored on update", once, `{}`, `{"f":"x"}`, `{}`, nil},

		{"immutable is set on create", immutable, "", `{"f":"x"}`, `{"f":"x"}`, nil},
		{"immutable is sent again", immutable, `{"f":"x"}`, `{"f":"x"}`, `{"f":"x"}`, nil},
		{"immutable is changed", immutable, `{"f":"x"}`, `{"f":"y"}`, `{"f":"x"}`, problem("/f", fixed)},
		{"immutable is cleared", immutable, `{"f":"x"}`, `{"f":null}`, `{"f":"x"}`, problem("/f", fixed)},
		{"immutable that was never set is cleared", immutable, `{}`, `{"f":null}`, `{}`, nil},
		{"immutable is set later", immutable, `{}`, `{"f":"x"}`, `{}`, problem("/f", fixed)},
		{"immutable is left out", immutable, `{"f":"x"}`, `{}`, `{"f":"x"}`, nil},
		{"immutable reference by id alone", fixedRef, `{"f":{"id":"u-1","related":"/iam/v2/users/u-1","resource_name":"crn://x/y=z"}}`, `{"f":{"id":"u-1"}}`, `{"f":{"id":"u-1","related":"/iam/v2/users/u-1","resource_name":"crn://x/y=z"}}`, nil},
		{"immutable reference to another", fixedRef, `{"f":{"id":"u-1"}}`, `{"f":{"id":"u-2"}}`, `{"f":{"id":"u-1"}}`, problem("/f", fixed)},
		{"immutable references again", fixedRefs, `{"f":[{"id":"a","related":"/a"},{"id":"b"}]}`, `{"f":[{"id":"a"},{"id":"b"}]}`, `{"f":[{"id":"a","related":"/a"},{"id":"b"}]}`, nil},
		{"immutable references in another order", fixedRefs, `{"f":[{"id":"a"},{"id":"b"}]}`, `{"f":[{"id":"b"},{"id":"a"}]}`, "", problem("/f", fixed)},
		{"one immutable reference less", fixedRefs, `{"f":[{"id":"a"},{"id":"b"}]}`, `{"f":[{"id":"a"}]}`, "", problem("/f", fixed)},
		{"immutable array again", fixedArray, `{"f":["a","b"]}`, `{"f":["a","b"]}`, `{"f":["a","b"]}`, nil},
		{"immutable array is changed", fixedArray, `{"f":["a","b"]}`, `{"f":["a"]}`, "", problem("/f", fixed)},
		{"immutable time in another zone", fixedTime, `{"f":"2024-01-01T00:00:00.000000Z"}`, `{"f":"2024-01-01T01:00:00+01:00"}`, `{"f":"2024-01-01T00:00:00.000000Z"}`, nil},
		{"immutable number again", one(Field{Type: Integer, Immutable: true}), `{"f":5}`, `{"f":5}`, `{"f":5}`, nil},
		{"immutable number is changed", one(Field{Type: Integer, Immutable: true}), `{"f":5}`, `{"f":6}`, `{"f":5}`, problem("/f", fixed)},
		{"immutable of a wrong type", immutable, `{"f":"x"}`, `{"f":1}`, `{"f":"x"}`, problem("/f", "The field 'f' must be a string")},

		{"default on create", byDefault, "", `{}`, `{"f":"d"}`, nil},
		{"default does not replace", byDefault, "", `{"f":"x"}`, `{"f":"x"}`, nil},
		{"null is no absence", byDefault, "", `{"f":null}`, `{}`, nil},
		{"no default on update", byDefault, `{}`, `{}`, `{}`, nil},
		{"required with a default", one(Field{Required: true, Default: "d"}), "", `{}`, `{"f":"d"}`, nil},
		{"default false", one(Field{Type: Boolean, Default: false}), "", `{}`, `{"f":false}`, nil},
	})
}

func TestMergeStructuresAndArrays(t *testing.T) {
	t.Parallel()
	fields := []Field{
		{Name: "name"},
		{Name: "spec", Type: Structure, Required: true, Fields: []Field{
			{Name: "a", Required: true}, {Name: "b"}, {Name: "status", ReadOnly: true}, {Name: "fixed", Immutable: true},
			{Name: "deep", Type: Structure, Fields: []Field{{Name: "x"}, {Name: "y", Required: true}}},
			{Name: "list", Type: Array, Items: &Field{Name: "item"}},
		}},
	}
	const old = `{"name":"n","spec":{"a":"1","b":"2","status":"UP","fixed":"f","deep":{"x":"1","y":"2"},"list":["a","b"]}}`
	runMerge(t, []mergeCase{
		{"a property of a structure", fields, old, `{"spec":{"b":"3"}}`, strings.Replace(old, `"b":"2"`, `"b":"3"`, 1), nil},
		{"an empty structure changes nothing", fields, old, `{"spec":{}}`, old, nil},
		{"deeper", fields, old, `{"spec":{"deep":{"x":null}}}`, strings.Replace(old, `"x":"1",`, ``, 1), nil},
		{"a structure is cleared", fields, old, `{"spec":{"deep":null}}`, strings.Replace(old, `"deep":{"x":"1","y":"2"},`, ``, 1), nil},
		{"a required structure is not", fields, old, `{"spec":null}`, "", problem("/spec", "The field 'spec' must not be null")},
		{"arrays are replaced", fields, old, `{"spec":{"list":["c"]}}`, strings.Replace(old, `["a","b"]`, `["c"]`, 1), nil},
		{"arrays are emptied", fields, old, `{"spec":{"list":[]}}`, strings.Replace(old, `["a","b"]`, `[]`, 1), nil},
		{"read-only within", fields, old, `{"spec":{"status":"DOWN"}}`, old, nil},
		{"required within is cleared", fields, old, `{"spec":{"a":null}}`, "", problem("/spec/a", "The field 'a' must not be null")},
		{"required within what is new", fields, `{"name":"n","spec":{"a":"1"}}`, `{"spec":{"deep":{"x":"1"}}}`, "", problem("/spec/deep/y", "The field 'y' is required")},
		{"all that is wrong at once", fields, old, `{"name":1,"spec":{"a":null,"fixed":"g","deep":{"y":2},"list":["x",1]}}`, "", [][2]string{
			{"/name", "The field 'name' must be a string"},
			{"/spec/a", "The field 'a' must not be null"},
			{"/spec/fixed", "The field 'fixed' cannot be changed after creation"},
			{"/spec/deep/y", "The field 'y' must be a string"},
			{"/spec/list/1", "The field 'item' must be a string"},
		}},
		{"nothing sent on create", fields, "", `{}`, "", problem("/spec", "The field 'spec' is required")},
	})
}

func TestMergeLimits(t *testing.T) {
	t.Parallel()
	short := one(Field{MinLength: 2, MaxLength: 4})
	enum := one(Field{Enum: []string{"ONE", "TWO"}})
	fold := one(Field{Enum: []string{"ONE", "KELVIN"}, EnumFold: true})
	pattern := one(Field{Pattern: regexp.MustCompile("^[a-z]*$"), PatternHint: "have letters alone"})
	bounded := one(Field{Type: Array, MinItems: 1, MaxItems: 2, Items: &Field{Name: "item"}})
	accepted := func(name string, fields []Field, sent string) mergeCase {
		return mergeCase{name, fields, "", sent, sent, nil}
	}
	refused := func(name string, fields []Field, sent, message string) mergeCase {
		return mergeCase{name, fields, "", sent, `{}`, problem("/f", "The field 'f' "+message)}
	}
	runMerge(t, []mergeCase{
		accepted("shortest", short, `{"f":"é😀"}`),
		accepted("longest in characters, not bytes", short, `{"f":"😀😀😀😀"}`),
		refused("too long", short, `{"f":"😀😀😀😀😀"}`, "must have at most 4 characters, and has 5"),
		refused("too short", short, `{"f":"é"}`, "must have at least 2 characters, and has 1"),
		refused("empty", short, `{"f":""}`, "must not be empty"),
		accepted("value in any case", fold, `{"f":"kElvin"}`),
		refused("no value in any case", fold, `{"f":"two"}`, "must be one of ONE, KELVIN, in any case"),
		refused("what only looks like a value", fold, `{"f":"\u212Aelvin"}`, "must be one of ONE, KELVIN, in any case"),
		accepted("as long as any text", one(Field{}), `{"f":"`+strings.Repeat("é", MaxString)+`"}`),
		refused("longer than any text", one(Field{}), `{"f":"`+strings.Repeat("é", MaxString+1)+`"}`, "must have at most 4096 characters, and has 4097"),
		refused("NUL", one(Field{}), `{"f":"a\u0000b"}`, "must not contain a NUL character"),
		accepted("other control characters", one(Field{}), `{"f":"a\u0001\u001f\u007f\n"}`),
		accepted("enum", enum, `{"f":"TWO"}`),
		refused("enum in another case", enum, `{"f":"two"}`, "must be one of ONE, TWO"),
		refused("empty is not in the enum", enum, `{"f":""}`, "must be one of ONE, TWO"),
		accepted("pattern", pattern, `{"f":"abc"}`),
		refused("pattern does not match", pattern, `{"f":"a1"}`, "must have letters alone"),
		refused("pattern with a line end", pattern, `{"f":"a\n"}`, "must have letters alone"),
		refused("too few items", bounded, `{"f":[]}`, "must have 1 to 2 items, and has 0"),
		accepted("as many items as allowed", bounded, `{"f":["a","b"]}`),
		refused("too many items", bounded, `{"f":["a","b","c"]}`, "must have 1 to 2 items, and has 3"),
		accepted("no bound on items", one(Field{Type: Array, Items: &Field{Name: "item"}}), `{"f":["a","b","c","d"]}`),
	})
}

// A stored time is read again by the same rule, so it must be one that the
// rule takes: a time zone can carry the greatest year beyond four digits.
func TestMergeTimesCanBeSentBack(t *testing.T) {
	t.Parallel()
	fields := one(Field{Type: Timestamp})
	for _, sent := range []string{"9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00", "0000-01-01T00:00:00Z"} {
		doc, problems := merge(fields, nil, map[string]any{"f": sent}, "")
		if len(problems) > 0 {
			continue // refusing is right too
		}
		if _, err := time.Parse(time.RFC3339Nano, doc.String("f")); err != nil {
			t.Errorf("%s was taken and is kept as %s, which is no time", sent, doc.String("f"))
		}
	}
}

// Documents are changed by hooks; what one object was given must not turn up
// in the definition, and so in the next object.
func TestMergeSharesNoDefault(t *testing.T) {
	t.Parallel()
	fields := one(Field{Type: Structure, Fields: []Field{{Name: "x"}}, Default: Doc{"x": "default"}})
	first, _ := merge(fields, nil, map[string]any{}, "")
	first.Set("f.x", "changed by a hook")
	second, _ := merge(fields, nil, map[string]any{}, "")
	if got := second.String("f.x"); got != "default" {
		t.Errorf("the next object begins with %q", got)
	}
}

func TestMergePointersBeginWhereTold(t *testing.T) {
	t.Parallel()
	_, problems := merge(one(Field{Required: true}), nil, map[string]any{}, "/data/3")
	want := []api.Problem{{Message: "The field 'f' is required", Pointer: "/data/3/f"}}
	if !reflect.DeepEqual(problems, want) {
		t.Errorf("problems are %+v, want %+v", problems, want)
	}
}

// Whatever is sent, a document without problems can be rendered, and sending
// it back changes nothing.
func FuzzMerge(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"text":"x","required":"y"}`, `{"text":null,"required":null}`, `{"required":"é","flag":true,"n":-0,"at":"2024-01-01T00:00:00.5+14:00"}`,
		`{"required":"a","spec":{"inner":"\u0001","list":["a",""]},"ref":{"id":"x","kind":"y"},"refs":[{"id":"a"}]}`,
		`{"required":"a","ref":{"related":"https://weir.example/org/v2/environments/env-1"},"refs":[{"related":"/%00"},{"related":"x/"}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sent, ok := decodeObject(text)
		if !ok || !utf8.ValidString(text) {
			return
		}
		k := sampleKind()
		doc, problems := merge(k.Fields, nil, sent, "")
		for _, p := range problems {
			if p.Message == "" || !strings.HasPrefix(p.Pointer, "/") {
				t.Fatalf("%q: problem %+v", text, p)
			}
		}
		if len(problems) > 0 {
			return
		}
		o := sampleObject(k, doc)
		again, problems := merge(k.Fields, doc, sent, "")
		if len(problems) > 0 {
			t.Fatalf("%q: refused the second time: %+v", text, problems)
		}
		second := sampleObject(k, again)
		if string(o.render(false)) != string(second.render(false)) {
			t.Fatalf("%q: repeated, it changes\n%s to\n%s", text, o.render(false), second.render(false))
		}
	})
}

func decodeObject(text string) (map[string]any, bool) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v map[string]any
	return v, dec.Decode(&v) == nil && v != nil
}
