package iam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/ipfilter"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
)

// countingReader counts lists, and can be away or do something between a read
// and its result.
type countingReader struct {
	store.Reader
	lists atomic.Int64
	away  atomic.Bool
	then  func()
}

var errAway = errors.New("the database is away")

func (r *countingReader) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	r.lists.Add(1)
	if r.away.Load() {
		return nil, errAway
	}
	rows, err := r.Reader.List(ctx, q)
	if then := r.then; then != nil && q.Kind == ipGroupKey {
		r.then = nil
		then()
	}
	return rows, err
}

func (f *fixture) ipGroup(blocks ...any) *engine.Object {
	return f.insert(&engine.Object{Kind: IPGroup, Org: orgID, Doc: engine.Doc{"group_name": "g", "cidr_blocks": blocks}})
}

func (f *fixture) ipFilter(group string) *engine.Object {
	return f.insert(&engine.Object{Kind: IPFilter, Org: orgID, Doc: engine.Doc{
		"filter_name": "f", "resource_group": "management", "ip_groups": []any{engine.Doc{"id": group}},
	}})
}

func TestFilterDirectory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	group := f.ipGroup("192.0.2.0/24")
	filter := f.ipFilter(group.ID)
	r := &countingReader{Reader: f.Store}
	d := NewFilterDirectory(r)
	in, out := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("203.0.113.5")
	allows := func(client netip.Addr) bool {
		t.Helper()
		table, err := d.Table(t.Context(), orgID)
		if err != nil {
			t.Fatal(err)
		}
		return table.Allows("", operation.Management, client)
	}
	if !allows(in) || allows(out) {
		t.Error("the filter does not hold")
	}
	read := r.lists.Load()
	for range 100 {
		allows(in)
	}
	if r.lists.Load() != read {
		t.Error("what is known is read again")
	}
	if table, err := d.Table(t.Context(), "another"); err != nil || !table.Allows("", operation.Management, out) {
		t.Errorf("an organization without filters: %v", err)
	}
	if read = r.lists.Load(); allows(out) || r.lists.Load() != read {
		t.Error("another organization pushed this one out")
	}

	// What has nothing to do with filters is not forgotten for.
	d.Changed(store.Change{Keys: []store.Key{{Kind: serviceAccountID.Key, ID: "sa-1"}}})
	if allows(in); r.lists.Load() != read {
		t.Error("a change of something else made it forget")
	}
	for _, c := range []store.Change{
		{All: true}, {Keys: []store.Key{{Kind: ipFilterKey, ID: "x"}}}, {Keys: []store.Key{{Kind: ipGroupKey, ID: "x"}}}, {Keys: []store.Key{{Kind: suspensionKey, ID: "x"}}},
	} {
		before := r.lists.Load()
		d.Changed(c)
		if allows(in); r.lists.Load() == before {
			t.Errorf("%+v made it forget nothing", c)
		}
	}

	// What was read before a change is not remembered after it.
	d.Changed(store.Change{All: true})
	r.then = func() {
		f.must(func(tx store.Tx) error {
			o, err := f.Lock(t.Context(), tx, orgID, IPFilter, filter.ID)
			if err != nil {
				return err
			}
			return f.Remove(t.Context(), tx, o)
		})
		d.Changed(store.Change{Keys: []store.Key{filter.Key()}})
	}
	allows(out)
	if !allows(out) {
		t.Error("what was read before the change is believed after it")
	}

	// Without a database nobody is let in by mistake.
	d.Changed(store.Change{All: true})
	r.away.Store(true)
	if _, err := d.Table(t.Context(), orgID); !errors.Is(err, errAway) {
		t.Errorf("while the database is away: %v", err)
	}
}

// There may be more filters and groups than one read returns.
func TestManyFiltersAreReadToTheEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.must(func(tx store.Tx) error {
		for i := range 1100 {
			group := &engine.Object{Kind: IPGroup, Org: orgID, Doc: engine.Doc{"group_name": "g", "cidr_blocks": []any{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24).String()}}}
			if err := f.Insert(t.Context(), tx, group); err != nil {
				return err
			}
			filter := &engine.Object{Kind: IPFilter, Org: orgID, Doc: engine.Doc{"filter_name": "f", "resource_group": "management", "ip_groups": []any{engine.Doc{"id": group.ID}}}}
			if err := f.Insert(t.Context(), tx, filter); err != nil {
				return err
			}
		}
		return nil
	})
	table, err := NewFilterDirectory(f.Store).Table(t.Context(), orgID)
	if err != nil {
		t.Fatal(err)
	}
	for _, client := range []string{"10.0.0.1", "10.4.75.1"} { // the first and the last
		if !table.Allows("", operation.Management, netip.MustParseAddr(client)) {
			t.Errorf("%s is kept out", client)
		}
	}
	if table.Allows("", operation.Management, netip.MustParseAddr("10.4.76.1")) {
		t.Error("who is in no group is let in")
	}
}

// fullTable is a directory that knows an organization with 100 filters, half of
// them of an environment, of 25 groups with 25 blocks each.
func fullTable(tb testing.TB) *FilterDirectory {
	tb.Helper()
	rules := ipfilter.Rules{Filters: map[string]ipfilter.Filter{}, Networks: map[string][]netip.Prefix{}}
	for i := range 100 {
		filter := ipfilter.Filter{OperationGroups: []string{operation.Management}}
		if i%2 == 1 {
			filter.Environment = "env-abc123"
		}
		for j := range 25 {
			id := fmt.Sprintf("ipg-%d-%d", i, j)
			filter.Groups = append(filter.Groups, id)
			for k := range 25 {
				rules.Networks[id] = append(rules.Networks[id], netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), byte(j), byte(k * 8)}), 29))
			}
		}
		rules.Filters[fmt.Sprintf("ipf-%d", i)] = filter
	}
	rules.Networks["ipg-0-0"][0], rules.Networks["ipg-1-0"][0] = netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.0/28")
	d := NewFilterDirectory(nil)
	d.tables.Store(&map[string]*ipfilter.Table{orgID: rules.Prepare()})
	return d
}

// ask decides as a request does: for the organization, then for an environment.
func ask(ctx context.Context, d *FilterDirectory, client netip.Addr) bool {
	table, err := d.Table(ctx, orgID)
	return err == nil && table.Allows("", operation.Management, client) && table.Allows("env-abc123", operation.Management, client)
}

func TestAskingTheFilterDirectoryAllocatesNothing(t *testing.T) {
	d, ctx := fullTable(t), context.Background()
	for client, want := range map[string]bool{"192.0.2.7": true, "192.0.2.70": false, "203.0.113.5": false} {
		addr := netip.MustParseAddr(client)
		if ask(ctx, d, addr) != want {
			t.Errorf("%s is let in: %v", client, !want)
		}
		if n := testing.AllocsPerRun(100, func() { ask(ctx, d, addr) }); n > 0 {
			t.Errorf("asking about %s allocates %v times", client, n)
		}
	}
}

func BenchmarkFilterDirectory(b *testing.B) {
	d, client := fullTable(b), netip.MustParseAddr("192.0.2.7")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx := context.Background()
		for pb.Next() {
			ask(ctx, d, client)
		}
	})
}
