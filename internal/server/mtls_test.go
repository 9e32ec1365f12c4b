package server_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/clientcert/certtest"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

const authoritiesPath = "/iam/v2/certificate-authorities"

// certificateWorld is a server that asks clients for certificates, with an
// authority, and a pool that may look at the environment. What is made is made
// through another server on the same database.
type certificateWorld struct {
	*oauthWorld
	root            *certtest.Signer
	authority, pool string
	// secure are the URLs of the servers, roots what they are trusted by.
	secure []string
	roots  *x509.CertPool
	dir    string
}

func newCertificateWorld(t *testing.T, databaseURL string, servers int) *certificateWorld {
	t.Helper()
	dir := t.TempDir()
	options := []weirtest.Option{weirtest.WithDatabaseURL(databaseURL), weirtest.WithDataDir(dir)}
	w := &certificateWorld{oauthWorld: &oauthWorld{Server: weirtest.Start(t, options...), t: t}, root: certtest.New(t, "root"), roots: x509.NewCertPool(), dir: dir}
	for range servers {
		s := w.Replica(append(options, weirtest.WithConfig(func(c *server.Config) { c.TLSSelfSigned, c.TLSClientCertificates = true, true }))...)
		w.secure = append(w.secure, s.URL)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "tls", "ca.crt"))
	if err != nil || !w.roots.AppendCertsFromPEM(ca) {
		t.Fatalf("the server's authority: %v", err)
	}
	w.authority = w.newAuthority(map[string]any{"certificate_chain": w.root.PEM()})
	w.pool = w.newCertificatePool(w.authority, `O == "Example" && OU == "shop"`)
	w.bind(w.pool, "EnvironmentAdmin", w.environmentCRN())
	return w
}

func authorityWith(with map[string]any) map[string]any {
	body := map[string]any{"display_name": "Workloads", "description": "ours", "certificate_chain_filename": "ca.pem", "require_crl_on_client_certificate": false}
	for name, v := range with {
		body[name] = v
	}
	return body
}

func (w *certificateWorld) newAuthority(with map[string]any) string {
	w.t.Helper()
	return w.make(authoritiesPath, authorityWith(with))
}

func certificatePoolBody(filter string) map[string]any {
	return map[string]any{"display_name": "shop", "description": "", "external_identifier": "CN", "filter": filter}
}

func (w *certificateWorld) newCertificatePool(authority, filter string) string {
	w.t.Helper()
	return w.make(authoritiesPath+"/"+authority+"/identity-pools", certificatePoolBody(filter))
}

func (w *certificateWorld) put(path string, body map[string]any) {
	w.t.Helper()
	if a := w.Do(http.MethodPut, path, body); a.Status != http.StatusOK {
		w.t.Fatalf("PUT %s: %d %s", path, a.Status, a.Raw)
	}
}

// shop makes a certificate that the pool is for.
func shop(c *x509.Certificate) {
	c.Subject = pkix.Name{CommonName: "orders", Organization: []string{"Example"}, OrganizationalUnit: []string{"shop"}}
}

func shopUntil(end time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) { shop(c); c.NotAfter = end }
}

