package sqlstore

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/fastcache"

	"github.com/weirhq/weir/internal/store"
)

const (
	// cacheScopes is how many parts there are of what can be read; a power of two.
	// A write makes the cache forget the parts that it is in.
	cacheScopes = 1 << 12
	// cacheLease is how long the cache is believed after a look at what other
	// processes have committed.
	cacheLease = 2 * followInterval
	// maxCacheKey is the greatest length of a key in bytes. Longer questions are
	// rare, and cost much to compare.
	maxCacheKey = 2 << 10
	// maxCacheEntry is the greatest length of an entry and its key: what the
	// library keeps in one piece.
	maxCacheEntry = 64<<10 - 8
	// stampLength is that of the stamp at the beginning of an entry.
	stampLength = 8
)

// cache keeps what was read outside of transactions: rows by their keys, and
// pages of lists by their queries. What it answers is what the database would
// have answered at that moment.
//
// All that can be read lies in scopes: a row in that of its key, a list in that
// of its organization and kind. A transaction begins to write in the scopes of a
// row before it can be committed, and ends when its outcome is known. An entry bears
// the number of writes that had begun in its scope before it was read, and counts
// as long as no other has begun. What is read while one is under way is not kept.
//
// Other processes write too. The follower looks at the file for their commits
// and renews a lease, without which nothing counts; after a commit of another
// process nothing counts that was read before. A process that waits for as long as
// the lease after its commit is seen by all others.
//
// A nil cache keeps nothing.
type cache struct {
	entries *fastcache.Cache
	seed    maphash.Seed
	// began and ended count the writes in each scope.
	began, ended [cacheScopes]atomic.Uint64
	// until is when the lease ends, in nanoseconds from start on.
	until atomic.Int64
	start time.Time
	lease time.Duration

	hits, misses atomic.Uint64
}

// newCache returns a cache of so many bytes; with 0 it is nil. The library
// makes 32 MiB of less.
func newCache(bytes int, lease time.Duration) (c *cache, err error) {
	if bytes == 0 {
		return nil, nil
	}
	// The library takes memory from the system in pieces of 64 MiB, and panics where
	// it gets none. The first one is taken here.
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("no memory for the cache: %v", p)
		}
	}()
	entries := fastcache.New(bytes)
	entries.Set([]byte("first"), nil)
	return &cache{entries: entries, seed: maphash.MakeSeed(), start: time.Now(), lease: lease}, nil
}

// question is what the cache is asked, and under which stamp an answer from the
// database may be kept.
type question struct {
	key   []byte
	scope uint32
	stamp uint64
	// open is whether the cache has a say in it at all, and believed whether there
	// was a lease when it was asked.
	open, believed bool
}

// row asks for the row with the key. The memory is used for the question.
func (c *cache) row(memory []byte, key store.Key) question {
	if c == nil {
		return question{}
	}
	k := rowKey(memory, key.Kind, key.ID)
	return c.question(k, len(k))
}

// list asks for what the query selects, as row does.
func (c *cache) list(memory []byte, q store.Query) question {
	if c == nil || q.Org == "" {
		// What selects from all organizations is in no one scope.
		return question{}
	}
	k := listKey(memory, q.Org, q.Kind)
	scope := len(k)
	k = appendConditions(k, q.Where)
	if q.Visible != nil {
		k = append(k, 1)
		k = appendConditions(k, q.Visible)
	} else {
		k = append(k, 0)
	}
	k = appendConditions(k, q.Except)
	k = binary.AppendVarint(k, q.After)
	k = binary.AppendVarint(k, int64(q.Limit))
	flags := byte(0)
	if q.Backward {
		flags |= 1
	}
	if q.BodyOnly {
		flags |= 2
	}
	return c.question(append(k, flags), scope)
}

