package iam

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

// RoleBinding gives a principal a role on a scope. It cannot be changed, and
// goes when the principal goes or what it is bound to.
//
// Who may see a binding is who holds DescribeAccess on what it is bound to,
// and its principal; who may make and delete it is who holds AlterAccess there
// (facts, semantics 1.2). A missing one and a hidden one answer 403 with the
// code 40301, a role at the wrong scope 400 with 40002, an unknown principal
// 403 (semantics 1.3).
var RoleBinding = &engine.Kind{
	Group: "iam", Version: "v2", Name: "RoleBinding",
	Description: "A role binding gives a principal a role on the resources that a pattern names.",
	Path:        "/iam/v2/role-bindings",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2RoleBindings",
		engine.Create: "createIamV2RoleBinding",
		engine.Read:   "getIamV2RoleBinding",
		engine.Delete: "deleteIamV2RoleBinding",
	},
	Methods:     map[engine.Verb]string{engine.Delete: "DeleteRoleBindingById"},
	ID:          engine.IDShape{Prefix: "rb-", Length: 6, Alphabet: random.MixedAlphanumeric},
	Segment:     "role-binding",
	Resource:    "RoleBinding",
	OwnedBy:     "principal",
	OwnerPrefix: authn.PrincipalPrefix,
	UniqueKey:   bindingIdentity,
	NameTaken:   "The principal holds this role on this resource already",
	Asks: map[engine.Verb]string{
		engine.List: authz.DescribeAccess, engine.Read: authz.DescribeAccess,
		engine.Create: authz.AlterAccess, engine.Delete: authz.AlterAccess,
	},
	Guards:    bindingGuards,
	GuardedAs: authz.ScopeResources(),
	Missing: func(string) *api.Error {
		return api.New(api.RoleBindingForbidden, "Either unauthorized to access role binding or role binding does not exist")
	},
	Quotas: []*engine.Quota{
		{
			Code: "iam.max_rbac_role_bindings.per_org_plus_envs", Scope: engine.PerOrganization,
			DisplayName: "Role Bindings On The Organization And Its Environments", Limit: 1000, Counts: onOrganizationOrEnvironment,
		},
		{
			Code: "iam.max_rbac_role_bindings_all_roles.per_org", Scope: engine.PerOrganization,
			DisplayName: "Role Bindings Per Organization", Limit: 250_000,
		},
	},
	Fields: []engine.Field{
		{
			Name: "principal", Required: true, Immutable: true, MaxLength: 300, Filter: engine.FilterOne,
			Pattern: regexp.MustCompile("(^User:.+$)|(^Group:.+$)"), PatternHint: "be 'User:' and the ID of a principal",
			Description: "Who holds the role: 'User:' and the ID of a user, service account, identity pool or group mapping.",
			Example:     "User:sa-12mgdv",
		},
		{
			Name: "role_name", Required: true, Immutable: true, MinLength: 1, MaxLength: 100, Filter: engine.FilterOne,
			Description: "The role.", Example: "EnvironmentAdmin",
		},
		{
			Name: "crn_pattern", Required: true, Immutable: true, Format: "uri", MaxLength: maxPattern,
			Pattern: regexp.MustCompile("^crn://.+$"), PatternHint: "be a CRN, which begins with crn://",
			Filter: engine.FilterOne, FilterRequired: true, FilterBy: filterPattern,
			Description: "The resource that the role is bound to, by its CRN; a final asterisk stands for any ending. As a filter it selects what is bound to exactly this, or with /* behind it what is bound to this and to everything below.",
			Example:     "crn://confluent.cloud/organization=9bb441c4-edef-46ac-8a41-c49e44a3fd9a/environment=env-456xy",
		},
	},
	Codes: map[engine.Verb][]*api.Code{
		engine.Create: {api.InvalidRole, api.WrongScope, api.BadRequest, api.ForbiddenAccess},
		engine.Delete: {api.BadRequest},
	},
	Links: bindingLinks,
	Hooks: engine.Hooks{Locate: locateBinding, BeforeWrite: grant, AfterDelete: keepAdministrator},
}

