package operation

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func mustRouter(t testing.TB, ops []Operation) *Router {
	t.Helper()
	r, err := NewRouter(ops)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var placeholder = regexp.MustCompile(`\{([^}]+)\}`)

// fill puts values into the parameters of a template.
func fill(template string, values ...string) (path string, params Params) {
	path = placeholder.ReplaceAllStringFunc(template, func(s string) string {
		v := values[len(params)%len(values)]
		params = append(params, Param{strings.Trim(s, "{}"), v})
		return escape(v)
	})
	return path, params
}

// escape escapes a value for a path segment, the colon too.
func escape(v string) string { return strings.ReplaceAll(url.PathEscape(v), ":", "%3A") }

func TestEveryRowMatchesItself(t *testing.T) {
	t.Parallel()
	r := mustRouter(t, All())
	for _, values := range [][]string{
		{"lkc-1", "sa-2", "x3"},
		{"a/b", "ü %", "x:resend", "configs:alter", "-", "types"},
		{"integrations:validate", "config", "a+b", "..", "{id}"},
	} {
		for _, o := range All() {
			path, want := fill(o.Path, values...)
			if slices.ContainsFunc(want, func(p Param) bool { return p.Value == "-" || p.Value == "types" }) && literalSibling(o) {
				continue
			}
			got, params, allow := r.Match(o.Method, path)
			if got == nil || got.ID != o.ID || allow != nil {
				t.Errorf("%s %s: got %v, %v, want %s", o.Method, path, got, allow, o.ID)
				continue
			}
			if !slices.Equal(params, want) {
				t.Errorf("%s %s: got parameters %v, want %v", o.Method, path, params, want)
			}
		}
	}
}

// literalSibling says whether some path has literal text where o has a
// parameter, so that a value may rightly lead elsewhere.
func literalSibling(o Operation) bool {
	segments := strings.Split(o.Path, "/")
	return slices.ContainsFunc(All(), func(p Operation) bool {
		other := strings.Split(p.Path, "/")
		for i := range min(len(segments), len(other)) {
			if segments[i] != other[i] {
				return strings.HasPrefix(segments[i], "{") && !strings.HasPrefix(other[i], "{")
			}
		}
		return false
	})
}

func TestMatch(t *testing.T) {
	t.Parallel()
	r := mustRouter(t, All())
	const clusters = "/kafka/v3/clusters/lkc-1"
	tests := []struct {
		method, path string
		id           string
		params       Params
		allow        []string
	}{
		{method: "GET", path: "/iam/v2/users", id: "listIamV2Users"},
		{method: "HEAD", path: "/iam/v2/users", id: "listIamV2Users"},
		{method: "GET", path: "/iam/v2/users/u-1", id: "getIamV2User", params: Params{{"id", "u-1"}}},
		{method: "GET", path: "/iam/v2/%75sers/u%2D1", id: "getIamV2User", params: Params{{"id", "u-1"}}},
		{method: "PATCH", path: "/iam/v2/users/u-1/auth", id: "updateIamV2UserAuth", params: Params{{"id", "u-1"}}},
		{method: "GET", path: "/iam/v2/sso/group-mappings/group-1", id: "getIamV2SsoGroupMapping", params: Params{{"id", "group-1"}}},

		// A verb stands on its own or after a parameter.
		{method: "POST", path: "/pim/v2/integrations:validate", id: "validatePimV2Integration"},
		{method: "GET", path: "/pim/v2/integrations:validate", allow: []string{"OPTIONS", "POST"}},
		{method: "POST", path: "/cdx/v1/provider-shares/ss-1:resend", id: "resendCdxV1ProviderShare", params: Params{{"id", "ss-1"}}},
		{method: "POST", path: "/cdx/v1/provider-shares/a%3Ab:resend", id: "resendCdxV1ProviderShare", params: Params{{"id", "a:b"}}},
		{method: "GET", path: "/cdx/v1/provider-shares/ss-1:resend", allow: []string{"OPTIONS", "POST"}},
		{method: "GET", path: "/cdx/v1/provider-shares/ss-1%3Aresend", id: "getCdxV1ProviderShare", params: Params{{"id", "ss-1:resend"}}},
		{method: "GET", path: "/cdx/v1/provider-shares/:resend", id: "getCdxV1ProviderShare", params: Params{{"id", ":resend"}}},
		{method: "GET", path: "/cdx/v1/provider-shares/ss-1:other", id: "getCdxV1ProviderShare", params: Params{{"id", "ss-1:other"}}},
		{method: "POST", path: "/cdx/v1/shared-tokens:redeem", id: "redeemCdxV1SharedToken"},
		{method: "POST", path: "/cdx/v1/shared-tokens:unknown"},

		// Literal text wins, and is left again where it leads nowhere.
		{method: "GET", path: clusters + "/links/-/mirrors", id: "listKafkaMirrorTopics", params: Params{{"cluster_id", "lkc-1"}}},
		{method: "POST", path: clusters + "/links/-/mirrors", allow: []string{"GET", "HEAD", "OPTIONS"}},
		{
			method: "GET", path: clusters + "/links/-/configs", id: "listKafkaLinkConfigs",
			params: Params{{"cluster_id", "lkc-1"}, {"link_name", "-"}},
		},
		{
			method: "GET", path: clusters + "/links/-", id: "getKafkaLink",
			params: Params{{"cluster_id", "lkc-1"}, {"link_name", "-"}},
		},

		// A value may hold a slash, and names may differ between methods.
		{
			method: "GET", path: clusters + "/consumer-groups/a%2Fb%20c", id: "getKafkaConsumerGroup",
			params: Params{{"cluster_id", "lkc-1"}, {"consumer_group_id", "a/b c"}},
		},
		{
			method: "GET", path: "/sql/v1/organizations/o/environments/e/statements/s/results", id: "getSqlv1StatementResult",
			params: Params{{"organization_id", "o"}, {"environment_id", "e"}, {"name", "s"}},
		},
		{
			method: "GET", path: "/sql/v1/organizations/o/environments/e/statements/s/exceptions", id: "getSqlv1StatementExceptions",
			params: Params{{"organization_id", "o"}, {"environment_id", "e"}, {"statement_name", "s"}},
		},
		{method: "GET", path: "/subjects/a+b/versions", id: "listVersions", params: Params{{"subject", "a+b"}}},

		// Known paths, other methods.
		{method: "POST", path: "/iam/v2/users", allow: []string{"GET", "HEAD", "OPTIONS"}},
		{method: "OPTIONS", path: "/iam/v2/users/u-1", allow: []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}},
		{method: "HEAD", path: "/sts/v1/oauth2/token", allow: []string{"OPTIONS", "POST"}},
		{method: "get", path: "/iam/v2/users", allow: []string{"GET", "HEAD", "OPTIONS"}},

		// Unknown paths.
		{method: "GET", path: ""},
		{method: "GET", path: "/"},
		{method: "GET", path: "*"},
		{method: "GET", path: "iam/v2/users"},
		{method: "GET", path: "//iam/v2/users"},
		{method: "GET", path: "/iam/v2/users/"},
		{method: "GET", path: "/iam/v2//users"},
		{method: "GET", path: "/iam/v2"},
		{method: "GET", path: "/iam/v2/sso"},
		{method: "GET", path: "/iam/v2/users/u-1/x"},
		{method: "GET", path: "/iam/v2/Users"},
		{method: "GET", path: "/iam/v2%2Fusers"},
		{method: "GET", path: "/iam/v2/users/%zz"},
		{method: "GET", path: "/iam/v2/%zzusers"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			op, params, allow := r.Match(tt.method, tt.path)
			id := ""
			if op != nil {
				id = op.ID
			}
			if id != tt.id || !slices.Equal(params, tt.params) || !slices.Equal(allow, tt.allow) {
				t.Errorf("got %q, %v, %v, want %q, %v, %v", id, params, allow, tt.id, tt.params, tt.allow)
			}
		})
	}
}

