package crn

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestParseErrors(t *testing.T) {
	t.Parallel()
	const root = "crn://confluent.cloud/"
	long := root + "user=" + strings.Repeat("u", MaxLength-len(root)-len("user="))
	if c := mustParse(t, long); c.String() != long {
		t.Error("a name of the greatest length does not come back")
	}
	for _, tt := range []struct {
		name, in string
		offset   int
		want     string
	}{
		{"empty", "", 0, `begin with "crn://"`},
		{"other scheme", "https://confluent.cloud/", 0, `begin with "crn://"`},
		{"scheme in upper case", "CRN://confluent.cloud/", 0, `begin with "crn://"`},
		{"no authority", "crn:///user=u", 6, "authority is missing"},
		{"only the scheme", "crn://", 6, "authority is missing"},
		{"user info", "crn://me@confluent.cloud/", 6, "not a host name"},
		{"escape in the authority", "crn://a%62/", 6, "not a host name"},
		{"too long", long + "u", MaxLength, "longer than 4096"},
		{"too long once encoded", root + "user=" + strings.Repeat(":", 2000), 22, "longer than 4096"},
		{"slash at the end", root + "user=u/", 29, "segment is empty"},
		{"two slashes at the end", root + "/", 22, "segment is empty"},
		{"empty segment", root + "organization=o//user=u", 37, "segment is empty"},
		{"empty segment before another kek", root + "topic=o//kek=k", 30, "segment is empty"},
		{"empty segment after schema-registry", root + "schema-registry=s//subject=x", 40, "segment is empty"},
		{"two empty segments", root + "schema-registry=s///kek=k", 40, "segment is empty"},
		{"slash in a value", root + "group=a/b", 30, "is not \"key=value\"; a \"/\" in a value is written %2F"},
		{"no key", root + "=u", 22, `key ""`},
		{"key in upper case", root + "User=u", 22, `key "User"`},
		{"key begins with a digit", root + "2fa=u", 22, `key "2fa"`},
		{"encoded key", root + "%75ser=u", 22, `key "%75ser"`},
		{"empty value", root + "user=", 27, `value of "user" is empty`},
		{"empty value inside", root + "organization=/user=u", 35, `value of "organization" is empty`},
		{"repeated key", root + "user=u/user=u", 29, `"user" occurs twice`},
		{"escape cut short", root + "user=a%2", 28, "two hexadecimal digits"},
		{"bare percent", root + "user=100%", 30, "two hexadecimal digits"},
		{"escape that is not hexadecimal", root + "user=%41%G1", 30, "two hexadecimal digits"},
		{"control character", root + "user=a\tb", 22, "control character"},
		{"encoded control character", root + "user=a%0Ab", 22, "control character"},
		{"encoded NUL", root + "user=%00", 22, "control character"},
		{"not UTF-8", root + "user=%C3%28", 22, "not valid UTF-8"},
		{"pattern", root + "user=u*", 28, "pattern where a name is needed"},
		{"star inside", root + "user=u*v", 28, "only as the very last character"},
		{"too many segments", root + "a=1/b=1/c=1/d=1/e=1/f=1/g=1/h=1/i=1/j=1/k=1/l=1/m=1/n=1/o=1/p=1/q=1", 86, "more than 16 segments"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Parse(tt.in)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("Parse(%q) = %v, %v, want a *SyntaxError", tt.in, c, err)
			}
			if syntax.Offset != tt.offset || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse(%.100q): %v; want %q at byte %d", tt.in, err, tt.want, tt.offset)
			}
			if !c.IsZero() {
				t.Errorf("returned %v beside the error", c)
			}
			if len(err.Error()) > 250 {
				t.Errorf("the message has %d bytes; it must not repeat what it was sent", len(err.Error()))
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		org, env, kafka + "/topic=my_kafka_topic",
		env + "/schema-registry=lsrc-789qw//kek=test_kek",
		env + "/schema-registry=lsrc-789qw/subject=:.ctx:name%2f%25%2A%3d",
		"crn://confluent.cloud", "crn://[::1]:8090/user=é b+c", "crn://a/b=%C3%28", "crn://a/b=*",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(s) {
				t.Fatalf("Parse(%q): bad error %#v", s, err)
			}
			return
		}
		text := c.String()
		if again, err := Parse(text); err != nil || again != c || again.String() != text {
			t.Fatalf("Parse(%q) prints %q, which gives %v, %v", s, text, again, err)
		}
		if len(text) > MaxLength || c.Len() > MaxSegments {
			t.Fatalf("%q exceeds a limit", text)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '*' || r == '+' }) {
			t.Fatalf("%q is not canonical", text)
		}
		segments := slices.Collect(c.Segments())
		if built, err := New(c.Authority(), segments...); err != nil || built != c {
			t.Fatalf("New of the parts of %q = %v, %v", text, built, err)
		}
		for _, s := range segments {
			if s.Value == "" || !utf8.ValidString(s.Value) || strings.ContainsFunc(s.Value, unicode.IsControl) {
				t.Fatalf("%q has the value %q", text, s.Value)
			}
			if value, ok := c.Value(s.Key); !ok || value != s.Value {
				t.Fatalf("%q: Value(%q) = %q, %v, want %q", text, s.Key, value, ok, s.Value)
			}
		}
		if c.Len() > 0 {
			last := c.Last()
			if joined, err := c.Parent().Append(last.Key, last.Value); err != nil || joined != c {
				t.Fatalf("%q is not its parent and its last segment: %v, %v", text, joined, err)
			}
			if !c.HasPrefix(c.Parent()) || c.Parent().HasPrefix(c) {
				t.Fatalf("%q does not lie within its parent", text)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, s := range map[string]string{
		"canonical": kafka + "/topic=my_kafka_topic",
		"encoded":   env + "/schema-registry=lsrc-789qw/subject=:.ctx:name",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
