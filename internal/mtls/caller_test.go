package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/clientcert"
	"github.com/weirhq/weir/internal/clientcert/certtest"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/ipfilter"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
	"github.com/weirhq/weir/internal/testclock"
)

// world is a Service with an organization, an authority and a pool.
type world struct {
	*Service
	clock           *testclock.Clock
	root            *certtest.Signer
	org             string
	authority, pool string
	// turns counts how often certificates were checked.
	turns atomic.Int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st, err := sqlstore.Open(t.Context(), "", t.TempDir(), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &world{clock: testclock.At(time.Now()), root: certtest.New(t, "root"), org: uuid.NewString()}
	directory := authn.NewDirectory(st)
	st.Watch(directory.Changed)
	w.Service = New(Config{
		Store: st, Reader: st, Directory: directory,
		Turn: func(context.Context) (func(), error) {
			w.turns.Add(1)
			return func() {}, nil
		},
		Fetcher: issuer.NewFetcher([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}), Now: w.clock.Now, Log: slog.New(slog.DiscardHandler),
	})
	st.Watch(w.Changed)
	w.Engine, err = engine.New(engine.Config{
		Store: st, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler),
		Kinds: []*engine.Kind{
			iam.GroupMapping, iam.CertificateAuthority, iam.CertificateIdentityPool, iam.IdentityPool, iam.IdentityProvider,
			iam.RoleBinding, iam.ServiceAccount, iam.User, org.Environment, org.Organization,
		},
		Filters: func(context.Context, string) (*ipfilter.Table, error) { return ipfilter.Rules{}.Prepare(), nil },
		Client:  func(*http.Request) netip.Addr { return netip.Addr{} },
		Admit:   func(http.ResponseWriter, *http.Request, *authn.Caller) (func(), error) { return func() {}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.make(t, &engine.Object{Kind: org.Organization, Org: w.org, ID: w.org, Doc: engine.Doc{"display_name": "here"}})
	w.authority = w.newAuthority(t, w.org, engine.Doc{"certificate_chain": w.root.PEM()})
	w.pool = w.newPool(t, w.org, w.authority, `O == "Example"`)
	return w
}

func (w *world) make(t testing.TB, o *engine.Object) string {
	t.Helper()
	if err := w.config.Store.Update(t.Context(), func(tx store.Tx) error { return w.Engine.Insert(t.Context(), tx, o) }); err != nil {
		t.Fatal(err)
	}
	return o.ID
}

func (w *world) newAuthority(t testing.TB, organization string, doc engine.Doc) string {
	t.Helper()
	doc.Set("display_name", "workloads")
	return w.make(t, &engine.Object{Kind: iam.CertificateAuthority, Org: organization, Doc: doc})
}

func (w *world) newPool(t testing.TB, organization, authority, filter string) string {
	t.Helper()
	return w.make(t, &engine.Object{Kind: iam.CertificateIdentityPool, Org: organization, Parent: authority, Doc: engine.Doc{
		"display_name": "pool", "external_identifier": "CN", "filter": filter,
	}})
}

func example(c *x509.Certificate) {
	c.Subject = pkix.Name{CommonName: "orders", Organization: []string{"Example"}}
}

// request is one with the certificate and those above it.
func request(t testing.TB, x *certtest.Signer, pools ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.TLS = &tls.ConnectionState{}
	for _, der := range x.TLS().Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, c)
	}
	for _, id := range pools {
		r.Header.Add(authn.PoolHeader, id)
	}
	return r
}

func (w *world) wantRefused(t *testing.T, what string, r *http.Request, why string) {
	t.Helper()
	caller, err := w.Caller(t.Context(), r)
	if caller != nil || !errors.Is(err, authn.ErrCertificate) || !strings.Contains(err.Error(), why) {
		t.Errorf("%s: %+v, %v, want a refusal that says %q", what, caller, err, why)
	}
}

func TestCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.root.Issue(t, example)
	caller, err := w.Caller(t.Context(), request(t, x))
	if err != nil {
		t.Fatal(err)
	}
	want := authn.Identity{Provider: w.authority, Issuer: "CN=root", Claim: "CN", Subject: "orders", Pools: []string{w.pool}}
	if caller.Org != w.org || caller.Principal != w.pool || caller.Scheme != authn.SchemeCertificate ||
		caller.Credential != fmt.Sprintf("%X", x.SerialNumber) || fmt.Sprint(*caller.Identity) != fmt.Sprint(want) {
		t.Errorf("the caller is %+v with %+v", caller, caller.Identity)
	}
	// Pools of several authorities of one organization come together.
	between := w.root.Issue(t, certtest.Authority("between"))
	second := w.newAuthority(t, w.org, engine.Doc{"certificate_chain": between.PEM()})
	other := w.newPool(t, w.org, second, `CN == "orders"`)
	caller, err = w.Caller(t.Context(), request(t, between.Issue(t, example)))
	if err != nil {
		t.Fatal(err)
	}
	pools := []string{w.pool, other}
	slices.Sort(pools)
	if !slices.Equal(caller.Identity.Pools, pools) {
		t.Errorf("the pools are %v, want %v", caller.Identity.Pools, pools)
	}
	// A pool of an authority that has not signed it lets nobody in by name.
	w.wantRefused(t, "another authority's pool", request(t, x, other), "must come from an authority")
	w.wantRefused(t, "both", request(t, x, w.pool, other), "must come from an authority")
	w.wantRefused(t, "an identity pool", request(t, x, "pool-abc123"), "no ID of an identity pool")
}

