package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// rowColumns are all columns of a row, in the order of rowScan.
const rowColumns = "o.org, o.kind, o.id, o.parent, o.name, o.seq, o.version, o.created, o.updated, o.body, o.private"

const (
	// What is known of a row before it is read is not read again. The organization
	// is compared in a way that no index of PostgreSQL serves: without statistics it
	// would choose that of lists, and walk through all rows of the kind.
	getColumns     = "o.parent, o.name, o.seq, o.version, o.created, o.updated, o.body, o.private"
	getSQL         = "SELECT " + getColumns + " FROM objects o WHERE o.kind = $1 AND o.id = $2 AND o.org IS NOT DISTINCT FROM $3 AND o.deleted IS NULL"
	getAnywhereSQL = "SELECT " + getColumns + ", o.org FROM objects o WHERE o.kind = $1 AND o.id = $2 AND o.deleted IS NULL"

	// The driving table is named first and joined with CROSS JOIN: SQLite keeps
	// that order, and PostgreSQL takes it as any other join.
	referrersSQL = "SELECT e.field, " + rowColumns + " FROM entries e CROSS JOIN objects o" +
		" WHERE e.target = $1 AND e.target <> '' AND e.value = $2 AND o.seq = e.seq" +
		" ORDER BY e.seq, e.field LIMIT $3 + 0" // as in a list

	settingSQL = "SELECT value FROM settings WHERE name = $1"
	pingSQL    = "SELECT 1 FROM settings LIMIT 1"
	// rewriteSQL writes what is there: a write that changes nothing.
	rewriteSQL = "UPDATE goose_db_version SET is_applied = is_applied WHERE version_id = 1"
)

// byKey reports whether the query reads at most one row, found by its key.
func byKey(sql string) bool { return sql == getSQL || sql == getAnywhereSQL || sql == settingSQL }

// reader implements store.Reader over a connection.
type reader struct {
	dialect *dialect
	conn    conn
}

func (r reader) Get(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	return r.get(ctx, "", org, key)
}

// get reads a row, locked as the end of the statement says.
func (r reader) get(ctx context.Context, lock, org string, key store.Key) (*store.Row, error) {
	if !storable(org) || !storable(key.Kind) || !storable(key.ID) {
		return nil, store.ErrNotFound
	}
	s := rowScan{Row: store.Row{Key: key, Org: org}}
	dest := []any{&s.Parent, &s.Name, &s.Seq, &s.Version, &s.created, &s.updated, &s.Body, &s.Private}
	sql, args := getSQL, []any{key.Kind, key.ID, org}
	if org == "" {
		sql, args, dest = getAnywhereSQL, args[:2], append(dest, &s.Org)
	}
	found := false
	err := r.conn.query(ctx, sql+lock, args, func(scan func(...any) error) error {
		found = true
		return scan(dest...)
	})
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, store.ErrNotFound
	}
	s.setTimes()
	return &s.Row, nil
}

func (r reader) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	return collect(q, func(f func(*store.Row) error) error { return r.Visit(ctx, q, f) })
}

// collect copies the rows that visit lends.
func collect(q store.Query, visit func(func(*store.Row) error) error) ([]store.Row, error) {
	rows := make([]store.Row, 0, min(max(q.Limit, 0), 100))
	err := visit(func(row *store.Row) error {
		kept := *row
		kept.Body = append([]byte{}, row.Body...)
		rows = append(rows, kept)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (r reader) Visit(ctx context.Context, q store.Query, f func(*store.Row) error) error {
	if q.Limit < 1 {
		return fmt.Errorf("store: list limit is %d, it must be at least 1", q.Limit)
	}
	b, ok := plan(r.dialect, q)
	if !ok {
		return nil
	}
	sql, args := b.list()
	var s rowScan
	var body lent
	dest := []any{&s.Seq, &body}
	if !q.BodyOnly {
		s.Kind, s.Org = q.Kind, q.Org
		dest = append(dest, &s.ID, &s.Parent, &s.Name, &s.Version, &s.created, &s.updated)
		if q.Org == "" {
			dest = append(dest, &s.Org)
		}
	}
	return r.conn.query(ctx, sql, args, func(scan func(...any) error) error {
		if err := scan(dest...); err != nil {
			return err
		}
		if !q.BodyOnly {
			s.setTimes()
		}
		s.Body = body
		return f(&s.Row)
	})
}

// lent receives bytes that are there until the next row. It has the form that
// pgx gives the bytes of its own buffer to.
type lent []byte

// ScanBytes takes the bytes as they are.
func (l *lent) ScanBytes(b []byte) error {
	*l = b
	return nil
}

func (r reader) Count(ctx context.Context, q store.Query) (int64, error) {
	b, ok := plan(r.dialect, q)
	if !ok {
		return 0, nil
	}
	sql, args := b.count()
	var n int64
	err := r.conn.query(ctx, sql, args, func(scan func(...any) error) error { return scan(&n) })
	return n, err
}

func (r reader) Referrers(ctx context.Context, to store.Key, limit int) ([]store.Referrer, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: referrers limit is %d, it must be at least 1", limit)
	}
	if !storable(to.Kind) || !storable(to.ID) {
		return nil, nil
	}
	var refs []store.Referrer
	err := r.conn.query(ctx, referrersSQL, []any{to.Kind, to.ID, int64(limit)}, func(scan func(...any) error) error {
		var s rowScan
		var field string
		if err := s.scan(scan, &field); err != nil {
			return err
		}
		refs = append(refs, store.Referrer{Row: s.Row, Field: field})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return refs, nil
}

func (r reader) Setting(ctx context.Context, name string) ([]byte, error) {
	if !storable(name) {
		return nil, store.ErrNotFound
	}
	var value []byte
	found := false
	err := r.conn.query(ctx, settingSQL, []any{name}, func(scan func(...any) error) error {
		found = true
		return scan(&value)
	})
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, store.ErrNotFound
	}
	return value, nil
}

// rowScan receives a row's columns; times are stored as microseconds since
// 1970 UTC, which both databases hold exactly.
type rowScan struct {
	store.Row
	created, updated int64
}

// scan reads rowColumns, after what before is given.
func (s *rowScan) scan(scan func(...any) error, before ...any) error {
	err := scan(append(before, &s.Org, &s.Kind, &s.ID, &s.Parent, &s.Name, &s.Seq, &s.Version,
		&s.created, &s.updated, &s.Body, &s.Private)...)
	s.setTimes()
	return err
}

func (s *rowScan) setTimes() {
	s.Created = time.UnixMicro(s.created).UTC()
	s.Updated = time.UnixMicro(s.updated).UTC()
}
