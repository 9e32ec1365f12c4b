package server_test

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/weirhq/weir/internal/issuer/issuertest"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/tracing"
	"github.com/weirhq/weir/weirtest"
)

// collector takes spans over OTLP/HTTP.
type collector struct {
	url string

	mu    sync.Mutex
	raw   strings.Builder
	spans []*tracepb.Span
	about map[string]string
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collectorpb.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("no request with spans: %s %s, %v", r.URL.Path, r.Header.Get("Content-Type"), err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
		for _, of := range request.ResourceSpans {
			c.about = attributes(of.Resource.Attributes)
			for _, in := range of.ScopeSpans {
				c.spans = append(c.spans, in.Spans...)
			}
		}
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func attributes(of []*commonpb.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range of {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			out[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			out[a.Key] = strconv.FormatInt(v.IntValue, 10)
		}
	}
	return out
}

// named are the spans with the name.
func (c *collector) named(name string) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*tracepb.Span
	for _, s := range c.spans {
		if s.Name == name {
			out = append(out, s)
		}
	}
	return out
}

// one is the one span with the name.
func (c *collector) one(t *testing.T, name string) *tracepb.Span {
	t.Helper()
	found := c.named(name)
	if len(found) != 1 {
		t.Fatalf("there are %d spans %q, want one", len(found), name)
	}
	return found[0]
}

// below are the spans right below the one given.
func (c *collector) below(s *tracepb.Span) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*tracepb.Span
	for _, other := range c.spans {
		if string(other.ParentSpanId) == string(s.SpanId) {
			out = append(out, other)
		}
	}
	return out
}

func traced(endpoint string, sample float64) weirtest.Option {
	return weirtest.WithConfig(func(c *server.Config) { c.Traces = tracing.Options{Endpoint: endpoint, Sample: sample} })
}

const (
	clientTrace = "0af7651916cd43dd8448eb211c80319c"
	clientSpan  = "b7ad6b7169203331"
)

