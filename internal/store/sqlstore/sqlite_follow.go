package sqlstore

import (
	"context"
	"time"

	"github.com/weirhq/weir/internal/store"
)

const (
	// followInterval is the time between two looks at what others changed.
	followInterval = 250 * time.Millisecond
	// followPatience is how long the writer may keep such a look waiting.
	followPatience = 250 * time.Millisecond
	// besideWait is how long after a commit every other process has noticed it:
	// its next look begins within the interval, and ends within the patience. It
	// is no shorter than cacheLease.
	besideWait = followInterval + followPatience + 100*time.Millisecond
)

// announce has nothing to do: others look at the file.
func (b *sqliteBackend) announce(context.Context, txConn, store.Change) error { return nil }

// send reaches this process alone: no other serves the file beside it.
func (b *sqliteBackend) send(ctx context.Context, f *feed, text string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.hearers.call(text)
	return nil
}

// follow looks at the file's data version, which changes with the commits of
// every connection but the one that asks. The one that writes asks, so what it
// commits itself does not count.
func (b *sqliteBackend) follow(f *feed) {
	b.followers.Go(func() {
		ticks := time.NewTicker(followInterval)
		defer ticks.Stop()
		for known := int64(-1); ; {
			asked := time.Now()
			version := b.writer.poll()
			if version < 0 || version != known {
				b.cache.forget() // first: who is told reads again
				f.tell(store.Change{All: true})
			}
			if version >= 0 {
				b.cache.renew(asked)
			}
			known = version
			if b.polled != nil {
				b.polled(version)
			}
			select {
			case <-ticks.C:
			case <-b.closing:
				return
			}
		}
	})
}

// poll asks for the data version, and returns -1 when it cannot be known: the
// writer may be waiting for another process, which commits in the meantime.
func (w *writer) poll() int64 {
	answer := make(chan int64, 1)
	patience := time.NewTimer(followPatience)
	defer patience.Stop()
	polls := w.polls
	for {
		select {
		case polls <- answer:
			polls = nil
		case version := <-answer:
			return version
		case <-patience.C:
			return -1
		case <-w.closing:
			return -1
		}
	}
}

func (w *writer) dataVersion() int64 {
	version := int64(-1)
	err := w.conn.query(context.Background(), "PRAGMA data_version", nil, func(scan func(...any) error) error { return scan(&version) })
	if err != nil {
		return -1
	}
	return version
}
