package api_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
)

func TestTimestamp(t *testing.T) {
	t.Parallel()
	east := time.FixedZone("", 3*3600+1800)
	for want, instant := range map[string]time.Time{
		"2024-02-29T23:59:59.000000Z": time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC),
		"2024-01-02T03:04:05.123456Z": time.Date(2024, 1, 2, 3, 4, 5, 123456000, time.UTC),
		"2024-01-02T03:04:05.123457Z": time.Date(2024, 1, 2, 3, 4, 5, 123457999, time.UTC),
		"2023-12-31T21:00:00.500000Z": time.Date(2024, 1, 1, 0, 30, 0, 500000000, east),
		"0001-01-01T00:00:00.000000Z": {},
	} {
		got := api.Timestamp(instant)
		if got != want {
			t.Errorf("Timestamp(%v) is %s, want %s", instant, got, want)
		}
		parsed, err := time.Parse(time.RFC3339Nano, got)
		if err != nil || !parsed.Equal(instant.Truncate(time.Microsecond)) {
			t.Errorf("%s reads back as %v, %v", got, parsed, err)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	if id := api.RequestID(t.Context()); id != "" {
		t.Errorf("a context without an id has %q", id)
	}
	ctx := api.WithRequestID(api.WithRequestID(t.Context(), "outer"), "inner")
	if id := api.RequestID(ctx); id != "inner" {
		t.Errorf("the id is %q", id)
	}
}

func TestAppendSpliced(t *testing.T) {
	t.Parallel()
	const url = "https://weir.example.com/base"
	for _, c := range []struct{ stored, url, want string }{
		{"", url, ""},
		{"no mark", url, "no mark"},
		{"\x01", url, url},
		{"\x01\x01", url, url + url},
		{"\x01/a", url, url + "/a"},
		{"a\x01", url, "a" + url},
		{`{"self":"` + "\x01" + `/x","next":"` + "\x01" + `/y"}`, url, `{"self":"` + url + `/x","next":"` + url + `/y"}`},
		{"a\x01b\x01c", "", "abc"},
	} {
		if got := string(api.AppendSpliced(nil, []byte(c.stored), c.url)); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.stored, got, c.want)
		}
	}
}

func TestAppendSplicedKeepsItsArguments(t *testing.T) {
	t.Parallel()
	stored := []byte("a\x01b")
	dst := make([]byte, 0, 64)
	dst = append(dst, "before:"...)
	out := api.AppendSpliced(dst, stored, "URL")
	if string(out) != "before:aURLb" {
		t.Errorf("appended to a prefix: %q", out)
	}
	if string(stored) != "a\x01b" {
		t.Errorf("the stored document was changed to %q", stored)
	}
}

// The mark is safe because no encoder writes it raw inside of a string.
func TestBaseMarkCannotBeWrittenByAUser(t *testing.T) {
	t.Parallel()
	encoded, err := json.Marshal(string(rune(api.BaseMark)) + "/iam/v2/users/u-1")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.IndexByte(encoded, api.BaseMark) >= 0 {
		t.Errorf("%q has the mark raw", encoded)
	}
	if json.Valid([]byte{'"', api.BaseMark, '"'}) {
		t.Error("JSON allows the raw mark in a string")
	}
}
