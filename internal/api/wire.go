// Package api holds the wire conventions that every operation shares: error
// bodies and the one writer of them, request ids, timestamps, page tokens,
// JSON request bodies, and links that depend on the server's public URL.
package api

import (
	"bytes"
	"context"
	"time"
)

// Timestamp prints an instant as the API does: RFC 3339 in UTC with exactly
// six fractional digits, as recorded answers of the real service have it.
func Timestamp(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

type requestIDKey struct{}

// WithRequestID keeps the request's id for the log and for error bodies.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id kept by WithRequestID, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// BaseMark stands for the server's public URL in stored documents. A raw
// control character cannot occur in JSON text otherwise, since encoders
// must escape it, so nothing that a user sends can be taken for the mark.
const BaseMark = 0x01

// AppendSpliced appends the stored document with the public URL in the place
// of each mark.
func AppendSpliced(dst, stored []byte, publicURL string) []byte {
	for {
		i := bytes.IndexByte(stored, BaseMark)
		if i < 0 {
			return append(dst, stored...)
		}
		dst = append(dst, stored[:i]...)
		dst = append(dst, publicURL...)
		stored = stored[i+1:]
	}
}
