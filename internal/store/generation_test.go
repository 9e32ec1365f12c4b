package store_test

import (
	"testing"

	"github.com/weirhq/weir/internal/store"
)

// What was read before something changed is not remembered after it.
func TestGeneration(t *testing.T) {
	t.Parallel()
	var g store.Generation
	remembered, forgotten := 0, 0
	fill, forget := func() { remembered++ }, func() { forgotten++ }
	since := g.Now()
	if !g.Remember(since, fill) || remembered != 1 {
		t.Error("what is still true was not remembered")
	}
	g.Forget(forget)
	if forgotten != 1 {
		t.Error("nothing was forgotten")
	}
	if g.Remember(since, fill) || remembered != 1 {
		t.Error("what was read before the change was remembered after it")
	}
	if !g.Remember(g.Now(), fill) {
		t.Error("what was read after the change was not remembered")
	}
}
