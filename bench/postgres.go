package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing" //nolint:depguard // pgtest starts servers for tests, and this is one

	"github.com/weirhq/weir/internal/pgtest" //nolint:depguard // as above
)

// onPostgreSQL is the table of the part.
const onPostgreSQL = "PostgreSQL"

// postgres compares Weir on PostgreSQL.
func (b *bench) postgres(ctx context.Context) error {
	s, w, err := b.startOnPostgres(ctx, weirName, "postgres")
	if w == nil || err != nil {
		return err
	}
	bare, err := b.startBare(ctx, w, bareHandler, "", "")
	if err != nil {
		return err
	}
	contestants := []*contestant{&w.contestant, bare}
	for _, d := range []struct{ name, driver string }{{bareDriver, overPgx}, {bareStore, postgresStore}} {
		database, err := s.database()
		if err != nil {
			return err
		}
		c, err := b.startBare(ctx, w, d.name, d.driver, database)
		if err != nil {
			return err
		}
		contestants = append(contestants, c)
	}
	err = b.compare(ctx, onPostgreSQL, allWorks, contestants...)
	if err == nil {
		err = b.halfLoads(ctx, onPostgreSQL, &w.contestant, bare)
	}
	return errors.Join(err, b.printRows(b.out, onPostgreSQL), b.printHalves(b.out, onPostgreSQL, b.targetConnections()))
}

// startOnPostgres is startFilled on a server of PostgreSQL, which it starts. Where
// there is none, it returns no Weir and no error.
func (b *bench) startOnPostgres(ctx context.Context, name, folder string) (*postgresServer, *weir, error) {
	s := b.startPostgres()
	if s == nil {
		return nil, nil, nil
	}
	database, err := s.database()
	if err != nil {
		return nil, nil, err
	}
	w, err := b.startFilled(ctx, name, folder, database)
	return s, w, err
}

// postgresServer gives databases on a server that syncs its writes: that which
// pgtest.EnvURL names, or one of its own.
type postgresServer struct {
	testing.TB
	server   *pgtest.Server
	cleanups []func()
}

// startPostgres starts the server, until the part under way ends. Where there is
// no PostgreSQL it says so and returns nil.
func (b *bench) startPostgres() *postgresServer {
	s := &postgresServer{}
	b.atEnd(func() error {
		s.stop()
		return nil
	})
	if os.Getenv(pgtest.EnvURL) != "" {
		return s
	}
	if err := s.start(); err != nil {
		b.warn("PostgreSQL was not measured: %v", err)
		return nil
	}
	return s
}

// start starts a server of its own.
func (s *postgresServer) start() (err error) {
	defer s.recover(&err)
	// PostgreSQL's own standard for its buffers.
	s.server = pgtest.Start(s, pgtest.WithSetting("shared_buffers", "128MB"))
	return nil
}

// database returns the URL of a database that is empty.
func (s *postgresServer) database() (url string, err error) {
	defer s.recover(&err)
	if s.server != nil {
		return s.server.URL(), nil
	}
	return pgtest.URL(s), nil
}

// stop drops the databases, and ends a server of its own.
func (s *postgresServer) stop() {
	for _, do := range slices.Backward(s.cleanups) {
		do()
	}
	s.cleanups = nil
}

// fatal is what a test that fails panics with here, where there is no test.
type fatal struct{ error }

func (s *postgresServer) recover(err *error) {
	switch r := recover().(type) {
	case nil:
	case fatal:
		*err = r.error
	default:
		panic(r)
	}
}

// What follows is all that pgtest asks of a test.

func (s *postgresServer) Helper()           {}
func (s *postgresServer) Cleanup(f func())  { s.cleanups = append(s.cleanups, f) }
func (s *postgresServer) Fatal(args ...any) { panic(fatal{errors.New(fmt.Sprint(args...))}) }
func (s *postgresServer) Fatalf(format string, args ...any) {
	panic(fatal{fmt.Errorf(format, args...)})
}
func (s *postgresServer) Logf(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
