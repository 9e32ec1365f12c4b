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
	getSQL = "SELECT " + rowColumns + " FROM objects o" +
		" WHERE o.kind = $1 AND o.id = $2 AND ($3 = '' OR o.org = $3) AND o.deleted IS NULL"

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

// reader implements store.Reader over a connection.
type reader struct {
	dialect *dialect
	conn    conn
}

func (r reader) Get(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	return r.get(ctx, getSQL, org, key)
}

func (r reader) get(ctx context.Context, sql, org string, key store.Key) (*store.Row, error) {
	if !storable(org) || !storable(key.Kind) || !storable(key.ID) {
		return nil, store.ErrNotFound
	}
	var found *store.Row
	err := r.conn.query(ctx, sql, []any{key.Kind, key.ID, org}, func(scan func(...any) error) error {
		var s rowScan
		found = &s.Row
		return s.scan(scan)
	})
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, store.ErrNotFound
	}
	return found, nil
}

func (r reader) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if q.Limit < 1 {
		return nil, fmt.Errorf("store: list limit is %d, it must be at least 1", q.Limit)
	}
	b, ok := plan(r.dialect, q)
	if !ok {
		return nil, nil
	}
	sql, args := b.list()
	rows := make([]store.Row, 0, min(q.Limit, 100))
	s := rowScan{Row: store.Row{Key: store.Key{Kind: q.Kind}, Org: q.Org}}
	dest := []any{&s.ID, &s.Parent, &s.Name, &s.Seq, &s.Version, &s.created, &s.updated, &s.Body}
	if q.Org == "" {
		dest = append(dest, &s.Org)
	}
	err := r.conn.query(ctx, sql, args, func(scan func(...any) error) error {
		if err := scan(dest...); err != nil {
			return err
		}
		s.setTimes()
		rows = append(rows, s.Row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
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
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return value, err
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
