package iam

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/ipfilter"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

const ipFilterKey = "iam/v2.IpFilter"

// IPFilter lets the networks of its IP groups, and with it no others, use the
// operations of its operation groups in its scope; package ipfilter decides. It
// is asked about on its scope, so that who administers an environment has that
// one's filters. A filter of an environment goes with it.
//
// With the resource group "management" it is about the operation group
// MANAGEMENT; with "multiple" about those that it lists, which may be none. The
// scope cannot be changed: the provider of Terraform refuses to, and a filter
// that moved would slip from who may change it. (facts, semantics 4)
var IPFilter = &engine.Kind{
	Group: "iam", Version: "v2", Name: "IpFilter", Noun: "IPFilter",
	Description: "An IP filter lets requests from the networks of its IP groups through to the operations that it covers, in the organization or one environment. Filters add up. Where no filter covers an operation, requests from everywhere are let through.",
	Path:        "/iam/v2/ip-filters",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2IpFilters",
		engine.Create: "createIamV2IpFilter",
		engine.Read:   "getIamV2IpFilter",
		engine.Update: "updateIamV2IpFilter",
		engine.Delete: "deleteIamV2IpFilter",
	},
	ID:        engine.IDShape{Prefix: "ipf-", Length: 5, Alphabet: random.LowerAlphanumeric},
	Segment:   "ip-filter",
	Resource:  "IpFilter",
	Guards:    ipFilterGuards,
	GuardedAs: []string{"IpFilter"},
	PageSize:  engine.PageSize{Default: 25, Max: 100},
	Missing: func(string) *api.Error {
		return api.New(api.ResourceNotFound, "IP filter not found: not found")
	},
	Fields: []engine.Field{
		{
			Name: "filter_name", Required: true, MinLength: 1, MaxLength: 64, Pattern: ipName, PatternHint: ipNameHint,
			Description: "The IP filter's name for people: letters and digits of any script, spaces, and [ ] | & + - _ / . ,",
			Example:     "Management API Rules",
		},
		{
			Name: "resource_group", Required: true, Enum: []string{groupManagement, groupMultiple},
			Description: "What the filter covers: 'management' is the operations that manage resources, 'multiple' those of the operation groups.",
			Example:     groupManagement,
		},
		{
			Name: "resource_scope", Immutable: true, EmptyIsAbsent: true, Format: "uri",
			Pattern: regexp.MustCompile("^crn://.+$"), PatternHint: "be a CRN, which begins with crn://",
			Filter: engine.FilterOne, FilterBy: filterScope,
			FilterWith: []engine.Parameter{{
				Name: includeParents, Example: "true",
				Description: "With 'true', the filters of the organization are listed beside those of the environment that resource_scope names.",
			}},
			Description: "The organization or the environment that the filter is for, by its CRN; without it, the organization.",
			Example:     "crn://confluent.cloud/organization=9bb441c4-edef-46ac-8a41-c49e44a3fd9a/environment=env-456xy",
		},
		{
			Name: operationList, Type: engine.Array, MaxItems: 25,
			Description: "The operation groups that the filter covers; the resource group must be 'multiple'. An empty list covers nothing.",
			Example:     []any{operation.Management, operation.Schema},
			Items: &engine.Field{
				// The CLI's own example has small letters, and Terraform reads back what it sent.
				Name: "operation_group", Enum: operation.GroupNames(), EnumFold: true, Example: operation.Management,
				Description: "An operation group, in any case: " + strings.Join(operation.GroupNames(), ", ") + ".",
			},
		},
		{
			Name: "ip_groups", Type: engine.Array, Required: true, MinItems: 1, MaxItems: 25,
			Description: "The IP groups whose networks are let in. The group 'ipg-none', which every organization has, has no network.",
			Items: &engine.Field{
				Name: "ip_group", Type: engine.Reference, Description: "An IP group.",
				To: &engine.ReferenceTo{Kinds: []string{ipGroupKey}, OnDelete: engine.Restrict},
			},
		},
	},
	Codes: map[engine.Verb][]*api.Code{
		engine.Create: {api.LockOut}, engine.Update: {api.LockOut}, engine.Delete: {api.LockOut},
	},
	Links: ipFilterLinks,
	Hooks: engine.Hooks{
		Locate: locateFilter, Validate: checkOperationGroups, BeforeWrite: settleFilter,
		AfterWrite: keepRequesterFilter, AfterDelete: keepRequesterFilters,
	},
}