// client returns a client that keeps its connection, and shows the certificate
// unless it is nil.
func (w *certificateWorld) client(x *certtest.Signer) *http.Client {
	config := &tls.Config{RootCAs: w.roots, MinVersion: tls.VersionTLS12}
	if x != nil {
		config.Certificates = []tls.Certificate{x.TLS()}
	}
	transport := &http.Transport{TLSClientConfig: config}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask reads the environment through the client, at the first server.
func (w *certificateWorld) ask(c *http.Client, header ...string) func() weirtest.Answer {
	return w.askAt(w.secure[0], c, header...)
}

func (w *certificateWorld) askAt(base string, c *http.Client, header ...string) func() weirtest.Answer {
	return w.send(c, http.MethodGet, base+w.environment(), nil, header...)
}

func (w *certificateWorld) send(c *http.Client, method, target string, body map[string]any, header ...string) func() weirtest.Answer {
	return func() weirtest.Answer {
		w.t.Helper()
		encoded, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(w.t.Context(), method, target, bytes.NewReader(encoded))
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		resp, err := c.Do(r)
		if err != nil {
			w.t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		a := weirtest.Answer{Status: resp.StatusCode, Header: resp.Header}
		if a.Raw, err = io.ReadAll(resp.Body); err != nil {
			w.t.Fatal(err)
		}
		_ = json.Unmarshal(a.Raw, &a.Body) // stays nil for what is no JSON object
		return a
	}
}

// refused checks that the answer is a 401 that says why.
func (w *certificateWorld) refused(what string, a weirtest.Answer, why string) {
	w.t.Helper()
	if a.Status != http.StatusUnauthorized || !strings.Contains(detail(a), why) || a.Header.Get("WWW-Authenticate") == "" {
		w.t.Errorf("%s: %d %s, want a 401 that says %q", what, a.Status, a.Raw, why)
	}
}

// refusedSoon is refused for what holds within the time.
func (w *certificateWorld) refusedSoon(limit time.Duration, what, why string, ask func() weirtest.Answer) {
	w.t.Helper()
	var last weirtest.Answer
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if last = ask(); last.Status == http.StatusUnauthorized && strings.Contains(detail(last), why) {
			break
		}
	}
	w.refused(what, last, why)
}

const nobodys = "must come from an authority"

// TestClientCertificates shows certificates of all sorts.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newCertificateWorld(t, databaseURL, 1)
		good := w.root.Issue(t, shop)
		w.wantSoon("a certificate of the pool", http.StatusOK, w.ask(w.client(good)))
		between := w.root.Issue(t, certtest.Authority("between"))
		w.wantSoon("one with a link between", http.StatusOK, w.ask(w.client(between.Issue(t, shop))))

		for what, x := range map[string]*certtest.Signer{
			"one that the filter is not for": w.root.Issue(t, func(c *x509.Certificate) {
				c.Subject = pkix.Name{CommonName: "orders", Organization: []string{"Example"}, OrganizationalUnit: []string{"bank"}}
			}),
			"one without the identifier": w.root.Issue(t, func(c *x509.Certificate) {
				c.Subject = pkix.Name{Organization: []string{"Example"}, OrganizationalUnit: []string{"shop"}}
			}),
			"one that has ended":     w.root.Issue(t, shopUntil(time.Now().Add(-time.Minute))),
			"one of another root":    certtest.New(t, "root").Issue(t, shop),
			"one that signed itself": certtest.SelfSigned(t, shop),
			"one for servers": w.root.Issue(t, func(c *x509.Certificate) {
				shop(c)
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			}),
		} {
			w.refused(what, w.ask(w.client(x))(), nobodys)
		}
		w.refused("none", w.ask(w.client(nil))(), "credentials must be provided")

		// What the pool may not, its bearers may not.
		kept := w.client(good)
		name := map[string]any{"display_name": "renamed"}
		if a := w.send(kept, http.MethodPatch, w.secure[0]+w.environment(), name)(); a.Status != http.StatusOK {
			t.Errorf("a change that it may make: %d %s", a.Status, a.Raw)
		}
		if a := w.send(kept, http.MethodPost, w.secure[0]+"/org/v2/environments", name)(); a.Status != http.StatusForbidden {
			t.Errorf("a change that it may not make: %d %s", a.Status, a.Raw)
		}

		// Authorization wins, good or bad.
		key := "Basic " + base64.StdEncoding.EncodeToString([]byte(w.APIKey+":"+w.APISecret))
		if a := w.send(kept, http.MethodPost, w.secure[0]+"/org/v2/environments", name, "Authorization", key)(); a.Status != http.StatusCreated {
			t.Errorf("a key and a certificate: %d %s", a.Status, a.Raw)
		}
		for _, wrong := range []string{"Basic eDp5", "Bearer x", "", "Digest"} {
			if a := w.ask(kept, "Authorization", wrong)(); a.Status != http.StatusUnauthorized {
				t.Errorf("a certificate with Authorization %q: %d %s", wrong, a.Status, a.Raw)
			}
		}

		// The header chooses.
		const header = "Confluent-Identity-Pool-Id"
		other := w.newCertificatePool(w.authority, `O == "Example"`)
		none := w.newCertificatePool(w.authority, ``)
		w.wantSoon("the pool by name", http.StatusOK, w.ask(kept, header, w.pool))
		w.wantSoon("one without a role", http.StatusNotFound, w.ask(kept, header, other))
		w.wantSoon("both", http.StatusOK, w.ask(kept, header, other+", "+w.pool))
		w.refused("one with an empty filter", w.ask(kept, header, none)(), nobodys)
		w.refused("two of which one does not let it in", w.ask(kept, header, w.pool+","+none)(), nobodys)
		w.refused("one that is not there", w.ask(kept, header, "pool-zzzzzzzz")(), nobodys)
		w.refused("no pool's ID", w.ask(kept, header, "pool-zzzzzz")(), "no ID of an identity pool")
	})
}

