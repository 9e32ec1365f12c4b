// Package delivery hands the events of the audit log to the sinks that an
// operator names, in order and at least once, and bounds what of the log is
// kept in the database.
//
// The log is in the database, written with the changes that it tells of. A sink
// that is down delays nothing and loses nothing: what it was not given yet
// stays there, up to the bounds. Of several replicas one delivers to each sink;
// another takes over within seconds when it dies.
package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/store"
)

const (
	// batch is how many events are read and delivered at once.
	batch = 500
	// defaultPoll is how often the log is looked at while nothing happens.
	defaultPoll = 250 * time.Millisecond
	// defaultLease is how long a replica that died keeps the others from
	// delivering what is there.
	defaultLease = 6 * time.Second
	// firstPause and maxPause are how long a sink that failed is left alone:
	// twice as long each time, and then up to a quarter less by chance.
	firstPause = time.Second
	maxPause   = 30 * time.Second
	// defaultTrimEvery is how often what is kept is compared with the bounds.
	defaultTrimEvery = 30 * time.Second
	// lastChance bounds how long the end of the process waits for sinks to take
	// what is there, and how long it may take to store that they did.
	lastChance = 3 * time.Second
)

// Courier delivers the log of a store to the sinks and removes the events
// beyond the bounds. Any number of them, in any number of processes, can work
// on one store.
type Courier struct {
	store   store.Store
	options Options
	log     *slog.Logger
	workers []*worker
	metrics metrics
	closed  sync.Once
}

// worker delivers to one sink.
type worker struct {
	*Courier
	name   string
	sink   Sink
	cursor cursor
	// pause is how long the sink is left alone when it fails next.
	pause time.Duration
}

type metrics struct {
	delivered, failures, dropped *prometheus.CounterVec
	backlog, age                 *prometheus.GaugeVec
	retained                     prometheus.Gauge
}

// New opens the sinks. Events for stdout: go to the writer.
func New(s store.Store, o Options, stdout io.Writer, log *slog.Logger) (*Courier, error) {
	parsed, err := ParseSinks(o.Sinks)
	if err != nil {
		return nil, err
	}
	for value, standard := range map[*time.Duration]time.Duration{&o.lease: defaultLease, &o.poll: defaultPoll, &o.trimEvery: defaultTrimEvery} {
		if *value == 0 {
			*value = standard
		}
	}
	c := &Courier{store: s, options: o, log: log, metrics: newMetrics()}
	holder := rand.Text()
	for _, p := range parsed {
		sink, err := p.open(o, stdout)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("audit sink %s: %w", p.Name, err)
		}
		c.workers = append(c.workers, &worker{
			Courier: c, name: p.Name, sink: sink, pause: firstPause,
			cursor: cursor{store: s, key: store.Key{Kind: cursorKind, ID: p.Name}, holder: holder, lease: o.lease},
		})
		// From zero on, so that the first of each is an increase.
		for _, counter := range []*prometheus.CounterVec{c.metrics.delivered, c.metrics.failures, c.metrics.dropped} {
			counter.WithLabelValues(p.Name)
		}
	}
	return c, nil
}

func newMetrics() metrics {
	counters := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"sink"})
	}
	gauges := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"sink"})
	}
	return metrics{
		delivered: counters("weir_audit_delivered_total", "Events of the audit log that this process has delivered, by sink."),
		failures:  counters("weir_audit_delivery_failures_total", "Attempts to deliver events that failed, by sink."),
		dropped:   counters("weir_audit_dropped_total", "Events that were removed before they were delivered, by sink."),
		backlog:   gauges("weir_audit_backlog_events", "Events that are not delivered yet, at most: numbers that were never used count too, by sink."),
		age:       gauges("weir_audit_backlog_seconds", "Age of the oldest event that is not delivered yet, by sink."),
		retained:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_audit_retained_bytes", Help: "What the events in the database take."}),
	}
}

// Collectors are the metrics of the delivery.
func (c *Courier) Collectors() []prometheus.Collector {
	m := c.metrics
	return []prometheus.Collector{m.delivered, m.failures, m.dropped, m.backlog, m.age, m.retained}
}

// Run works until the context ends, and returns once nothing is under way any
// more; the sinks have a few seconds then to take what is there. The store must
// stay open until then.
func (c *Courier) Run(ctx context.Context) {
	var work sync.WaitGroup
	for _, w := range c.workers {
		work.Go(func() { w.run(ctx) })
	}
	work.Go(func() { c.trimUntil(ctx) })
	work.Wait()
	c.Close()
}

