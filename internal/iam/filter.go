package iam

import (
	"context"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/celfilter"
	"github.com/weirhq/weir/internal/engine"
)

// checkFilter compiles a new filter. One that is already stored is left alone,
// so that no change of what filters may say locks an object.
func checkFilter(kind celfilter.Kind) func(*engine.Write) []api.Problem {
	return func(w *engine.Write) []api.Problem {
		if !filterChanges(w) {
			return nil
		}
		if _, err := celfilter.Compile(kind, w.New.Doc.String("filter")); err != nil {
			return []api.Problem{{Message: "The field 'filter' is wrong " + err.Error(), Pointer: "/filter"}}
		}
		return nil
	}
}

// settleFiltered fills in what the server decides. Who changes the filter
// decides who holds the principal's roles, themselves perhaps, and so must be
// somebody who could grant these.
func settleFiltered(ctx context.Context, w *engine.Write) error {
	w.New.Doc.Set("principal", w.New.ID)
	w.New.Doc.Set("state", stateEnabled)
	if w.Old == nil || !filterChanges(w) {
		return nil
	}
	return mustControl(ctx, w, w.New.ID)
}

func filterChanges(w *engine.Write) bool {
	return w.Old == nil || w.Old.Doc.String("filter") != w.New.Doc.String("filter")
}
