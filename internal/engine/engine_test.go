package engine

import (
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/operation"
)

// goodKind is a definition without a mistake, on an operation that exists.
func goodKind() *Kind {
	return &Kind{
		Group: "iam", Version: "v2", Name: "ServiceAccount", Path: "/iam/v2/service-accounts", Resource: "ServiceAccount",
		ID: IDShape{Prefix: "sa-", Length: 6, Alphabet: "abc"}, Segment: "service-account", UniqueName: "display_name",
		Operations: map[Verb]string{
			List: "listIamV2ServiceAccounts", Create: "createIamV2ServiceAccount", Read: "getIamV2ServiceAccount",
			Update: "updateIamV2ServiceAccount", Delete: "deleteIamV2ServiceAccount",
		},
		Fields: []Field{
			{Name: "display_name", Required: true, MaxLength: 64, Description: "Its name."},
			{Name: "owner", Type: Reference, Description: "Its owner.", To: &ReferenceTo{Kinds: []string{"iam/v2.ServiceAccount"}}},
			{Name: "owners", Type: Array, Description: "All of them.", Items: &Field{Name: "owner", Type: Reference, Description: "One.", To: &ReferenceTo{Kinds: []string{"iam/v2.ServiceAccount"}}}},
			{Name: "spec", Type: Structure, Description: "More.", Fields: []Field{{Name: "inner", Description: "One."}}},
		},
		OwnedBy: "owner",
	}
}

func TestNewTakesAGoodDefinition(t *testing.T) {
	t.Parallel()
	k := goodKind()
	e, err := New(Config{Kinds: []*Kind{k}})
	if err != nil {
		t.Fatal(err)
	}
	if e.Kind("iam/v2.ServiceAccount") != k || e.Kind("iam/v2.User") != nil {
		t.Error("kinds are not found by their key")
	}
	for _, op := range operation.All() {
		want := slices.Contains([]string{k.Operations[List], k.Operations[Create], k.Operations[Read], k.Operations[Update], k.Operations[Delete]}, op.ID)
		if e.Serves(op.ID) != want {
			t.Errorf("Serves(%s) is %v", op.ID, !want)
		}
	}
	if e.Serves("") || e.Serves("noSuchOperation") {
		t.Error("serves what does not exist")
	}
}

func TestNewReportsMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(k *Kind)
		want   string
	}{
		"unknown operation":              {func(k *Kind) { k.Operations[List] = "listNothing" }, "there is no operation listNothing"},
		"wrong path":                     {func(k *Kind) { k.Path = "/iam/v2/users" }, "is at /iam/v2/service-accounts, not /iam/v2/users"},
		"operation of an object on list": {func(k *Kind) { k.Operations[List] = "getIamV2ServiceAccount"; delete(k.Operations, Read) }, "is at /iam/v2/service-accounts/{id}"},
		"wrong method":                   {func(k *Kind) { k.Operations = map[Verb]string{List: "createIamV2ServiceAccount"} }, "has method POST, which does not list"},
		"delete that reads":              {func(k *Kind) { k.Operations = map[Verb]string{Delete: "getIamV2ServiceAccount"} }, "has method GET, which does not delete"},
		"unknown verb":                   {func(k *Kind) { k.Operations["undelete"] = "getIamV2ServiceAccount" }, "which does not undelete"},
		"reference without target":       {func(k *Kind) { k.Fields[1].To = nil }, "reference owner says not to what"},
		"array of references without":    {func(k *Kind) { k.Fields[2].Items.To = nil }, "reference owners says not to what"},
		"array without items":            {func(k *Kind) { k.Fields[2].Items = nil }, "array owners has no items"},
		"address that users choose":      {func(k *Kind) { k.Fields[0].Type = Address }, "address display_name must be read-only"},
		"field without description":      {func(k *Kind) { k.Fields[0].Description = "" }, "field display_name has no description"},
		"write-only field that is shown": {func(k *Kind) { k.Fields[0].WriteOnly, k.Fields[0].Filter = true, FilterOne }, "nothing can be shown of the write-only field display_name"},
		"inner field without":            {func(k *Kind) { k.Fields[3].Fields[0].Description = "" }, "field spec.inner has no description"},
		"no such unique field":           {func(k *Kind) { k.UniqueName = "name" }, "there is no field name"},
		"no such owner":                  {func(k *Kind) { k.OwnedBy = "spec.owner" }, "there is no field spec.owner"},
		"parent in the path alone":       {func(k *Kind) { k.Path = "/iam/v2/{x}/y"; k.Operations = nil }, "the path names a parent, and there is none"},
		"action without an operation":    {func(k *Kind) { k.Actions = []Action{{Operation: "doNothing"}} }, "there is no operation doNothing"},
		"action on the collection": {func(k *Kind) {
			k.Operations = map[Verb]string{Read: "getIamV2ServiceAccount"}
			k.Actions = []Action{{Operation: "createIamV2ServiceAccount"}}
		}, "there is no operation createIamV2ServiceAccount on its objects"},
		"action that is a verb too":        {func(k *Kind) { k.Actions = []Action{{Operation: "updateIamV2ServiceAccount"}} }, "updateIamV2ServiceAccount is served twice"},
		"no such parent field":             {func(k *Kind) { k.Parent, k.ParentField = goodKind(), "environment" }, "environment"},
		"parent field that can change":     {func(k *Kind) { k.Parent, k.ParentField = goodKind(), "owner" }, "owner"},
		"parent field without parent kind": {func(k *Kind) { k.ParentField = "owner"; k.Fields[1].Required, k.Fields[1].Immutable = true, true }, "parent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := goodKind()
			c.change(k)
			e, err := New(Config{Kinds: []*Kind{k}})
			if err == nil || e != nil {
				t.Fatal("the mistake was not noticed")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "iam/v2.ServiceAccount") {
				t.Errorf("the error is %q, want %q and the kind", err, c.want)
			}
		})
	}
}

