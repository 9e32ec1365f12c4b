package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/audit/audittest"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

// database is one that several processes have open.
type database struct {
	url, dir string
}

func (d database) open(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), d.url, d.dir, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func onEachStore(t *testing.T, test func(t *testing.T, d database)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, database{dir: t.TempDir()})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, database{url: pgtest.URL(t), dir: t.TempDir()})
	})
}

// add appends an event of an organization to the log.
func add(t testing.TB, s store.Store, organization, id string) {
	t.Helper()
	e := &audit.Event{
		ID: id, Time: time.Now(), Organization: organization, Method: "CreateServiceAccount", Access: audit.Modification,
		Resources: []audit.Resource{{Type: "SERVICE_ACCOUNT"}},
		Result:    []byte("{\"api_version\":\"iam/v2\",\"kind\":\"ServiceAccount\",\"id\":\"sa-1\",\"metadata\":{\"self\":\"\x01/x\"}}"),
	}
	if err := s.Update(context.WithoutCancel(t.Context()), func(tx store.Tx) error { return tx.Append(e.Entry()) }); err != nil {
		t.Error(err)
	}
}

// received is a consumer of events.
type received struct {
	mu     sync.Mutex
	bodies [][]byte
	// down makes it fail.
	down atomic.Bool
	// each runs for each delivery, with the context of it.
	each func(ctx context.Context) error
}

func (r *received) Deliver(ctx context.Context, events []Message) (int, error) {
	if r.down.Load() {
		return 0, errors.New("down")
	}
	if r.each != nil {
		if err := r.each(ctx); err != nil {
			return 0, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		r.bodies = append(r.bodies, slices.Clone(e.Body))
	}
	return len(events), nil
}

func (*received) Close() error { return nil }

func (r *received) all() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bodies)
}

// ServeHTTP takes what an HTTP sink sends, in all modes of CloudEvents.
func (r *received) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.down.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var events []event.Event
	var err error
	if cehttp.IsHTTPBatch(req.Header) {
		events, err = cehttp.NewEventsFromHTTPRequest(req)
	} else {
		var e *event.Event
		if e, err = cehttp.NewEventFromHTTPRequest(req); err == nil {
			events = append(events, *e)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		body, err := json.Marshal(e)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.bodies = append(r.bodies, body)
	}
}

// distinct returns the IDs of the events in the order in which they came first,
// and how often one came again.
func distinct(t *testing.T, bodies [][]byte) (ids []string, again int) {
	t.Helper()
	seen := map[string]bool{}
	last := ""
	for _, b := range bodies {
		var e struct{ ID, Sequence string }
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		if seen[e.ID] {
			again++
			continue
		}
		if e.Sequence <= last {
			t.Errorf("the event %s comes behind %s", e.Sequence, last)
		}
		seen[e.ID], last = true, e.Sequence
		ids = append(ids, e.ID)
	}
	return ids, again
}

// fast are options with little patience.
func fast(sinks ...string) Options {
	return Options{Sinks: sinks, PublicURL: "https://weir.example.com", lease: 900 * time.Millisecond, poll: 5 * time.Millisecond, trimEvery: 10 * time.Millisecond}
}

// running starts a courier, and returns what stops it.
func running(t *testing.T, c *Courier) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { c.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); work.Wait() })
	t.Cleanup(stop)
	return stop
}

func newCourier(t *testing.T, s store.Store, o Options, log io.Writer) *Courier {
	t.Helper()
	if log == nil {
		log = io.Discard
	}
	c, err := New(s, o, io.Discard, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range c.workers {
		w.pause = 10 * time.Millisecond
	}
	return c
}

// withSink replaces the sinks of a courier, of which the first one's name stays.
func withSink(c *Courier, s Sink) *Courier {
	_ = c.workers[0].sink.Close()
	c.workers[0].sink = s
	return c
}

const somewhere = "http://127.0.0.1:1/events"

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Two replicas deliver each event once, in order, while nothing fails.
func TestReplicasDeliverOnce(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d database) {
		consumer := &received{}
		server := httptest.NewServer(consumer)
		defer server.Close()
		first, second := d.open(t), d.open(t)
		o := fast(server.URL + "/events")
		// Slow machines must not look like dead replicas.
		o.lease = time.Minute
		o.HTTPBatch = true
		running(t, newCourier(t, first, o, nil))
		running(t, newCourier(t, second, o, nil))
		var work sync.WaitGroup
		const n = 400
		for i := range 4 {
			work.Go(func() {
				for j := range n / 4 {
					add(t, []store.Store{first, second}[i%2], fmt.Sprint("org-", i), fmt.Sprintf("%d.%d", i, j))
				}
			})
		}
		work.Wait()
		eventually(t, "all events", func() bool { return len(consumer.all()) >= n })
		ids, again := distinct(t, consumer.all())
		if len(ids) != n || again != 0 {
			t.Errorf("%d events came, %d of them again, want %d", len(ids), again, n)
		}
		for _, body := range consumer.all()[:10] {
			audittest.Check(t, body)
			if !bytes.Contains(body, []byte(`"self":"https://weir.example.com/x"`)) {
				t.Errorf("the link is wrong: %s", body)
			}
		}
	})
}