func TestTraces(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(t *testing.T) string{
		"sqlite":     func(*testing.T) string { return "" },
		"postgresql": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t)
			dir := t.TempDir()
			w := weirtest.Start(t, traced(c.url, 1), weirtest.WithDataDir(dir), weirtest.WithDatabaseURL(database(t)), weirtest.WithConfig(func(c *server.Config) {
				c.Audit.Sinks = []string{"file:audit.jsonl"}
			}))
			const marker = "a-secret-of-the-client"
			get := func(path string, change func(*http.Request)) {
				t.Helper()
				r, err := http.NewRequest(http.MethodGet, w.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.SetBasicAuth(w.APIKey, w.APISecret)
				if change != nil {
					change(r)
				}
				_ = w.Send(r)
			}
			get("/iam/v2/service-accounts?page_size=7", func(r *http.Request) {
				r.Header.Set("Traceparent", "00-"+clientTrace+"-"+clientSpan+"-01")
			})
			account := w.Do(http.MethodPost, "/iam/v2/service-accounts", map[string]any{"display_name": marker, "description": marker})
			w.Do(http.MethodPatch, "/iam/v2/service-accounts/"+account.Body["id"].(string), map[string]any{"description": 1})
			get("/no/such/"+marker+"?"+marker+"="+marker, nil)
			get("/healthz", nil)
			get("/metrics", nil)
			key := w.Do(http.MethodPost, "/iam/v2/api-keys", map[string]any{"spec": map[string]any{"display_name": "k", "owner": map[string]any{"id": account.Body["id"]}}})
			secret := key.Body["spec"].(map[string]any)["secret"].(string)
			w.SignIn(w.Email, w.Password)
			w.Do(http.MethodPost, "/iam/v2/invitations", map[string]any{"email": "somebody@example.com"})
			issuer := issuertest.New(t)
			provider := w.Do(http.MethodPost, providersPath, map[string]any{"display_name": "login", "description": "", "issuer": issuer.URL, "jwks_uri": issuer.KeysURL + "?" + marker})
			waitFor(t, "the provider's keys", func() bool {
				keys, _ := w.Do(http.MethodGet, providersPath+"/"+provider.Body["id"].(string), nil).Body["keys"].([]any)
				return len(keys) > 0
			})
			waitFor(t, "the mail", func() bool {
				mails, err := filepath.Glob(filepath.Join(dir, "outbox", "*.eml"))
				return err == nil && len(mails) == 1
			})
			w.Stop()

			if c.about["service.name"] != "weir" || c.about["service.version"] != "test" {
				t.Errorf("the spans are of %v", c.about)
			}
			list := c.one(t, "listIamV2ServiceAccounts")
			if hex.EncodeToString(list.TraceId) != clientTrace || hex.EncodeToString(list.ParentSpanId) != clientSpan {
				t.Errorf("the span is in %x below %x, and not where the client said", list.TraceId, list.ParentSpanId)
			}
			if list.Kind != tracepb.Span_SPAN_KIND_SERVER || list.EndTimeUnixNano <= list.StartTimeUnixNano {
				t.Errorf("the span is %v", list)
			}
			got := attributes(list.Attributes)
			for name, want := range map[string]string{
				"http.request.method": "GET", "http.route": "/iam/v2/service-accounts", "url.scheme": "http", "http.response.status_code": "200",
				"weir.operation": "listIamV2ServiceAccounts", "weir.error_code": "",
			} {
				if got[name] != want {
					t.Errorf("%s is %q, want %q", name, got[name], want)
				}
			}
			if len(got["weir.request_id"]) != 32 {
				t.Errorf("the request's ID is %q", got["weir.request_id"])
			}
			if reads := c.below(list); len(reads) == 0 || attributes(reads[len(reads)-1].Attributes)["db.system.name"] != name {
				t.Errorf("below the list are %v", reads)
			}
			updates := 0
			for _, s := range c.below(c.one(t, "createIamV2ServiceAccount")) {
				if s.Name == "store update" {
					updates++
					if a := attributes(s.Attributes); a["weir.store.runs"] == "" || a["db.operation.name"] != "update" || s.Kind != tracepb.Span_SPAN_KIND_CLIENT {
						t.Errorf("the transaction is %v", s)
					}
				}
			}
			if updates == 0 {
				t.Error("a change has no transaction below it")
			}
			refused := c.one(t, "updateIamV2ServiceAccount")
			if a := attributes(refused.Attributes); a["weir.error_code"] != "invalid_configuration" || a["http.response.status_code"] == "200" || a["error.type"] != "" {
				t.Errorf("the refused change is %v", a)
			}
			if refused.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
				t.Error("what a client did wrong is an error of the server")
			}
			for _, s := range c.below(refused) {
				if s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
					t.Errorf("what a client did wrong is an error of the store: %v", s)
				}
			}
			lost := false
			for _, s := range c.named("GET") {
				a := attributes(s.Attributes)
				lost = lost || s.Kind == tracepb.Span_SPAN_KIND_SERVER && a["http.response.status_code"] == "404" && a["weir.error_code"] == "route_not_found"
			}
			if !lost {
				t.Error("a request that leads nowhere has no span")
			}
			if !slices.ContainsFunc(c.named("GET"), func(s *tracepb.Span) bool {
				a := attributes(s.Attributes)
				return s.Kind == tracepb.Span_SPAN_KIND_CLIENT && a["server.address"] == "127.0.0.1" && a["http.response.status_code"] == "200"
			}) {
				t.Error("the fetch of the provider's keys has no span")
			}
			if len(c.named("mail send")) != 1 {
				t.Error("the mail has no span")
			}
			if s := c.named("audit deliver"); len(s) == 0 || attributes(s[0].Attributes)["weir.audit.sink"] != "file:audit.jsonl" {
				t.Errorf("the deliveries of the audit log are %v", s)
			}
			for _, s := range c.spans {
				if path := attributes(s.Attributes)["http.route"]; path == "/healthz" || path == "/metrics" {
					t.Errorf("a probe is traced: %v", s)
				}
			}
			for what, hidden := range map[string]string{
				"the key's secret": w.APISecret, "a new key's secret": secret, "the password": w.Password, "an address": w.Email, "an invited address": "somebody@example.com",
				"what the client wrote": marker, "a query": "page_size", "SQL": "SELECT", "the authorization": "Basic",
			} {
				if strings.Contains(c.raw.String(), hidden) {
					t.Errorf("%s is in the spans", what)
				}
			}
		})
	}
}

