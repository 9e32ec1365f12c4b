package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"zombiezen.com/go/sqlite"         //nolint:depguard // the bare driver is what Weir is compared with
	"zombiezen.com/go/sqlite/sqlitex" //nolint:depguard // as above
)

const (
	createAccounts = "CREATE TABLE accounts (seq INTEGER PRIMARY KEY AUTOINCREMENT, org TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL," +
		" version INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, body BLOB NOT NULL, private BLOB NOT NULL);" + driverIndex
	// maxGroup is how many inserts share a commit at most, as in Weir.
	maxGroup = 256
)

// sqliteDriver reads and inserts rows through the driver of SQLite alone. Like
// Weir it has one connection that writes and a few that read.
type sqliteDriver struct {
	readers chan *sqlite.Conn
	inserts chan insertion
	stopped chan struct{}
}

// insertion is a row on its way to the connection that writes.
type insertion struct {
	row  driverRow
	err  error
	done chan error
}

// openSQLiteDriver makes a database with rows of these IDs, as durable as
// Weir's. Inserts share a commit with others that wait, or each has its own.
func openSQLiteDriver(folder string, row driverRow, ids []string, grouped bool) (*sqliteDriver, error) {
	path := filepath.Join(folder, fmt.Sprintf("driver-%t.db", grouped))
	d := &sqliteDriver{inserts: make(chan insertion), stopped: make(chan struct{})}
	writer, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, err
	}
	for _, pragma := range []string{"journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY", "cache_size = -8192"} {
		if err == nil {
			err = sqlitex.ExecuteTransient(writer, "PRAGMA "+pragma, nil)
		}
	}
	if err == nil {
		err = sqlitex.ExecuteScript(writer, createAccounts, nil)
	}
	for n, id := range ids {
		if err == nil {
			err = insertRow(writer, row.with(id, accountName(n)))
		}
	}
	d.readers = make(chan *sqlite.Conn, max(2*runtime.GOMAXPROCS(0), 4))
	for range cap(d.readers) {
		if err != nil {
			break
		}
		var c *sqlite.Conn
		if c, err = sqlite.OpenConn(path, sqlite.OpenReadWrite); err == nil {
			d.readers <- c
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.closeReaders(), writer.Close())
	}
	group := 1
	if grouped {
		group = maxGroup
	}
	go d.write(writer, group)
	return d, nil
}

func (d *sqliteDriver) close() error {
	close(d.inserts)
	<-d.stopped
	return d.closeReaders()
}

func (d *sqliteDriver) closeReaders() (err error) {
	for range len(d.readers) {
		err = errors.Join(err, (<-d.readers).Close())
	}
	return err
}

// write commits inserts until there are no more to come, up to so many of those
// that wait at a time.
func (d *sqliteDriver) write(writer *sqlite.Conn, group int) {
	defer func() {
		_ = writer.Close()
		close(d.stopped)
	}()
	for first := range d.inserts {
		waiting := []insertion{first}
		err := step(writer, "BEGIN IMMEDIATE")
		for more := true; more && err == nil; {
			// One that fails, since its ID is taken, is undone alone.
			last := &waiting[len(waiting)-1]
			last.err = insertRow(writer, last.row)
			more = false
			// As in Weir, others have the processor once before there are none.
			for try := 0; try < 2 && !more && len(waiting) < group; try++ {
				if try > 0 {
					runtime.Gosched()
				}
				select {
				case next, open := <-d.inserts:
					if more = open; open {
						waiting = append(waiting, next)
					}
				default:
				}
			}
		}
		if err == nil {
			err = step(writer, "COMMIT")
		}
		for _, i := range waiting {
			i.done <- errors.Join(err, i.err)
		}
	}
}

// step runs a statement that has neither parameters nor rows.
func step(c *sqlite.Conn, sql string) error {
	statement, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	_, err = statement.Step()
	return errors.Join(err, statement.Reset())
}

func insertRow(c *sqlite.Conn, r driverRow) error {
	statement, err := c.Prepare(driverInsert)
	if err != nil {
		return err
	}
	for i, value := range r.values() {
		switch v := value.(type) {
		case string:
			statement.BindText(i+1, v)
		case int64:
			statement.BindInt64(i+1, v)
		case []byte:
			statement.BindBytes(i+1, v)
		}
	}
	_, err = statement.Step()
	return errors.Join(err, statement.Reset())
}

func (d *sqliteDriver) insert(_ context.Context, r driverRow) error {
	done := make(chan error, 1)
	d.inserts <- insertion{row: r, done: done}
	return <-done
}

func (d *sqliteDriver) read(_ context.Context, id string) (body []byte, err error) {
	c := <-d.readers
	defer func() { d.readers <- c }()
	statement, err := c.Prepare(driverRead)
	if err != nil {
		return nil, err
	}
	statement.BindText(1, driverKind)
	statement.BindText(2, id)
	found, err := statement.Step()
	if err == nil && !found {
		err = fmt.Errorf("there is no row %s", id)
	}
	if err == nil {
		for i := range statement.ColumnCount() {
			switch statement.ColumnType(i) {
			case sqlite.TypeInteger:
				_ = statement.ColumnInt64(i)
			case sqlite.TypeText:
				_ = statement.ColumnText(i)
			default:
				value := make([]byte, statement.ColumnLen(i))
				statement.ColumnBytes(i, value)
				if statement.ColumnName(i) == "body" {
					body = value
				}
			}
		}
	}
	return body, errors.Join(err, statement.Reset())
}

func (d *sqliteDriver) list(_ context.Context, to []byte) ([]byte, error) {
	c := <-d.readers
	defer func() { d.readers <- c }()
	statement, err := c.Prepare(driverList)
	if err != nil {
		return to, err
	}
	for {
		more, err := statement.Step()
		if err != nil || !more {
			return append(to, ']'), errors.Join(err, statement.Reset())
		}
		to = element(to, nil)
		at, n := len(to), statement.ColumnLen(0)
		to = slices.Grow(to, n)[:at+n]
		statement.ColumnBytes(0, to[at:])
	}
}
