package apidocs

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

const exampleDocument = `
openapi: 3.1.0
info: {title: T, version: v}
paths:
  /a/v1/things:
    get:
      operationId: list
      parameters:
      - {name: spec.owner, in: query, required: true, schema: {type: string}}
      - {name: page_size, in: query, schema: {type: integer}}
      responses: {}
    post:
      operationId: create
      security: [{confluent-sts-access-token: []}]
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [name, tags, at, id]
              properties:
                id: {type: string, readOnly: true}
                name: {type: string, example: "it's"}
                note: {type: string}
                tags: {type: array, items: {type: string, enum: [x, y]}}
                at: {type: string, format: date-time}
      responses: {}
  /a/v1/things/{thing_id}:
    patch:
      operationId: update
      parameters:
      - {name: thing_id, in: path, required: true, schema: {type: string}}
      - {name: If-Match, in: header, required: true, schema: {type: string}}
      requestBody: {content: {application/json: {schema: {type: object, properties: {on: {type: boolean}, n: {type: integer, minimum: 5}}}}}}
      responses: {}
    delete:
      operationId: delete
      security: []
      parameters: [{name: thing_id, in: path, required: true, schema: {type: string}}]
      responses: {}
  /a/v1/token:
    post:
      operationId: exchange
      security: []
      requestBody: {content: {application/x-www-form-urlencoded: {schema: {type: object, required: [grant_type], properties: {grant_type: {const: "a:b c"}}}}}}
      responses: {}
security: [{api-key: []}]
`

func examples(t *testing.T, doc *openapi3.T) map[string]string {
	t.Helper()
	ref := newReference(doc)
	got := make(map[string]string)
	for _, a := range ref.APIs {
		for _, r := range ref.detail(a).Resources {
			for _, o := range r.Operations {
				got[o.ID] = o.Example
			}
		}
	}
	return got
}

func TestCurl(t *testing.T) {
	t.Parallel()
	got := examples(t, mustDocument(t, exampleDocument))
	tests := []struct{ id, want string }{
		{"list", "curl \"$WEIR_URL/a/v1/things?spec.owner=${SPEC_OWNER}\" \\\n  --user \"$API_KEY:$API_SECRET\""},
		{"create", "curl --request POST \"$WEIR_URL/a/v1/things\" \\\n  --header \"Authorization: Bearer $ACCESS_TOKEN\" \\\n" +
			"  --header 'Content-Type: application/json' \\\n  --data '{\n  \"at\": \"2026-01-31T12:00:00Z\",\n  \"name\": \"it'\\''s\",\n  \"tags\": [\n    \"x\"\n  ]\n}'"},
		{"update", "curl --request PATCH \"$WEIR_URL/a/v1/things/${THING_ID}\" \\\n  --user \"$API_KEY:$API_SECRET\" \\\n  --header \"If-Match: ${IF_MATCH}\" \\\n" +
			"  --header 'Content-Type: application/json' \\\n  --data '{\n  \"n\": 5,\n  \"on\": true\n}'"},
		{"delete", "curl --request DELETE \"$WEIR_URL/a/v1/things/${THING_ID}\""},
		{"exchange", "curl --request POST \"$WEIR_URL/a/v1/token\" \\\n  --header 'Content-Type: application/x-www-form-urlencoded' \\\n  --data 'grant_type=a%3Ab+c'"},
	}
	for _, tt := range tests {
		if got[tt.id] != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.id, got[tt.id], tt.want)
		}
	}
}

func TestCurlNamesTheServer(t *testing.T) {
	t.Parallel()
	doc := mustDocument(t, exampleDocument)
	doc.Servers = openapi3.Servers{{URL: "https://weir.example.com:8443/"}}
	if got := examples(t, doc)["delete"]; !strings.Contains(got, `"https://weir.example.com:8443/a/v1/things/${THING_ID}"`) {
		t.Errorf("got %s", got)
	}
	doc.Servers = openapi3.Servers{{URL: "/"}}
	if got := examples(t, doc)["delete"]; !strings.Contains(got, "$WEIR_URL/a") {
		t.Errorf("got %s", got)
	}
}

// A shell must read an example as one command whose arguments are what is
// meant, whatever the document holds.
func TestCurlIsOneCommand(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell here")
	}
	nasty := "a'b\"c$(exit 9)`exit 9`\\ d"
	doc := mustDocument(t, exampleDocument)
	doc.Paths.Value("/a/v1/things").Post.RequestBody.Value.Content["application/json"].Example = nasty
	doc.Servers = openapi3.Servers{{URL: "https://x/" + nasty}}
	command := strings.Replace(examples(t, doc)["create"], "curl ", `printf '%s\n' `, 1)
	out, err := exec.Command(shell, "-c", "ACCESS_TOKEN=t\n"+command).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, command)
	}
	want := []string{
		"--request", "POST", "https://x/" + nasty + "/a/v1/things", "--header", "Authorization: Bearer t",
		"--header", "Content-Type: application/json", "--data", `"a'b\"c$(exit 9)` + "`exit 9`" + `\\ d"`,
	}
	if got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
