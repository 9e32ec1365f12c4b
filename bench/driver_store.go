package main

import (
	"bytes"
	"context"
	"time"

	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

// storeDriver reads and inserts rows through Weir's own store, with its indexes,
// counters and log: what Weir takes beyond that is not the database's.
type storeDriver struct {
	store        store.Store
	organization string
	// event is as long as that of a creation.
	event []byte
}

// openStoreDriver makes rows of these IDs in an empty folder or database.
func openStoreDriver(ctx context.Context, folder, url string, row driverRow, ids []string) (*storeDriver, error) {
	s, err := sqlstore.Open(ctx, url, folder, sqlstore.Options{NotifyKinds: []string{}})
	if err != nil {
		return nil, err
	}
	d := &storeDriver{store: s, organization: row.organization, event: bytes.Repeat([]byte("."), 1750)}
	for n, id := range ids {
		if err := d.insert(ctx, row.with(id, accountName(n))); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *storeDriver) insert(ctx context.Context, r driverRow) error {
	now := time.UnixMicro(r.now)
	row := store.Row{Key: store.Key{Kind: driverKind, ID: r.id}, Org: r.organization, Name: r.name, Created: now, Updated: now, Body: r.body}
	places := []store.Share{{Counter: store.Counter{Org: r.organization, Name: "accounts"}, Limit: 1 << 40}}
	return d.store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Insert(ctx, &row, nil); err != nil { //nolint:forbidigo // the store alone is measured
			return err
		}
		tx.Tally(row.Key, nil, places)
		return tx.Append(store.Event{Org: r.organization, At: now, Body: d.event})
	})
}

func (d *storeDriver) read(ctx context.Context, id string) ([]byte, error) {
	row, err := d.store.Get(ctx, d.organization, store.Key{Kind: driverKind, ID: id})
	if err != nil {
		return nil, err
	}
	return row.Body, nil
}

func (d *storeDriver) list(ctx context.Context, to []byte) ([]byte, error) {
	err := d.store.Visit(ctx, store.Query{Org: d.organization, Kind: driverKind, Limit: 100, BodyOnly: true}, func(row *store.Row) error {
		to = element(to, row.Body)
		return nil
	})
	return append(to, ']'), err
}

func (d *storeDriver) close() error { return d.store.Close() }
