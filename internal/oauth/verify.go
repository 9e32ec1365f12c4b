package oauth

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

// refusal says, in words for the client, why a token of an identity provider is
// refused.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refusedFor(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

func isRefusal(err error) bool {
	var r refusal
	return errors.As(err, &r)
}

// told is what the bearer of a token is told of why it is refused: to who holds
// none that the provider signed, not whether the pool exists.
func told(err error) error {
	if errors.Is(err, issuer.ErrForged) || errors.Is(err, issuer.ErrUnknownKey) {
		return errNoPool
	}
	return err
}

// errNoPool is said of a pool that does not exist and, to who holds no token of
// its provider, of one that does: nobody learns by trying which pools exist.
var errNoPool = refusal{errors.New("the identity pool does not exist, or the token is not signed by its identity provider; take the token from there, and look at the provider's issuer and jwks_uri")}

// readExternal reads a token of an identity provider. One of Weir's own is none,
// whoever vouches for its key: it could be exchanged for a newer one without end.
func readExternal(raw string) (*issuer.Token, error) {
	if token.UseOf(raw) != "" {
		return nil, refusedFor("it was issued by this server, and not by an identity provider")
	}
	t, err := issuer.Parse(raw)
	if err != nil {
		return nil, refusal{err}
	}
	return t, nil
}

// verify checks the token with the provider's keys, and returns what it says.
// When the key that it names is not known, the provider's keys are fetched.
func (s *Service) verify(ctx context.Context, p *provider, t *issuer.Token) (map[string]any, error) {
	claims, err := s.check(p, t)
	if !errors.Is(err, issuer.ErrUnknownKey) || t.Issuer() != p.issuer {
		return claims, err
	}
	if err := s.await(ctx, p); err != nil {
		return nil, err
	}
	if p, err = s.providerOf(ctx, p.id); err != nil {
		return nil, err
	}
	return s.check(p, t)
}

// await has the keys of providers fetched for a request that has not shown yet who
// makes it.
func (s *Service) await(ctx context.Context, providers ...*provider) error {
	leave, err := s.config.Turn(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var group sync.WaitGroup
	failed := make([]error, len(providers))
	for i, p := range providers {
		group.Go(func() { _, _, failed[i] = s.refresh(ctx, p) })
	}
	group.Wait()
	return errors.Join(failed...)
}

// check is verify with the keys that are known.
func (s *Service) check(p *provider, t *issuer.Token) (map[string]any, error) {
	claims, err := t.Verify(p.issuer, p.keys(), s.config.Now())
	if err != nil {
		return nil, refusal{err}
	}
	return claims, nil
}

// passes returns what the token says, if it is good for the pool.
func (s *Service) passes(ctx context.Context, l *pool, t *issuer.Token) (*provider, map[string]any, error) {
	p, err := s.providerOf(ctx, l.provider)
	if err != nil {
		return nil, nil, err
	}
	claims, err := s.verify(ctx, p, t)
	if err != nil {
		return nil, nil, err
	}
	if !l.lets(claims) {
		return nil, nil, refusedFor("it does not pass the filter of the identity pool %s", l.id)
	}
	return p, claims, nil
}

// lookUp returns the pool, and a refusal where there is none.
func (s *Service) lookUp(ctx context.Context, id string) (*pool, error) {
	l, err := s.directory.pools.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoPool
	}
	return l, err
}

// providerOf returns the provider of a pool, and a refusal where it is gone.
func (s *Service) providerOf(ctx context.Context, id string) (*provider, error) {
	p, err := s.directory.providers.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoPool
	}
	return p, err
}
