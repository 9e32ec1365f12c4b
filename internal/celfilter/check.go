package celfilter

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// checker holds a parsed filter to the subset. It runs before CEL's own check
// of types, which would name what is refused by CEL's inner names.
type checker struct {
	kind       Kind
	text       []rune
	info       *ast.SourceInfo
	usesClaims bool
}

func (c *checker) fail(offset int, format string, args ...any) error {
	return at(string(c.text), offset, format, args...)
}

func (c *checker) check(e ast.Expr) error {
	switch e.Kind() {
	case ast.LiteralKind:
		switch e.AsLiteral().(type) {
		case types.String, types.Bool:
			return nil
		}
		return c.fail(c.start(e), "filters know texts in quotes, true and false, and no other values")
	case ast.IdentKind:
		return c.name(e)
	case ast.SelectKind:
		return c.claim(e)
	case ast.ListKind:
		return c.all(e.AsList().Elements())
	case ast.CallKind:
		return c.call(e)
	default:
		return c.fail(c.start(e), "filters know texts, lists and conditions, and nothing in braces")
	}
}

func (c *checker) all(es []ast.Expr) error {
	for _, e := range es {
		if err := c.check(e); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) name(e ast.Expr) error {
	name := e.AsIdent()
	c.usesClaims = c.usesClaims || name == claims
	if slices.Contains(c.kind.variables(), name) {
		return nil
	}
	return c.fail(c.start(e), "the name '%s' is unknown; the filter knows %s, and a text stands in quotes", name, strings.Join(c.kind.variables(), " and "))
}

var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// claim checks claims.NAME, also deeper, and has() of it.
func (c *checker) claim(e ast.Expr) error {
	s := e.AsSelect()
	if !fieldName.MatchString(s.FieldName()) {
		return c.fail(c.offset(e), "the name of a claim has letters, digits and underscores")
	}
	switch of := s.Operand(); {
	case of.Kind() == ast.SelectKind && !of.AsSelect().IsTestOnly():
		return c.claim(of)
	case of.Kind() == ast.IdentKind && of.AsIdent() != groups && c.kind != Subjects:
		return c.name(of)
	}
	return c.fail(c.offset(e), "only claims have something behind a dot that is no function")
}

func (c *checker) call(e ast.Expr) error {
	call := e.AsCall()
	name := call.FunctionName()
	switch symbol, isOperator := operators.FindReverse(name); {
	case slices.Contains(allowedOperators, name):
		return c.all(call.Args())
	case slices.Contains(allowedFunctions, name):
		if !call.IsMemberFunction() || len(call.Args()) != 1 {
			return c.fail(c.function(e), "'%s' stands behind a text and takes one, as in claims.sub.%s(\"a\")", name, name)
		}
		if err := c.check(call.Target()); err != nil {
			return err
		}
		return c.all(call.Args())
	case name == operators.Has:
		return c.fail(c.function(e), hasUsage)
	case name == operators.Index || name == operators.OptIndex:
		return c.fail(c.offset(e), "filters cannot pick from a list or a map by brackets; a claim is claims.NAME")
	case name == operators.Conditional:
		return c.fail(c.offset(e), "filters have no '?'; %s", available)
	case isOperator && symbol != "":
		return c.fail(c.offset(e), "filters have no operator '%s'; %s", symbol, available)
	}
	return c.fail(c.function(e), "filters have no function '%s'; they have has, startsWith, endsWith and contains", name)
}

// offset is where CEL places an expression: a call at its operator or at the
// parenthesis that opens, a claim at its dot.
func (c *checker) offset(e ast.Expr) int {
	if r, ok := c.info.GetOffsetRange(e.ID()); ok {
		return int(r.Start)
	}
	return 0
}

// start is where the expression begins.
func (c *checker) start(e ast.Expr) int {
	for e.Kind() == ast.SelectKind {
		e = e.AsSelect().Operand()
	}
	return c.offset(e)
}

// function is where the name of the called function begins.
func (c *checker) function(e ast.Expr) int {
	name := []rune(e.AsCall().FunctionName())
	i := min(c.offset(e), len(c.text))
	for i > 0 && unicode.IsSpace(c.text[i-1]) {
		i--
	}
	if i >= len(name) && slices.Equal(c.text[i-len(name):i], name) {
		return i - len(name)
	}
	return c.offset(e)
}

// typeError tells in plain words what CEL's check of types found.
func (c *checker) typeError(root ast.Expr, found *common.Error) error {
	var e ast.Expr
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(x ast.Expr) {
		if x.ID() == found.ExprID {
			e = x
		}
	}))
	if e == nil {
		return c.fail(0, "this cannot be evaluated: %s", found.Message)
	}
	if e.Kind() != ast.CallKind || !strings.Contains(found.Message, "overload") {
		return c.fail(c.start(e), "'!', '&&' and '||' are about conditions, and this is none; compare it with something")
	}
	switch name := e.AsCall().FunctionName(); name {
	case operators.Equals, operators.NotEquals:
		return c.fail(c.offset(e), "what stands on the two sides is of different types and can never be the same")
	case operators.In:
		return c.fail(c.offset(e), "'in' has a list on its right, of such values as the one on its left")
	case operators.LogicalNot:
		return c.fail(c.offset(e), "'!' is about a condition, and what follows is none; compare it with something")
	default:
		return c.fail(c.function(e), "'%s' is about a text and takes a text", name)
	}
}

// noun says what a value of the type is.
func noun(t *cel.Type) string {
	switch t.Kind() {
	case types.StringKind:
		return "a text"
	case types.ListKind:
		return "a list"
	default:
		return "the value of a claim"
	}
}
