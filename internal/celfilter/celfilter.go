// Package celfilter compiles and evaluates the filters that say whom an
// identity pool or a group mapping is for: conditions in a small part of the
// Common Expression Language (CEL).
//
// A filter may hold texts, true, false, lists, names, the operators ==, !=, in,
// !, && and ||, has(), startsWith(), endsWith(), contains() and parentheses.
// That is what the vendor documents for its filters (facts, semantics 5.2, 5.5
// and 5.6); everything else of CEL is refused. What is left has no loops and no
// regular expressions, so the cost of a filter is bounded: at most MaxLength
// characters of operations, each of them linear in the values that it looks at.
package celfilter

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// MaxLength is the greatest length of a filter in characters.
const MaxLength = 300

// Kind says what a filter is about, and so which names it knows.
type Kind int

// The kinds.
const (
	// Claims filters are those of identity pools. They know claims, which is
	// what a token says of its bearer: claims.aud == "confluent".
	Claims Kind = iota
	// Groups filters are those of group mappings. They know groups, the list
	// of the groups that a person is in: "engineering" in groups. The same list
	// is claims.group and claims.groups, as in the vendor's examples. A text
	// that is no condition is the name of one group, where case and spaces
	// count.
	Groups
	// Subjects filters are those of certificate identity pools. They know the
	// attributes of a certificate's subject, such as O and OU, each a text, or
	// where the subject has several of one a list; and SAN, the list of its
	// alternative names: O == "Example" && "a.example.com" in SAN. The empty
	// filter matches nobody (facts, semantics 5.6).
	Subjects
)

// Names of variables.
const (
	claims = "claims"
	groups = "groups"
	san    = "SAN"
)

// attributes are the names that a Subjects filter knows beside SAN.
var attributes = []string{"C", "CN", "DC", "E", "L", "O", "OU", "S", "ST", "STREET", "UID"}

// variables are the names that a kind of filter knows.
func (k Kind) variables() []string {
	switch k {
	case Groups:
		return []string{claims, groups}
	case Subjects:
		return append([]string{san}, attributes...)
	default:
		return []string{claims}
	}
}

// environments know the names and types of each kind. They are built with the
// first filter: a server without filters never pays for them.
var environments = [...]func() (*cel.Env, error){
	Claims:   environment(cel.Variable(claims, claimsType)),
	Groups:   environment(cel.Variable(claims, claimsType), cel.Variable(groups, cel.ListType(cel.StringType))),
	Subjects: environment(subjectVariables()...),
}

func subjectVariables() []cel.EnvOption {
	out := []cel.EnvOption{cel.Variable(san, cel.ListType(cel.StringType))}
	for _, name := range attributes {
		out = append(out, cel.Variable(name, cel.DynType))
	}
	return out
}

var claimsType = cel.MapType(cel.StringType, cel.DynType)

func environment(variables ...cel.EnvOption) func() (*cel.Env, error) {
	return sync.OnceValues(func() (*cel.Env, error) {
		subset := env.NewLibrarySubset().AddIncludedMacros(operators.Has)
		for _, name := range slices.Concat(allowedOperators, allowedFunctions) {
			subset.AddIncludedFunctions(env.NewFunction(name))
		}
		return cel.NewCustomEnv(append(variables, cel.StdLib(cel.StdLibSubset(subset)))...)
	})
}

var (
	allowedOperators = []string{
		operators.Equals, operators.NotEquals, operators.In,
		operators.LogicalNot, operators.LogicalAnd, operators.LogicalOr,
	}
	allowedFunctions = []string{overloads.StartsWith, overloads.EndsWith, overloads.Contains}
)

// Filter is a compiled filter. It never changes and may be used by many
// goroutines at once. The zero Filter matches nothing.
type Filter struct {
	kind    Kind
	program cel.Program
	// group is the one group of a Groups filter that is no condition.
	group string
	// usesClaims is false for a Groups filter that needs only groups.
	usesClaims bool
}

