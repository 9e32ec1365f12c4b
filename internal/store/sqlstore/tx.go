package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/store"
)

const (
	// Without a target, ON CONFLICT covers the ID and the name alike, and waits
	// for a transaction that is about to commit either of them.
	insertSQL = "INSERT INTO objects (org, kind, id, parent, name, version, created, updated, body, private)" +
		" VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING seq"

	idTakenSQL   = "SELECT o.id FROM objects o WHERE o.kind = $1 AND o.id = $2"
	nameTakenSQL = "SELECT o.id FROM objects o WHERE o.org = $1 AND o.kind = $2 AND o.parent = $3 AND o.name = $4" +
		" AND o.name <> '' AND o.deleted IS NULL"

	updateSQL = "UPDATE objects SET name = $3, updated = $4, body = $5, private = $6, version = version + 1" +
		" WHERE kind = $1 AND id = $2 AND deleted IS NULL"
	updateReturningSQL = " RETURNING seq, version, org"
	// sameNameSQL restricts updateSQL to writes that cannot collide.
	sameNameSQL = " AND (name = $3 OR $3 = '')"

	liveSQL = "SELECT o.seq, o.org, o.parent FROM objects o WHERE o.kind = $1 AND o.id = $2 AND o.deleted IS NULL"

	deleteSQL = "UPDATE objects SET deleted = $2, updated = $2, version = version + 1, name = '', body = $3, private = $3" +
		" WHERE seq = $1"

	// The number of a row that was inserted a moment ago need not be known.
	insertEntriesSQL = "INSERT INTO entries (seq, org, kind, field, value, target)" +
		" SELECT o.seq, o.org, o.kind, e.field, e.value, e.target FROM objects o CROSS JOIN (SELECT $3 AS field, $4 AS value, $5 AS target"
	nextEntrySQL     = " UNION ALL SELECT "
	entriesOfSQL     = ") e WHERE o.kind = $1 AND o.id = $2 ON CONFLICT DO NOTHING"
	deleteEntriesSQL = "DELETE FROM entries WHERE seq = $1"

	putSettingSQL = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING"
)

const (
	// entryBatch is the greatest number of entries in one statement.
	entryBatch = 32
	// collisionTries bounds how often a write is repeated whose name was taken
	// a moment ago and is free by the time of looking who has it.
	collisionTries = 10
)

// tx implements store.Tx over the connection of a transaction.
type tx struct {
	reader
	conn    *guardedConn
	written *changes
	// events are those that the end of the transaction writes.
	events  []store.Event
	tallied tallies
	limits  *limits
	// assume lets the transaction take for granted what most often holds, and
	// assumed is of how many inserts that is still open.
	assume  bool
	assumed int
	// held are statements that another transaction runs, and counted is what it counts.
	held    []statement
	counted []delta
	// place is where in the order of names the first row inserted stands.
	place string
	// blamed is what one of the statements failed with.
	blamed error
}

var _ store.Tx = (*tx)(nil)

func (t *tx) Lock(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	return t.get(ctx, t.dialect.forUpdate, org, key)
}

func (t *tx) Pin(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	return t.get(ctx, t.dialect.forPin, org, key)
}

func (t *tx) Insert(ctx context.Context, r *store.Row, entries []store.Entry) error {
	if err := checkRow(r, entries); err != nil {
		return err
	}
	args := []any{r.Org, r.Kind, r.ID, r.Parent, r.Name, r.Created.UnixMicro(), r.Updated.UnixMicro(),
		notNil(r.Body), notNil(r.Private)}
	if t.place == "" {
		t.place = strings.Join([]string{r.Org, r.Kind, r.Parent, r.Name}, "\x00")
	}
	insert := t.insertNow
	if t.assume {
		insert = t.insertLater
	}
	if err := insert(ctx, r, args); err != nil {
		return err
	}
	r.Version = 1
	t.written.add(r.Org, r.Key)
	return t.insertEntries(ctx, r.Key, entries)
}

