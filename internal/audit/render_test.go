package audit_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/audit/audittest"
	"github.com/weirhq/weir/internal/crn"
)

const root = "crn://confluent.cloud/organization=9bb441c4-edef-46ac-8a41-c49e44a3fd9a"

func full() *audit.Event {
	name, err := crn.Parse(root + "/environment=env-1/cloud-cluster=lkc-1/kafka=lkc-1/topic=a%2Fb")
	if err != nil {
		panic(err)
	}
	return &audit.Event{
		ID: "1", Time: time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.FixedZone("", 3600)), Organization: "9bb441c4-edef-46ac-8a41-c49e44a3fd9a",
		Method: "CreateTopic", Access: audit.Modification, Resource: name.String(),
		Resources: []audit.Resource{audit.ResourceOf(name, "TOPIC", "a/b")},
		Actor: &audit.Actor{
			Organization: "9bb441c4-edef-46ac-8a41-c49e44a3fd9a", Principal: "pool-1", Identity: root + "/identity-provider=op-1/identity=x",
			Mechanism: audit.HTTPBearer, Token: &audit.Token{Type: "JWT", Issuer: "https://idp", Subject: "x", Audience: []string{"a", "b"}},
			RequestID: strings.Repeat("0a", 16), Client: netip.MustParseAddr("2001:db8::1"),
		},
		Authorization: &audit.Authorization{Operation: "Create", ResourceType: "Topic", ResourceName: root, Allowed: true},
		Submitted:     []byte(`{"topic_name":"a/b"}`),
		Result:        []byte(`{"api_version":"kafka/v3","kind":"Topic","id":"a/b","metadata":{}}`),
	}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	entry := full().Entry()
	if entry.Org != "9bb441c4-edef-46ac-8a41-c49e44a3fd9a" || !entry.At.Equal(full().Time) {
		t.Errorf("the entry is %+v", entry)
	}
	want := `{"specversion":"1.0","id":"1","source":"crn://confluent.cloud/","type":"io.confluent.cloud/request",` +
		`"subject":"` + root + `/environment=env-1/cloud-cluster=lkc-1/kafka=lkc-1/topic=a%2Fb","time":"2026-03-01T11:00:00.123456Z",` +
		`"datacontenttype":"application/json","partitionkey":"9bb441c4-edef-46ac-8a41-c49e44a3fd9a","data":{"serviceName":"crn://confluent.cloud/",` +
		`"methodName":"CreateTopic","resourceName":"` + root + `/environment=env-1/cloud-cluster=lkc-1/kafka=lkc-1/topic=a%2Fb",` +
		`"cloudResources":[{"scope":{"resources":[{"type":"ORGANIZATION","resourceId":"9bb441c4-edef-46ac-8a41-c49e44a3fd9a"},` +
		`{"type":"ENVIRONMENT","resourceId":"env-1"},{"type":"CLOUD_CLUSTER","resourceId":"lkc-1"},{"type":"KAFKA_CLUSTER","resourceId":"lkc-1"}]},` +
		`"resource":{"type":"TOPIC","resourceId":"a/b"}}],"authenticationInfo":{"principal":{"identityPool":{"resourceId":"pool-1"}},"result":"SUCCESS",` +
		`"credentials":{"idTokenCredentials":{"type":"JWT","issuer":"https://idp","subject":"x","audience":["a","b"]},"mechanism":"HTTP_BEARER"},` +
		`"identity":"` + root + `/identity-provider=op-1/identity=x"},"authorizationInfo":{"result":"ALLOW","operation":"Create","resourceType":"Topic","resourceName":"` + root + `"},` +
		`"requestMetadata":{"requestId":["` + strings.Repeat("0a", 16) + `"],"clientAddress":[{"ip":"2001:db8::1"}]},` +
		`"request":{"accessType":"MODIFICATION","data":{"topic_name":"a/b"}},` +
		`"result":{"status":"SUCCESS","data":{"api_version":"kafka/v3","kind":"Topic","id":"a/b","metadata":{}}}}}`
	if string(entry.Body) != want {
		t.Errorf("the event is\n%s\nwant\n%s", entry.Body, want)
	}
	audittest.Check(t, audit.WithSequence(entry.Body, 42))
	if !strings.HasPrefix(string(audit.WithSequence(entry.Body, 42)), `{"sequence":"0000000000000000042","specversion"`) {
		t.Error("the number is not there")
	}
}

