package crn

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const registry = env + "/schema-registry=lsrc-789qw"

func mustPattern(t testing.TB, s string) Pattern {
	t.Helper()
	p, err := ParsePattern(s)
	if err != nil {
		t.Fatalf("ParsePattern(%q): %v", s, err)
	}
	return p
}

func TestParsePattern(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in, want string
		wildcard bool
		last     Segment
	}{
		{org, org, false, Segment{"organization", orgID}},
		{kafka + "/topic=orders", kafka + "/topic=orders", false, Segment{"topic", "orders"}},
		{kafka + "/topic=*", kafka + "/topic=*", true, Segment{"topic", ""}},
		{kafka + "/group=confluent_cli_consumer_*", kafka + "/group=confluent_cli_consumer_*", true, Segment{"group", "confluent_cli_consumer_"}},
		{registry + "/subject=:.ctx:*", registry + "/subject=%3A.ctx%3A*", true, Segment{"subject", ":.ctx:"}},
		{registry + "//kek=*", registry + "/kek=*", true, Segment{"kek", ""}},
		{kafka + "/topic=%2a", kafka + "/topic=%2A", false, Segment{"topic", "*"}},
		{kafka + "/topic=%2A*", kafka + "/topic=%2A*", true, Segment{"topic", "*"}},
	} {
		p := mustPattern(t, tt.in)
		if p.String() != tt.want || p.Wildcard() != tt.wildcard || p.Last() != tt.last {
			t.Errorf("ParsePattern(%q) = %v, wildcard %v, last %q; want %s, %v, %q",
				tt.in, p, p.Wildcard(), p.Last(), tt.want, tt.wildcard, tt.last)
		}
		if again := mustPattern(t, p.String()); again != p {
			t.Errorf("parsing %v gives %v", p, again)
		}
		if id, ok := p.Value("organization"); !ok || id != orgID {
			t.Errorf("%v: Value(organization) = %q, %v", p, id, ok)
		}
		if p.Authority() != Authority || p.IsZero() {
			t.Errorf("%v: authority %q, zero %v", p, p.Authority(), p.IsZero())
		}
		if segments := slices.Collect(p.Segments()); segments[len(segments)-1] != tt.last || p.Scope().Len() != len(segments)-1 {
			t.Errorf("%v: segments %q, scope %v", p, segments, p.Scope())
		}
	}
}

func TestParsePatternErrors(t *testing.T) {
	t.Parallel()
	long := "crn://a/b=c/user=" + strings.Repeat("u", MaxLength-len("crn://a/b=c/user=*")) + "*"
	if p := mustPattern(t, long); p.String() != long {
		t.Error("a pattern of the greatest length does not come back")
	}
	for _, tt := range []struct {
		name, in string
		offset   int
		want     string
	}{
		{"no segment", "crn://confluent.cloud/", 22, "no segment"},
		{"across organizations", "crn://confluent.cloud/organization=*", 35, "first segment"},
		{"some organizations", "crn://confluent.cloud/organization=9*", 36, "first segment"},
		{"star before the end", "crn://a/b=c/topic=a*b", 19, "very last character"},
		{"two stars", "crn://a/b=c/topic=**", 18, "very last character"},
		{"star in an earlier segment", "crn://a/b=*/topic=a", 10, "very last character"},
		{"star as an earlier value's end", "crn://a/b=c*/topic=a*", 11, "very last character"},
		{"star as a segment", "crn://a/b=c/*", 12, "key=value"},
		{"star in a key", "crn://a/b=c/top*=a", 12, "key"},
		{"star as the authority", "crn://*/b=c", 6, "not a host name"},
		{"star after a broken escape", "crn://a/b=c/topic=%2*", 18, "two hexadecimal digits"},
		{"star that cuts a character", "crn://a/b=c/topic=%C3*", 12, "not valid UTF-8"},
		{"too long once encoded", "crn://a/b=c/user=" + strings.Repeat("u", MaxLength-20) + ":*", MaxLength - 2, "longer than 4096"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := ParsePattern(tt.in)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("ParsePattern(%.100q) = %v, %v, want a *SyntaxError", tt.in, p, err)
			}
			if syntax.Offset != tt.offset || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParsePattern(%.100q): %v; want %q at byte %d", tt.in, err, tt.want, tt.offset)
			}
			if !p.IsZero() {
				t.Errorf("returned %v beside the error", p)
			}
		})
	}
}

