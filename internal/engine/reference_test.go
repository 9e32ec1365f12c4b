package engine

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestIDIn(t *testing.T) {
	t.Parallel()
	k := &Kind{Path: "/org/v2/things"}
	for _, c := range []struct {
		ref  Doc
		want string
	}{
		{Doc{}, ""},
		{Doc{"id": "t-1"}, "t-1"},
		{Doc{"id": "t-1", "related": "https://weir.example/org/v2/things/t-2"}, "t-1"},
		{Doc{"related": "https://weir.example/org/v2/things/t-2"}, "t-2"},
		{Doc{"related": "https://weir.example/base/org/v2/things/t-2?x=1#y"}, "t-2"},
		{Doc{"related": "/org/v2/things/t-2"}, "t-2"},
		{Doc{"related": "https://weir.example/org/v2/things/a%20b"}, "a b"},
		{Doc{"related": "https://weir.example/org/v2/others/t-2"}, ""},
		{Doc{"related": "https://weir.example/org/v2/things/"}, ""},
		{Doc{"related": "https://weir.example/org/v2/things"}, ""},
		{Doc{"related": "https://weir.example/org/v2/things/t-2/more"}, ""},
		{Doc{"related": "https://weir.example/org/v2/things/%00"}, ""},
		{Doc{"related": "https://weir.example/org/v2/things/%ff"}, ""},
		{Doc{"related": "https://weir.example/org/v2/things/" + strings.Repeat("x", MaxID+1)}, ""},
		{Doc{"related": "https://weir.example/?/org/v2/things/t-2"}, ""},
		{Doc{"related": "t-2"}, ""},
		{Doc{"related": "%zz"}, ""},
	} {
		if got := k.IDIn(c.ref); got != c.want {
			t.Errorf("%v names %q, want %q", c.ref, got, c.want)
		}
	}
}

// Whatever a URL is, what comes out of it can be asked for in the store.
func FuzzIDIn(f *testing.F) {
	for _, seed := range []string{"https://weir.example/org/v2/things/t-2", "/org/v2/things/%2F", "%zz", "/org/v2/things/\x00", "//"} {
		f.Add(seed)
	}
	k := &Kind{Path: "/org/v2/things"}
	f.Fuzz(func(t *testing.T, related string) {
		id := k.IDIn(Doc{"related": related})
		if len(id) > MaxID || !utf8.ValidString(id) || strings.ContainsAny(id, "/\x00") {
			t.Errorf("%q names %q", related, id)
		}
	})
}
