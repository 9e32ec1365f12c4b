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
	noCache     = "Weir, no cache"
	bareHandler = "bare handler"
	// bareDriver is the bare handler on a driver, which commits each insert by
	// itself; groupedDriver commits those of several callers together.
	bareDriver    = "bare driver"
	groupedDriver = "bare driver, grouped commits"
	// bareStore is the bare handler on Weir's store.
	bareStore = "bare store"
)

// sqlite compares Weir on SQLite.
func (b *bench) sqlite(ctx context.Context) error {
	w, err := b.startFilled(ctx, weirName, "sqlite", "")
	if err != nil {
		return err
	}
	bare, err := b.startBare(ctx, w, bareHandler, "", "")
	if err != nil {
		return err
	}
	plain, err := b.startFilled(ctx, noCache, "no-cache", "", withoutCache...)
	if err != nil {
		return err
	}
	plain.only(readWorks)
	contestants := []*contestant{&w.contestant, &plain.contestant, bare}
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

// sqliteDrivers are bare handlers on the driver, with a commit for each insert and
// with commits that callers share, and on Weir's store.
func (b *bench) sqliteDrivers(ctx context.Context, w *weir) ([]*contestant, error) {
	var drivers []*contestant
	for _, d := range []struct{ name, driver string }{{bareDriver, sqliteSingle}, {groupedDriver, sqliteGrouped}, {bareStore, sqliteStore}} {
		c, err := b.startBare(ctx, w, d.name, d.driver, b.folder)
		if err != nil {
			return nil, err
		}
		drivers = append(drivers, c)
	}
	// The first two differ in inserts alone.
	drivers[1].only([]string{create})
	return drivers, nil
}