func TestMatchesAndContains(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, name     string
		matches, contains bool
	}{
		{env, env, true, true},
		{env, kafka, false, true},
		{env, kafka + "/topic=t", false, true},
		{env, org, false, false},
		{env, env + "0", false, false},
		{org, org + "/service-account=sa-1/api-key=K", false, true},

		{kafka + "/topic=*", kafka + "/topic=orders", true, true},
		{kafka + "/topic=*", kafka + "/topic=%2A", true, true},
		{kafka + "/topic=*", kafka + "/topic=orders/partition=0", false, true},
		{kafka + "/topic=*", kafka + "/group=orders", false, false},
		{kafka + "/topic=*", kafka, false, false},
		{kafka + "/topic=*", cloud + "/topic=orders", false, false},
		{kafka + "/topic=*", env + "/cloud-cluster=lkc-2/kafka=lkc-2/topic=orders", false, false},

		{kafka + "/topic=ord*", kafka + "/topic=orders", true, true},
		{kafka + "/topic=ord*", kafka + "/topic=ord", true, true},
		{kafka + "/topic=ord*", kafka + "/topic=or", false, false},
		{kafka + "/topic=ord*", kafka + "/topic=Orders", false, false},
		{kafka + "/topic=ord", kafka + "/topic=orders", false, false},

		{registry + "/subject=:.ctx:*", registry + "/subject=%3A.ctx%3Aname", true, true},
		{registry + "/subject=:.ctx:*", registry + "/subject=%3A.ctx2%3Aname", false, false},
		{kafka + "/topic=%2A", kafka + "/topic=%2A", true, true},
		{kafka + "/topic=%2A", kafka + "/topic=orders", false, false},
		{kafka + "/topic=%2A*", kafka + "/topic=%2Aa", true, true},
		{kafka + "/topic=%2A*", kafka + "/topic=a", false, false},
		{kafka + "/group=a%2F*", kafka + "/group=a%2Fb", true, true},

		{"crn://api.confluent.cloud/organization=o/user=*", "crn://confluent.cloud/organization=o/user=u", false, false},
	} {
		p, c := mustPattern(t, tt.pattern), mustParse(t, tt.name)
		if got := p.Matches(c); got != tt.matches {
			t.Errorf("%v matches %v: %v, want %v", p, c, got, tt.matches)
		}
		if got := p.Contains(c); got != tt.contains {
			t.Errorf("%v contains %v: %v, want %v", p, c, got, tt.contains)
		}
	}
}

func TestCoversAndOverlaps(t *testing.T) {
	t.Parallel()
	topic := kafka + "/topic="
	for _, tt := range []struct {
		p, q                           string
		covers, coveredBy, overlapping bool
	}{
		{env, env, true, true, true},
		{org, env, true, false, false},
		{kafka, topic + "*", true, false, false},
		{env, topic + "a", true, false, false},
		{topic + "*", topic + "*", true, true, true},
		{topic + "*", topic + "a", true, false, true},
		{topic + "*", topic + "a*", true, false, true},
		{topic + "a*", topic + "ab*", true, false, true},
		{topic + "a*", topic + "a", true, false, true},
		{topic + "a*", topic + "b*", false, false, false},
		{topic + "a", topic + "ab*", false, false, false},
		{topic + "a", topic + "b", false, false, false},
		{topic + "*", topic + "a/partition=0", true, false, false},
		{topic + "*", topic + "a/partition=*", true, false, false},
		{topic + "*", kafka + "/group=*", false, false, false},
		{env, org + "/environment=env-456xy*", false, true, true},
		{org + "/environment=e*", topic + "a*", true, false, false},
	} {
		p, q := mustPattern(t, tt.p), mustPattern(t, tt.q)
		if got := p.Covers(q); got != tt.covers {
			t.Errorf("%v covers %v: %v, want %v", p, q, got, tt.covers)
		}
		if got := q.Covers(p); got != tt.coveredBy {
			t.Errorf("%v covers %v: %v, want %v", q, p, got, tt.coveredBy)
		}
		if got, reverse := p.Overlaps(q), q.Overlaps(p); got != tt.overlapping || reverse != got {
			t.Errorf("%v overlaps %v: %v, and the other way round %v, want %v", p, q, got, reverse, tt.overlapping)
		}
	}
}

func TestZeroPattern(t *testing.T) {
	t.Parallel()
	var zero Pattern
	if zero.String() != "" || !zero.IsZero() || !PatternOf(CRN{}).IsZero() || !PatternOf(Must(New(Authority))).IsZero() {
		t.Error("the zero Pattern is not empty")
	}
	for _, c := range []CRN{{}, Must(New(Authority)), mustParse(t, env)} {
		if zero.Matches(c) || zero.Contains(c) {
			t.Errorf("the zero Pattern reaches %q", c)
		}
	}
	for _, p := range []Pattern{zero, mustPattern(t, env), mustPattern(t, kafka+"/topic=*")} {
		if zero.Covers(p) || p.Covers(zero) || zero.Overlaps(p) || p.Overlaps(zero) {
			t.Errorf("the zero Pattern relates to %q", p)
		}
		if p.Matches(CRN{}) || p.Contains(CRN{}) {
			t.Errorf("%q reaches the zero CRN", p)
		}
	}
}

