package mtls

import (
	"log/slog"
	"testing"
	"time"
)

func TestDueAt(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		fetched, next, want time.Time
	}{
		"never fetched":           {time.Time{}, time.Time{}, time.Time{}},
		"without an end":          {at, time.Time{}, at.Add(crlLive)},
		"ends in a week":          {at, at.Add(7 * 24 * time.Hour), at.Add(crlLive)},
		"ends in two hours":       {at, at.Add(2 * time.Hour), at.Add(90 * time.Minute)},
		"ends sooner than that":   {at, at.Add(10 * time.Minute), at.Add(retryFirst)},
		"ended when it was taken": {at, at.Add(-time.Hour), at.Add(retryFirst)},
	} {
		if got := dueAt(c.fetched, c.next); !got.Equal(c.want) {
			t.Errorf("%s: due at %s, want %s", name, got, c.want)
		}
	}
}

// Failures are left alone for longer and longer, and start afresh with another
// URL or a success.
func TestBackoff(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	s := New(Config{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
	failed := func(url string) time.Duration {
		s.noteFetched(t.Context(), &due{id: "op-1", url: url, err: errUnknown})
		return s.failing["op-1"].until.Sub(now)
	}
	for i, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
		if got := failed("http://a"); got != want {
			t.Errorf("failure %d waits %s, want %s", i+1, got, want)
		}
	}
	if got := failed("http://b"); got != time.Minute {
		t.Errorf("another URL waits %s", got)
	}
	s.noteFetched(t.Context(), &due{id: "op-1", url: "http://b"})
	if len(s.failing) != 0 {
		t.Errorf("after a success there are %v", s.failing)
	}
	for range 200 {
		failed("http://c")
	}
	if got := s.failing["op-1"].until.Sub(now); got != retryMost {
		t.Errorf("after many failures it waits %s", got)
	}
}
