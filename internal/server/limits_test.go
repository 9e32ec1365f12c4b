package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/weirtest"
)

func withConfig(change func(*server.Config)) weirtest.Option { return weirtest.WithConfig(change) }

// exhaust makes requests until one is refused and returns how many were served.
func exhaust(t *testing.T, c *enginetest.Client) (served int, refused enginetest.Answer) {
	t.Helper()
	for ; served < 1000; served++ {
		a := c.Do(t, http.MethodGet, environments, nil)
		if a.Status == http.StatusTooManyRequests {
			a.WantCode(t, api.TooManyRequests)
			return served, a
		}
		a.Want(t, http.StatusOK)
	}
	t.Fatal("nothing is refused")
	return
}

func header(t *testing.T, a enginetest.Answer, name string) int {
	t.Helper()
	n, err := strconv.Atoi(a.Header.Get(name))
	if err != nil {
		t.Errorf("%s is %q", name, a.Header.Get(name))
	}
	return n
}

// TestOrganizationLimit lets one principal use up what its organization has: the
// others of the organization wait too, another organization does not.
func TestOrganizationLimit(t *testing.T) {
	t.Parallel()
	s, w := start(t, "", withConfig(func(c *server.Config) { c.RateLimitPrincipal, c.RateLimitOrganization = 100, 1 }))
	served, refused := exhaust(t, w.Client(w.Admin))
	if served < 10 || served > 200 {
		t.Errorf("%d requests were served, want bursts of ten", served)
	}
	if header(t, refused, "X-RateLimit-Limit") != 10 || header(t, refused, "X-RateLimit-Remaining") != 0 || header(t, refused, "Retry-After") < 1 {
		t.Errorf("the headers of the refusal are %v", refused.Header)
	}
	w.Client(w.Nobody).Do(t, http.MethodGet, environments, nil).WantCode(t, api.TooManyRequests)
	w.Client(w.Other).Do(t, http.MethodGet, environments, nil).Want(t, http.StatusOK)
	_, _, metrics := fetch(t, s.URL+"/metrics")
	for limit, want := range map[string]string{"rate-limit-organization": "2", "rate-limit-principal": "0", "concurrency-limit-address": "0"} {
		if line := fmt.Sprintf("weir_limited_requests_total{limit=%q} %s\n", limit, want); !strings.Contains(metrics, line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
}

// TestTightestLimit looks at the headers where two limits apply.
func TestTightestLimit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                    string
		principal, organization int
		limit                   int
	}{
		{"the principal's", 1, 20, 10},
		{"the organization's", 20, 1, 10},
		{"none for principals", 0, 2, 20},
		{"none for organizations", 2, 0, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, _ := open(t, func(c *server.Config) {
				c.RateLimitPrincipal, c.RateLimitOrganization = test.principal, test.organization
			})
			for used := 1; used < 5; used++ {
				h := ask(s, http.MethodGet, environments, loopback, nil).Header()
				remaining, _ := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
				if h.Get("X-RateLimit-Limit") != strconv.Itoa(test.limit) || remaining < test.limit-used || remaining >= test.limit {
					t.Errorf("after %d requests the headers are %v", used, h)
				}
			}
		})
	}
}

// slow is a body that does not come before it is released. Its first byte does,
// so that who reads it is under way.
type slow struct {
	begun, release chan struct{}
	rest           io.Reader
	once           sync.Once
}

func newSlow(body string) *slow {
	return &slow{begun: make(chan struct{}), release: make(chan struct{}), rest: strings.NewReader(body)}
}

func (s *slow) Read(b []byte) (int, error) {
	s.once.Do(func() { close(s.begun) })
	<-s.release
	return s.rest.Read(b)
}

// hold sends a request that stays under way, and returns how to end it.
func hold(s *server.Server, name string) (end func() *httptest.ResponseRecorder) {
	body := newSlow(fmt.Sprintf(`{"display_name":%q}`, name))
	answered := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		answered <- ask(s, http.MethodPost, environments, loopback, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(body), -1
			r.Header.Set("Content-Type", "application/json")
		})
	}()
	<-body.begun
	return func() *httptest.ResponseRecorder {
		close(body.release)
		return <-answered
	}
}

