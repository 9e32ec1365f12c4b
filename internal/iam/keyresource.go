package iam

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

// keyResource is a type of resource that an API key can be made for.
type keyResource struct {
	// literal is the ID of what there is only one of, compared without regard
	// to case; ids matches the IDs of the others.
	literal string
	ids     *regexp.Regexp
	// apiVersion and kind are what a key says of such a resource.
	apiVersion, kind string
	// permission is the resource type that permissions on such keys are about.
	permission string
	scheme     string
}

// keyResources are the types, in the wire shapes of recorded answers (facts,
// semantics 2.1).
var keyResources = []keyResource{
	{literal: "cloud", apiVersion: "iam/v2", kind: "Cloud", permission: "CloudApiKey", scheme: authn.SchemeCloudKey},
	{literal: "global", apiVersion: "global/v1", kind: "Global", permission: "GlobalApiKey", scheme: authn.SchemeGlobalKey},
	{literal: "tableflow", apiVersion: "tableflow/v1", kind: "Tableflow", permission: "TableflowApiKey", scheme: authn.SchemeResourceKey},
	{ids: regexp.MustCompile(`^lkc-`), apiVersion: "cmk/v2", kind: "Cluster", permission: "KafkaApiKey", scheme: authn.SchemeResourceKey},
	{ids: regexp.MustCompile(`^lsrc-`), apiVersion: "srcm/v3", kind: "Cluster", permission: "SchemaRegistryApiKey", scheme: authn.SchemeResourceKey},
	{ids: regexp.MustCompile(`^lksqlc-`), apiVersion: "ksqldbcm/v2", kind: "Cluster", permission: "KsqlApiKey", scheme: authn.SchemeResourceKey},
	{ids: regexp.MustCompile(`^(env-[0-9a-z]+\.)?[a-z]+\.[a-z0-9-]+$`), apiVersion: "fcpm/v2", kind: "Region", permission: "FlinkApiKey", scheme: authn.SchemeResourceKey},
}

// key is the kind's key in the engine, for types whose resources are objects.
func (r *keyResource) key() string { return r.apiVersion + "." + r.kind }

func keyPermissions() []string {
	var out []string
	for _, r := range keyResources {
		out = append(out, r.permission)
	}
	return out
}

// resourceOf returns the type with the API version and kind, or nil.
func resourceOf(apiVersion, kind string) *keyResource {
	i := slices.IndexFunc(keyResources, func(r keyResource) bool { return r.apiVersion == apiVersion && r.kind == kind })
	if i < 0 {
		return nil
	}
	return &keyResources[i]
}

// resourceWith returns the type that an ID belongs to, or nil.
func resourceWith(id string) *keyResource {
	i := slices.IndexFunc(keyResources, func(r keyResource) bool {
		return r.literal != "" && strings.EqualFold(r.literal, id) || r.ids != nil && r.ids.MatchString(id)
	})
	if i < 0 {
		return nil
	}
	return &keyResources[i]
}

// locateResource finds the resource that a new key is for and writes it into
// both fields that tell of it. No resource means a Cloud API key. What is
// hidden from the caller answers like what does not exist.
func locateResource(ctx context.Context, w *engine.Write) ([]api.Problem, error) {
	doc := w.New.Doc
	ref, _ := doc.Get("spec.resource").(engine.Doc)
	pointer := "/spec/resource/id"
	if list, _ := doc.Get("spec.resources").([]any); len(list) == 1 {
		other, _ := list[0].(engine.Doc)
		if ref != nil && !strings.EqualFold(ref.String("id"), other.String("id")) {
			doc.Set("spec.resource", nil)
			return []api.Problem{{Message: "The fields 'resource' and 'resources' name different resources", Pointer: "/spec/resources/0/id"}}, nil
		}
		if ref == nil {
			ref, pointer = other, "/spec/resources/0/id"
		}
	}
	if ref == nil {
		ref = engine.Doc{"id": "cloud"}
	}
	found, err := findResource(ctx, w, ref)
	if errors.Is(err, store.ErrNotFound) {
		id := ref.String("id")
		doc.Set("spec.resource", nil)
		return []api.Problem{{Message: fmt.Sprintf("The field 'resource' names '%s', which does not exist", id), Pointer: pointer}}, nil
	}
	if err != nil {
		return nil, err
	}
	doc.Set("spec.resource", found)
	doc.Set("spec.resources", []any{found.Clone()})
	return nil, nil
}

func findResource(ctx context.Context, w *engine.Write, ref engine.Doc) (engine.Doc, error) {
	id := ref.String("id")
	r := resourceWith(id)
	if r == nil {
		return nil, store.ErrNotFound
	}
	if r.literal != "" {
		// Recorded answers have the literal in every place.
		return engine.Doc{"id": r.literal, "related": r.literal, "resource_name": r.literal, "api_version": r.apiVersion, "kind": r.kind}, nil
	}
	k := w.Engine.Kind(r.key())
	if k == nil {
		return nil, store.ErrNotFound // not served yet, so that there can be none
	}
	environment := ref.String("environment")
	if before, rest, ok := strings.Cut(id, "."); ok && strings.HasPrefix(before, "env-") {
		environment, id = before, rest
	}
	row, err := w.Tx.Pin(ctx, w.New.Org, store.Key{Kind: k.Key(), ID: id})
	if err != nil {
		return nil, err
	}
	o, err := k.Decode(row)
	if err != nil {
		return nil, err
	}
	if w.Caller != nil && !k.VisibleTo(w.Caller, o) && !mayKey(w, r, o) || environment != "" && o.Parent != environment {
		return nil, store.ErrNotFound
	}
	found := o.Refer()
	found.Set("api_version", r.apiVersion)
	found.Set("kind", r.kind)
	if o.Parent != "" {
		found.Set("environment", o.Parent)
	}
	return found, nil
}

// mayKey reports whether the caller may make the key for the resource though it
// may not see the resource: who owns the service account may make it any key.
func mayKey(w *engine.Write, r *keyResource, o *engine.Object) bool {
	for _, on := range []crn.CRN{o.Kind.CRN(o), underOwner(w.New)} {
		if authz.Decide(w.Caller.Subject, authz.Question{Operation: "Create", Resource: r.permission, On: crn.PatternOf(on)}) {
			return true
		}
	}
	return false
}
