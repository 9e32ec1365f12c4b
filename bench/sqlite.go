package main

import (
	"context"
	"errors"
)

// onSQLite is the table of the part.
const onSQLite = "SQLite"

// The names of who is compared.
const (
	weirName    = "Weir"
	bareHandler = "bare handler"
	// bareDriver commits each insert by itself, groupedDriver those of several
	// callers together.
	bareDriver    = "bare driver"
	groupedDriver = "bare driver, grouped commits"
)

// sqlite compares Weir on SQLite.
func (b *bench) sqlite(ctx context.Context) error {
	w, err := b.startFilled(ctx, weirName, "sqlite", "")
	if err != nil {
		return err
	}
	bare, err := b.startBare(ctx, w)
	if err != nil {
		return err
	}
	contestants := []*contestant{&w.contestant, bare}
	for _, more := range []func(context.Context, *weir) ([]*contestant, error){b.sqliteDrivers, b.pocketBases, b.prisms} {
		c, err := more(ctx, w)
		if err != nil {
			return err
		}
		contestants = append(contestants, c...)
	}
	err = b.compare(ctx, onSQLite, allWorks, contestants...)
	if err == nil {
		err = b.halfLoads(ctx, onSQLite, &w.contestant, bare)
	}
	return errors.Join(err, b.printRows(b.out, onSQLite), b.printHalves(b.out, onSQLite, b.targetConnections()))
}

// sqliteDrivers are the bare driver with a commit for each insert, and with
// commits that callers share.
func (b *bench) sqliteDrivers(ctx context.Context, w *weir) ([]*contestant, error) {
	row, err := w.sampleRow(ctx)
	if err != nil {
		return nil, err
	}
	single, err := openSQLiteDriver(b.folder, row, w.ids, false)
	if err != nil {
		return nil, err
	}
	b.atEnd(single.close)
	grouped, err := openSQLiteDriver(b.folder, row, w.ids, true)
	if err != nil {
		return nil, err
	}
	b.atEnd(grouped.close)
	return []*contestant{
		{name: bareDriver, usage: ownUsage, works: map[string]work{readByID: single.reading(w.ids), create: single.creation()}},
		{name: groupedDriver, usage: ownUsage, works: map[string]work{create: grouped.creation()}},
	}, nil
}
