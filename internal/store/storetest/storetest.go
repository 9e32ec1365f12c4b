// Package storetest holds a store to the promises of package store: one
// suite, run against every backend, with a file for each subject.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// Run runs the suite against the store that open returns. It opens it twice, as
// two processes on one database would; open closes it through t.Cleanup. The
// subtests run side by side in that one database, each with organizations and
// kinds of its own.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	s, other := open(t), open(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(newBench(t, s, other))
		})
	}
}

var tests = []struct {
	name string
	run  func(*bench)
}{
	{"InsertAndGet", insertAndGet},
	{"UpdateReplaces", updateReplaces},
	{"UpdateKeepsWhatNeverChanges", updateKeepsWhatNeverChanges},
	{"DeleteEndsTheRow", deleteEndsTheRow},
	{"MissingRows", missingRows},
	{"Microseconds", microseconds},
	{"AnyBytes", anyBytes},
	{"UnstorableText", unstorableText},

	{"NamesAreExact", namesAreExact},
	{"NamesAreFreeAgain", namesAreFreeAgain},
	{"NamesByScope", namesByScope},
	{"RenameCollision", renameCollision},
	{"IDsAreNeverReused", idsAreNeverReused},
	{"GoOnAfterCollision", goOnAfterCollision},

	{"Wall", wall},

	{"PagesForward", pagesForward},
	{"PagesBackward", pagesBackward},
	{"PagesUnderChange", pagesUnderChange},
	{"LimitAtLeastOne", limitAtLeastOne},
	{"VisitEnds", visitEnds},

	{"Filters", filters},
	{"ManyValues", manyValues},
	{"Prefixes", prefixes},
	{"FiltersPage", filtersPage},
	{"EntriesFollowTheRow", entriesFollowTheRow},
	{"ManyEntries", manyEntries},
	{"Referrers", referrers},

	{"Settings", settings},
	{"SettingRace", settingRace},

	{"CountersCount", countersCount},
	{"CountersNet", countersNet},
	{"CountersOfOneRow", countersOfOneRow},
	{"CountersWithTheirTransaction", countersWithTheirTransaction},
	{"CountersOverdraw", countersOverdraw},
	{"Limits", limits},
	{"SetCounters", setCounters},
	{"LastPlace", lastPlace},
	{"CountersUnderChange", countersUnderChange},

	{"RollbackOnError", rollbackOnError},
	{"OwnWritesSeen", ownWritesSeen},
	{"Panic", panics},
	{"Goexit", goexit},
	{"TxAfterEnd", txAfterEnd},
	{"FailureStaysAlone", failureStaysAlone},
	{"CommittedIsVisible", committedIsVisible},

	{"EventsInOrder", eventsInOrder},
	{"EventsShareTheFate", eventsShareTheFate},
	{"EventsFollowLocks", eventsFollowLocks},
	{"EventsAreComplete", eventsAreComplete},

	{"SnapshotIsOneMoment", snapshotIsOneMoment},
	{"SnapshotShowsAll", snapshotShowsAll},
	{"SnapshotLimits", snapshotLimits},
	{"SnapshotHoldsNobodyUp", snapshotHoldsNobodyUp},
	{"ReferencesStayInTheirOrganization", referencesStayInTheirOrganization},

	{"ToldBeforeReturn", toldBeforeReturn},
	{"RolledBackIsNotTold", rolledBackIsNotTold},
	{"ManyChanges", manyChanges},
	{"WatchEnds", watchEnds},
	{"OthersChanges", othersChanges},

	{"Told", told},
	{"HearingEnds", hearingEnds},
	{"CannotBeTold", cannotBeTold},

	{"CanceledContext", canceledContext},
	{"CanceledWhileWaiting", canceledWhileWaiting},

	{"NoLostUpdates", noLostUpdates},
	{"LockExcludes", lockExcludes},
	{"PinKeepsTheTarget", pinKeepsTheTarget},
	{"PinsShare", pinsShare},
	{"NameRace", nameRace},
	{"RenameRace", renameRace},
	{"IDRace", idRace},
	{"NameHandover", nameHandover},
	{"DeleteRace", deleteRace},
}

// bench is a store with a place in it that no other test uses.
type bench struct {
	store.Store
	// other is another handle on the same database.
	other store.Store
	*testing.T
	ctx  context.Context
	org  string
	kind string
}

func newBench(t *testing.T, s, other store.Store) *bench {
	return &bench{Store: s, other: other, T: t, ctx: t.Context(), org: rand.Text(), kind: "test/v1." + rand.Text()}
}

// deadline bounds every wait of the suite.
const deadline = 30 * time.Second

func (b *bench) key(id string) store.Key { return store.Key{Kind: b.kind, ID: id} }