// The log and the traces find each other.
func TestTheLogNamesTheTrace(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	s, log := open(t, func(config *server.Config) { config.Traces = tracing.Options{Endpoint: c.url, Sample: 1} })
	ask(s, http.MethodGet, "/iam/v2/users", loopback, func(r *http.Request) {
		r.Header.Set("Traceparent", "00-"+clientTrace+"-"+clientSpan+"-01")
	})
	ask(s, http.MethodGet, "/readyz", loopback, nil)
	lines := log.lines(t, "request")
	if len(lines) != 2 || lines[0]["trace_id"] != clientTrace || lines[1]["trace_id"] != nil {
		t.Errorf("the log has %v", lines)
	}
	plain, log := open(t, nil)
	ask(plain, http.MethodGet, "/iam/v2/users", loopback, func(r *http.Request) {
		r.Header.Set("Traceparent", "00-"+clientTrace+"-"+clientSpan+"-01")
	})
	if line := log.lines(t, "request")[0]; line["trace_id"] != nil {
		t.Errorf("without traces the log has %v", line)
	}
}

// With a sample of 0 the clients decide, and a header that is broken is none.
func TestSampleOfNone(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	s, _ := open(t, func(config *server.Config) { config.Traces = tracing.Options{Endpoint: c.url} })
	for _, parent := range []string{"", "00-" + clientTrace + "-" + clientSpan + "-00", "00-" + clientTrace, "ff-x", strings.Repeat("0", 5000)} {
		if rec := ask(s, http.MethodGet, "/iam/v2/users", loopback, func(r *http.Request) { r.Header.Set("Traceparent", parent) }); rec.Code != http.StatusOK {
			t.Errorf("with the header %.60q the answer is %d", parent, rec.Code)
		}
	}
	ask(s, http.MethodGet, "/org/v2/environments", loopback, func(r *http.Request) {
		r.Header.Set("Traceparent", "00-"+clientTrace+"-"+clientSpan+"-01")
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(c.named("listIamV2Users")); n != 0 {
		t.Errorf("%d requests are traced that nobody asked for", n)
	}
	c.one(t, "listOrgV2Environments")
}

// A collector that takes connections and never answers holds up nothing.
func TestTheCollectorIsAway(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	s, log := open(t, func(config *server.Config) {
		config.Traces = tracing.Options{Endpoint: "http://" + silent.Addr().String(), Sample: 1}
	})
	// More than the queue holds.
	begun := time.Now()
	for range 1500 {
		if rec := ask(s, http.MethodGet, "/iam/v2/users", loopback, nil); rec.Code != http.StatusOK {
			t.Fatalf("the answer is %d", rec.Code)
		}
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("the requests took %s", took)
	}
	begun = time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("the end took %s", took)
	}
	if page := ask(s, http.MethodGet, "/metrics", loopback, nil).Body.String(); !strings.Contains(page, "\nweir_trace_export_failures_total ") || strings.Contains(page, "\nweir_trace_export_failures_total 0") {
		t.Error("the metrics do not tell that traces cannot be sent")
	}
	if n := len(log.lines(t, "traces could not be sent (--trace-endpoint)")); n != 1 {
		t.Errorf("the log says %d times that traces cannot be sent", n)
	}
}

// still is a store that answers at once.
type still struct{ store.Store }

func (still) Get(context.Context, string, store.Key) (*store.Row, error) { return nil, nil }

// Without traces a read through the observed store costs no allocation.
func TestObservingIsFree(t *testing.T) {
	s := server.Observe(still{})
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Get(ctx, "org", store.Key{Kind: "k", ID: "i"}) }); n != 0 {
		t.Errorf("a read costs %v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	for name, s := range map[string]store.Store{"bare": still{}, "observed": server.Observe(still{})} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = s.Get(b.Context(), "org", store.Key{Kind: "k", ID: "i"})
			}
		})
	}
}