// A sink that is down again and again, under load, with two replicas of which
// one ends: nothing is lost, and what comes first comes in order.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	for _, batched := range []bool{false, true} {
		t.Run(fmt.Sprintf("batched=%v", batched), func(t *testing.T) {
			t.Parallel()
			onEachStore(t, func(t *testing.T, d database) {
				consumer := &received{}
				server := httptest.NewServer(consumer)
				defer server.Close()
				first, second := d.open(t), d.open(t)
				o := fast(server.URL)
				o.HTTPBatch = batched
				stop := running(t, newCourier(t, first, o, nil))
				running(t, newCourier(t, second, o, nil))
				const n = 300
				var work sync.WaitGroup
				for i := range 3 {
					work.Go(func() {
						for j := range n / 3 {
							add(t, second, "org", fmt.Sprintf("%d.%d", i, j))
						}
					})
				}
				for range 5 {
					consumer.down.Store(true)
					time.Sleep(20 * time.Millisecond) // any moment will do
					consumer.down.Store(false)
					server.CloseClientConnections()
					time.Sleep(10 * time.Millisecond)
				}
				stop()
				work.Wait()
				eventually(t, "all events", func() bool { ids, _ := distinct(t, consumer.all()); return len(ids) >= n })
				if ids, _ := distinct(t, consumer.all()); len(ids) != n {
					t.Errorf("%d events came, want %d", len(ids), n)
				}
			})
		})
	}
}

// What an endpoint took before it failed is not sent again.
func TestDeliveryGoesOnWhereItFailed(t *testing.T) {
	t.Parallel()
	s := database{dir: t.TempDir()}.open(t)
	for i := range 20 {
		add(t, s, "org", fmt.Sprint(i))
	}
	consumer := &received{}
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests%3 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		consumer.ServeHTTP(w, r)
	}))
	defer server.Close()
	w := newCourier(t, s, fast(server.URL), nil).workers[0]
	failed := 0
	for len(consumer.all()) < 20 {
		if _, err := w.step(t.Context()); err != nil {
			failed++
		}
	}
	if ids, again := distinct(t, consumer.all()); len(ids) != 20 || again != 0 || failed < 5 {
		t.Errorf("%d events came, %d of them again, after %d failures", len(ids), again, failed)
	}
}

// A process that died holding a sink is replaced, and not before its time.
func TestDeadHolderIsReplaced(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d database) {
		s := d.open(t)
		dead := newCourier(t, s, fast(somewhere), nil).workers[0].cursor
		add(t, s, "org", "delivered by the dead")
		p, version, err := dead.read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p, held, err := dead.claim(t.Context(), p, version)
		if err != nil || !held {
			t.Fatal(held, err)
		}
		p.Seq = 1
		if err := dead.write(t.Context(), p, dead.held); err != nil {
			t.Fatal(err)
		}
		consumer := &received{}
		begun := time.Now()
		add(t, s, "org", "waiting")
		running(t, withSink(newCourier(t, s, fast(somewhere), nil), consumer))
		eventually(t, "the event", func() bool { return len(consumer.all()) > 0 })
		if waited := time.Since(begun); waited < 900*time.Millisecond {
			t.Errorf("the holder was replaced after %s, within its lease", waited)
		}
		if ids, again := distinct(t, consumer.all()); !slices.Equal(ids, []string{"waiting"}) || again != 0 {
			t.Errorf("delivered %v", ids)
		}
		// The dead one comes back, and may move nothing.
		p.Seq = 0
		if err := dead.write(t.Context(), p, version+2); !errors.Is(err, errLost) {
			t.Errorf("an old holder moves the position: %v", err)
		}
	})
}

