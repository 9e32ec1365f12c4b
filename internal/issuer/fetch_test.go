package issuer_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/issuer/issuertest"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func TestFetch(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	keys, left, err := issuer.NewFetcher(loopback).Fetch(t.Context(), i.KeysURL)
	if err != nil || left != 0 || len(keys) != 1 || keys[0].ID != "key-1" {
		t.Fatalf("%+v, %d, %v", keys, left, err)
	}
	inner := issuertest.New(t)
	for what, c := range map[string]struct {
		handle http.HandlerFunc
		bad    bool // of no use, and not just for now
	}{
		"not there":  {http.NotFound, true},
		"forbidden":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, true},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inner.KeysURL, http.StatusFound) }, true},
		"no content": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, true},
		"a page":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, true},
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", 256<<10+1)+"{}")
		}, true},
		"huge headers": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 64<<10)) }, false},
		"endless":      {endless, false},
		"down":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, false},
		"busy":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, false},
		"hangs up":     {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
		"ends too early": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, false},
		"compressed bytes": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte{0x1f, 0x8b})
		}, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			i := issuertest.New(t)
			i.Handle(c.handle)
			began := time.Now()
			keys, _, err := issuer.NewFetcher(loopback).Fetch(t.Context(), i.KeysURL)
			if keys != nil || err == nil || errors.Is(err, issuer.ErrBadURI) != c.bad {
				t.Errorf("%d keys, %v", len(keys), err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	t.Cleanup(func() {
		if n := inner.Fetches.Load(); n != 0 {
			t.Errorf("a redirect was followed %d times", n)
		}
	})
}

// endless sends a byte now and then, for ever.
func endless(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, " "); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestFetchReaches tries addresses that a user's URL must not lead to. None of
// them is connected to: they are refused, or there is no name.
func TestFetchReaches(t *testing.T) {
	t.Parallel()
	listening := issuertest.New(t)
	port := listening.URL[strings.LastIndexByte(listening.URL, ':'):]
	for _, uri := range []string{
		// Without a network only public addresses over HTTPS are reached.
		"http://127.0.0.1" + port, "https://127.0.0.1" + port, "http://localhost" + port, "http://[::1]" + port, "https://[::ffff:127.0.0.1]" + port,
		"http://127.1" + port, "http://0.0.0.0" + port, "http://[::]" + port, "http://[::127.0.0.1]" + port,
		"https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/",
		"https://[fd00::1]/", "https://[fe80::1%25lo]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[2001:db8::1]/", "https://[ff02::1]/",
		"https://192.0.2.1/", "https://198.18.0.1/", "https://224.0.0.1/", "https://255.255.255.255/", "https://240.0.0.1/",
		"http://1.1.1.1/", "http://[2606:4700:4700::1111]/", "file:///etc/passwd", "ftp://1.1.1.1/", "gopher://127.0.0.1/", "//1.1.1.1/", "nonsense", "", "https://", "https://user:pass@127.0.0.1/", "http://\x00/",
	} {
		keys, _, err := issuer.NewFetcher(nil).Fetch(t.Context(), uri)
		if keys != nil || !errors.Is(err, issuer.ErrBadURI) {
			t.Errorf("%q: %d keys, %v", uri, len(keys), err)
		}
	}
	if n := listening.Fetches.Load(); n != 0 {
		t.Errorf("%d of them got through", n)
	}
	// A network that is listed lets its own addresses through and no others.
	f := issuer.NewFetcher([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	if _, _, err := f.Fetch(t.Context(), listening.KeysURL); !errors.Is(err, issuer.ErrBadURI) {
		t.Errorf("another network: %v", err)
	}
}

// TestFetchChecksCertificates fetches from a server whose certificate nobody
// vouches for. That may be mended, so that it is tried again.
func TestFetchChecksCertificates(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	t.Cleanup(s.Close)
	_, _, err := issuer.NewFetcher(loopback).Fetch(t.Context(), s.URL)
	if err == nil || errors.Is(err, issuer.ErrBadURI) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	i := issuertest.New(t)
	i.Handle(endless)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := issuer.NewFetcher(loopback).Fetch(ctx, i.KeysURL); !errors.Is(err, context.Canceled) {
		t.Errorf("a fetch that nobody waits for: %v", fmt.Sprint(err))
	}
}
