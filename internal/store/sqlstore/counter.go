package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weirhq/weir/internal/store"
)

// A counter is exact, and yet must not make all who count wait for each other.
//
// On SQLite, where one transaction writes at a time, it is one row. So is a
// counter of a subject on PostgreSQL, which few change at once: the row's lock
// is held from the change to the end of the transaction, and whoever changes it
// next sees the value.
//
// An organization's counter on PostgreSQL is spread over dialect.slots rows,
// whose sum it is, since all who create something in the organization change
// it, and a lock is held while a commit waits for the disk. Who takes one
// locks the row of one slot, and then reads the sum of what is committed (and
// its own). Each connection has a slot, so that those of one process, of which
// there are 16 unless the operator says otherwise, do not wait for each other.
// The sum leaves out what others have taken and not committed. But each of them
// holds the lock of another slot, and has taken no more than the allowance, a part of
// the limit: while the sum stands by more than an allowance for each slot below the
// limit, all of them together stay below it. Nearer to the limit, and for who takes
// more, all slots are locked, in their order: then nobody else is under way, and the
// sum is exact. The first run of a transaction assumes that the limit is far. A limit
// is changed while nobody counts, so that all who are under way have the same one.
//
// The sum must be read by a statement of its own that begins once the lock is
// held: under READ COMMITTED a statement sees what was committed when it began.
//
// Counters are changed after all that the transaction's function did, in one
// order, so that no two transactions wait for each other, and no lock of a
// counter is held longer than it takes to commit.

const (
	// limitInSQL is the limit in force: what was set, or the default.
	limitInSQL = "coalesce((SELECT l.value FROM limits l WHERE l.org = $1 AND l.name = $3), $4)"

	addSQL = "INSERT INTO counters (org, subject, name, slot, value) VALUES ($1, $2, $3, $5, $6)" +
		" ON CONFLICT (org, subject, name, slot) DO UPDATE SET value = counters.value + excluded.value RETURNING value, " + limitInSQL
	sumSQL = "SELECT CAST(coalesce(sum(c.value), 0) AS bigint), " + limitInSQL + ", count(*)" +
		" FROM counters c WHERE c.org = $1 AND c.subject = $2 AND c.name = $3"
	// lockSlotsSQL is for PostgreSQL alone: elsewhere there is one slot.
	lockSlotsSQL = "SELECT c.slot FROM counters c WHERE c.org = $1 AND c.subject = $2 AND c.name = $3 ORDER BY c.slot FOR UPDATE"
	makeSlotSQL  = "INSERT INTO counters (org, subject, name, slot, value) VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING"
	// dropZeroSQL keeps the table from growing with every subject that ever was.
	dropZeroSQL = "DELETE FROM counters WHERE org = $1 AND subject = $2 AND name = $3 AND value = 0"

	countersSQL      = "SELECT c.name, CAST(sum(c.value) AS bigint) FROM counters c WHERE c.org = $1 AND c.subject = $2 GROUP BY c.name"
	countersNamedSQL = "SELECT c.org, c.subject, CAST(sum(c.value) AS bigint) FROM counters c WHERE c.name = $1 GROUP BY c.org, c.subject"
	limitsSQL        = "SELECT name, value FROM limits WHERE org = $1"

	clearCountersSQL = "DELETE FROM counters WHERE name = $1"
	putLimitSQL      = "INSERT INTO limits (org, name, value) VALUES ($1, $2, $3) ON CONFLICT (org, name) DO UPDATE SET value = excluded.value"
	deleteLimitSQL   = "DELETE FROM limits WHERE org = $1 AND name = $2"
)

func (r reader) Counters(ctx context.Context, org, subject string) (map[string]int64, error) {
	values := map[string]int64{}
	if !storable(org) || !storable(subject) {
		return values, nil
	}
	err := r.conn.query(ctx, countersSQL, []any{org, subject}, func(scan func(...any) error) error {
		var name string
		var value int64
		err := scan(&name, &value)
		values[name] = value
		return err
	})
	return values, err
}

func (r reader) CountersNamed(ctx context.Context, name string) (map[store.Counter]int64, error) {
	values := map[store.Counter]int64{}
	if !storable(name) {
		return values, nil
	}
	err := r.conn.query(ctx, countersNamedSQL, []any{name}, func(scan func(...any) error) error {
		c := store.Counter{Name: name}
		var value int64
		err := scan(&c.Org, &c.Subject, &value)
		if value != 0 {
			values[c] = value
		}
		return err
	})
	return values, err
}

