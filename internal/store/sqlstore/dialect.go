package sqlstore

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/weirhq/weir/internal/store"
)

// dialect is what differs between the databases in the text of a statement.
type dialect struct {
	// forUpdate and forPin follow a SELECT whose rows stay locked until the
	// transaction ends: against changes and every other lock, and against
	// forUpdate alone.
	forUpdate, forPin string
	// anyOf compares the column with the one parameter that list makes of a
	// list of texts.
	anyOf func(column, parameter string) string
	list  func(values []string) any
	// prefixOf holds for a column that begins with any text of such a list.
	prefixOf func(column, parameter string) string
	// contains holds for a column that has the one text in it.
	contains func(column, parameter string) string
	// useIndex follows the name of a table and names the index to search.
	// SQLite plans without looking at the values, and could otherwise choose
	// to walk the whole table for the sake of its order.
	useIndex func(index string) string
	// insertEvents is the statement that adds events, at most eventBatch of
	// them, with its arguments.
	insertEvents func(events []store.Event) (sql string, args []any)
	eventBatch   int
	// lateEvents says that an event can become visible after one with a greater
	// number.
	lateEvents bool
	// slots is the number of rows that an organization's counter is spread over.
	slots int
	// holdCounters is the statement that keeps others from changing counters. Where
	// one transaction writes at a time it is any, with which that begins.
	holdCounters string
	// damage is the statement by which the database looks at itself, whose rows
	// tell what is wrong unless they are sound; "" where there is none.
	damage, sound string
	// limitBranches gives each branch of a UNION the limit of the whole.
	limitBranches bool
}

var sqliteDialect = dialect{
	// One transaction writes at a time: there is nothing to lock.
	anyOf: func(column, parameter string) string {
		return column + " IN (SELECT value FROM json_each(" + parameter + "))"
	},
	list: func(values []string) any {
		text, _ := json.Marshal(values) // a list of strings has no way to fail
		return string(text)
	},
	prefixOf: func(column, parameter string) string {
		return "EXISTS (SELECT 1 FROM json_each(" + parameter + ") prefix WHERE substr(" + column + ", 1, length(prefix.value)) = prefix.value)"
	},
	contains: func(column, parameter string) string { return "instr(" + column + ", " + parameter + ") > 0" },
	useIndex: func(index string) string { return " INDEXED BY " + index },

	insertEvents: func(events []store.Event) (string, []any) {
		sql := strings.Builder{}
		sql.WriteString("INSERT INTO events (org, at, body) VALUES ")
		args := make([]any, 0, 3*len(events))
		for i, e := range events {
			if i > 0 {
				sql.WriteString(", ")
			}
			n := strconv.Itoa
			sql.WriteString("($" + n(3*i+1) + ", $" + n(3*i+2) + ", $" + n(3*i+3) + ")")
			args = append(args, e.Org, e.At.UnixMicro(), notNil(e.Body))
		}
		return sql.String(), args
	},
	eventBatch: 16, // each number of events is a statement that stays prepared
	slots:      1,

	holdCounters: pingSQL,
	damage:       "PRAGMA integrity_check", sound: "ok",
}

var postgresDialect = dialect{
	forUpdate: " FOR UPDATE",
	// A pinned row may still change, as long as its key stays; deletion takes
	// forUpdate first, which waits for pins.
	forPin: " FOR KEY SHARE",
	anyOf: func(column, parameter string) string {
		return column + " = ANY(" + parameter + ")"
	},
	list: func(values []string) any { return values },
	prefixOf: func(column, parameter string) string {
		return column + " ^@ ANY(" + parameter + ")"
	},
	contains: func(column, parameter string) string { return "strpos(" + column + ", " + parameter + ") > 0" },
	useIndex: func(string) string { return "" }, // it plans by statistics, which is fine

	insertEvents: func(events []store.Event) (string, []any) {
		orgs, times, bodies := make([]string, len(events)), make([]int64, len(events)), make([][]byte, len(events))
		for i, e := range events {
			orgs[i], times[i], bodies[i] = e.Org, e.At.UnixMicro(), notNil(e.Body)
		}
		// The transaction has to hold the lock before it takes a number, which
		// readers rely on (events.go): the rows come from a join with what takes
		// the lock, and the numbers are put beside them after that.
		return "WITH appending AS MATERIALIZED (SELECT 1 AS now FROM pg_advisory_xact_lock_shared(" + appendLock + "))" +
			" INSERT INTO events (org, at, body) SELECT e.org, e.at, e.body" +
			" FROM appending CROSS JOIN unnest($1::text[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS e (org, at, body, n)" +
			" WHERE appending.now = 1 ORDER BY e.n", []any{orgs, times, bodies}
	},
	eventBatch: 1000,
	lateEvents: true,

	slots:         16,
	holdCounters:  "LOCK TABLE counters IN EXCLUSIVE MODE",
	limitBranches: true,
}
