package ratelimit_test

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/ratelimit"
)

// A request that one limit refuses uses up nothing of the other, whichever of
// them it is, with a place in line or without.
func TestTakeAllTakesOfAllOrOfNone(t *testing.T) {
	t.Parallel()
	small := ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 3}
	large := ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 10}
	for _, tag := range []uint64{0, 7} {
		for tightest, limits := range [][]ratelimit.Limit{{small, large}, {large, small}} {
			t.Run(fmt.Sprintf("tag %d, tightest %d", tag, tightest), func(t *testing.T) {
				t.Parallel()
				principals, organizations := mustLimiter(t, limits[0], 100), mustLimiter(t, limits[1], 100)
				for i := range 20 {
					d, by := ratelimit.TakeAll(start, tag, ratelimit.Charge{Limiter: principals, Key: "org/u"}, ratelimit.Charge{Limiter: organizations, Key: "org"})
					if d.Allowed != (i < 3) || by != tightest || d.Limit != 3 || d.Remaining != max(2-i, 0) || (d.RetryAfter == 0) != d.Allowed {
						t.Fatalf("request %d: %+v by %d", i, d, by)
					}
				}
				other, key := organizations, "org"
				if tightest == 1 {
					other, key = principals, "org/u"
				}
				if d := other.Take(key, start); d.Remaining != 10-3-1 {
					t.Errorf("the other limit was charged: %+v", d)
				}
			})
		}
	}
}

func TestTakeAllWithoutLimits(t *testing.T) {
	t.Parallel()
	none, one := mustLimiter(t, ratelimit.Limit{}, 1), mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 1}, 1)
	if d, by := ratelimit.TakeAll(start, 1, ratelimit.Charge{Limiter: none, Key: "a"}, ratelimit.Charge{Limiter: none, Key: "b"}); by != -1 || d != (ratelimit.Decision{Allowed: true}) {
		t.Errorf("without limits: %+v by %d", d, by)
	}
	for i, want := range []bool{true, false} {
		if d, by := ratelimit.TakeAll(start, 0, ratelimit.Charge{Limiter: none, Key: "a"}, ratelimit.Charge{Limiter: one, Key: "b"}); by != 1 || d.Allowed != want {
			t.Errorf("request %d with one limit: %+v by %d", i, d, by)
		}
	}
}

// Two limits taken at once by many admit exactly the lesser burst, and no lock
// is waited for in a circle.
func TestTakeAllAtOnce(t *testing.T) {
	t.Parallel()
	principals := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 50}, 100)
	organizations := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Hour, Burst: 120}, 100)
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for worker := range 12 {
		wg.Go(func() {
			for i := range 200 {
				d, _ := ratelimit.TakeAll(start, uint64(i+1), ratelimit.Charge{Limiter: principals, Key: strconv.Itoa(worker % 4)}, ratelimit.Charge{Limiter: organizations, Key: "org"})
				if d.Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := allowed.Load(); n != 120 {
		t.Errorf("%d requests were allowed, want 120", n)
	}
}

// Lines are bounded all together: very many callers who are refused, and each
// with requests that differ, take no more memory than callers without a line.
func TestLinesStayWithinTheirBound(t *testing.T) { // alone, as it measures memory
	l := mustLimiter(t, ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 1}, 20_000)
	before := heapInUse()
	for i := range 500_000 {
		ratelimit.TakeAll(start, uint64(i+1), ratelimit.Charge{Limiter: l, Key: strconv.Itoa(i % 20_000)})
	}
	used := heapInUse() - before
	// 65,536 places of 32 bytes, with room to grow, and 20,000 keys.
	if most := int64(65_536*32*2 + 20_000*500); used > most {
		t.Errorf("%d bytes are used, want at most %d", used, most)
	}
	runtime.KeepAlive(l)
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkTakeAll(b *testing.B) {
	limit := ratelimit.Limit{Requests: 1000, Per: time.Second, Burst: 1_000_000_000}
	for _, callers := range []int{1, 1000} {
		keys := make([]string, callers)
		for i := range keys {
			keys[i] = "9bb441c4-edef-46ac-8a41-c49e44a3fd9a/u-" + strconv.Itoa(i)
		}
		for _, organizations := range []int{1, 100} {
			b.Run(fmt.Sprintf("%d principals, %d organizations", callers, organizations), func(b *testing.B) {
				principal, organization := mustLimiter(b, limit, 100_000), mustLimiter(b, limit, 100_000)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						ratelimit.TakeAll(start.Add(time.Duration(i)), 1,
							ratelimit.Charge{Limiter: principal, Key: keys[i%callers]}, ratelimit.Charge{Limiter: organization, Key: keys[i%organizations%callers]})
					}
				})
			})
		}
	}
}

// BenchmarkLimiterMemory tells the bytes that a key takes.
func BenchmarkLimiterMemory(b *testing.B) {
	const keys = 100_000
	var l *ratelimit.Limiter
	for b.Loop() {
		before := heapInUse()
		l = mustLimiter(b, ratelimit.Limit{Requests: 10, Per: time.Second, Burst: 100}, keys)
		for i := range keys {
			l.Take(fmt.Sprintf("9bb441c4-edef-46ac-8a41-c49e44a3fd9a/u-%06d", i), start)
		}
		b.ReportMetric(float64(heapInUse()-before)/keys, "B/key")
	}
	runtime.KeepAlive(l)
}
