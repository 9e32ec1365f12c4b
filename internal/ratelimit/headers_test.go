package ratelimit_test

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/ratelimit"
)

func TestWriteHeaders(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		decision ratelimit.Decision
		want     map[string]string
	}{
		"no limit": {ratelimit.Decision{Allowed: true}, map[string]string{}},
		"allowed": {
			ratelimit.Decision{Allowed: true, Limit: 50, Remaining: 49, Reset: 20 * time.Millisecond},
			map[string]string{"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "49", "X-RateLimit-Reset": "1"},
		},
		"whole seconds stay": {
			ratelimit.Decision{Allowed: true, Limit: 50, Remaining: 40, Reset: 10 * time.Second},
			map[string]string{"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "40", "X-RateLimit-Reset": "10"},
		},
		"denied": {
			ratelimit.Decision{Limit: 50, Reset: 61 * time.Second, RetryAfter: 1200 * time.Millisecond},
			map[string]string{"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "61", "Retry-After": "2"},
		},
		"denied for an instant": {
			ratelimit.Decision{Limit: 1, Reset: 1, RetryAfter: 1},
			map[string]string{"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1", "Retry-After": "1"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			ratelimit.WriteHeaders(h, tt.decision)
			want := http.Header{}
			for k, v := range tt.want {
				want.Set(k, v)
			}
			if !maps.EqualFunc(h, want, func(a, b []string) bool { return len(a) == 1 && a[0] == b[0] }) {
				t.Errorf("got %v, want %v", h, want)
			}
		})
	}
}