func TestNewReportsWhatIsListedTwice(t *testing.T) {
	t.Parallel()
	k := goodKind()
	_, err := New(Config{Kinds: []*Kind{k, k}})
	if err == nil || !strings.Contains(err.Error(), "kind iam/v2.ServiceAccount is listed twice") {
		t.Errorf("the error is %v", err)
	}
	other := goodKind()
	other.Name = "RobotAccount"
	_, err = New(Config{Kinds: []*Kind{k, other}})
	if err == nil || !strings.Contains(err.Error(), "operation getIamV2ServiceAccount is served twice") {
		t.Errorf("the error is %v", err)
	}
}

func TestNewReportsAllMistakesTogether(t *testing.T) {
	t.Parallel()
	k := goodKind()
	k.Fields[0].Description, k.Fields[1].To, k.UniqueName = "", nil, "name"
	_, err := New(Config{Kinds: []*Kind{k}})
	if err == nil {
		t.Fatal("the mistakes were not noticed")
	}
	for _, want := range []string{"has no description", "says not to what", "there is no field name"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

func TestKindNames(t *testing.T) {
	t.Parallel()
	k := goodKind()
	if k.Key() != "iam/v2.ServiceAccount" || k.APIVersion() != "iam/v2" || k.ListKind() != "ServiceAccountList" {
		t.Errorf("names are %s, %s, %s", k.Key(), k.APIVersion(), k.ListKind())
	}
	if got := k.pageSize(); got != (PageSize{10, 100}) {
		t.Errorf("the page size is %v", got)
	}
	k.PageSize = PageSize{5, 20}
	if got := k.pageSize(); got != (PageSize{5, 20}) {
		t.Errorf("the page size is %v", got)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	k := &Kind{UniqueName: "display_name", Fields: []Field{
		{Name: "display_name", Filter: FilterAny},
		{Name: "description"},
		{Name: "spec", Type: Structure, Fields: []Field{{Name: "owner", Type: Reference, Filter: FilterOne}}},
	}}
	for query, want := range map[string]url.Values{
		"":               {},
		"display_name=a": {"display_name": {"a"}},
		// Values can be the words of one name.
		"display_name=a&display_name=b": {"display_name": {"a", "b", "a b"}},
		// A comma separates values and may be part of one.
		"display_name=a,b":                {"display_name": {"a,b", "a", "b"}},
		"display_name=a%2Cb":              {"display_name": {"a,b", "a", "b"}},
		"display_name=a,b&display_name=c": {"display_name": {"a,b", "c", "a", "b", "a,b c"}},
		"display_name=":                   {},
		"display_name=&display_name=a":    {"display_name": {"a"}},
		"display_name=%20":                {"display_name": {" "}},
		"spec.owner=u-1":                  {"spec.owner": {"u-1"}},
		"spec.owner=u-1,u-2":              {"spec.owner": {"u-1,u-2"}},
		"spec.owner=":                     {},
		"owner=u-1":                       {},
		"spec=x":                          {},
		"description=x":                   {},
		"DISPLAY_NAME=x":                  {},
		"page_size=1&page_token=x&z=y":    {},
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.filters(values)
		for parameter, sent := range got {
			_, f := k.filter(parameter)
			got[parameter] = f.meant(sent)
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %v, %v, want %v", query, got, err, want)
		}
	}
}

func TestRequiredFilters(t *testing.T) {
	t.Parallel()
	k := &Kind{Fields: []Field{
		{Name: "a", Filter: FilterOne},
		{Name: "b", Filter: FilterOne, FilterRequired: true},
		{Name: "c", Filter: FilterAny, FilterRequired: true},
	}}
	for query, missing := range map[string]string{
		"": "b", "a=1": "b", "b=1": "c", "b=&c=1": "b", "b=1&c=1": "",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.filters(values)
		var refused *api.Error
		switch {
		case missing == "" && err != nil:
			t.Errorf("%s is refused: %v", query, err)
		case missing != "" && (!errors.As(err, &refused) || refused.Code != api.InvalidParameter || refused.Problems[0].Parameter != missing):
			t.Errorf("%s gives %v, %v, want a problem with %s", query, got, err, missing)
		}
	}
}

func TestColumn(t *testing.T) {
	t.Parallel()
	k := goodKind()
	if got := k.column("display_name"); got != "name" {
		t.Errorf("the unique name is in column %q", got)
	}
	if got := k.column("spec.owner"); got != "spec.owner" {
		t.Errorf("spec.owner is in column %q", got)
	}
}