// bindingIdentity keeps a grant from being made twice: deleting one of the two
// would then revoke nothing.
func bindingIdentity(o *engine.Object) string {
	sum := sha256.Sum256([]byte(o.Doc.String("principal") + "\n" + o.Doc.String("role_name") + "\n" + o.Doc.String("crn_pattern")))
	return hex.EncodeToString(sum[:])
}

// bindingGuards asks about a binding on what it is bound to.
func bindingGuards(o *engine.Object) []engine.Guard {
	p, err := crn.ParsePattern(o.Doc.String("crn_pattern"))
	if err != nil {
		return nil
	}
	scope, ok := authz.ScopeOf(p)
	if !ok {
		return nil
	}
	return []engine.Guard{{Resource: scope.Resource(), On: p}}
}

// Names of the entries that role bindings are found by.
const (
	entryExact = "crn_pattern"
	entryBelow = "crn_pattern/*"
)

// filterPattern reads the crn_pattern of a list.
func filterPattern(value string, _ url.Values) (store.Condition, error) {
	text, below := strings.CutSuffix(value, "/*")
	p, err := crn.ParsePattern(text)
	if err != nil {
		return store.Condition{}, fmt.Errorf("is not a CRN pattern: %w", err)
	}
	if below {
		return store.Condition{Field: entryBelow, Values: []string{p.String()}}, nil
	}
	return store.Condition{Field: entryExact, Values: []string{p.String()}}, nil
}

// bindingLinks ties a binding to its principal and, where Weir keeps it, to
// what it is bound to; and indexes the names that the list filter selects by.
func bindingLinks(o *engine.Object) []engine.Link {
	var links []engine.Link
	if p, ok := principalOf(boundPrincipal(o)); ok {
		links = append(links, engine.Link{Field: "principal.id", To: store.Key{Kind: p.Key, ID: boundPrincipal(o)}, OnDelete: engine.Cascade})
	}
	pattern, err := crn.ParsePattern(o.Doc.String("crn_pattern"))
	if err != nil {
		return links
	}
	links = append(links, engine.Link{Field: entryBelow, To: store.Key{ID: pattern.String()}})
	for c := pattern.Scope(); c.Len() > 0; c = c.Parent() {
		links = append(links, engine.Link{Field: entryBelow, To: store.Key{ID: c.String()}})
	}
	for s := range pattern.Segments() {
		if key := keptKinds[s.Key]; key != "" {
			links = append(links, engine.Link{Field: "crn_pattern." + s.Key, To: store.Key{Kind: key, ID: s.Value}, OnDelete: engine.Cascade})
		}
	}
	return links
}

// keptKinds are the kinds that Weir keeps, by their key in CRNs: what a
// binding names of these must exist.
var keptKinds = map[string]string{
	"certificate-identity-pool": certificatePoolID.Key,
	"environment":               "org/v2.Environment",
	"identity-pool":             identityPoolID.Key,
	"identity-provider":         "iam/v2.IdentityProvider",
	"provider-integration":      "pim/v2.Integration",
	"service-account":           serviceAccountID.Key,
}

// onOrganizationOrEnvironment reports whether the role is bound to the
// organization or to an environment, and to nothing in it.
func onOrganizationOrEnvironment(o *engine.Object) bool {
	pattern, err := crn.ParsePattern(o.Doc.String("crn_pattern"))
	if err != nil {
		return false // it is none that could be written
	}
	scope, ok := authz.ScopeOf(pattern)
	return ok && (scope == authz.Organization || scope == authz.Environment)
}

func boundPrincipal(o *engine.Object) string {
	return strings.TrimPrefix(o.Doc.String("principal"), authn.PrincipalPrefix)
}

