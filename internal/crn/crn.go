// Package crn reads, writes and matches Confluent Resource Names.
//
// A CRN is a URI that names one resource by its place in the hierarchy:
//
//	crn://confluent.cloud/organization=9bb4…/environment=env-456xy/schema-registry=lsrc-789qw/subject=test
//
// that is an authority (a host) and segments, each a key and a value, from the
// outermost container to the resource itself. The package knows no kinds of
// resources: which keys follow each other is for the kinds to say.
//
// There are two types, so that a name can never be taken for a grant: a [CRN]
// names one resource, a [Pattern] says what a role is bound to.
//
// # Canonical form
//
// Both hold their text in canonical form. Two texts mean the same if and
// only if their canonical forms are equal, so values compare with == and serve
// as map keys, and containment is a comparison of prefixes. The form is:
//
//   - The authority is in lower case.
//   - In values, the unreserved characters of RFC 3986 (letters, digits and
//     "-._~") and "!$&'(),;@" stand for themselves; every other byte of the
//     UTF-8 text is percent-encoded with upper-case digits.
//   - A CRN without segments ends in a slash: "crn://confluent.cloud/".
//
// Of what a URI would allow in a path, four characters are encoded: ":" because
// the service returns it so (subject=%3A.ctx%3Aname), "*" because it is the
// wildcard of patterns when it stands for itself, "=" because clients split
// segments at every "=", and "+" because form decoders read it as a space.
//
// # What is accepted
//
// Parsing is more generous than printing: values may hold any character
// directly except "/", control characters, and "%" and "*", which must be
// written %2F, %25 and %2A; clients send names as their users type them. "+" is
// always a plus. The documentation of the service shows key-encryption keys as
// "schema-registry=lsrc-789qw//kek=test_kek"; this one empty segment is read
// over and not printed.
//
// A key occurs at most once. No documented name repeats one, and with a second
// "organization" it would be unclear which of the two a check looked at. The
// same value under two keys is common (cloud-cluster=lkc-1/kafka=lkc-1).
package crn

import (
	"errors"
	"iter"
	"strings"
)

// Limits of a CRN or pattern; the service documents none. The longest names
// that it documents have seven segments.
const (
	// MaxLength is the greatest length in bytes, as received and in canonical form.
	MaxLength = 4096
	// MaxSegments is the greatest number of segments.
	MaxSegments = 16
	// MaxAuthority is the greatest length in bytes of an authority.
	MaxAuthority = 255
)

// Authority is the authority of the names of Confluent Cloud.
const Authority = "confluent.cloud"

const scheme = "crn://"

// Segment is one step of the hierarchy, for example environment=env-456xy.
type Segment struct {
	// Key says what is named: a lower-case letter followed by lower-case
	// letters, digits and hyphens.
	Key string
	// Value is the identifier or name, not encoded: valid UTF-8 without
	// control characters, and not empty.
	Value string
}

// CRN is the name of one resource. It is immutable and can be compared with ==.
// The zero CRN names nothing: it contains nothing and nothing contains it.
type CRN struct {
	// text is the canonical form, but without the slash at the end of a CRN
	// that has no segments. Values hold no bare "/", so that a segment ends
	// where the text does or at the next slash.
	text string
}

// New returns the CRN with the authority, a host name with an optional port,
// and the segments in their order. It returns an error for what [Parse] would
// not accept.
func New(authority string, segments ...Segment) (CRN, error) {
	if err := checkAuthority(authority); err != nil {
		return CRN{}, err
	}
	room := len(authority)
	for _, s := range segments {
		room += len(s.Key) + len(s.Value) + 2
	}
	var b builder
	b.start(scheme, room)
	b.WriteString(strings.ToLower(authority))
	for _, s := range segments {
		if s.Value == "" {
			return CRN{}, emptyValue(s.Key)
		}
		if err := b.add(s.Key, s.Value); err != nil {
			return CRN{}, err
		}
	}
	return CRN{b.String()}, nil
}

// Must returns c and panics if err is not nil. It is for names that are known
// to be good, such as those in variable declarations and tests.
func Must(c CRN, err error) CRN {
	if err != nil {
		panic(err)
	}
	return c
}

