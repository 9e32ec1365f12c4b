package crn

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

var errTooLong = fmt.Errorf("crn: the name is longer than %d bytes", MaxLength)

// builder holds the canonical text of the segments so far. All text in a CRN
// or Pattern has gone through it.
type builder struct{ strings.Builder }

// start begins with canonical text and makes room for so many bytes more.
func (b *builder) start(text string, room int) {
	b.Grow(len(text) + room)
	b.WriteString(text)
}

// add appends a segment. An empty value is for the caller to refuse: it is
// good where the wildcard of a pattern follows.
func (b *builder) add(key, value string) error {
	if !validKey(key) {
		return fmt.Errorf("crn: the key %.40q is not a lower-case letter followed by lower-case letters, digits and hyphens", key)
	}
	n := 0
	for k := range rawSegments(CRN{b.String()}.path()) {
		if k == key {
			return fmt.Errorf("crn: the key %q occurs twice", key)
		}
		n++
	}
	if n == MaxSegments {
		return fmt.Errorf("crn: the name has more than %d segments", MaxSegments)
	}
	if !utf8.ValidString(value) {
		return fmt.Errorf("crn: the value of %q is not valid UTF-8", key)
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return fmt.Errorf("crn: the value of %q contains a control character", key)
	}
	b.WriteByte('/')
	b.WriteString(key)
	b.WriteByte('=')
	for i := range len(value) {
		if c := value[i]; unreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	if b.Len() > MaxLength {
		return errTooLong
	}
	return nil
}

const upperHex = "0123456789ABCDEF"

// unreserved reports whether the byte stands for itself in a canonical value.
func unreserved(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("-._~!$&'(),;@", c) >= 0
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func validKey(key string) bool {
	for i := range len(key) {
		c := key[i]
		lower := 'a' <= c && c <= 'z'
		if !lower && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return key != ""
}

// checkAuthority is no check of host names: it keeps out what would make the
// text ambiguous. Brackets and colons are for ports and IPv6 addresses.
func checkAuthority(authority string) error {
	if authority == "" {
		return errors.New(`crn: the authority is missing, such as "confluent.cloud"`)
	}
	if len(authority) > MaxAuthority {
		return fmt.Errorf("crn: the authority is longer than %d bytes", MaxAuthority)
	}
	for i := range len(authority) {
		if c := authority[i]; !isAlphanumeric(c) && strings.IndexByte("-._:[]", c) < 0 {
			return fmt.Errorf("crn: the authority %.40q is not a host name with an optional port", authority)
		}
	}
	return nil
}

func emptyValue(key string) error {
	return fmt.Errorf("crn: the value of %.40q is empty", key)
}

// unescape decodes a value in which every "%" begins a whole escape.
func unescape(value string) string {
	s, _ := url.PathUnescape(value) // fails only on broken escapes
	return s
}
