package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/store"
)

// NewID returns the ID of a new event.
func NewID() string { return uuid.NewString() }

// Entry is the event as it is stored: a CloudEvent in JSON.
func (e *Event) Entry() store.Event {
	return store.Event{Org: e.Organization, At: e.Time, Body: e.render()}
}

// render writes the event by hand: it is part of every change, while others
// wait for the transaction, and its parts are rendered already.
func (e *Event) render() []byte {
	b := object{buf: make([]byte, 0, 1024+len(e.Submitted)+len(e.Result))}
	b.open("")
	b.text("specversion", "1.0")
	b.text("id", e.ID)
	b.text("source", Source)
	b.text("type", TypeRequest)
	b.text("subject", e.Resource)
	b.text("time", e.Time.UTC().Format(time.RFC3339Nano))
	b.text("datacontenttype", "application/json")
	b.text("partitionkey", e.Organization)
	b.open("data")
	b.text("serviceName", Source)
	b.text("methodName", e.Method)
	b.text("resourceName", e.Resource)
	b.resources(e.Resources)
	b.authentication(e.Actor)
	b.authorization(e.Authorization, e.Actor)
	b.metadata(e.Actor)
	b.open("request")
	b.text("accessType", string(e.Access))
	b.raw("data", e.Submitted)
	b.close()
	b.open("result")
	status := "SUCCESS"
	if e.Failed {
		status = "FAILURE"
	}
	b.text("status", status)
	b.raw("data", e.Result)
	b.close()
	b.close()
	b.close()
	return b.buf
}

func (b *object) resources(resources []Resource) {
	if len(resources) == 0 {
		return
	}
	b.list("cloudResources", len(resources), func(i int) {
		r := resources[i]
		b.open("")
		b.open("scope")
		b.list("resources", len(r.Scope), func(i int) { b.resource("", TypeOf(r.Scope[i].Key), r.Scope[i].Value) })
		b.close()
		b.resource("resource", r.Type, r.ID)
		b.close()
	})
}

func (b *object) resource(name, kind, id string) {
	b.open(name)
	b.text("type", kind)
	b.text("resourceId", id)
	b.close()
}

func (b *object) authentication(a *Actor) {
	if a == nil {
		a = &weir
	}
	b.open("authenticationInfo")
	switch {
	case a.Principal != "":
		b.open("principal")
		b.open(principalType(a.Principal))
		b.text("resourceId", a.Principal)
		b.close()
		b.close()
	case a.Component != "":
		b.open("principal")
		b.open("weirComponent")
		b.text("resourceId", a.Component)
		b.close()
		b.close()
	}
	switch {
	case a.Refused != "":
		b.text("result", "FAILURE")
		b.text("errorMessage", a.Refused)
	case a.Component != "" || a.Principal == "":
		b.text("result", "UNSET")
	default:
		b.text("result", "SUCCESS")
	}
	if a.Mechanism != "" {
		b.open("credentials")
		if a.Credential != "" {
			b.open("idSecretCredentials")
			b.text("credentialId", a.Credential)
			b.close()
		}
		if t := a.Token; t != nil {
			b.open("idTokenCredentials")
			b.text("credentialId", t.ID)
			b.text("type", t.Type)
			b.text("issuer", t.Issuer)
			b.text("subject", t.Subject)
			if len(t.Audience) > 0 {
				b.list("audience", len(t.Audience), func(i int) { b.text("", t.Audience[i]) })
			}
			b.close()
		}
		b.text("mechanism", a.Mechanism)
		b.close()
	}
	b.text("identity", a.Identity)
	b.close()
}

// principalType is the name of a principal's field, which follows from its ID.
func principalType(id string) string {
	switch prefix, _, _ := strings.Cut(id, "-"); prefix {
	case "u":
		return "confluentUser"
	case "sa":
		return "confluentServiceAccount"
	case "pool":
		return "identityPool"
	case "group":
		return "group"
	default:
		return "externalAccount"
	}
}

func (b *object) authorization(a *Authorization, actor *Actor) {
	b.open("authorizationInfo")
	switch {
	case a == nil:
		b.text("result", "UNSET")
	case a.Allowed:
		b.text("result", "ALLOW")
	default:
		b.text("result", "DENY")
	}
	if a != nil {
		b.text("operation", a.Operation)
		b.text("resourceType", a.ResourceType)
		b.text("resourceName", a.ResourceName)
		if a.OperationGroup != "" {
			b.open("ipfilterAuthorization")
			if actor != nil && actor.Client.IsValid() {
				b.text("client_ip", actor.Client.String())
			}
			b.text("resource_group", a.OperationGroup)
			b.close()
		}
	}
	b.close()
}