func TestMatchTellsSuffixesApart(t *testing.T) {
	t.Parallel()
	r := mustRouter(t, []Operation{
		{ID: "a", Method: "GET", Path: "/x/{id}:b"},
		{ID: "ab", Method: "GET", Path: "/x/{id}:a:b"},
		{ID: "c", Method: "GET", Path: "/x/{id}/c"},
		{ID: "d", Method: "GET", Path: "/x/{id}:b/d"},
	})
	tests := []struct{ path, id, value string }{
		{"/x/1:b", "a", "1"},
		{"/x/1:a:b", "ab", "1"},
		{"/x/1:b/d", "d", "1"},
		{"/x/1:b/c", "c", "1:b"},
		{"/x/1", "", ""},
	}
	for _, tt := range tests {
		op, params, _ := r.Match("GET", tt.path)
		id := ""
		if op != nil {
			id = op.ID
		}
		if id != tt.id || params.Get("id") != tt.value {
			t.Errorf("%s: got %q with %v, want %q with %q", tt.path, id, params, tt.id, tt.value)
		}
	}
}

func TestNewRouterErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		paths []string
		want  string
	}{
		{"twice", []string{"/a/{x}", "/a/{y}"}, "same method and path"},
		{"relative", []string{"a"}, "begin with a slash"},
		{"query", []string{"/a?b=c"}, "no query"},
		{"empty", []string{""}, "begin with a slash"},
		{"root", []string{"/"}, "empty segment"},
		{"trailing slash", []string{"/a/"}, "empty segment"},
		{"parameter in the middle", []string{"/a{x}"}, "at the beginning"},
		{"open", []string{"/{x"}, "want {name}"},
		{"no name", []string{"/{}"}, "want {name}"},
		{"two parameters", []string{"/{x}{y}"}, "want {name}"},
		{"suffix without a colon", []string{"/{x}.json"}, "want {name}"},
		{"too many", []string{strings.Repeat("/{x}", maxParams+1)}, "more than 8 parameters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var ops []Operation
			for _, p := range tt.paths {
				ops = append(ops, Operation{ID: "x", Method: "GET", Path: p})
			}
			if _, err := NewRouter(ops); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestMatchAllocates(t *testing.T) {
	r := mustRouter(t, All())
	tests := []struct {
		name, method, path string
		want               float64
	}{
		{"no parameters", "GET", "/iam/v2/service-accounts", 0},
		{"other method", "PUT", "/iam/v2/service-accounts", 0},
		{"unknown", "GET", "/iam/v2/nothing", 0},
		{"two parameters", "GET", "/kafka/v3/clusters/lkc-1/topics/orders", 1},
		{"escaped parameter", "GET", "/kafka/v3/clusters/lkc-1/topics/a%2Fb", 3},
	}
	for _, tt := range tests {
		if got := testing.AllocsPerRun(100, func() { r.Match(tt.method, tt.path) }); got > tt.want {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, got, tt.want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, o := range All() {
		path, _ := fill(o.Path, "x", "a/b", "y:resend")
		f.Add(o.Method, path)
	}
	f.Add("GET", "/iam/v2/%75sers/%2F")
	r := mustRouter(f, All())
	f.Fuzz(func(t *testing.T, method, path string) {
		op, params, allow := r.Match(method, path)
		if op == nil {
			if params != nil {
				t.Fatalf("parameters %v without an operation", params)
			}
			return
		}
		if allow != nil || (op.Method != method && (method != "HEAD" || op.Method != "GET")) {
			t.Fatalf("%s %s: got %s %s, %v", method, path, op.Method, op.Path, allow)
		}
		i := 0
		formatted := placeholder.ReplaceAllStringFunc(op.Path, func(string) string {
			i++
			return escape(params[i-1].Value)
		})
		if i != len(params) {
			t.Fatalf("%s: parameters %v", op.Path, params)
		}
		if !slices.Equal(decoded(t, formatted), decoded(t, path)) {
			t.Fatalf("%q matched %s with %v, which formats to %q", path, op.Path, params, formatted)
		}
	})
}

// decoded returns the percent-decoded segments of a path.
func decoded(t *testing.T, path string) []string {
	t.Helper()
	segments := strings.Split(path, "/")
	for i, s := range segments {
		var err error
		if segments[i], err = url.PathUnescape(s); err != nil {
			t.Fatal(err)
		}
	}
	return segments
}

func BenchmarkMatch(b *testing.B) {
	r := mustRouter(b, All())
	type request struct{ method, path string }
	var requests []request
	for _, o := range All() {
		path, _ := fill(o.Path, "lkc-12345", "sa-67890")
		requests = append(requests, request{o.Method, path})
	}
	b.Run("table", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			q := requests[i%len(requests)]
			if op, _, _ := r.Match(q.method, q.path); op == nil {
				b.Fatal(q)
			}
			i++
		}
	})
	b.Run("list", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Match("GET", "/iam/v2/service-accounts")
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(file); err != nil {
			b.Fatal(err)
		}
	}
}