// Every part that may be missing.
func TestEventsWithLess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(e *audit.Event)
		want   string
	}{
		"Weir itself":    {func(e *audit.Event) { e.Actor = nil }, `{"principal":{"weirComponent":{"resourceId":"weir"}},"result":"UNSET"}`},
		"a part of it":   {func(e *audit.Event) { e.Actor = audit.ActorOf(audit.As(t.Context(), "bootstrap")) }, `{"weirComponent":{"resourceId":"bootstrap"}}`},
		"nobody":         {func(e *audit.Event) { e.Actor = &audit.Actor{Refused: "No"} }, `"authenticationInfo":{"result":"FAILURE","errorMessage":"No"}`},
		"a key":          {func(e *audit.Event) { e.Actor.Token, e.Actor.Credential = nil, "KEY" }, `"credentials":{"idSecretCredentials":{"credentialId":"KEY"},"mechanism"`},
		"user":           {func(e *audit.Event) { e.Actor.Principal = "u-1" }, `"confluentUser":{"resourceId":"u-1"}`},
		"account":        {func(e *audit.Event) { e.Actor.Principal = "sa-1" }, `"confluentServiceAccount":{"resourceId":"sa-1"}`},
		"group":          {func(e *audit.Event) { e.Actor.Principal = "group-1" }, `"group":{"resourceId":"group-1"}`},
		"something else": {func(e *audit.Event) { e.Actor.Principal = "x" }, `"externalAccount":{"resourceId":"x"}`},
		"no decision":    {func(e *audit.Event) { e.Authorization = nil }, `"authorizationInfo":{"result":"UNSET"}`},
		"denied":         {func(e *audit.Event) { e.Authorization.Allowed = false }, `"authorizationInfo":{"result":"DENY","operation"`},
		"gone":           {func(e *audit.Event) { e.Result = nil }, `"result":{"status":"SUCCESS"}`},
		"failed": {func(e *audit.Event) { e.Failed, e.Result = true, []byte(`{"status":409,"code":"x","message":"y"}`) },
			`"result":{"status":"FAILURE","data":{"status":409`},
		"nothing known": {func(e *audit.Event) {
			*e = audit.Event{ID: e.ID, Time: e.Time, Method: e.Method, Access: audit.ReadOnly}
		}, `"requestMetadata":{}`},
		"to be escaped": {func(e *audit.Event) { e.Actor.Principal = "x\"\\\n<é>" }, `"resourceId":"x\"\\\n<é>"`},
	} {
		e := full()
		c.change(e)
		body := e.Entry().Body
		if !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %s, want %s", name, body, c.want)
		}
		audittest.Check(t, body)
	}
}

func TestTypeOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"organization": "ORGANIZATION", "service-account": "SERVICE_ACCOUNT", "cloud-cluster": "CLOUD_CLUSTER", "kafka": "KAFKA_CLUSTER",
		"ServiceAccount": "SERVICE_ACCOUNT", "ApiKey": "API_KEY", "IpFilter": "IP_FILTER", "IdentityPool": "IDENTITY_POOL", "User": "USER",
	} {
		if got := audit.TypeOf(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestActorOf(t *testing.T) {
	t.Parallel()
	if a := audit.ActorOf(context.Background()); a.Component != "weir" {
		t.Errorf("without a word it is %+v", a)
	}
	who := &audit.Actor{Principal: "u-1"}
	if a := audit.ActorOf(audit.WithActor(t.Context(), who)); a != who {
		t.Errorf("it is %+v", a)
	}
}

// Whatever texts are in an event, it is one JSON text on one line that says
// them.
func FuzzEvent(f *testing.F) {
	f.Add("u-1", "message", "10.0.0.1")
	f.Add("\x00\x01\n\"\\", "\u2028é😀", "\xff")
	f.Fuzz(func(t *testing.T, principal, message, method string) {
		e := full()
		e.Actor.Principal, e.Actor.Refused, e.Method = principal, message, method
		body := e.Entry().Body
		var read struct {
			Data struct {
				MethodName         string
				AuthenticationInfo struct{ ErrorMessage string }
			}
		}
		if err := json.Unmarshal(body, &read); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if strings.ContainsAny(string(body), "\n\x01") {
			t.Errorf("control characters: %q", body)
		}
		if utf8.ValidString(message) && read.Data.AuthenticationInfo.ErrorMessage != message || utf8.ValidString(method) && read.Data.MethodName != method {
			t.Errorf("%q and %q are read as %+v", message, method, read)
		}
	})
}

// BenchmarkEvent compares the rendering by hand with what the CloudEvents SDK
// needs to write the same event, its data given as JSON.
func BenchmarkEvent(b *testing.B) {
	e := full()
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.Entry()
		}
	})
	var sdk event.Event
	if err := json.Unmarshal(e.Entry().Body, &sdk); err != nil {
		b.Fatal(err)
	}
	b.Run("by the SDK", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(sdk); err != nil {
				b.Fatal(err)
			}
		}
	})
}