// TestCheckedOnce: what was found out is remembered, as long as it holds.
func TestCheckedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, bad := request(t, w.root.Issue(t, example)), request(t, certtest.New(t, "root").Issue(t, example))
	checks := func(what string, r *http.Request, ok bool, want int64) {
		t.Helper()
		before := w.turns.Load()
		for range 3 {
			if _, err := w.Caller(t.Context(), r); (err == nil) != ok {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got := w.turns.Load() - before; got != want {
			t.Errorf("%s: checked %d times, want %d", what, got, want)
		}
	}
	checks("a good one", good, true, 1)
	checks("a good one again", good, true, 0)
	checks("a bad one", bad, false, 1)
	w.clock.Forward(refusalLive)
	checks("a bad one later", bad, false, 1)
	checks("a good one later", good, true, 0)
	w.clock.Forward(time.Hour)
	checks("a good one after its end", good, false, 1)
}

// TestTooMuch shows more than is looked at.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.root.Issue(t, example)
	r := request(t, x)
	for len(r.TLS.PeerCertificates) <= clientcert.MaxCertificates {
		r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, w.root.Certificate)
	}
	w.wantRefused(t, "a long chain", r, "come with it")
	if err := w.config.Store.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutLimit(t.Context(), w.org, iam.CertificateIdentityPool.Quotas[0].Code, engine.MaxLimit)
	}); err != nil {
		t.Fatal(err)
	}
	for range maxPools {
		w.newPool(t, w.org, w.authority, "")
	}
	w.wantRefused(t, "many pools", request(t, x), "too many certificate identity pools")
	if _, err := w.Caller(t.Context(), request(t, x, w.pool)); err != nil {
		t.Errorf("one of many pools: %v", err)
	}
}

// TestFetchedLists fetches when it is due, and takes no older list.
func TestFetchedLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.root.Issue(t, example)
	older := w.root.CRL(t, 240*time.Hour)
	var served atomic.Value
	var fetches atomic.Int64
	source := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		text, _ := served.Load().(string)
		_, _ = rw.Write([]byte(text))
	}))
	t.Cleanup(source.Close)
	other := certtest.New(t, "another")
	id := w.newAuthority(t, w.org, engine.Doc{"certificate_chain": other.PEM(), "crl_url": source.URL, "require_crl_on_client_certificate": true})
	w.newPool(t, w.org, id, `O == "Example"`)
	y := request(t, other.Issue(t, func(c *x509.Certificate) { example(c); c.NotAfter = time.Now().Add(20 * time.Hour) }))
	look := func(what string, want int64) {
		t.Helper()
		w.pending.All()
		before := fetches.Load()
		if err := w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := fetches.Load() - before; got != want {
			t.Errorf("%s: %d fetches, want %d", what, got, want)
		}
	}
	served.Store("nonsense")
	look("nonsense", 1)
	w.wantRefused(t, "nonsense", y, "none that still counts")
	look("at once again", 0)
	served.Store(older)
	w.clock.Forward(retryFirst)
	look("a list that another signed", 1)
	w.wantRefused(t, "a list that another signed", y, "none that still counts")
	served.Store(other.CRLAt(t, time.Now(), 240*time.Hour))
	w.clock.Forward(retryMost)
	look("its own", 1)
	if _, err := w.Caller(t.Context(), y); err != nil {
		t.Fatal(err)
	}
	look("not due", 0)
	served.Store(other.CRLAt(t, time.Now().Add(-time.Minute), 240*time.Hour, x))
	w.clock.Forward(crlLive)
	look("an older one", 1)
	if w.failing[id].times != 1 {
		t.Errorf("an older list was taken: %+v", w.failing)
	}
	served.Store(other.CRLAt(t, time.Now(), 240*time.Hour, &certtest.Signer{Certificate: y.TLS.PeerCertificates[0]}))
	w.clock.Forward(retryFirst)
	look("one that revokes", 1)
	w.wantRefused(t, "revoked", y, "revoked")
	if w.wantRefused(t, "one of the first authority", request(t, x), "must come from"); len(w.failing) != 0 {
		t.Errorf("it still fails: %+v", w.failing)
	}
}

// BenchmarkCaller finds the caller behind a certificate that was seen before, and
// behind one that is checked anew, with a list of revoked certificates or without.
func BenchmarkCaller(b *testing.B) {
	w := newWorld(b)
	revoked := make([]*certtest.Signer, 5000)
	for i := range revoked {
		revoked[i] = &certtest.Signer{Certificate: &x509.Certificate{SerialNumber: certtest.Serial()}}
	}
	other := certtest.New(b, "another")
	id := w.newAuthority(b, w.org, engine.Doc{"certificate_chain": other.PEM(), "crl_chain": other.CRL(b, time.Hour, revoked...)})
	w.newPool(b, w.org, id, `O == "Example"`)
	plain, listed := request(b, w.root.Issue(b, example)), request(b, other.Issue(b, example))
	for name, c := range map[string]struct {
		r      *http.Request
		before func()
	}{
		"Seen":             {plain, func() {}},
		"FirstTime":        {plain, w.verified.Purge},
		"FirstTimeLongCRL": {listed, w.verified.Purge},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.before()
				if _, err := w.Caller(b.Context(), c.r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