// insertNow inserts the row, or finds out what is taken.
func (t *tx) insertNow(ctx context.Context, r *store.Row, args []any) error {
	for range collisionTries {
		if err := t.one(ctx, insertSQL, args, &r.Seq); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		taken, err := t.idTaken(ctx, r.Key)
		if err == nil && taken == nil {
			taken, err = t.nameTaken(ctx, r.Org, r.Kind, r.Parent, r.Name)
		}
		if err != nil || taken != nil {
			return errOr(err, taken)
		}
	}
	return fmt.Errorf("insert %s: the name keeps changing hands: %w", r.Kind, store.ErrUnavailable)
}

// insertLater has the row inserted, and assumes that nothing is taken.
func (t *tx) insertLater(ctx context.Context, r *store.Row, args []any) error {
	t.assumed++
	inserted := false
	return t.conn.later(ctx, statement{
		sql: insertSQL, args: args,
		row: func(scan func(...any) error) error {
			inserted = true
			return scan(&r.Seq)
		},
		end: func() error {
			if !inserted {
				return fmt.Errorf("%w: the ID or the name is taken", errAssumed)
			}
			t.assumed--
			return nil
		},
	})
}

func (t *tx) Update(ctx context.Context, r *store.Row, entries []store.Entry) error {
	if !storable(r.Kind) || !storable(r.ID) {
		return store.ErrNotFound
	}
	if err := checkRow(r, entries); err != nil {
		return err
	}
	args := []any{r.Kind, r.ID, r.Name, r.Updated.UnixMicro(), notNil(r.Body), notNil(r.Private)}
	var seq, version int64
	var org string
	err := t.one(ctx, updateSQL+sameNameSQL+updateReturningSQL, args, &seq, &version, &org)
	if errors.Is(err, store.ErrNotFound) {
		err = t.rename(ctx, r, args, &seq, &version, &org)
	}
	if err != nil {
		return err
	}
	r.Version = version
	t.written.add(org, r.Key)
	if err := t.conn.later(ctx, statement{sql: deleteEntriesSQL, args: []any{seq}}); err != nil {
		return err
	}
	return t.insertEntries(ctx, r.Key, entries)
}

// rename is an update that claims a name. PostgreSQL ends a transaction over
// a violation, save for what stands before a savepoint.
func (t *tx) rename(ctx context.Context, r *store.Row, args []any, seq, version *int64, org *string) error {
	var parent string
	if err := t.one(ctx, liveSQL+t.dialect.forUpdate, args[:2], seq, org, &parent); err != nil {
		return err
	}
	for range collisionTries {
		err := t.savepoint(ctx, func() error {
			return t.one(ctx, updateSQL+updateReturningSQL, args, seq, version, org)
		})
		if !errors.Is(err, errDuplicate) {
			return err
		}
		taken, err := t.nameTaken(ctx, *org, r.Kind, parent, r.Name)
		if err != nil || taken != nil {
			return errOr(err, taken)
		}
	}
	return fmt.Errorf("rename %s: the name keeps changing hands: %w", r.Kind, store.ErrUnavailable)
}

func (t *tx) savepoint(ctx context.Context, fn func() error) error {
	if _, err := t.conn.exec(ctx, "SAVEPOINT attempt", nil); err != nil {
		return err
	}
	err := fn()
	if errors.Is(err, errDuplicate) {
		if _, rollbackErr := t.conn.exec(ctx, "ROLLBACK TO SAVEPOINT attempt", nil); rollbackErr != nil {
			return rollbackErr
		}
	}
	if err != nil && !errors.Is(err, errDuplicate) {
		return err
	}
	if _, releaseErr := t.conn.exec(ctx, "RELEASE SAVEPOINT attempt", nil); releaseErr != nil {
		return releaseErr
	}
	return err
}

