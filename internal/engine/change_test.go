package engine

import (
	"reflect"
	"strings"
	"testing"
)

func putFields() []Field {
	return []Field{
		{Name: "name", Required: true},
		{Name: "note"},
		{Name: "state", ReadOnly: true},
		{Name: "cloud", Immutable: true},
		{Name: "spec", Type: Structure, Fields: []Field{
			{Name: "size"},
			{Name: "phase", ReadOnly: true},
			{Name: "region", Immutable: true},
		}},
	}
}

func TestReplaceable(t *testing.T) {
	t.Parallel()
	old := Doc{"name": "n", "note": "x", "state": "UP", "cloud": "AWS"}
	got := replaceable(putFields(), old)
	if want := (Doc{"state": "UP", "cloud": "AWS"}); !reflect.DeepEqual(got, want) {
		t.Errorf("a PUT keeps %v, want %v", got, want)
	}
	if got := replaceable(putFields(), Doc{}); len(got) != 0 {
		t.Errorf("of nothing it keeps %v", got)
	}
}

// put is what update does with the body of a PUT.
func put(t *testing.T, old Doc, sent string) (Doc, [][2]string) {
	t.Helper()
	doc, problems := merge(putFields(), replaceable(putFields(), old), body(t, sent), "")
	var found [][2]string
	for _, p := range problems {
		found = append(found, [2]string{p.Pointer, p.Message})
	}
	return doc, found
}

func TestPutReplaces(t *testing.T) {
	t.Parallel()
	old := Doc{"name": "n", "note": "x", "state": "UP", "cloud": "AWS"}
	doc, problems := put(t, old, `{"name":"m","state":"DOWN","cloud":"AWS"}`)
	if want := (Doc{"name": "m", "state": "UP", "cloud": "AWS"}); problems != nil || !reflect.DeepEqual(doc, want) {
		t.Errorf("the document is %v with %v, want %v", doc, problems, want)
	}
	if _, problems := put(t, old, `{}`); !reflect.DeepEqual(problems, problem("/name", "The field 'name' is required")) {
		t.Errorf("without a required field the problems are %v", problems)
	}
	if _, problems := put(t, old, `{"name":"m","cloud":"GCP"}`); !reflect.DeepEqual(problems, problem("/cloud", "The field 'cloud' cannot be changed after creation")) {
		t.Errorf("for an immutable field the problems are %v", problems)
	}
}

// What is read-only or immutable within a structure is no less so.
func TestPutKeepsWhatIsFixedWithinAStructure(t *testing.T) {
	t.Parallel()
	old := Doc{"name": "n", "spec": Doc{"size": "1", "phase": "READY", "region": "eu"}}
	for sent, want := range map[string]Doc{
		`{"name":"n","spec":{"size":"2","region":"eu"}}`: {"name": "n", "spec": Doc{"size": "2", "phase": "READY", "region": "eu"}},
		`{"name":"n","spec":{"size":"2"}}`:               {"name": "n", "spec": Doc{"size": "2", "phase": "READY", "region": "eu"}},
		`{"name":"n","spec":{"region":"eu"}}`:            {"name": "n", "spec": Doc{"phase": "READY", "region": "eu"}},
	} {
		doc, problems := put(t, old, sent)
		if problems != nil || !reflect.DeepEqual(doc, want) {
			t.Errorf("%s gives %v with %v, want %v", sent, doc, problems, want)
		}
	}
}

// What a PUT leaves out is not there any more, and its required parts are
// missing then: those that cannot change do not stand in for the rest.
func TestPutCannotLeaveOutARequiredStructure(t *testing.T) {
	t.Parallel()
	fields := []Field{
		{Name: "name", Required: true},
		{Name: "spec", Type: Structure, Required: true, Fields: []Field{
			{Name: "size", Required: true},
			{Name: "region", Immutable: true},
		}},
	}
	old := Doc{"name": "n", "spec": Doc{"size": "1", "region": "eu"}}
	for _, sent := range []string{`{"name":"m"}`, `{"name":"m","spec":{}}`, `{"name":"m","spec":{"region":"eu"}}`} {
		doc, problems := merge(fields, replaceable(fields, old), body(t, sent), "")
		if len(problems) != 1 || !strings.HasPrefix(problems[0].Pointer, "/spec") {
			t.Errorf("%s gives %v with %v, want one problem with /spec", sent, doc, problems)
		}
	}
}