// Close closes the sinks of a Courier that does not run.
func (c *Courier) Close() {
	c.closed.Do(func() {
		for _, w := range c.workers {
			if err := w.sink.Close(); err != nil {
				c.log.Warn("an audit sink could not be closed", "sink", w.name, "error", err)
			}
		}
	})
}

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := time.Duration(0)
		delivered, err := w.step(ctx)
		if delivered > 0 {
			w.pause = firstPause
		}
		switch {
		case err != nil && ctx.Err() == nil:
			wait = w.pause - mathrand.N(w.pause/4)
			w.pause = min(2*w.pause, maxPause)
			w.log.WarnContext(ctx, "events of the audit log could not be delivered, trying again", "sink", w.name, "wait", wait, "error", err)
		case err == nil && delivered < batch:
			// To move the cursor is a transaction beside those that events come from:
			// less than a batch waits for more.
			wait = w.options.poll
		}
		if wait > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastChance)
	defer cancel()
	for {
		delivered, err := w.step(last)
		if err != nil {
			w.log.WarnContext(ctx, "events of the audit log are left to deliver with the next start", "sink", w.name, "error", err)
		}
		if err != nil || delivered == 0 {
			break
		}
	}
	w.cursor.release(last)
}

// step delivers what is there, up to a batch, and returns how many messages the
// sink took.
func (w *worker) step(ctx context.Context) (delivered int, err error) {
	at, version, err := w.cursor.read(ctx)
	if err != nil {
		return 0, err
	}
	events, err := w.store.Events(ctx, store.EventQuery{After: at.Seq, Limit: batch})
	if err != nil {
		return 0, err
	}
	// Read after the events: what was removed before they were is known now.
	kept, err := readRetained(ctx, w.store)
	if err != nil {
		return 0, err
	}
	w.observe(ctx, at, events)
	if len(events) == 0 && kept.Removed <= at.Seq {
		w.cursor.rest()
		return 0, nil
	}
	at, held, err := w.cursor.claim(ctx, at, version)
	if err != nil || !held {
		return 0, err
	}
	messages, through := make([]Message, 0, len(events)), make([]int64, 0, len(events))
	if kept.Removed > at.Seq {
		// The events in between are gone, and those that were read may be.
		messages = append(messages, Message{Body: audit.Gap(time.Now(), at.Seq, kept.Removed)})
		through = append(through, kept.Removed)
	} else {
		for _, e := range events {
			messages, through = append(messages, message(e, w.options.PublicURL)), append(through, e.Seq)
		}
	}
	delivering, stop := w.cursor.keep(ctx, at)
	n, err := w.deliver(delivering, messages)
	stop()
	if err != nil {
		w.metrics.failures.WithLabelValues(w.name).Inc()
		if cause := context.Cause(delivering); !errors.Is(cause, errOver) {
			err = errors.Join(err, cause)
		}
	}
	if n == 0 {
		return 0, err
	}
	w.metrics.delivered.WithLabelValues(w.name).Add(float64(n))
	at.Seq = through[n-1]
	// What was delivered is worth knowing even when everything is to stop.
	moving, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastChance)
	defer cancel()
	moved := w.cursor.write(moving, at, w.cursor.held)
	if errors.Is(moved, errLost) {
		moved = nil // somebody delivers it once more
	}
	return n, errors.Join(err, moved)
}

// deliver gives the sink events.
func (w *worker) deliver(ctx context.Context, messages []Message) (int, error) {
	if w.options.Trace == nil {
		return w.sink.Deliver(ctx, messages)
	}
	ctx, end := w.options.Trace(ctx, w.name, len(messages))
	n, err := w.sink.Deliver(ctx, messages)
	end(err)
	return n, err
}

// observe sets the gauges.
func (w *worker) observe(ctx context.Context, at position, events []store.Event) {
	backlog, age := 0.0, 0.0
	if len(events) > 0 {
		age = max(0, time.Since(events[0].At).Seconds())
		backlog = float64(len(events))
		if len(events) == batch {
			if last, err := w.store.Events(ctx, store.EventQuery{Backward: true, Limit: 1}); err == nil && len(last) == 1 {
				backlog = float64(last[0].Seq - at.Seq)
			}
		}
	}
	w.metrics.backlog.WithLabelValues(w.name).Set(backlog)
	w.metrics.age.WithLabelValues(w.name).Set(age)
}

func (c *Courier) trimUntil(ctx context.Context) {
	for {
		if err := c.trim(ctx); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "the audit log could not be compared with its bounds, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(c.options.trimEvery):
		}
	}
}

// trim removes what is beyond the bounds, and is loud about what was not
// delivered yet.
func (c *Courier) trim(ctx context.Context) error {
	positions := map[string]int64{}
	for _, w := range c.workers {
		row, err := c.store.Get(ctx, "", w.cursor.key)
		if errors.Is(err, store.ErrNotFound) {
			continue // it begins with what is there
		}
		if err != nil {
			return err
		}
		at, err := decodePosition(row)
		if err != nil {
			return err
		}
		positions[w.name] = at.Seq
	}
	kept, removed, err := trim(ctx, c.store, c.options.Retain, time.Now())
	c.metrics.retained.Set(float64(kept.Bytes))
	for name, at := range positions {
		lost := 0
		for _, e := range removed {
			if e.Seq > at {
				lost++
			}
		}
		if lost > 0 {
			c.metrics.dropped.WithLabelValues(name).Add(float64(lost))
			c.log.ErrorContext(ctx, "events of the audit log were removed before they were delivered, as the log has reached its bounds (--audit-retention, --audit-max-size); the sink is told of the gap",
				"sink", name, "events", lost, "through", audit.Sequence(kept.Removed))
		}
	}
	return err
}
