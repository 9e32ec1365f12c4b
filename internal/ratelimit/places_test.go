package ratelimit_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/ratelimit"
)

func TestPlaces(t *testing.T) {
	t.Parallel()
	p := ratelimit.NewPlaces(2)
	first, ok := p.Take("a")
	second, ok2 := p.Take("a")
	if !ok || !ok2 {
		t.Fatal("there are not as many places as there should be")
	}
	if _, ok := p.Take("a"); ok {
		t.Error("there is one more place")
	}
	other, ok := p.Take("b")
	if !ok {
		t.Error("another key has no places of its own")
	}
	if n := p.Len(); n != 2 {
		t.Errorf("%d keys are remembered", n)
	}
	first.Leave()
	third, ok := p.Take("a")
	if !ok {
		t.Error("a place that was left is not free")
	}
	for _, place := range []ratelimit.Place{second, third, other} {
		place.Leave()
	}
	if n := p.Len(); n != 0 {
		t.Errorf("%d keys are remembered with nothing under way", n)
	}
}

func TestNoPlacesNeeded(t *testing.T) {
	t.Parallel()
	p := ratelimit.NewPlaces(0)
	for range 100 {
		place, ok := p.Take("a")
		waited, err := p.Wait(t.Context(), "a")
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		defer place.Leave()
		defer waited.Leave()
	}
	if n := p.Len(); n != 0 {
		t.Errorf("%d keys are remembered", n)
	}
}

func TestWaitForAPlace(t *testing.T) {
	t.Parallel()
	p := ratelimit.NewPlaces(1)
	held, _ := p.Take("a")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Wait(ended, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ends with %v", err)
	}
	got := make(chan error)
	go func() {
		place, err := p.Wait(t.Context(), "a")
		if err == nil {
			place.Leave()
		}
		got <- err
	}()
	held.Leave()
	if err := <-got; err != nil {
		t.Error(err)
	}
	if n := p.Len(); n != 0 {
		t.Errorf("%d keys are remembered", n)
	}
}

// However many take, wait, give up and leave at once, there are never more in
// than there are places, and nothing is left in the end.
func TestPlacesAtOnce(t *testing.T) {
	t.Parallel()
	const limit, keys = 3, 4
	p := ratelimit.NewPlaces(limit)
	var in [keys]atomic.Int64
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := range 500 {
				key := (worker + i) % keys
				var place ratelimit.Place
				if i%2 == 0 {
					var ok bool
					if place, ok = p.Take(strconv.Itoa(key)); !ok {
						continue
					}
				} else {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*50*time.Microsecond)
					var err error
					place, err = p.Wait(ctx, strconv.Itoa(key))
					cancel()
					if err != nil {
						continue
					}
				}
				if n := in[key].Add(1); n > limit {
					t.Errorf("%d are in", n)
				}
				in[key].Add(-1)
				place.Leave()
			}
		})
	}
	wg.Wait()
	if n := p.Len(); n != 0 {
		t.Errorf("%d keys are remembered", n)
	}
}

func BenchmarkPlaces(b *testing.B) {
	b.ReportAllocs()
	p := ratelimit.NewPlaces(100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if place, ok := p.Take("9bb441c4-edef-46ac-8a41-c49e44a3fd9a/u-12mgdv"); ok {
				place.Leave()
			}
		}
	})
}
