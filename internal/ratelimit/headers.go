package ratelimit

import (
	"net/http"
	"strconv"
	"time"
)

// The names in the form that http.Header keeps them in, which saves bringing them
// into it for each answer. Case does not count in names.
const (
	headerLimit      = "X-Ratelimit-Limit"
	headerRemaining  = "X-Ratelimit-Remaining"
	headerReset      = "X-Ratelimit-Reset"
	headerRetryAfter = "Retry-After"
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
	h.Set(headerLimit, strconv.Itoa(d.Limit))
	h.Set(headerRemaining, strconv.Itoa(d.Remaining))
	h.Set(headerReset, strconv.FormatInt(ceilSeconds(d.Reset), 10))
	if !d.Allowed {
		h.Set(headerRetryAfter, strconv.FormatInt(max(ceilSeconds(d.RetryAfter), 1), 10))
	}
}

// RemoveHeaders takes back what WriteHeaders set for a request that was allowed.
func RemoveHeaders(h http.Header) {
	h.Del(headerLimit)
	h.Del(headerRemaining)
	h.Del(headerReset)
}

func ceilSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return s
}
