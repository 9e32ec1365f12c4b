// Package ipfilter decides from which addresses requests are taken, as an
// organization's IP filters say.
//
// A filter opens the operations of its operation groups, in its scope, to the
// networks of its IP groups. Within a scope the filters of an operation group
// add up: any network of any of them lets in. A scope without a filter for the
// group is open. What lies in an environment has two scopes, the organization
// and the environment, and both must let in, so that an environment can only
// narrow what the organization allows (facts, semantics 4).
//
// [Rules] are what is stored, a [Table] the same prepared for decisions.
package ipfilter

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// Filter opens operation groups to the networks of IP groups.
type Filter struct {
	// Environment is the ID of the environment that the filter is for, or ""
	// for the organization.
	Environment string
	// OperationGroups are names such as "MANAGEMENT".
	OperationGroups []string
	// Groups are the IDs of IP groups. One that is not in Rules.Networks has no
	// network, and so lets nobody in.
	Groups []string
}

// Rules are the filters of one organization.
type Rules struct {
	// Filters are by their ID, Networks by the ID of their IP group.
	Filters  map[string]Filter
	Networks map[string][]netip.Prefix
	// Suspended says that an operator has switched the filters off.
	Suspended bool
}

// Clone copies the rules, so that filters and groups of the copy can be put in,
// replaced and taken out.
func (r Rules) Clone() Rules {
	r.Filters, r.Networks = maps.Clone(r.Filters), maps.Clone(r.Networks)
	return r
}

// Seen returns the rules with no other networks than those that the client is
// in. What is decided about this client stays the same, and preparing the rules
// costs little.
func (r Rules) Seen(client netip.Addr) Rules {
	client = client.Unmap()
	all := r.Networks
	r.Networks = make(map[string][]netip.Prefix, len(all))
	for id, networks := range all {
		for _, network := range networks {
			if network.Contains(client) {
				r.Networks[id] = append(r.Networks[id], network)
			}
		}
	}
	return r
}

// Table is an organization's filters prepared for decisions. It does not
// change, and can be shared. The zero Table has no filter: it lets everybody in.
type Table struct {
	suspended bool
	// scopes hold the networks that are let in; a scope that is not there is
	// open, one with an empty table is closed.
	scopes map[scope]*bart.Lite
	// environments that any filter is for, sorted.
	environments []string
}

// scope is what filters add up for: an operation group in an environment, or
// with "" in the organization.
type scope struct{ environment, group string }

// Prepare returns the table of the rules.
func (r Rules) Prepare() *Table {
	t := &Table{suspended: r.Suspended, scopes: map[scope]*bart.Lite{}}
	for _, f := range r.Filters {
		for _, group := range f.OperationGroups {
			s := scope{f.Environment, group}
			networks := t.scopes[s]
			if networks == nil {
				networks = &bart.Lite{}
				t.scopes[s] = networks
			}
			for _, id := range f.Groups {
				for _, network := range r.Networks[id] {
					networks.Insert(network.Masked())
				}
			}
		}
		if f.Environment != "" && !slices.Contains(t.environments, f.Environment) {
			t.environments = append(t.environments, f.Environment)
		}
	}
	slices.Sort(t.environments)
	return t
}

// Allows reports whether a client may use the operations of the group in the
// environment, or with "" in the organization. An IPv4 address that is written
// as an IPv6 one counts as what it is. The zero Addr, which stands for a client
// whose address is not known, is in no network. It allocates nothing.
func (t *Table) Allows(environment, group string, client netip.Addr) bool {
	if t.suspended || len(t.scopes) == 0 {
		return true
	}
	client = client.Unmap()
	return t.admits(scope{"", group}, client) && (environment == "" || t.admits(scope{environment, group}, client))
}

func (t *Table) admits(s scope, client netip.Addr) bool {
	networks, limited := t.scopes[s]
	return !limited || networks.Contains(client)
}

// Denied returns the environments, sorted, whose own filters keep the client
// from the operations of the group.
func (t *Table) Denied(group string, client netip.Addr) []string {
	if t.suspended {
		return nil
	}
	client = client.Unmap()
	var out []string
	for _, environment := range t.environments {
		if !t.admits(scope{environment, group}, client) {
			out = append(out, environment)
		}
	}
	return out
}

// Environments are those that any filter is for, sorted. The slice is not to be
// changed.
func (t *Table) Environments() []string { return t.environments }

// Status says how far a scope is open.
type Status string

// The states of an operation group. Mixed is for several groups together.
const (
	Open     Status = "OPEN"
	Limited  Status = "LIMITED"
	NoAccess Status = "NO_ACCESS"
	Mixed    Status = "MIXED"
)

// Status returns how far the operations of the group are open in the
// environment, or with "" in the organization: to everybody, to some networks,
// or to none. It says the same of all clients as Allows of each.
func (t *Table) Status(environment, group string) Status {
	if t.suspended {
		return Open
	}
	var tables []*bart.Lite
	scopes := []scope{{"", group}}
	if environment != "" {
		scopes = append(scopes, scope{environment, group})
	}
	for _, s := range scopes {
		if networks, limited := t.scopes[s]; limited {
			tables = append(tables, networks)
		}
	}
	switch {
	case len(tables) == 0:
		return Open
	case slices.ContainsFunc(tables, func(n *bart.Lite) bool { return n.Size() == 0 }):
		return NoAccess
	case len(tables) == 2 && !tables[0].Overlaps(tables[1]):
		return NoAccess
	default:
		return Limited
	}
}

// Together returns the one status of all, or Mixed.
func Together(all []Status) Status {
	for _, s := range all {
		if s != all[0] {
			return Mixed
		}
	}
	return all[0]
}