// locateBinding checks that the role of a new binding exists and fits what the
// pattern names; that is no secret and told before the question of permission.
func locateBinding(_ context.Context, w *engine.Write) ([]api.Problem, error) {
	name, text := w.New.Doc.String("role_name"), w.New.Doc.String("crn_pattern")
	if name == "" || text == "" {
		return nil, nil // missing, which is reported already
	}
	return nil, checkBinding(w.New, name, text)
}

func checkBinding(o *engine.Object, name, text string) error {
	role := authz.RoleNamed(name)
	if role == nil {
		return api.New(api.InvalidRole, "Invalid role name : "+name)
	}
	pattern, err := crn.ParsePattern(text)
	if err != nil {
		return api.New(api.BadRequest, "The field 'crn_pattern' is not a CRN pattern: "+err.Error())
	}
	if !crn.PatternOf(engine.OrganizationCRN(o.Org)).Covers(pattern) {
		return api.New(api.BadRequest, "The field 'crn_pattern' must begin with the name of your organization, "+engine.OrganizationCRN(o.Org).String())
	}
	scope, ok := authz.ScopeOf(pattern)
	if !ok {
		return api.New(api.BadRequest, "The field 'crn_pattern' names nothing that a role can be bound to")
	}
	if !role.BindableTo(scope) {
		return api.New(api.WrongScope, fmt.Sprintf("Role %s must be bound at scope %s, but was bound at %s", name, oneOf(role.Scopes), scope))
	}
	if len(pattern.String()) > maxPattern {
		return api.New(api.BadRequest, fmt.Sprintf("The field 'crn_pattern' has more than %d characters when its special characters are percent-encoded", maxPattern))
	}
	o.Doc.Set("crn_pattern", pattern.String())
	return nil
}

// maxPattern is what the store can index, and more than any name of a
// resource needs.
const maxPattern = 1000

// grant checks that what a new binding names exists, and that nobody gives
// away what they do not hold.
func grant(ctx context.Context, w *engine.Write) error {
	o := w.New
	pattern, err := crn.ParsePattern(o.Doc.String("crn_pattern"))
	if err != nil {
		return err // locateBinding has parsed it
	}
	if err := pinPrincipal(ctx, w.Tx, o.Org, boundPrincipal(o)); errors.Is(err, store.ErrNotFound) {
		return api.New(api.ForbiddenAccess, "The principal '"+o.Doc.String("principal")+"' does not exist, or you may not know of it")
	} else if err != nil {
		return err
	}
	// From the outermost, as deletions lock.
	c := engine.OrganizationCRN(o.Org)
	for s := range pattern.Segments() {
		if s.Key == string(authz.Organization) {
			continue
		}
		if c, err = c.Append(s.Key, s.Value); err != nil {
			break // the beginning of a name, at the end of a pattern
		}
		if err := pinNamed(ctx, w, c); errors.Is(err, store.ErrNotFound) {
			last := c.Last()
			return api.New(api.BadRequest, fmt.Sprintf("The field 'crn_pattern' names the %s '%s', which does not exist under that resource name", last.Key, last.Value))
		} else if err != nil {
			return err
		}
	}
	if owned := pattern.Last(); isOwned(owned.Key) {
		return mustControl(ctx, w, owned.Value)
	}
	return nil
}

// pinNamed pins the object with the name, where it is of a kind that Weir keeps.
// An object of that ID with another name, such as one in another environment,
// is not it.
func pinNamed(ctx context.Context, w *engine.Write, name crn.CRN) error {
	last := name.Last()
	k := w.Engine.Kind(keptKinds[last.Key])
	if k == nil {
		return nil
	}
	row, err := w.Tx.Pin(ctx, w.New.Org, store.Key{Kind: k.Key(), ID: last.Value})
	if err != nil {
		return err
	}
	o, err := k.Decode(row)
	if err == nil && k.CRN(o) != name {
		err = store.ErrNotFound
	}
	return err
}

