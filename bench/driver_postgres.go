package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5" //nolint:depguard // the bare driver is what Weir is compared with
)

const postgresInsert = "INSERT INTO accounts (" + driverColumns + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"

// postgresDriver reads and inserts rows through pgx alone, each caller over a
// connection of its own.
type postgresDriver struct {
	url  string
	row  driverRow
	made atomic.Int64
	// most is how many connections the server takes.
	most int
}

// newPostgresDriver makes a table with rows of these IDs in an empty database.
func newPostgresDriver(ctx context.Context, url string, row driverRow, ids []string) (*postgresDriver, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close(ctx) }()
	for _, sql := range []string{
		"CREATE TABLE accounts (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, org TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL," +
			" version BIGINT NOT NULL, created BIGINT NOT NULL, updated BIGINT NOT NULL, body BYTEA NOT NULL, private BYTEA NOT NULL)",
		driverIndex,
	} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	for _, id := range ids {
		if _, err := c.Exec(ctx, postgresInsert, row.with(id).values()...); err != nil {
			return nil, err
		}
	}
	var most string
	if err := c.QueryRow(ctx, "SHOW max_connections").Scan(&most); err != nil {
		return nil, err
	}
	d := &postgresDriver{url: url, row: row}
	d.most, err = strconv.Atoi(most)
	return d, err
}

// creation inserts rows with new IDs, each in a commit of its own.
func (d *postgresDriver) creation(ctx context.Context) work {
	return d.work(ctx, postgresInsert, func(c *pgx.Conn, _, _ int) error {
		_, err := c.Exec(ctx, postgresInsert, d.row.with(fmt.Sprintf("sa-made-%d", d.made.Add(1))).values()...)
		return err
	})
}

// reading reads the rows with the IDs by their key, all of each.
func (d *postgresDriver) reading(ctx context.Context, ids []string) work {
	return d.work(ctx, driverRead, func(c *pgx.Conn, connection, n int) error {
		var r driverRow
		var kind, parent string
		var version, updated int64
		var private []byte
		return c.QueryRow(ctx, driverRead, driverKind, spread(ids, connection, n)).
			Scan(&r.organization, &kind, &r.id, &parent, &r.name, &version, &r.now, &updated, &r.body, &private)
	})
}

// work does something with a statement, which is prepared before time counts.
func (d *postgresDriver) work(ctx context.Context, sql string, do func(c *pgx.Conn, connection, n int) error) work {
	return work{open: func(connection int, _ time.Duration) (operation, error) {
		c, err := pgx.Connect(ctx, d.url)
		if err != nil {
			return operation{}, errors.Join(fmt.Errorf("connection %d of at most %d", connection+1, d.most), err)
		}
		if _, err := c.Prepare(ctx, sql, sql); err != nil {
			return operation{}, errors.Join(err, c.Close(ctx))
		}
		return operation{
			do:    func(n int) error { return do(c, connection, n) },
			close: func() { _ = c.Close(ctx) },
		}, nil
	}}
}
