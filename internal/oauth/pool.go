// Package oauth lets the identities of identity providers in: it keeps the
// providers' keys, checks their tokens against the filters of identity pools,
// exchanges them for tokens of Weir's own, and reads both as bearer tokens.
package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/celfilter"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/memory"
	"github.com/weirhq/weir/internal/store"
)

// Kinds are the kinds whose changes a Service must be told of.
func Kinds() []string { return []string{iam.IdentityPool.Key(), iam.IdentityProvider.Key()} }

// remembered bounds how many providers, how many pools and how many issuers are
// remembered. A pool takes some tens of kilobytes with its filter.
const remembered = 5_000

// provider is an identity provider as tokens are checked with it. It does not
// change.
type provider struct {
	org, id, issuer, jwksURI, claim string
	record                          iam.ProviderRecord
}

// pool is an identity pool as tokens are checked with it. It does not change.
type pool struct {
	org, id, provider, claim string
	filter                   *celfilter.Filter
	// admission is a digest of all that decides who gets in, so that a token that
	// was given out before a change of that can be told.
	admission string
}

// directory answers from memory what each token asks.
type directory struct {
	store     store.Reader
	log       *slog.Logger
	providers *memory.Memory[string, *provider]
	pools     *memory.Memory[string, *pool]
	// issuers holds the pools of each issuer, by their providers; nil where there
	// are too many.
	issuers *memory.Memory[string, []candidate]
}

// candidate is a provider with its pools.
type candidate struct {
	provider string
	pools    []string
}

func newDirectory(s store.Reader, log *slog.Logger) *directory {
	d := &directory{store: s, log: log}
	id := func(id string) string { return id }
	providers, pools := iam.IdentityProvider.Key(), iam.IdentityPool.Key()
	d.providers = memory.New(remembered, d.loadProvider, map[string]memory.Reach{providers: memory.Same}, id)
	// What a pool lets in depends on its provider too.
	d.pools = memory.New(remembered, d.loadPool, map[string]memory.Reach{pools: memory.Same, providers: memory.Everything}, id)
	d.issuers = memory.New(remembered, d.loadIssuer, map[string]memory.Reach{pools: memory.Everything, providers: memory.Everything}, nil)
	return d
}

func (d *directory) changed(c store.Change) {
	d.providers.Changed(c)
	d.pools.Changed(c)
	d.issuers.Changed(c)
}

func (d *directory) loadProvider(ctx context.Context, id string) (*provider, error) {
	row, err := d.store.Get(ctx, "", store.Key{Kind: iam.IdentityProvider.Key(), ID: id})
	if err != nil {
		return nil, err
	}
	o, err := iam.IdentityProvider.Decode(row)
	if err != nil {
		return nil, err
	}
	record, err := iam.DecodeProviderRecord(o.Private)
	if err != nil {
		return nil, err
	}
	return &provider{
		org: o.Org, id: o.ID, issuer: o.Doc.String("issuer"), jwksURI: o.Doc.String("jwks_uri"), claim: o.Doc.String("identity_claim"),
		record: record,
	}, nil
}

func (d *directory) loadPool(ctx context.Context, id string) (*pool, error) {
	row, err := d.store.Get(ctx, "", store.Key{Kind: iam.IdentityPool.Key(), ID: id})
	if err != nil {
		return nil, err
	}
	o, err := iam.IdentityPool.Decode(row)
	if err != nil {
		return nil, err
	}
	p, err := d.providers.Get(ctx, o.Parent)
	if err != nil {
		return nil, err
	}
	text, claim := o.Doc.String("filter"), o.Doc.String("identity_claim")
	filter, err := celfilter.Compile(celfilter.Claims, text)
	if err != nil {
		// It compiled once. Whom it let in is not known any more.
		d.log.WarnContext(ctx, "the filter of an identity pool lets nobody in, change it", "pool", id, "error", err)
		filter = &celfilter.Filter{}
	}
	return &pool{org: o.Org, id: o.ID, provider: p.id, claim: claim, filter: filter, admission: digest(p.id, p.issuer, p.jwksURI, text, claim)}, nil
}

func digest(texts ...string) string {
	encoded, err := json.Marshal(texts)
	if err != nil {
		panic(fmt.Sprintf("oauth: encode texts: %v", err)) // texts always encode
	}
	sum := sha256.Sum256(encoded)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

const (
	// maxProviders is how many providers of all organizations may have one issuer,
	// and maxPools how many pools a provider may have, for tokens that name none.
	maxProviders = 100
	maxPools     = 100
)

func (d *directory) loadIssuer(ctx context.Context, name string) ([]candidate, error) {
	keys, err := iam.ProvidersOf(ctx, d.store, name, maxProviders+1)
	if err != nil || len(keys) > maxProviders {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, store.ErrNotFound
	}
	out := make([]candidate, 0, len(keys))
	for _, key := range keys {
		p, err := d.providers.Get(ctx, key.ID)
		if errors.Is(err, store.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		rows, err := d.store.List(ctx, store.Query{
			Org: p.org, Kind: iam.IdentityPool.Key(), Limit: maxPools + 1,
			Where: []store.Condition{{Field: store.FieldParent, Values: []string{p.id}}},
		})
		if err != nil || len(rows) > maxPools {
			return nil, err
		}
		c := candidate{provider: p.id}
		for _, row := range rows {
			c.pools = append(c.pools, row.ID)
		}
		out = append(out, c)
	}
	return out, nil
}

// lets reports whether the pool is for the token that says the claims.
func (p *pool) lets(claims map[string]any) bool {
	return p.filter.Match(map[string]any{"claims": claims})
}

// defaultClaim tells identities apart where nothing else is said.
const defaultClaim = "claims.sub"

// maxSubject is the greatest length of an identity in bytes.
const maxSubject = 1024

// identity reads who a token is about.
func identity(p *provider, claim string, claims map[string]any, pools ...string) (*authn.Identity, error) {
	if claim == "" {
		claim = defaultClaim
	}
	value := any(claims)
	for name := range strings.SplitSeq(strings.TrimPrefix(claim, "claims."), ".") {
		inner, _ := value.(map[string]any)
		value = inner[name]
	}
	subject, ok := value.(string)
	if !ok || subject == "" || len(subject) > maxSubject {
		return nil, refusedFor("it has no text in the claim that tells identities apart, %s", claim)
	}
	return &authn.Identity{Provider: p.id, Issuer: p.issuer, Claim: claim, Subject: subject, Audience: audience(claims["aud"]), Pools: pools}, nil
}

// maxAudience bounds what is kept of whom a token is for, in bytes.
const maxAudience = 1024

func audience(aud any) []string {
	var out []string
	if one, ok := aud.(string); ok {
		aud = []any{one}
	}
	all, _ := aud.([]any)
	length := 0
	for _, a := range all {
		text, ok := a.(string)
		if length += len(text); !ok || length > maxAudience {
			break
		}
		out = append(out, text)
	}
	return out
}

// keys are those that the provider's tokens are checked with.
func (p *provider) keys() []issuer.Key { return p.record.Keys }

// due is when the provider's keys are to be fetched next: at once when that was
// never tried, after keysLive when it went well, after retryAfter when not.
func (p *provider) due() time.Time {
	switch {
	case p.record.Attempted.IsZero():
		return time.Time{}
	case p.record.Status == iam.JWKSRefreshed:
		return p.record.Refreshed.Add(keysLive)
	default:
		return p.record.Attempted.Add(retryAfter)
	}
}