// The resource groups.
const (
	groupManagement = "management"
	groupMultiple   = "multiple"
)

// includeParents is the parameter of lists that adds the organization's filters
// to those of an environment.
const includeParents = "include_parent_scopes"

// entryScope is what filters are found by in a list: their scope in canonical
// form.
const entryScope = "scope"

// scopeOf returns the name of the filter's scope, and the environment that it
// is or "".
func scopeOf(o *engine.Object) (crn.CRN, string, error) {
	return parseScope(o.Org, o.Doc.String("resource_scope"))
}

// parseScope reads the CRN of an organization or of an environment in it; its
// error is for the user.
func parseScope(org, text string) (crn.CRN, string, error) {
	scope, err := crn.Parse(text)
	if err != nil {
		return crn.CRN{}, "", fmt.Errorf("is not a CRN: %w", err)
	}
	root := engine.OrganizationCRN(org)
	switch {
	case scope == root:
		return scope, "", nil
	case scope.Parent() == root && scope.Last().Key == environment:
		return scope, scope.Last().Value, nil
	default:
		return crn.CRN{}, "", fmt.Errorf("must be the CRN of your organization, %s, or of an environment in it", root)
	}
}

func ipFilterGuards(o *engine.Object) []engine.Guard {
	scope, _, err := scopeOf(o)
	if err != nil {
		return nil
	}
	return []engine.Guard{{Resource: "IpFilter", On: crn.PatternOf(scope)}}
}

// ipFilterLinks ties a filter to its environment, and indexes its scope.
func ipFilterLinks(o *engine.Object) []engine.Link {
	scope, id, err := scopeOf(o)
	if err != nil {
		return nil
	}
	links := []engine.Link{{Field: entryScope, To: store.Key{ID: scope.String()}}}
	if id != "" {
		links = append(links, engine.Link{Field: "resource_scope." + environment, To: store.Key{Kind: keptKinds[environment], ID: id}, OnDelete: engine.Cascade})
	}
	return links
}

// filterScope reads the resource_scope of a list.
func filterScope(value string, with url.Values) (store.Condition, error) {
	scope, err := crn.Parse(value)
	if err != nil {
		return store.Condition{}, fmt.Errorf("is not a CRN: %w", err)
	}
	c := store.Condition{Field: entryScope, Values: []string{scope.String()}}
	switch with.Get(includeParents) {
	case "true":
		for up := scope.Parent(); up.Len() > 0; up = up.Parent() {
			c.Values = append(c.Values, up.String())
		}
	case "", "false":
	default:
		return c, fmt.Errorf("is there, but the parameter '%s' beside it must be true or false", includeParents)
	}
	return c, nil
}

// locateFilter finds the scope of a new filter.
func locateFilter(_ context.Context, w *engine.Write) ([]api.Problem, error) {
	doc := w.New.Doc
	if doc.String("resource_scope") == "" {
		doc.Set("resource_scope", engine.OrganizationCRN(w.New.Org).String())
	}
	var problems []api.Problem
	if _, _, err := scopeOf(w.New); err != nil {
		doc.Set("resource_scope", nil)
		problems = append(problems, api.Problem{Message: "The field 'resource_scope' " + err.Error(), Pointer: "/resource_scope"})
	}
	return problems, nil
}

// checkOperationGroups holds the two ways to say what a filter covers apart.
func checkOperationGroups(w *engine.Write) []api.Problem {
	if w.New.Doc.String("resource_group") != groupManagement || len(texts(w.New.Doc, operationList)) == 0 || leavesMultiple(w) {
		return nil
	}
	return []api.Problem{{
		Message: "The field '" + operationList + "' may have groups only where the field 'resource_group' is '" + groupMultiple + "'", Pointer: "/" + operationList,
	}}
}

// leavesMultiple reports whether a change of the resource group to management
// leaves the operation groups as they were: then they go, since clients that
// change the one send the other as they read it.
func leavesMultiple(w *engine.Write) bool {
	return w.Old != nil && w.Old.Doc.String("resource_group") == groupMultiple &&
		slices.Equal(operationGroups(w.Old.Doc), operationGroups(w.New.Doc))
}

