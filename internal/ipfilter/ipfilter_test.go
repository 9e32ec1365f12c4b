package ipfilter

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

const management, schema = "MANAGEMENT", "SCHEMA"

func networks(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// office is let into the organization, and lab and office into "env-lab"; nobody
// is let into "env-shut", and "env-apart" admits whom the organization does not.
func office() Rules {
	return Rules{
		Networks: map[string][]netip.Prefix{
			"ipg-office": networks("192.0.2.7/24", "198.51.100.5/32"),
			"ipg-lab":    networks("203.0.113.0/25"),
			"ipg-all":    networks("0.0.0.0/0"),
			"ipg-apart":  networks("10.0.0.0/8"),
		},
		Filters: map[string]Filter{
			"ipf-1": {OperationGroups: []string{management}, Groups: []string{"ipg-office"}},
			"ipf-2": {OperationGroups: []string{management}, Groups: []string{"ipg-lab", "ipg-none"}},
			"ipf-3": {Environment: "env-lab", OperationGroups: []string{management}, Groups: []string{"ipg-lab"}},
			"ipf-4": {Environment: "env-shut", OperationGroups: []string{management, schema}, Groups: []string{"ipg-none"}},
			"ipf-5": {Environment: "env-apart", OperationGroups: []string{management}, Groups: []string{"ipg-apart"}},
			"ipf-6": {Environment: "env-wide", OperationGroups: []string{schema}, Groups: []string{"ipg-all"}},
			"ipf-7": {Environment: "env-empty", OperationGroups: nil, Groups: []string{"ipg-none"}},
		},
	}
}

func TestAllows(t *testing.T) {
	t.Parallel()
	table := office().Prepare()
	for _, c := range []struct {
		environment, group, client string
		want                       bool
	}{
		{"", management, "192.0.2.0", true},
		{"", management, "192.0.2.255", true},
		{"", management, "192.0.3.0", false},
		{"", management, "198.51.100.5", true},
		{"", management, "198.51.100.4", false},
		{"", management, "203.0.113.127", true}, // filters of one scope add up
		{"", management, "203.0.113.128", false},
		{"", management, "::ffff:192.0.2.9", true},
		{"", management, "2001:db8::1", false},
		{"", management, "::", false},
		{"", schema, "8.8.8.8", true}, // no filter: open
		{"", schema, "2001:db8::1", true},
		{"", "FLINK", "8.8.8.8", true},
		{"env-other", management, "192.0.2.1", true},
		{"env-other", management, "8.8.8.8", false}, // the organization's count everywhere
		{"env-lab", management, "203.0.113.9", true},
		{"env-lab", management, "192.0.2.1", false}, // both must let in
		{"env-apart", management, "10.1.1.1", false},
		{"env-shut", management, "192.0.2.1", false},
		{"env-shut", schema, "192.0.2.1", false},
		{"env-wide", schema, "8.8.8.8", true},
		{"env-wide", schema, "2001:db8::1", false}, // every IPv4 address, and no other
		{"env-empty", management, "192.0.2.1", true},
	} {
		if got := table.Allows(c.environment, c.group, netip.MustParseAddr(c.client)); got != c.want {
			t.Errorf("%s is allowed %s in %q: %v", c.client, c.group, c.environment, got)
		}
	}
	if table.Allows("", management, netip.Addr{}) {
		t.Error("a client whose address is not known is let in")
	}
	if !table.Allows("", schema, netip.Addr{}) {
		t.Error("where nothing is limited, a client whose address is not known is kept out")
	}
	if got := table.Denied(management, netip.MustParseAddr("203.0.113.9")); !slices.Equal(got, []string{"env-apart", "env-shut"}) {
		t.Errorf("environments that keep the lab out: %v", got)
	}
	if got := table.Environments(); !slices.Equal(got, []string{"env-apart", "env-empty", "env-lab", "env-shut", "env-wide"}) {
		t.Errorf("environments with filters: %v", got)
	}
	if !(&Table{}).Allows("env-1", management, netip.Addr{}) {
		t.Error("an organization without filters keeps somebody out")
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	table := office().Prepare()
	for _, c := range []struct {
		environment, group string
		want               Status
	}{
		{"", management, Limited},
		{"", schema, Open},
		{"env-other", management, Limited},
		{"env-other", schema, Open},
		{"env-lab", management, Limited},
		{"env-shut", schema, NoAccess},
		{"env-shut", management, NoAccess},
		{"env-apart", management, NoAccess}, // what both allow has no address in it
		{"env-wide", schema, Limited},
	} {
		if got := table.Status(c.environment, c.group); got != c.want {
			t.Errorf("%s in %q is %s, want %s", c.group, c.environment, got, c.want)
		}
	}
	for want, all := range map[Status][]Status{
		Open: {Open}, Limited: {Limited, Limited}, Mixed: {Open, Limited}, NoAccess: {NoAccess, NoAccess, NoAccess},
	} {
		if got := Together(all); got != want {
			t.Errorf("%v together are %s", all, got)
		}
	}
}

func TestSuspended(t *testing.T) {
	t.Parallel()
	rules := office()
	rules.Suspended = true
	table := rules.Prepare()
	if !table.Allows("env-shut", management, netip.MustParseAddr("8.8.8.8")) || !table.Allows("", management, netip.Addr{}) {
		t.Error("suspended filters keep somebody out")
	}
	if len(table.Denied(management, netip.MustParseAddr("8.8.8.8"))) > 0 || table.Status("env-shut", schema) != Open {
		t.Error("suspended filters are told of as if they counted")
	}
}

func TestCloneKeepsTheOriginal(t *testing.T) {
	t.Parallel()
	rules := office()
	other := rules.Clone()
	delete(other.Filters, "ipf-1")
	delete(other.Filters, "ipf-2")
	other.Networks["ipg-office"] = nil
	client := netip.MustParseAddr("192.0.2.1")
	if !rules.Prepare().Allows("", management, client) || rules.Prepare().Allows("", management, netip.MustParseAddr("8.8.8.8")) {
		t.Error("a change of the copy shows in the original")
	}
	if !other.Prepare().Allows("", management, netip.MustParseAddr("8.8.8.8")) {
		t.Error("without its filters the organization is not open")
	}
}

// TestAgreesWithWalkingAll compares decisions with the plainest reading of the
// rules, over rules drawn at random, and the status with the decisions.
func TestAgreesWithWalkingAll(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	environments, groups := []string{"", "env-1", "env-2"}, []string{management, schema}
	for range 300 {
		rules := draw(random, environments, groups)
		table := rules.Prepare()
		for _, environment := range environments {
			for _, group := range groups {
				allowed := 0
				for last := range 256 {
					client := netip.AddrFrom4([4]byte{10, 0, 0, byte(last)})
					want := walk(rules, "", group, client) && (environment == "" || walk(rules, environment, group, client))
					if got := table.Allows(environment, group, client); got != want {
						t.Fatalf("%v: %s in %q from %s: %v, want %v", rules, group, environment, client, got, want)
					}
					if last%16 == 0 && rules.Seen(client).Prepare().Allows(environment, group, client) != want {
						t.Fatalf("%v: %s in %q from %s, as it sees the rules, is not %v", rules, group, environment, client, want)
					}
					if want {
						allowed++
					}
				}
				status := table.Status(environment, group)
				if status == Open && allowed < 256 || status == NoAccess && allowed > 0 || status == Limited && allowed == 0 {
					t.Fatalf("%v: %s in %q is %s, and %d of 256 addresses are let in", rules, group, environment, status, allowed)
				}
			}
		}
	}
}

func draw(random *rand.Rand, environments, groups []string) Rules {
	r := Rules{Filters: map[string]Filter{}, Networks: map[string][]netip.Prefix{}}
	for i := range 3 {
		for range random.IntN(3) {
			network := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(256))}), 24+random.IntN(9))
			r.Networks[fmt.Sprint("ipg-", i)] = append(r.Networks[fmt.Sprint("ipg-", i)], network)
		}
	}
	for i := range random.IntN(4) {
		f := Filter{Environment: environments[random.IntN(len(environments))]}
		for range random.IntN(3) {
			f.OperationGroups = append(f.OperationGroups, groups[random.IntN(len(groups))])
			f.Groups = append(f.Groups, fmt.Sprint("ipg-", random.IntN(4)))
		}
		r.Filters[fmt.Sprint("ipf-", i)] = f
	}
	return r
}