// row is a row that is not stored yet.
func (b *bench) row(id, name string) *store.Row {
	at := time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)
	return &store.Row{Key: b.key(id), Org: b.org, Name: name, Created: at, Updated: at,
		Body: []byte(`{"id":"` + id + `"}`), Private: []byte("hash of " + id)}
}

// add inserts rows with the IDs given.
func (b *bench) add(ids ...string) {
	b.Helper()
	b.update(func(tx store.Tx) error {
		for _, id := range ids {
			if err := tx.Insert(b.ctx, b.row(id, ""), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// insert stores the row in a transaction of its own.
func (b *bench) insert(r *store.Row, entries ...store.Entry) error {
	return b.Store.Update(b.ctx, func(tx store.Tx) error { return tx.Insert(b.ctx, r, entries) })
}

func (b *bench) mustInsert(r *store.Row, entries ...store.Entry) {
	b.Helper()
	if err := b.insert(r, entries...); err != nil {
		b.Fatalf("insert %s: %v", r.ID, err)
	}
}

// replace updates the row in a transaction of its own.
func (b *bench) replace(r *store.Row, entries ...store.Entry) error {
	return b.Store.Update(b.ctx, func(tx store.Tx) error { return tx.Update(b.ctx, r, entries) })
}

func (b *bench) remove(id string) error {
	return b.Store.Update(b.ctx, func(tx store.Tx) error { return tx.Delete(b.ctx, b.key(id), time.Now()) })
}

func (b *bench) mustRemove(id string) {
	b.Helper()
	if err := b.remove(id); err != nil {
		b.Fatalf("delete %s: %v", id, err)
	}
}

// update runs fn in a transaction that must succeed.
func (b *bench) update(fn func(store.Tx) error) {
	b.Helper()
	if err := b.Store.Update(b.ctx, fn); err != nil {
		b.Fatalf("update: %v", err)
	}
}

// rows returns the rows that the query selects. A visit finds the same ones,
// with all that they have or with their bodies alone.
func (b *bench) rows(q store.Query) []store.Row {
	b.Helper()
	rows, err := b.List(b.ctx, q)
	if err != nil {
		b.Fatalf("list: %v", err)
	}
	for _, q.BodyOnly = range []bool{false, true} {
		visited := 0
		err = b.Visit(b.ctx, q, func(r *store.Row) error {
			if visited < len(rows) {
				want := rows[visited]
				if q.BodyOnly {
					want = store.Row{Seq: want.Seq, Body: want.Body}
				}
				if !reflect.DeepEqual(*r, want) {
					b.Errorf("visited %+v, listed %+v", *r, want)
				}
			}
			visited++
			return nil
		})
		if err != nil || visited != len(rows) {
			b.Fatalf("visited %d rows of %d: %v", visited, len(rows), err)
		}
	}
	return rows
}

// list returns the IDs that the query selects in the bench's own kind.
func (b *bench) list(q store.Query) []string {
	b.Helper()
	q.Org, q.Kind = b.org, b.kind
	if q.Limit == 0 {
		q.Limit = 1000
	}
	rows := b.rows(q)
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	return ids
}

func (b *bench) count(q store.Query) int64 {
	b.Helper()
	q.Org, q.Kind = b.org, b.kind
	n, err := b.Count(b.ctx, q)
	if err != nil {
		b.Fatalf("count: %v", err)
	}
	return n
}

// wantTaken checks that err says which row is in the way.
func (b *bench) wantTaken(err error, by, name string) {
	b.Helper()
	var taken *store.ErrTaken
	if !errors.As(err, &taken) {
		b.Fatalf("error %v, want *ErrTaken", err)
	}
	if want := (store.ErrTaken{By: b.key(by), Name: name}); *taken != want {
		b.Errorf("taken %+v, want %+v", *taken, want)
	}
}

func (b *bench) wantNotFound(what string, err error) {
	b.Helper()
	if !errors.Is(err, store.ErrNotFound) {
		b.Errorf("%s: error %v, want ErrNotFound", what, err)
	}
}

// wait receives from the channel within the deadline.
func wait[T any](b *bench, what string, c <-chan T) (v T) {
	b.Helper()
	select {
	case v = <-c:
	case <-time.After(deadline):
		b.Fatalf("%s did not happen within %v", what, deadline)
	}
	return v
}

// together runs fn n times at once and returns the errors in the order of i.
func together(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	begin, done := make(chan struct{}), make(chan struct{})
	for i := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			<-begin
			errs[i] = fn(i)
		}()
	}
	close(begin)
	for range n {
		<-done
	}
	return errs
}

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%03d", prefix, i)
	}
	return out
}
