package signin

import (
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/ratelimit"
)

// How many attempts may fail: so many at once, and then one in each so long.
// Those that succeed do not count.
var (
	// perPair limits one account from one address. Who guesses locks out
	// nobody but themselves: the owner is somewhere else.
	perPair = ratelimit.Limit{Requests: 1, Per: time.Minute, Burst: 10}
	// perAddress limits one address that tries many accounts, perAccount one
	// account that is tried from many addresses. A pair of the two that has
	// signed in before is under neither: what others do at the same address, or
	// to the same account, does not shut it out.
	perAddress = ratelimit.Limit{Requests: 6, Per: time.Minute, Burst: 60}
	perAccount = ratelimit.Limit{Requests: 2, Per: time.Minute, Burst: 100}
)

// remembered bounds what each part of the attempts keeps in memory.
const remembered = 50_000

// attempts counts those that failed, in this process. Accounts that do not
// exist are counted as others are, so that limits do not tell which do.
type attempts struct {
	pairs, addresses, accounts *ratelimit.Limiter
	// familiar are the pairs that signed in.
	familiar *lru.Cache[string, struct{}]
}

func newAttempts() (*attempts, error) {
	a := &attempts{}
	for limiter, limit := range map[**ratelimit.Limiter]ratelimit.Limit{
		&a.pairs: perPair, &a.addresses: perAddress, &a.accounts: perAccount,
	} {
		var err error
		if *limiter, err = ratelimit.NewLimiter(limit, remembered); err != nil {
			return nil, fmt.Errorf("signin: %w", err)
		}
	}
	var err error
	if a.familiar, err = lru.New[string, struct{}](remembered); err != nil {
		return nil, fmt.Errorf("signin: %w", err)
	}
	return a, nil
}

// account and pair are what attempts are counted under.
func (a Attempt) account() string {
	email := engine.FoldASCII(a.Email)
	return email[:min(len(email), maxEmail)]
}

func (a Attempt) pair() string { return a.Address + " " + a.account() }

// allow answers *TooManyError to who has to wait.
func (t *attempts) allow(a Attempt, now time.Time) error {
	wait := t.pairs.Peek(a.pair(), now).RetryAfter
	if !t.familiar.Contains(a.pair()) {
		wait = max(wait, t.addresses.Peek(a.Address, now).RetryAfter, t.accounts.Peek(a.account(), now).RetryAfter)
	}
	if wait > 0 {
		return &TooManyError{RetryAfter: wait}
	}
	return nil
}

func (t *attempts) failed(a Attempt, now time.Time) {
	t.pairs.Take(a.pair(), now)
	if !t.familiar.Contains(a.pair()) {
		t.addresses.Take(a.Address, now)
		t.accounts.Take(a.account(), now)
	}
}

func (t *attempts) succeeded(a Attempt) { t.familiar.Add(a.pair(), struct{}{}) }
