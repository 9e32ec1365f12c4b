// Package partner is the Partner API: companies that sign up organizations for
// their customers, and the entitlements that these bought from them.
//
// A partner is no organization and belongs to none. What it has lives in a
// namespace of the store of its own, which takes the place of the organization
// and has the partner's ID. So the wall between organizations stands between
// partners too, and between partners and organizations. Within its namespace a
// partner may do everything; its token's scopes say which operations.
//
// Source: facts, semantics 11.
package partner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

// The scopes that a partner's client can have. No operation asks for
// partner:alter and partner:delete so far.
const (
	ScopeAlter    = "partner:alter"
	ScopeCreate   = "partner:create"
	ScopeDelete   = "partner:delete"
	ScopeDescribe = "partner:describe"
)

// Scopes are all scopes, sorted.
func Scopes() []string { return []string{ScopeAlter, ScopeCreate, ScopeDelete, ScopeDescribe} }

// maxName is the greatest length of a partner's name in characters.
const maxName = 64

// Partner is a client of the Partner API. Operators make partners, on the
// server's own machine; there are no operations for them. The ID is the client's
// too. Private is the hash of the client's secret, and every write to the row
// ends the tokens from before it.
var Partner = &engine.Kind{
	Group: "partner", Version: "v2", Name: "Partner",
	Description: "A partner signs up organizations for its customers.",
	ID:          engine.IDShape{Prefix: "partner-", Length: 10, Alphabet: random.LowerAlphanumeric},
	Under:       func(o *engine.Object) crn.CRN { return root(o.Org) },
	Resource:    "Partner",
	Fields: []engine.Field{
		{Name: "display_name", Required: true, Description: "The partner's name for people."},
		{Name: "scopes", Type: engine.Array, Description: "What the client's tokens can be good for.", Items: &engine.Field{Enum: Scopes()}},
	},
}

// root is the name of a partner, which the names of what it has begin with.
func root(partner string) crn.CRN {
	return crn.Must(crn.New(crn.Authority, crn.Segment{Key: "partner", Value: partner}))
}

// guards ask about what is in a namespace on the namespace itself.
func guards(resource string) func(o *engine.Object) []engine.Guard {
	return func(o *engine.Object) []engine.Guard {
		return []engine.Guard{{Resource: resource, On: crn.PatternOf(engine.OrganizationCRN(o.Org))}}
	}
}

// belongs ties what is in a namespace to its partner.
func belongs(o *engine.Object) []engine.Link {
	return []engine.Link{{Field: "partner", To: store.Key{Kind: Partner.Key(), ID: o.Org}, OnDelete: engine.Cascade}}
}

// pinPartner keeps the partner that a new object belongs to from going before
// the object is there.
func pinPartner(ctx context.Context, w *engine.Write) error {
	if _, err := w.Tx.Pin(ctx, w.New.Org, store.Key{Kind: Partner.Key(), ID: w.New.Org}); errors.Is(err, store.ErrNotFound) {
		return api.New(api.Unauthenticated, "The partner was deleted meanwhile").WithHeader("WWW-Authenticate", `Bearer error="invalid_token"`)
	} else if err != nil {
		return err
	}
	return nil
}

// Create makes a partner with the scopes and returns its ID and the client's
// secret, which is kept nowhere.
func Create(ctx context.Context, e *engine.Engine, name string, scopes []string) (id, secret string, err error) {
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return "", "", fmt.Errorf("the partner's name must have 1 to %d characters, and no control characters", maxName)
	}
	var granted []any
	for _, scope := range Scopes() {
		if slices.Contains(scopes, scope) {
			granted = append(granted, scope)
		}
	}
	for _, scope := range scopes {
		if !slices.Contains(Scopes(), scope) {
			return "", "", fmt.Errorf("there is no scope %q: the scopes are %s", scope, strings.Join(Scopes(), ", "))
		}
	}
	if len(granted) == 0 {
		return "", "", errors.New("a partner without a scope could do nothing: name at least one")
	}
	id, secret = Partner.ID.New(), authn.NewSecret()
	err = e.Store.Update(ctx, func(tx store.Tx) error {
		return e.Insert(ctx, tx, &engine.Object{
			Kind: Partner, Org: id, ID: id, Private: e.Hasher.Hash(secret),
			Doc: engine.Doc{"display_name": name, "scopes": granted},
		})
	})
	return id, secret, err
}

// Rotate gives the partner's client a new secret. The one before and the tokens
// that it got are good no longer.
func Rotate(ctx context.Context, e *engine.Engine, id string) (secret string, err error) {
	secret = authn.NewSecret()
	err = change(ctx, e, id, func(tx store.Tx, o *engine.Object) error {
		o.Private = e.Hasher.Hash(secret)
		return e.Save(ctx, tx, o)
	})
	return secret, err
}

// Delete removes the partner, its client with all tokens, its entitlements and
// what it knows of the organizations that it signed up. The organizations stay;
// one that nobody can manage yet refuses.
func Delete(ctx context.Context, e *engine.Engine, id string) error {
	return change(ctx, e, id, func(tx store.Tx, o *engine.Object) error { return e.Remove(ctx, tx, o) })
}

func change(ctx context.Context, e *engine.Engine, id string, do func(tx store.Tx, o *engine.Object) error) error {
	return e.Store.Update(ctx, func(tx store.Tx) error {
		o, err := e.Lock(ctx, tx, id, Partner, id)
		if errors.Is(err, store.ErrNotFound) {
			return noPartner(id)
		}
		if err != nil {
			return err
		}
		return do(tx, o)
	})
}

func noPartner(id string) error {
	return fmt.Errorf("there is no partner %q: 'weir partners list' shows which there are", id)
}

// listed is how many partners are read at once.
const listed = 100

// List calls f for every partner, in the order of creation.
func List(ctx context.Context, r store.Reader, f func(o *engine.Object)) error {
	for after := int64(0); ; {
		rows, err := r.List(ctx, store.Query{Kind: Partner.Key(), After: after, Limit: listed})
		if err != nil {
			return err
		}
		for i := range rows {
			o, err := Partner.Decode(&rows[i])
			if err != nil {
				return err
			}
			f(o)
			after = rows[i].Seq
		}
		if len(rows) < listed {
			return nil
		}
	}
}

// ScopesOf returns the scopes that a partner's client can have.
func ScopesOf(o *engine.Object) []string {
	granted, _ := o.Doc["scopes"].([]any)
	var out []string
	for _, scope := range granted {
		if s, ok := scope.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
