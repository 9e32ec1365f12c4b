package engine_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/server"
)

func publicEngine(t *testing.T, publicURL string) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Config{PublicURL: publicURL, Kinds: server.Kinds(), Calls: server.Calls()})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func marshalOpenAPI(t *testing.T, doc *openapi3.T) []byte {
	t.Helper()
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	for _, publicURL := range []string{"https://weir.example.com", ""} {
		doc := publicEngine(t, publicURL).OpenAPI("1.2.3")
		if err := doc.Validate(t.Context(), openapi3.EnableMultiError()); err != nil {
			t.Errorf("as built, public URL %q: %v", publicURL, err)
		}
		read, err := openapi3.NewLoader().LoadFromData(marshalOpenAPI(t, doc))
		if err != nil {
			t.Fatal(err)
		}
		if err := read.Validate(t.Context(), openapi3.EnableMultiError()); err != nil {
			t.Errorf("as read, public URL %q: %v", publicURL, err)
		}
		if read.OpenAPI != "3.1.0" || read.Info.Version != "1.2.3" {
			t.Errorf("OpenAPI %s, version %s", read.OpenAPI, read.Info.Version)
		}
	}
}

func TestOpenAPIIsDeterministic(t *testing.T) {
	t.Parallel()
	e := publicEngine(t, "https://weir.example.com")
	first := marshalOpenAPI(t, e.OpenAPI("1"))
	for range 5 {
		if !bytes.Equal(first, marshalOpenAPI(t, e.OpenAPI("1"))) {
			t.Fatal("two documents of one engine differ")
		}
	}
}

// Every row of the table is in the document, as the table has it; what is not
// served promises nothing but 501.
func TestOpenAPIHasEveryOperation(t *testing.T) {
	t.Parallel()
	e := publicEngine(t, "https://weir.example.com")
	doc := e.OpenAPI("1")
	for _, row := range operation.All() {
		item := doc.Paths.Value(row.Path)
		if item == nil || item.GetOperation(row.Method) == nil {
			t.Errorf("%s %s is not in the document", row.Method, row.Path)
			continue
		}
		o := item.GetOperation(row.Method)
		if o.OperationID != row.ID || o.Summary != row.Title() || len(o.Tags) != 1 || o.Tags[0] != row.Tag() || doc.Tags.Get(row.Tag()) == nil {
			t.Errorf("%s: id %s, title %q, tags %v", row.ID, o.OperationID, o.Summary, o.Tags)
		}
		if o.Extensions["x-weir-served"] != e.Serves(row.ID) || o.Extensions["x-lifecycle-stage"] != row.Lifecycle {
			t.Errorf("%s: extensions %v", row.ID, o.Extensions)
		}
		if o.Security == nil || len(*o.Security) != len(row.Credentials) {
			t.Errorf("%s: security %v, want one of %v", row.ID, o.Security, row.Credentials)
		}
		_, sunset := o.Extensions["x-sunset-at"]
		if !row.Deprecated.IsZero() && !o.Deprecated || sunset != !row.Sunset.IsZero() {
			t.Errorf("%s: deprecated %v, extensions %v", row.ID, o.Deprecated, o.Extensions)
		}
		if e.Serves(row.ID) {
			if o.Responses.Status(row.Success) == nil {
				t.Errorf("%s: no response %d", row.ID, row.Success)
			}
			if o.Responses.Status(501) != nil {
				t.Errorf("%s is served and says 501", row.ID)
			}
			continue
		}
		if o.Responses.Len() != 1 || o.Responses.Status(501) == nil || o.RequestBody != nil {
			t.Errorf("%s is not served and promises more than 501", row.ID)
		}
	}
}

// The statuses are those that the published documents declare for the verbs,
// and those that Weir adds.
func TestOpenAPIStatuses(t *testing.T) {
	t.Parallel()
	doc := publicEngine(t, "https://weir.example.com").OpenAPI("1")
	always := []int{400, 401, 403, 406, 429, 500, 503}
	for _, c := range []struct {
		method, path string
		also         []int
	}{
		{"GET", "/iam/v2/api-keys", []int{200}},
		{"POST", "/iam/v2/api-keys", []int{202, 402, 409, 413, 415, 422}},
		{"GET", "/iam/v2/api-keys/{id}", []int{200, 404}},
		{"PATCH", "/iam/v2/api-keys/{id}", []int{200, 402, 404, 409, 413, 415, 422}},
		{"DELETE", "/iam/v2/api-keys/{id}", []int{204, 404, 409}},
		{"POST", "/org/v2/environments", []int{201, 402, 409, 413, 415, 422}},
	} {
		responses := doc.Paths.Value(c.path).GetOperation(c.method).Responses
		want := append(c.also, always...)
		if responses.Len() != len(want) {
			t.Errorf("%s %s: %d responses, want %d", c.method, c.path, responses.Len(), len(want))
		}
		for _, status := range want {
			r := responses.Value(strconv.Itoa(status))
			if r == nil {
				t.Errorf("%s %s: no response %d", c.method, c.path, status)
				continue
			}
			headers := []string{"X-Request-Id"}
			switch {
			case status < 300:
				headers = append(headers, "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
				if c.method == "POST" {
					headers = append(headers, "Location")
				}
			case status == 401:
				headers = append(headers, "WWW-Authenticate")
			case status == 409:
				headers = append(headers, "Location")
			case status == 429:
				headers = append(headers, "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
			case status == 503:
				headers = append(headers, "Retry-After")
			}
			if len(r.Value.Headers) != len(headers) {
				t.Errorf("%s %s: %d has %d headers, want %v", c.method, c.path, status, len(r.Value.Headers), headers)
			}
			for _, h := range headers {
				if r.Value.Headers[h] == nil {
					t.Errorf("%s %s: %d has no header %s", c.method, c.path, status, h)
				}
			}
		}
	}
}
