package crn

import (
	"errors"
	"iter"
	"strings"
)

// Pattern says what a role is bound to: one resource, or all resources of a key
// in one place whose names begin with a prefix.
//
// The wildcard "*" is written as the very last character: topic=* stands for
// all topics, subject=abc* for the subjects that begin with "abc" ("abc"
// itself is one of them), and without it a pattern stands for the resource that
// it names. It stays within its segment: topic=* matches no partition. %2A is
// a star in a name.
//
// A Pattern is immutable and can be compared with ==. The zero Pattern matches
// and contains nothing.
type Pattern struct {
	// base is the pattern without its star. Before a wildcard, and only there,
	// the last value may be empty.
	base     CRN
	wildcard bool
}

// ParsePattern reads a pattern of at most [MaxLength] bytes. The package comment
// says what it accepts. A pattern has at least one segment, and its first
// segment has no wildcard, since nothing may reach across organizations. An
// error is a *[SyntaxError].
func ParsePattern(s string) (Pattern, error) {
	base, wildcard, err := parse(s)
	if err != nil {
		return Pattern{}, err
	}
	p := Pattern{base, wildcard}
	switch n := base.Len(); {
	case n == 0:
		return Pattern{}, &SyntaxError{len(s), errors.New("crn: the pattern has no segment")}
	case n == 1 && wildcard:
		return Pattern{}, &SyntaxError{len(s) - 1, errors.New("crn: the first segment of a pattern cannot have a wildcard")}
	case wildcard && len(base.text) == MaxLength:
		return Pattern{}, &SyntaxError{len(s) - 1, errTooLong}
	}
	return p, nil
}

// PatternOf returns the pattern for c alone. That of a CRN without segments is
// the zero Pattern.
func PatternOf(c CRN) Pattern {
	if c.Len() == 0 {
		return Pattern{}
	}
	return Pattern{base: c}
}

// String returns the canonical form, in ASCII, or "" for the zero Pattern.
func (p Pattern) String() string {
	if p.wildcard {
		return p.base.text + "*"
	}
	return p.base.text
}

// IsZero reports whether p is the zero Pattern.
func (p Pattern) IsZero() bool { return p.base.IsZero() }

// Wildcard reports whether p ends in a wildcard.
func (p Pattern) Wildcard() bool { return p.wildcard }

// Authority returns the authority of what p matches; see [CRN.Authority].
func (p Pattern) Authority() string { return p.base.Authority() }

// Segments returns the segments from the outermost to the last. With a wildcard,
// the last value is the prefix before the star and may be empty.
func (p Pattern) Segments() iter.Seq[Segment] { return p.base.Segments() }

// Value returns the value of the segment with the key, and whether there is
// one; see [Pattern.Segments] for the last one.
func (p Pattern) Value(key string) (string, bool) { return p.base.Value(key) }

// Last returns the last segment; see [Pattern.Segments].
func (p Pattern) Last() Segment { return p.base.Last() }

// Scope returns the name of what holds all that p matches: p without its last
// segment.
func (p Pattern) Scope() CRN { return p.base.Parent() }

// Matches reports whether p stands for the resource c itself. It does not
// allocate.
func (p Pattern) Matches(c CRN) bool {
	if !p.wildcard {
		return !p.IsZero() && c == p.base
	}
	rest, ok := strings.CutPrefix(c.text, p.base.text)
	return ok && strings.IndexByte(rest, '/') < 0
}

// Contains reports whether p stands for c or for something that c lies within:
// the pattern of an environment contains the clusters in it. It does not
// allocate.
func (p Pattern) Contains(c CRN) bool {
	if p.wildcard {
		return strings.HasPrefix(c.text, p.base.text)
	}
	return c.HasPrefix(p.base)
}

// Covers reports whether p contains every resource that q contains, so that who
// holds a role on p may be allowed to grant it on q. The zero Pattern is covered
// by none. It does not allocate.
func (p Pattern) Covers(q Pattern) bool {
	if q.wildcard && !p.wildcard && p.base == q.base {
		return false
	}
	return p.Contains(q.base)
}

// Overlaps reports whether some name is matched by both p and q. It does not
// allocate.
func (p Pattern) Overlaps(q Pattern) bool {
	if !q.wildcard {
		return p.Matches(q.base)
	}
	return q.Matches(p.base) || p.wildcard && p.Matches(q.base)
}
