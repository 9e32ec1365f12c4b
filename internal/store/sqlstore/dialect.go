package sqlstore

import (
	"encoding/json"
)

// dialect is what differs between the databases in the text of a statement.
type dialect struct {
	// forUpdate, forShare and forPin follow a SELECT whose rows stay locked
	// until the transaction ends: against every other lock, against changes,
	// and against forUpdate alone.
	forUpdate, forShare, forPin string
	// anyOf compares the column with the one parameter that list makes of a
	// list of texts.
	anyOf func(column, parameter string) string
	list  func(values []string) any
	// unindexed before a column keeps the planner from choosing an index by
	// it. SQLite plans without looking at the values, and needs to be told
	// which of two conditions is the narrow one.
	unindexed string
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
	unindexed: "+",
}

var postgresDialect = dialect{
	forUpdate: " FOR UPDATE",
	forShare:  " FOR SHARE",
	// A pinned row may still change, as long as its key stays; deletion takes
	// forUpdate first, which waits for pins.
	forPin: " FOR KEY SHARE",
	anyOf: func(column, parameter string) string {
		return column + " = ANY(" + parameter + ")"
	},
	list: func(values []string) any { return values },
}
