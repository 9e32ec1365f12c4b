package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

// awaitListener waits until what the other handle changes is told by key.
func awaitListener(t *testing.T, w *told, other store.Store) {
	t.Helper()
	n := 0
	eventually(t, "a change of the other handle", func() bool {
		n++
		id := fmt.Sprintf("probe-%d-%d", time.Now().UnixNano(), n)
		if err := insert(t.Context(), other, testRow(id)); err != nil {
			return false // the server may be starting
		}
		for wait := time.Now().Add(200 * time.Millisecond); time.Now().Before(wait) && !w.has(id); {
			time.Sleep(time.Millisecond)
		}
		return w.has(id)
	})
}

func TestPostgresTellsOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, other := openPostgres(t, url, Options{}), openPostgres(t, url, Options{})
	w := watch(t, s)
	awaitListener(t, w, other)
	w.take()
	for _, id := range []string{"a", "b"} {
		if err := insert(t.Context(), s, testRow(id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := insert(t.Context(), other, testRow("c")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other's change", func() bool { return w.has("c") })
	if ids, alls := w.take(); ids != "a b c" || alls != 0 {
		t.Errorf("told %q, and %d times anything", ids, alls)
	}
	// So long that it does not fit.
	if err := other.Update(t.Context(), func(tx store.Tx) error {
		for i := range 100 {
			if err := tx.Insert(t.Context(), testRow(fmt.Sprint(strings.Repeat("d", 200), i)), nil); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "many changes", func() bool { return len(w.since(time.Time{})) == 1 })
	b := other.(*db).backend.(*postgresBackend)
	if _, err := b.pool.Exec(t.Context(), notifySQL, "what is this?"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what is not understood", func() bool { return len(w.since(time.Time{})) == 2 })
}

func TestListenerTerminated(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, other := openPostgres(t, url, Options{}), openPostgres(t, url, Options{})
	w := watch(t, s)
	awaitListener(t, w, other)
	for range 3 {
		b := other.(*db).backend.(*postgresBackend)
		var ended bool
		began := time.Now()
		err := b.pool.QueryRow(t.Context(), "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity"+
			" WHERE datname = current_database() AND application_name = 'weir"+nameSuffix+"'").Scan(&ended)
		if err != nil || !ended {
			t.Fatalf("the listener is not found: %v", err)
		}
		id := fmt.Sprint("meanwhile-", began.UnixNano())
		before := time.Now()
		if err := insert(t.Context(), other, testRow(id)); err != nil {
			t.Fatal(err)
		}
		committed := time.Now()
		// The insert may take so long that the line is there again before it returns;
		// then anything may have changed at the loss and at the end of it.
		eventually(t, "the change made meanwhile", func() bool {
			return w.has(id) || len(w.since(committed)) > 0 || len(w.since(before)) > 1
		})
		awaitListener(t, w, other)
		w.take()
	}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) count(s string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), s)
}

// wantSteadyWarnings checks that from begin on it is said often enough that
// anything may have changed. The gaps may be twice what they should, since the
// machine is busy.
func wantSteadyWarnings(t *testing.T, w *told, begin time.Time) {
	t.Helper()
	const n = 6
	eventually(t, "warnings", func() bool { return len(w.since(begin)) >= n })
	last := begin
	for i, at := range w.since(begin)[:n] {
		limit := 2 * pulse
		if i == 0 {
			limit = time.Second
		}
		if gap := at.Sub(last); gap > limit {
			t.Errorf("warning %d comes after %v, want at most %v", i, gap, limit)
		}
		last = at
	}
}

func TestServerStopped(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	url := server.URL()
	var log lockedBuffer
	var s store.Store
	label := fmt.Sprint("stopped-", time.Now().UnixNano())
	var w *told
	var err error
	pprof.Do(t.Context(), pprof.Labels("test", label), func(context.Context) {
		if s, err = OpenPostgres(t.Context(), url, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}); err == nil {
			w = watch(t, s)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	other := openPostgres(t, url, Options{})
	awaitListener(t, w, other)
	for outage, end := range []func(){server.Stop, server.Kill} {
		end()
		wantSteadyWarnings(t, w, time.Now())
		if n := log.count("level=WARN"); n != outage+1 {
			t.Errorf("%d warnings logged in outage %d, want one for each", n, outage+1)
		}
		if outage == 0 {
			server.Restart()
			awaitListener(t, w, other)
			w.take()
		}
	}
	// Without a server it ends as well.
	began := time.Now()
	if err := s.Close(); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("close: %v after %v", err, time.Since(began))
	}
	eventually(t, "the end of its goroutines", func() bool { return !strings.Contains(goroutines(t), label) })
}

// proxy passes connections on to a server's Unix socket, until it is told
// otherwise.
type proxy struct {
	net.Listener
	socket string
	mu     sync.Mutex
	frozen chan struct{} // closed when nothing passes any more
	// cutAfter, where set, ends the first connection on which the client says it,
	// once the server has answered.
	cutAfter []byte
}

// newProxy returns a proxy before the server at the URL, and the URL through it.
func newProxy(t *testing.T, serverURL string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, socket: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"), frozen: make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	q := u.Query()
	q.Del("host")
	u.Host, u.RawQuery = l.Addr().String(), q.Encode()
	return p, u.String()
}

func (p *proxy) serve(client net.Conn) {
	p.mu.Lock()
	frozen := p.frozen
	p.mu.Unlock()
	server, err := net.Dial("unix", p.socket)
	if err != nil {
		client.Close()
		return
	}
	var once sync.Once
	end := func() { once.Do(func() { client.Close(); server.Close() }) }
	pass := func(from, to net.Conn, then func([]byte)) {
		defer end()
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			select {
			case <-frozen:
				_, _ = io.Copy(io.Discard, from) // swallows without a word
				return
			default:
			}
			if err != nil {
				return
			}
			then(buffer[:n])
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	var cut sync.Once
	cutting := make(chan struct{})
	go pass(client, server, func(said []byte) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.cutAfter) > 0 && bytes.Contains(said, p.cutAfter) {
			p.cutAfter = nil
			cut.Do(func() { close(cutting) })
		}
	})
	pass(server, client, func([]byte) {
		select {
		case <-cutting:
			client.Close() // before the answer goes out
		default:
		}
	})
}

func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.frozen)
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = make(chan struct{}) // for new connections
}

func (p *proxy) cutAt(said string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAfter = []byte(said)
}

// TestSilentConnection is about a server that is there and says nothing, as
// behind a network that swallows packets.
func TestSilentConnection(t *testing.T) {
	t.Parallel()
	direct := pgtest.Start(t).URL()
	p, through := newProxy(t, direct)
	label := fmt.Sprint("silent-", time.Now().UnixNano())
	var s store.Store
	var w *told
	var err error
	pprof.Do(t.Context(), pprof.Labels("test", label), func(context.Context) {
		if s, err = OpenPostgres(t.Context(), through, Options{}); err == nil {
			w = watch(t, s)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	other := openPostgres(t, direct, Options{})
	awaitListener(t, w, other)
	p.freeze()
	wantSteadyWarnings(t, w, time.Now())
	p.thaw()
	awaitListener(t, w, other)
	p.freeze()
	wantSteadyWarnings(t, w, time.Now())
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(25 * time.Second):
		t.Fatal("close does not end")
	}
	eventually(t, "the end of its goroutines", func() bool { return !strings.Contains(goroutines(t), label) })
}

// TestCommitWithoutAnAnswer loses the answer to a COMMIT: the caller is told
// that nothing is known, and the caches that something may have changed.
func TestCommitWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	p, through := newProxy(t, pgtest.Start(t).URL())
	s := openPostgres(t, through, Options{})
	w := watch(t, s)
	instance := *s.(*db).backend.(*postgresBackend).instance.Load()
	p.cutAt("commit")
	err := insert(t.Context(), s, testRow("a"))
	if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, errOutcomeUnknown) {
		t.Errorf("error %v, want ErrUnavailable and that the outcome is unknown", err)
	}
	if !w.has("a") {
		t.Error("the watcher is not told of what may be committed")
	}
	if *s.(*db).backend.(*postgresBackend).instance.Load() == instance {
		t.Error("the server's word of it would be taken for one's own")
	}
	p.cutAt("")
	if _, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "a"}); err != nil {
		t.Errorf("the server had committed: %v", err)
	}
}

func TestRolledBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "40001"}, true},
		{&pgconn.PgError{SeverityUnlocalized: "FATAL", Code: "57P01"}, false},
		{pgx.ErrTxCommitRollback, true},
		{net.ErrClosed, false},
		{context.DeadlineExceeded, false},
	} {
		if got := rolledBack(fmt.Errorf("wrapped: %w", c.err)); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	keys := []store.Key{{Kind: "k", ID: "a"}, {Kind: "k", ID: "ü\"\\<\u2028"}, {Kind: "k\n", ID: ""}}
	for name, c := range map[string]struct{ sent, want store.Change }{
		"one":      {store.Change{Keys: keys[:1]}, store.Change{Keys: keys[:1]}},
		"in order": {store.Change{Keys: keys[:2]}, store.Change{Keys: keys[:2]}},
		"odd":      {store.Change{Keys: keys[2:]}, store.Change{Keys: keys[2:]}},
		"all":      {store.Change{All: true}, store.Change{All: true}},
		"too long": {store.Change{Keys: []store.Key{{Kind: "k", ID: strings.Repeat("<", 4000)}}}, store.Change{All: true}},
	} {
		text, err := payload("me", c.sent)
		if err != nil || len(text) > maxPayload {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
		if from, got := parsePayload(text); from != "me" || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %s says %+v", name, from, got)
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	f.Add(`{"from":"a","ids":{"k":["1","2"]}}`)
	f.Add(`{"from":"a","ids":{}}`)
	f.Add(`{"from":"a","ids":{"k":[]}}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, c := parsePayload(text); c.All == (len(c.Keys) > 0) {
			t.Errorf("%q says %+v", text, c)
		}
	})
}

// What one process tells is heard by all, and says nothing of changes.
func TestPostgresTellsOtherProcesses(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, other := openPostgres(t, url, Options{}), openPostgres(t, url, Options{})
	changes := watch(t, other)
	awaitListener(t, changes, s)
	var mu sync.Mutex
	heard := map[string][]string{}
	for name, hears := range map[string]store.Store{"s": s, "other": other} {
		t.Cleanup(hears.Hear(func(text string) {
			mu.Lock()
			defer mu.Unlock()
			heard[name] = append(heard[name], text)
		}))
	}
	changes.take()
	n := 0
	eventually(t, "both to hear", func() bool {
		n++
		if err := s.Tell(t.Context(), fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		return len(heard["s"]) > 0 && len(heard["other"]) > 0
	})
	if ids, alls := changes.take(); ids != "" || alls != 0 {
		t.Errorf("it tells of the changes %q, and %d times of any", ids, alls)
	}
}
