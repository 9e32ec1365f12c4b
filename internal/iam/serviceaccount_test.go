package iam

import (
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

func TestAssignedOwnerMustExist(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for owner, good := range map[string]bool{f.admin: true, "": true, "u-zzzzzz": false, "nobody": false} {
		err := f.try(func(tx store.Tx) error {
			o := &engine.Object{Kind: ServiceAccount, Org: orgID, Doc: engine.Doc{"display_name": "robot of " + owner}}
			if err := f.Insert(t.Context(), tx, o); err != nil {
				return err
			}
			w := &engine.Write{Engine: f.Engine, Tx: tx, Verb: engine.Create, New: o, Query: map[string][]string{assignedResourceOwner: {owner}}}
			return assignOwner(t.Context(), w)
		})
		if good && err != nil {
			t.Errorf("%q: %v", owner, err)
		}
		if !good {
			wantCode(t, err, api.InvalidParameter)
		}
	}
}
