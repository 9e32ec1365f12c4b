// Package audittest checks events of the audit log in tests, and rebuilds from
// them what they tell of.
package audittest

import (
	"bytes"
	"encoding/json"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weirhq/weir/docs"
	"github.com/weirhq/weir/internal/audit"
)

// Event is an event that was read.
type Event struct {
	ID, Subject, PartitionKey string
	Data                      Data
	// Raw is the event as it came.
	Raw []byte
}

// Data is the part of an event's data that tests look at.
type Data struct {
	MethodName, ResourceName string
	CloudResources           []struct {
		Scope struct{ Resources []Resource }
		Resource
	}
	AuthenticationInfo struct {
		Principal    map[string]struct{ ResourceID string }
		Result       string
		ErrorMessage string
		Credentials  struct {
			IDSecretCredentials struct{ CredentialID string }
			Mechanism           string
		}
	}
	AuthorizationInfo struct {
		Result, Operation, ResourceType, ResourceName string
		IPFilterAuthorization                         IPFilterAuthorization
	}
	RequestMetadata struct {
		RequestID     []string
		ClientAddress []struct{ IP string }
	}
	Request struct {
		AccessType string
		Data       json.RawMessage
	}
	Result struct {
		Status string
		Data   json.RawMessage
	}
}

// IPFilterAuthorization is what IP filters have refused.
type IPFilterAuthorization struct {
	ClientIP      string `json:"client_ip"`
	ResourceGroup string `json:"resource_group"`
}

// Resource is a type with an ID.
type Resource struct {
	Resource struct{ Type, ResourceID string }
	Type     string
	// ResourceID is that of a part of a scope.
	ResourceID string
}

// Principal is the kind and the ID of who acted.
func (d *Data) Principal() (kind, id string) {
	for kind, p := range d.AuthenticationInfo.Principal {
		return kind, p.ResourceID
	}
	return "", ""
}

var schema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	const url = "audit-event.schema.json"
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(docs.AuditEventSchema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(url, document); err != nil {
		return nil, err
	}
	return c.Compile(url)
})

// Read returns the event.
func Read(t testing.TB, body []byte) Event {
	t.Helper()
	e := Event{Raw: body}
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("not an event: %v: %s", err, body)
	}
	return e
}

// Check holds an event to CloudEvents 1.0 and to the schema of the data, and
// returns it.
func Check(t testing.TB, body []byte) Event {
	t.Helper()
	var e event.Event
	if bytes.ContainsAny(body, "\n\r\x01") {
		t.Errorf("an event with control characters: %q", body)
	}
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("not a CloudEvent: %v: %s", err, body)
	}
	if err := e.Validate(); err != nil {
		t.Errorf("not a valid CloudEvent: %v: %s", err, body)
	}
	if e.Type() != audit.TypeRequest || e.Source() != audit.Source || e.Time().IsZero() || e.DataContentType() != "application/json" {
		t.Errorf("not an event of the audit log: %s", body)
	}
	compiled, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	data, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.DataEncoded))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(data); err != nil {
		t.Errorf("the data has the wrong shape: %v\n%s", err, body)
	}
	return Read(t, body)
}

// State is what events tell of: the objects that there are, by resource name.
type State map[string]string

// Apply changes the state as the event says.
func (s State) Apply(t testing.TB, e Event) {
	t.Helper()
	switch {
	case e.Data.Request.AccessType != "MODIFICATION" || e.Data.Result.Status != "SUCCESS":
	case e.Data.Result.Data == nil:
		if s[e.Subject] == "" {
			t.Errorf("deleted, and was not there: %s", e.Raw)
		}
		delete(s, e.Subject)
	default:
		s[e.Subject] = string(e.Data.Result.Data)
	}
}
