package iam

import (
	"context"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

// principal is what others need to know of a kind whose objects can hold
// roles: enough to tell from an ID which kind it is of.
type principal struct {
	ID engine.IDShape
	// Key is the kind's key, Segment its key in CRNs.
	Key, Segment string
}

var (
	userID = principal{
		ID:  engine.IDShape{Prefix: "u-", Length: 6, Alphabet: random.LowerAlphanumeric},
		Key: "iam/v2.User", Segment: "user",
	}
	serviceAccountID = principal{
		ID:  engine.IDShape{Prefix: "sa-", Length: 6, Alphabet: random.LowerAlphanumeric},
		Key: "iam/v2.ServiceAccount", Segment: "service-account",
	}
	groupMappingID = principal{
		ID:  engine.IDShape{Prefix: "group-", Length: 6, Alphabet: random.MixedAlphanumeric},
		Key: "iam.v2/sso.GroupMapping", Segment: "group-mapping",
	}
	// The two kinds of pools have one prefix (facts, semantics 12); the length
	// tells them apart.
	identityPoolID = principal{
		ID:  engine.IDShape{Prefix: "pool-", Length: 6, Alphabet: random.MixedAlphanumeric, Exact: true},
		Key: "iam/v2.IdentityPool", Segment: "identity-pool",
	}
	certificatePoolID = principal{
		ID:  engine.IDShape{Prefix: "pool-", Length: 8, Alphabet: random.MixedAlphanumeric, Exact: true},
		Key: "iam/v2.CertificateIdentityPool", Segment: "certificate-identity-pool",
	}
)

// pool reports whether the principals are pools: who may say who is in one may
// act as it.
func (p principal) pool() bool { return p.Key == identityPoolID.Key || p.Key == certificatePoolID.Key }

// principalOf returns the kind of principal that the ID belongs to.
func principalOf(id string) (principal, bool) {
	for _, p := range []principal{userID, serviceAccountID, groupMappingID, identityPoolID, certificatePoolID} {
		if p.ID.Has(id) {
			return p, true
		}
	}
	return principal{}, false
}

// pinVisible is pinPrincipal for one that the caller may know of, or is.
func pinVisible(ctx context.Context, w *engine.Write, id string) error {
	p, ok := principalOf(id)
	k := w.Engine.Kind(p.Key)
	if !ok || k == nil {
		return store.ErrNotFound
	}
	row, err := w.Tx.Pin(ctx, w.New.Org, store.Key{Kind: p.Key, ID: id})
	if err != nil {
		return err
	}
	o, err := k.Decode(row)
	if err != nil {
		return err
	}
	if w.Caller != nil && !k.VisibleTo(w.Caller, o) {
		return store.ErrNotFound
	}
	return nil
}

// pinPrincipal makes sure that the principal exists until the transaction
// ends, or answers store.ErrNotFound.
func pinPrincipal(ctx context.Context, tx store.Tx, org, id string) error {
	p, ok := principalOf(id)
	if !ok {
		return store.ErrNotFound
	}
	_, err := tx.Pin(ctx, org, store.Key{Kind: p.Key, ID: id})
	return err
}