func TestPatternOf(t *testing.T) {
	t.Parallel()
	star := mustParse(t, kafka+"/topic=a%2A")
	p := PatternOf(star)
	if p.Wildcard() || !p.Matches(star) || p.Matches(mustParse(t, kafka+"/topic=ab")) {
		t.Errorf("the pattern of %v is %v, wildcard %v", star, p, p.Wildcard())
	}
}

// reference decides as the words of the documentation say, on decoded segments.
type reference struct {
	authority string
	segments  []Segment
	wildcard  bool
}

func (r reference) matchesPrefixOf(authority string, segments []Segment) bool {
	if r.authority != authority || len(r.segments) > len(segments) {
		return false
	}
	for i, want := range r.segments {
		got := segments[i]
		if r.wildcard && i == len(r.segments)-1 {
			if got.Key != want.Key || !strings.HasPrefix(got.Value, want.Value) {
				return false
			}
		} else if got != want {
			return false
		}
	}
	return true
}

func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{env, kafka}, {kafka + "/topic=*", kafka + "/topic=orders"},
		{registry + "/subject=:.ctx:*", registry + "/subject=:.ctx:a*"},
		{kafka + "/topic=%2A*", kafka + "/topic=%2Aa/partition=0"},
		{kafka + "/topic=a%25*", kafka + "/topic=a%252A"},
	} {
		f.Add(seed[0], seed[1])
	}
	refer := func(p Pattern) reference {
		return reference{p.Authority(), slices.Collect(p.Segments()), p.Wildcard()}
	}
	f.Fuzz(func(t *testing.T, ps, qs string) {
		p, err := ParsePattern(ps)
		if err != nil {
			return
		}
		text := p.String()
		if again, err := ParsePattern(text); err != nil || again != p || again.String() != text || len(text) > MaxLength {
			t.Fatalf("ParsePattern(%q) prints %q, which gives %v, %v", ps, text, again, err)
		}
		if !p.Covers(p) || !p.Overlaps(p) {
			t.Fatalf("%q does not cover or overlap itself", text)
		}
		if c, err := Parse(qs); err == nil {
			segments := slices.Collect(c.Segments())
			contains := refer(p).matchesPrefixOf(c.Authority(), segments)
			matches := contains && len(segments) == len(refer(p).segments)
			if p.Contains(c) != contains || p.Matches(c) != matches {
				t.Fatalf("%q and %q: contains %v, want %v; matches %v, want %v",
					text, c, p.Contains(c), contains, p.Matches(c), matches)
			}
		}
		q, err := ParsePattern(qs)
		if err != nil {
			return
		}
		// Names to try: whatever either stands for, and close neighbours.
		for _, of := range []Pattern{p, q} {
			for _, suffix := range []string{"", "x", "*"} {
				last := of.Last()
				c, err := of.Scope().Append(last.Key, last.Value+suffix)
				if err != nil {
					continue
				}
				if p.Covers(q) && q.Contains(c) && !p.Contains(c) {
					t.Fatalf("%q covers %q, but only the latter contains %q", text, q, c)
				}
				if p.Matches(c) && q.Matches(c) && !p.Overlaps(q) {
					t.Fatalf("%q and %q do not overlap, but both match %q", text, q, c)
				}
			}
		}
		if p.Overlaps(q) != q.Overlaps(p) {
			t.Fatalf("%q overlaps %q in one direction", text, q)
		}
	})
}

// decisions are what an authorization asks: does the pattern of a binding reach
// the resource of a request?
var decisions = map[string][2]string{
	"literal": {env, kafka + "/topic=my_kafka_topic"},
	"prefix":  {kafka + "/topic=my_*", kafka + "/topic=my_kafka_topic"},
	"encoded": {registry + "/subject=:.ctx:*", registry + "/subject=:.ctx:name"},
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	for name, d := range decisions {
		p, c := mustPattern(t, d[0]), mustParse(t, d[1])
		q, scope := PatternOf(c), mustParse(t, env)
		found := 0
		allocs := testing.AllocsPerRun(100, func() {
			for _, ok := range []bool{p.Matches(c), p.Contains(c), p.Covers(q), p.Overlaps(q), c.HasPrefix(scope)} {
				if ok {
					found++
				}
			}
			if value, ok := c.Value("organization"); ok {
				found += len(value)
			}
		})
		if allocs != 0 || found == 0 {
			t.Errorf("%s: %v allocations, want none", name, allocs)
		}
	}
}

func BenchmarkMatches(b *testing.B) {
	for name, d := range decisions {
		p, c := mustPattern(b, d[0]), mustParse(b, d[1])
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.Matches(c) != p.Wildcard() {
					b.Fatal("wrong decision")
				}
			}
		})
	}
}
