package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// halfRow is what was measured at half of the greatest rate.
type halfRow struct {
	part, work, contestant string
	// rate is the half, done what was reached of it.
	rate, done float64
	p50, p99   time.Duration
}

// slowness is how many times p50 p99 takes.
func (h halfRow) slowness() float64 { return float64(h.p99) / float64(h.p50) }

// halfLoads loads the contestants at half of the rate that compare has measured,
// at moments that do not wait for answers, and adds the medians to the report.
// A time counts from the moment at which the operation was due.
func (b *bench) halfLoads(ctx context.Context, part string, contestants ...*contestant) error {
	connections := b.targetConnections()
	for _, name := range allWorks {
		for _, c := range contestants {
			full, measured := b.find(part, name, connections, c.name)
			if !measured {
				continue
			}
			half := full.rate / 2
			var results []result
			for range b.rounds {
				r, err := c.measure(ctx, c.works[name], connections, b.length, half)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					b.fail(fmt.Errorf("%s: %s: %s at half the load: %w", part, c.name, name, err))
					results = nil
					break
				}
				results = append(results, r)
			}
			if len(results) == 0 {
				continue
			}
			m := medians(results)
			b.halves = append(b.halves, halfRow{part: part, work: name, contestant: c.name, rate: half, done: m.rate, p50: m.p50, p99: m.p99})
		}
	}
	return nil
}

// targetConnections is the number of connections that targets are about: 32, or
// the greatest there is.
func (s *settings) targetConnections() int {
	if slices.Contains(s.connections, 32) {
		return 32
	}
	return slices.Max(s.connections)
}

// printHalves writes the table of a part.
func (r *report) printHalves(out io.Writer, part string, connections int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nAt half of the rate reached with %d connections, counted from when a request was due:\n\n", connections)
	b.WriteString("| Work | Who | Requests/s wanted | reached | p50 µs | p99 µs | p99 by p50 |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, h := range r.halves {
		if h.part == part {
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.0f | %d | %d | %.1f |\n", h.work, h.contestant, h.rate, h.done,
				h.p50.Microseconds(), h.p99.Microseconds(), h.slowness())
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
