package celfilter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/celfilter"
)

func ExampleCompile() {
	f, err := celfilter.Compile(celfilter.Groups, `"engineering" in groups`)
	fmt.Println(f.Match(map[string]any{"groups": []string{"everybody", "engineering"}}), err)
	_, err = celfilter.Compile(celfilter.Claims, `claims.aud == "confluent" and claims.sub != "x"`)
	fmt.Println(err)
	// Output:
	// true <nil>
	// at character 27: 'and' is no operator; write '&&'
}

// token is what a token might say, as JSON decodes it.
func token(t testing.TB) map[string]any {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal([]byte(`{
		"iss": "https://issuer.example/", "sub": "svc-7", "aud": ["confluent", "other"], "group": "eng",
		"groups": ["eng", "prod"], "email": "a@b.example", "email_verified": true, "admin": false,
		"level": 3, "nothing": null, "realm": {"roles": ["r1"], "name": "R"}, "name": "Zoë \"Z\""
	}`), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestClaims(t *testing.T) {
	t.Parallel()
	vars := map[string]any{"claims": token(t)}
	before := maps.Clone(vars["claims"].(map[string]any))
	for text, want := range map[string]bool{
		`true`:                                       true,
		`false`:                                      false,
		`!false`:                                     true,
		`claims.sub == "svc-7"`:                      true,
		`claims.sub=='svc-7'`:                        true,
		`claims.sub == "svc-8"`:                      false,
		`claims.sub != "svc-8"`:                      true,
		`claims.sub in ["svc-7", "b"]`:               true,
		`claims.sub in ["a", "b"]`:                   false,
		`claims.sub in []`:                           false,
		`"prod" in claims.groups`:                    true,
		`"PROD" in claims.groups`:                    false,
		`"confluent" in claims.aud`:                  true,
		`claims.aud == "confluent"`:                  false,
		`claims.aud == ["confluent", "other"]`:       true,
		`has(claims.email)`:                          true,
		`has(claims.phone)`:                          false,
		`!has(claims.phone)`:                         true,
		`has(claims.realm.roles)`:                    true,
		`has(claims.realm.other)`:                    false,
		`"r1" in claims.realm.roles`:                 true,
		`claims.email.endsWith("@b.example")`:        true,
		`claims.email.startsWith("b")`:               false,
		`claims.email.contains("@")`:                 true,
		`"a@b.example.org".startsWith(claims.email)`: true,
		`claims.email_verified` + ` == true`:         true,
		`claims.email_verified && true`:              true,
		`!claims.admin`:                              true,
		`claims.name == "Zoë \"Z\""`:                 true,
		`claims.name == 'Zo\u00eb "Z"'`:              true,
		`claims.level == "3"`:                        false,
		`claims.level != "3"`:                        true,
		"claims.sub ==\n\t\"svc-7\" // which one":    true,

		// The vendor's examples.
		`claims.aud=="confluent" && claims.group!="invalid_group"`:   false,
		`"confluent" in claims.aud && claims.group!="invalid_group"`: true,
		`claims.iss=="https://issuer.example/"`:                      true,

		// ! binds before &&, && before ||.
		`true || true && false`:   true,
		`(true || true) && false`: false,
		`!false && true`:          true,
		`!(false && true)`:        true,
		`claims.sub == "a" || claims.group == "eng" && !claims.admin`: true,

		// What is missing, or of another type, lets nobody in.
		`claims.phone == "1"`:                          false,
		`claims.phone != "1"`:                          false,
		`!(claims.phone == "1")`:                       false,
		`claims.phone in ["1"]`:                        false,
		`"a" in claims.phone`:                          false,
		`!("a" in claims.phone)`:                       false,
		`claims.phone.startsWith("1")`:                 false,
		`!has(claims.phone.area)`:                      false,
		`claims.sub.more == "x"`:                       false,
		`claims.level.startsWith("3")`:                 false,
		`claims.groups.contains("eng")`:                false,
		`"eng" in claims.group`:                        false,
		`!claims.sub`:                                  false,
		`claims.nothing == "x"`:                        false,
		`claims.phone == "1" || claims.sub == "svc-7"`: true,
		`claims.sub == "svc-7" || claims.phone == "1"`: true,
		`claims.phone == "1" || claims.sub == "other"`: false,
		`!(claims.phone == "1" && claims.sub == "no")`: true,
		`!(claims.phone == "1" && claims.sub != "no")`: false,
		`has(claims.phone) && claims.phone == "1"`:     false,
		`!has(claims.phone) || claims.phone == "1"`:    true,
	} {
		f, err := celfilter.Compile(celfilter.Claims, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := f.Match(vars); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if !reflect.DeepEqual(before, vars["claims"]) {
		t.Errorf("the claims were changed to %v", vars["claims"])
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	in := func(groups ...string) map[string]any { return map[string]any{"groups": groups} }
	for _, test := range []struct {
		text string
		vars map[string]any
		want bool
	}{
		{`"engineering" in groups`, in("a", "engineering"), true},
		{`"engineering" in groups`, in("a", "engineers"), false},
		{`"engineering" in groups`, in(), false},
		{`"engineering" in groups`, map[string]any{"groups": []any{"engineering"}}, true},
		{`"engineering" in groups`, map[string]any{"groups": "engineering"}, false},
		{`"engineering" in groups`, map[string]any{}, false},
		{`"engineering" in groups`, nil, false},
		{`!("engineering" in groups)`, in("a"), true},
		{`!("engineering" in groups)`, in(), true},
		{`!("engineering" in groups)`, nil, false},
		{`"a" in groups && !("b" in groups)`, in("a"), true},
		{`"a" in groups && !("b" in groups)`, in("a", "b"), false},
		{`"engineering" in claims.group || "marketing" in claims.group`, in("marketing"), true},
		{`"engineering" in claims.group || "marketing" in claims.group`, in("sales"), false},
		{`"engineering" in claims.groups`, in("engineering"), true},
		{`"engineering" in claims.groups`, nil, false},
		{`groups == ["a"]`, in("a"), true},
		{`true`, in(), true},
		{` true`, in(), true},
		{`true`, nil, true},
		{`!true`, in(), false},
		{`(false)`, in("(false)"), false},
		{`claims.principal.startsWith("u")`, in("a"), false},
		{`claims.principal.startsWith("u")`, map[string]any{"groups": []string{}, "claims": map[string]any{"principal": "u1"}}, true},
		{`"a" in claims.groups`, map[string]any{"groups": []string{"a"}, "claims": map[string]any{"principal": "u1"}}, true},
		{`"a" in claims.groups`, map[string]any{"groups": []string{"a"}, "claims": map[string]any{"groups": []any{"b"}}}, false},
		{`"b" in claims.groups`, map[string]any{"claims": map[string]any{"groups": []any{"b"}}}, true},

		// The name of one group.
		{`engineering`, in("a", "engineering"), true},
		{`engineering`, in("Engineering"), false},
		{`engineering`, map[string]any{"groups": []any{1, "engineering"}}, true},
		{`engineering`, map[string]any{"groups": "engineering"}, false},
		{`engineering`, nil, false},
		{`data-science`, in("data-science"), true},
		{`7526fd27-f620-4f36-8f38-b8689313b937`, in("7526fd27-f620-4f36-8f38-b8689313b937"), true},
		{`Domain Users (EU)`, in("Domain Users (EU)"), true},
		{`Domain Users`, in("DomainUsers"), false},
		{` engineering`, in("engineering"), false},
		{`CN=Eng,OU=Groups,DC=example`, in("CN=Eng,OU=Groups,DC=example"), true},
		{`R&D`, in("R&D"), true},
		{`größte`, in("größte"), true},
		{`groups`, in("groups"), true},
		{`true believers`, in("true believers"), true},
		{`within groups of ten`, in("within groups of ten"), true},
		{`"O'Neill && sons" in groups`, in("O'Neill && sons"), true},
	} {
		f, err := celfilter.Compile(celfilter.Groups, test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if got := f.Match(test.vars); got != test.want {
			t.Errorf("%s of %v: %v, want %v", test.text, test.vars, got, test.want)
		}
	}
}

func TestGroupClaimsLeaveTheCallersMapAlone(t *testing.T) {
	t.Parallel()
	f, err := celfilter.Compile(celfilter.Groups, `"a" in claims.group`)
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"x": "y"}
	vars := map[string]any{"groups": []string{"a"}, "claims": claims}
	if !f.Match(vars) || len(claims) != 1 || len(vars) != 2 {
		t.Errorf("after Match: %v", vars)
	}
}

func TestMatchWithStrangeVariables(t *testing.T) {
	t.Parallel()
	var zero celfilter.Filter
	if zero.Match(map[string]any{"groups": []string{""}}) {
		t.Error("the zero Filter matches")
	}
	type secret struct{ A string }
	texts := []string{
		`claims.a == "x"`, `claims.a.b == "x"`, `"x" in claims.a`, `claims.a.startsWith("x")`, `has(claims.a.b)`,
		`!(claims.a == "x")`, `claims.a in ["x"]`, `!claims.a`, `claims == claims`,
	}
	for _, text := range texts {
		for _, kind := range []celfilter.Kind{celfilter.Claims, celfilter.Groups} {
			f, err := celfilter.Compile(kind, text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			for _, claims := range []any{
				nil, 1, "claims", []any{}, map[string]any{}, map[string]any(nil), map[int]string{1: "x"}, secret{"x"}, &secret{"x"}, (*secret)(nil), make(chan int),
			} {
				if text != `claims == claims` && f.Match(map[string]any{"claims": claims, "groups": claims}) {
					t.Errorf("%s matches when claims are %#v", text, claims)
				}
			}
			for _, value := range []any{func() {}, make(chan int), secret{"y"}, (*secret)(nil), map[any]any{nil: nil}, []any{nil, func() {}}, json.Number("1"), complex(1, 1)} {
				f.Match(map[string]any{"claims": map[string]any{"a": value}, "groups": value}) // must not panic
			}
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	both := []celfilter.Kind{celfilter.Claims, celfilter.Groups}
	only := both[:1]
	for _, test := range []struct {
		text    string
		kinds   []celfilter.Kind
		offset  int
		message string
	}{
		{``, both, 0, "is empty"},
		{"  \t", both, 0, "is empty"},
		{`// nothing`, only, 10, "should follow"},
		{strings.Repeat("é", 301), both, 300, "at most 300 characters, and this one 301"},
		{"a\nb", both[1:], 1, "line breaks"},
		{"a\u0007", both[1:], 1, "control characters"},

		// Syntax.
		{`claims.a="x"`, both, 8, "write '=='"},
		{`claims.a==="x"`, both, 10, "write '=='"},
		{`claims.a == "x" & true`, both, 16, "write '&&'"},
		{`claims.a == "x" | true`, both, 16, "write '||'"},
		{`claims.a == "x" and true`, both, 16, "write '&&'"},
		{`claims.a == "x" OR true`, both, 16, "write '||'"},
		{`claims.a not in ["x"]`, both, 9, "write '!'"},
		{`claims.a ==`, both, 11, "ends where something should follow"},
		{`claims.a == "x" &&  `, both, 20, "ends where something should follow"},
		{`claims.`, both, 7, "ends where something should follow"},
		{`claims.a == "x`, both, 12, "no end"},
		{`claims.a == 'x"`, both, 12, "no end"},
		{`claims.a == "\d"`, both, 12, "backslash"},
		{"claims.a == 'x\ny'", both, 12, "no end"},
		{`(claims.a == "x"`, both, 16, "parenthesis is not closed"},
		{`claims.a == "x")`, both, 15, "')' cannot stand here"},
		{`claims.a in ["x", "y"`, both, 21, "list is not closed"},
		{`claims.a == “x”`, both, 12, "straight quotes"},
		{`claims..a == "x"`, both, 7, "name should follow the dot"},
		{`claims.in == "x"`, both, 7, "'in' cannot stand here"},
		{`claims.a "x"`, both, 9, `'"' cannot stand here`},
		{`&& true`, only, 0, "'&&' cannot stand here"},
		{"claims.a ==\u0000 true", both, 11, "'U+0000' cannot stand here"},
		{`if == "x"`, both, 0, "'if' cannot stand here"},
		{strings.Repeat("(", 290), only, -1, "nested too deeply"},

		// Names.
		{`claims.a == x`, both, 12, "the name 'x' is unknown"},
		{`user.name == "x"`, both, 0, "the name 'user' is unknown"},
		{`"a" in groups`, only, 7, "the name 'groups' is unknown; the filter knows claims,"},
		{`engineering in groups`, both[1:], 0, "the name 'engineering' is unknown; the filter knows claims and groups,"},
		{`engineering`, only, 0, "the name 'engineering' is unknown"},
		{`groups.a == "x"`, both[1:], 6, "only claims"},
		{`(true == true).a == "x"`, both, 14, "only claims"},
		{"claims.`a-b` == 'x'", both, 6, "letters, digits and underscores"},

		// What CEL has and filters do not.
		{`claims.a + "x" == "xx"`, both, 9, "no operator '+'"},
		{`claims.a < "x" || has(claims.b)`, both, 9, "no operator '<'"},
		{`-claims.a == "x"`, both, 0, "no operator '-'"},
		{`claims.a ? true : !false`, only, 9, "no '?'"},
		{`claims["a"] == "x"`, both, 6, "brackets"},
		{`claims.a == 1`, both, 12, "no other values"},
		{`claims.a == 1.5`, both, 12, "no other values"},
		{`claims.a == null`, both, 12, "no other values"},
		{`claims.a == b"x"`, both, 12, "no other values"},
		{`claims.a == {"b": "c"}`, both, 12, "braces"},
		{`claims.a == Thing{b: "c"}`, both, 17, "braces"},
		{`claims.a.matches("(a+)+$")`, both, 9, "no function 'matches'"},
		{`claims.a .  size () == "x"`, both, 12, "no function 'size'"},
		{`claims.a.exists(x, x == "x")`, both, 9, "no function 'exists'"},
		{`claims.a.all(x, x == "x")`, both, 9, "no function 'all'"},
		{`claims.a.map(x, x) == ["x"]`, both, 9, "no function 'map'"},
		{`timestamp("2020-01-01T00:00:00Z") == claims.a`, both, 0, "no function 'timestamp'"},
		{`type(claims.a) == claims.b`, both, 0, "no function 'type'"},
		{`!(claims.a in [["x"], [size("x")]])`, both, 23, "no function 'size'"},

		// Types and arguments.
		{`has(claims)`, both, 4, "'has' takes one claim"},
		{`has("a")`, both, 4, "'has' takes one claim"},
		{`has()`, both, 0, "'has' takes one claim"},
		{`claims.a == "b" && has(groups.a)`, both[1:], 22, "only claims"},
		{`startsWith(claims.a, "x")`, both, 0, "stands behind a text"},
		{`claims.a.startsWith("x", "y")`, both, 9, "stands behind a text"},
		{`claims.a.endsWith() || !false`, both, 9, "stands behind a text"},
		{`claims.a.contains(true)`, both, 9, "takes a text"},
		{`["x"].contains("x")`, both, 6, "takes a text"},
		{`"a" == true`, both, 4, "different types"},
		{`claims == "x"`, both, 7, "different types"},
		{`"a" in "abc"`, both, 4, "list on its right"},
		{`"a" && true`, both, 0, "compare it with something"},
		{`true || "a"`, both, 8, "compare it with something"},
		{`!"a"`, both, 0, "compare it with something"},
		{`"a"`, both, 0, "this is a text"},
		{`["a"]`, only, 0, "this is a list"},
		{`claims.a.b`, both, 0, "the value of a claim"},
		{`claims.a in [claims.b, "x"] == "y"`, both, 28, "different types"},
	} {
		for _, kind := range test.kinds {
			f, err := celfilter.Compile(kind, test.text)
			var e *celfilter.Error
			if !errors.As(err, &e) || f != nil {
				t.Errorf("kind %d %q: filter %v, error %v", kind, test.text, f != nil, err)
				continue
			}
			if test.offset >= 0 && e.Offset != test.offset || !strings.Contains(e.Message, test.message) {
				t.Errorf("kind %d %q: offset %d, message %q, want %d and %q", kind, test.text, e.Offset, e.Message, test.offset, test.message)
			}
		}
	}
}

func TestErrorPosition(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want celfilter.Error
		says string
	}{
		{`"é" == x`, celfilter.Error{Offset: 7, Line: 1, Column: 8}, "at character 8: "},
		{"\"é\"\n ==\n  x", celfilter.Error{Offset: 10, Line: 3, Column: 3}, "at line 3, column 3: "},
		{"'a' ==\r\nx", celfilter.Error{Offset: 8, Line: 2, Column: 1}, "at line 2, column 1: "},
		{`"𝒳" == `, celfilter.Error{Offset: 7, Line: 1, Column: 8}, "at character 8: "},
	} {
		_, err := celfilter.Compile(celfilter.Claims, test.text)
		var e *celfilter.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if e.Offset != test.want.Offset || e.Line != test.want.Line || e.Column != test.want.Column || !strings.HasPrefix(e.Error(), test.says) {
			t.Errorf("%q: %+v, says %q", test.text, *e, e)
		}
	}
}

func TestUnknownKind(t *testing.T) {
	t.Parallel()
	for _, kind := range []celfilter.Kind{-1, 99} {
		var e *celfilter.Error
		if _, err := celfilter.Compile(kind, "true"); err == nil || errors.As(err, &e) {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}

func TestMatchInManyGoroutines(t *testing.T) {
	t.Parallel()
	f, err := celfilter.Compile(celfilter.Claims, `"eng" in claims.groups && claims.sub.startsWith("svc-")`)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 100 {
				got := f.Match(map[string]any{"claims": map[string]any{"groups": []any{"eng"}, "sub": fmt.Sprintf("%s-%d", []string{"svc", "usr"}[i%2], i)}})
				if got != (i%2 == 0) {
					t.Errorf("goroutine %d: %v", i, got)
				}
			}
		})
	}
	group.Wait()
}

// TestCostIsBounded evaluates the dearest filters that fit on claims as large
// as a request can bring.
func TestCostIsBounded(t *testing.T) {
	t.Parallel()
	many := make([]any, 10_000)
	for i := range many {
		many[i] = "group"
	}
	claims := map[string]any{"g": many, "s": strings.Repeat("ab", 50_000)}
	for _, part := range []string{`"x" in claims.g`, `claims.s.contains("b" + "b")`, `claims.s.contains("bb")`, `claims.g!=claims.g`, `[claims.g]!=[claims.g]`} {
		text := part
		for len(text)+4+len(part) <= celfilter.MaxLength {
			text += "||" + part
		}
		f, err := celfilter.Compile(celfilter.Claims, text)
		if strings.Contains(part, "+") {
			if err == nil {
				t.Errorf("%s compiles", part)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", part, err)
			continue
		}
		began := time.Now()
		if f.Match(map[string]any{"claims": claims}) {
			t.Errorf("%s matches", part)
		}
		if spent := time.Since(began); spent > 2*time.Second {
			t.Errorf("%s: %v", part, spent)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`claims.aud=="confluent" && claims.group!="invalid_group"`, `"engineering" in groups`, `engineering`, `has(claims.a.b) || !claims.c`,
		`claims.a.startsWith('x')`, `claims.a in ["a", 'b'] // c`, `claims.a[0] ? 1 : -2`, `claims.x.all(y, y.matches("z"))`, "'''\n'''", "r'\\'==b\"\\xff\"", `"\u{1F600}"`, `“`, "\xff\xfe==",
	} {
		f.Add(seed, "a")
	}
	f.Add(`C=='Canada' && O=='Confluent' || "x" in SAN`, "Canada")
	values := func(value string) []any {
		return []any{value, []any{value, nil, 1.5}, map[string]any{"b": value}, true, nil}
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		for _, kind := range []celfilter.Kind{celfilter.Claims, celfilter.Groups, celfilter.Subjects} {
			filter, err := celfilter.Compile(kind, text)
			var e *celfilter.Error
			switch {
			case err == nil:
				if utf8.RuneCountInString(text) > celfilter.MaxLength {
					t.Errorf("%q is too long", text)
				}
				for _, v := range values(value) {
					vars := map[string]any{"claims": map[string]any{"a": v}, "groups": []string{value}, "O": value, "SAN": []string{value}}
					if first := filter.Match(vars); first != filter.Match(vars) {
						t.Errorf("%q matches %v and does not", text, vars)
					}
				}
			case !errors.As(err, &e):
				t.Errorf("%q: %v", text, err)
			default:
				runes := []rune(text)
				if e.Offset < 0 || e.Offset > len(runes) || e.Line < 1 || e.Column < 1 || e.Message == "" || e.Line != 1+strings.Count(string(runes[:e.Offset]), "\n") {
					t.Errorf("%q: %+v", text, *e)
				}
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := celfilter.Compile(celfilter.Claims, `claims.aud=="confluent" && claims.group!="invalid_group"`); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	claims := token(b)
	for name, test := range map[string]struct {
		kind celfilter.Kind
		text string
		vars map[string]any
	}{
		"Claims": {celfilter.Claims, `"confluent" in claims.aud && claims.group != "invalid_group"`, map[string]any{"claims": claims}},
		"Groups": {celfilter.Groups, `"prod" in groups`, map[string]any{"groups": []string{"eng", "prod"}}},
		"Group":  {celfilter.Groups, `prod`, map[string]any{"groups": []string{"eng", "prod"}}},
	} {
		f, err := celfilter.Compile(test.kind, test.text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !f.Match(test.vars) {
					b.Fatal("no match")
				}
			}
		})
	}
}
