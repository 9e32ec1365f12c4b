package oauth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/store"
)

const (
	// keysLive is how long keys are used before they are fetched again. What
	// cannot be fetched then is used on.
	keysLive = time.Hour
	// retryAfter is how long a failed fetch is left alone, unless somebody asks.
	retryAfter = 5 * time.Minute
	// fetchInterval is the least time between two fetches of one provider's keys
	// by one replica, whoever asks.
	fetchInterval = 10 * time.Second
	// lookInterval is how often Run looks at all providers.
	lookInterval = time.Minute
	// atOnce is how many fetches Run has under way at the same time.
	atOnce = 8
	// storeTimeout is how long it may take to store what was fetched.
	storeTimeout = 10 * time.Second
	// batch is how many providers are read at once.
	batch = 100
)

// flight is one fetch of a provider's keys. What came of it is there once done
// is closed.
type flight struct {
	uri    string
	done   chan struct{}
	at     time.Time
	status string
	err    error
}

// refresh has a provider's keys fetched and stored, unless that was done within
// fetchInterval. It waits for the end of it, together with all others who ask
// meanwhile. The fetch goes on when ctx ends. fetched says whether it was one
// that began with or after the call. The error is one of the store.
func (s *Service) refresh(ctx context.Context, p *provider) (status string, fetched bool, err error) {
	f, fresh := s.fly(ctx, p)
	select {
	case <-f.done:
		return f.status, fresh, f.err
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
}

// fly returns the fetch that answers for the provider's keys now: one that it
// starts, one under way, or one that ended just before.
func (s *Service) fly(ctx context.Context, p *provider) (f *flight, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	if f := s.flights[p.id]; f != nil {
		return f, true
	}
	if f, ok := s.ended.Get(p.id); ok && f.uri == p.jwksURI && now.Sub(f.at).Abs() < fetchInterval {
		return f, false
	}
	f = &flight{uri: p.jwksURI, done: make(chan struct{}), at: now}
	s.flights[p.id] = f
	go s.fetch(context.WithoutCancel(ctx), p, f)
	return f, true
}

func (s *Service) fetch(ctx context.Context, p *provider, f *flight) {
	f.status, f.err = s.fetchAndStore(ctx, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.at = s.config.Now()
	delete(s.flights, p.id)
	s.ended.Add(p.id, f)
	close(f.done)
}

func (s *Service) fetchAndStore(ctx context.Context, p *provider) (string, error) {
	keys, left, err := s.config.Fetcher.Fetch(ctx, p.jwksURI)
	status := iam.JWKSRefreshed
	switch {
	case errors.Is(err, issuer.ErrBadURI):
		status = iam.JWKSInvalidURI
	case err != nil:
		status = iam.JWKSError
	}
	if err != nil {
		s.config.Log.WarnContext(ctx, "cannot fetch the keys of an identity provider; those from before go on", "provider", p.id, "organization", p.org, "error", err)
	}
	if left > 0 {
		s.config.Log.WarnContext(ctx, "an identity provider has more keys than are kept", "provider", p.id, "kept", issuer.MaxKeys, "left out", left)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err = s.config.Store.Update(ctx, func(tx store.Tx) error {
		return iam.StoreKeys(ctx, s.Engine, tx, p.org, p.id, p.jwksURI, keys, status)
	})
	if errors.Is(err, store.ErrNotFound) {
		return status, nil // it was deleted or changed meanwhile
	}
	if err != nil {
		return "", fmt.Errorf("store the keys of identity provider %s: %w", p.id, err)
	}
	return status, nil
}

// Run fetches the keys of providers that are new or changed, and those that are
// due, until the context ends; it returns once nothing is under way any more.
// The store must stay open until then. Every replica runs it. They see what the
// others fetched, and do it twice at worst.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.config.Log.WarnContext(ctx, "cannot look for keys of identity providers to fetch, trying again", "wait", lookInterval, "error", err)
		}
		if !s.pending.Wait(ctx, tick.C) {
			s.land()
			return
		}
	}
}

// land waits for the fetches under way.
func (s *Service) land() {
	s.mu.Lock()
	flights := slices.Collect(maps.Values(s.flights))
	s.mu.Unlock()
	for _, f := range flights {
		<-f.done
	}
}

// look fetches what is due of the providers that changed, or of all.
func (s *Service) look(ctx context.Context) error {
	ids, all := s.pending.Take()
	if !all {
		return s.fetchDue(ctx, ids)
	}
	for after := int64(0); ; {
		rows, err := s.config.Store.List(ctx, store.Query{Kind: iam.IdentityProvider.Key(), After: after, Limit: batch})
		if err != nil {
			return err
		}
		ids := make([]string, len(rows))
		for i, row := range rows {
			ids[i], after = row.ID, row.Seq
		}
		if err := s.fetchDue(ctx, ids); err != nil || len(rows) < batch {
			return err
		}
	}
}

func (s *Service) fetchDue(ctx context.Context, ids []string) error {
	var group sync.WaitGroup
	defer group.Wait()
	places := make(chan struct{}, atOnce)
	for _, id := range ids {
		p, err := s.directory.providers.Get(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if s.config.Now().Before(p.due()) {
			continue
		}
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			if _, _, err := s.refresh(ctx, p); err != nil && ctx.Err() == nil {
				s.config.Log.WarnContext(ctx, "cannot refresh an identity provider", "provider", id, "error", err)
			}
		})
	}
	return nil
}