// isOwned reports whether the key in a CRN is of principals that others can
// own, and then act as.
func isOwned(segment string) bool {
	return segment == serviceAccountID.Segment || segment == identityPoolID.Segment || segment == certificatePoolID.Segment
}

func oneOf(scopes []authz.Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return strings.Join(names, " or ")
}

// mustControl refuses to hand out control of a principal to who does not
// control everything that the principal may do: they could take it for
// themselves that way. Whoever already owns the principal does. What a
// principal may do includes what the service accounts and identity pools that it
// owns may do.
func mustControl(ctx context.Context, w *engine.Write, principal string) error {
	if w.Caller == nil {
		return nil
	}
	controlled, err := controls(ctx, w, principal, map[string]bool{})
	if err != nil || controlled {
		return err
	}
	return api.New(api.UserUnauthorized, fmt.Sprintf("The principal '%s' holds roles that you may not grant, so you may not hand out control of it", principal))
}

// controls follows the bindings of a principal, each principal once.
func controls(ctx context.Context, w *engine.Write, principal string, visited map[string]bool) (bool, error) {
	if visited[principal] {
		return true, nil
	}
	visited[principal] = true
	p, ok := principalOf(principal)
	if !ok {
		return false, nil
	}
	owns, err := ownsPrincipal(ctx, w, p, principal)
	if err != nil || owns {
		return owns, err
	}
	held, err := w.Tx.List(ctx, store.Query{
		Org: w.New.Org, Kind: authn.RoleBindingKind, Limit: maxHeld,
		Where: []store.Condition{{Field: "principal", Values: []string{authn.PrincipalPrefix + principal}}},
	})
	if err != nil {
		return false, err
	}
	if len(held) == maxHeld {
		return false, nil // more than can be looked through
	}
	for i := range held {
		binding, err := w.Engine.Kind(authn.RoleBindingKind).Decode(&held[i])
		if err != nil {
			return false, err
		}
		for _, g := range bindingGuards(binding) {
			if !authz.Decide(w.Caller.Subject, authz.Question{Operation: authz.AlterAccess, Resource: g.Resource, On: g.On}) {
				return false, nil
			}
			if isOwned(g.On.Last().Key) {
				if ok, err := controls(ctx, w, g.On.Last().Value, visited); err != nil || !ok {
					return ok, err
				}
			}
		}
	}
	return true, nil
}

// ownsPrincipal reports whether the caller may act as the principal as it is: by
// making keys for it or, for a pool, by saying who is in it.
func ownsPrincipal(ctx context.Context, w *engine.Write, p principal, id string) (bool, error) {
	if !p.pool() {
		self := crn.Must(engine.OrganizationCRN(w.New.Org).Append(p.Segment, id))
		return authz.Decide(w.Caller.Subject, authz.Question{Operation: "Create", Resource: "CloudApiKey", On: crn.PatternOf(self)}), nil
	}
	row, err := w.Tx.Get(ctx, w.New.Org, store.Key{Kind: p.Key, ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	k := w.Engine.Kind(p.Key)
	pool, err := k.Decode(row)
	if err != nil {
		return false, err
	}
	return authz.Decide(w.Caller.Subject, authz.Question{Operation: authz.AlterAccess, Resource: k.Resource, On: crn.PatternOf(k.CRN(pool))}), nil
}

const maxHeld = 10_000

// Bind gives a principal that exists a role on the resource with the name.
func Bind(ctx context.Context, e *engine.Engine, tx store.Tx, org, principal, role, resourceName string) error {
	return e.Insert(ctx, tx, &engine.Object{Kind: RoleBinding, Org: org, Doc: engine.Doc{
		"principal":   authn.PrincipalPrefix + principal,
		"role_name":   role,
		"crn_pattern": resourceName,
	}})
}
