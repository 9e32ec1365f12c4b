package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type contextKey struct{}

func newContext(parent context.Context, life time.Duration) *requestContext {
	return &requestContext{Context: parent, deadline: time.Now().Add(life), record: record{operation: "op"}}
}

func TestRequestContext(t *testing.T) {
	t.Parallel()
	ends := map[string]struct {
		end  func(cancel func(), c *requestContext)
		want error
	}{
		"the deadline":    {func(func(), *requestContext) { time.Sleep(time.Minute) }, context.DeadlineExceeded},
		"the parent":      {func(cancel func(), _ *requestContext) { cancel() }, context.Canceled},
		"the request":     {func(_ func(), c *requestContext) { c.end() }, context.Canceled},
		"one and another": {func(cancel func(), _ *requestContext) { time.Sleep(2 * time.Minute); cancel() }, context.Canceled},
	}
	for name, test := range ends {
		for waits, wait := range map[string]func(*testing.T, *requestContext) <-chan struct{}{
			"before": func(_ *testing.T, c *requestContext) <-chan struct{} { return c.Done() },
			"after":  func(*testing.T, *requestContext) <-chan struct{} { return nil },
			"in a context of its own": func(t *testing.T, c *requestContext) <-chan struct{} {
				derived, cancel := context.WithCancel(c)
				t.Cleanup(cancel)
				return derived.Done()
			},
			"in a function": func(_ *testing.T, c *requestContext) <-chan struct{} {
				called := make(chan struct{})
				context.AfterFunc(c, func() { close(called) })
				return called
			},
		} {
			t.Run(name+" "+waits, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "value"))
					defer cancel()
					c := newContext(ctx, time.Minute)
					if at, ok := c.Deadline(); !ok || time.Until(at) != time.Minute {
						t.Errorf("the deadline is %v, %v", at, ok)
					}
					for range 2 { // before and after there is a timer
						if c.Err() != nil || c.Value(contextKey{}) != "value" || recordOf(c).operation != "op" || recordOf(c) != &c.record {
							t.Errorf("%v, %v, %+v", c.Err(), c.Value(contextKey{}), recordOf(c))
						}
						if waits != "after" {
							_ = c.Done()
						}
					}
					done := wait(t, c)
					test.end(cancel, c)
					synctest.Wait()
					want := test.want
					if name == "one and another" && waits != "after" {
						want = context.DeadlineExceeded // somebody looked when it was over
					}
					if done == nil {
						done = c.Done()
					}
					<-done
					for range 2 {
						if err := c.Err(); !errors.Is(err, want) {
							t.Errorf("the error is %v, want %v", err, want)
						}
						cancel() // it keeps saying why it ended
					}
				})
			})
		}
	}
}

// TestRequestContextWithoutTimer looks at a context that nobody waits for.
func TestRequestContextWithoutTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newContext(context.Background(), time.Minute)
		_, _, _ = c.Err(), c.Value(contextKey{}), recordOf(c)
		if c.timed != nil {
			t.Error("there is a timer that nobody needs")
		}
		time.Sleep(time.Minute)
		if err := c.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the deadline the error is %v", err)
		}
		c.end()
		if err := c.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the end the error is %v", err)
		}
	})
}
