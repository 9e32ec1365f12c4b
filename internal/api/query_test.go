package api_test

import (
	"errors"
	"net/url"
	"reflect"
	"testing"

	"github.com/weirhq/weir/internal/api"
)

func TestParseQuery(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]struct {
		values    url.Values
		parameter string
	}{
		"":                            {url.Values{}, ""},
		"a=b&a=c&d":                   {url.Values{"a": {"b", "c"}, "d": {""}}, ""},
		"display_name=100%25":         {url.Values{"display_name": {"100%"}}, ""},
		"display_name=100%":           {nil, "display_name"},
		"page_size=5&page_token=%":    {nil, "page_token"},
		"display_name=a;b":            {nil, "display_name"},
		"spec.owner=u-1&%zz=1&ok=yes": {nil, ""},
		"a;b=c":                       {nil, ""},
	} {
		values, err := api.ParseQuery(raw)
		if want.values != nil {
			if err != nil || !reflect.DeepEqual(values, want.values) {
				t.Errorf("%q: %v, %v", raw, values, err)
			}
			continue
		}
		var refused *api.Error
		if !errors.As(err, &refused) || refused.Code.Status != 400 || refused.Problems[0].Parameter != want.parameter {
			t.Errorf("%q: %v, %v, want a 400 that names %q", raw, values, err, want.parameter)
		}
	}
}
