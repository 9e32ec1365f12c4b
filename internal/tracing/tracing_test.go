package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func TestCheck(t *testing.T) {
	const password = "hunter2"
	for endpoint, ok := range map[string]bool{
		"":                       true,
		"http://127.0.0.1:4318":  true,
		"http://collector:4318/": true,
		"https://collector.example.com/otlp/v1/traces":        true,
		"https://weir:" + password + "@collector.example.com": true,
		"http://weir:" + password + "@127.0.0.1:4318":         true,
		"http://weir:" + password + "@localhost:4318":         true,
		"http://weir:" + password + "@collector.example.com":  false,
		"collector:4318":        false,
		"127.0.0.1:4318":        false,
		"grpc://collector:4317": false,
		"https://":              false,
		"https://collector.example.com?key=" + password:            false,
		"https://collector.example.com#" + password:                false,
		"https://weir:100%" + password + "@collector.example.com/": false,
	} {
		err := Options{Endpoint: endpoint, Sample: 1}.Check()
		if ok != (err == nil) {
			t.Errorf("%s: the error is %v", endpoint, err)
		}
		if err != nil && (strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), "--trace-endpoint")) {
			t.Errorf("%s: the error shows the URL or does not name the setting: %v", endpoint, err)
		}
	}
	for sample, ok := range map[float64]bool{0: true, 0.25: true, 1: true, -0.1: false, 1.1: false, math.NaN(): false, math.Inf(1): false} {
		if err := (Options{Sample: sample}).Check(); ok != (err == nil) {
			t.Errorf("sample %v: the error is %v", sample, err)
		}
	}
}

// Without an endpoint there is no tracer, and none does nothing.
func TestNone(t *testing.T) {
	none, err := Open(t.Context(), Options{Sample: 1}, "test", slog.New(slog.DiscardHandler))
	if err != nil || none != nil {
		t.Fatalf("there is a tracer: %v, %v", none, err)
	}
	if none.Transport(http.DefaultTransport) != http.DefaultTransport {
		t.Error("something is in the way of requests")
	}
	none.Close()
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		within, span := none.Within(ctx, "a")
		span.Set()
		span.Fail("b")
		span.End()
		if within != ctx || none.Sampled(ctx) {
			t.Error("the context is another one")
		}
	}); n != 0 {
		t.Errorf("no span costs %v allocations", n)
	}
}

// What a collector is sent is at the path of OTLP unless there is another one,
// with the credentials of the URL.
func TestTarget(t *testing.T) {
	type request struct{ path, user, password string }
	got := make(chan request, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		got <- request{r.URL.Path, user, password}
	}))
	t.Cleanup(collector.Close)
	host := strings.TrimPrefix(collector.URL, "http://")
	for endpoint, want := range map[string]request{
		"http://" + host:                        {"/v1/traces", "", ""},
		"http://" + host + "/":                  {"/v1/traces", "", ""},
		"http://" + host + "/a/b":               {"/a/b", "", ""},
		"http://weir:hunter%232@" + host + "/a": {"/a", "weir", "hunter#2"},
	} {
		tracer, err := Open(t.Context(), Options{Endpoint: endpoint, Sample: 1}, "test", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		_, span := tracer.Start(t.Context(), "a")
		span.End()
		tracer.Close()
		select {
		case is := <-got:
			if is != want {
				t.Errorf("%s leads to %v, want %v", endpoint, is, want)
			}
		default:
			t.Errorf("%s: nothing was sent when the tracer was closed", endpoint)
		}
	}
}

// failing is an exporter that fails.
type failing struct{ sdktrace.SpanExporter }

func (failing) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New(strings.Repeat("x", 1000))
}

// A collector that is away for long is no reason to fill the log.
func TestFailuresAreLoggedOnceInAWhile(t *testing.T) {
	var log bytes.Buffer
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := &exporter{SpanExporter: failing{}, log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now }}
	spans := make([]sdktrace.ReadOnlySpan, 3)
	for range 10 {
		if err := e.ExportSpans(t.Context(), spans); err != nil {
			t.Errorf("the SDK is told of the error, which it would hand to the whole process: %v", err)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || e.failures.Load() != 10 {
		t.Errorf("%d failures, %d lines:\n%s", e.failures.Load(), n, &log)
	}
	if log.Len() > 600 {
		t.Errorf("the line has %d bytes", log.Len())
	}
	log.Reset()
	now = now.Add(logEvery)
	_ = e.ExportSpans(t.Context(), spans)
	if !strings.Contains(log.String(), "spans_lost=30") {
		t.Errorf("a minute later the log says %s", &log)
	}
}

func TestFailure(t *testing.T) {
	for want, err := range map[string]error{
		"canceled":          fmt.Errorf("a: %w", context.Canceled),
		"timeout":           fmt.Errorf("a: %w", context.DeadlineExceeded),
		"name_not_resolved": &net.OpError{Op: "dial", Err: &net.DNSError{Name: "secret.example.com", IsNotFound: true}},
		"failed":            errors.New("password=hunter2"),
	} {
		if got := Failure(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

// A client's text is no name of a span.
func TestMethod(t *testing.T) {
	if got := method("SECRET"); got != "_OTHER" {
		t.Errorf("a method that there is not is %s", got)
	}
	if got := method("PATCH"); got != "PATCH" {
		t.Errorf("PATCH is %s", got)
	}
}

// Upkeep makes no spans of its own.
func TestWithin(t *testing.T) {
	tracer, err := Open(t.Context(), Options{Endpoint: "http://127.0.0.1:1", Sample: 1}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, span := tracer.Within(t.Context(), "a"); span.span != nil || tracer.Sampled(t.Context()) {
		t.Error("there is a span without one above it")
	}
	unsampled := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}}))
	if _, span := tracer.Within(unsampled, "a"); span.span != nil {
		t.Error("there is a span below one that is not sampled")
	}
	if err := tracer.provider.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