func (r reader) Limits(ctx context.Context, org string) (map[string]int64, error) {
	limits := map[string]int64{}
	if !storable(org) {
		return limits, nil
	}
	err := r.conn.query(ctx, limitsSQL, []any{org}, func(scan func(...any) error) error {
		var name string
		var limit int64
		err := scan(&name, &limit)
		limits[name] = limit
		return err
	})
	return limits, err
}

// tallies are what the rows that a transaction writes count for, before and
// after.
type tallies struct {
	before, after map[store.Key][]store.Share
	overdraw      bool
}

func (t *tx) Tally(row store.Key, before, after []store.Share) {
	if t.tallied.before == nil {
		t.tallied.before, t.tallied.after = map[store.Key][]store.Share{}, map[store.Key][]store.Share{}
	}
	if _, known := t.tallied.before[row]; !known {
		t.tallied.before[row] = before
	}
	t.tallied.after[row] = after
}

// delta is what a transaction adds to a counter.
type delta struct {
	store.Share
	By int64
}

// deltas are those of the transaction.
func (t tallies) deltas() []delta {
	var all []delta
	add := func(rows map[store.Key][]store.Share, by int64) {
		for _, shares := range rows {
			for _, s := range shares {
				all = append(all, delta{s, by})
			}
		}
	}
	add(t.before, -1)
	add(t.after, 1)
	return sum(all)
}

// sum makes one delta of those of a counter, and leaves out what comes to nothing. They
// are in the order in which all transactions take them.
func sum(all []delta) []delta {
	sums := map[store.Counter]delta{}
	for _, d := range all {
		if known, ok := sums[d.Counter]; ok {
			d.Limit, d.By = min(d.Limit, known.Limit), d.By+known.By
		}
		sums[d.Counter] = d
	}
	maps.DeleteFunc(sums, func(_ store.Counter, d delta) bool { return d.By == 0 })
	return slices.SortedFunc(maps.Values(sums), func(a, b delta) int {
		return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Name, b.Name))
	})
}

func (t *tx) Overdraw() { t.tallied.overdraw = true }

