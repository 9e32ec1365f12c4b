package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

// seedBatch is how many objects are made in one transaction. SQLite keeps what a
// savepoint would roll back in a list that each statement walks, so that the time
// of a transaction grows with the square of the pages that it changes.
const seedBatch = 200

// seed makes service accounts in the data folder or database of a Weir that does
// not run, with its engine and hundreds to a commit: over HTTP a million take
// too long. They are without events, as those are that were made so long ago that
// the audit log has dropped theirs.
func seed(ctx context.Context, data, database, organization string, objects int) (err error) {
	log := slog.New(slog.DiscardHandler)
	opened, err := sqlstore.Open(ctx, database, data, sqlstore.Options{Logger: log, NotifyKinds: []string{}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	e, err := server.NewEngine(ctx, opened, "http://127.0.0.1", log)
	if err != nil {
		return err
	}
	for made := 0; made < objects; {
		until := min(made+seedBatch, objects)
		err := opened.Update(ctx, func(tx store.Tx) error {
			for n := made; n < until; n++ {
				account := &engine.Object{Kind: iam.ServiceAccount, Org: organization, ID: ascendingID(n, objects), Doc: engine.Doc{
					"display_name": accountName(n), "description": accountDescription,
				}}
				if err := e.Insert(ctx, withoutEvents{tx}, account); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("make service accounts %d to %d: %w", made, until, err)
		}
		made = until
	}
	return nil
}

// ascendingID is the n-th ID in order of so many that are spread over all there
// are. Random ones land all over an index that is larger than the cache: made so, a
// million take a multiple of the time.
func ascendingID(n, objects int) string {
	shape := iam.ServiceAccount.ID
	base, all := uint64(len(shape.Alphabet)), uint64(1)
	for range shape.Length {
		all *= base
	}
	value := all / uint64(objects) * uint64(n)
	text := make([]byte, shape.Length)
	for i := range text {
		text[len(text)-1-i] = shape.Alphabet[value%base]
		value /= base
	}
	return shape.Prefix + string(text)
}

// withoutEvents is a transaction that adds nothing to the audit log.
type withoutEvents struct{ store.Tx }

func (withoutEvents) Append(...store.Event) error { return nil }
