package conformance

import (
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Served returns, sorted, the operations of the vendor's documents that Weir's
// marks as served.
func Served(vendor []*openapi3.T, weir *openapi3.T) []string {
	var ids []string
	for _, doc := range vendor {
		for path, item := range doc.Paths.Map() {
			ours := weir.Paths.Value(path)
			for method, op := range item.Operations() {
				if ours != nil && ours.GetOperation(method) != nil && served(ours.GetOperation(method)) {
					ids = append(ids, op.OperationID)
				}
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// Unproven returns those of the operations that never succeeded, by what
// [Validator.Answered] said. An empty result means that every one of them was
// seen to work, and not only to refuse.
func Unproven(operations, answered []string) []string {
	succeeded := map[string]bool{}
	for _, a := range answered {
		if id, status, _ := strings.Cut(a, " "); strings.HasPrefix(status, "2") {
			succeeded[id] = true
		}
	}
	var out []string
	for _, id := range operations {
		if !succeeded[id] {
			out = append(out, id)
		}
	}
	return out
}
