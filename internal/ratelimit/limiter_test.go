package ratelimit_test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/ratelimit"
)

func mustLimiter(t testing.TB, limit ratelimit.Limit, maxKeys int) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.NewLimiter(limit, maxKeys)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestNewLimiterRejects(t *testing.T) {
	t.Parallel()
	good := ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 1}
	if _, err := ratelimit.NewLimiter(ratelimit.Limit{Burst: 1}, 10); err == nil {
		t.Error("an incomplete limit was accepted")
	}
	for _, maxKeys := range []int{0, -1} {
		if _, err := ratelimit.NewLimiter(good, maxKeys); err == nil {
			t.Errorf("room for %d keys was accepted", maxKeys)
		}
	}
}

func TestLimiterKeysAreApart(t *testing.T) {
	t.Parallel()
	l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 2}, 100)
	take := func(key string, after time.Duration, want bool) {
		t.Helper()
		if d := l.Take(key, start.Add(after)); d.Allowed != want {
			t.Errorf("Take(%q) after %v: %+v, want allowed: %v", key, after, d, want)
		}
	}
	take("a", 0, true)
	take("a", 0, true)
	take("a", 0, false)
	take("b", 0, true)
	take("", 0, true)
	take("a", time.Second, true)
	take("a", time.Second, false)
	if got := l.Len(); got != 3 {
		t.Errorf("Len() = %d, want 3", got)
	}
}

func TestLimiterWithoutLimitRemembersNothing(t *testing.T) {
	t.Parallel()
	l := mustLimiter(t, ratelimit.Limit{}, 1)
	for i := range 100 {
		if d := l.Take(strconv.Itoa(i%3), start); d != (ratelimit.Decision{Allowed: true}) {
			t.Fatalf("got %+v", d)
		}
	}
	if got := l.Len(); got != 0 {
		t.Errorf("Len() = %d, want 0", got)
	}
}

func TestLimiterStaysWithinItsBound(t *testing.T) {
	t.Parallel()
	for _, maxKeys := range []int{1, 2, 63, 64, 1000, 10_000} {
		t.Run(strconv.Itoa(maxKeys), func(t *testing.T) {
			t.Parallel()
			l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 10}, maxKeys)
			for i := range 20_000 {
				if d := l.Take(strconv.Itoa(i), start.Add(time.Duration(i))); !d.Allowed {
					t.Fatalf("a fresh key was denied: %+v", d)
				}
				if i%997 == 0 && l.Len() > maxKeys {
					t.Fatalf("%d keys are remembered", l.Len())
				}
			}
			// All of these keys are active, so that the room is used, too.
			if got := l.Len(); got > maxKeys || got < maxKeys*9/10 {
				t.Errorf("%d keys are remembered, want nearly %d", got, maxKeys)
			}
		})
	}
}

func TestLimiterMillionAddresses(t *testing.T) {
	t.Parallel()
	const maxKeys = 5000
	l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 10}, maxKeys)
	for i := range 1_000_000 {
		l.Take(strconv.Itoa(i), start)
	}
	if got := l.Len(); got > maxKeys {
		t.Errorf("%d keys are remembered, want at most %d", got, maxKeys)
	}
}

func TestLimiterForgetsIdleKeys(t *testing.T) {
	t.Parallel()
	// So few keys share one shard, hence the next new key finds them all.
	l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 3}, 64)
	for i := range 20 {
		l.Take(strconv.Itoa(i), start)
	}
	l.Take("0", start)
	l.Take("new", start.Add(time.Second))
	if got := l.Len(); got != 2 { // "new", and "0", which needs another second
		t.Errorf("Len() = %d, want 2", got)
	}
	if d := l.Take("0", start.Add(time.Second)); d.Remaining != 1 {
		t.Errorf("the active key was forgotten: %+v", d)
	}
}

func TestLimiterMakesRoomWithTheKeyClosestToIdle(t *testing.T) {
	t.Parallel()
	const keys, burst = 8, 10
	l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: burst}, keys)
	// In an order unlike that of their names, key n makes n+1 requests.
	for round := range keys {
		for i := range keys {
			if n := i * 3 % keys; round <= n {
				l.Take(strconv.Itoa(n), start)
			}
		}
	}
	l.Take("new", start)
	for n := 1; n < keys; n++ {
		if d := l.Take(strconv.Itoa(n), start); d.Remaining != burst-n-2 {
			t.Errorf("key %d was forgotten: %+v", n, d)
		}
	}
	if d := l.Take("0", start); d.Remaining != burst-1 {
		t.Errorf("key 0 is still remembered: %+v", d)
	}
}

