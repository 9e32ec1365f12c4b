package ratelimit_test

import (
	"math"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/ratelimit"
)

var start = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func TestLimitValidate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		limit ratelimit.Limit
		ok    bool
	}{
		"zero":              {ratelimit.Limit{}, true},
		"complete":          {ratelimit.Limit{Requests: 10, Per: time.Second, Burst: 20}, true},
		"one a year":        {ratelimit.Limit{Requests: 1, Per: 365 * 24 * time.Hour, Burst: 1}, true},
		"faster than clock": {ratelimit.Limit{Requests: math.MaxInt, Per: 1, Burst: 1}, true},
		"no requests":       {ratelimit.Limit{Per: time.Second, Burst: 1}, false},
		"negative requests": {ratelimit.Limit{Requests: -1, Per: time.Second, Burst: 1}, false},
		"no time":           {ratelimit.Limit{Requests: 1, Burst: 1}, false},
		"negative time":     {ratelimit.Limit{Requests: 1, Per: -time.Second, Burst: 1}, false},
		"no burst":          {ratelimit.Limit{Requests: 1, Per: time.Second}, false},
		"negative burst":    {ratelimit.Limit{Requests: 1, Per: time.Second, Burst: -1}, false},
		"endless window":    {ratelimit.Limit{Requests: 1, Per: time.Second, Burst: math.MaxInt}, false},
		"endless period":    {ratelimit.Limit{Requests: 1, Per: math.MaxInt64, Burst: 1}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := tt.limit.Validate(); (err == nil) != tt.ok {
				t.Errorf("Validate() = %v, want ok: %v", err, tt.ok)
			}
		})
	}
}

func TestLimitTake(t *testing.T) {
	t.Parallel()
	type step struct {
		after time.Duration // since the step before
		want  ratelimit.Decision
	}
	allowed := func(limit, remaining int, reset time.Duration) ratelimit.Decision {
		return ratelimit.Decision{Allowed: true, Limit: limit, Remaining: remaining, Reset: reset}
	}
	denied := func(limit int, reset, retry time.Duration) ratelimit.Decision {
		return ratelimit.Decision{Limit: limit, Reset: reset, RetryAfter: retry}
	}
	tests := map[string]struct {
		limit ratelimit.Limit
		steps []step
	}{
		"no limit": {
			ratelimit.Limit{},
			[]step{{0, ratelimit.Decision{Allowed: true}}, {0, ratelimit.Decision{Allowed: true}}},
		},
		"burst, then denied without cost, then one at a time": {
			ratelimit.Limit{Requests: 2, Per: time.Second, Burst: 3},
			[]step{
				{0, allowed(3, 2, 500*time.Millisecond)},
				{0, allowed(3, 1, time.Second)},
				{0, allowed(3, 0, 1500*time.Millisecond)},
				{0, denied(3, 1500*time.Millisecond, 500*time.Millisecond)},
				{499 * time.Millisecond, denied(3, 1001*time.Millisecond, time.Millisecond)},
				{time.Millisecond, allowed(3, 0, 1500*time.Millisecond)},
				{0, denied(3, 1500*time.Millisecond, 500*time.Millisecond)},
			},
		},
		"even spread never runs out": {
			ratelimit.Limit{Requests: 100, Per: time.Minute, Burst: 1},
			[]step{
				{0, allowed(1, 0, 600*time.Millisecond)},
				{600 * time.Millisecond, allowed(1, 0, 600*time.Millisecond)},
				{600 * time.Millisecond, allowed(1, 0, 600*time.Millisecond)},
				{599 * time.Millisecond, denied(1, time.Millisecond, time.Millisecond)},
			},
		},
		"idle time saves up no more than the burst": {
			ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 2},
			[]step{
				{0, allowed(2, 1, time.Second)},
				{time.Hour, allowed(2, 1, time.Second)},
				{0, allowed(2, 0, 2*time.Second)},
				{0, denied(2, 2*time.Second, time.Second)},
			},
		},
		"partly recovered requests do not count": {
			ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 3},
			[]step{
				{0, allowed(3, 2, time.Second)},
				{500 * time.Millisecond, allowed(3, 1, 1500*time.Millisecond)},
				{500 * time.Millisecond, allowed(3, 1, 2*time.Second)},
			},
		},
		"an interval that is no whole nanosecond is rounded up": {
			ratelimit.Limit{Requests: 3, Per: time.Second, Burst: 1},
			[]step{
				{0, allowed(1, 0, 333_333_334)},
				{333_333_333, denied(1, 1, 1)},
				{1, allowed(1, 0, 333_333_334)},
			},
		},
		"a clock that steps back allows nothing extra": {
			ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 1},
			[]step{
				{0, allowed(1, 0, time.Second)},
				{-time.Minute, denied(1, 61*time.Second, 61*time.Second)},
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, state := start, ratelimit.State{}
			for i, s := range tt.steps {
				now = now.Add(s.after)
				var got ratelimit.Decision
				got, state = tt.limit.Take(now, state)
				if got != s.want {
					t.Fatalf("step %d: got %+v, want %+v", i, got, s.want)
				}
			}
		})
	}
}

