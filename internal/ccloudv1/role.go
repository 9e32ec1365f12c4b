package ccloudv1

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authz"
)

// role is a role as the metadata service describes it.
type role struct {
	Name     string   `json:"name"`
	Policies []policy `json:"policies"`
}

// policy is what a role permits where it is bound to something at the level of
// BindingScope: an organization, an environment or a cluster or, with
// BindWithResource, a resource there.
type policy struct {
	BindingScope      string    `json:"bindingScope"`
	BindWithResource  bool      `json:"bindWithResource"`
	AllowedOperations []allowed `json:"allowedOperations"`
}

type allowed struct {
	ResourceType string   `json:"resourceType"`
	Operations   []string `json:"operations"`
}

// levels are the binding scopes in the metadata service's words.
var levels = map[authz.Scope]string{
	authz.Organization: "organization", authz.Environment: "environment", authz.CloudCluster: "cluster",
}

// roleOf describes a role, with one policy for each level and whether it is
// bound to a resource there.
func roleOf(r *authz.Role) role {
	out := role{Name: r.Name, Policies: []policy{}}
	grants := map[policyKey][]authz.Grants{}
	for _, scope := range r.Scopes {
		at := policyKey{scope.Level(), scope.Level() != scope}
		grants[at] = append(grants[at], r.Within, r.BoundTo[scope])
	}
	at := policyKey{authz.Organization, false}
	grants[at] = append(grants[at], r.Organization)
	for _, level := range []authz.Scope{authz.CloudCluster, authz.Environment, authz.Organization} {
		for _, resource := range []bool{false, true} {
			if allowed := operations(grants[policyKey{level, resource}]); len(allowed) > 0 {
				out.Policies = append(out.Policies, policy{levels[level], resource, allowed})
			}
		}
	}
	return out
}

type policyKey struct {
	level    authz.Scope
	resource bool
}

// operations merges grants, sorted by resource type. What stands for every type
// is "All", as every operation is.
func operations(grants []authz.Grants) []allowed {
	merged := map[string][]string{}
	for _, g := range grants {
		for resource, operations := range g {
			if resource == authz.Any {
				resource = authz.All
			}
			for _, o := range operations {
				if !slices.Contains(merged[resource], o) {
					merged[resource] = append(merged[resource], o)
				}
			}
		}
	}
	var out []allowed
	for _, resource := range slices.Sorted(maps.Keys(merged)) {
		out = append(out, allowed{resource, merged[resource]})
	}
	return out
}

// public is the namespace of all roles that Weir has, and the one that is meant
// where none is named.
const public = "public"

// inNamespaces reports whether the request asks for Weir's roles.
func inNamespaces(q *request) (bool, error) {
	query, err := api.ParseQuery(q.URL.RawQuery)
	namespaces := query.Get("namespace")
	return namespaces == "" || slices.Contains(strings.Split(namespaces, ","), public), err
}

func (h *Handler) roles(_ context.Context, q *request) (any, error) {
	out := []role{}
	in, err := inNamespaces(q)
	if in {
		for _, r := range authz.Roles() {
			out = append(out, roleOf(&r))
		}
	}
	return out, err
}

func (h *Handler) roleNames(_ context.Context, q *request) (any, error) {
	out := []string{}
	in, err := inNamespaces(q)
	if in {
		for _, r := range authz.Roles() {
			out = append(out, r.Name)
		}
	}
	return out, err
}

func (h *Handler) role(_ context.Context, q *request) (any, error) {
	in, err := inNamespaces(q)
	if err != nil {
		return nil, err
	}
	r := authz.RoleNamed(q.name)
	if r == nil || !in {
		return nil, api.New(api.ResourceNotFound, "There is no role '"+q.name+"'; 'confluent iam rbac role list' lists those that there are")
	}
	return roleOf(r), nil
}
