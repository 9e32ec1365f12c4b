package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/api"
)

// readBody reads a body as a request with the given headers would bring it.
func readBody(body io.Reader, header ...string) (map[string]any, error) {
	r := httptest.NewRequest(http.MethodPost, "/", body)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return api.ReadObject(r)
}

// wantError checks the code and that the message has each of the texts.
func wantError(t *testing.T, err error, code *api.Code, texts ...string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) {
		t.Fatalf("the error is %v, want %s", err, code.Name)
	}
	if e.Code != code {
		t.Fatalf("the code is %s, want %s (%v)", e.Code.Name, code.Name, err)
	}
	for _, text := range texts {
		if !strings.Contains(e.Problems[0].Message, text) {
			t.Errorf("the message %q does not say %q", e.Problems[0].Message, text)
		}
	}
}

func TestReadObject(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want map[string]any
	}{
		"empty object":      {`{}`, map[string]any{}},
		"space around":      {"\r\n\t {} \n", map[string]any{}},
		"numbers stay":      {`{"n":12345678901234567890.50}`, map[string]any{"n": json.Number("12345678901234567890.50")}},
		"null stays":        {`{"a":null}`, map[string]any{"a": nil}},
		"nested":            {`{"a":{"b":[1,"x",true,{}]}}`, map[string]any{"a": map[string]any{"b": []any{json.Number("1"), "x", true, map[string]any{}}}}},
		"text":              {`{"é😀":"\u2028\u0001<>&😀"}`, map[string]any{"é😀": "\u2028\x01<>&😀"}},
		"the last one wins": {`{"a":1,"a":2}`, map[string]any{"a": json.Number("2")}},
		"lone surrogate":    {`{"a":"\ud800"}`, map[string]any{"a": "\uFFFD"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readBody(strings.NewReader(c.body), "Content-Type", "application/json")
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v, want %#v", got, c.want)
			}
		})
	}
}

func TestReadObjectSaysWhereTheMistakeIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, at string }{
		{"empty", "", "empty"},
		{"only space", " \r\n\t", "empty"},
		{"byte order mark", "\xef\xbb\xbf{}", "line 1, column 1"},
		{"not JSON", "hello", "line 1, column 1"},
		{"single quotes", "{'a':1}", "line 1, column 2"},
		{"missing colon", `{"a" 1}`, "line 1, column 6"},
		{"trailing comma", "{\n  \"a\": 1,\n}", "line 3, column 1"},
		{"columns are characters", `{"é😀": x}`, "line 1, column 8"},
		{"carriage returns", "{\r\n\"a\": x}", "line 2, column 6"},
		{"control character in a string", "{\"a\":\"b\x01\"}", "line 1, column 8"},
		{"bad escape", `{"a":"\q"}`, "line 1, column 8"},
		{"leading zero", `{"a":01}`, "line 1, column 7"},
		{"ends early", "{\"a\":\n\"b", "line 2, column 3"},
		{"only an opening brace", "{", "line 1, column 2"},
		{"not UTF-8", "{\"a\":\n\"b\xff\"}", "line 2, column 3"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "line 1, column 1"},
		{"a second value", `{}{}`, "line 1, column 3"},
		{"garbage behind", "{}\nx", "line 2, column 1"},
		{"a second value after space", "{} \n  {}", "line 2, column 3"},
		{"deep nesting", strings.Repeat(`{"a":`, 20_000), "line 1, column 50001"},
		{"deep nesting of arrays", `{"a":` + strings.Repeat("[", 20_000), "line 1, column 10005"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := readBody(strings.NewReader(c.body))
			wantError(t, err, api.MalformedRequest, c.at)
		})
	}
}

func TestReadObjectTakesObjectsOnly(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`[]`, `[{}]`, `"text"`, `1`, `true`, `null`} {
		_, err := readBody(strings.NewReader(body))
		wantError(t, err, api.MalformedRequest, "must be a JSON object")
	}
}

func TestReadObjectContentTypes(t *testing.T) {
	t.Parallel()
	for contentType, good := range map[string]bool{
		"":                                  true,
		"application/json":                  true,
		"Application/JSON":                  true,
		"application/json; charset=utf-8":   true,
		"application/json;charset=UTF-8":    true,
		"text/json":                         true,
		"application/merge-patch+json":      true,
		"application/vnd.api+json; v=1":     true,
		"text/plain":                        false,
		"application/xml":                   false,
		"application/jsonp":                 false,
		"application/json-seq":              false,
		"application/x-www-form-urlencoded": false,
		"multipart/form-data; boundary=x":   false,
		"image/svg+json":                    false,
		"json":                              false,
		"/":                                 false,
		";":                                 false,
		"application/json; charset":         false,
	} {
		_, err := readBody(strings.NewReader("{}"), "Content-Type", contentType)
		if good && err != nil {
			t.Errorf("%q: %v", contentType, err)
		}
		if !good {
			wantError(t, err, api.UnsupportedMediaType, "application/json")
		}
	}
}

