package crn

import "strings"

// Filter selects patterns in a list of role bindings. The service documents
// its crn_pattern parameter only as a "partial search"; the reading taken here
// is what the options of the command-line client promise:
//
//   - A pattern selects the bindings made for the same resources, and not those
//     made for what contains them or lies in them: those whose pattern overlaps
//     it (see [Pattern.Overlaps]). A CRN without a wildcard thus selects the
//     bindings to exactly this scope, and for a topic also those to a prefix of
//     its name.
//   - A CRN followed by "/*", which is what --inclusive sends, selects the same
//     bindings and also those to anything within the scope.
type Filter struct {
	pattern Pattern
	// scope, in an inclusive filter, is what precedes "/*".
	scope CRN
}

// ParseFilter reads a filter: a pattern, or a CRN followed by "/*". An error
// is a *[SyntaxError].
func ParseFilter(s string) (Filter, error) {
	scope, inclusive := strings.CutSuffix(s, "/*")
	if !inclusive {
		p, err := ParsePattern(s)
		return Filter{pattern: p}, err
	}
	c, err := Parse(scope)
	if err != nil {
		return Filter{}, err
	}
	return Filter{PatternOf(c), c}, nil
}

// Selects reports whether the filter selects a binding to p. The zero Filter
// selects nothing.
func (f Filter) Selects(p Pattern) bool {
	return f.pattern.Overlaps(p) || p.base.HasPrefix(f.scope)
}
