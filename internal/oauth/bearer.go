package oauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

// Readers read the bearer tokens that the Service knows of, by their security
// scheme.
func (s *Service) Readers() map[string]authn.TokenReader {
	return map[string]authn.TokenReader{operation.STSToken: s.readSTS, operation.ExternalToken: s.readBearer}
}

// verified is what a token of Weir's own says.
type verified struct {
	claims token.Claims
	more   stsClaims
}

// readSTS finds the caller behind an exchanged token.
func (s *Service) readSTS(ctx context.Context, _ *http.Request, raw string) (*authn.Caller, error) {
	hash := sha256.Sum256([]byte(raw))
	v, known := s.verified.Get(hash)
	if !known {
		var err error
		if v.claims, err = s.config.SigningKeys.Verify(ctx, token.STS, raw, &v.more); err != nil {
			return nil, err
		}
		s.verified.Add(hash, v)
	}
	if !s.config.Now().Before(v.claims.Expiry.Time()) {
		s.verified.Remove(hash)
		return nil, fmt.Errorf("%w: it has expired; exchange a token of the identity provider for a new one", authn.ErrToken)
	}
	l, err := s.directory.pools.Get(ctx, v.claims.Subject)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err != nil || l.org != v.claims.Organization || l.admission != v.more.Identity.Admission {
		return nil, fmt.Errorf("%w: the identity pool or its provider was deleted or changed; exchange a token of the identity provider for a new one", authn.ErrToken)
	}
	who := v.more.Identity
	return s.caller(ctx, l.org, operation.STSToken, v.claims.ID, &who)
}

// caller is the one behind a token for identity pools.
func (s *Service) caller(ctx context.Context, org, scheme, credential string, who *authn.Identity) (*authn.Caller, error) {
	subject, err := s.config.Directory.Subject(ctx, org, who.Pools[0], who.Pools[1:]...)
	if err != nil {
		return nil, err
	}
	return &authn.Caller{Subject: subject, Scheme: scheme, Credential: credential, Identity: who}, nil
}

const maxPoolID = 64

// readBearer finds the caller behind a token of an identity provider.
func (s *Service) readBearer(ctx context.Context, r *http.Request, raw string) (*authn.Caller, error) {
	t, err := readExternal(raw)
	if err != nil {
		return nil, refuseBearer(err)
	}
	named, err := authn.NamedPools(r.Header, iam.IdentityPool.ID.Has)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", authn.ErrToken, err)
	}
	var pools []*pool
	var p *provider
	var claims map[string]any
	if len(named) > 0 {
		pools, p, claims, err = s.poolsNamed(ctx, named, t)
	} else {
		pools, p, claims, err = s.poolsThatLet(ctx, t)
	}
	if err != nil {
		return nil, refuseBearer(err)
	}
	claim := p.claim
	if len(named) == 1 {
		claim = pools[0].claim
	}
	ids := make([]string, len(pools))
	for i, l := range pools {
		ids[i] = l.id
	}
	who, err := identity(p, claim, claims, ids...)
	if err != nil {
		return nil, refuseBearer(err)
	}
	return s.caller(ctx, p.org, operation.ExternalToken, nameOf(claims), who)
}

// refuseBearer is the error for a bearer token that is refused.
func refuseBearer(err error) error {
	if !isRefusal(err) {
		return err
	}
	return fmt.Errorf("%w: %w", authn.ErrToken, told(err))
}

// poolsNamed returns the pools with the IDs, which must be of one provider, and
// each let the token in.
func (s *Service) poolsNamed(ctx context.Context, ids []string, t *issuer.Token) (pools []*pool, p *provider, claims map[string]any, err error) {
	for _, id := range ids {
		l, err := s.lookUp(ctx, id)
		if err != nil {
			return nil, nil, nil, err
		}
		if len(pools) == 0 {
			if p, claims, err = s.passes(ctx, l, t); err != nil {
				return nil, nil, nil, err
			}
		} else if l.provider != p.id {
			return nil, nil, nil, errNoPool
		} else if !l.lets(claims) {
			return nil, nil, nil, refusedFor("it does not pass the filter of the identity pool %s", id)
		}
		pools = append(pools, l)
	}
	return pools, p, claims, nil
}

// poolsThatLet returns all pools that let the token in, of the one provider
// with its issuer. The issuer may be known to several organizations: then the
// token must not get into more than one, since it is not said which one is meant.
func (s *Service) poolsThatLet(ctx context.Context, t *issuer.Token) ([]*pool, *provider, map[string]any, error) {
	among, err := s.directory.issuers.Get(ctx, t.Issuer())
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, nil, errNoPool
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if among == nil {
		return nil, nil, nil, refusedFor("there are too many identity pools to look through; name one in the header %s", authn.PoolHeader)
	}
	found, err := s.search(ctx, among, t)
	if err != nil {
		return nil, nil, nil, err
	}
	if !found.signed {
		// Nobody knows the key. Only now keys are fetched: as long as one provider
		// has it, none of another organization can make the token wait.
		if err := s.refreshAll(ctx, among); err != nil {
			return nil, nil, nil, err
		}
		if found, err = s.search(ctx, among, t); err != nil {
			return nil, nil, nil, err
		}
	}
	return found.pools, found.provider, found.claims, found.refused
}

// found is what comes of looking for the pools that let a token in.
type found struct {
	pools    []*pool
	provider *provider
	claims   map[string]any
	// refused says why there are none; signed whether some provider signed the
	// token.
	refused error
	signed  bool
}

// search looks through the pools, with the keys that are known.
func (s *Service) search(ctx context.Context, among []candidate, t *issuer.Token) (*found, error) {
	f := &found{refused: errNoPool}
	for _, c := range among {
		p, err := s.providerOf(ctx, c.provider)
		if isRefusal(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		claims, err := s.check(p, t)
		if err != nil {
			if !errors.Is(told(err), errNoPool) {
				f.refused, f.signed = err, true // the provider signed it, so it may be told
			}
			continue
		}
		f.signed = true
		let, err := s.letting(ctx, c.pools, claims)
		switch {
		case err != nil:
			return nil, err
		case len(let) > 0 && f.pools != nil:
			return &found{refused: refusedFor("it gets into several organizations; name the identity pool in the header %s", authn.PoolHeader), signed: true}, nil
		case len(let) > 0:
			f.pools, f.provider, f.claims = let, p, claims
		default:
			f.refused = refusedFor("it passes the filter of no identity pool")
		}
	}
	if f.pools != nil {
		f.refused = nil
	}
	return f, nil
}

// refreshAll refreshes the keys of all the providers, at the same time.
func (s *Service) refreshAll(ctx context.Context, among []candidate) error {
	var providers []*provider
	for _, c := range among {
		p, err := s.providerOf(ctx, c.provider)
		if isRefusal(err) {
			continue
		}
		if err != nil {
			return err
		}
		providers = append(providers, p)
	}
	return s.await(ctx, providers...)
}

// letting returns those of the pools that let in who says the claims.
func (s *Service) letting(ctx context.Context, ids []string, claims map[string]any) ([]*pool, error) {
	var out []*pool
	for _, id := range ids {
		l, err := s.lookUp(ctx, id)
		if isRefusal(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if l.lets(claims) {
			out = append(out, l)
		}
	}
	return out, nil
}
