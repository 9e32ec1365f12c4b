package api

import (
	"net/url"
	"strings"
)

// ParseQuery reads a request's query. What cannot be decoded is a 400: to drop
// it, as url.URL.Query does, would answer a list with a filter as if it had
// none.
func ParseQuery(raw string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err == nil {
		return values, nil
	}
	for pair := range strings.SplitSeq(raw, "&") {
		if _, err := url.ParseQuery(pair); err == nil {
			continue
		}
		name, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil && !strings.Contains(decoded, ";") {
			return nil, BadParameter(InvalidParameter, decoded, "The parameter '"+decoded+"' must be percent-encoded, with % as %25 and ; as %3B")
		}
	}
	return nil, New(MalformedRequest, "The query must be percent-encoded, with % as %25 and ; as %3B")
}