func TestStateIdle(t *testing.T) {
	t.Parallel()
	limit := ratelimit.Limit{Requests: 1, Per: time.Second, Burst: 5}
	if !(ratelimit.State{}).Idle(start) {
		t.Error("the zero State is not idle")
	}
	d, state := limit.Take(start, ratelimit.State{})
	if state.Idle(start.Add(d.Reset - 1)) {
		t.Error("idle before Reset has passed")
	}
	if !state.Idle(start.Add(d.Reset)) {
		t.Error("not idle although Reset has passed")
	}
}

// FuzzLimitTake makes requests at the given gaps and checks what a limit
// promises of every decision and of every stretch of time.
func FuzzLimitTake(f *testing.F) {
	f.Add(uint32(10), uint64(time.Second), uint16(5), []byte{0, 0, 0, 0, 0, 0, 9, 1, 200, 0})
	f.Add(uint32(3), uint64(time.Second), uint16(1), []byte{1, 1, 1, 1, 1, 1, 1})
	f.Add(uint32(7), uint64(time.Hour), uint16(100), []byte{255, 0, 255, 0, 0})
	f.Add(uint32(4_000_000_000), uint64(3), uint16(2), []byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, requests uint32, per uint64, burst uint16, gaps []byte) {
		limit := ratelimit.Limit{
			Requests: int(requests),
			Per:      time.Duration(per & math.MaxInt64),
			Burst:    int(burst),
		}
		if limit == (ratelimit.Limit{}) || limit.Validate() != nil || len(gaps) > 64 {
			t.Skip()
		}
		// A gap of 16 is the time in which one request becomes available.
		unit := max(limit.Per/time.Duration(limit.Requests)/16, 1)

		now, state := start, ratelimit.State{}
		var allowed []time.Time
		for _, gap := range gaps {
			now = now.Add(time.Duration(gap) * unit)
			var d ratelimit.Decision
			before := state
			d, state = limit.Take(now, before)
			checkDecision(t, limit, now, before, state, d)
			if d.Allowed {
				allowed = append(allowed, now)
			}
		}
		for i := range allowed {
			for j := i; j < len(allowed); j++ {
				checkWindow(t, limit, j-i+1, allowed[j].Sub(allowed[i]))
			}
		}
	})
}

func checkDecision(t *testing.T, limit ratelimit.Limit, now time.Time, before, after ratelimit.State, d ratelimit.Decision) {
	t.Helper()
	if d.Limit != limit.Burst || d.Remaining < 0 || d.Remaining >= d.Limit || d.Reset <= 0 {
		t.Fatalf("%+v: out of range: %+v", limit, d)
	}
	if whole, _ := limit.Take(now.Add(d.Reset), after); whole.Remaining != limit.Burst-1 {
		t.Fatalf("%+v: not whole after Reset: %+v, then %+v", limit, d, whole)
	}
	if d.Allowed {
		if d.RetryAfter != 0 {
			t.Fatalf("%+v: allowed, and yet to be retried: %+v", limit, d)
		}
		s := after
		for range min(d.Remaining, 20) {
			var next ratelimit.Decision
			if next, s = limit.Take(now, s); !next.Allowed {
				t.Fatalf("%+v: fewer than Remaining are allowed: %+v", limit, d)
			}
		}
		if d.Remaining <= 20 {
			if next, _ := limit.Take(now, s); next.Allowed {
				t.Fatalf("%+v: more than Remaining are allowed: %+v", limit, d)
			}
		}
		return
	}
	if !reflect.DeepEqual(after, before) || d.Remaining != 0 || d.RetryAfter <= 0 {
		t.Fatalf("%+v: denied at a cost or with room left: %+v", limit, d)
	}
	if retry, _ := limit.Take(now.Add(d.RetryAfter), after); !retry.Allowed {
		t.Fatalf("%+v: denied again after RetryAfter: %+v, then %+v", limit, d, retry)
	}
	if early, _ := limit.Take(now.Add(d.RetryAfter-1), after); early.Allowed {
		t.Fatalf("%+v: allowed before RetryAfter: %+v, then %+v", limit, d, early)
	}
}

// checkWindow checks n <= Burst + elapsed*Requests/Per, without rounding.
func checkWindow(t *testing.T, limit ratelimit.Limit, n int, elapsed time.Duration) {
	t.Helper()
	left := new(big.Int).Mul(big.NewInt(int64(n-limit.Burst)), big.NewInt(int64(limit.Per)))
	right := new(big.Int).Mul(big.NewInt(int64(elapsed)), big.NewInt(int64(limit.Requests)))
	if left.Cmp(right) > 0 {
		t.Fatalf("%+v: %d requests allowed within %v", limit, n, elapsed)
	}
}
