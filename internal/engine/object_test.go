package engine

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/random"
)

func TestDocGet(t *testing.T) {
	t.Parallel()
	d := Doc{"a": "x", "b": Doc{"c": Doc{"d": "deep"}, "n": json.Number("1")}, "l": []any{"i"}, "dot.ted": "never found"}
	for path, want := range map[string]any{
		"a": "x", "b.c.d": "deep", "b.n": json.Number("1"),
		"": nil, "z": nil, "a.b": nil, "b.z": nil, "b.c.d.e": nil, "l.0": nil, "z.z.z": nil, "dot.ted": nil, "b.": nil,
	} {
		if got := d.Get(path); !reflect.DeepEqual(got, want) {
			t.Errorf("Get(%q) is %v, want %v", path, got, want)
		}
		text, _ := want.(string)
		if got := d.String(path); got != text {
			t.Errorf("String(%q) is %q, want %q", path, got, text)
		}
	}
	if got := Doc(nil).Get("a.b"); got != nil {
		t.Errorf("a nil document has %v", got)
	}
}

func TestDocSet(t *testing.T) {
	t.Parallel()
	d := Doc{}
	d.Set("a", "1")
	d.Set("b.c.d", "2")
	d.Set("b.e", true)
	if want := (Doc{"a": "1", "b": Doc{"c": Doc{"d": "2"}, "e": true}}); !reflect.DeepEqual(d, want) {
		t.Fatalf("the document is %v, want %v", d, want)
	}
	d.Set("a", "3")
	d.Set("b.c.d", nil)
	d.Set("b.e", nil)
	d.Set("z", nil)
	if want := (Doc{"a": "3", "b": Doc{"c": Doc{}}}); !reflect.DeepEqual(d, want) {
		t.Errorf("the document is %v, want %v", d, want)
	}
}

func TestDocClone(t *testing.T) {
	t.Parallel()
	d := Doc{"a": "1", "b": Doc{"c": "2"}, "l": []any{Doc{"x": "3"}, "4"}}
	want := Doc{"a": "1", "b": Doc{"c": "2"}, "l": []any{Doc{"x": "3"}, "4"}}
	c := d.Clone()
	if !reflect.DeepEqual(c, want) {
		t.Fatalf("the copy is %v", c)
	}
	c.Set("a", "changed")
	c.Set("b.c", "changed")
	c["l"].([]any)[0].(Doc)["x"] = "changed"
	c["l"].([]any)[1] = "changed"
	if !reflect.DeepEqual(d, want) {
		t.Errorf("the original was changed to %v", d)
	}
	if c := Doc(nil).Clone(); c == nil || len(c) != 0 {
		t.Errorf("the copy of nil is %v", c)
	}
}

func TestObjectCloneIsForAChange(t *testing.T) {
	t.Parallel()
	o := &Object{Kind: sampleKind(), ID: "sm-a", Doc: Doc{"spec": Doc{"inner": "x"}}, Private: []byte("p"), Once: map[string]string{"spec.secret": "s"}}
	c := o.clone()
	c.Doc.Set("spec.inner", "y")
	if o.Doc.String("spec.inner") != "x" || c.Once != nil || o.Once == nil || string(c.Private) != "p" || c.ID != o.ID {
		t.Errorf("the copy is %+v, the original %+v", c, o)
	}
}

func TestObjectPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, parent, want string }{
		{"/iam/v2/users", "", "/iam/v2/users/x-1"},
		{"/iam/v2/identity-providers/{provider_id}/identity-pools", "op-1", "/iam/v2/identity-providers/op-1/identity-pools/x-1"},
		{"/srcm/v2/{id}", "p", "/srcm/v2/p/x-1"},
	} {
		o := &Object{Kind: &Kind{Path: c.kind}, Parent: c.parent, ID: "x-1"}
		if got := o.Path(); got != c.want {
			t.Errorf("the path below %s is %s, want %s", c.kind, got, c.want)
		}
	}
}