// walk decides one scope by reading all filters.
func walk(r Rules, environment, group string, client netip.Addr) bool {
	limited := false
	for _, f := range r.Filters {
		if f.Environment != environment || !slices.Contains(f.OperationGroups, group) {
			continue
		}
		limited = true
		for _, id := range f.Groups {
			for _, network := range r.Networks[id] {
				if network.Contains(client) {
					return true
				}
			}
		}
	}
	return !limited
}

// many returns rules with so many filters of 25 groups of 25 networks each, on
// the organization and on an environment in turn.
func many(filters int) Rules {
	r := Rules{Filters: map[string]Filter{}, Networks: map[string][]netip.Prefix{}}
	random := rand.New(rand.NewPCG(3, 4))
	for i := range filters {
		f := Filter{OperationGroups: []string{management, schema}}
		if i%2 == 1 {
			f.Environment = "env-abc123"
		}
		for j := range 25 {
			id := fmt.Sprintf("ipg-%d-%d", i, j)
			f.Groups = append(f.Groups, id)
			for range 25 {
				n := random.Uint32()
				addr := netip.AddrFrom4([4]byte{byte(n>>24) | 1, byte(n >> 16), byte(n >> 8), byte(n)})
				r.Networks[id] = append(r.Networks[id], netip.PrefixFrom(addr, 16+random.IntN(17)))
			}
		}
		r.Filters[fmt.Sprint("ipf-", i)] = f
	}
	in := netip.MustParsePrefix("192.0.2.0/24")
	r.Networks["ipg-0-0"][0] = in
	if filters > 1 {
		r.Networks["ipg-1-0"][0] = in
	}
	return r
}

