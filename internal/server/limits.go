package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/ratelimit"
	"github.com/weirhq/weir/internal/store"
)

// The limits, named as their flags are; the metrics have these names too.
const (
	rateLimitPrincipal           = "rate-limit-principal"
	rateLimitOrganization        = "rate-limit-organization"
	rateLimitAddress             = "rate-limit-address"
	concurrencyLimitPrincipal    = "concurrency-limit-principal"
	concurrencyLimitOrganization = "concurrency-limit-organization"
	concurrencyLimitAddress      = "concurrency-limit-address"
)

var limitNames = []string{
	rateLimitPrincipal, rateLimitOrganization, rateLimitAddress,
	concurrencyLimitPrincipal, concurrencyLimitOrganization, concurrencyLimitAddress,
}

const (
	// maxRate is the greatest rate limit, in requests a second.
	maxRate = 100_000_000
	// limiterKeys bounds what each rate limiter remembers, about 250 bytes a key.
	limiterKeys = 100_000
	// tellTimeout is how long a replica tries to tell the others what it
	// admitted.
	tellTimeout = time.Second
	// maxUntold is how many messages are kept that could not be told.
	maxUntold = 20
)

// limits are what requests are admitted by: how many a principal, an
// organization and an address may make in a time, and at a time.
type limits struct {
	// seed makes tags of requests.
	seed maphash.Seed

	principals, organizations, addresses               *ratelimit.Limiter
	principalPlaces, organizationPlaces, addressPlaces *ratelimit.Places

	exchange *ratelimit.Exchange
	// refused counts refusals by the name of the limit.
	refused func(limit string)
}

func newLimits(c Config) (*limits, error) {
	l := &limits{
		seed:               maphash.MakeSeed(),
		principalPlaces:    ratelimit.NewPlaces(c.ConcurrencyLimitPrincipal),
		organizationPlaces: ratelimit.NewPlaces(c.ConcurrencyLimitOrganization),
		addressPlaces:      ratelimit.NewPlaces(c.ConcurrencyLimitAddress),
		refused:            func(string) {},
	}
	for _, limiter := range []struct {
		name      string
		perSecond int
		is        **ratelimit.Limiter
	}{
		{rateLimitPrincipal, c.RateLimitPrincipal, &l.principals},
		{rateLimitOrganization, c.RateLimitOrganization, &l.organizations},
		{rateLimitAddress, c.RateLimitAddress, &l.addresses},
	} {
		var err error
		if *limiter.is, err = ratelimit.NewLimiter(limit(limiter.perSecond), limiterKeys); err != nil {
			return nil, fmt.Errorf("--%s: %w", limiter.name, err)
		}
	}
	l.exchange = ratelimit.NewExchange(rand.Text(), map[string]*ratelimit.Limiter{
		"principal": l.principals, "organization": l.organizations,
	}, map[string]*ratelimit.Places{
		"principal": l.principalPlaces, "organization": l.organizationPlaces,
	})
	return l, nil
}

// limit is a number of requests a second with bursts of ten times as many.
func limit(perSecond int) ratelimit.Limit {
	if perSecond == 0 {
		return ratelimit.Limit{}
	}
	return ratelimit.Limit{Requests: perSecond, Per: time.Second, Burst: 10 * perSecond}
}

// admit lets a request of the caller in, or one without a caller by its address.
// It writes the headers of the tightest limit. When it lets the request in, leave
// must be called at the end of the request.
//
// Of one who has proved nothing the address counts, and of a caller nothing else
// does: guesses, with whatever key, and whoever else is behind an address slow
// nobody who has valid credentials.
func (l *limits) admit(w http.ResponseWriter, r *http.Request, caller *authn.Caller) (leave func(), err error) {
	if caller == nil {
		return l.admitAddress(w, addressOf(r))
	}
	tag := l.tag(r)
	principal := caller.Org + "/" + caller.Principal
	first, ok := l.principalPlaces.Take(principal)
	if !ok {
		return nil, l.full(w, concurrencyLimitPrincipal, l.principalPlaces, tag)
	}
	second, ok := l.organizationPlaces.Take(caller.Org)
	if !ok {
		first.Leave()
		return nil, l.full(w, concurrencyLimitOrganization, l.organizationPlaces, tag)
	}
	d, tightest := ratelimit.TakeAll(time.Now(), tag,
		ratelimit.Charge{Limiter: l.principals, Key: principal},
		ratelimit.Charge{Limiter: l.organizations, Key: caller.Org})
	ratelimit.WriteHeaders(w.Header(), d)
	if !d.Allowed {
		first.Leave()
		second.Leave()
		return nil, l.tooMany([]string{rateLimitPrincipal, rateLimitOrganization}[tightest])
	}
	return func() { first.Leave(); second.Leave() }, nil
}

