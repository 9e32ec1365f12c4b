package celfilter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/celfilter"
)

func TestSubjects(t *testing.T) {
	t.Parallel()
	subject := map[string]any{
		"CN": "orders", "O": "Example", "OU": []string{"shop", "eng"}, "C": "CA", "SAN": []string{"a.example.com", "spiffe://example.com/orders"},
	}
	for text, want := range map[string]bool{
		`C=='CA' && O=='Example'`:          true,
		`C=='CA' && O=='Elsewhere'`:        false,
		`CN.startsWith("ord")`:             true,
		`CN in ["orders", "sales"]`:        true,
		`"eng" in OU`:                      true,
		`OU == "eng"`:                      false, // there are two
		`"a.example.com" in SAN`:           true,
		`"example.com" in SAN`:             false,
		`!(O == "Elsewhere")`:              true,
		`o == "Example"`:                   false, // no such name
		`O == "example"`:                   false, // case counts
		`L == "Toronto"`:                   false, // not there
		`L != "Toronto"`:                   false, // nothing is known of it
		`L == "Toronto" || O == "Example"`: true,
		`true`:                             true,
		``:                                 false,
		"  ":                               false,
		`UID == "1" || CN.endsWith("s")`:   true,
	} {
		f, err := celfilter.Compile(celfilter.Subjects, text)
		if strings.HasPrefix(text, "o ") {
			var e *celfilter.Error
			if !errors.As(err, &e) || e.Offset != 0 || !strings.Contains(e.Message, "'o' is unknown") {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if f.Match(subject) != want {
			t.Errorf("%s matches: %t, want %t", text, !want, want)
		}
		if f.Match(nil) && text != "true" {
			t.Errorf("%s matches a certificate that says nothing", text)
		}
	}
	for _, text := range []string{`claims.sub == "a"`, `O.x == "a"`, `has(O.x)`, `groups`, `SAN == "a"`, `O`, `"a"`, `O == 1`, `SAN.contains("a")`} {
		if _, err := celfilter.Compile(celfilter.Subjects, text); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
