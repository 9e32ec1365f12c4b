package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/flatten/allof"
	"github.com/oasdiff/oasdiff/load"
)

// Difference is a promise of the vendor's document that Weir's does not make.
type Difference struct {
	// Check is the kind of difference, as in [Tolerance].
	Check string
	// Text is the method and path, if it is about an operation, and what
	// differs.
	Text string
}

func (d Difference) String() string { return d.Text + " (" + d.Check + ")" }

// Compare returns what the vendor's document promises to clients and Weir's
// does not, for every operation that Weir's marks as served: what would break
// clients if the vendor's document were replaced by Weir's, and whatever else
// is gone from it. Neither document is changed.
func Compare(vendor, weir *openapi3.T) ([]Difference, error) {
	before, err := merged(vendor, closeEnums)
	if err != nil {
		return nil, fmt.Errorf("document of the vendor: %w", err)
	}
	after, err := merged(weir, func(tree any) {
		// Weir's document is of all APIs, the vendor's of one.
		paths, _ := tree.(map[string]any)["paths"].(map[string]any)
		maps.DeleteFunc(paths, func(path string, _ any) bool { return vendor.Paths.Value(path) == nil })
	})
	if err != nil {
		return nil, fmt.Errorf("document of Weir: %w", err)
	}
	differences := keepServed(before, after)
	changes, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(),
		&load.SpecInfo{Url: "vendor", Spec: before}, &load.SpecInfo{Url: "weir", Spec: after})
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	config := checker.NewConfig(checker.GetAllChecks(), checker.WithSeverityLevels(gone))
	words := checker.NewDefaultLocalizer()
	for _, c := range checker.CheckBackwardCompatibilityUntilLevel(config, changes, sources, checker.WARN) {
		differences = append(differences, Difference{
			Check: c.GetId(),
			Text:  strings.TrimSpace(c.GetOperation() + " " + c.GetPath() + " " + c.GetUncolorizedText(words)),
		})
	}
	return differences, nil
}

// gone raises checks that oasdiff only mentions, since no client breaks by
// them: a promise is not kept all the same.
var gone = map[string]checker.Level{
	checker.APIOperationIdRemovedId:               checker.ERR,
	checker.APITagRemovedId:                       checker.ERR,
	checker.OptionalResponseHeaderRemovedId:       checker.ERR,
	checker.RequestParameterDefaultValueChangedId: checker.ERR,
	checker.RequestParameterDefaultValueRemovedId: checker.ERR,
	checker.ResponseNonSuccessStatusRemovedId:     checker.ERR,
	checker.ResponseOptionalPropertyRemovedId:     checker.ERR,
}

// merged returns a copy of the document in which allOf is merged, after the
// changes that edit makes to its JSON.
func merged(doc *openapi3.T, edit func(tree any)) (*openapi3.T, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	edit(tree)
	if text, err = json.Marshal(tree); err != nil {
		return nil, err
	}
	fresh, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}
	return allof.MergeSpec(fresh)
}

// closeEnums makes the vendor's open enums plain ones, so that their values
// are compared.
func closeEnums(tree any) {
	switch node := tree.(type) {
	case map[string]any:
		if values, ok := node["x-extensible-enum"].([]any); ok {
			node["enum"] = values
		}
		for _, child := range node {
			closeEnums(child)
		}
	case []any:
		for _, child := range node {
			closeEnums(child)
		}
	}
}

// keepServed removes from the vendor's document what Weir's marks as not
// served, and returns what Weir's does not have at all.
func keepServed(vendor, weir *openapi3.T) []Difference {
	var missing []Difference
	for _, path := range vendor.Paths.Keys() {
		item := vendor.Paths.Value(path)
		for method := range item.Operations() {
			var ours *openapi3.Operation
			if other := weir.Paths.Value(path); other != nil {
				ours = other.GetOperation(method)
			}
			switch {
			case ours == nil:
				missing = append(missing, Difference{MissingOperation, method + " " + path + " is not in Weir's document"})
				item.SetOperation(method, nil)
			case !served(ours):
				item.SetOperation(method, nil)
			}
		}
		if len(item.Operations()) == 0 {
			vendor.Paths.Delete(path)
		}
	}
	return missing
}

func served(o *openapi3.Operation) bool {
	v, _ := o.Extensions["x-weir-served"].(bool)
	return v
}
