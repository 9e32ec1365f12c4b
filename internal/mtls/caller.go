package mtls

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/clientcert"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/store"
)

// Errors for clients.
var (
	errUnknown = refusedFor("it must come from an authority that your organization lists, still be good, be for clients, and pass the filter of a certificate identity pool; or send other credentials")
	errRevoked = refusedFor("it is revoked; ask who runs your certificate authority for another")
	errNoCRL   = refusedFor("its authority requires a list of revoked certificates, and there is none that still counts; upload one, or look at crl_url")
	errWeak    = refusedFor("it or one above it has a key that is too short or of a kind that is not taken; take RSA from 2048 to 8192 bits, ECDSA from P-256 on, or Ed25519")
	errTooMany = refusedFor("more than %d come with it; show those between it and the authority alone", clientcert.MaxCertificates-1)
	errSeveral = refusedFor("it gets into several organizations; name the identity pool in the header %s", authn.PoolHeader)
	errCrowded = refusedFor("there are too many certificate identity pools to look through; name one in the header %s", authn.PoolHeader)
)

func refusedFor(format string, args ...any) error {
	return fmt.Errorf("%w: %w", authn.ErrCertificate, fmt.Errorf(format, args...))
}

// maxIdentifier is the greatest length in bytes of what names a bearer.
const maxIdentifier = 1024

// Caller finds the caller behind the certificates that the client of the request
// has shown and proven to hold the key of: the union of the pools that the header
// authn.PoolHeader names, or else of all pools of one organization that let the
// certificate in. The error of a certificate that is not good wraps
// authn.ErrCertificate.
func (s *Service) Caller(ctx context.Context, r *http.Request) (*authn.Caller, error) {
	certificates := r.TLS.PeerCertificates
	if len(certificates) > clientcert.MaxCertificates {
		return nil, errTooMany
	}
	named, err := authn.NamedPools(r.Header, iam.CertificateIdentityPool.ID.Has)
	if err != nil {
		return nil, refusedFor("%w", err)
	}
	among, err := s.among(ctx, certificates, named)
	if err != nil {
		return nil, err
	}
	a := &attempt{Service: s, certificates: certificates, hash: hashOf(certificates), subject: clientcert.Subject(certificates[0])}
	let, refused, err := a.letting(ctx, among)
	if err != nil {
		return nil, err
	}
	if len(let) == 0 || len(named) > 0 && len(let) < len(named) {
		return nil, refused
	}
	first := let[0]
	ids := make([]string, len(let))
	for i, p := range let {
		if p.org != first.org {
			return nil, errSeveral
		}
		ids[i] = p.id
	}
	subject, err := s.config.Directory.Subject(ctx, first.org, ids[0], ids[1:]...)
	if err != nil {
		return nil, err
	}
	leaf := certificates[0]
	return &authn.Caller{
		Subject: subject, Scheme: authn.SchemeCertificate, Credential: fmt.Sprintf("%X", leaf.SerialNumber),
		Identity: &authn.Identity{
			Provider: first.authority, Issuer: leaf.Issuer.String(), Claim: first.identifier,
			Subject: clientcert.Identifier(a.subject, first.identifier), Pools: ids,
		},
	}, nil
}

func hashOf(certificates []*x509.Certificate) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, x := range certificates {
		one := sha256.Sum256(x.Raw) // of one length each, so that no two lists are the same
		_, _ = h.Write(one[:])      // a hash takes everything
	}
	h.Sum(sum[:0])
	return sum
}

// among returns what to look through: the pools that are named, or all those of
// authorities that can have signed one of the certificates.
func (s *Service) among(ctx context.Context, certificates []*x509.Certificate, named []string) ([]candidate, error) {
	var out []candidate
	for _, id := range named {
		p, err := s.directory.pools.Get(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil, errUnknown
		}
		if err != nil {
			return nil, err
		}
		out = append(out, candidate{authority: p.authority, pools: []string{id}})
	}
	if len(named) > 0 {
		return out, nil
	}
	for _, x := range certificates {
		found, err := s.directory.subjects.Get(ctx, iam.SubjectHash(x.RawIssuer))
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, err
		case found == nil:
			return nil, errCrowded
		}
		for _, c := range found {
			if !slices.ContainsFunc(out, func(other candidate) bool { return other.authority == c.authority }) {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// attempt is one request of somebody with certificates.
type attempt struct {
	*Service
	certificates []*x509.Certificate
	hash         [sha256.Size]byte
	subject      map[string]any
}

// letting returns the pools that let the certificate in, by ID, and why others
// refuse it.
func (a *attempt) letting(ctx context.Context, among []candidate) (let []*pool, refused, err error) {
	refused = errUnknown
	found := map[string]*pool{}
	for _, c := range among {
		of, err := a.directory.authorities.Get(ctx, c.authority)
		if errors.Is(err, store.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, nil, err
		}
		switch err := a.verify(ctx, of); {
		case errors.Is(err, authn.ErrCertificate):
			if !errors.Is(err, errUnknown) {
				refused = err
			}
			continue
		case err != nil:
			return nil, nil, err
		}
		for _, id := range c.pools {
			p, err := a.directory.pools.Get(ctx, id)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, nil, err
			}
			if p.authority == of.id && p.lets(a.subject) {
				found[p.id] = p
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *pool) int { return strings.Compare(a.id, b.id) }), refused, nil
}

// lets reports whether the pool is for the certificate that says the subject of
// its bearer. One that says nothing to name the bearer by is for no pool: nobody
// could be told in the audit log.
func (p *pool) lets(subject map[string]any) bool {
	name := clientcert.Identifier(subject, p.identifier)
	return name != "" && len(name) <= maxIdentifier && p.filter.Match(subject)
}

// verify checks the certificates against the authority, or remembers how that
// ended.
func (a *attempt) verify(ctx context.Context, of *authority) error {
	key := shown{a.hash, of.version}
	now := a.config.Now()
	if v, ok := a.verified.Get(key); ok && now.Before(v.until) {
		return v.err
	}
	leave, err := a.config.Turn(ctx)
	if err != nil {
		return err
	}
	defer leave()
	until, err := of.Verify(a.certificates, now)
	switch {
	case errors.Is(err, clientcert.ErrRevoked):
		err = errRevoked
	case errors.Is(err, clientcert.ErrNoCRL):
		err = errNoCRL
	case errors.Is(err, clientcert.ErrWeak):
		err = errWeak
	case err != nil:
		err = errUnknown
	}
	if err != nil {
		until = now.Add(refusalLive) // time may make it good, as a list that begins to count
	}
	a.verified.Add(key, verdict{until, err})
	return err
}
