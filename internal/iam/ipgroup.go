package iam

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/ipfilter"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

const (
	ipGroupKey    = "iam/v2.IpGroup"
	environment   = "environment"
	operationList = "operation_groups"
)

// IPGroup is a list of networks that IP filters let in. What was sent is kept
// as it was: a bit that is set beyond the mask does not change what the block
// covers.
//
// Only IPv4 can be named (facts, semantics 4). Names need not be unique: no
// document says so. A group that a filter uses stays; the refusal has the words
// that the CLI looks for.
var IPGroup = &engine.Kind{
	Group: "iam", Version: "v2", Name: "IpGroup", Noun: "IPGroup",
	Description: "An IP group is a list of networks under one name, for IP filters to let in.",
	Path:        "/iam/v2/ip-groups",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2IpGroups",
		engine.Create: "createIamV2IpGroup",
		engine.Read:   "getIamV2IpGroup",
		engine.Update: "updateIamV2IpGroup",
		engine.Delete: "deleteIamV2IpGroup",
	},
	ID:       engine.IDShape{Prefix: "ipg-", Length: 5, Alphabet: random.LowerAlphanumeric},
	Segment:  "ip-group",
	Resource: "IpGroup",
	PageSize: engine.PageSize{Default: 25, Max: 100},
	InUse:    "The IP group has related IP filters: ",
	BuiltIn:  noNetworks,
	Missing: func(string) *api.Error {
		return api.New(api.ResourceNotFound, "IP group not found: not found")
	},
	Fields: []engine.Field{
		{
			Name: "group_name", Required: true, MinLength: 1, MaxLength: 64, Pattern: ipName, PatternHint: ipNameHint,
			Description: "The IP group's name for people: letters and digits of any script, spaces, and [ ] | & + - _ / . ,",
			Example:     "CorpNet",
		},
		{
			Name: "cidr_blocks", Type: engine.Array, Required: true, MinItems: 1, MaxItems: 25,
			Description: "The networks, IPv4 addresses with the length of a mask each.",
			Example:     []any{"192.168.0.0/24", "192.168.7.0/24"},
			Items:       &engine.Field{Name: "cidr_block", Description: "A network.", Example: "192.168.0.0/24"},
		},
	},
	Codes: map[engine.Verb][]*api.Code{engine.Update: {api.LockOut, api.BadRequest}, engine.Delete: {api.BadRequest}},
	Hooks: engine.Hooks{Validate: checkBlocks, AfterWrite: keepRequesterGroup},
}

// ipName is what names of IP groups and filters are made of.
var ipName = regexp.MustCompile(`^[\p{L}\p{N} \[\]|&+\-_/.,]+$`)

const ipNameHint = "have letters, digits, spaces and the characters [ ] | & + - _ / . , only"

// NoNetworks is the ID of the IP group that has no network, in every
// organization: a filter with it alone lets nobody in.
const NoNetworks = "ipg-none"

// noNetworks is the group as it is read. It is as old as its organization. A
// group has one block at least, so it shows the one address that no request can
// come from; decisions know of none.
func noNetworks(ctx context.Context, r store.Reader, org, id string) (*engine.Object, error) {
	if id != NoNetworks {
		return nil, nil
	}
	organization, err := r.Get(ctx, org, store.Key{Kind: organizationKey, ID: org})
	if err != nil {
		return nil, err
	}
	return &engine.Object{
		Created: organization.Created, Updated: organization.Created,
		Doc: engine.Doc{"group_name": "No Public Networks", "cidr_blocks": []any{"0.0.0.0/32"}},
	}, nil
}

// checkBlocks reports each block that is no IPv4 network.
func checkBlocks(w *engine.Write) []api.Problem {
	var problems []api.Problem
	for i, block := range texts(w.New.Doc, "cidr_blocks") {
		if _, err := parseBlock(block); err != nil {
			problems = append(problems, api.Problem{
				Message: fmt.Sprintf("The CIDR block '%.100s' %s", block, err), Pointer: fmt.Sprintf("/cidr_blocks/%d", i),
			})
		}
	}
	return problems
}

// parseBlock reads a network; its error is for the user.
func parseBlock(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Errorf("must be an IPv4 address and the length of a mask, such as 192.168.0.0/24 or 192.0.2.7/32")
	case !p.Addr().Is4():
		return p, fmt.Errorf("must be an IPv4 network; networks of IPv6 cannot be named")
	default:
		return p, nil
	}
}

// texts are the texts of an array.
func texts(doc engine.Doc, field string) []string {
	items, _ := doc.Get(field).([]any)
	out := make([]string, 0, len(items))
	for _, item := range items {
		s, _ := item.(string)
		out = append(out, s)
	}
	return out
}

// networksOf are the networks of a stored group, which were checked.
func networksOf(group *engine.Object) []netip.Prefix {
	var out []netip.Prefix
	for _, block := range texts(group.Doc, "cidr_blocks") {
		if p, err := parseBlock(block); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// keepRequesterGroup refuses a change of a group that would shut its requester
// out. A new group is used by no filter.
func keepRequesterGroup(ctx context.Context, w *engine.Write) error {
	if w.Old == nil {
		return nil
	}
	return keepRequester(ctx, w, w.New.Org, func(r *ipfilter.Rules) {
		r.Networks[w.Old.ID] = networksOf(w.Old)
	})
}