// idTaken reports whether the ID was ever used. An ID never becomes free, so
// there is nothing to lock.
func (t *tx) idTaken(ctx context.Context, key store.Key) (*store.ErrTaken, error) {
	var id string
	err := t.one(ctx, idTakenSQL, []any{key.Kind, key.ID}, &id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return &store.ErrTaken{By: key}, err
}

// nameTaken looks for the row that has the name, and returns nil if nobody has
// it any more. The row is locked as if to be written: fn may build on the
// answer, and two transactions that shared the lock could not both go on to
// write the row.
func (t *tx) nameTaken(ctx context.Context, org, kind, parent, name string) (*store.ErrTaken, error) {
	by := store.Key{Kind: kind}
	err := t.one(ctx, nameTakenSQL+t.dialect.forUpdate, []any{org, kind, parent, name}, &by.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return &store.ErrTaken{By: by, Name: name}, err
}

func (t *tx) Delete(ctx context.Context, key store.Key, at time.Time) error {
	if !storable(key.Kind) || !storable(key.ID) {
		return store.ErrNotFound
	}
	var seq int64
	var org, parent string
	// The lock waits for the transactions that have pinned the row.
	if err := t.one(ctx, liveSQL+t.dialect.forUpdate, []any{key.Kind, key.ID}, &seq, &org, &parent); err != nil {
		return err
	}
	if err := t.conn.later(ctx, statement{sql: deleteSQL, args: []any{seq, at.UnixMicro(), []byte{}}}); err != nil {
		return err
	}
	t.written.add(org, key)
	return t.conn.later(ctx, statement{sql: deleteEntriesSQL, args: []any{seq}})
}

func (t *tx) PutSetting(ctx context.Context, name string, value []byte) (bool, error) {
	if err := checkText("the name of a setting", name, maxShort); err != nil {
		return false, err
	}
	n, err := t.conn.exec(ctx, putSettingSQL, []any{name, notNil(value)})
	return n == 1, err
}

func (t *tx) insertEntries(ctx context.Context, key store.Key, entries []store.Entry) error {
	for len(entries) > 0 {
		batch := entries[:min(len(entries), entryBatch)]
		entries = entries[len(batch):]
		sql := strings.Builder{}
		sql.WriteString(insertEntriesSQL)
		args := append(make([]any, 0, 2+3*len(batch)), key.Kind, key.ID)
		for i, e := range batch {
			if n := len(args); i > 0 {
				sql.WriteString(nextEntrySQL + "$" + strconv.Itoa(n+1) + ", $" + strconv.Itoa(n+2) + ", $" + strconv.Itoa(n+3))
			}
			args = append(args, e.Field, e.Value, e.Target)
		}
		sql.WriteString(entriesOfSQL)
		if err := t.conn.later(ctx, statement{sql: sql.String(), args: args}); err != nil {
			return err
		}
	}
	return nil
}

// one reads the only row of a statement's result, or returns ErrNotFound.
func (t *tx) one(ctx context.Context, sql string, args []any, dest ...any) error {
	found := false
	err := t.conn.query(ctx, sql, args, func(scan func(...any) error) error {
		found = true
		return scan(dest...)
	})
	if err == nil && !found {
		return store.ErrNotFound
	}
	return err
}

// checkRow returns an error for what one of the databases cannot hold.
func checkRow(r *store.Row, entries []store.Entry) error {
	if r.Kind == "" || r.ID == "" {
		return errors.New("store: a row needs a kind and an ID")
	}
	err := errors.Join(
		checkText("the organization", r.Org, maxShort),
		checkText("the kind", r.Kind, maxShort),
		checkText("the ID", r.ID, maxShort),
		checkText("the parent", r.Parent, maxShort),
		checkText("the name", r.Name, maxLong),
	)
	for _, e := range entries {
		err = errors.Join(err,
			checkText("the field of an entry", e.Field, maxShort),
			checkText("the target of an entry", e.Target, maxShort),
			checkText("the value of an entry", e.Value, maxLong),
		)
	}
	return err
}

// notNil turns nil into an empty value, which is what the store holds for it.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// errOr returns err or else the collision, without making an error of nil.
func errOr(err error, taken *store.ErrTaken) error {
	if err != nil {
		return err
	}
	return taken
}
