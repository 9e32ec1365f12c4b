package main

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool" //nolint:depguard // the bare driver is what Weir is compared with
)

// driverConnections is how many connections there are at most, as in Weir.
const driverConnections = 16

// postgresDriver reads and inserts rows through pgx alone.
type postgresDriver struct{ pool *pgxpool.Pool }

// newPostgresDriver makes a table with rows of these IDs in an empty database.
func newPostgresDriver(ctx context.Context, url string, row driverRow, ids []string) (*postgresDriver, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = driverConnections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	d := &postgresDriver{pool}
	for _, sql := range []string{
		"CREATE TABLE accounts (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, org TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL," +
			" version BIGINT NOT NULL, created BIGINT NOT NULL, updated BIGINT NOT NULL, body BYTEA NOT NULL, private BYTEA NOT NULL)",
		driverIndex,
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			pool.Close()
			return nil, err
		}
	}
	for n, id := range ids {
		if err := d.insert(ctx, row.with(id, accountName(n))); err != nil {
			pool.Close()
			return nil, err
		}
	}
	return d, nil
}

func (d *postgresDriver) insert(ctx context.Context, r driverRow) error {
	_, err := d.pool.Exec(ctx, driverInsert, r.values()...)
	return err
}

func (d *postgresDriver) read(ctx context.Context, id string) ([]byte, error) {
	var r driverRow
	var kind, parent string
	var version, updated int64
	var private []byte
	err := d.pool.QueryRow(ctx, driverRead, driverKind, id).
		Scan(&r.organization, &kind, &r.id, &parent, &r.name, &version, &r.now, &updated, &r.body, &private)
	return r.body, err
}

func (d *postgresDriver) list(ctx context.Context, to []byte) ([]byte, error) {
	rows, err := d.pool.Query(ctx, driverList)
	if err != nil {
		return to, err
	}
	defer rows.Close()
	for rows.Next() {
		to = element(to, rows.RawValues()[0])
	}
	return append(to, ']'), rows.Err()
}

func (d *postgresDriver) close() error {
	d.pool.Close()
	return nil
}
