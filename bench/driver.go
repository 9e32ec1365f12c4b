package main

// The drivers keep rows as wide as those of Weir, in a table that has no index but
// those that its statements need.
const (
	driverColumns = "org, kind, id, parent, name, version, created, updated, body, private"
	driverKind    = "iam/v2.ServiceAccount"
	driverIndex   = "CREATE UNIQUE INDEX accounts_id ON accounts (kind, id)"
	driverRead    = "SELECT " + driverColumns + " FROM accounts WHERE kind = $1 AND id = $2"
	driverList    = "SELECT body FROM accounts ORDER BY seq LIMIT 100"
	driverInsert  = "INSERT INTO accounts (" + driverColumns + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
)

// The names of the drivers: SQLite's with a commit for each insert, and with
// commits that callers share, PostgreSQL's, and Weir's store over both.
const (
	sqliteSingle  = "sqlite"
	sqliteGrouped = "sqlite-grouped"
	overPgx       = "pgx"
	sqliteStore   = "sqlite-store"
	postgresStore = "pgx-store"
)

// driverRow is what a row holds.
type driverRow struct {
	organization, id, name string
	now                    int64
	body                   []byte
}

// with is the row with another ID and name.
func (r driverRow) with(id, name string) driverRow {
	r.id, r.name = id, name
	return r
}

// values are those of the driver's columns.
func (r driverRow) values() []any {
	return []any{r.organization, driverKind, r.id, "", r.name, int64(1), r.now, r.now, r.body, []byte{}}
}

// element appends an element of a JSON array.
func element(to []byte, body []byte) []byte {
	separator := byte(',')
	if len(to) == 0 {
		separator = '['
	}
	return append(append(to, separator), body...)
}
