package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// median returns the middle of the values, the mean of the two in the middle
// of an even number. It panics without values.
func median[T int | int64 | time.Duration | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// medians returns the median of each figure by itself.
func medians(results []result) result {
	var rate, allocations []float64
	var p50, p99, cpu []time.Duration
	for _, r := range results {
		rate, allocations = append(rate, r.rate), append(allocations, r.allocations)
		p50, p99, cpu = append(p50, r.p50), append(p99, r.p99), append(cpu, r.cpu)
	}
	return result{rate: median(rate), p50: median(p50), p99: median(p99), cpu: median(cpu), allocations: median(allocations)}
}

// report is what was measured up to now.
type report struct {
	rows    []row
	halves  []halfRow
	figures []figure
}

// figure is one that stands by itself.
type figure struct {
	name  string
	value float64
	unit  string
}

func (r *report) add(name string, value float64, unit string) {
	r.figures = append(r.figures, figure{name, value, unit})
}

// find returns the row of a part, if there is one.
func (r *report) find(part, work string, connections int, contestant string) (row, bool) {
	i := slices.IndexFunc(r.rows, func(r row) bool {
		return r.part == part && r.work == work && r.connections == connections && r.contestant == contestant
	})
	if i < 0 {
		return row{}, false
	}
	return r.rows[i], true
}

// printFigures writes the single figures.
func (r *report) printFigures(out io.Writer) error {
	var b strings.Builder
	b.WriteString("\n### Start and memory\n\n| What | Measured |\n| --- | --- |\n")
	for _, f := range r.figures {
		fmt.Fprintf(&b, "| %s | %.0f %s |\n", f.name, f.value, f.unit)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// row is one line of a table.
type row struct {
	// part is the name of the table.
	part        string
	work        string
	connections int
	contestant  string
	result
	// ratio is the rate of the first contestant of the table by that of this one.
	ratio float64
}

// printRows writes the rows of a part as a table in Markdown. Times are in
// microseconds.
func (r *report) printRows(out io.Writer, part string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n", part)
	b.WriteString("| Work | Connections | Who | Requests/s | p50 µs | p99 µs | CPU µs | Allocations | Ratio |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range r.rows {
		if r.part != part {
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %.0f | %d | %d | %s | %s | %s |\n", r.work, r.connections, r.contestant,
			r.rate, r.p50.Microseconds(), r.p99.Microseconds(),
			known(float64(r.cpu.Microseconds()), r.cpu >= 0), known(r.allocations, r.allocations >= 0), r.ratioText())
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// ratioText is the ratio, or "-" where the first contestant has no rate.
func (r row) ratioText() string {
	if r.ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", r.ratio)
}

func known(value float64, is bool) string {
	if !is {
		return "-"
	}
	return fmt.Sprintf("%.0f", value)
}