// A holder that takes its time stays the holder; one that has lost the sink
// all the same is told so while it delivers.
func TestSlowHolder(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d database) {
		first, second := d.open(t), d.open(t)
		delivering, goOn := make(chan struct{}), make(chan struct{})
		var ended atomic.Bool
		slow := &received{each: func(ctx context.Context) error {
			close(delivering)
			select {
			case <-goOn:
				return nil
			case <-ctx.Done():
				ended.Store(true)
				return ctx.Err()
			}
		}}
		c := withSink(newCourier(t, first, fast(somewhere), nil), slow)
		add(t, first, "org", "slow")
		done := make(chan error, 1)
		go func() { _, err := c.workers[0].step(t.Context()); done <- err }()
		<-delivering
		other := newCourier(t, second, fast(somewhere), nil).workers[0]
		for begun := time.Now(); time.Since(begun) < 3*other.options.lease; time.Sleep(20 * time.Millisecond) {
			if _, err := other.step(t.Context()); err != nil {
				t.Fatalf("somebody else delivers: %v", err)
			}
		}
		// Somebody takes it by force.
		eventually(t, "the sink to be taken", func() bool {
			p, version, err := other.cursor.read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p.Holder = "usurper"
			return other.cursor.write(t.Context(), p, version) == nil
		})
		select {
		case err := <-done:
			if !errors.Is(err, errLost) || !ended.Load() {
				t.Errorf("the delivery ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the delivery goes on")
		}
		close(goOn)
	})
}

// Beyond the bounds the oldest events go, delivered or not, and it is said:
// in the log, in the metrics, and to the consumer.
func TestBounds(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, d database) {
		s := d.open(t)
		consumer := &received{}
		var log bytes.Buffer
		o := fast(somewhere)
		c := withSink(newCourier(t, s, o, &log), consumer)
		w := c.workers[0]
		for i := range 10 {
			add(t, s, "org", fmt.Sprint(i))
		}
		if _, err := w.step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		sizes, err := s.EventSizes(t.Context(), 0, 100)
		if err != nil || len(sizes) != 10 {
			t.Fatalf("without bounds %d events are left, %v", len(sizes), err)
		}
		total := int64(0)
		for _, e := range sizes {
			total += e.Bytes
		}
		if got := testutil.ToFloat64(c.metrics.retained); got != float64(total) {
			t.Errorf("retained is %v, want %d", got, total)
		}

		for i := range 10 {
			add(t, s, "org", fmt.Sprint("later ", i))
		}
		all, err := s.EventSizes(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		kept := int64(0)
		for _, e := range all[15:] {
			kept += e.Bytes
		}
		c.options.Retain.Bytes = kept
		if err := c.trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		sizes, err = s.EventSizes(t.Context(), 0, 100)
		if err != nil || !slices.Equal(sizes, all[15:]) {
			t.Fatalf("within the bound are %v, %v, want %v", sizes, err, all[15:])
		}
		if got := testutil.ToFloat64(c.metrics.dropped.WithLabelValues(w.name)); got != 5 {
			t.Errorf("%v events were dropped, want 5", got)
		}
		if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "events=5") {
			t.Errorf("the log is %s", text)
		}
		for range 2 {
			if _, err := w.step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		bodies := consumer.all()
		var gap struct {
			ID, Type, Source, SpecVersion string
			Data                          struct{ FirstSequence, LastSequence string }
		}
		if len(bodies) != 16 || json.Unmarshal(bodies[10], &gap) != nil {
			t.Fatalf("%d events came", len(bodies))
		}
		if gap.Type != audit.TypeGap || gap.Data.FirstSequence != audit.Sequence(all[9].Seq+1) || gap.Data.LastSequence != audit.Sequence(all[14].Seq) {
			t.Errorf("the gap is %s, want %d to %d", bodies[10], all[10].Seq, all[14].Seq)
		}
		var parsed event.Event
		if err := json.Unmarshal(bodies[10], &parsed); err != nil || parsed.Validate() != nil {
			t.Errorf("the gap is no CloudEvent: %v %s", err, bodies[10])
		}
		if ids, _ := distinct(t, bodies[11:]); !slices.Equal(ids, []string{"later 5", "later 6", "later 7", "later 8", "later 9"}) {
			t.Errorf("behind the gap are %v", ids)
		}

		// By age.
		c.options.Retain = Bounds{Age: time.Hour}
		if _, removed, err := trim(t.Context(), s, c.options.Retain, time.Now()); err != nil || len(removed) > 0 {
			t.Errorf("young events were removed: %v, %v", removed, err)
		}
		if _, removed, err := trim(t.Context(), s, c.options.Retain, time.Now().Add(2*time.Hour)); err != nil || len(removed) != 5 {
			t.Errorf("of the old ones %d were removed, %v", len(removed), err)
		}
		if kept, err := readRetained(t.Context(), s); err != nil || kept.Bytes != 0 {
			t.Errorf("nothing takes %d bytes, %v", kept.Bytes, err)
		}
		// All that is gone was delivered: there is no gap. A sink that is new
		// begins with what is there.
		add(t, s, "org", "last")
		for _, name := range []string{somewhere, "http://127.0.0.1:1/new"} {
			consumer := &received{}
			worker := withSink(newCourier(t, s, fast(name), nil), consumer).workers[0]
			worker.cursor.holder = w.cursor.holder
			if _, err := worker.step(t.Context()); err != nil {
				t.Fatal(err)
			}
			if ids, _ := distinct(t, consumer.all()); !slices.Equal(ids, []string{"last"}) {
				t.Errorf("%s got %v", name, ids)
			}
		}
	})
}