func TestConcurrencyLimits(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*server.Config){
		"principal":    func(c *server.Config) { c.ConcurrencyLimitPrincipal, c.ConcurrencyLimitOrganization = 2, 3 },
		"organization": func(c *server.Config) { c.ConcurrencyLimitPrincipal, c.ConcurrencyLimitOrganization = 3, 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := open(t, func(c *server.Config) { change(c); c.RateLimitPrincipal = 1 })
			first, second := hold(s, "first"), hold(s, "second")
			for range 10 { // what is refused takes no place
				rec := ask(s, http.MethodGet, environments, loopback, nil)
				if rec.Code != http.StatusTooManyRequests || code(t, rec) != api.TooManyRequests.Name {
					t.Fatalf("a third request at once is answered %d: %s", rec.Code, rec.Body)
				}
				h := rec.Header()
				if wait, err := strconv.Atoi(h.Get("Retry-After")); err != nil || wait < 1 || wait > 3 ||
					h.Get("X-RateLimit-Limit") != "2" || h.Get("X-RateLimit-Remaining") != "0" || h.Get("X-RateLimit-Reset") == "" {
					t.Errorf("the headers are %v", h)
				}
			}
			if rec := first(); rec.Code != http.StatusCreated {
				t.Errorf("the first is answered %d: %s", rec.Code, rec.Body)
			}
			// Three requests were let in of ten at once.
			rec := ask(s, http.MethodGet, environments, loopback, nil)
			if n, err := strconv.Atoi(rec.Header().Get("X-RateLimit-Remaining")); rec.Code != http.StatusOK || err != nil || n < 7 {
				t.Errorf("with a place free: %d, %v", rec.Code, rec.Header())
			}
			if rec := second(); rec.Code != http.StatusCreated {
				t.Errorf("the second is answered %d: %s", rec.Code, rec.Body)
			}
			if n := s.UnderWay(); n != 0 {
				t.Errorf("%d places are still taken", n)
			}
			metrics := ask(s, http.MethodGet, "/metrics", loopback, nil).Body.String()
			if line := `weir_limited_requests_total{limit="concurrency-limit-` + name + `"} 10`; !strings.Contains(metrics, line) {
				t.Errorf("/metrics lacks %s", line)
			}
		})
	}
}

// faulty is a store that panics, or waits for the end of the request.
type faulty struct {
	store.Store
	panics bool
}

func (f faulty) Visit(ctx context.Context, _ store.Query, _ func(*store.Row) error) error {
	if f.panics {
		panic("out of order")
	}
	<-ctx.Done()
	return ctx.Err()
}

// However a request ends, it gives its place back: more than there are places
// end in each way, and one that is as it should be is served after them.
func TestPlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	s, _ := open(t, func(c *server.Config) {
		c.ConcurrencyLimitPrincipal, c.ConcurrencyLimitOrganization, c.ConcurrencyLimitAddress = 2, 2, 2
	})
	good := s.Engine().Store
	anonymous := func(r *http.Request) { r.Header.Del("Authorization") }
	for name, end := range map[string]func() int{
		"success":     func() int { return ask(s, http.MethodGet, environments, loopback, nil).Code },
		"not found":   func() int { return ask(s, http.MethodGet, environments+"/env-none", loopback, nil).Code },
		"not JSON":    func() int { return ask(s, http.MethodPost, environments, loopback, nil).Code },
		"anonymous":   func() int { return ask(s, http.MethodGet, environments, loopback, anonymous).Code },
		"unknown key": func() int { return ask(s, http.MethodGet, environments, loopback, unknown()).Code },
		"invitation":  func() int { return ask(s, http.MethodPost, "/invitation?token=x", loopback, anonymous).Code },
		"its page":    func() int { return ask(s, http.MethodGet, "/invitation?token=x", loopback, anonymous).Code },
		"readiness":   func() int { return ask(s, http.MethodGet, "/readyz", loopback, anonymous).Code },
		"panic": func() int {
			s.Engine().Store = faulty{good, true}
			defer func() { s.Engine().Store = good }()
			return ask(s, http.MethodGet, environments, loopback, nil).Code
		},
		"client gone": func() int {
			s.Engine().Store = faulty{good, false}
			defer func() { s.Engine().Store = good }()
			return ask(s, http.MethodGet, environments, loopback, func(r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				*r = *r.WithContext(ctx)
				time.AfterFunc(10*time.Millisecond, cancel)
			}).Code
		},
		"time over": func() int {
			s.Engine().Store = faulty{good, false}
			defer func() { s.Engine().Store = good }()
			return ask(s, http.MethodGet, environments, loopback, func(r *http.Request) {
				ctx, cancel := context.WithTimeout(r.Context(), 10*time.Millisecond)
				t.Cleanup(cancel)
				*r = *r.WithContext(ctx)
			}).Code
		},
	} {
		for range 5 {
			if status := end(); status == http.StatusTooManyRequests {
				t.Errorf("%s: a place was not given back", name)
			}
		}
		if n := s.UnderWay(); n != 0 {
			t.Errorf("%s: %d places are still taken", name, n)
		}
	}
}

