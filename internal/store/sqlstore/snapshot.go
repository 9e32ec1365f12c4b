package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/weirhq/weir/internal/store"
)

const (
	inspectSQL = "SELECT CASE WHEN o.deleted IS NULL THEN 0 ELSE 1 END, " + rowColumns + " FROM objects o WHERE o.seq > $1 ORDER BY o.seq LIMIT $2"
	// The entries of the rows between two numbers.
	inspectEntriesSQL = "SELECT e.seq, e.field, e.value, e.target FROM entries e WHERE e.seq >= $1 AND e.seq <= $2 ORDER BY e.seq"

	danglingSQL = "SELECT o.org, o.kind, o.id, e.field, e.target, e.value FROM entries e CROSS JOIN objects o" +
		" WHERE e.target <> '' AND o.seq = e.seq AND NOT EXISTS" +
		" (SELECT 1 FROM objects t WHERE t.kind = e.target AND t.id = e.value AND t.deleted IS NULL AND t.org = o.org)"
)

// mostDamage bounds what Damage tells of each sort.
const mostDamage = 100

// impossible are statements that find what no transaction can have written,
// each with the words for a row of its result: a text and a number.
var impossible = []struct{ sql, words string }{
	{
		"SELECT e.field, e.seq FROM entries e LEFT JOIN objects o ON o.seq = e.seq WHERE o.seq IS NULL OR o.deleted IS NOT NULL",
		"the index entry %q is of row %d, which is not there or deleted",
	},
	{
		"SELECT e.field, e.seq FROM entries e CROSS JOIN objects o WHERE o.seq = e.seq AND (o.org <> e.org OR o.kind <> e.kind)",
		"the index entry %q of row %d names another organization or kind than the row",
	},
	{
		"SELECT o.kind, o.seq FROM objects o WHERE o.deleted IS NOT NULL AND (o.name <> '' OR length(o.body) > 0 OR length(o.private) > 0)",
		"a deleted %s, row %d, still has its content",
	},
	{
		"SELECT name, sum(value) FROM counters GROUP BY org, subject, name HAVING sum(value) < 0",
		"the counter %s stands at %d",
	},
}

// snapshot implements store.Snapshot over the connection of one.
type snapshot struct{ reader }

var _ store.Snapshot = snapshot{}

func (s *db) Snapshot(ctx context.Context, fn func(store.Snapshot) error) error {
	return s.backend.snapshot(ctx, func(c conn) error { return fn(snapshot{reader{s.dialect, c}}) })
}

func (s snapshot) Inspect(ctx context.Context, after int64, limit int) ([]store.Inspected, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: inspect limit is %d, it must be at least 1", limit)
	}
	var rows []store.Inspected
	at := map[int64]int{}
	err := s.conn.query(ctx, inspectSQL, []any{after, int64(limit)}, func(scan func(...any) error) error {
		var r rowScan
		var deleted int64
		if err := r.scan(scan, &deleted); err != nil {
			return err
		}
		at[r.Seq] = len(rows)
		rows = append(rows, store.Inspected{Row: r.Row, Deleted: deleted == 1})
		return nil
	})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	err = s.conn.query(ctx, inspectEntriesSQL, []any{rows[0].Seq, rows[len(rows)-1].Seq}, func(scan func(...any) error) error {
		var seq int64
		var e store.Entry
		if err := scan(&seq, &e.Field, &e.Value, &e.Target); err != nil {
			return err
		}
		if i, known := at[seq]; known { // Damage tells of those of no row
			rows[i].Entries = append(rows[i].Entries, e)
		}
		return nil
	})
	return rows, err
}

func (s snapshot) Dangling(ctx context.Context, kinds []string, limit int) ([]store.Reference, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: dangling limit is %d, it must be at least 1", limit)
	}
	var refs []store.Reference
	sql := danglingSQL + " AND " + s.dialect.anyOf("e.target", "$2") + " ORDER BY e.seq LIMIT $1"
	err := s.conn.query(ctx, sql, []any{int64(limit), s.dialect.list(kinds)}, func(scan func(...any) error) error {
		var r store.Reference
		if err := scan(&r.Org, &r.From.Kind, &r.From.ID, &r.Field, &r.To.Kind, &r.To.ID); err != nil {
			return err
		}
		refs = append(refs, r)
		return nil
	})
	return refs, err
}

func (s snapshot) Log(ctx context.Context, after int64, limit int) ([]store.Event, error) {
	if limit < 1 {
		return nil, fmt.Errorf("store: log limit is %d, it must be at least 1", limit)
	}
	var events []store.Event
	err := s.conn.query(ctx, logSQL, []any{after, int64(limit)}, func(scan func(...any) error) error {
		e, err := scanEvent(scan)
		events = append(events, e)
		return err
	})
	return events, err
}

func (s snapshot) Damage(ctx context.Context) ([]string, error) {
	var found []string
	if s.dialect.damage != "" {
		err := s.conn.query(ctx, s.dialect.damage, nil, func(scan func(...any) error) error {
			var text string
			if err := scan(&text); err != nil {
				return err
			}
			if text != s.dialect.sound {
				found = append(found, text)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, i := range impossible {
		err := s.conn.query(ctx, i.sql+" LIMIT $1", []any{int64(mostDamage)}, func(scan func(...any) error) error {
			var text string
			var number int64
			if err := scan(&text, &number); err != nil {
				return err
			}
			found = append(found, fmt.Sprintf(i.words, text, number))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// scanEvent reads the columns of an event.
func scanEvent(scan func(...any) error) (store.Event, error) {
	var e store.Event
	var at int64
	err := scan(&e.Seq, &e.Org, &at, &e.Body)
	e.At = time.UnixMicro(at).UTC()
	return e, err
}
