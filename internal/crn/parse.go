package crn

import (
	"errors"
	"fmt"
	"strings"
)

// SyntaxError says what is wrong with a text that was to be parsed. The message
// is meant for whoever sent the text; it quotes at most 40 characters of it.
type SyntaxError struct {
	// Offset is the position of the fault in the text, in bytes from 0 on.
	Offset int
	// Err says what is wrong there.
	Err error
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s (at byte %d)", e.Err, e.Offset)
}

// Unwrap returns e.Err.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Parse reads a CRN of at most [MaxLength] bytes. The package comment says what
// it accepts. An error is a *[SyntaxError].
func Parse(s string) (CRN, error) {
	c, wildcard, err := parse(s)
	if err != nil {
		return CRN{}, err
	}
	if wildcard {
		return CRN{}, &SyntaxError{len(s) - 1, errors.New(`crn: "*" makes this a pattern where a name is needed; a star in a name is written %2A`)}
	}
	return c, nil
}

// parse reads a CRN or a pattern. If s ends in a bare star, wildcard is true and
// the last value of the CRN is what stands before the star, maybe nothing.
func parse(s string) (c CRN, wildcard bool, err error) {
	fail := func(offset int, err error) (CRN, bool, error) {
		return CRN{}, false, &SyntaxError{offset, err}
	}
	if len(s) > MaxLength {
		return fail(MaxLength, errTooLong)
	}
	if !strings.HasPrefix(s, scheme) {
		return fail(0, fmt.Errorf("crn: the name does not begin with %q", scheme))
	}
	authority, path := s[len(scheme):], ""
	if i := strings.IndexByte(authority, '/'); i >= 0 {
		authority, path = authority[:i], authority[i:]
	}
	if err := checkAuthority(authority); err != nil {
		return fail(len(scheme), err)
	}
	if path == "/" {
		path = ""
	}
	var b builder
	b.start(scheme, len(s))
	b.WriteString(strings.ToLower(authority))

	lastKey := ""
	for path != "" {
		offset := len(s) - len(path) + 1
		segment := path[1:]
		if i := strings.IndexByte(segment, '/'); i >= 0 {
			segment = segment[:i]
		}
		path = path[1+len(segment):]
		if segment == "" {
			if lastKey == "schema-registry" && strings.HasPrefix(path, "/kek=") {
				continue
			}
			return fail(offset, errors.New(`crn: the segment is empty; a "/" in a value is written %2F`))
		}
		key, raw, found := strings.Cut(segment, "=")
		if !found {
			return fail(offset, fmt.Errorf(`crn: the segment %.40q is not "key=value"; a "/" in a value is written %%2F`, segment))
		}
		valueOffset := offset + len(key) + 1
		if path == "" {
			raw, wildcard = strings.CutSuffix(raw, "*")
		}
		if i := strings.IndexByte(raw, '*'); i >= 0 {
			return fail(valueOffset+i, errors.New(`crn: "*" is a wildcard only as the very last character; a star in a name is written %2A`))
		}
		if i := badEscape(raw); i >= 0 {
			return fail(valueOffset+i, errors.New(`crn: "%" is not followed by two hexadecimal digits; a "%" in a value is written %25`))
		}
		value := unescape(raw)
		if value == "" && !wildcard {
			return fail(valueOffset, emptyValue(key))
		}
		if err := b.add(key, value); err != nil {
			return fail(offset, err)
		}
		lastKey = key
	}
	return CRN{b.String()}, wildcard, nil
}

// badEscape returns the position of the first "%" in s that is not followed by
// two hexadecimal digits, or -1.
func badEscape(s string) int {
	for i := range len(s) {
		if s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			return i
		}
	}
	return -1
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
