package authn

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/memory"
	"github.com/weirhq/weir/internal/store"
)

// Directory answers from memory what every request asks: whose a key is, and
// what a principal may do. It is told of changes (Changed), and forgets at
// once what they touch. What it remembers is bounded.
type Directory struct {
	store    store.Reader
	keys     *memory.Memory[string, keyEntry]
	sessions *memory.Memory[string, sessionEntry]
	subjects *memory.Memory[subjectKey, *authz.Subject]
}

type keyEntry struct {
	org    string
	record KeyRecord
}

type sessionEntry struct {
	org    string
	record SessionRecord
}

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
	id := func(id string) string { return id }
	d.keys = memory.New(rememberedKeys, d.loadKey, map[string]memory.Reach{APIKeyKind: memory.Same}, id)
	d.sessions = memory.New(rememberedKeys, d.loadSession, map[string]memory.Reach{SessionKind: memory.Same}, id)
	// A change does not say whose binding it was. Bindings change seldom, and a
	// subject costs one query to read again.
	d.subjects = memory.New(rememberedKeys, d.loadSubject, map[string]memory.Reach{RoleBindingKind: memory.Everything}, nil)
	return d
}

// Changed makes the directory forget what the change touches. It is quick and
// may be called from any goroutine.
func (d *Directory) Changed(c store.Change) {
	d.keys.Changed(c)
	d.sessions.Changed(c)
	d.subjects.Changed(c)
}

// Key returns the organization and the record of the API key, or
// store.ErrNotFound.
func (d *Directory) Key(ctx context.Context, id string) (string, KeyRecord, error) {
	if !keyShape(id) {
		return "", KeyRecord{}, store.ErrNotFound // no key was ever like this
	}
	e, err := d.keys.Get(ctx, id)
	return e.org, e.record, err
}

func (d *Directory) loadKey(ctx context.Context, id string) (keyEntry, error) {
	row, err := d.store.Get(ctx, "", store.Key{Kind: APIKeyKind, ID: id})
	if err != nil {
		return keyEntry{}, err
	}
	record, err := DecodeKeyRecord(row.Private)
	if err != nil {
		return keyEntry{}, err
	}
	return keyEntry{row.Org, record}, nil
}

// Session returns the organization and the record of the session, or
// store.ErrNotFound where it has ended.
func (d *Directory) Session(ctx context.Context, id string) (string, SessionRecord, error) {
	e, err := d.sessions.Get(ctx, id)
	return e.org, e.record, err
}

func (d *Directory) loadSession(ctx context.Context, id string) (sessionEntry, error) {
	row, err := d.store.Get(ctx, "", store.Key{Kind: SessionKind, ID: id})
	if err != nil {
		return sessionEntry{}, err
	}
	record, err := DecodeSessionRecord(row.Private)
	return sessionEntry{row.Org, record}, err
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
	return d.subjects.Get(ctx, subjectKey{org, strings.Join(append([]string{principal}, with...), " ")})
}

func (d *Directory) loadSubject(ctx context.Context, key subjectKey) (*authz.Subject, error) {
	principals := strings.Split(key.principals, " ")
	bindings, err := d.bindings(ctx, key.org, principals)
	if err != nil {
		return nil, err
	}
	return authz.NewSubject(key.org, principals[0], bindings), nil
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
