package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// onReplicas is the table of the part.
const (
	onReplicas   = "Replicas on one PostgreSQL"
	replicaCount = 3
)

// replicas compares three Weirs on one PostgreSQL, among which connections take
// turns, with the first of them alone.
func (b *bench) replicas(ctx context.Context) error {
	_, first, err := b.startOnPostgres(ctx, "one replica", "replica-1")
	if first == nil || err != nil {
		return err
	}
	all := []*weir{first}
	for n := 2; n <= replicaCount; n++ {
		w, err := b.startWeir(ctx, "replica", filepath.Join(b.folder, fmt.Sprintf("replica-%d", n)), first.database)
		if err != nil {
			return err
		}
		w.key, w.secret, w.organization, w.ids, w.exchange = first.key, first.secret, first.organization, first.ids, first.exchange
		w.works = w.operations(ctx)
		all = append(all, w)
	}
	err = b.compare(ctx, onReplicas, allWorks, together(all), &first.contestant)
	return errors.Join(err, b.printRows(b.out, onReplicas))
}

// together is a contestant whose connections take turns among the Weirs.
func together(all []*weir) *contestant {
	works := map[string]work{}
	for name := range all[0].works {
		works[name] = work{
			prepare: func(length time.Duration) error {
				for _, w := range all {
					if prepare := w.works[name].prepare; prepare != nil {
						if err := prepare(length); err != nil {
							return err
						}
					}
				}
				return nil
			},
			open: func(connection int, length time.Duration) (operation, error) {
				return all[connection%len(all)].works[name].open(connection/len(all), length)
			},
		}
	}
	return &contestant{name: fmt.Sprintf("%d replicas", len(all)), works: works, usage: func(ctx context.Context) (usage, error) {
		var sum usage
		for _, w := range all {
			u, err := w.usage(ctx)
			if err != nil {
				return usage{}, err
			}
			sum.cpu += u.cpu
			sum.allocations += u.allocations
		}
		return sum, nil
	}}
}