// admitAddress lets in who has no valid credentials: who failed to authenticate,
// or asks for what needs none.
func (l *limits) admitAddress(w http.ResponseWriter, address string) (leave func(), err error) {
	place, ok := l.addressPlaces.Take(address)
	if !ok {
		return nil, l.full(w, concurrencyLimitAddress, l.addressPlaces, 0)
	}
	d := l.addresses.Take(address, time.Now())
	ratelimit.WriteHeaders(w.Header(), d)
	if !d.Allowed {
		place.Leave()
		return nil, l.tooMany(rateLimitAddress)
	}
	return place.Leave, nil
}

// turn waits for a place of the address, for work that has to be done before it
// can be known who asks. Such requests are not refused, since they may be valid
// ones; but no address has more of that work under way than its places.
func (l *limits) turn(ctx context.Context, client netip.Addr) (leave func(), err error) {
	place, err := l.addressPlaces.Wait(ctx, addressKey(client))
	return place.Leave, err
}

func (l *limits) tooMany(name string) error {
	l.refused(name)
	return api.New(api.TooManyRequests, "Too many requests; wait before the next one as the Retry-After header says")
}

// full refuses a request since too many are under way. Those that are refused at
// one time are told different times to come back.
func (l *limits) full(w http.ResponseWriter, name string, places *ratelimit.Places, tag uint64) error {
	l.refused(name)
	wait := time.Second + time.Duration(tag%3)*time.Second
	ratelimit.WriteHeaders(w.Header(), ratelimit.Decision{Limit: places.Limit(), Reset: wait, RetryAfter: wait})
	return api.New(api.TooManyRequests, "Too many requests are under way at once; wait for some of them to be answered, and come back as the Retry-After header says")
}

// tag is by what a request is known again when it comes back.
func (l *limits) tag(r *http.Request) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	_, _ = h.WriteString(r.Method)
	_, _ = h.WriteString(r.URL.Path)
	_ = h.WriteByte('?')
	_, _ = h.WriteString(r.URL.RawQuery)
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(r.ContentLength))
	_, _ = h.Write(length[:])
	return h.Sum64() | 1
}

// share tells the other replicas what this one admitted, and hears what they
// did, until the context ends. No request waits for it.
func (l *limits) share(ctx context.Context, s store.Store, log *slog.Logger) {
	defer s.Hear(func(text string) { l.exchange.Hear(text, time.Now()) })()
	ticks := time.NewTicker(ratelimit.ReportEvery)
	defer ticks.Stop()
	var untold []string
	for failing := false; ; {
		var err error
		untold, err = l.tell(ctx, s, untold)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			log.Warn("other replicas cannot be told what this one admits; trying again until they can", "error", err)
		}
		failing = err != nil
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// tell sends what there is to tell, behind what could not be told before, and
// returns what cannot be told now. Of that the newest counts.
func (l *limits) tell(ctx context.Context, s store.Store, untold []string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	untold = append(untold, l.exchange.Tick(time.Now())...)
	for len(untold) > 0 {
		if err := s.Tell(ctx, untold[0]); err != nil {
			return slices.Clone(untold[max(len(untold)-maxUntold, 0):]), err
		}
		untold = untold[1:]
	}
	return nil, nil
}

// addressKey is what a client's address is limited under. One IPv6 host can
// use any address of a /64, so that all of them share one limit.
func addressKey(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// patient is a store's reader for what has to be read of credentials before it
// is known whether they are good.
type patient struct{ store.Reader }

// Get waits for the turn of the request's address.
func (p patient) Get(ctx context.Context, org string, key store.Key) (*store.Row, error) {
	leave, err := recordOf(ctx).await(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return p.Reader.Get(ctx, org, key)
}
