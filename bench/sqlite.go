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
func (b *bench) sqlite(ctx context.Context) (err error) {
	w, err := b.startFilled(ctx, weirName, "sqlite", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.process.stop()) }()
	bare, bareProcess, err := b.startBare(ctx, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bareProcess.stop()) }()
	row, err := w.sampleRow(ctx)
	if err != nil {
		return err
	}
	single, err := openSQLiteDriver(b.folder, row, w.ids, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, single.close()) }()
	grouped, err := openSQLiteDriver(b.folder, row, w.ids, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, grouped.close()) }()
	err = b.compare(ctx, onSQLite, allWorks, &w.contestant, bare,
		&contestant{name: bareDriver, usage: ownUsage, works: map[string]work{readByID: single.reading(w.ids), create: single.creation()}},
		&contestant{name: groupedDriver, usage: ownUsage, works: map[string]work{create: grouped.creation()}})
	if err == nil {
		err = b.halfLoads(ctx, onSQLite, &w.contestant, bare)
	}
	return errors.Join(err, b.printRows(b.out, onSQLite), b.printHalves(b.out, onSQLite, b.targetConnections()))
}
