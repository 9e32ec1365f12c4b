package tracing

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// logEvery is how often it is logged that spans cannot be sent.
const logEvery = time.Minute

// maxCause bounds what of an error is logged: a collector's answer may be long.
const maxCause = 300

// exporter keeps failures to itself. The SDK would hand each to a handler that
// the whole process shares.
type exporter struct {
	sdktrace.SpanExporter
	log *slog.Logger
	now func() time.Time

	failures atomic.Int64
	mu       sync.Mutex
	logged   time.Time
	// lost are the spans that were not sent since it was logged.
	lost int
}

// ExportSpans implements [sdktrace.SpanExporter].
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.failed(ctx, err, len(spans))
	}
	return nil
}

// failed counts a failure, and logs it unless one was logged just before.
func (e *exporter) failed(ctx context.Context, err error, spans int) {
	e.failures.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lost += spans
	if now := e.now(); e.logged.IsZero() || now.Sub(e.logged) >= logEvery {
		cause := err.Error()
		if len(cause) > maxCause {
			cause = cause[:maxCause] + "…"
		}
		e.log.WarnContext(ctx, "traces could not be sent (--trace-endpoint)", "spans_lost", e.lost, "error", cause)
		e.logged, e.lost = now, 0
	}
}