// Compile reads a filter. What is wrong with the text comes back as an *Error.
func Compile(kind Kind, text string) (*Filter, error) {
	if kind < 0 || int(kind) >= len(environments) {
		return nil, fmt.Errorf("celfilter: there is no kind %d of filters", kind)
	}
	if n := utf8.RuneCountInString(text); n > MaxLength {
		return nil, at(text, MaxLength, "a filter has at most %d characters, and this one %d", MaxLength, n)
	}
	if kind == Subjects && strings.TrimSpace(text) == "" {
		return &Filter{kind: Subjects}, nil
	}
	if kind == Groups && !condition.MatchString(text) {
		return oneGroup(text)
	}
	e, err := environments[kind]()
	if err != nil {
		return nil, fmt.Errorf("celfilter: set up CEL: %w", err)
	}
	source := common.NewTextSource(text)
	parsed, issues := e.ParseSource(source)
	if issues.Err() != nil {
		return nil, syntaxError(text, source, issues.Errors()[0])
	}
	c := &checker{kind: kind, text: []rune(text), info: parsed.NativeRep().SourceInfo()}
	root := parsed.NativeRep().Expr()
	if err := c.check(root); err != nil {
		return nil, err
	}
	checked, issues := e.Check(parsed)
	if issues.Err() != nil {
		return nil, c.typeError(root, issues.Errors()[0])
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return nil, at(text, c.start(root), "a filter is a condition, and this is %s; compare it, as in claims.aud == \"confluent\"", noun(checked.OutputType()))
	}
	program, err := e.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, at(text, 0, "this cannot be evaluated: %v", err)
	}
	return &Filter{kind: kind, program: program, usesClaims: c.usesClaims}, nil
}

// condition finds what tells a condition from the name of a group. A name that
// has any of this itself is written as a condition: "O'Neill & sons" in groups.
var condition = regexp.MustCompile(`["']|==|!=|&&|\|\||\b(claims|groups)\s*[.\[]|\bin\s+(claims|groups)\b|\b(has|startsWith|endsWith|contains)\s*\(|^[\s!()]*(true|false)[\s()]*$`)

// oneGroup is the filter that is just the name of a group.
func oneGroup(text string) (*Filter, error) {
	if strings.TrimSpace(text) == "" {
		return nil, at(text, 0, emptyFilter)
	}
	for i, r := range []rune(text) {
		if unicode.IsControl(r) {
			return nil, at(text, i, "the name of a group has no line breaks or control characters")
		}
	}
	return &Filter{kind: Groups, group: text}, nil
}

// Match reports whether the filter lets the variables pass. For a Claims filter
// they are "claims", a map[string]any as JSON decodes to; for a Groups filter
// "groups", a []string or []any, and if there are more attributes "claims",
// whose group and groups are the list unless they are set. For a Subjects filter
// they are the attributes, each a string or a []string.
//
// A filter does not match where it would have to look at a claim or attribute that is not
// there, or at one of another type than it asks for; so a filter that says only
// what somebody must not be never lets in those of whom nothing is known.
// has() tells whether a claim is there. As in CEL, a side of && or || that
// decides alone makes up for the other one.
func (f *Filter) Match(vars map[string]any) bool {
	if f.program == nil {
		return f.group != "" && holds(vars[groups], f.group)
	}
	if f.kind == Groups && f.usesClaims {
		vars = withGroupClaims(vars)
	}
	if vars == nil {
		vars = map[string]any{}
	}
	out, _, err := f.program.Eval(vars)
	return err == nil && out == types.True
}

func holds(list any, group string) bool {
	switch l := list.(type) {
	case []string:
		return slices.Contains(l, group)
	case []any:
		return slices.Contains(l, any(group))
	default:
		return false
	}
}

// withGroupClaims adds the list of groups to the claims.
func withGroupClaims(vars map[string]any) map[string]any {
	list, ok := vars[groups]
	if !ok {
		return vars
	}
	given, _ := vars[claims].(map[string]any)
	all := map[string]any{"group": list, "groups": list}
	maps.Copy(all, given)
	return map[string]any{groups: list, claims: all}
}