// TestEndOfCertificates takes away what lets a certificate in, on a connection
// that stays.
func TestEndOfCertificates(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newCertificateWorld(t, databaseURL, 1)
		x := w.root.Issue(t, shop)
		kept := w.ask(w.client(x))
		path := authoritiesPath + "/" + w.authority
		pool := path + "/identity-pools/" + w.pool

		w.wantSoon("at first", http.StatusOK, kept)
		w.put(pool, certificatePoolBody(`OU == "bank"`))
		w.wantSoon("another filter", http.StatusUnauthorized, kept)
		w.put(pool, certificatePoolBody(`OU == "shop"`))
		w.wantSoon("the filter again", http.StatusOK, kept)

		w.put(path, authorityWith(map[string]any{"crl_chain": w.root.CRL(t, time.Hour, x)}))
		w.refusedSoon(time.Second, "revoked", "it is revoked", kept)
		w.wantSoon("another of the authority", http.StatusOK, w.ask(w.client(w.root.Issue(t, shop))))
		// What was answered comes back, and keeps the list.
		read := w.Do(http.MethodGet, path, nil)
		if read.Body["crl_url"] != "Local file uploaded" || read.Body["crl_source"] != "LOCAL" {
			t.Errorf("an uploaded list: %s", read.Raw)
		}
		delete(read.Body, "crl_chain")
		w.put(path, read.Body)
		w.refusedSoon(time.Second, "still revoked", "it is revoked", kept)
		w.put(path, authorityWith(nil))
		w.wantSoon("no list any more", http.StatusOK, kept)

		w.put(path, authorityWith(map[string]any{"crl_chain": w.root.CRL(t, -time.Minute), "require_crl_on_client_certificate": true}))
		w.refusedSoon(time.Second, "an old list", "none that still counts", kept)
		w.put(path, authorityWith(map[string]any{"crl_chain": w.root.CRL(t, time.Hour), "require_crl_on_client_certificate": true}))
		w.wantSoon("a new list", http.StatusOK, kept)

		w.put(path, authorityWith(map[string]any{"certificate_chain": certtest.New(t, "root").PEM()}))
		w.wantSoon("another chain", http.StatusUnauthorized, kept)
		w.put(path, authorityWith(map[string]any{"certificate_chain": w.root.PEM()}))
		w.wantSoon("the chain again", http.StatusOK, kept)

		if a := w.Do(http.MethodDelete, pool, nil); a.Status != http.StatusOK || a.Body["id"] != w.pool {
			t.Errorf("delete the pool: %d %s", a.Status, a.Raw)
		}
		w.wantSoon("a deleted pool", http.StatusUnauthorized, kept)
		w.pool = w.newCertificatePool(w.authority, `OU == "shop"`)
		w.bind(w.pool, "EnvironmentAdmin", w.environmentCRN())
		w.wantSoon("another pool", http.StatusOK, kept)
		if a := w.Do(http.MethodDelete, path, nil); a.Status != http.StatusOK || a.Body["id"] != w.authority {
			t.Errorf("delete the authority: %d %s", a.Status, a.Raw)
		}
		w.wantSoon("a deleted authority", http.StatusUnauthorized, kept)
		if a := w.Do(http.MethodGet, "/iam/v2/role-bindings?crn_pattern="+w.crn()+"/*&principal=User:"+w.pool, nil); strings.Contains(string(a.Raw), w.pool) {
			t.Errorf("a role of the pool outlives it: %s", a.Raw)
		}
	})
}

// TestCertificateEndsOnItsConnection waits for the end of a certificate.
func TestCertificateEndsOnItsConnection(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newCertificateWorld(t, databaseURL, 1)
		end := time.Now().Add(4 * time.Second)
		kept := w.ask(w.client(w.root.Issue(t, shopUntil(end))))
		w.wantSoon("before its end", http.StatusOK, kept)
		w.refusedSoon(10*time.Second, "after its end", nobodys, kept)
		if time.Now().Before(end.Truncate(time.Second)) {
			t.Error("it ended early")
		}
	})
}

// TestFetchedRevocations has the list fetched from a server.
func TestFetchedRevocations(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newCertificateWorld(t, databaseURL, 1)
		x := w.root.Issue(t, shop)
		var list atomic.Value
		list.Store("")
		source := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			text, _ := list.Load().(string)
			if text == "" {
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			block, _ := pem.Decode([]byte(text))
			_, _ = rw.Write(block.Bytes)
		}))
		t.Cleanup(source.Close)
		path := authoritiesPath + "/" + w.authority
		with := func(name string, required bool) map[string]any {
			return authorityWith(map[string]any{"crl_url": source.URL + "/" + name, "require_crl_on_client_certificate": required})
		}
		kept := w.ask(w.client(x))
		w.wantSoon("no list", http.StatusOK, kept)
		w.put(path, with("a", true))
		w.refusedSoon(time.Second, "one that cannot be fetched", "none that still counts", kept)

		list.Store(w.root.CRL(t, time.Hour))
		w.put(path, with("b", true))
		w.wantWithin(10*time.Second, "one that revokes nobody", http.StatusOK, kept)
		a := w.Do(http.MethodGet, path, nil)
		if a.Body["crl_source"] != "URL" || a.Body["crl_url"] != source.URL+"/b" || a.Body["crl_updated_at"] == nil {
			t.Errorf("the authority with a list: %s", a.Raw)
		}
		list.Store(w.root.CRL(t, time.Hour, x))
		w.put(path, with("c", true))
		w.refusedSoon(10*time.Second, "revoked", "it is revoked", kept)
		// Another's list is none.
		list.Store(certtest.New(t, "root").CRL(t, time.Hour))
		w.put(path, with("d", true))
		w.refusedSoon(time.Second, "another's list", "none that still counts", kept)
	})
}