func TestOnDelete(t *testing.T) {
	t.Parallel()
	cascade, restrict := &ReferenceTo{OnDelete: Cascade}, &ReferenceTo{OnDelete: Restrict}
	k := &Kind{
		ParentField: "environment",
		Fields: []Field{
			{Name: "environment", Type: Reference, To: restrict},
			{Name: "owner", Type: Reference, To: cascade},
			{Name: "network", Type: Reference, To: restrict},
			{Name: "members", Type: Array, Items: &Field{Type: Reference, To: cascade}},
			{Name: "spec", Type: Structure, Fields: []Field{{Name: "owner", Type: Reference, To: cascade}}},
		},
		Links: func(*Object) []Link {
			return []Link{{Field: "principal.id", OnDelete: Cascade}, {Field: "pattern", OnDelete: Restrict}}
		},
	}
	for field, want := range map[string]OnDelete{
		"parent": Cascade, "environment": Cascade, "owner": Cascade, "network": Restrict, "members": Cascade,
		"spec.owner": Cascade, "principal.id": Cascade, "pattern": Restrict,
		// What a definition no longer knows of must not delete anything.
		"gone": Restrict, "spec": Restrict,
	} {
		if got := (&Object{Kind: k}).onDelete(field); got != want {
			t.Errorf("%s reacts with %v, want %v", field, got, want)
		}
	}
}

func TestEntries(t *testing.T) {
	t.Parallel()
	users := IDShape{Prefix: "u-", Length: 6, Alphabet: "abc"}
	accounts := IDShape{Prefix: "sa-", Length: 6, Alphabet: "abc"}
	user := &Kind{Group: "iam", Version: "v2", Name: "User", ID: users}
	account := &Kind{Group: "iam", Version: "v2", Name: "ServiceAccount", ID: accounts}
	owner := &ReferenceTo{Kinds: []string{user.Key(), account.Key()}}
	k := &Kind{
		Group: "iam", Version: "v2", Name: "Thing", UniqueName: "name",
		Fields: []Field{
			{Name: "name", Filter: FilterAny},
			{Name: "state", Filter: FilterOne},
			{Name: "note"},
			{Name: "spec", Type: Structure, Fields: []Field{{Name: "owner", Type: Reference, Filter: FilterOne, To: owner}}},
			{Name: "members", Type: Array, Items: &Field{Name: "member", Type: Reference, To: owner}},
		},
	}
	e, err := newUnchecked(user, account, k)
	if err != nil {
		t.Fatal(err)
	}
	o := &Object{Kind: k, Doc: Doc{
		"name": "n", "state": "UP", "note": "x",
		"spec":    Doc{"owner": Doc{"id": "sa-abc", "kind": "ServiceAccount"}},
		"members": []any{Doc{"id": "u-abc"}, Doc{"id": "sa-cba"}, Doc{"id": "elsewhere"}},
	}}
	want := map[[3]string]bool{
		{"spec.owner", "sa-abc", account.Key()}: true,
		{"members", "u-abc", user.Key()}:        true,
		{"members", "sa-cba", account.Key()}:    true,
		{"members", "elsewhere", ""}:            true,
		{"state", "UP", ""}:                     true,
	}
	got := map[[3]string]bool{}
	for _, entry := range e.entries(o) {
		got[[3]string{entry.Field, entry.Value, entry.Target}] = true
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("entries are %v, want %v", got, want)
	}
}

// newUnchecked is an engine for kinds that are served nowhere.
func newUnchecked(kinds ...*Kind) (*Engine, error) {
	for _, k := range kinds {
		walk(k.Fields, "", func(_ string, f *Field) { f.Description = "For a test." })
	}
	return New(Config{Kinds: kinds})
}
