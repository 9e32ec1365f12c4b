package main

import (
	"errors"
	"testing"
	"time"
)

// An operation that is late makes those behind it late as well, and their times
// count from when they were due.
func TestPaceCountsFromWhenItWasDue(t *testing.T) {
	t.Parallel()
	began := time.Now()
	took, err := pace(operation{do: func(n int) error {
		if n == 0 {
			time.Sleep(30 * time.Millisecond)
		}
		return nil
	}}, began, began.Add(50*time.Millisecond), 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(took) != 5 || took[0] < 30*time.Millisecond || took[1] < 20*time.Millisecond || took[2] < 10*time.Millisecond {
		t.Errorf("five operations, of which the first takes 30 ms, took %v", took)
	}
	if passed := time.Since(began); passed < 40*time.Millisecond {
		t.Errorf("five operations every 10 ms ended after %s", passed)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	closed := make(chan int, 4)
	counting := func(most int) work {
		return work{open: func(connection int, _ time.Duration) (operation, error) {
			return operation{do: func(n int) error {
				if n == most {
					return errUsedUp
				}
				return nil
			}, close: func() { closed <- connection }}, nil
		}}
	}
	if r, err := load(counting(10), 2, time.Minute, 0); err != nil || r.done != 20 {
		t.Errorf("two connections with ten operations each: %+v, %v", r, err)
	}
	if r, err := load(counting(-1), 2, 50*time.Millisecond, 200); err != nil || r.done != 10 {
		t.Errorf("200 operations a second for 50 ms: %+v, %v", r, err)
	}
	if len(closed) != 4 {
		t.Errorf("%d connections are closed, want 4", len(closed))
	}
	wrong := errors.New("wrong")
	if _, err := load(work{open: func(int, time.Duration) (operation, error) {
		return operation{do: func(int) error { return wrong }}, nil
	}}, 2, time.Minute, 0); !errors.Is(err, wrong) {
		t.Errorf("an operation that fails: %v", err)
	}
	if _, err := load(work{open: func(int, time.Duration) (operation, error) { return operation{}, wrong }}, 2, time.Minute, 0); !errors.Is(err, wrong) {
		t.Errorf("a connection that fails: %v", err)
	}
}