// A caller who is over the limit stays so, however many other addresses ask
// in the meantime.
func TestLimiterFloodPardonsNobody(t *testing.T) {
	t.Parallel()
	l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Minute, Burst: 5}, 200)
	for range 5 {
		l.Take("greedy", start)
	}
	for i := range 20_000 {
		l.Take(fmt.Sprint("flood-", i), start.Add(time.Duration(i)*time.Microsecond))
	}
	if d := l.Take("greedy", start.Add(time.Second)); d.Allowed {
		t.Errorf("the flood made the limiter forget: %+v", d)
	}
}

func TestLimiterConcurrentTakesAllowExactlyTheBurst(t *testing.T) {
	t.Parallel()
	const burst, keys, workers, each = 100, 5, 16, 100
	l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Second, Burst: burst}, 10_000)
	var allowed [keys]atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each * keys {
				if l.Take(strconv.Itoa(i%keys), start).Allowed {
					allowed[i%keys].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range allowed {
		if got := allowed[i].Load(); got != burst {
			t.Errorf("key %d: %d of %d takes were allowed, want %d", i, got, workers*each, burst)
		}
	}
}

// New keys, known keys and evictions at once, for the race detector.
func TestLimiterConcurrentEviction(t *testing.T) {
	t.Parallel()
	const maxKeys = 300
	l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 3}, maxKeys)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				l.Take(strconv.Itoa((i*7+w*13)%2000), start.Add(time.Duration(i)*time.Millisecond))
				if i%500 == 0 && l.Len() > maxKeys {
					t.Errorf("%d keys are remembered", l.Len())
				}
			}
		})
	}
	wg.Wait()
}

func TestLimiterKnownKeyAllocatesNothing(t *testing.T) {
	l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 10}, 1000)
	for i := range 100 {
		l.Take(strconv.Itoa(i), start)
	}
	now := start
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(100 * time.Millisecond) // some are allowed, some denied
		l.Take("42", now)
	}); n != 0 {
		t.Errorf("%v allocations for a known key", n)
	}
}

func BenchmarkLimiterTake(b *testing.B) {
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	}
	limit := ratelimit.Limit{Requests: 1000, Per: time.Second, Burst: 1000}
	b.Run("known", func(b *testing.B) {
		l := mustLimiter(b, limit, 2*len(keys))
		for _, key := range keys {
			l.Take(key, start)
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			l.Take(keys[i%len(keys)], start.Add(time.Duration(i)))
			i++
		}
	})
	b.Run("new", func(b *testing.B) {
		l := mustLimiter(b, limit, len(keys)/10)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			l.Take(keys[i%len(keys)], start.Add(time.Duration(i)))
			i++
		}
	})
	b.Run("parallel", func(b *testing.B) {
		l := mustLimiter(b, limit, 2*len(keys))
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				l.Take(keys[i%len(keys)], start.Add(time.Duration(i)))
			}
		})
	})
}

// Peek says what Take would say, and changes nothing.
func TestLimiterPeek(t *testing.T) {
	t.Parallel()
	l, err := ratelimit.NewLimiter(ratelimit.Limit{Requests: 1, Per: time.Minute, Burst: 2}, 10)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		peeks   int
		allowed bool
	}{{5, true}, {5, true}, {5, false}} {
		for range step.peeks {
			if d := l.Peek("a", now); d.Allowed != step.allowed || d.Allowed == (d.RetryAfter > 0) {
				t.Errorf("peek: %+v, want allowed: %t", d, step.allowed)
			}
		}
		if d := l.Take("a", now); d.Allowed != step.allowed {
			t.Errorf("take: %+v, want allowed: %t", d, step.allowed)
		}
	}
	if d := l.Peek("b", now); !d.Allowed || l.Len() != 1 {
		t.Errorf("another: %+v, and %d are remembered", d, l.Len())
	}
	if d := l.Peek("a", now.Add(time.Minute)); !d.Allowed {
		t.Errorf("a minute later: %+v", d)
	}
	none, err := ratelimit.NewLimiter(ratelimit.Limit{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if d := none.Peek("a", now); !d.Allowed {
		t.Errorf("without a limit: %+v", d)
	}
}
