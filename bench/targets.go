package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// target is a promise that the figures are held to.
type target struct {
	what string
	// wanted is the least, or with atMost the greatest, that holds.
	wanted float64
	atMost bool
	unit   string
	// measured returns the figure, and whether there is one.
	measured func(r *report, connections int) (float64, bool)
}

// ratio is the rate of Weir by that of another in the same part.
func ratio(part, work, theirs string) func(*report, int) (float64, bool) {
	return func(r *report, connections int) (float64, bool) {
		a, one := r.find(part, work, connections, weirName)
		b, other := r.find(part, work, connections, theirs)
		if !one || !other {
			return 0, false
		}
		return a.rate / b.rate, true
	}
}

// longer is how many times the median time of another in the same part ours is,
// over as few connections as were measured: there nothing waits in a queue.
func longer(part, work, ours, theirs string) func(*report, int) (float64, bool) {
	return func(r *report, _ int) (float64, bool) {
		for _, row := range r.rows {
			if row.part != part || row.work != work || row.contestant != ours {
				continue
			}
			other, known := r.find(part, work, row.connections, theirs)
			return float64(row.p50) / float64(other.p50), known
		}
		return 0, false
	}
}

// single is a figure by its name.
func single(name string) func(*report, int) (float64, bool) {
	return func(r *report, _ int) (float64, bool) {
		i := slices.IndexFunc(r.figures, func(f figure) bool { return f.name == name })
		if i < 0 {
			return 0, false
		}
		return r.figures[i].value, true
	}
}

// slowness is p99 by p50 at half the load.
func slowness(part, work string) func(*report, int) (float64, bool) {
	return func(r *report, _ int) (float64, bool) {
		i := slices.IndexFunc(r.halves, func(h halfRow) bool {
			return h.part == part && h.work == work && h.contestant == weirName
		})
		if i < 0 {
			return 0, false
		}
		return r.halves[i].slowness(), true
	}
}

// targets returns all of them.
func targets() []target {
	all := []target{
		{what: "read by id by the bare handler, SQLite", wanted: 0.60, measured: ratio(onSQLite, readByID, bareHandler)},
		{what: "list of 100 by the bare handler, SQLite", wanted: 0.45, measured: ratio(onSQLite, listOf100, bareHandler)},
		{what: "read by id by the bare handler, PostgreSQL", wanted: 0.30, measured: ratio(onPostgreSQL, readByID, bareHandler)},
		{what: "list of 100 by the bare handler, PostgreSQL", wanted: 0.17, measured: ratio(onPostgreSQL, listOf100, bareHandler)},
		{what: "create by PocketBase, SQLite", wanted: 4, measured: ratio(onSQLite, create, pocketBase)},
		{what: "create by PocketBase, both durable, SQLite", wanted: 4, measured: ratio(onSQLite, create, durablePocketBase)},
		{what: "create by the bare driver's grouped commits, SQLite", wanted: 0.5, measured: ratio(onSQLite, create, groupedDriver)},
		{what: "create by the bare driver, PostgreSQL", wanted: 0.6, measured: ratio(onPostgreSQL, create, bareDriver)},
		{what: "time of the last full page by page 1, many service accounts", wanted: 1.2, atMost: true, measured: longer(onPages, listOf100, lastPage, page1)},
		{what: "time of read by id with many by that with few service accounts", wanted: 1.2, atMost: true, measured: longer(onMany, readByID, manyName, fewName)},
		{what: "the same without a cache", wanted: 1.2, atMost: true, measured: longer(onPlain, readByID, manyName, fewName)},
		{what: "time of the last full page by page 1, many service accounts, PostgreSQL", wanted: 1.2, atMost: true, measured: longer(onPagesPostgres, listOf100, lastPage, page1)},
		{what: "time of read by id with many by that with few service accounts, PostgreSQL", wanted: 1.2, atMost: true, measured: longer(onManyPostgres, readByID, manyName, fewName)},
		{what: readyEmpty, wanted: 100, atMost: true, unit: milliseconds, measured: single(readyEmpty)},
		{what: readyMany, wanted: 300, atMost: true, unit: milliseconds, measured: single(readyMany)},
		{what: readyMany + onPostgresToo, wanted: 300, atMost: true, unit: milliseconds, measured: single(readyMany + onPostgresToo)},
		{what: idleMemory, wanted: 60, atMost: true, unit: megabytes, measured: single(idleMemory)},
	}
	for _, work := range allWorks {
		all = append(all, target{what: "p99 by p50 of " + work + " at half the load, SQLite", wanted: 5, atMost: true, measured: slowness(onSQLite, work)})
	}
	return all
}

// printTargets writes a table of what was wanted and what was measured.
func (r *report) printTargets(out io.Writer, all []target, connections int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### Targets, at %d connections\n\n", connections)
	b.WriteString("| Target | Wanted | Measured | Holds |\n| --- | --- | --- | --- |\n")
	for _, t := range all {
		bound, measured, holds := "at least", "-", "not measured"
		if t.atMost {
			bound = "at most"
		}
		if value, known := t.measured(r, connections); known {
			measured, holds = t.format(value), "no"
			if value == t.wanted || (value < t.wanted) == t.atMost {
				holds = "yes"
			}
		}
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s |\n", t.what, bound, t.format(t.wanted), measured, holds)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// format shows times and memory in whole units.
func (t target) format(value float64) string {
	if t.unit != "" {
		return fmt.Sprintf("%.0f %s", value, t.unit)
	}
	return fmt.Sprintf("%.2f", value)
}
