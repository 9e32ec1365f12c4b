package ratelimit

import (
	"net/http"
	"strconv"
	"time"
)

// WriteHeaders sets X-RateLimit-Limit, X-RateLimit-Remaining and
// X-RateLimit-Reset, and Retry-After if the request was denied. Times are
// seconds from now, as in Confluent's API reference, rounded up; Retry-After is
// at least 1. Where no limit applies it sets nothing, since no number would be
// true. Kafka REST v3 sends none of these headers with its 429: do not call
// this there.
func WriteHeaders(h http.Header, d Decision) {
	if d.Limit == 0 {
		return
	}
	h.Set("X-RateLimit-Limit", strconv.Itoa(d.Limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(d.Remaining))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(ceilSeconds(d.Reset), 10))
	if !d.Allowed {
		h.Set("Retry-After", strconv.FormatInt(max(ceilSeconds(d.RetryAfter), 1), 10))
	}
}

func ceilSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return s
}
