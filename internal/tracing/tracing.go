// Package tracing tells an OpenTelemetry collector where requests spend their
// time, over OTLP/HTTP.
//
// A nil *Tracer makes no spans and costs a comparison. What a span may say is
// fixed here: there is no way to put a URL's path or query, a body, a header, an
// error's text or an argument of a statement into one.
package tracing

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

const (
	// queue is how many spans wait at most for the collector. Beyond that new ones
	// are thrown away: no request waits.
	queue = 2048
	// batch is how many spans are sent in one request, and batchEvery how long
	// one waits for that.
	batch      = 512
	batchEvery = 5 * time.Second
	// exportTimeout bounds the sending of one batch, with all tries.
	exportTimeout = 10 * time.Second
	// closeTimeout is how long the end of the process waits for the collector.
	closeTimeout = 3 * time.Second

	name        = "weir"
	defaultPath = "/v1/traces"
)

// Options are what an operator sets.
type Options struct {
	// Endpoint is the URL of the collector, such as http://127.0.0.1:4318, to
	// which /v1/traces is added where it has no path. User and password in it are
	// sent as basic authentication. Empty means no traces.
	Endpoint string
	// Sample is the part of the requests that are traced, from 0 to 1, where the
	// client does not say (traceparent) whether this one is.
	Sample float64
}

// Check reports what is wrong with the options, in words for the operator that
// quote nothing of the URL, which may hold a password.
func (o Options) Check() error {
	if !(o.Sample >= 0 && o.Sample <= 1) { // NaN too
		return fmt.Errorf("--trace-sample is %v: give the part of requests that are traced, from 0 to 1", o.Sample)
	}
	_, _, err := o.target()
	return err
}

// target is where spans are sent, and the headers that they are sent with.
func (o Options) target() (string, map[string]string, error) {
	if o.Endpoint == "" {
		return "", nil, nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", nil, errors.New("--trace-endpoint is not the URL of an OTLP/HTTP receiver such as http://127.0.0.1:4318; headers are set with OTEL_EXPORTER_OTLP_HEADERS")
	}
	var headers map[string]string
	if u.User != nil {
		if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return "", nil, errors.New("--trace-endpoint has a password: use https, or a receiver on this machine")
		}
		password, _ := u.User.Password()
		headers = map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))}
		u.User = nil
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = defaultPath
	}
	return u.String(), headers, nil
}

// Tracer makes spans.
type Tracer struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
	exports  *exporter
	context  propagation.TraceContext
}

// Open returns a Tracer, or nil where the options name no endpoint. It connects
// to nothing. The environment's OTEL_ variables add headers, certificates and
// attributes of the resource.
func Open(ctx context.Context, o Options, version string, log *slog.Logger) (*Tracer, error) {
	endpoint, headers, err := o.target()
	if err != nil || endpoint == "" {
		return nil, err
	}
	options := []otlptracehttp.Option{
		otlptracehttp.WithEndpointURL(endpoint), otlptracehttp.WithTimeout(exportTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Second, MaxInterval: exportTimeout, MaxElapsedTime: exportTimeout}),
	}
	if headers != nil {
		options = append(options, otlptracehttp.WithHeaders(headers))
	}
	to, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("--trace-endpoint: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName(name), semconv.ServiceVersion(version)),
		resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil && about == nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	exports := &exporter{SpanExporter: to, log: log, now: time.Now}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(about),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(o.Sample))),
		sdktrace.WithBatcher(exports, sdktrace.WithMaxQueueSize(queue), sdktrace.WithMaxExportBatchSize(batch),
			sdktrace.WithBatchTimeout(batchEvery), sdktrace.WithExportTimeout(exportTimeout)),
	)
	return &Tracer{tracer: provider.Tracer(name, trace.WithInstrumentationVersion(version)), provider: provider, exports: exports}, nil
}

// Close sends what is there, for three seconds at most, and ends. It may be
// called again.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.exports.failed(ctx, err, 0)
	}
}

// Failures is how many batches of spans could not be sent.
func (t *Tracer) Failures() float64 { return float64(t.exports.failures.Load()) }

// Request is the span of one request to the server.
type Request struct{ span trace.Span }

// Request begins the span of a request, below the one that its traceparent
// names, where there is one.
func (t *Tracer) Request(r *http.Request) (context.Context, Request) {
	ctx, span := t.tracer.Start(t.context.Extract(r.Context(), propagation.HeaderCarrier(r.Header)), method(r.Method), trace.WithSpanKind(trace.SpanKindServer))
	return ctx, Request{span}
}

