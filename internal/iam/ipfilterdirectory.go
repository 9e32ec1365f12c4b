package iam

import (
	"context"
	"maps"
	"net/netip"
	"sync/atomic"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/ipfilter"
	"github.com/weirhq/weir/internal/store"
)

// FilterDirectory answers from memory what every request asks: which addresses
// an organization's IP filters let in. It is told of changes (Changed), and
// forgets everything at once then, since filters change seldom. Reading takes no
// lock.
type FilterDirectory struct {
	store      store.Reader
	generation store.Generation
	tables     atomic.Pointer[map[string]*ipfilter.Table]
}

// FilterKinds are the kinds whose changes a directory must be told of.
func FilterKinds() []string { return []string{ipFilterKey, ipGroupKey, suspensionKey} }

// rememberedTables bounds the organizations that a directory remembers.
const rememberedTables = 10_000

// NewFilterDirectory returns an empty directory over the store. Whoever makes
// it has it told of changes.
func NewFilterDirectory(s store.Reader) *FilterDirectory {
	d := &FilterDirectory{store: s}
	d.tables.Store(&map[string]*ipfilter.Table{})
	return d
}

// Changed makes the directory forget what the change may touch. It is quick and
// may be called from any goroutine.
func (d *FilterDirectory) Changed(c store.Change) {
	if TouchesFilters(c) {
		d.generation.Forget(func() { d.tables.Store(&map[string]*ipfilter.Table{}) })
	}
}

// TouchesFilters reports whether a change may be one of IP filters, of what
// they let in, or of whether they count.
func TouchesFilters(c store.Change) bool {
	if c.All {
		return true
	}
	for _, key := range c.Keys {
		switch key.Kind {
		case ipFilterKey, ipGroupKey, suspensionKey:
			return true
		}
	}
	return false
}

// Table returns the IP filters of the organization.
func (d *FilterDirectory) Table(ctx context.Context, org string) (*ipfilter.Table, error) {
	if t := (*d.tables.Load())[org]; t != nil {
		return t, nil
	}
	since := d.generation.Now()
	rules, err := loadRules(ctx, d.store, IPFilter, IPGroup, org)
	if err != nil {
		return nil, err
	}
	t := rules.Prepare()
	d.generation.Remember(since, func() {
		known := *d.tables.Load()
		more := make(map[string]*ipfilter.Table, len(known)+1)
		if len(known) < rememberedTables {
			maps.Copy(more, known)
		}
		more[org] = t
		d.tables.Store(&more)
	})
	return t, nil
}

// loadRules reads the filters of an organization. Groups are read after the
// filters: one that a filter names is there then, unless it has gone meanwhile.
func loadRules(ctx context.Context, r store.Reader, filters, groups *engine.Kind, org string) (ipfilter.Rules, error) {
	rules := ipfilter.Rules{Filters: map[string]ipfilter.Filter{}, Networks: map[string][]netip.Prefix{}}
	suspended, err := r.Count(ctx, store.Query{Org: org, Kind: suspensionKey, Limit: 1})
	if err != nil {
		return rules, err
	}
	rules.Suspended = suspended > 0
	err = each(ctx, r, org, filters, func(o *engine.Object) error {
		f, err := ruleOf(o)
		rules.Filters[o.ID] = f
		return err
	})
	if err != nil || len(rules.Filters) == 0 {
		return rules, err
	}
	err = each(ctx, r, org, groups, func(o *engine.Object) error {
		rules.Networks[o.ID] = networksOf(o)
		return nil
	})
	return rules, err
}

// each calls f for every object of the kind in the organization, however many
// there are.
func each(ctx context.Context, r store.Reader, org string, k *engine.Kind, f func(*engine.Object) error) error {
	const page = 1000
	for after := int64(0); ; {
		rows, err := r.List(ctx, store.Query{Org: org, Kind: k.Key(), After: after, Limit: page})
		if err != nil {
			return err
		}
		for i := range rows {
			o, err := k.Decode(&rows[i])
			if err != nil {
				return err
			}
			if err := f(o); err != nil {
				return err
			}
			after = rows[i].Seq
		}
		if len(rows) < page {
			return nil
		}
	}
}