var madeUp struct {
	sync.Mutex
	n int
}

// unknown makes a request that of a key that does not exist and was never asked
// for.
func unknown() func(*http.Request) {
	madeUp.Lock()
	defer madeUp.Unlock()
	madeUp.n++
	id := fmt.Sprintf("NOKEY%011d", madeUp.n)
	return func(r *http.Request) { r.SetBasicAuth(id, "guess") }
}

// An address whose places are all taken by those who have not shown who they
// are: what has to be read to know waits its turn, what needs no credentials is
// refused, and a key that is known is served at once.
func TestAddressPlaces(t *testing.T) {
	t.Parallel()
	s, _ := open(t, func(c *server.Config) { c.ConcurrencyLimitAddress = 1 })
	if rec := ask(s, http.MethodGet, environments, loopback, nil); rec.Code != http.StatusOK {
		t.Fatalf("the key is answered %d", rec.Code)
	}
	leave, err := s.HoldAddress(t.Context(), netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	if rec := ask(s, http.MethodGet, environments, loopback, nil); rec.Code != http.StatusOK {
		t.Errorf("a key that is known is answered %d", rec.Code)
	}
	for name, change := range map[string]func(*http.Request){
		"no credentials": func(r *http.Request) { r.Header.Del("Authorization") },
		"wrong secret":   func(r *http.Request) { r.SetBasicAuth(s.First.APIKey, "guess") },
	} {
		rec := ask(s, http.MethodGet, environments, loopback, change)
		if rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", name, rec.Code, rec.Header())
		}
	}
	if rec := ask(s, http.MethodPost, "/invitation?token=x", loopback, nil); rec.Code != http.StatusTooManyRequests {
		t.Errorf("a form is answered %d", rec.Code)
	}
	// A probe must not fail because of them.
	if rec := ask(s, http.MethodGet, "/readyz", loopback, nil); rec.Code != http.StatusOK {
		t.Errorf("/readyz is answered %d", rec.Code)
	}
	if rec := ask(s, http.MethodGet, environments, "127.0.0.9:1", unknown()); rec.Code != http.StatusUnauthorized {
		t.Errorf("a key that is unknown is answered %d at another address", rec.Code)
	}
	for name, path := range map[string]string{"a key that is unknown": environments, "the page": "/invitation?token=x"} {
		rec := ask(s, http.MethodGet, path, loopback, func(r *http.Request) {
			unknown()(r)
			ctx, cancel := context.WithTimeout(r.Context(), 20*time.Millisecond)
			t.Cleanup(cancel)
			*r = *r.WithContext(ctx)
		})
		if rec.Code != http.StatusServiceUnavailable {
			t.Errorf("%s does not wait for its turn: %d", name, rec.Code)
		}
	}
	answered := make(chan int, 1)
	go func() { answered <- ask(s, http.MethodGet, environments, loopback, unknown()).Code }()
	leave()
	if status := <-answered; status != http.StatusUnauthorized {
		t.Errorf("a key that is unknown is answered %d in the end", status)
	}
}

// A guesser who knows a key's id, at the very address of who has its secret,
// slows that one down by nothing: not the first use of the key either.
func TestGuessesLockNobodyOut(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL, withConfig(func(c *server.Config) {
			c.RateLimitAddress, c.ConcurrencyLimitAddress, c.RateLimitPrincipal, c.RateLimitOrganization = 1, 1, 10, 10
		}))
		guess := w.Admin
		guess.Secret = "guess"
		client := w.Client(guess)
		refused := 0
		for range 200 {
			a := client.Do(t, http.MethodGet, environments, nil)
			if a.Status == http.StatusTooManyRequests {
				refused++
			} else {
				a.Want(t, http.StatusUnauthorized)
			}
		}
		if refused < 100 {
			t.Errorf("of 200 guesses %d were refused for their number", refused)
		}
		a := w.Client(w.Admin).Do(t, http.MethodGet, environments, nil)
		a.Want(t, http.StatusOK)
		if header(t, a, "X-RateLimit-Remaining") != 99 {
			t.Errorf("guesses count against the principal: %v", a.Header)
		}
		w.Client(w.Nobody).Do(t, http.MethodGet, environments, nil).Want(t, http.StatusOK)
	})
}

