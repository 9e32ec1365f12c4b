package engine

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/ipfilter"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
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

const callersOrg = "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"

// eventLog is a store that keeps events, and nothing else.
type eventLog struct {
	store.Store
	events []string
}

func (l *eventLog) Update(_ context.Context, fn func(store.Tx) error) error {
	return fn(eventTx{log: l})
}

type eventTx struct {
	store.Tx
	log *eventLog
}

func (tx eventTx) Append(events ...store.Event) error {
	for _, e := range events {
		tx.log.events = append(tx.log.events, string(e.Body))
	}
	return nil
}

// calling serves one call to a caller with the role on the organization, or to
// nobody, where there are no IP filters.
func calling(t *testing.T, call *Call, role string, r *http.Request) (*Answer, error) {
	t.Helper()
	answer, _, err := audited(t, call, role, r, ipfilter.Rules{})
	return answer, err
}

// filtered is calling under IP filters.
func filtered(t *testing.T, call *Call, role string, r *http.Request, rules ipfilter.Rules) (*Answer, error) {
	t.Helper()
	answer, _, err := audited(t, call, role, r, rules)
	return answer, err
}

// audited is filtered with the events that it adds.
func audited(t *testing.T, call *Call, role string, r *http.Request, rules ipfilter.Rules) (*Answer, []string, error) {
	t.Helper()
	log := &eventLog{}
	e, err := New(Config{
		Calls: []*Call{call}, Store: log, Now: time.Now,
		Authenticate: func(*http.Request, []string) (*authn.Caller, error) {
			bindings := []authz.Binding{{Role: role, Scope: crn.PatternOf(OrganizationCRN(callersOrg))}}
			return &authn.Caller{Subject: authz.NewSubject(callersOrg, "u-1", bindings), Scheme: operation.Session, Credential: "session-1"}, nil
		},
		Admit: func(http.ResponseWriter, *http.Request, *authn.Caller) (leave func(), err error) {
			return func() {}, nil
		},
		Filters: func(context.Context, string) (*ipfilter.Table, error) { return rules.Prepare(), nil },
		Client:  func(r *http.Request) netip.Addr { return netip.MustParseAddrPort(r.RemoteAddr).Addr() },
	})
	if err != nil {
		t.Fatal(err)
	}
	op, _ := operation.ByID(call.Operation)
	answer, _, err := e.Handle(httptest.NewRecorder(), r, op, nil)
	return answer, log.events, err
}

// Calls that are no GET are in the audit log, without their bodies; others as
// reads are.
func TestCallsAreAudited(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		operation, role, method string
		failure                 error
		want                    []string
	}{
		"exchange": {openOperation, "", "ExchangeToken", nil, []string{
			`"methodName":"ExchangeToken"`, `"accessType":"UNKNOWN"`, `"status":"SUCCESS"`, `"authenticationInfo":{"principal":{"identityPool":{"resourceId":"pool-1"}},"result":"SUCCESS"`,
		}},
		"exchange that fails": {openOperation, "", "", api.New(api.BadRequest, "No"), []string{
			`"methodName":"ExchangeStsV1OauthToken"`, `"status":"FAILURE"`, `"message":"No"`,
		}},
		"read": {anyOperation, authz.OrganizationAdmin, "", nil, []string{
			`"methodName":"ListServiceQuotaV1Scopes"`, `"accessType":"READ_ONLY"`, `"idTokenCredentials":{"credentialId":"session-1","type":"confluent_auth","subject":"u-1"}`,
			`"authorizationInfo":{"result":"ALLOW","operation":"Alter","resourceType":"Organization"`,
		}},
		"read that is denied": {anyOperation, "MetricsViewer", "", nil, []string{`"authorizationInfo":{"result":"DENY"`, `"status":"FAILURE"`}},
	} {
		call := &Call{Operation: c.operation, Description: "x", Method: c.method, Form: true, Body: []Field{{Name: "subject_token", Description: "x"}}}
		if c.role != "" {
			call.Asks = &Permission{"Alter", "Organization"}
		}
		call.Do = func(_ context.Context, calling *Calling) (*Answer, error) {
			if calling.Caller == nil {
				calling.Actor.Organization, calling.Actor.Principal = "org", "pool-1"
			}
			return &Answer{}, c.failure
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("subject_token=hunter2"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		_, events, err := audited(t, call, c.role, r, ipfilter.Rules{})
		if c.failure == nil && c.role != "MetricsViewer" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(events) != 1 {
			t.Errorf("%s: the events are %v", name, events)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(events[0], want) {
				t.Errorf("%s: %s, want %s", name, events[0], want)
			}
		}
		if strings.Contains(events[0], "hunter2") {
			t.Errorf("%s: the body is in the event: %s", name, events[0])
		}
	}
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

// A call about an environment is under that one's filters, too, once the caller
// may know of it.
func TestCallIsUnderTheFiltersOfItsEnvironment(t *testing.T) {
	t.Parallel()
	rules := ipfilter.Rules{
		Networks: map[string][]netip.Prefix{"ipg-1": {netip.MustParsePrefix("192.0.2.7/32")}},
		Filters:  map[string]ipfilter.Filter{"ipf-1": {Environment: "env-1", OperationGroups: []string{operation.Management}, Groups: []string{"ipg-1"}}},
	}
	call := &Call{
		Operation: anyOperation, Description: "d", Asks: &Permission{authz.Describe, "IpFilter"}, Do: doNothing,
		On: func(_ context.Context, c *Calling) (crn.Pattern, error) {
			return crn.ParsePattern(c.Query.Get("on"))
		},
	}
	for _, c := range []struct {
		role, on, client string
		want             *api.Code
	}{
		{"OrganizationAdmin", "/environment=env-1", "192.0.2.7", nil},
		{"OrganizationAdmin", "/environment=env-1", "192.0.2.8", api.AddressNotAllowed},
		{"OrganizationAdmin", "/environment=env-1/cloud-cluster=lkc-1", "192.0.2.8", api.AddressNotAllowed},
		{"OrganizationAdmin", "/environment=env-2", "192.0.2.8", nil},
		{"OrganizationAdmin", "/environment=*", "192.0.2.8", nil}, // about the organization
		{"OrganizationAdmin", "", "192.0.2.8", nil},
		{"MetricsViewer", "/environment=env-1", "192.0.2.8", api.UserUnauthorized},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?on=crn://confluent.cloud/organization="+callersOrg+c.on, nil)
		r.RemoteAddr = c.client + ":1"
		_, err := filtered(t, call, c.role, r, rules)
		var refused *api.Error
		if errors.As(err, &refused); (c.want == nil) != (err == nil) || refused != nil && refused.Code != c.want {
			t.Errorf("%s on %q from %s: %v", c.role, c.on, c.client, err)
		}
	}
}