// question is that with the key, whose scope is said by its first bytes.
func (c *cache) question(key []byte, scope int) question {
	q := question{key: key, scope: c.scope(key[:scope])}
	// The lease comes first: one that is renewed after the stamp was read says
	// nothing of what was forgotten before that.
	q.believed = int64(time.Since(c.start)) < c.until.Load()
	ended := c.ended[q.scope].Load() // first: nothing was under way where both are alike
	q.stamp = c.began[q.scope].Load()
	q.open = ended == q.stamp && len(key) <= maxCacheKey
	return q
}

// answer returns the entry that answers the question, and whether there is one. The
// memory is used for it, and returned for other use where there is none. The
// question must be open.
func (c *cache) answer(memory []byte, q question) ([]byte, bool) {
	entry := c.entries.Get(memory, q.key)
	if len(entry) < stampLength || binary.LittleEndian.Uint64(entry) != q.stamp || !q.believed {
		c.misses.Add(1)
		return entry[:0], false
	}
	c.hits.Add(1)
	return entry, true
}

// newEntry begins an entry for keep.
func (q question) newEntry(memory []byte) []byte {
	return binary.LittleEndian.AppendUint64(memory, q.stamp)
}

// keep keeps what answers the question, unless it is too long.
func (c *cache) keep(q question, entry []byte) {
	if len(q.key)+len(entry) <= maxCacheEntry {
		c.entries.Set(q.key, entry)
	}
}

// writes are those that a transaction has begun.
type writes struct {
	cache  *cache
	scopes []uint32
}

// begin is called before the commit that changes the row.
func (w *writes) begin(org string, key store.Key) {
	c := w.cache
	if c == nil {
		return
	}
	var memory [256]byte
	for _, scope := range [...]uint32{c.scope(rowKey(memory[:0], key.Kind, key.ID)), c.scope(listKey(memory[:0], org, key.Kind))} {
		c.began[scope].Add(1)
		w.scopes = append(w.scopes, scope)
	}
}

// end is called when all that was written is there to be read, or will never be.
func (w *writes) end() {
	for _, scope := range w.scopes {
		w.cache.ended[scope].Add(1)
	}
	w.scopes = nil
}

// forget makes nothing count that was read so far.
func (c *cache) forget() {
	if c == nil {
		return
	}
	for scope := range c.began {
		c.began[scope].Add(1)
	}
	for scope := range c.ended {
		c.ended[scope].Add(1)
	}
}

// renew says that forget was called for all that other processes had committed
// at the time given.
func (c *cache) renew(at time.Time) {
	if c != nil {
		c.until.Store(int64(at.Add(c.lease).Sub(c.start)))
	}
}

// close gives the memory back.
func (c *cache) close() {
	if c != nil {
		c.until.Store(0)
		c.entries.Reset()
	}
}

func (c *cache) scope(key []byte) uint32 {
	return uint32(maphash.Bytes(c.seed, key) % cacheScopes)
}

// rowKey and listKey begin the keys of entries, which differ in their first byte.
func rowKey(memory []byte, kind, id string) []byte {
	return appendText(appendText(append(memory, 'r'), kind), id)
}

func listKey(memory []byte, org, kind string) []byte {
	return appendText(appendText(append(memory, 'l'), org), kind)
}

func appendConditions(b []byte, conditions []store.Condition) []byte {
	b = binary.AppendUvarint(b, uint64(len(conditions)))
	for _, c := range conditions {
		b = appendText(b, c.Field)
		for _, values := range [...][]string{c.Values, c.Prefixes} {
			b = binary.AppendUvarint(b, uint64(len(values)))
			for _, v := range values {
				b = appendText(b, v)
			}
		}
		b = appendText(b, c.Contains)
	}
	return b
}

// CacheReads returns how many reads the cache of a store of this package has
// answered, and how many it was asked for in vain. Both are 0 without a cache.
func CacheReads(s store.Store) (hits, misses uint64) {
	d, ok := s.(*db)
	if !ok || d.cache == nil {
		return 0, 0
	}
	return d.cache.hits.Load(), d.cache.misses.Load()
}
