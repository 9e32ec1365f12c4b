package main

import (
	"context"
	"runtime"
	"syscall"
	"time"
)

// The bare driver keeps rows as wide as those of Weir, in a table of its own
// that has no index but those that its statements need.
const (
	driverColumns = "org, kind, id, parent, name, version, created, updated, body, private"
	driverKind    = "iam/v2.ServiceAccount"
	driverIndex   = "CREATE UNIQUE INDEX accounts_id ON accounts (kind, id)"
	driverRead    = "SELECT " + driverColumns + " FROM accounts WHERE kind = $1 AND id = $2"
)

// driverRow is what a row holds.
type driverRow struct {
	organization, id, name string
	now                    int64
	body                   []byte
}

// sampleRow is a row with the document of a service account of Weir.
func (w *weir) sampleRow(ctx context.Context) (driverRow, error) {
	body, err := w.get(ctx, accounts+"/"+w.ids[0])
	return driverRow{organization: w.organization, now: time.Now().UnixMicro(), body: body}, err
}

// with is the row with another ID and name.
func (r driverRow) with(id string) driverRow {
	r.id, r.name = id, "account "+id
	return r
}

// values are those of the driver's columns.
func (r driverRow) values() []any {
	return []any{r.organization, driverKind, r.id, "", r.name, int64(1), r.now, r.now, r.body, []byte{}}
}

// ownUsage is what this process has used, for works that it does itself.
func ownUsage(context.Context) (usage, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return usage{}, err
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return usage{cpu: time.Duration(used.Utime.Nano() + used.Stime.Nano()), allocations: float64(stats.Mallocs)}, nil
}