// The metrics say how far a sink is behind.
func TestBacklog(t *testing.T) {
	t.Parallel()
	s := database{dir: t.TempDir()}.open(t)
	consumer := &received{}
	consumer.down.Store(true)
	c := withSink(newCourier(t, s, fast(somewhere), nil), consumer)
	w := c.workers[0]
	for i := range 600 {
		add(t, s, "org", fmt.Sprint(i))
	}
	if _, err := w.step(t.Context()); err == nil {
		t.Error("a sink that is down is no error")
	}
	m := c.metrics
	if got := testutil.ToFloat64(m.backlog.WithLabelValues(w.name)); got != 600 {
		t.Errorf("the backlog is %v", got)
	}
	if testutil.ToFloat64(m.age.WithLabelValues(w.name)) <= 0 || testutil.ToFloat64(m.failures.WithLabelValues(w.name)) != 1 {
		t.Error("age or failures are not told")
	}
	consumer.down.Store(false)
	for range 3 {
		if _, err := w.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if testutil.ToFloat64(m.backlog.WithLabelValues(w.name)) != 0 || testutil.ToFloat64(m.age.WithLabelValues(w.name)) != 0 ||
		testutil.ToFloat64(m.delivered.WithLabelValues(w.name)) != 600 {
		t.Error("the backlog is not gone")
	}
}

// What is there when the process ends is delivered before it does.
func TestEndDelivers(t *testing.T) {
	t.Parallel()
	s := database{dir: t.TempDir()}.open(t)
	var out bytes.Buffer
	c, err := New(s, fast("stdout:"), &out, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	add(t, s, "org", "one")
	add(t, s, "org", "two")
	c.Run(ctx)
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[1], `"id":"two"`) {
		t.Errorf("the output is %q", lines)
	}
	// The next process need not wait for a lease.
	again := newCourier(t, s, fast("stdout:"), nil).workers[0]
	add(t, s, "org", "three")
	if delivered, err := again.step(t.Context()); err != nil || delivered == 0 {
		t.Errorf("the next process is kept waiting: %v", err)
	}
}

// tally is a sink that tells how many messages it was given at a time.
type tally chan int

func (s tally) Deliver(_ context.Context, messages []Message) (int, error) {
	s <- len(messages)
	return len(messages), nil
}

func (tally) Close() error { return nil }

// Events that come one after the other are delivered together: the next batch
// waits for a while, unless one is full.
func TestEventsAreDeliveredTogether(t *testing.T) {
	t.Parallel()
	s := database{dir: t.TempDir()}.open(t)
	o := fast(somewhere)
	o.poll = 300 * time.Millisecond
	sizes := make(tally, 1000)
	for range batch {
		add(t, s, "org", "before")
	}
	running(t, withSink(newCourier(t, s, o, nil), sizes))
	if n := <-sizes; n != batch {
		t.Fatalf("the first batch has %d events", n)
	}
	const events = 40
	for range events {
		add(t, s, "org", "one")
		time.Sleep(5 * time.Millisecond) // they come over time: that is what is tested
	}
	batches, delivered := 0, 0
	for delivered < events {
		batches, delivered = batches+1, delivered+<-sizes
	}
	if batches > events/4 {
		t.Errorf("%d events took %d batches", events, batches)
	}
}
