package api_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/api"
)

func readForm(contentType, body string) (map[string]any, error) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return api.ReadForm(r)
}

const formType = "application/x-www-form-urlencoded"

func TestReadForm(t *testing.T) {
	t.Parallel()
	got, err := readForm(formType+"; charset=utf-8", "a=1&b=x+y%26&c=")
	if want := map[string]any{"a": "1", "b": "x y&", "c": ""}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the form is %v, %v", got, err)
	}
	if got, err := readForm(formType, ""); err != nil || len(got) != 0 {
		t.Errorf("an empty form is %v, %v", got, err)
	}
	for name, c := range map[string]struct {
		contentType, body string
		want              *api.Code
	}{
		"JSON":           {"application/json", `{}`, api.UnsupportedMediaType},
		"no type":        {"", "a=1", api.UnsupportedMediaType},
		"twice":          {formType, "a=1&a=2", api.MalformedRequest},
		"bad escape":     {formType, "a=%zz", api.MalformedRequest},
		"a semicolon":    {formType, "a=1;b=2", api.MalformedRequest},
		"not UTF-8":      {formType, "a=%ff", api.MalformedRequest},
		"raw, not UTF-8": {formType, "a=\xff", api.MalformedRequest},
		"too large":      {formType, "a=" + strings.Repeat("x", api.MaxBody), api.PayloadTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := readForm(c.contentType, c.body)
			wantError(t, err, c.want)
		})
	}
}

func FuzzReadForm(f *testing.F) {
	f.Add("a=1&b=2")
	f.Add("a=%zz&a")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := readForm(formType, body)
		if (form == nil) == (err == nil) {
			t.Errorf("%q: %v, %v", body, form, err)
		}
	})
}
