// Package store says what Weir keeps and what a backend promises about it.
//
// Everything that the API serves is a [Row]: generic columns that every kind
// has, the document as the bytes that are sent, and private bytes that are
// never sent. Beside the rows stand index entries ([Entry]), which serve
// filters, references and cascades. A new kind needs no migration. Apart from
// the rows stands the log of events ([Event]).
//
// Text is UTF-8 without NUL bytes: names and the values of entries have at
// most 1024 bytes, all other text at most 255. A write of anything else is
// refused with an error, and a read that asks for it finds nothing.
//
// The one implementation is package sqlstore, over SQLite and PostgreSQL;
// package storetest holds both to the promises written here.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Key names one row for all time: an ID is never given out twice within its
// kind, not even after the row is deleted.
type Key struct {
	// Kind is the engine's name of the kind, for example "iam/v2.ServiceAccount".
	Kind string
	// ID is the object's identifier, at most 255 bytes.
	ID string
}

// Row is one stored object.
type Row struct {
	Key
	// Org is the organization that the object belongs to. No read that names
	// an organization ever returns a row of another one.
	Org string
	// Parent is the ID of the object that contains this one, or "".
	Parent string
	// Name is unique among the live rows with the same Org, Kind and Parent,
	// byte for byte (case counts, no normalization); "" claims no name.
	Name string
	// Seq is the position in creation order. The store assigns it on Insert;
	// it only grows and is never reused.
	Seq int64
	// Version counts the writes to the row, from 1 on. The store maintains it.
	Version int64
	// Created and Updated are kept to the microsecond, in UTC.
	Created, Updated time.Time
	// Body is the document as sent; Private is what is never sent (hashes).
	// Both are opaque to the store, NUL bytes included.
	Body, Private []byte
}

// Entry is one index entry of a row: the value of a field that lists can be
// filtered by, or a reference to another row.
type Entry struct {
	// Field is the dotted path of the field, for example "spec.owner".
	Field string
	// Value is the field's value; for a reference the ID referred to.
	Value string
	// Target is the kind referred to, or "" for a plain value.
	Target string
}

// Field names with a meaning of their own in a [Condition]: they are columns
// of the row and need no entry.
const (
	FieldID     = "id"
	FieldName   = "name"
	FieldParent = "parent"
)

// Condition holds for a row whose Field has one of Values, begins with one of
// Prefixes, or has Contains in it, byte for byte. With none of these it holds
// for no row. Prefixes and Contains are for entries: no column matches them,
// and nothing does that is no text (see the package comment), be it cut off in
// the midst of a character. The prefix "" holds for every row with an entry of
// the field.
type Condition struct {
	Field    string
	Values   []string
	Prefixes []string
	// Contains is a part of the value; "" is none. No index finds it: a list that
	// nothing else narrows looks at every row of the kind.
	Contains string
}

// Query selects live rows of one kind in one organization.
type Query struct {
	// Org is the organization; empty selects rows of every organization, which
	// only upkeep asks for.
	Org  string
	Kind string
	// Where must hold, all of them.
	Where []Condition
	// Visible, where not nil, must hold too, at least one of them: it is the
	// part of the organization that the caller may see. An empty list that is
	// not nil selects nothing.
	Visible []Condition
	// Except must not hold, none of them.
	Except []Condition
	// After is exclusive: only rows with a greater Seq (or, with Backward, a
	// smaller one; there 0 means from the end).
	After    int64
	Backward bool
	// Limit is the greatest number of rows returned; it must be at least 1.
	Limit int
	// BodyOnly leaves all but Seq and Body of the rows empty.
	BodyOnly bool
}

