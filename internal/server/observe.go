package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/tracing"
)

// untraced are the paths that are asked for every few seconds by what watches
// the server.
var untraced = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// withTrace makes a span of each request. It is no part of the pipeline where
// there are no traces.
func (s *Server) withTrace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if untraced[r.URL.Path] {
			next.ServeHTTP(w, r)
			return
		}
		ctx, span := s.tracer.Request(r)
		rec := recordOf(ctx)
		rec.trace = span.TraceID()
		outcome := tracing.Outcome{Method: r.Method, Scheme: "http", RequestID: api.RequestID(ctx)}
		if r.TLS != nil {
			outcome.Scheme = "https"
		}
		defer func() {
			outcome.Operation, outcome.Route, outcome.Code, outcome.Status = rec.operation, rec.route, rec.code, http.StatusOK
			if sw, ok := w.(*statusWriter); ok && sw.status != 0 {
				outcome.Status = sw.status
			}
			span.End(outcome)
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// observe returns the store that the server works with.
func (s *Server) observe(database store.Store) store.Store {
	o := &observed{Store: database, tracer: s.tracer, system: "sqlite"}
	if s.config.DatabaseURL != "" {
		o.system = "postgresql"
	}
	return o
}

// traceDelivery makes a span of each batch that an audit sink is given.
func (s *Server) traceDelivery(ctx context.Context, sink string, events int) (context.Context, func(error)) {
	ctx, span := s.tracer.Start(ctx, "audit deliver", tracing.Text("weir.audit.sink", sink), tracing.Number("weir.audit.events", events))
	return ctx, func(err error) {
		if err != nil {
			span.Fail(tracing.Failure(err))
		}
		span.End()
	}
}

// observed is a store that tells how long it takes. Everything that the server
// does with its store goes through it.
type observed struct {
	store.Store
	tracer *tracing.Tracer
	// system is the name of the database in spans.
	system string
}

// span begins the span of one use of the store by a request. kind is the kind of
// the rows, or "".
func (o *observed) span(ctx context.Context, operation, kind string) (context.Context, tracing.Span) {
	ctx, span := o.tracer.Within(ctx, "store "+operation, tracing.Text("db.system.name", o.system), tracing.Text("db.operation.name", operation))
	if kind != "" {
		span.Set(tracing.Text("weir.kind", kind))
	}
	return ctx, span
}

func endRead(span tracing.Span, err error) {
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		span.Fail(storeFailure(err))
	}
	span.End()
}

// storeFailure is the word for what a store answers.
func storeFailure(err error) string {
	if errors.Is(err, store.ErrUnavailable) {
		return "unavailable"
	}
	return tracing.Failure(err)
}

// Get implements [store.Reader].
func (o *observed) Get(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	if !o.tracer.Sampled(ctx) {
		return o.Store.Get(ctx, org, key)
	}
	ctx, span := o.span(ctx, "get", key.Kind)
	row, err := o.Store.Get(ctx, org, key)
	endRead(span, err)
	return row, err
}

// List implements [store.Reader].
func (o *observed) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if !o.tracer.Sampled(ctx) {
		return o.Store.List(ctx, q)
	}
	ctx, span := o.span(ctx, "list", q.Kind)
	rows, err := o.Store.List(ctx, q)
	span.Set(tracing.Number("db.response.returned_rows", len(rows)))
	endRead(span, err)
	return rows, err
}

// Visit implements [store.Reader].
func (o *observed) Visit(ctx context.Context, q store.Query, f func(*store.Row) error) error {
	if !o.tracer.Sampled(ctx) {
		return o.Store.Visit(ctx, q, f)
	}
	ctx, span := o.span(ctx, "list", q.Kind)
	rows := 0
	err := o.Store.Visit(ctx, q, func(r *store.Row) error {
		rows++
		return f(r)
	})
	span.Set(tracing.Number("db.response.returned_rows", rows))
	endRead(span, err)
	return err
}

// Count implements [store.Reader].
func (o *observed) Count(ctx context.Context, q store.Query) (int64, error) {
	if !o.tracer.Sampled(ctx) {
		return o.Store.Count(ctx, q)
	}
	ctx, span := o.span(ctx, "count", q.Kind)
	n, err := o.Store.Count(ctx, q)
	endRead(span, err)
	return n, err
}

// Referrers implements [store.Reader].
func (o *observed) Referrers(ctx context.Context, to store.Key, limit int) ([]store.Referrer, error) {
	if !o.tracer.Sampled(ctx) {
		return o.Store.Referrers(ctx, to, limit)
	}
	ctx, span := o.span(ctx, "referrers", to.Kind)
	found, err := o.Store.Referrers(ctx, to, limit)
	endRead(span, err)
	return found, err
}

// Setting implements [store.Reader].
func (o *observed) Setting(ctx context.Context, name string) ([]byte, error) {
	if !o.tracer.Sampled(ctx) {
		return o.Store.Setting(ctx, name)
	}
	ctx, span := o.span(ctx, "setting", "")
	value, err := o.Store.Setting(ctx, name)
	endRead(span, err)
	return value, err
}

// Counters implements [store.Reader].
func (o *observed) Counters(ctx context.Context, org, subject string) (map[string]int64, error) {
	if !o.tracer.Sampled(ctx) {
		return o.Store.Counters(ctx, org, subject)
	}
	ctx, span := o.span(ctx, "counters", "")
	values, err := o.Store.Counters(ctx, org, subject)
	endRead(span, err)
	return values, err
}

// Limits implements [store.Reader].
func (o *observed) Limits(ctx context.Context, org string) (map[string]int64, error) {
	if !o.tracer.Sampled(ctx) {
		return o.Store.Limits(ctx, org)
	}
	ctx, span := o.span(ctx, "limits", "")
	limits, err := o.Store.Limits(ctx, org)
	endRead(span, err)
	return limits, err
}

// Update implements [store.Store].
func (o *observed) Update(ctx context.Context, fn func(store.Tx) error) error {
	if !o.tracer.Sampled(ctx) {
		return o.Store.Update(ctx, fn)
	}
	ctx, span := o.span(ctx, "update", "")
	runs := 0
	var refused error
	err := o.Store.Update(ctx, func(tx store.Tx) error {
		runs++
		refused = fn(tx)
		return refused
	})
	span.Set(tracing.Number("weir.store.runs", runs))
	// What the function refuses is no failure of the store.
	if full := new(store.ErrFull); err != nil && (refused == nil || errors.Is(err, store.ErrUnavailable)) && !errors.As(err, &full) {
		span.Fail(storeFailure(err))
	}
	span.End()
	return err
}

// tracedMail makes a span of each mail that is sent.
type tracedMail struct {
	mail.Sender
	tracer *tracing.Tracer
}

// Send implements [mail.Sender].
func (t tracedMail) Send(ctx context.Context, m mail.Message) error {
	ctx, span := t.tracer.Start(ctx, "mail send")
	err := t.Sender.Send(ctx, m)
	if err != nil {
		span.Fail(tracing.Failure(err))
	}
	span.End()
	return err
}
