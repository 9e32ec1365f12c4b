// Package mtls lets workloads in by the certificate that they show when they
// connect: it finds the certificate identity pools that a certificate is for, and
// fetches the authorities' lists of revoked certificates.
package mtls

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/weirhq/weir/internal/celfilter"
	"github.com/weirhq/weir/internal/clientcert"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/memory"
	"github.com/weirhq/weir/internal/store"
)

// Kinds are the kinds whose changes a Service must be told of.
func Kinds() []string {
	return []string{iam.CertificateAuthority.Key(), iam.CertificateIdentityPool.Key()}
}

const (
	// rememberedAuthorities bounds how many authorities are remembered. One takes
	// up to a megabyte or two with the longest list of revoked certificates, and
	// some kilobytes without.
	rememberedAuthorities = 1_000
	// rememberedPools and rememberedSubjects bound the pools, some tens of kilobytes
	// each with the filter, and the names of issuers.
	rememberedPools    = 5_000
	rememberedSubjects = 5_000
	// maxAuthorities is how many authorities of all organizations may have one
	// name, and maxPools how many pools an authority may have, for requests that
	// name no pool.
	maxAuthorities = 100
	maxPools       = 100
)

// authority is a certificate authority as certificates are checked with it. It
// does not change.
type authority struct {
	org, id string
	// version is another one each time that the authority is read from the store.
	version uint64
	*clientcert.Authority
}

// pool is a certificate identity pool. It does not change.
type pool struct {
	org, id, authority, identifier string
	filter                         *celfilter.Filter
}

// candidate is an authority with its pools.
type candidate struct {
	authority string
	pools     []string
}

// directory answers from memory what each request asks.
type directory struct {
	store       store.Reader
	log         *slog.Logger
	loads       atomic.Uint64
	authorities *memory.Memory[string, *authority]
	pools       *memory.Memory[string, *pool]
	// subjects holds the authorities by the names that they sign with, as
	// iam.SubjectHash has them; nil where there are too many.
	subjects *memory.Memory[string, []candidate]
}

func newDirectory(s store.Reader, log *slog.Logger) *directory {
	d := &directory{store: s, log: log}
	id := func(id string) string { return id }
	authorities, pools := iam.CertificateAuthority.Key(), iam.CertificateIdentityPool.Key()
	d.authorities = memory.New(rememberedAuthorities, d.loadAuthority, map[string]memory.Reach{authorities: memory.Same}, id)
	// A pool goes with its authority.
	d.pools = memory.New(rememberedPools, d.loadPool, map[string]memory.Reach{pools: memory.Same, authorities: memory.Everything}, id)
	d.subjects = memory.New(rememberedSubjects, d.loadSubject, map[string]memory.Reach{pools: memory.Everything, authorities: memory.Everything}, nil)
	return d
}

func (d *directory) changed(c store.Change) {
	d.authorities.Changed(c)
	d.pools.Changed(c)
	d.subjects.Changed(c)
}

func (d *directory) loadAuthority(ctx context.Context, id string) (*authority, error) {
	row, err := d.store.Get(ctx, "", store.Key{Kind: iam.CertificateAuthority.Key(), ID: id})
	if err != nil {
		return nil, err
	}
	o, err := iam.CertificateAuthority.Decode(row)
	if err != nil {
		return nil, err
	}
	checked, err := iam.AuthorityOf(o)
	if err != nil {
		return nil, fmt.Errorf("certificate authority %s: %w", id, err)
	}
	return &authority{org: o.Org, id: o.ID, version: d.loads.Add(1), Authority: checked}, nil
}

func (d *directory) loadPool(ctx context.Context, id string) (*pool, error) {
	row, err := d.store.Get(ctx, "", store.Key{Kind: iam.CertificateIdentityPool.Key(), ID: id})
	if err != nil {
		return nil, err
	}
	o, err := iam.CertificateIdentityPool.Decode(row)
	if err != nil {
		return nil, err
	}
	filter, err := celfilter.Compile(celfilter.Subjects, o.Doc.String("filter"))
	if err != nil {
		// It compiled once. Whom it let in is not known any more.
		d.log.WarnContext(ctx, "the filter of a certificate identity pool lets nobody in, change it", "pool", id, "error", err)
		filter = &celfilter.Filter{}
	}
	return &pool{org: o.Org, id: o.ID, authority: o.Parent, identifier: o.Doc.String("external_identifier"), filter: filter}, nil
}

func (d *directory) loadSubject(ctx context.Context, hash string) ([]candidate, error) {
	keys, err := iam.AuthoritiesNamed(ctx, d.store, hash, maxAuthorities+1)
	if err != nil || len(keys) > maxAuthorities {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, store.ErrNotFound
	}
	out := make([]candidate, 0, len(keys))
	for _, key := range keys {
		a, err := d.authorities.Get(ctx, key.ID)
		if errors.Is(err, store.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		rows, err := d.store.List(ctx, store.Query{
			Org: a.org, Kind: iam.CertificateIdentityPool.Key(), Limit: maxPools + 1,
			Where: []store.Condition{{Field: store.FieldParent, Values: []string{a.id}}},
		})
		if err != nil || len(rows) > maxPools {
			return nil, err
		}
		c := candidate{authority: a.id}
		for _, row := range rows {
			c.pools = append(c.pools, row.ID)
		}
		out = append(out, c)
	}
	return out, nil
}
