package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// contestant is what is loaded in turn.
type contestant struct {
	name  string
	works map[string]work
	// process is the one that answers, nil where there are several.
	process *process
	// usage tells what it has used up to now.
	usage func(ctx context.Context) (usage, error)
}

// only makes it forget all works but those named.
func (c *contestant) only(names []string) {
	maps.DeleteFunc(c.works, func(name string, _ work) bool { return !slices.Contains(names, name) })
}

// usage is what a contestant has used since it began.
type usage struct {
	cpu time.Duration
	// allocations are objects; negative where unknown.
	allocations float64
}

// compare loads the contestants in turn, round after round, and adds the medians
// to the report. The first contestant is the one that the ratios are about; one
// that does not know a work, or fails at it, is left out of it.
func (b *bench) compare(ctx context.Context, part string, names []string, contestants ...*contestant) error {
	for _, name := range names {
		if !slices.Contains(b.works, name) {
			continue
		}
		for _, connections := range b.connections {
			if err := b.compareWork(ctx, part, name, connections, contestants); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) compareWork(ctx context.Context, part, name string, connections int, contestants []*contestant) error {
	measured := make([][]result, len(contestants))
	failed := make([]bool, len(contestants))
	// The first round is not counted: it fills caches and pools of connections.
	for round := range b.rounds + 1 {
		for i, c := range contestants {
			w, known := c.works[name]
			if !known || failed[i] || round == 0 && w.prepare != nil {
				continue
			}
			length := b.length
			if round == 0 {
				length /= 4
			}
			r, err := c.measure(ctx, w, connections, length, 0)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if failed[i] = err != nil; failed[i] {
				b.fail(fmt.Errorf("%s: %s: %s over %d connections: %w", part, c.name, name, connections, err))
			} else if round > 0 {
				measured[i] = append(measured[i], r)
			}
		}
	}
	var ours float64
	for i, results := range measured {
		if failed[i] || len(results) == 0 {
			continue
		}
		m := medians(results)
		if i == 0 {
			ours = m.rate
		}
		b.rows = append(b.rows, row{part: part, work: name, connections: connections, contestant: contestants[i].name, result: m, ratio: ours / m.rate})
	}
	return nil
}

// measure loads one contestant, at a rate or with 0 as fast as it answers, and counts what it has used.
func (c *contestant) measure(ctx context.Context, w work, connections int, length time.Duration, rate float64) (result, error) {
	if w.prepare != nil {
		if err := w.prepare(length); err != nil {
			return result{}, err
		}
	}
	before, err := c.usage(ctx)
	if err != nil {
		return result{}, err
	}
	r, err := load(w, connections, length, rate)
	if err != nil && c.process != nil {
		err = fmt.Errorf("%w; %w", err, c.process.wrong("failed"))
	}
	if err != nil {
		return r, err
	}
	after, err := c.usage(ctx)
	if err != nil {
		return r, err
	}
	r.cpu = time.Duration(float64(after.cpu-before.cpu) / float64(r.done))
	if before.allocations >= 0 && after.allocations >= 0 {
		r.allocations = (after.allocations - before.allocations) / float64(r.done)
	}
	return r, nil
}
