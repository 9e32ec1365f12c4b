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
	err = b.compare(ctx, onSQLite, allWorks, &w.contestant, bare)
	return errors.Join(err, b.printRows(b.out, onSQLite))
}