func TestReadObjectContentEncodings(t *testing.T) {
	t.Parallel()
	for encoding, good := range map[string]bool{"": true, "identity": true, "Identity": true, "gzip": false, "br": false, "identity, gzip": false} {
		_, err := readBody(strings.NewReader("{}"), "Content-Encoding", encoding)
		if good && err != nil {
			t.Errorf("%q: %v", encoding, err)
		}
		if !good {
			wantError(t, err, api.UnsupportedMediaType, "Content-Encoding")
		}
	}
}

func TestReadObjectSizeLimit(t *testing.T) {
	t.Parallel()
	const frame = `{"a":""}`
	exact := `{"a":"` + strings.Repeat("x", api.MaxBody-len(frame)) + `"}`
	for name, c := range map[string]struct {
		body string
		good bool
	}{
		"exactly the limit":         {exact, true},
		"one byte more":             {exact + " ", false},
		"much more":                 {exact + exact, false},
		"much more that is no JSON": {strings.Repeat("x", 2*api.MaxBody), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Small pieces, as from a slow connection without Content-Length.
			_, err := readBody(iotest.HalfReader(strings.NewReader(c.body)))
			if c.good && err != nil {
				t.Fatal(err)
			}
			if !c.good {
				wantError(t, err, api.PayloadTooLarge, fmt.Sprint(api.MaxBody))
			}
		})
	}
}

func TestReadObjectFromABrokenConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset by 192.0.2.7")
	_, err := readBody(io.MultiReader(strings.NewReader(`{"a":`), iotest.ErrReader(broken)))
	wantError(t, err, api.MalformedRequest, "could not be read")
	if !errors.Is(err, broken) {
		t.Errorf("the cause is lost: %v", err)
	}
	if strings.Contains(err.Error(), "192.0.2.7") {
		t.Errorf("the cause is in the message: %v", err)
	}
}

// Whatever comes, it is an object that encodes back to itself, or a 4xx whose
// message is text.
func FuzzReadObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":[1,2,{"b":null}]}`, "\xef\xbb\xbf{}", `{"a":"\ud800\u0001"}`, `{"a":1e999}`, "[", "{\"\xff\":1}", `{}{}`, "\n\n{\"a\":\tx}", `{"a":-0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		object, err := readBody(bytes.NewReader(body))
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) || e.Code.Status < 400 || e.Code.Status > 499 {
				t.Fatalf("%q: %v is no 4xx", body, err)
			}
			if m := e.Problems[0].Message; !utf8.ValidString(m) || strings.ContainsAny(m, "\r\n\x00") || len(m) > 500 {
				t.Fatalf("%q: the message is %q", body, m)
			}
			if json.Valid(body) && bytes.HasPrefix(body, []byte("{")) && utf8.Valid(body) && len(body) <= api.MaxBody {
				t.Fatalf("%q is a JSON object and was refused: %v", body, err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is not JSON and was taken", body)
		}
		encoded, err := json.Marshal(object)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		again, err := readBody(bytes.NewReader(encoded))
		if len(encoded) <= api.MaxBody && (err != nil || !reflect.DeepEqual(again, object)) {
			t.Fatalf("%q came back as %#v, %v", body, again, err)
		}
	})
}

func TestAcceptsJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		accept []string
		want   bool
	}{
		{nil, true},
		{[]string{""}, true},
		{[]string{" , "}, true},
		{[]string{"*/*"}, true},
		{[]string{"application/*"}, true},
		{[]string{"application/json"}, true},
		{[]string{"APPLICATION/JSON"}, true},
		{[]string{"application/json; charset=utf-8"}, true},
		{[]string{"application/problem+json"}, true},
		{[]string{"text/html, application/json;q=0.1"}, true},
		{[]string{"text/html", "application/json"}, true},
		{[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, true},
		{[]string{"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}, true},
		{[]string{"application/json;q=0.001"}, true},
		{[]string{"text/html"}, false},
		{[]string{"text/*"}, false},
		{[]string{"application/xml, text/plain"}, false},
		{[]string{"application/json;q=0"}, false},
		{[]string{"application/json;q=0.0"}, false},
		{[]string{"application/json; q=0.000"}, false},
		{[]string{"*/*;q=0"}, false},
		{[]string{"text/html", "application/xml"}, false},
		{[]string{"nonsense"}, false},
		{[]string{"nonsense; ;=, application/json"}, true},
	} {
		if got := api.AcceptsJSON(c.accept); got != c.want {
			t.Errorf("AcceptsJSON(%q) is %v", c.accept, got)
		}
	}
}
