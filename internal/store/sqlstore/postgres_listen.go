package sqlstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/weirhq/weir/internal/store"
)

const (
	// channel is the name under which processes on one database notify each
	// other of changes, toldChannel that of what they tell each other.
	channel     = "weir_changes"
	toldChannel = "weir_told"
	listenSQL   = "LISTEN " + channel + "; LISTEN " + toldChannel
	notifySQL   = "SELECT pg_notify('" + channel + "', $1)"
	// A text that is told survives no crash, so that its commit waits for no disk.
	sendSQL = "SELECT pg_notify('" + toldChannel + "', $1), set_config('synchronous_commit', 'off', true)"
	// nameSuffix tells the connection from others in the server's statistics.
	nameSuffix = "-changes"
	// maxPayload is the greatest length in bytes of what PostgreSQL takes.
	maxPayload = 7999

	// pulse is the time between two heartbeats, and between two warnings while
	// the line is lost; pulseTimeout is how long an answer may take. Together
	// they stay below the second that Watch promises.
	pulse        = 250 * time.Millisecond
	pulseTimeout = 500 * time.Millisecond

	connectTimeout   = 3 * time.Second
	firstConnectWait = 10 * time.Millisecond
	maxConnectPause  = 500 * time.Millisecond
)

// notice is what one process tells the others, as JSON.
type notice struct {
	// From is the instance that sends it.
	From string `json:"from"`
	// IDs are the changed IDs by kind; without any, anything may have changed.
	IDs map[string][]string `json:"ids,omitempty"`
}

// payload renders a change, and says less where it would be too long.
func payload(from string, change store.Change) (string, error) {
	n := notice{From: from}
	if !change.All {
		n.IDs = make(map[string][]string)
		for _, k := range change.Keys {
			n.IDs[k.Kind] = append(n.IDs[k.Kind], k.ID)
		}
	}
	text, err := json.Marshal(n)
	if err == nil && len(text) > maxPayload {
		text, err = json.Marshal(notice{From: from})
	}
	return string(text), err
}

// parsePayload never fails: what it does not understand, such as the notice of
// another version, means that anything may have changed.
func parsePayload(text string) (from string, change store.Change) {
	var n notice
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return "", store.Change{All: true}
	}
	for kind, ids := range n.IDs {
		for _, id := range ids {
			change.Keys = append(change.Keys, store.Key{Kind: kind, ID: id})
		}
	}
	change.All = len(change.Keys) == 0
	return n.From, change
}

func (b *postgresBackend) announce(ctx context.Context, c txConn, change store.Change) error {
	text, err := payload(*b.instance.Load(), change)
	if err != nil {
		return err
	}
	return c.later(ctx, statement{sql: notifySQL, args: []any{text}})
}

// renewInstance makes strangers of all notifications sent before.
func (b *postgresBackend) renewInstance() {
	instance := rand.Text()
	b.instance.Store(&instance)
}

func (b *postgresBackend) send(ctx context.Context, _ *feed, text string) error {
	_, err := postgresReader{backend: b}.exec(ctx, sendSQL, []any{text})
	return err
}

func (b *postgresBackend) follow(f *feed) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	b.stopListening = func() { cancel(); <-done }
	l := &listener{config: b.pool.Config().ConnConfig, instance: &b.instance, feed: f, log: b.log, lost: b.gate.suspect}
	go func() {
		defer close(done)
		l.run(ctx)
	}()
}

// listener has a connection of its own on which other processes' changes are
// told. While it has none, or one that does not answer, it cannot know what
// they change, and says again and again that it may be anything.
type listener struct {
	config   *pgx.ConnConfig
	instance *atomic.Pointer[string]
	feed     *feed
	log      *slog.Logger
	// lost is called when the connection is, and when there is no other one.
	lost func()
}

func (l *listener) run(ctx context.Context) {
	for first := true; ctx.Err() == nil; first = false {
		c := l.reconnect(ctx, first)
		if c == nil {
			return
		}
		err := l.listen(ctx, c)
		c.close()
		if ctx.Err() == nil {
			l.lost()
			l.warn(err)
		}
	}
}

// warn is called once for each time without a connection.
func (l *listener) warn(err error) {
	l.log.Warn("no connection to tell of changes by other processes; trying again until there is one", "error", err)
}

// reconnect returns a connection that listens, or nil at the end of ctx.
func (l *listener) reconnect(ctx context.Context, first bool) *listenerConn {
	connected := make(chan *listenerConn)
	go func() { connected <- l.connect(ctx, first) }()
	ticks := time.NewTicker(pulse)
	defer ticks.Stop()
	for {
		// At first for what was missed just before, and at last, when changes
		// are heard again, for what was missed until then.
		l.feed.tell(store.Change{All: true})
		select {
		case c := <-connected:
			if c != nil {
				l.feed.tell(store.Change{All: true})
			}
			return c
		case <-ticks.C:
		}
	}
}

// connect tries until it succeeds or ctx ends.
func (l *listener) connect(ctx context.Context, warn bool) *listenerConn {
	for wait := firstConnectWait; ; wait = min(2*wait, maxConnectPause) {
		c, err := l.tryConnect(ctx)
		if err == nil {
			return c
		}
		l.lost()
		if warn && ctx.Err() == nil {
			l.warn(err)
			warn = false
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *listener) tryConnect(ctx context.Context) (*listenerConn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	config := l.config.Copy()
	config.RuntimeParams["application_name"] += nameSuffix
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn()}
	}
	// Of a connection that breaks, pgx would have the server cancel the
	// statement, for which it connects once more, for seconds if need be.
	var established atomic.Bool
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if established.Load() {
			return nil, errors.New("nothing to cancel")
		}
		return dial(ctx, network, address)
	}
	c, err := pgx.ConnectConfig(ctx, config)
	established.Store(true)
	if err != nil {
		return nil, err
	}
	conn := &listenerConn{c}
	if _, err := c.Exec(ctx, listenSQL); err != nil {
		conn.close()
		return nil, err
	}
	return conn, nil
}

// listen passes on what it is told until the connection fails or ctx ends.
func (l *listener) listen(ctx context.Context, c *listenerConn) error {
	last := time.Now() // the last sign of life that was asked for
	for {
		if err := l.hear(ctx, c, last.Add(pulse)); err != nil {
			return err
		}
		answer, cancel := context.WithTimeout(ctx, pulseTimeout)
		err := c.Ping(answer)
		cancel()
		if err != nil {
			return err
		}
		last = time.Now()
	}
}

// hear passes on what comes until the time given.
func (l *listener) hear(ctx context.Context, c *listenerConn, until time.Time) error {
	wait, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		n, err := c.WaitForNotification(wait)
		if n != nil && n.Channel == toldChannel {
			l.feed.hearers.call(n.Payload)
		} else if n != nil {
			if from, change := parsePayload(n.Payload); from != *l.instance.Load() {
				l.feed.tell(change)
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case c.IsClosed():
			return err
		case wait.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
}

type listenerConn struct{ *pgx.Conn }

// close ends the connection without waiting for the server.
func (c *listenerConn) close() {
	now, cancel := context.WithTimeout(context.Background(), pulse)
	defer cancel()
	_ = c.Close(now)
	// pgx may be at closing it already, and patient about it.
	_ = c.PgConn().Conn().Close()
	<-c.PgConn().CleanupDone()
}