func (b *object) metadata(a *Actor) {
	b.open("requestMetadata")
	if a != nil && a.RequestID != "" {
		b.list("requestId", 1, func(int) { b.text("", a.RequestID) })
	}
	if a != nil && a.Client.IsValid() {
		b.list("clientAddress", 1, func(int) {
			b.open("")
			b.text("ip", a.Client.String())
			b.close()
		})
	}
	b.close()
}

// TypeOf is the type of resources as events spell it: of what stands in
// resource names under the key ("service-account"), or of a kind of objects
// ("ServiceAccount") both are "SERVICE_ACCOUNT".
func TypeOf(name string) string {
	if special := types[name]; special != "" {
		return special
	}
	var b strings.Builder
	for i, c := range name {
		switch {
		case c == '-':
			c = '_'
		case c >= 'A' && c <= 'Z' && i > 0:
			b.WriteByte('_')
		}
		b.WriteRune(c)
	}
	return strings.ToUpper(b.String())
}

// types are those that do not follow from the name.
var types = map[string]string{
	"kafka":           "KAFKA_CLUSTER",
	"ksql":            "KSQL_CLUSTER",
	"schema-registry": "SCHEMA_REGISTRY_CLUSTER",
	"Ksqldb":          "KSQL_CLUSTER",
}

// ResourceOf names the object with the resource name: what stands before its
// last segment is the scope. An object of a name with one segment, an
// organization, stands in itself.
func ResourceOf(name crn.CRN, kind, id string) Resource {
	r := Resource{Type: kind, ID: id}
	for s := range name.Segments() {
		r.Scope = append(r.Scope, s)
	}
	if len(r.Scope) > 1 {
		r.Scope = r.Scope[:len(r.Scope)-1]
	}
	return r
}

// Gap is the event for a consumer of events that were removed before it was
// given them: those behind the one number, up to the other.
func Gap(now time.Time, after, through int64) []byte {
	var b object
	b.open("")
	b.text("specversion", "1.0")
	b.text("id", NewID())
	b.text("source", Source)
	b.text("type", TypeGap)
	b.text("time", now.UTC().Format(time.RFC3339Nano))
	b.text("datacontenttype", "application/json")
	b.open("data")
	b.text("firstSequence", Sequence(after+1))
	b.text("lastSequence", Sequence(through))
	b.close()
	b.close()
	return b.buf
}

// Sequence is the number of an event as the extension attribute "sequence" has
// it: texts of one length, which sort as the numbers do.
func Sequence(seq int64) string { return fmt.Sprintf("%019d", seq) }

// WithSequence returns the stored event with its number in it, which it has
// from the database alone.
func WithSequence(body []byte, seq int64) []byte {
	const name = `{"sequence":"`
	out := make([]byte, 0, len(body)+len(name)+24)
	out = append(out, name...)
	out = append(out, Sequence(seq)...)
	out = append(out, `",`...)
	return append(out, body[1:]...)
}

// object appends JSON. Texts that are empty are left out where they have a
// name.
type object struct {
	buf []byte
}

// begin puts a comma where one belongs, and the name.
func (b *object) begin(name string) {
	if n := len(b.buf); n > 0 && b.buf[n-1] != '{' && b.buf[n-1] != '[' {
		b.buf = append(b.buf, ',')
	}
	if name != "" {
		b.buf = append(b.buf, '"')
		b.buf = append(b.buf, name...)
		b.buf = append(b.buf, `":`...)
	}
}

func (b *object) open(name string) {
	b.begin(name)
	b.buf = append(b.buf, '{')
}

func (b *object) close() { b.buf = append(b.buf, '}') }

func (b *object) list(name string, n int, item func(i int)) {
	b.begin(name)
	b.buf = append(b.buf, '[')
	for i := range n {
		item(i)
	}
	b.buf = append(b.buf, ']')
}

func (b *object) text(name, value string) {
	if value == "" && name != "" {
		return
	}
	b.begin(name)
	b.buf = appendText(b.buf, value)
}

func (b *object) raw(name string, value []byte) {
	if value == nil {
		return
	}
	b.begin(name)
	b.buf = append(b.buf, value...)
}

// appendText appends a JSON string. Most have nothing to escape.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			var escaped bytes.Buffer
			enc := json.NewEncoder(&escaped)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(s); err != nil {
				panic(fmt.Sprintf("audit: encode text: %v", err)) // a string always encodes
			}
			return append(b, bytes.TrimRight(escaped.Bytes(), "\n")...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