func TestObjectNames(t *testing.T) {
	t.Parallel()
	k := sampleKind()
	o := &Object{Kind: k, Org: "org-1", ID: "sm-a"}
	if got := o.Key(); got.Kind != "sample/v1.Sample" || got.ID != "sm-a" {
		t.Errorf("the key is %+v", got)
	}
	if got, want := o.ResourceName(), "crn://confluent.cloud/organization=org-1/sample=sm-a"; got != want {
		t.Errorf("the name is %s, want %s", got, want)
	}
	k.Under = func(o *Object) crn.CRN { return crn.Must(OrganizationCRN(o.Org).Append("environment", "env-1")) }
	if got, want := o.ResourceName(), "crn://confluent.cloud/organization=org-1/environment=env-1/sample=sm-a"; got != want {
		t.Errorf("the name is %s, want %s", got, want)
	}
	k.Segment = ""
	if got, want := o.ResourceName(), "crn://confluent.cloud/organization=org-1/environment=env-1"; got != want {
		t.Errorf("the name without a segment is %s, want %s", got, want)
	}
	want := Doc{
		"id": "sm-a", "related": "/sample/v1/samples/sm-a", "resource_name": "crn://confluent.cloud/organization=org-1/environment=env-1",
		"api_version": "sample/v1", "kind": "Sample",
	}
	if got := o.Refer(); !reflect.DeepEqual(got, want) {
		t.Errorf("a reference to it is %v, want %v", got, want)
	}
}

func TestIDShape(t *testing.T) {
	t.Parallel()
	account := IDShape{Prefix: "sa-", Length: 6, Alphabet: random.LowerAlphanumeric}
	for id, want := range map[string]bool{
		"sa-abc123": true, "sa-a": true, "sa-123456789": true,
		"sa-" + strings.Repeat("x", MaxID-3): true,
		"sa-" + strings.Repeat("x", MaxID-2): false,
		"":                                   false, "sa-": false, "sa": false, "u-abc123": false, "SA-abc123": false, "sa-ABC123": false, "xsa-abc123": false,
		"sa-abc 12": false, "sa-abc\x00": false, "sa-é": false, "sa-a/b": false, "sa-sa-a": false, "sa-a\n": false,
	} {
		if got := account.Has(id); got != want {
			t.Errorf("Has(%q) is %v", id, got)
		}
	}
	account.Exact = true
	for id, want := range map[string]bool{"sa-abc123": true, "sa-abc12": false, "sa-abc1234": false} {
		if got := account.Has(id); got != want {
			t.Errorf("where the length counts, Has(%q) is %v", id, got)
		}
	}
}

func TestIDShapeKnowsItsOwn(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]IDShape{
		"short": {Prefix: "u-", Length: 6, Alphabet: random.LowerAlphanumeric},
		"mixed": {Prefix: "rb-", Length: 6, Alphabet: random.MixedAlphanumeric},
		"long":  {Prefix: "pool-", Length: 20, Alphabet: random.MixedAlphanumeric},
		"UUID":  {Prefix: "x-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]bool{}
			for range 100 {
				id := s.New()
				if !s.Has(id) {
					t.Fatalf("%q was made of the shape and is not of it", id)
				}
				if s.Length > 0 && len(id) != len(s.Prefix)+s.Length {
					t.Fatalf("%q has a wrong length", id)
				}
				seen[id] = true
			}
			if len(seen) < 99 {
				t.Errorf("only %d of 100 differ", len(seen))
			}
		})
	}
}

func TestWalkGoesThroughStructures(t *testing.T) {
	t.Parallel()
	var paths []string
	k := sampleKind()
	walk(k.Fields, "", func(path string, f *Field) {
		if !strings.HasSuffix(path, f.Name) {
			t.Errorf("%s is the path of %s", path, f.Name)
		}
		paths = append(paths, path)
	})
	want := []string{"text", "required", "flag", "n", "at", "spec", "spec.secret", "spec.inner", "spec.list", "spec.owner", "ref", "refs", "parts"}
	if !slices.Equal(paths, want) {
		t.Errorf("paths are %v, want %v", paths, want)
	}
	if f := k.field("spec.owner"); f == nil || f.Type != Reference {
		t.Errorf("field(spec.owner) is %+v", f)
	}
	for _, path := range []string{"", "spec.", "owner", "spec.owner.id"} {
		if f := k.field(path); f != nil {
			t.Errorf("field(%q) is %+v", path, f)
		}
	}
}