func TestDecisionsAllocateNothing(t *testing.T) {
	table := many(10).Prepare()
	for _, client := range []string{"192.0.2.7", "0.1.2.3", "2001:db8::1", "::ffff:192.0.2.7"} {
		addr := netip.MustParseAddr(client)
		if n := testing.AllocsPerRun(100, func() { table.Allows("env-abc123", management, addr) }); n > 0 {
			t.Errorf("a decision about %s allocates %v times", client, n)
		}
	}
}

var decided bool

func BenchmarkAllows(b *testing.B) {
	for _, filters := range []int{0, 2, 10, 100, 1000} {
		table := Rules{}.Prepare()
		if filters > 0 {
			table = many(filters).Prepare()
		}
		for name, client := range map[string]string{"allowed": "192.0.2.7", "denied": "0.1.2.3"} {
			addr := netip.MustParseAddr(client)
			b.Run(fmt.Sprintf("filters=%d/%s", filters, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					decided = table.Allows("env-abc123", management, addr)
				}
			})
		}
	}
}

func BenchmarkSeen(b *testing.B) {
	for _, filters := range []int{1, 10, 100, 1000} {
		rules, client := many(filters), netip.MustParseAddr("192.0.2.7")
		b.Run(fmt.Sprintf("filters=%d", filters), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rules.Seen(client).Prepare()
			}
		})
	}
}

func BenchmarkPrepare(b *testing.B) {
	for _, filters := range []int{1, 10, 100, 1000} {
		rules := many(filters)
		b.Run(fmt.Sprintf("filters=%d", filters), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rules.Prepare()
			}
		})
	}
}