// count applies the deltas at the end of the transaction.
func (t *tx) count(ctx context.Context, all []delta) error {
	for _, d := range all {
		if err := checkCounter(d.Counter); err != nil {
			return err
		}
		change := t.change
		if t.dialect.spreads(d.Counter) {
			change = t.spread
		}
		if err := change(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// spreads reports whether the counter has several rows.
func (d *dialect) spreads(c store.Counter) bool { return c.Subject == "" && d.slots > 1 }

func checkCounter(c store.Counter) error {
	err := errors.Join(
		checkText("the organization of a counter", c.Org, maxShort),
		checkText("the name of a counter", c.Name, maxShort),
		checkText("the subject of a counter", c.Subject, maxShort),
	)
	if err == nil && (c.Org == "" || c.Name == "") {
		err = errors.New("store: a counter needs an organization and a name")
	}
	return err
}

// change changes a counter of one row.
func (t *tx) change(ctx context.Context, d delta) error {
	sql, args := d.add(0)
	err := t.conn.later(ctx, statement{sql: sql, args: args, row: func(scan func(...any) error) error {
		var value, limit int64
		if err := scan(&value, &limit); err != nil {
			return err
		}
		if !t.free(d) && value > limit {
			return &store.ErrFull{Counter: d.Counter, Limit: limit, Value: value}
		}
		return nil
	}})
	if err == nil && d.By < 0 {
		err = t.conn.later(ctx, statement{sql: dropZeroSQL, args: []any{d.Org, d.Subject, d.Name}})
	}
	return err
}

// free reports whether the change is not bound to the limit.
func (t *tx) free(d delta) bool { return d.By < 0 || t.tallied.overdraw }

// spread changes a counter of several rows.
func (t *tx) spread(ctx context.Context, d delta) error {
	number, err := t.conn.number(ctx)
	if err != nil {
		return err
	}
	add, args := d.add(number % t.dialect.slots)
	if t.free(d) {
		return t.conn.later(ctx, statement{sql: add, args: args})
	}
	far := true
	if !t.assume {
		// A first look tells which way to go: to lock all slots with one of them
		// locked already could end in a deadlock.
		value, limit, slots, err := t.sum(ctx, d)
		if err == nil && slots < t.dialect.slots {
			err = t.makeSlots(ctx, d.Counter)
		}
		if err != nil {
			return err
		}
		far = t.dialect.far(d.By, value+d.By, limit)
	}
	if !far {
		if err := t.lockSlots(ctx, d.Counter); err != nil {
			return err
		}
	}
	if err := t.conn.later(ctx, statement{sql: add, args: args}); err != nil {
		return err
	}
	sql, args := d.sum()
	return t.conn.later(ctx, statement{sql: sql, args: args, row: func(scan func(...any) error) error {
		var value, limit, slots int64
		if err := scan(&value, &limit, &slots); err != nil {
			return err
		}
		t.limits.learn(d.Share, limit)
		again := errRetry
		if t.assume {
			again = errAssumed
		}
		switch {
		case slots < int64(t.dialect.slots):
			// They are yet to be made, or a recount has just removed them.
			return &counterError{d.Counter, "has too few slots", again}
		case far && t.dialect.far(d.By, value, limit), !far && value <= limit:
			return nil
		case far:
			// It was so from the beginning, or others were quicker. The next run sees
			// at once that the limit is near.
			return &counterError{d.Counter, "is near its limit", again}
		default:
			return &store.ErrFull{Counter: d.Counter, Limit: limit, Value: value}
		}
	}})
}

// allowance is how much one transaction takes of a counter with so high a limit while
// others take as much.
func (d *dialect) allowance(limit int64) int64 { return max(limit/int64(4*d.slots), 1) }

// far reports whether the counter, of which the transaction has taken so much, is so
// far below its limit that it stays below whatever others are about to take.
func (d *dialect) far(took, value, limit int64) bool {
	allowance := d.allowance(limit)
	return took <= allowance && value <= limit-allowance*int64(d.slots)
}

// counterError is why a transaction has to be run again for the sake of a counter.
type counterError struct {
	store.Counter
	reason string
	again  error
}

func (e *counterError) Error() string {
	return fmt.Sprintf("%v: the counter %s %s", e.again, e.Name, e.reason)
}
func (e *counterError) Unwrap() error { return e.again }

// add is the statement that changes one row of the counter.
func (d delta) add(slot int) (sql string, args []any) {
	return addSQL, []any{d.Org, d.Subject, d.Name, d.Limit, int64(slot), d.By}
}

// sum is the statement that reads what the counter stands at, the limit in force
// and the number of its rows.
func (d delta) sum() (sql string, args []any) {
	return sumSQL, []any{d.Org, d.Subject, d.Name, d.Limit}
}

// sum returns the value of a counter and how many rows it has.
func (t *tx) sum(ctx context.Context, d delta) (value, limit int64, slots int, err error) {
	var n int64
	sql, args := d.sum()
	err = t.one(ctx, sql, args, &value, &limit, &n)
	return value, limit, int(n), err
}

func (t *tx) lockSlots(ctx context.Context, c store.Counter) error {
	return t.conn.query(ctx, lockSlotsSQL, []any{c.Org, c.Subject, c.Name}, func(scan func(...any) error) error {
		var slot int64
		return scan(&slot)
	})
}

// makeSlots makes the rows of a counter that is new. They are never deleted:
// what is locked must be there.
func (t *tx) makeSlots(ctx context.Context, c store.Counter) error {
	for slot := range t.dialect.slots {
		if err := t.conn.later(ctx, statement{sql: makeSlotSQL, args: []any{c.Org, c.Subject, c.Name, int64(slot)}}); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) HoldCounters(ctx context.Context) error {
	_, err := t.conn.exec(ctx, t.dialect.holdCounters, nil)
	return err
}

func (t *tx) SetCounters(ctx context.Context, name string, values map[store.Counter]int64) error {
	if _, err := t.conn.exec(ctx, clearCountersSQL, []any{name}); err != nil {
		return err
	}
	for c, value := range values {
		if c.Name != name {
			return fmt.Errorf("store: the counter %s is not named %s", c.Name, name)
		}
		if err := checkCounter(c); err != nil {
			return err
		}
		sql, args := delta{store.Share{Counter: c}, value}.add(0)
		if err := t.conn.later(ctx, statement{sql: sql, args: args}); err != nil {
			return err
		}
	}
	return nil
}

// holdLimit waits until nobody counts under the limit as it is. Who makes the slots of a
// counter is alone with it.
func (t *tx) holdLimit(ctx context.Context, org, name string) error {
	c := store.Counter{Org: org, Name: name}
	if !t.dialect.spreads(c) {
		return nil
	}
	return t.lockSlots(ctx, c)
}

func (t *tx) PutLimit(ctx context.Context, org, name string, limit int64) error {
	if err := checkCounter(store.Counter{Org: org, Name: name}); err != nil {
		return err
	}
	if err := t.holdLimit(ctx, org, name); err != nil {
		return err
	}
	_, err := t.conn.exec(ctx, putLimitSQL, []any{org, name, limit})
	return err
}

func (t *tx) DeleteLimit(ctx context.Context, org, name string) (bool, error) {
	if !storable(org) || !storable(name) {
		return false, nil
	}
	if err := t.holdLimit(ctx, org, name); err != nil {
		return false, err
	}
	n, err := t.conn.exec(ctx, deleteLimitSQL, []any{org, name})
	return n == 1, err
}
