package main

import (
	"testing"

	"github.com/weirhq/weir/internal/iam"
)

func TestAscendingIDs(t *testing.T) {
	t.Parallel()
	for _, objects := range []int{1, 100, 1_000_000} {
		last := ""
		for n := range objects {
			id := ascendingID(n, objects)
			if !iam.ServiceAccount.ID.Has(id) || id <= last {
				t.Fatalf("ID %d of %d is %s, after %q", n, objects, id, last)
			}
			last = id
		}
	}
}