// Append returns the name of the resource key=value within c. It returns an
// error for a bad or repeated key, an empty or bad value, or a name that
// exceeds a limit.
func (c CRN) Append(key, value string) (CRN, error) {
	if c.IsZero() {
		return CRN{}, errors.New("crn: cannot append to the zero CRN")
	}
	if value == "" {
		return CRN{}, emptyValue(key)
	}
	var b builder
	b.start(c.text, len(key)+len(value)+2)
	if err := b.add(key, value); err != nil {
		return CRN{}, err
	}
	return CRN{b.String()}, nil
}

// String returns the canonical form, in ASCII, or "" for the zero CRN.
func (c CRN) String() string {
	if c.path() == "" && !c.IsZero() {
		return c.text + "/"
	}
	return c.text
}

// IsZero reports whether c is the zero CRN.
func (c CRN) IsZero() bool { return c.text == "" }

// Authority returns the host, with the port if there is one. It counts in every
// comparison: "confluent.cloud" and "api.confluent.cloud", under which the
// service names API keys, are different. See [CRN.WithAuthority].
func (c CRN) Authority() string {
	if c.IsZero() {
		return ""
	}
	return c.text[len(scheme) : len(c.text)-len(c.path())]
}

// WithAuthority returns c with another authority, for example to compare names
// regardless of the host that they were given under.
func (c CRN) WithAuthority(authority string) (CRN, error) {
	if c.IsZero() {
		return CRN{}, errors.New("crn: the zero CRN cannot have an authority")
	}
	if err := checkAuthority(authority); err != nil {
		return CRN{}, err
	}
	text := scheme + strings.ToLower(authority) + c.path()
	if len(text) > MaxLength {
		return CRN{}, errTooLong
	}
	return CRN{text}, nil
}

// Len returns the number of segments.
func (c CRN) Len() int { return strings.Count(c.path(), "/") }

// Segments returns the segments from the outermost to the last.
func (c CRN) Segments() iter.Seq[Segment] {
	return func(yield func(Segment) bool) {
		for key, value := range rawSegments(c.path()) {
			if !yield(Segment{key, unescape(value)}) {
				return
			}
		}
	}
}

// Value returns the value of the segment with the key, not encoded, and whether
// there is one.
func (c CRN) Value(key string) (string, bool) {
	for k, value := range rawSegments(c.path()) {
		if k == key {
			return unescape(value), true
		}
	}
	return "", false
}

// Last returns the last segment, which says what kind of resource c names and
// which one; without segments, it returns the zero Segment.
func (c CRN) Last() Segment {
	path := c.path()
	if path == "" {
		return Segment{}
	}
	key, value, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], "=")
	return Segment{key, unescape(value)}
}

// Parent returns c without its last segment; without segments, it returns the
// zero CRN.
func (c CRN) Parent() CRN {
	if c.path() == "" {
		return CRN{}
	}
	return CRN{c.text[:strings.LastIndexByte(c.text, '/')]}
}

// HasPrefix reports whether the segments of c begin with those of scope, and
// their authorities are equal: whether c is the resource named by scope, or lies
// within it.
func (c CRN) HasPrefix(scope CRN) bool {
	if scope.IsZero() || !strings.HasPrefix(c.text, scope.text) {
		return false
	}
	return len(c.text) == len(scope.text) || c.text[len(scope.text)] == '/'
}

// path returns the segments, each with a slash before it.
func (c CRN) path() string {
	if c.IsZero() {
		return ""
	}
	i := strings.IndexByte(c.text[len(scheme):], '/')
	if i < 0 {
		return ""
	}
	return c.text[len(scheme)+i:]
}

// rawSegments returns the keys and encoded values of a canonical path.
func rawSegments(path string) iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		for path != "" {
			segment := path[1:]
			if i := strings.IndexByte(segment, '/'); i >= 0 {
				segment = segment[:i]
			}
			path = path[1+len(segment):]
			key, value, _ := strings.Cut(segment, "=")
			if !yield(key, value) {
				return
			}
		}
	}
}
