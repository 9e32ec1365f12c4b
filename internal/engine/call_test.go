package engine

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/operation"
)

const (
	anyOperation  = "listServiceQuotaV1Scopes" // asks for credentials
	openOperation = "exchangeStsV1OauthToken"  // asks for none
)

func doNothing(context.Context, *Calling) (*Answer, error) { return &Answer{}, nil }

func TestNewReportsMistakesInCalls(t *testing.T) {
	t.Parallel()
	asks := &Permission{"Describe", "Organization"}
	for name, c := range map[string]struct {
		calls []*Call
		want  string
	}{
		"unknown operation":        {[]*Call{{Operation: "doNothing", Description: "x", Open: true, Do: doNothing}}, "there is no operation doNothing"},
		"nothing to do":            {[]*Call{{Operation: anyOperation, Description: "x", Open: true}}, "has nothing to do"},
		"no description":           {[]*Call{{Operation: anyOperation, Open: true, Do: doNothing}}, "no description"},
		"asks for nothing":         {[]*Call{{Operation: anyOperation, Description: "x", Do: doNothing}}, "ask for a permission or be open"},
		"asks and is open":         {[]*Call{{Operation: anyOperation, Description: "x", Asks: asks, Open: true, Do: doNothing}}, "ask for a permission or be open"},
		"asks about nobody":        {[]*Call{{Operation: openOperation, Description: "x", Asks: asks, Do: doNothing}}, "no caller to ask about"},
		"served twice":             {[]*Call{{Operation: anyOperation, Description: "x", Open: true, Do: doNothing}, {Operation: anyOperation, Description: "x", Open: true, Do: doNothing}}, "served twice"},
		"served by a kind as well": {[]*Call{{Operation: "listIamV2ServiceAccounts", Description: "x", Open: true, Do: doNothing}}, "served twice"},
	} {
		_, err := New(Config{Kinds: []*Kind{goodKind()}, Calls: c.calls})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
		}
	}
}

// calling serves one call to a caller with the role on the organization, or to
// nobody.
func calling(t *testing.T, call *Call, role string, r *http.Request) (*Answer, error) {
	t.Helper()
	const org = "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"
	e, err := New(Config{
		Calls: []*Call{call},
		Authenticate: func(*http.Request, []string) (*authn.Caller, error) {
			bindings := []authz.Binding{{Role: role, Scope: crn.PatternOf(OrganizationCRN(org))}}
			return &authn.Caller{Subject: authz.NewSubject(org, "u-1", bindings)}, nil
		},
		Admit: func(http.ResponseWriter, *http.Request, *authn.Caller) (leave func(), err error) {
			return func() {}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	op, _ := operation.ByID(call.Operation)
	answer, _, err := e.Handle(httptest.NewRecorder(), r, op, nil)
	return answer, err
}

func TestCallAsksBeforeItTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	call := &Call{
		Operation: anyOperation, Description: "x", Asks: &Permission{"Alter", "Organization"},
		Body: []Field{{Name: "name", Required: true, Description: "A name."}},
		Do: func(_ context.Context, c *Calling) (*Answer, error) {
			return &Answer{Status: c.Success, Body: Document([]Field{{Name: "hello"}}, Doc{"hello": c.Body.String("name")})}, nil
		},
	}
	ask := func(role, body string) (*Answer, error) {
		return calling(t, call, role, httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body)))
	}
	for _, c := range []struct {
		role, body string
		want       *api.Code
	}{
		{authz.OrganizationAdmin, `{}`, api.ValidationFailed},
		{authz.OrganizationAdmin, `[`, api.MalformedRequest},
		{"MetricsViewer", `{}`, api.UserUnauthorized},
		{"MetricsViewer", `{"name":"x"}`, api.UserUnauthorized},
	} {
		_, err := ask(c.role, c.body)
		var refused *api.Error
		if !errors.As(err, &refused) || refused.Code != c.want {
			t.Errorf("%s, %s: %v, want %s", c.role, c.body, err, c.want.Name)
		}
	}
	answer, err := ask(authz.OrganizationAdmin, `{"name":"you"}`)
	if err != nil || string(answer.Body) != `{"hello":"you"}` {
		t.Errorf("the answer is %+v, %v", answer, err)
	}
}

func TestCallWithoutCredentialsReadsAForm(t *testing.T) {
	t.Parallel()
	call := &Call{
		Operation: openOperation, Description: "x", Form: true,
		Body: []Field{{Name: "grant_type", Required: true, Description: "Which."}},
		Do: func(_ context.Context, c *Calling) (*Answer, error) {
			if c.Caller != nil {
				t.Error("there is a caller")
			}
			return &Answer{Body: []byte(c.Body.String("grant_type"))}, nil
		},
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("grant_type=a%20b"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := calling(t, call, "", r)
	if err != nil || string(answer.Body) != "a b" {
		t.Errorf("the answer is %+v, %v", answer, err)
	}
}
