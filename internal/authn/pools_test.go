package authn_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/authn"
)

func FuzzNamedPools(f *testing.F) {
	f.Add("pool-AbC1", "pool-AbC1, pool-x")
	f.Add("", ",,")
	f.Add("pool-\x00", strings.Repeat("pool-a,", 30))
	shape := func(id string) bool { return strings.HasPrefix(id, "pool-") && len(id) < 12 }
	f.Fuzz(func(t *testing.T, one, two string) {
		ids, err := authn.NamedPools(http.Header{authn.PoolHeader: {one, two}}, shape)
		if err != nil {
			if ids != nil {
				t.Fatalf("%v, %v", ids, err)
			}
			return
		}
		if len(ids) > 20 {
			t.Fatalf("%d pools", len(ids))
		}
		for i, id := range ids {
			if !shape(id) || slices.Contains(ids[:i], id) || !strings.Contains(one+","+two, id) {
				t.Fatalf("%q and %q name %q", one, two, ids)
			}
		}
	})
}