// TraceID is the ID of the trace that the request belongs to, sampled or not.
func (r Request) TraceID() string { return r.span.SpanContext().TraceID().String() }

// Outcome is what the span of a request says of it.
type Outcome struct {
	Method string
	// Scheme is http or https, as the server was spoken to.
	Scheme string
	// Operation is an ID of the table of operations and Route its path with
	// names in place of values, or both are "".
	Operation, Route string
	RequestID        string
	Status           int
	// Code is the code of the error that was answered, or "".
	Code string
}

// End ends the span.
func (r Request) End(o Outcome) {
	defer r.span.End()
	if !r.span.IsRecording() {
		return
	}
	r.span.SetAttributes(
		semconv.HTTPRequestMethodKey.String(method(o.Method)), semconv.URLScheme(o.Scheme),
		semconv.HTTPResponseStatusCode(o.Status), attribute.String("weir.request_id", o.RequestID))
	if o.Operation != "" {
		r.span.SetName(o.Operation)
		r.span.SetAttributes(attribute.String("weir.operation", o.Operation), semconv.HTTPRoute(o.Route))
	}
	if o.Code != "" {
		r.span.SetAttributes(attribute.String("weir.error_code", o.Code))
	}
	if o.Status >= http.StatusInternalServerError {
		kind := o.Code
		if kind == "" {
			kind = strconv.Itoa(o.Status)
		}
		r.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		r.span.SetStatus(codes.Error, "")
	}
}

// method is the method where it is one that HTTP knows: others are the client's
// text.
func method(is string) string {
	switch is {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return is
	default:
		return "_OTHER"
	}
}

// Span is a part of the work. The zero Span is none.
type Span struct{ span trace.Span }

// Attribute is something that a span says: a name and one of few values.
type Attribute = attribute.KeyValue

// Text returns an attribute. Neither may be a secret, nor what a user typed.
func Text(name, value string) Attribute { return attribute.String(name, value) }

// Number returns an attribute.
func Number(name string, value int) Attribute { return attribute.Int(name, value) }

// Within begins a span below the one of the context, and none where that has
// none that is sampled: what upkeep does by itself, several times a second, is
// no trace.
func (t *Tracer) Within(ctx context.Context, name string, attributes ...Attribute) (context.Context, Span) {
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, Span{}
	}
	return t.Start(ctx, name, attributes...)
}

// Sampled reports whether Within would begin a span.
func (t *Tracer) Sampled(ctx context.Context) bool {
	return t != nil && trace.SpanContextFromContext(ctx).IsSampled()
}

// Start begins a span of a request to another system, below the one of the
// context or as a trace of its own.
func (t *Tracer) Start(ctx context.Context, name string, attributes ...Attribute) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	return ctx, Span{span}
}

// Set adds attributes.
func (s Span) Set(attributes ...Attribute) {
	if s.span != nil {
		s.span.SetAttributes(attributes...)
	}
}

// Fail says that the work failed, by a word of a few.
func (s Span) Fail(kind string) {
	if s.span != nil {
		s.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
		s.span.SetStatus(codes.Error, "")
	}
}

// End ends the span.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// Failure is the word for an error by which spans tell failures apart. The text
// of an error may hold anything.
func Failure(err error) string {
	var timeout interface{ Timeout() bool }
	var lookUp *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &lookUp):
		return "name_not_resolved"
	default:
		return "failed"
	}
}

// Transport makes a span of each request that goes through next, until the
// answer's headers are there. It tells the server's name, and neither path nor
// query; the trace is not told to the server, who may be anybody's.
func (t *Tracer) Transport(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return transport{t, next}
}

type transport struct {
	*Tracer
	next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := t.Start(r.Context(), method(r.Method), semconv.HTTPRequestMethodKey.String(method(r.Method)),
		semconv.URLScheme(r.URL.Scheme), semconv.ServerAddress(r.URL.Hostname()))
	defer span.End()
	if port, err := strconv.Atoi(r.URL.Port()); err == nil {
		span.Set(semconv.ServerPort(port))
	}
	answer, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		span.Fail(Failure(err))
		return answer, err
	}
	span.Set(semconv.HTTPResponseStatusCode(answer.StatusCode))
	if answer.StatusCode >= http.StatusBadRequest {
		span.Fail(strconv.Itoa(answer.StatusCode))
	}
	return answer, nil
}