// TestCertificateInTwoOrganizations lists one authority in two organizations.
func TestCertificateInTwoOrganizations(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newCertificateWorld(t, databaseURL, 1)
		kept := w.client(w.root.Issue(t, shop))
		w.wantSoon("in one", http.StatusOK, w.ask(kept))
		world := people(t, w.URL, besideServer(t, databaseURL, w.dir, w.URL), enginetest.Caller{Key: w.APIKey, Secret: w.APISecret, Organization: w.OrganizationID})
		second := world.Client(world.Other)
		authority := create(t, second, authoritiesPath, authorityWith(map[string]any{"certificate_chain": w.root.PEM()}))
		other := create(t, second, authoritiesPath+"/"+authority+"/identity-pools", certificatePoolBody(`OU == "shop"`))
		w.refusedSoon(time.Second, "in both", "several organizations", w.ask(kept))
		const header = "Confluent-Identity-Pool-Id"
		w.wantSoon("named", http.StatusOK, w.ask(kept, header, w.pool))
		// The other organization's pool sees nothing of this one.
		w.wantSoon("the other named", http.StatusNotFound, w.ask(kept, header, other))
		w.refused("both named", w.ask(kept, header, w.pool+","+other)(), "several organizations")
	})
}

// TestCertificatesOnEveryReplica changes through one server what others answer.
func TestCertificatesOnEveryReplica(t *testing.T) {
	t.Parallel()
	w := newCertificateWorld(t, pgtest.URL(t), 2)
	x := w.root.Issue(t, shop)
	var asks []func() weirtest.Answer
	for _, base := range w.secure {
		asks = append(asks, w.askAt(base, w.client(x)))
	}
	everywhere := func(what string, status int) {
		t.Helper()
		for _, ask := range asks {
			w.wantSoon(what, status, ask)
		}
	}
	everywhere("at first", http.StatusOK)
	w.put(authoritiesPath+"/"+w.authority, authorityWith(map[string]any{"crl_chain": w.root.CRL(t, time.Hour, x)}))
	everywhere("revoked", http.StatusUnauthorized)
	w.put(authoritiesPath+"/"+w.authority, authorityWith(nil))
	everywhere("without a list", http.StatusOK)
	w.Do(http.MethodDelete, authoritiesPath+"/"+w.authority, nil)
	everywhere("deleted", http.StatusUnauthorized)
}

// TestCertificatesAreAskedForOnRequest: without the flag no client is asked, and
// no header is believed.
func TestCertificatesAreAskedForOnRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := weirtest.Start(t, weirtest.WithDataDir(dir), weirtest.WithConfig(func(c *server.Config) { c.TLSSelfSigned = true }))
	ca, err := os.ReadFile(filepath.Join(dir, "tls", "ca.crt"))
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatal(err)
	}
	asked := false
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: roots, MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return &tls.Certificate{}, nil
		},
	}}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/org/v2/environments", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-Client-Cert", url.QueryEscape(certtest.New(t, "root").PEM()))
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if asked || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("asked: %v, status %d", asked, resp.StatusCode)
	}
}

func TestConfigOfClientCertificates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config server.Config
		want   string
	}{
		"no TLS":          {server.Config{Listen: "127.0.0.1:0"}, "--tls-cert"},
		"a proxy's TLS":   {server.Config{Listen: "127.0.0.1:0", TLSSelfSigned: true, TrustedProxies: []string{"10.0.0.0/8"}}, "--proxy-protocol"},
		"TLS through":     {server.Config{Listen: "127.0.0.1:0", TLSSelfSigned: true, TrustedProxies: []string{"10.0.0.0/8"}, ProxyProtocol: true}, ""},
		"TLS of its own":  {server.Config{Listen: "127.0.0.1:0", TLSSelfSigned: true}, ""},
		"TLS with a file": {server.Config{Listen: "127.0.0.1:0", TLSCert: "a", TLSKey: "b"}, ""},
	} {
		c.config.TLSClientCertificates = true
		if err := c.config.Check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
