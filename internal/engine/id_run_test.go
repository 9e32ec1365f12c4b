package engine

import (
	"strings"
	"sync"
	"testing"

	"github.com/weirhq/weir/internal/random"
)

// TestNewIDsLieTogether draws identifiers from several sides at once: each is of the
// shape, no two of a run are the same, and so many in a row begin alike.
func TestNewIDsLieTogether(t *testing.T) {
	t.Parallel()
	k := &Kind{ID: IDShape{Prefix: "sa-", Length: 6, Alphabet: random.LowerAlphanumeric}}
	const sides, each = 4, 16 * runLength
	drawn := make([][]string, sides)
	var all sync.WaitGroup
	for i := range drawn {
		all.Go(func() {
			for range each {
				drawn[i] = append(drawn[i], k.NewID())
			}
		})
	}
	all.Wait()
	ids, heads := map[string]bool{}, map[string]int{}
	for _, side := range drawn {
		for _, id := range side {
			if !k.ID.Has(id) || len(id) != len("sa-")+6 {
				t.Fatalf("%s is not of the shape", id)
			}
			ids[id] = true
			heads[strings.TrimPrefix(id, "sa-")[:6-runTail]]++
		}
	}
	// Two runs may begin alike, and then have some ends in common.
	if n := sides * each; len(ids) < n && len(heads) == n/runLength || len(ids) < n-n/50 {
		t.Errorf("%d of %d are different", len(ids), n)
	}
	for head, n := range heads {
		if n%runLength != 0 {
			t.Errorf("%d begin with %s, not %d", n, head, runLength)
		}
	}
	if len(heads) < sides*each/runLength*9/10 {
		t.Errorf("only %d runs are different", len(heads))
	}
}

// TestCredentialsAreDrawnAlone: nobody learns anything of one from another.
func TestCredentialsAreDrawnAlone(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, runTail, 16, 20} {
		k := &Kind{ID: IDShape{Length: length, Alphabet: random.UpperAlphanumeric}}
		heads := map[string]bool{}
		for range 100 {
			heads[k.NewID()[:2]] = true
		}
		if len(heads) < 20 {
			t.Errorf("of length %d, 100 have only %d beginnings", length, len(heads))
		}
	}
}
