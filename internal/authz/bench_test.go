package authz

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// manyBindings is a subject with n roles on topics, each in an environment of
// its own, and n on prefixes of topics in one cluster.
func manyBindings(t testing.TB, n int) *Subject {
	t.Helper()
	var held []string
	for i := range n {
		held = append(held,
			"DeveloperRead", fmt.Sprintf("%s/environment=env-%06d/cloud-cluster=lkc-%06d/kafka=lkc-%06d/topic=orders", home, i, i, i),
			"DeveloperWrite", fmt.Sprintf("%s/topic=team-%06d-*", kafka, i),
		)
	}
	return subject(t, "sa-9", held...)
}

// singleBindings is a subject with n roles on single resources.
func singleBindings(t testing.TB, n int) *Subject {
	t.Helper()
	var held []string
	for i := range n {
		held = append(held, "EnvironmentAdmin", fmt.Sprintf("%s/environment=env-%06d", home, i))
	}
	return subject(t, "sa-9", held...)
}

// questions are the ways that a decision can take.
func questions(t testing.TB) map[string]Question {
	t.Helper()
	return map[string]Question{
		"allowed":  {Operation: "Alter", Resource: "Environment", On: pattern(t, home+"/environment=env-000000")},
		"denied":   {Operation: "Alter", Resource: "Environment", On: pattern(t, env2)},
		"deep":     {Operation: "Write", Resource: "Topic", On: pattern(t, kafka+"/topic=other")},
		"prefix":   {Operation: "Write", Resource: "Topic", On: pattern(t, kafka+"/topic=team-000000-x")},
		"place":    {Operation: Describe, Resource: "Environment", On: pattern(t, home+"/environment=env-000000")},
		"no place": {Operation: Describe, Resource: "Environment", On: pattern(t, env2)},
		"own":      {Operation: Describe, Resource: "CloudApiKey", On: pattern(t, home), Owner: "sa-9"},
	}
}

// BenchmarkDecide asks subjects with 1, 10 and 1,000 bindings: single is the
// usual case of roles on environments, mixed holds as many roles again on
// prefixes in one cluster, which have to be compared one by one.
func BenchmarkDecide(b *testing.B) {
	qs := questions(b)
	for _, kind := range []struct {
		name string
		make func(testing.TB, int) *Subject
	}{{"single", singleBindings}, {"mixed", manyBindings}} {
		for _, n := range []int{1, 10, 1000} {
			s := kind.make(b, n)
			for _, name := range slices.Sorted(maps.Keys(qs)) {
				q := qs[name]
				b.Run(fmt.Sprintf("%s=%d/%s", kind.name, n, name), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						Decide(s, q)
					}
				})
			}
		}
	}
}

// BenchmarkNewSubject prepares a principal, as each authentication does.
func BenchmarkNewSubject(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		bindings := singleBindings(b, n).Bindings
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				NewSubject("9bb441c4-edef-46ac-8a41-c49e44a3fd9a", "sa-9", bindings)
			}
		})
	}
}

// BenchmarkVisible prepares the condition of a list.
func BenchmarkVisible(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		s := singleBindings(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Visible(s, Describe, "Environment", "environment")
			}
		})
	}
}
