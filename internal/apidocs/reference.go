package apidocs

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// reference is the document in the order in which people read it. It points
// into the document and holds little of its own.
type reference struct {
	doc *openapi3.T

	Title, Description, Version string

	APIs []api
	// Served and Total count the operations.
	Served, Total int
}

// api is one API group and version.
type api struct {
	Name          string
	Resources     []resource
	Served, Total int
}

type resource struct {
	Name        string
	Description string
	Operations  []operation
}

// operation is what the index shows of an operation.
type operation struct {
	ID, Method, Path, Title string
	Lifecycle               string
	Deprecated, Served      bool

	item *openapi3.PathItem
	op   *openapi3.Operation
}

// methods gives the order of operations with one path: what reads comes
// first, what destroys last.
var methods = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"}

func newReference(doc *openapi3.T) *reference {
	ref := &reference{doc: doc, Title: "API reference"}
	if doc.Info != nil {
		ref.Title = cmp.Or(doc.Info.Title, ref.Title)
		ref.Description, ref.Version = doc.Info.Description, doc.Info.Version
	}
	byAPI := make(map[string]map[string][]operation)
	tags := make(map[[2]string]string)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			tag := ""
			if len(op.Tags) > 0 {
				tag = op.Tags[0]
			}
			apiName, resourceName := place(tag, path)
			if byAPI[apiName] == nil {
				byAPI[apiName] = make(map[string][]operation)
			}
			byAPI[apiName][resourceName] = append(byAPI[apiName][resourceName], newOperation(path, method, item, op))
			tags[[2]string{apiName, resourceName}] = tag
		}
	}
	for name, resources := range byAPI {
		a := api{Name: name}
		for resourceName, ops := range resources {
			slices.SortFunc(ops, func(a, b operation) int {
				return cmp.Or(
					strings.Compare(a.Path, b.Path),
					slices.Index(methods, a.Method)-slices.Index(methods, b.Method),
				)
			})
			r := resource{Name: resourceName, Operations: ops}
			if t := doc.Tags.Get(tags[[2]string{name, resourceName}]); t != nil {
				r.Description = t.Description
			}
			a.Resources = append(a.Resources, r)
		}
		slices.SortFunc(a.Resources, func(x, y resource) int { return strings.Compare(x.Name, y.Name) })
		ref.APIs = append(ref.APIs, a)
	}
	slices.SortFunc(ref.APIs, func(x, y api) int { return strings.Compare(x.Name, y.Name) })
	ref.count()
	return ref
}

func (r *reference) count() {
	r.Served, r.Total = 0, 0
	for i := range r.APIs {
		a := &r.APIs[i]
		a.Served, a.Total = 0, 0
		for _, res := range a.Resources {
			a.Total += len(res.Operations)
			for _, o := range res.Operations {
				if o.Served {
					a.Served++
				}
			}
		}
		r.Served += a.Served
		r.Total += a.Total
	}
}

// search returns the part of the reference with operations that contain every
// word of the query, in any letter case, in what the index shows of them.
func (r *reference) search(query string) *reference {
	words := strings.Fields(strings.ToLower(query))
	found := *r
	found.APIs = nil
	for _, a := range r.APIs {
		kept := api{Name: a.Name}
		for _, res := range a.Resources {
			ops := slices.DeleteFunc(slices.Clone(res.Operations), func(o operation) bool {
				text := strings.ToLower(strings.Join([]string{o.Method, o.Path, o.Title, o.ID, res.Name, a.Name}, " "))
				return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
			})
			if len(ops) > 0 {
				kept.Resources = append(kept.Resources, resource{res.Name, res.Description, ops})
			}
		}
		if len(kept.Resources) > 0 {
			found.APIs = append(found.APIs, kept)
		}
	}
	found.count()
	return &found
}

var (
	tagForm  = regexp.MustCompile(`^(.*\S)\s*\(([a-z0-9-]+/v[a-z0-9]+)(?:/[^)]*)?\)$`)
	pathForm = regexp.MustCompile(`^/([a-z0-9-]+/v[0-9][a-z0-9]*)/`)
)

// place says where an operation stands: in which API and under which resource.
func place(tag, path string) (api, resource string) {
	if m := tagForm.FindStringSubmatch(tag); m != nil {
		return m[2], m[1]
	}
	resource = cmp.Or(tag, "Operations")
	if m := pathForm.FindStringSubmatch(path); m != nil {
		return m[1], resource
	}
	return "other/all", resource
}

func newOperation(path, method string, item *openapi3.PathItem, op *openapi3.Operation) operation {
	return operation{
		ID:         cmp.Or(op.OperationID, strings.ToLower(method)+path),
		Method:     method,
		Path:       path,
		Title:      cmp.Or(op.Summary, op.OperationID, method+" "+path),
		Lifecycle:  extension[string](op.Extensions, "x-lifecycle-stage"),
		Deprecated: op.Deprecated,
		Served:     extension[bool](op.Extensions, "x-weir-served"),
		item:       item,
		op:         op,
	}
}

// extension returns the value of an extension, or the zero value where it is
// missing or of another type. A document that was read may hold the value as
// the JSON it came in.
func extension[T any](extensions map[string]any, name string) T {
	var v T
	switch x := extensions[name].(type) {
	case T:
		v = x
	case json.RawMessage:
		if json.Unmarshal(x, &v) != nil {
			var zero T
			return zero
		}
	}
	return v
}
