package authn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/store"
)

// Directory answers from memory what every request asks: whose a key is, and
// what a principal may do. It is told of changes (Changed), and forgets at
// once what they touch.
//
// What it remembers is bounded. Keys and sessions that do not exist are
// remembered too, in a part of their own: a key that is unknown then takes as
// long as one with a wrong secret, and a flood of made-up keys pushes out no real
// ones.
type Directory struct {
	store store.Reader

	generation store.Generation
	keys       *lru.Cache[string, keyEntry]
	sessions   *lru.Cache[string, sessionEntry]
	unknown    *lru.Cache[string, struct{}]
	subjects   *lru.Cache[subjectKey, *authz.Subject]
}

type keyEntry struct {
	org    string
	record KeyRecord
}

type sessionEntry struct{ org, user string }

// subjectKey names the principals that a subject acts for, joined by spaces,
// the one that it is first.
type subjectKey struct{ org, principals string }

// DirectoryKinds are the kinds whose changes a directory must be told of.
func DirectoryKinds() []string { return []string{APIKeyKind, RoleBindingKind, SessionKind} }

// rememberedKeys bounds each part of the directory. An entry takes a few
// hundred bytes, a subject more with its bindings.
const rememberedKeys = 20_000

// NewDirectory returns an empty directory over the store. Whoever makes it has
// it told of changes.
func NewDirectory(s store.Reader) *Directory {
	d := &Directory{store: s}
	d.keys = must(lru.New[string, keyEntry](rememberedKeys))
	d.sessions = must(lru.New[string, sessionEntry](rememberedKeys))
	d.unknown = must(lru.New[string, struct{}](rememberedKeys))
	d.subjects = must(lru.New[subjectKey, *authz.Subject](rememberedKeys))
	return d
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return v
}

// Changed makes the directory forget what the change touches. It is quick and
// may be called from any goroutine.
func (d *Directory) Changed(c store.Change) {
	if c.All {
		d.generation.Forget(func() {
			d.keys.Purge()
			d.sessions.Purge()
			d.unknown.Purge()
			d.subjects.Purge()
		})
		return
	}
	for _, key := range c.Keys {
		switch key.Kind {
		case APIKeyKind:
			d.generation.Forget(func() {
				d.keys.Remove(key.ID)
				d.unknown.Remove(key.ID)
			})
		case SessionKind:
			d.generation.Forget(func() {
				d.sessions.Remove(key.ID)
				d.unknown.Remove(key.ID)
			})
		case RoleBindingKind:
			// A change does not say whose binding it was. Bindings change
			// seldom, and a subject costs one query to read again.
			d.generation.Forget(d.subjects.Purge)
		}
	}
}

// Key returns the organization and the record of the API key, or
// store.ErrNotFound.
func (d *Directory) Key(ctx context.Context, id string) (string, KeyRecord, error) {
	if !keyShape(id) {
		return "", KeyRecord{}, store.ErrNotFound // no key was ever like this
	}
	e, err := find(ctx, d, d.keys, store.Key{Kind: APIKeyKind, ID: id}, func(row *store.Row) (keyEntry, error) {
		record, err := DecodeKeyRecord(row.Private)
		return keyEntry{row.Org, record}, err
	})
	return e.org, e.record, err
}

// Session returns the organization and the user of the session, or
// store.ErrNotFound where it has ended.
func (d *Directory) Session(ctx context.Context, id string) (org, user string, err error) {
	e, err := find(ctx, d, d.sessions, store.Key{Kind: SessionKind, ID: id}, func(row *store.Row) (sessionEntry, error) {
		record, err := DecodeSessionRecord(row.Private)
		return sessionEntry{row.Org, record.User}, err
	})
	return e.org, e.user, err
}

// find returns what a row says, from memory where it is remembered.
func find[V any](ctx context.Context, d *Directory, known *lru.Cache[string, V], key store.Key, read func(*store.Row) (V, error)) (V, error) {
	var none V
	if v, ok := known.Get(key.ID); ok {
		return v, nil
	}
	if d.unknown.Contains(key.ID) {
		return none, store.ErrNotFound
	}
	since := d.generation.Now()
	row, err := d.store.Get(ctx, "", key)
	if errors.Is(err, store.ErrNotFound) {
		d.generation.Remember(since, func() { d.unknown.Add(key.ID, struct{}{}) })
	}
	if err != nil {
		return none, err
	}
	v, err := read(row)
	if err != nil {
		return none, err
	}
	d.generation.Remember(since, func() { known.Add(key.ID, v) })
	return v, nil
}

func keyShape(id string) bool {
	if len(id) != KeyIDLength {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// Subject returns the principal with the roles that it holds, and with those of
// the others that it acts for as well: its group mappings, or further identity
// pools of one token.
func (d *Directory) Subject(ctx context.Context, org, principal string, with ...string) (*authz.Subject, error) {
	key := subjectKey{org, strings.Join(append([]string{principal}, with...), " ")}
	if s, ok := d.subjects.Get(key); ok {
		return s, nil
	}
	since := d.generation.Now()
	bindings, err := d.bindings(ctx, org, append([]string{principal}, with...))
	if err != nil {
		return nil, err
	}
	s := authz.NewSubject(org, principal, bindings)
	d.generation.Remember(since, func() { d.subjects.Add(key, s) })
	return s, nil
}

// maxBindings bounds what one principal's roles take in memory; bindings
// beyond permit nothing.
const maxBindings = 100_000

// Binding is a stored role binding, as far as authorization reads it.
type Binding struct {
	Principal  string `json:"principal"`
	RoleName   string `json:"role_name"`
	CRNPattern string `json:"crn_pattern"`
}

// DecodeBinding reads the stored document of a role binding.
func DecodeBinding(body []byte) (Binding, error) {
	var b Binding
	// The document has marks in its links, which are not in these fields.
	if err := json.Unmarshal(api.AppendSpliced(nil, body, ""), &b); err != nil {
		return b, fmt.Errorf("authn: stored role binding cannot be read: %w", err)
	}
	return b, nil
}

// bindings reads the roles that principals hold.
func (d *Directory) bindings(ctx context.Context, org string, principals []string) ([]authz.Binding, error) {
	named := make([]string, len(principals))
	for i, p := range principals {
		named[i] = PrincipalPrefix + p
	}
	rows, err := d.store.List(ctx, store.Query{
		Org: org, Kind: RoleBindingKind, Limit: maxBindings,
		Where: []store.Condition{{Field: "principal", Values: named}},
	})
	if err != nil {
		return nil, err
	}
	bindings := make([]authz.Binding, 0, len(rows))
	for _, row := range rows {
		b, err := DecodeBinding(row.Body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", row.ID, err)
		}
		scope, err := crn.ParsePattern(b.CRNPattern)
		if err != nil {
			return nil, fmt.Errorf("authn: stored role binding %s: %w", row.ID, err)
		}
		bindings = append(bindings, authz.Binding{Role: b.RoleName, Scope: scope})
	}
	return bindings, nil
}