// Reader reads. Outside a transaction each call sees all that was committed
// before it began.
type Reader interface {
	// Get returns the live row, or ErrNotFound. An empty org matches rows of
	// any organization: only authentication and upkeep ask like that.
	Get(ctx context.Context, org string, key Key) (*Row, error)
	// List returns the selected rows in the order of Seq, or in the opposite
	// order with Backward. Private is not read. Its cost depends on Limit and
	// not on After, save where nothing but Prefixes narrows the search: there
	// it grows with the number of rows that begin with one, and without an
	// organization with the number of rows that the narrowest condition finds. On
	// SQLite what is looked for by its name costs what there is of that name in all
	// parents.
	List(ctx context.Context, q Query) ([]Row, error)
	// Visit calls f with each row that List returns, in that order, until f
	// returns an error, which Visit then returns. The row and its Body are there
	// until f returns: what is kept must be copied. A connection waits for f,
	// which must be quick and must not call the Store.
	Visit(ctx context.Context, q Query, f func(*Row) error) error
	// Count returns how many rows Where, Visible and Except select; After, Backward
	// and Limit do not count.
	Count(ctx context.Context, q Query) (int64, error)
	// Referrers returns the live rows with an entry that refers to the key,
	// each with the entry's field, in the order of Seq, at most limit of them.
	// It is not bound to an organization.
	Referrers(ctx context.Context, to Key, limit int) ([]Referrer, error)
	// Setting returns the value stored under the name, or ErrNotFound.
	Setting(ctx context.Context, name string) ([]byte, error)
	// EventSizes returns what the events after the number take, in the order of
	// Seq, at most limit of them. Unlike Store.Events it does not wait for
	// those that may still appear between them.
	EventSizes(ctx context.Context, after int64, limit int) ([]EventSize, error)
	// Counters returns the values of the organization's counters with the
	// subject, by name. One that is not there has the value 0.
	Counters(ctx context.Context, org, subject string) (map[string]int64, error)
	// CountersNamed returns the values other than 0 of all counters with the
	// name, of every organization.
	CountersNamed(ctx context.Context, name string) (map[Counter]int64, error)
	// Limits returns the limits that PutLimit set for the organization, by the
	// name of the counters that they are for.
	Limits(ctx context.Context, org string) (map[string]int64, error)
}

// Counter names a number that the store keeps: how many things of a sort an
// organization has, or one subject in it.
type Counter struct {
	Org, Name string
	// Subject is what the things belong to, or "" for the organization.
	Subject string
}

// Share is a row's part in a counter: one.
type Share struct {
	Counter
	// Limit is the greatest value of the counter, unless PutLimit has set
	// another one for the organization and the name.
	Limit int64
}

// Referrer is a row that refers to another one.
type Referrer struct {
	Row
	Field string
}

// Event is one entry of the log: what happened, for those who ask later. It is
// written with the change that it tells of, or not at all, and never changed.
type Event struct {
	// Seq is the position in the log. The store assigns it; it only grows and
	// is never reused, and numbers may be left out.
	Seq int64
	// Org is the organization that the event belongs to, or "".
	Org string
	// At is kept to the microsecond, in UTC.
	At time.Time
	// Body is opaque to the store.
	Body []byte
}

// EventSize is what an event takes: the length of its Body in bytes.
type EventSize struct {
	Seq   int64
	At    time.Time
	Bytes int64
}

// EventQuery selects events.
type EventQuery struct {
	// After is exclusive: only events with a greater Seq (or, with Backward, a
	// smaller one; there 0 means from the end).
	After    int64
	Backward bool
	// Limit is the greatest number of events returned; it must be at least 1.
	Limit int
}

