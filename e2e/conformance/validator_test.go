package conformance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	apikeysv2 "github.com/confluentinc/ccloud-sdk-go-v2/apikeys/v2"
	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
	orgv2 "github.com/confluentinc/ccloud-sdk-go-v2/org/v2"
)

// recorder keeps what a Validator reports.
type recorder struct {
	mu       sync.Mutex
	messages []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

// answer is what the server of a test says to everything.
type answer struct {
	status int
	header map[string]string
	body   string
}

func (a answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for name, value := range a.header {
		if value == "" {
			w.Header().Del(name)
		} else {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(a.status)
	if a.status != http.StatusNoContent {
		_, _ = io.WriteString(w, a.body)
	}
}

var contract = sync.OnceValues(func() (*Contract, error) {
	docs, err := documents()
	if err != nil {
		return nil, err
	}
	return NewContract(docs...)
})

func validated(t *testing.T, a answer) (*http.Client, string, *Validator, *recorder) {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	c, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	found := &recorder{}
	v := c.Validator(nil, found)
	return &http.Client{Transport: v}, server.URL, v, found
}

var ok = map[string]string{
	"X-Request-Id": "r", "X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "1",
}

func with(base map[string]string, more ...string) map[string]string {
	out := map[string]string{}
	for name, value := range base {
		out[name] = value
	}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

const (
	environment = `{"api_version":"org/v2","kind":"Environment","id":"env-1","display_name":"e",` +
		`"metadata":{"self":"https://weir.example.com/org/v2/environments/env-1","created_at":"2026-01-02T03:04:05.000006Z"}}`
	failed = `{"errors":[{"id":"r","status":"409","code":"c","title":"t","detail":"d","source":{}}],"requestId":"r"}`
	key    = `{"api_version":"iam/v2","kind":"ApiKey","id":"K","metadata":{"self":"https://weir.example.com/iam/v2/api-keys/K"},"spec":{` +
		`"owner":{"id":"sa-1","related":"https://weir.example.com/x","resource_name":"crn://x"},` +
		`"resource":{"id":"cloud","related":"cloud","resource_name":"cloud","api_version":"iam/v2","kind":"Cloud"}}}`
)

func TestValidator(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, path string
		answer       answer
		// want are parts of the one message; none means that the answer is right.
		want []string
	}{
		"right": {"GET", "/org/v2/environments/env-1", answer{200, ok, environment}, nil},
		"right list": {"GET", "/org/v2/environments?page_size=1", answer{200, ok,
			`{"api_version":"org/v2","kind":"EnvironmentList","metadata":{"next":"https://weir.example.com/x"},"data":[` + environment + `]}`}, nil},
		"right deletion":             {"DELETE", "/org/v2/environments/env-1", answer{204, ok, ""}, nil},
		"right failure":              {"GET", "/org/v2/environments/env-1", answer{404, ok, failed}, nil},
		"literal instead of a URI":   {"GET", "/iam/v2/api-keys/K", answer{200, ok, key}, nil},
		"no document has the path":   {"GET", "/healthz", answer{299, nil, "?"}, nil},
		"no document has the method": {"PUT", "/org/v2/environments/env-1", answer{405, nil, "?"}, nil},

		"undeclared status": {"GET", "/org/v2/environments/env-1", answer{202, ok, environment},
			[]string{"GET /org/v2/environments/env-1 (getOrgV2Environment) answered 202", "does not declare this status"}},
		"undeclared failure":  {"GET", "/org/v2/environments", answer{404, ok, failed}, []string{"does not declare this status"}},
		"tolerated status":    {"GET", "/org/v2/environments", answer{406, ok, failed}, nil},
		"tolerated, no id":    {"GET", "/org/v2/environments", answer{406, nil, failed}, []string{"X-Request-Id is missing"}},
		"tolerated, not JSON": {"GET", "/org/v2/environments", answer{406, ok, `{"message":"no"}`}, []string{`"errors" is missing`}},
		"tolerated deletion":  {"DELETE", "/iam/v2/service-accounts/sa-1", answer{409, ok, failed}, nil},

		"missing property": {"GET", "/org/v2/environments/env-1",
			answer{200, ok, strings.Replace(environment, `"display_name":"e",`, "", 1)}, []string{`"display_name" is missing`}},
		"missing nested property": {"GET", "/iam/v2/api-keys/K",
			answer{200, ok, strings.Replace(key, `"related":"cloud",`, "", 1)}, []string{"/spec/resource", `"related" is missing`}},
		"missing property in a list": {"GET", "/org/v2/environments", answer{200, ok,
			`{"api_version":"org/v2","kind":"EnvironmentList","metadata":{},"data":[{"display_name":"e","metadata":{"self":"x"}}]}`},
			[]string{"/data/0", `"id" is missing`}},
		"missing property of a failure": {"GET", "/org/v2/environments/env-1", answer{404, ok, `{}`}, []string{`"errors" is missing`}},
		"wrong type": {"GET", "/org/v2/environments/env-1",
			answer{200, ok, strings.Replace(environment, `"display_name":"e"`, `"display_name":7`, 1)}, []string{"/display_name", "must be a string"}},
		"wrong constant": {"GET", "/org/v2/environments/env-1",
			answer{200, ok, strings.Replace(environment, `"Environment"`, `"environment"`, 1)}, []string{"/kind"}},
		"wrong time": {"GET", "/org/v2/environments/env-1",
			answer{200, ok, strings.Replace(environment, "2026-01-02T", "2026-01-02 ", 1)}, []string{"/metadata/created_at"}},
		"not JSON": {"GET", "/org/v2/environments/env-1", answer{200, ok, "hello"}, []string{"failed to decode response body"}},
		"not declared as JSON": {"GET", "/org/v2/environments/env-1",
			answer{200, with(ok, "Content-Type", "text/plain"), environment}, []string{"Content-Type"}},

		"missing header":                    {"GET", "/org/v2/environments/env-1", answer{200, with(ok, "X-RateLimit-Reset", ""), environment}, []string{"X-RateLimit-Reset"}},
		"missing request id":                {"GET", "/org/v2/environments/env-1", answer{404, nil, failed}, []string{"X-Request-Id"}},
		"missing location":                  {"POST", "/org/v2/environments", answer{201, ok, environment}, []string{"Location"}},
		"location":                          {"POST", "/org/v2/environments", answer{201, with(ok, "Location", "https://weir.example.com/x"), environment}, nil},
		"conflict with nothing to point to": {"POST", "/org/v2/environments", answer{409, ok, failed}, nil},
		"missing challenge":                 {"GET", "/org/v2/environments", answer{401, ok, failed}, []string{"WWW-Authenticate"}},
		"missing delay":                     {"GET", "/org/v2/environments", answer{429, ok, failed}, []string{"Retry-After"}},
		"malformed header":                  {"GET", "/org/v2/environments/env-1", answer{200, with(ok, "X-RateLimit-Limit", "many"), environment}, []string{"X-RateLimit-Limit"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, url, v, found := validated(t, c.answer)
			r, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.answer.status || string(body) != c.answer.body {
				t.Errorf("the client gets %d %q, %v", res.StatusCode, body, err)
			}
			_ = res.Body.Close()
			if len(c.want) == 0 {
				if len(found.messages) > 0 {
					t.Errorf("reported %q", found.messages)
				}
				if named := len(v.Answered()) > 0; named == strings.HasPrefix(name, "no document") {
					t.Errorf("answered: %v", v.Answered())
				}
				return
			}
			if len(found.messages) != 1 {
				t.Fatalf("reported %q, want one message", found.messages)
			}
			for _, part := range c.want {
				if !strings.Contains(found.messages[0], part) {
					t.Errorf("reported %q, want %q in it", found.messages[0], part)
				}
			}
		})
	}
}

func TestValidatorReportsEverythingInABody(t *testing.T) {
	t.Parallel()
	client, url, _, found := validated(t, answer{200, ok, `{"api_version":"org/v2","kind":"Environment","id":7}`})
	res, err := client.Get(url + "/org/v2/environments/env-1")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	all := strings.Join(found.messages, "\n")
	for _, part := range []string{`/id`, `"display_name" is missing`} {
		if !strings.Contains(all, part) {
			t.Errorf("reported %s, want %q in it", all, part)
		}
	}
}

func TestValidatorPassesTransportErrorsOn(t *testing.T) {
	t.Parallel()
	client, url, v, found := validated(t, answer{status: 200})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", url+"/org/v2/environments", nil)
	if _, err := client.Do(r); err == nil {
		t.Error("no error")
	}
	if len(found.messages) > 0 || len(v.Answered()) > 0 {
		t.Errorf("reported %q, answered %v", found.messages, v.Answered())
	}
}

// The official SDK works through a Validator, which sees what it does.
func TestValidatorUnderTheSDK(t *testing.T) {
	t.Parallel()
	account := strings.NewReplacer("org/v2", "iam/v2", "Environment", "ServiceAccount").Replace(environment)
	for _, c := range []struct {
		body, want string
		call       func(context.Context, *http.Client, string) (string, error)
	}{
		{environment, "getOrgV2Environment 200", func(ctx context.Context, h *http.Client, url string) (string, error) {
			cfg := orgv2.NewConfiguration()
			cfg.HTTPClient, cfg.Servers = h, orgv2.ServerConfigurations{{URL: url}}
			o, _, err := orgv2.NewAPIClient(cfg).EnvironmentsOrgV2Api.GetOrgV2Environment(ctx, "x").Execute()
			return o.GetId(), err
		}},
		{account, "getIamV2ServiceAccount 200", func(ctx context.Context, h *http.Client, url string) (string, error) {
			cfg := iamv2.NewConfiguration()
			cfg.HTTPClient, cfg.Servers = h, iamv2.ServerConfigurations{{URL: url}}
			o, _, err := iamv2.NewAPIClient(cfg).ServiceAccountsIamV2Api.GetIamV2ServiceAccount(ctx, "x").Execute()
			return o.GetId(), err
		}},
		{key, "getIamV2ApiKey 200", func(ctx context.Context, h *http.Client, url string) (string, error) {
			cfg := apikeysv2.NewConfiguration()
			cfg.HTTPClient, cfg.Servers = h, apikeysv2.ServerConfigurations{{URL: url}}
			o, _, err := apikeysv2.NewAPIClient(cfg).APIKeysIamV2Api.GetIamV2ApiKey(ctx, "x").Execute()
			return o.GetId(), err
		}},
	} {
		client, url, v, found := validated(t, answer{200, ok, c.body})
		id, err := c.call(t.Context(), client, url)
		if err != nil || id == "" {
			t.Errorf("%s: id %q, %v", c.want, id, err)
		}
		if len(found.messages) > 0 || !slices.Equal(v.Answered(), []string{c.want}) {
			t.Errorf("reported %q, answered %v, want %s", found.messages, v.Answered(), c.want)
		}
	}
}
