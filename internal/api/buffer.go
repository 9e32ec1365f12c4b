package api

import (
	"bytes"
	"sync"
)

// maxKept is the greatest capacity in bytes of a buffer that is kept: a page of
// large documents must not stay in memory for ever.
const maxKept = 256 << 10

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// GetBuffer returns an empty buffer for the body of an answer, which most often
// has room already.
func GetBuffer() *bytes.Buffer {
	b, _ := buffers.Get().(*bytes.Buffer)
	b.Reset()
	return b
}

// PutBuffer gives a buffer back. Nothing of its bytes may be used after that.
func PutBuffer(b *bytes.Buffer) {
	if b.Cap() <= maxKept {
		buffers.Put(b)
	}
}

// Splice is AppendSpliced into a buffer, of which it makes as much as it needs.
func Splice(b *bytes.Buffer, stored []byte, publicURL string) {
	b.Grow(len(stored) + bytes.Count(stored, []byte{BaseMark})*len(publicURL))
	b.Write(AppendSpliced(b.AvailableBuffer(), stored, publicURL))
}
