package sqlstore

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The greatest lengths in bytes of what stands in an index. PostgreSQL refuses
// an index row of more than 2.7 kB, and the widest index has four of the short
// ones and a long one.
const (
	maxShort = 255
	maxLong  = 1024
)

// storable reports whether both databases can hold s as a text: PostgreSQL
// takes neither NUL nor what is not UTF-8. What is not storable cannot be in
// the store either, so a read that names it finds nothing.
func storable(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// checkText returns an error for a value that cannot be written; the value
// itself stays out of it.
func checkText(what, s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("store: %s has %d bytes, at most %d can be stored", what, len(s), limit)
	case !storable(s):
		return fmt.Errorf("store: %s holds a NUL byte or is not UTF-8", what)
	}
	return nil
}
