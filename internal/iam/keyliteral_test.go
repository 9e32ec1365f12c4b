package iam_test

import (
	"net/http"
	"testing"

	"github.com/weirhq/weir/weirtest"
)

// A literal such as cloud is the same in any case: on create, in an update that
// repeats it, and as a filter.
func TestLiteralResourcesInAnyCase(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	account := w.Do(http.MethodPost, "/iam/v2/service-accounts", map[string]any{"display_name": "robot"})
	a := w.Do(http.MethodPost, "/iam/v2/api-keys", map[string]any{"spec": map[string]any{
		"owner": map[string]any{"id": account.Body["id"]}, "resource": map[string]any{"id": "Global"},
	}})
	if a.Status != http.StatusAccepted {
		t.Fatalf("create: %d %s", a.Status, a.Raw)
	}
	id, _ := a.Body["id"].(string)
	a = w.Do(http.MethodPatch, "/iam/v2/api-keys/"+id, map[string]any{"spec": map[string]any{
		"description": "changed", "resource": map[string]any{"id": "GLOBAL"},
	}})
	if a.Status != http.StatusOK {
		t.Errorf("update: %d %s", a.Status, a.Raw)
	}
	for _, filter := range []string{"global", "GLOBAL"} {
		a := w.Do(http.MethodGet, "/iam/v2/api-keys?spec.resource="+filter, nil)
		if data, _ := a.Body["data"].([]any); len(data) != 1 {
			t.Errorf("by %s: %s", filter, a.Raw)
		}
	}
}