// Tx is a transaction: all of its writes are kept, or none. Its reads see its
// own writes.
type Tx interface {
	Reader
	// Lock is Get for a row that this transaction is about to write: until it
	// ends, no other transaction changes, locks or pins the row.
	Lock(ctx context.Context, org string, key Key) (*Row, error)
	// Pin is Get for a row that this transaction relies on, such as the target
	// of a new reference: until it ends, no other transaction deletes the row,
	// while others may pin it too.
	Pin(ctx context.Context, org string, key Key) (*Row, error)
	// Insert stores a new row and its entries. It sets r.Version, and r.Seq by the
	// time that Update of the Store returns. It answers *ErrTaken when the ID was
	// ever used within the kind, or when a live row has the name; the transaction
	// may go on after that.
	Insert(ctx context.Context, r *Row, entries []Entry) error
	// Update replaces Name, Body, Private, Updated and all entries of the live
	// row r.Key, and sets r.Version. It answers ErrNotFound, or *ErrTaken for
	// the name. Org, Parent, Seq and Created never change.
	Update(ctx context.Context, r *Row, entries []Entry) error
	// Delete ends the live row: its content and entries go, its ID stays
	// taken. It answers ErrNotFound. Rows that refer to it are not touched.
	Delete(ctx context.Context, key Key, at time.Time) error
	// PutSetting stores the value under the name if there is none yet, and
	// reports whether it did. Transactions that put the same name come one after
	// the other.
	PutSetting(ctx context.Context, name string, value []byte) (bool, error)
	// Append adds events to the log, in this order and behind those that the
	// transaction has added before. They are written together at the end of the
	// transaction, while all of its locks are held: where two transactions
	// could not have run at the same time, the events of the later one have
	// greater numbers.
	Append(events ...Event) error
	// RemoveEvents removes all events up to the number.
	RemoveEvents(ctx context.Context, through int64) error
	// Tally says what a row counted for before this transaction wrote it, and
	// what it counts for now. Of several calls for one row, the before of the
	// first is taken and the after of the last.
	//
	// Counters change when fn has returned without an error, each by the sum
	// over all rows: what is taken and given back in one transaction takes
	// nothing. If a counter grows beyond its limit, nothing of the transaction is
	// kept, and Update answers *ErrFull. A counter that does not grow is never
	// refused, even if it stands above its limit.
	Tally(row Key, before, after []Share)
	// Overdraw lets this transaction go beyond limits. It counts all the same.
	Overdraw()
	// HoldCounters keeps all other transactions from changing counters until this
	// one ends: what was counted by then is there to be read, and what is written
	// meanwhile is counted afterwards.
	HoldCounters(ctx context.Context) error
	// SetCounters makes the values given the only ones of the counters with the
	// name, in every organization. Nobody else may change these at that time
	// (HoldCounters).
	SetCounters(ctx context.Context, name string, values map[Counter]int64) error
	// PutLimit sets the limit of the organization's counters with the name, from
	// the next transaction on that asks.
	PutLimit(ctx context.Context, org, name string, limit int64) error
	// DeleteLimit takes back what PutLimit set, and reports whether there was
	// anything.
	DeleteLimit(ctx context.Context, org, name string) (bool, error)
}

// Store is a database that is open and migrated.
type Store interface {
	Reader
	// Update runs fn in a transaction and returns once what it wrote is
	// durable: it survives SIGKILL and power loss from then on. An error of fn
	// undoes everything that fn wrote and is returned as it is. Transactions
	// appear to happen one after the other with regard to the rows that they
	// lock, pin, insert or find taken.
	//
	// fn may run more than once, so it must have no effect but through its Tx: the
	// database may ask to try again, and in the first run it may be taken for
	// granted that nothing is taken that is inserted. What that run came to counts
	// for nothing where that is wrong, and so do errors that it got. fn must not
	// call the Store. It must be quick, since on SQLite other writers wait for it
	// from its first read on. Concurrent transactions may share one commit, but
	// never a failure.
	//
	// When the connection to the database breaks during the commit, the error
	// wraps ErrUnavailable and the caller cannot know the outcome: what fn wrote
	// is kept in full or not at all.
	//
	// The answer is *ErrFull where fn succeeded and a counter has no place for
	// what it tallied.
	Update(ctx context.Context, fn func(Tx) error) error
	// Watch calls f with what changed, for caches. For a commit of this Store
	// it does so before Update returns; for a commit of another process on the
	// same database within a second. Calls come one after the other, from any
	// goroutine. f must be quick, must not call the Store, and must not change
	// the Keys, which other watchers see too. A call may come between the read
	// of a row and the time its result arrives: a cache must not keep what it
	// began to read before the call.
	//
	// The returned function ends the watch and waits for a call under way, so
	// that none comes after it; f must not call it. From Close on nobody is told
	// of other processes.
	Watch(f func(Change)) (stop func())
	// Events returns committed events in the order of Seq, or in the opposite
	// order with Backward. It returns none as long as one with a smaller number
	// may still appear: who reads on after the last one misses nothing. What a
	// commit added is there at once, or, while others that appended before its
	// end are open, as soon as these have ended.
	Events(ctx context.Context, q EventQuery) ([]Event, error)
	// Tell sends a text of at most 7000 bytes to all who Hear: in this process,
	// and in every other that may serve the same database at the same time.
	// It is stored nowhere: who does not hear at that time, or has no connection,
	// misses it, and nobody can tell. It comes within a second, most often at
	// once, and may come after later ones of other processes.
	Tell(ctx context.Context, text string) error
	// Hear calls f with what is told, by this process too. Calls come one after
	// the other, from any goroutine; f must be quick and must not call the Store.
	// The returned function ends it and waits for a call under way; f must not
	// call it.
	Hear(f func(text string)) (stop func())
	// Snapshot runs fn over the database as it is at one moment, whatever others
	// write meanwhile. fn must not write and must not keep the Snapshot. While it
	// runs on SQLite, the write-ahead log grows.
	Snapshot(ctx context.Context, fn func(Snapshot) error) error
	// Ping reports whether the database answers and, from the first transaction
	// that it refused until one succeeds, whether it takes writes.
	Ping(ctx context.Context) error
	// Close waits for transactions under way and closes the database.
	Close() error
}

