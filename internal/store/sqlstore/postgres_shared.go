package sqlstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// maxShared is how many functions share a transaction at most.
const maxShared = 16

// join takes what the transaction would do, to be done in another one, and reports
// whether that can be.
func (s *db) join(t *tx) bool {
	c, ok := t.conn.txConn.(*postgresTx)
	if !ok || c.c != nil || t.conn.err != nil || t.tallied.overdraw {
		return false
	}
	t.counted = t.tallied.deltas()
	if s.refusals.concern(t) {
		return false
	}
	t.held, c.held = c.held, nil
	return len(t.held)+len(t.events)+len(t.tallied.after) > 0
}

// blaming returns the statement, which tells whose it is when it fails.
func (t *tx) blaming(s statement) statement {
	if end := s.end; end != nil {
		s.end = func() error {
			t.blamed = end()
			return t.blamed
		}
	}
	return s
}

// newShared returns what runs transactions that ask nothing as one of the database.
func (s *db) newShared(ways int, ready func() error) *gather[*tx] {
	return (&gather[*tx]{
		alone:    func(ctx context.Context, t *tx) error { return s.runShared(ctx, []*tx{t}) },
		together: s.share,
		ready:    ready,
		senders:  ways, most: maxShared,
		bound:    true,
		patience: writePatience,
	}).start()
}

// share runs those that may share a transaction. When that fails, whoever is not to
// blame goes again, alone.
func (s *db) share(ctx context.Context, all []*tx) []error {
	outcome := make([]error, len(all))
	var fit []*tx
	taken := map[store.Counter]int64{}
	for i, t := range all {
		if s.fits(taken, t) {
			fit = append(fit, t)
		} else {
			outcome[i] = errGathered
		}
	}
	err := s.runShared(ctx, fit)
	counter, full := new(counterError), new(store.ErrFull)
	switch {
	case errors.As(err, &counter):
		s.refusals.add(counter.Counter)
	case errors.As(err, &full):
		s.refusals.add(full.Counter)
	}
	for i, t := range all {
		switch {
		case outcome[i] != nil || err == nil:
		case errors.Is(err, errOutcomeUnknown), counter.again != nil && t.counts(counter.Counter):
			outcome[i] = err
		case t.blamed != nil:
			s.refusals.add(t.place)
			outcome[i] = t.blamed
		default:
			outcome[i] = errGathered
		}
	}
	return outcome
}

// fits adds what the transaction counts to what is taken, and reports whether one
// transaction may take as much.
func (s *db) fits(taken map[store.Counter]int64, t *tx) bool {
	for _, c := range t.counted {
		if s.dialect.spreads(c.Counter) && taken[c.Counter]+c.By > s.dialect.allowance(s.limits.of(c.Share)) {
			return false
		}
	}
	for _, c := range t.counted {
		taken[c.Counter] += c.By
	}
	return true
}

func (t *tx) counts(c store.Counter) bool {
	return slices.ContainsFunc(t.counted, func(d delta) bool { return d.Counter == c })
}

// runShared does what the transactions would do in one.
func (s *db) runShared(ctx context.Context, all []*tx) error {
	// Others that insert the same names wait for these, and these for them: in one
	// order nobody waits for whom he lets wait.
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *tx) int { return strings.Compare(a.place, b.place) })
	ran := false
	return s.backend.update(ctx, func(c txConn) error {
		if ran {
			return errGathered // what the statements found is of the first time
		}
		ran = true
		written := changes{}
		t := s.newTx(c, &written)
		t.assume = true
		var counted []delta
		for _, one := range all {
			for _, statement := range one.held {
				if err := c.later(ctx, one.blaming(statement)); err != nil {
					return err
				}
			}
			counted = append(counted, one.counted...)
			t.events = append(t.events, one.events...)
			written.merge(one.written.Change)
		}
		return s.complete(ctx, t, sum(counted))
	})
}

// limits are the limits of counters that are not the default, as they were last read.
type limits struct {
	mu    sync.Mutex
	known map[store.Counter]int64
}

// maxKnown bounds what is kept of limits, and of refusals.
const maxKnown = 1000

func (l *limits) learn(s store.Share, limit int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case limit == s.Limit:
		delete(l.known, s.Counter)
	case l.known == nil || len(l.known) >= maxKnown:
		l.known = map[store.Counter]int64{s.Counter: limit}
	default:
		l.known[s.Counter] = limit
	}
}

func (l *limits) of(s store.Share) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit, known := l.known[s.Counter]; known {
		return limit
	}
	return s.Limit
}

// refusals are counters and names that undid a shared transaction a moment ago. Who
// needs them goes alone for a while: others should not have to run again each time that
// somebody asks for what is not to be had.
type refusals struct {
	mu    sync.Mutex
	until map[any]time.Time
}

// refusalTime is for how long a refusal is remembered.
const refusalTime = time.Second

func (r *refusals) add(of any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil || len(r.until) >= maxKnown {
		r.until = map[any]time.Time{}
	}
	r.until[of] = time.Now().Add(refusalTime)
}

// concern reports whether the transaction needs what was refused.
func (r *refusals) concern(t *tx) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.until) == 0 {
		return false
	}
	now := time.Now()
	return now.Before(r.until[t.place]) ||
		slices.ContainsFunc(t.counted, func(d delta) bool { return now.Before(r.until[d.Counter]) })
}
