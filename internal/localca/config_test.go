package localca_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/localca"
)

// clock is a time that tests move.
type clock struct{ nanos atomic.Int64 }

func newClock(t time.Time) *clock {
	c := &clock{}
	c.set(t)
	return c
}

func (c *clock) now() time.Time  { return time.Unix(0, c.nanos.Load()) }
func (c *clock) set(t time.Time) { c.nanos.Store(t.UnixNano()) }

// serve runs a server with the configuration and returns its address.
func serve(t *testing.T, config *tls.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		TLSConfig: config,
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Proto)
		}),
	}
	done := make(chan error, 1)
	go func() { done <- srv.ServeTLS(ln, "", "") }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving ended with %v", err)
		}
	})
	return ln.Addr().String()
}

// client returns one that trusts only the CA file and connects to the server at
// addr whatever the host is.
func client(t *testing.T, caPath, addr string, now func() time.Time) *http.Client {
	t.Helper()
	ca, err := os.ReadFile(caPath)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in the CA file")
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Time: now, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func TestTLSConfigServesClientsThatTrustTheFile(t *testing.T) {
	t.Parallel()
	c := newClock(start)
	config, id, err := localca.TLSConfig(t.TempDir(), []string{"weir.example", "192.0.2.1"}, c.now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, config)
	_, port, _ := net.SplitHostPort(addr)
	hc := client(t, id.CAPath, addr, c.now)
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]", "weir.example", "192.0.2.1"} {
		resp, err := hc.Get("https://" + host + ":" + port)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(body) != "HTTP/2.0" {
			t.Errorf("%s: got %q, %v, want HTTP/2", host, body, err)
		}
	}

	if _, err := hc.Get("https://other.example:" + port); !errors.As(err, new(x509.HostnameError)) {
		t.Errorf("another host: got %v", err)
	}
	stranger := mustLoad(t, t.TempDir(), start)
	if _, err := client(t, stranger.CAPath, addr, c.now).Get("https://localhost:" + port); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("a client who trusts another CA: got %v", err)
	}
	if conn, err := tls.Dial("tcp", addr, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
	}); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
}

// leafAt returns the certificate that a handshake shows at that time.
func leafAt(t *testing.T, config *tls.Config, c *clock, at time.Time) *x509.Certificate {
	t.Helper()
	c.set(at)
	cert, err := config.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf
}

func TestTLSConfigRenewsWhileRunning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newClock(start)
	config, id, err := localca.TLSConfig(dir, []string{"weir.example"}, c.now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ca := mustRead(t, dir, "ca.crt")
	first := id.Certificate.Leaf
	if !leafAt(t, config, c, id.RenewAt.Add(-time.Second)).Equal(first) {
		t.Error("renewed too early")
	}
	second := leafAt(t, config, c, id.RenewAt)
	if second.Equal(first) {
		t.Fatal("not renewed")
	}
	if err := second.VerifyHostname("weir.example"); err != nil {
		t.Error(err)
	}
	if !leafAt(t, config, c, id.RenewAt.Add(300*day)).Equal(second) {
		t.Error("the second certificate did not last")
	}
	if leafAt(t, config, c, id.RenewAt.Add(367*day)).Equal(second) {
		t.Error("the second certificate was not renewed")
	}
	if !bytes.Equal(ca, mustRead(t, dir, "ca.crt")) {
		t.Error("the authority was changed")
	}
}

func TestTLSConfigGoesOnWhenRenewalFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newClock(start)
	var logged bytes.Buffer
	config, id, err := localca.TLSConfig(dir, nil, c.now, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	key := mustRead(t, dir, "ca.key")
	mustWrite(t, dir, "ca.key", []byte("damaged"))
	first := id.Certificate.Leaf
	for range 3 { // one attempt for all of them
		if !leafAt(t, config, c, id.RenewAt.Add(time.Minute)).Equal(first) {
			t.Fatal("renewed by a damaged authority")
		}
	}
	if n := strings.Count(logged.String(), "level=ERROR"); n != 1 || !strings.Contains(logged.String(), "ca.key is damaged") {
		t.Errorf("logged %d errors: %s", n, logged.String())
	}
	mustWrite(t, dir, "ca.key", key)
	if !leafAt(t, config, c, id.RenewAt.Add(time.Hour)).Equal(first) {
		t.Error("tried again within the hour")
	}
	if leafAt(t, config, c, id.RenewAt.Add(time.Hour+time.Minute)).Equal(first) {
		t.Error("did not try again after an hour")
	}
}

func TestTLSConfigRenewsOnceForConcurrentHandshakes(t *testing.T) {
	t.Parallel()
	c := newClock(start)
	config, id, err := localca.TLSConfig(t.TempDir(), nil, c.now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c.set(id.RenewAt)
	leaves := make([]*x509.Certificate, 20)
	var wg sync.WaitGroup
	for i := range leaves {
		wg.Go(func() {
			if cert, err := config.GetCertificate(&tls.ClientHelloInfo{}); err == nil {
				leaves[i] = cert.Leaf
			}
		})
	}
	wg.Wait()
	for _, leaf := range leaves {
		if leaf == nil || !leaf.Equal(leaves[0]) || leaf.Equal(id.Certificate.Leaf) {
			t.Fatal("handshakes saw different certificates, or the old one")
		}
	}
}

func TestTLSConfigReportsWhatLoadReports(t *testing.T) {
	t.Parallel()
	if _, _, err := localca.TLSConfig(t.TempDir(), []string{"no host"}, time.Now, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no error")
	}
}
