package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/api"
)

// declaredCodes reads the names of all codes out of the source: nothing else
// knows of a code that was left out of the list.
func declaredCodes(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if typ, ok := lit.Type.(*ast.Ident); !ok || typ.Name != "Code" {
			return true
		}
		name, err := strconv.Unquote(lit.Elts[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		return true
	})
	return names
}

func TestCodesListsEveryCodeOnce(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, c := range api.Codes() {
		listed = append(listed, c.Name)
	}
	declared := declaredCodes(t)
	if len(declared) < 20 {
		t.Fatalf("found only %d codes in the source", len(declared))
	}
	slices.Sort(listed)
	slices.Sort(declared)
	if !slices.Equal(listed, declared) {
		t.Errorf("Codes() has\n%v\nand the source\n%v", listed, declared)
	}
	if unique := slices.Compact(slices.Clone(listed)); len(unique) != len(listed) {
		t.Errorf("a code is listed twice: %v", listed)
	}
	pages := map[string]bool{}
	for _, c := range api.Codes() {
		if pages[c.Upper()] {
			t.Errorf("two codes have the page %s", c.Upper())
		}
		pages[c.Upper()] = true
	}
}

func TestCodesAreInOrder(t *testing.T) {
	t.Parallel()
	sorted := slices.IsSortedFunc(api.Codes(), func(a, b *api.Code) int {
		if a.Status != b.Status {
			return a.Status - b.Status
		}
		return strings.Compare(a.Upper(), b.Upper())
	})
	if !sorted {
		t.Error("Codes() is not in the order of status and name")
	}
}

func TestCodesAreWellFormed(t *testing.T) {
	t.Parallel()
	for _, c := range api.Codes() {
		// One recorded code has a hyphen.
		if strings.Trim(c.Name, "abcdefghijklmnopqrstuvwxyz_-") != "" || c.Name == "" {
			t.Errorf("%s: the name is not lower-case words", c.Name)
		}
		if want := strings.ToUpper(strings.ReplaceAll(c.Name, "-", "_")); c.Upper() != want {
			t.Errorf("%s: Upper is %s, want %s", c.Name, c.Upper(), want)
		}
		if c.Number != 0 && c.Number != c.Status && c.Number/100 != c.Status {
			t.Errorf("%s: the number %d is not, and does not begin with, the status %d", c.Name, c.Number, c.Status)
		}
		if c.Status < 400 || c.Status > 599 {
			t.Errorf("%s: status %d is no failure", c.Name, c.Status)
		}
		if c.Title == "" || strings.HasSuffix(c.Title, ".") {
			t.Errorf("%s: title %q is empty or ends with a period", c.Name, c.Title)
		}
		for _, sentence := range []string{c.Meaning, c.Remedy} {
			if !strings.HasSuffix(sentence, ".") || strings.TrimSpace(sentence) != sentence || strings.Contains(sentence, "  ") {
				t.Errorf("%s: %q is not a sentence", c.Name, sentence)
			}
		}
	}
}

// messageArgument says which argument of a call is a message for the user.
var messageArgument = map[string]int{"New": 1, "BadParameter": 2, "fail": 2, "unauthenticated": 1, "invalidKey": 0}

// Messages are written where the failures are found, all over the program, so
// the rule that they have no final period is checked in the source.
func TestMessagesHaveNoFinalPeriod(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			message := messageOf(n)
			if message == nil {
				return true
			}
			text, ok := lastLiteral(message)
			if !ok {
				return true
			}
			seen++
			if strings.HasSuffix(strings.TrimSpace(text), ".") || text == "" {
				t.Errorf("%s: the message %q ends with a period or is empty", fset.Position(message.Pos()), text)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 30 {
		t.Errorf("found only %d messages: the search does not fit the source any more", seen)
	}
}

// messageOf returns the expression of the message that the node makes, or nil.
func messageOf(n ast.Node) ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if i, ok := messageArgument[name]; ok && i < len(n.Args) {
			if _, isCode := n.Args[0].(*ast.BasicLit); name == "New" && isCode {
				return nil
			}
			return n.Args[i]
		}
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && (key.Name == "Message" || key.Name == "NameTaken") {
			return n.Value
		}
	}
	return nil
}

// lastLiteral returns the string that an expression ends with, where it ends
// with one.
func lastLiteral(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		return lastLiteral(e.Y)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
			return lastLiteral(e.Args[0])
		}
	}
	return "", false
}
