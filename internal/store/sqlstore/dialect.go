package sqlstore

import (
	"encoding/json"
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
	// slots is the number of rows that an organization's counter is spread over.
	slots int
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
	slots:    1,
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

	slots:         16,
	limitBranches: true,
}
