package server_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/server"
)

// load is one of those who make requests at the same time.
type load struct {
	name string
	// workers make requests in parallel, so many each.
	workers, requests int
	// request makes the nth of them.
	request func(n int) enginetest.Answer
	// answers are the statuses that there may be. Each must come at least once,
	// or else the load did not do what it was to.
	answers []int
}

// TestLoad lets callers who exceed their limits or quotas, such as are kept out by
// their address, and such without credentials make requests while another principal of the same organization, at the same
// address, makes those that it may: each gets its right answers, and what is
// allowed is never refused.
func TestLoad(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, w := start(t, databaseURL, behindProxy, withConfig(func(c *server.Config) {
			// Bursts are ten times as many: what is allowed stays below.
			c.RateLimitPrincipal, c.RateLimitOrganization, c.RateLimitAddress = 30, 400, 10
			c.ConcurrencyLimitPrincipal, c.ConcurrencyLimitOrganization, c.ConcurrencyLimitAddress = 8, 100, 4
		}))
		// Who sets up what is refused below keeps its own limit out of the loads'.
		scene := newScene(w)
		holder := scene.holder(t, "OrganizationAdmin", "crn://confluent.cloud/organization="+s.OrganizationID)
		near := visit(s, "")
		guarded := near.create(t, environments, map[string]any{"display_name": "guarded"})
		near.create(t, ipFilters, near.filter(guarded, near.group(t, "127.0.0.0/8")))
		_, used := applied(t, w.Client(w.Admin), maxEnvironments)
		setLimit(t, w, maxEnvironments, int64(used))

		guess := w.Admin
		guess.Secret = "guess"
		run(t, []load{
			{
				name: "allowed reads", workers: 4, requests: 40, answers: []int{http.StatusOK},
				request: func(int) enginetest.Answer {
					return w.Client(w.Admin).Do(t, http.MethodGet, environments, nil)
				},
			},
			{
				name: "allowed writes", workers: 4, requests: 20, answers: []int{http.StatusCreated},
				request: func(n int) enginetest.Answer {
					body := map[string]any{"display_name": fmt.Sprint("account ", n)}
					return w.Client(w.Admin).Do(t, http.MethodPost, "/iam/v2/service-accounts", body)
				},
			},
			{
				name: "too many", workers: 4, requests: 250, answers: []int{http.StatusOK, http.StatusTooManyRequests},
				request: func(int) enginetest.Answer {
					return w.Client(w.Nobody).Do(t, http.MethodGet, environments, nil)
				},
			},
			{
				name: "from an address that is kept out", workers: 2, requests: 30, answers: []int{http.StatusForbidden},
				request: func(int) enginetest.Answer {
					r := holder.Request(t, http.MethodGet, environments+"/"+guarded, nil)
					r.Header.Set("X-Forwarded-For", otherAddress)
					r.Header.Set("X-Forwarded-Proto", "https")
					return holder.Send(t, r)
				},
			},
			{
				name: "beyond a quota", workers: 2, requests: 30, answers: []int{http.StatusPaymentRequired},
				request: func(n int) enginetest.Answer {
					return holder.Do(t, http.MethodPost, environments, map[string]any{"display_name": fmt.Sprint("environment ", n)})
				},
			},
			{
				name: "guesses, at a key that exists and at others", workers: 8, requests: 100,
				answers: []int{http.StatusUnauthorized, http.StatusTooManyRequests},
				request: func(n int) enginetest.Answer {
					caller := guess
					if n%2 == 0 {
						caller.Key = fmt.Sprintf("MADEUPKEY%07d", n)
					}
					return w.Client(caller).Do(t, http.MethodGet, environments, nil)
				},
			},
		})
	})
}

// run lets all loads go on at once and checks their answers.
func run(t *testing.T, loads []load) {
	t.Helper()
	var all sync.WaitGroup
	for _, l := range loads {
		counts := map[int]*atomic.Int64{}
		for _, status := range l.answers {
			counts[status] = new(atomic.Int64)
		}
		var workers sync.WaitGroup
		for i := range l.workers {
			workers.Go(func() {
				for j := range l.requests {
					a := l.request(i*l.requests + j)
					if counts[a.Status] == nil {
						t.Errorf("%s: %d: %s", l.name, a.Status, a.Raw)
						continue
					}
					counts[a.Status].Add(1)
				}
			})
		}
		all.Go(func() {
			workers.Wait()
			for status, n := range counts {
				if n.Load() == 0 {
					t.Errorf("%s: nothing was answered %d", l.name, status)
				}
			}
		})
	}
	all.Wait()
}