// Snapshot is for those who look at all that there is.
type Snapshot interface {
	Reader
	// Inspect returns every row after the number, of all organizations and
	// kinds, deleted ones too, in the order of Seq, at most limit of them.
	Inspect(ctx context.Context, after int64, limit int) ([]Inspected, error)
	// Dangling returns references of live rows to a row of one of the kinds that
	// is not there or in another organization, at most limit of them.
	Dangling(ctx context.Context, kinds []string, limit int) ([]Reference, error)
	// Log returns the events after the number in the order of Seq, at most limit
	// of them.
	Log(ctx context.Context, after int64, limit int) ([]Event, error)
	// Damage returns what is wrong with the database as such, in words: what it
	// finds itself, and what Tx can never have written.
	Damage(ctx context.Context) ([]string, error)
}

// Inspected is a row as it lies in the database.
type Inspected struct {
	Row
	// Deleted says that it is there for its ID alone.
	Deleted bool
	// Entries are in no particular order.
	Entries []Entry
}

// Reference is an entry that refers to another row.
type Reference struct {
	From Key
	// Org is the organization of From.
	Org   string
	Field string
	To    Key
}

// Change tells of rows that were inserted, updated or deleted. Settings do not
// count, as they never change.
type Change struct {
	// Keys are the rows, in no particular order; one may come more than once.
	Keys []Key
	// All says that anything may have changed. It is so soon after a watch
	// began, while and after the line to other processes is lost, where they
	// cannot say what they changed, and after very many changes at once.
	All bool
}

// ErrNotFound is returned for what is not there, was deleted, or belongs to
// another organization.
var ErrNotFound = errors.New("store: not found")

// ErrUnavailable is wrapped by errors that mean that the database cannot be
// reached or refuses work right now; trying again later may help.
var ErrUnavailable = errors.New("store: database unavailable")

// Reasons of ErrUnavailable, which they wrap, for those who tell the operator.
var (
	ErrDiskFull      = fmt.Errorf("%w: its disk is full", ErrUnavailable)
	ErrReadOnly      = fmt.Errorf("%w: it can only be read", ErrUnavailable)
	ErrNoConnections = fmt.Errorf("%w: it has no connection left", ErrUnavailable)
)

// ErrSchemaTooNew is wrapped by the error of opening a database that a newer
// Weir has migrated.
var ErrSchemaTooNew = errors.New("store: database schema is newer than this program")

// ErrTaken is returned by a write that collides with another row.
type ErrTaken struct {
	// By is the key of the row in the way.
	By Key
	// Name is the name in dispute, or "" when the ID is.
	Name string
}

func (e *ErrTaken) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("store: %s ID is taken", e.By.Kind)
	}
	return fmt.Sprintf("store: %s name is taken by %s", e.By.Kind, e.By.ID)
}

// ErrFull is returned by a transaction for which a counter has no place.
type ErrFull struct {
	Counter
	// Limit is the limit in force, Value what the counter would have been.
	Limit, Value int64
}

func (e *ErrFull) Error() string {
	of := "the organization"
	if e.Subject != "" {
		of = e.Subject
	}
	return fmt.Sprintf("store: %s of %s would be %d and is limited to %d", e.Name, of, e.Value, e.Limit)
}