// TestReplicasShareLimits puts an organization's load on three replicas evenly,
// and then on one of them: all in all it gets its limit, and no more.
func TestReplicasShareLimits(t *testing.T) {
	t.Parallel()
	const perSecond = 20
	url := pgtest.URL(t)
	options := []weirtest.Option{weirtest.WithDatabaseURL(url), withConfig(func(c *server.Config) {
		c.RateLimitPrincipal, c.RateLimitOrganization = 0, perSecond
	})}
	first := weirtest.Start(t, options...)
	servers := []*weirtest.Server{first, first.Replica(options...), first.Replica(options...)}
	for _, s := range servers {
		waitFor(t, "the replicas to find each other", func() bool {
			return bytes.Contains(s.Do(http.MethodGet, "/metrics", nil).Raw, []byte("\nweir_replicas 3\n"))
		})
	}
	begin := time.Now()
	served := 0
	// load asks the servers in turn, twice as often as the limit allows, and
	// returns how many requests were served.
	load := func(during time.Duration, on ...*weirtest.Server) (n int) {
		ticks := time.NewTicker(time.Second / perSecond / 2)
		defer ticks.Stop()
		for i, from := 0, time.Now(); time.Since(from) < during; i++ {
			<-ticks.C
			switch a := on[i%len(on)].Do(http.MethodGet, environments, nil); a.Status {
			case http.StatusOK:
				n++
			case http.StatusTooManyRequests:
			default:
				t.Fatalf("%d: %s", a.Status, a.Raw)
			}
		}
		served += n
		return n
	}
	burst := sync.WaitGroup{}
	var atOnce [3]int
	for i, s := range servers {
		burst.Go(func() {
			for range 20 * perSecond {
				if s.Do(http.MethodGet, environments, nil).Status == http.StatusOK {
					atOnce[i]++
				}
			}
		})
	}
	burst.Wait()
	served += atOnce[0] + atOnce[1] + atOnce[2]

	// What a busy machine does not get done in one stretch of time it must in
	// another.
	reach := func(what string, on ...*weirtest.Server) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for {
			from := time.Now()
			n := float64(load(3*time.Second, on...))
			want := perSecond * time.Since(from).Seconds()
			// On a machine that is very busy the replicas hear late of the burst, so
			// it may be there more than once; on average nothing exceeds the limit.
			if most := perSecond * (3*10 + 1.2*time.Since(begin).Seconds()); float64(served) > most {
				t.Fatalf("%s: %d requests were served since the beginning, want at most %.0f", what, served, most)
			}
			if n >= 0.8*want && n <= 1.2*want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %.0f requests were served in the last stretch, the limit allows %.0f", what, n, want)
			}
		}
	}
	reach("load on all", servers...)
	reach("load on one", servers[1])
	reach("load on two", servers[0], servers[2])
}

// What needs no credentials tells of the address's limit as other answers tell of
// the caller's.
func TestHeadersWithoutCaller(t *testing.T) {
	t.Parallel()
	s, _ := open(t, func(c *server.Config) { c.RateLimitAddress = 2 })
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	rec := httptest.NewRecorder()
	leave, err := s.Engine().Admit(rec, req, nil)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if h := rec.Header(); h.Get("X-RateLimit-Limit") != "20" || h.Get("X-RateLimit-Remaining") != "19" || h.Get("X-RateLimit-Reset") != "1" {
		t.Errorf("the headers are %v", h)
	}
}

// BenchmarkAdmit is all that limits cost a request.
func BenchmarkAdmit(b *testing.B) {
	s, err := server.Open(b.Context(), server.Config{
		Listen: "127.0.0.1:0", DataDir: b.TempDir(), RateLimitPrincipal: 10_000_000, RateLimitOrganization: 10_000_000,
		ConcurrencyLimitPrincipal: 200, ConcurrencyLimitOrganization: 1000,
	}, "bench", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	caller := &authn.Caller{Subject: authz.NewSubject("9bb441c4-edef-46ac-8a41-c49e44a3fd9a", "u-12mgdv", nil)}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		req := httptest.NewRequest(http.MethodGet, environments, nil)
		rec := httptest.NewRecorder()
		for pb.Next() {
			leave, err := s.Engine().Admit(rec, req, caller)
			if err != nil {
				b.Error(err)
				return
			}
			leave()
		}
	})
}
