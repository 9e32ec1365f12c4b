package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"
)

// The tables of the part, and who is in them.
const (
	onMany  = "Many service accounts, SQLite"
	onPlain = "Many service accounts, SQLite, no cache"
	onPages = "Pages of 100 of many service accounts, SQLite, no cache"
	// On PostgreSQL nothing is cached.
	onManyPostgres  = "Many service accounts, PostgreSQL"
	onPagesPostgres = "Pages of 100 of many service accounts, PostgreSQL"

	manyName = "Weir with many"
	fewName  = "Weir with few"
	lastPage = "last full page"
	page1    = "page 1"

	readyMany  = "first answer, with many service accounts"
	idleMany   = "memory, idle, with many service accounts"
	loadedMany = "memory, loaded, with many service accounts"
	seedTime   = "making many service accounts"
	// onPostgresToo ends the names of figures that are taken on PostgreSQL too.
	onPostgresToo = ", PostgreSQL"
)

// million compares Weir with a million service accounts, or as many as there
// shall be, with one that has few.
func (b *bench) million(ctx context.Context) error {
	many, err := b.startMany(ctx, "many", "")
	if err != nil {
		return err
	}
	idle, err := b.idle(ctx, many)
	if err != nil {
		return err
	}
	b.add(idleMany, idle, megabytes)
	last, few, err := b.compareMany(ctx, onMany, many, "few", "")
	if err == nil {
		var loaded float64
		if loaded, err = b.loaded(ctx, many); err == nil {
			b.add(loadedMany, loaded, megabytes)
		}
	}
	if err == nil {
		err = b.millionPlain(ctx, many, few, last)
	}
	return errors.Join(err, b.printRows(b.out, onMany), b.printRows(b.out, onPlain), b.printRows(b.out, onPages))
}

// millionPostgres is million on PostgreSQL.
func (b *bench) millionPostgres(ctx context.Context) error {
	s := b.startPostgres()
	if s == nil {
		return nil
	}
	database, err := s.database()
	if err != nil {
		return err
	}
	many, err := b.startMany(ctx, "many-postgres", database)
	if err != nil {
		return err
	}
	if database, err = s.database(); err != nil {
		return err
	}
	last, _, err := b.compareMany(ctx, onManyPostgres, many, "few-postgres", database)
	if err == nil {
		err = b.comparePages(ctx, onPagesPostgres, many, last)
	}
	return errors.Join(err, b.printRows(b.out, onManyPostgres), b.printRows(b.out, onPagesPostgres))
}

// compareMany compares Weir with many with one that has few, which it starts. It
// returns that and the path of the last full page of many.
func (b *bench) compareMany(ctx context.Context, part string, many *weir, folder, database string) (last string, few *weir, err error) {
	_, _ = fmt.Fprintf(b.out, "\nMany are %d service accounts, few are %d.\n", b.many, b.objects)
	if last, err = many.walk(ctx, b.many); err != nil {
		return "", nil, err
	}
	many.works = many.operations(ctx)
	if few, err = b.startFilled(ctx, fewName, folder, database); err != nil {
		return "", nil, err
	}
	// To find what there is to delete takes a walk over all of them, and exchanges
	// have nothing to do with them.
	names := slices.DeleteFunc(slices.Clone(allWorks), func(name string) bool { return name == remove || name == exchange })
	return last, few, b.compare(ctx, part, names, &many.contestant, &few.contestant)
}

// millionPlain compares the two without their caches: what the database takes
// with many rows shows there alone.
func (b *bench) millionPlain(ctx context.Context, many, few *weir, last string) error {
	many, err := b.again(ctx, many, withoutCache...)
	if err != nil {
		return err
	}
	few, err = b.again(ctx, few, withoutCache...)
	if err != nil {
		return err
	}
	if err := b.compare(ctx, onPlain, readWorks, &many.contestant, &few.contestant); err != nil {
		return err
	}
	return b.comparePages(ctx, onPages, many, last)
}

// startMany makes a data folder or database with many service accounts, and starts
// Weir on it a few times to see how long that takes. The last one runs on.
func (b *bench) startMany(ctx context.Context, folder, database string) (*weir, error) {
	end := ""
	if database != "" {
		end = onPostgresToo
	}
	data := filepath.Join(b.folder, folder)
	w, err := b.startWeir(ctx, manyName, data, database)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(b.raiseQuota(ctx, w), w.filter(ctx), w.process.stop()); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := seed(ctx, data, database, w.organization, b.many); err != nil {
		return nil, err
	}
	b.add(seedTime+end, time.Since(began).Seconds(), seconds)
	var took []float64
	for range b.starts() {
		if len(took) > 0 {
			if err := w.process.stop(); err != nil {
				return nil, err
			}
		}
		if w, err = b.startWeir(ctx, manyName, data, database); err != nil {
			return nil, err
		}
		took = append(took, inMilliseconds(w.took))
	}
	b.add(readyMany+end, median(took), milliseconds)
	return w, nil
}

// walk follows the pages of all service accounts, of which there are so many. It
// returns the path of the last page that is full, and keeps IDs from all over.
func (w *weir) walk(ctx context.Context, objects int) (last string, err error) {
	const size = 100
	path := fmt.Sprintf("%s?page_size=%d", accounts, size)
	for page := 1; page <= objects/size; page++ {
		if path == "" {
			return "", fmt.Errorf("there are %d pages, want %d", page-1, objects/size)
		}
		listed, next, err := w.page(ctx, path)
		if err != nil {
			return "", err
		}
		if page%10 == 1 {
			for _, a := range listed {
				w.ids = append(w.ids, a.ID)
			}
		}
		last, path = path, next
	}
	return last, nil
}

// comparePages loads the last page and the first in turn.
func (b *bench) comparePages(ctx context.Context, part string, w *weir, last string) error {
	if !slices.Contains(b.works, listOf100) {
		return nil
	}
	page := func(name, path string) *contestant {
		request := message(w.process.address, basic(w.key, w.secret), http.MethodGet, path, "")
		return &contestant{name: name, usage: w.usage, works: map[string]work{
			listOf100: over(w.process.address, http.StatusOK, always(request)),
		}}
	}
	return b.compare(ctx, part, []string{listOf100}, page(lastPage, last), page(page1, accounts+"?page_size=100"))
}
