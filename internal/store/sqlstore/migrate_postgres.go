package sqlstore

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// The advisory lock is asked for once a second, for five minutes at most:
// another replica may be applying a long migration.
const (
	lockPeriodSeconds = 1
	lockTries         = 300
)

func migratePostgres(ctx context.Context, pool *pgxpool.Pool, opts Options) error {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPeriodSeconds, lockTries))
	if err != nil {
		return err
	}
	return migratePostgresWith(ctx, pool, opts, locker)
}

func migratePostgresWith(ctx context.Context, pool *pgxpool.Pool, opts Options, locker lock.SessionLocker) error {
	files, err := fs.Sub(migrations, "migrations/postgres")
	if err != nil {
		return err
	}
	newest, err := newestVersion(files, opts)
	if err != nil {
		return err
	}
	return migrator{
		files: files, newest: newest, opts: opts,
		version: func(ctx context.Context) (int64, error) { return postgresVersion(ctx, pool) },
		up: func(ctx context.Context, files fs.FS) ([]*goose.MigrationResult, error) {
			return upPostgres(ctx, pool, files, locker)
		},
	}.run(ctx)
}

func postgresVersion(ctx context.Context, pool *pgxpool.Pool) (version int64, err error) {
	err = postgresConn{q: pool}.query(ctx, versionSQL, nil, func(scan func(...any) error) error { return scan(&version) })
	if answer := new(pgconn.PgError); errors.As(err, &answer) && answer.Code == "42P01" { // undefined_table
		return 0, nil
	}
	return version, err
}

// upPostgres migrates under an advisory lock. A server that speaks the protocol
// and has no such lock is migrated without; the migrator tries again when
// replicas get in each other's way.
func upPostgres(ctx context.Context, pool *pgxpool.Pool, files fs.FS, locker lock.SessionLocker) ([]*goose.MigrationResult, error) {
	handle := stdlib.OpenDBFromPool(pool)
	defer func() { _ = handle.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, handle, files, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, err
	}
	applied, err := up(ctx, provider)
	if err == nil || !lacksAdvisoryLock(err) {
		return applied, postgresError(ctx, err)
	}
	provider, err = goose.NewProvider(goose.DialectPostgres, handle, files)
	if err != nil {
		return nil, err
	}
	applied, err = up(ctx, provider)
	return applied, postgresError(ctx, err)
}

func lacksAdvisoryLock(err error) bool {
	answer := new(pgconn.PgError)
	return errors.As(err, &answer) && strings.Contains(err.Error(), "advisory_lock") &&
		(answer.Code == "42883" || answer.Code == "0A000") // undefined_function, feature_not_supported
}