// operationGroups are the operation groups of a filter by their names, however
// they are spelt in it.
func operationGroups(doc engine.Doc) []string {
	groups := texts(doc, operationList)
	for i := range groups {
		groups[i] = strings.ToUpper(groups[i])
	}
	return groups
}

// settleFilter checks that the environment of a new filter exists, and drops
// the operation groups of one that is about management.
func settleFilter(ctx context.Context, w *engine.Write) error {
	if w.New.Doc.String("resource_group") == groupManagement {
		w.New.Doc.Set(operationList, nil)
	}
	if w.Old != nil {
		return nil
	}
	_, id, err := scopeOf(w.New)
	if err != nil || id == "" {
		return err
	}
	if _, err := w.Tx.Pin(ctx, w.New.Org, store.Key{Kind: keptKinds[environment], ID: id}); errors.Is(err, store.ErrNotFound) {
		return api.Invalid(api.Problem{Message: fmt.Sprintf("The field 'resource_scope' names the environment '%s', which does not exist", id), Pointer: "/resource_scope"})
	} else if err != nil {
		return err
	}
	return nil
}

// ruleOf is what a filter says, for decisions.
func ruleOf(o *engine.Object) (ipfilter.Filter, error) {
	_, id, err := scopeOf(o)
	if err != nil {
		return ipfilter.Filter{}, fmt.Errorf("iam: the scope of the stored IP filter %s %w", o.ID, err)
	}
	f := ipfilter.Filter{Environment: id, OperationGroups: operationGroups(o.Doc)}
	if o.Doc.String("resource_group") == groupManagement {
		f.OperationGroups = []string{operation.Management}
	}
	groups, _ := o.Doc.Get("ip_groups").([]any)
	for _, g := range groups {
		ref, _ := g.(engine.Doc)
		f.Groups = append(f.Groups, ref.String("id"))
	}
	return f, nil
}

func keepRequesterFilter(ctx context.Context, w *engine.Write) error {
	return keepRequester(ctx, w, w.New.Org, func(r *ipfilter.Rules) {
		delete(r.Filters, w.New.ID)
		if w.Old != nil {
			restore(r, w.Old)
		}
	})
}

func keepRequesterFilters(ctx context.Context, w *engine.Write, gone []*engine.Object) error {
	return keepRequester(ctx, w, gone[0].Org, func(r *ipfilter.Rules) {
		for _, o := range gone {
			restore(r, o)
		}
	})
}

// restore puts a filter into rules as it was. What its scope says was checked
// when it was stored.
func restore(r *ipfilter.Rules, o *engine.Object) {
	if f, err := ruleOf(o); err == nil {
		r.Filters[o.ID] = f
	}
}

// keepRequester refuses a change that would take from its own requester the
// access to the operations that manage resources, in the organization or in an
// environment; undo turns the rules after the change into those before it.
// What an operator has suspended counts here all the same: it is to hold again.
//
// The organization is locked first, so that two changes which together would
// shut somebody out come one after the other.
func keepRequester(ctx context.Context, w *engine.Write, org string, undo func(*ipfilter.Rules)) error {
	if w.Caller == nil {
		return nil
	}
	if _, err := w.Tx.Lock(ctx, org, store.Key{Kind: organizationKey, ID: org}); err != nil {
		return err
	}
	rules, err := loadRules(ctx, w.Tx, w.Engine.Kind(ipFilterKey), w.Engine.Kind(ipGroupKey), org)
	if err != nil {
		return err
	}
	rules.Suspended = false
	before := rules.Clone()
	undo(&before)
	was, is := before.Seen(w.Client).Prepare(), rules.Seen(w.Client).Prepare()
	for _, id := range append([]string{""}, is.Environments()...) {
		if was.Allows(id, operation.Management, w.Client) && !is.Allows(id, operation.Management, w.Client) {
			return lockedOut(w, id)
		}
	}
	return nil
}

// lockedOut has the words that clients look for: "lock out", and "Please" after
// them.
func lockedOut(w *engine.Write, id string) error {
	where := "the organization"
	if id != "" {
		where = "the environment " + id
	}
	return api.New(api.LockOut, fmt.Sprintf(
		"this action would lock out the requester from IP address %s. Please let this address into %s by an IP group of a filter that covers %s, or ask from an address that stays allowed",
		engine.AddressText(w.Client), where, operation.Management))
}
