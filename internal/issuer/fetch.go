package issuer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

const (
	// fetchTimeout bounds one fetch from its first look-up to its last byte.
	fetchTimeout = 5 * time.Second
	// maxSet is the greatest length in bytes of a key set.
	maxSet = 256 << 10
	// maxHeader is the greatest length in bytes of the answer's headers.
	maxHeader = 32 << 10

	userAgent = "weir"
)

// Fetcher fetches what issuers publish: key sets, and lists of revoked
// certificates. Who names the URL is a user, so that a Fetcher reaches public
// addresses only, and what is listed beside; and over HTTPS only, where what it
// fetches is not signed. It follows no redirects and no proxy, keeps no connection, sends no
// credentials, and each fetch is bounded in time and size.
type Fetcher struct {
	networks []netip.Prefix
	// everywhere reaches public addresses too, near only what is listed.
	everywhere, near *http.Client
}

// NewFetcher returns a Fetcher that also reaches the networks, where plain HTTP
// will do for everything.
func NewFetcher(networks []netip.Prefix) *Fetcher {
	f := &Fetcher{networks: networks}
	f.everywhere = client(func(a netip.Addr) bool { return public(a) || f.listed(a) })
	f.near = client(f.listed)
	return f
}

// Through puts what around returns in the way of all requests. It is called
// before the first one.
func (f *Fetcher) Through(around func(http.RoundTripper) http.RoundTripper) {
	for _, c := range []*http.Client{f.everywhere, f.near} {
		c.Transport = around(c.Transport)
	}
}

// Client returns a client with the same bounds, for other requests to an issuer:
// answers longer than 256 KiB end in an error.
func (f *Fetcher) Client() *http.Client {
	return &http.Client{Timeout: fetchTimeout, Transport: bounded{f}, CheckRedirect: noRedirects}
}

type bounded struct{ f *Fetcher }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	through := b.f.near
	if r.URL.Scheme == "https" {
		through = b.f.everywhere
	}
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", userAgent)
	answer, err := through.Transport.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxSet)
	}
	return answer, err
}

func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (f *Fetcher) listed(a netip.Addr) bool {
	return slices.ContainsFunc(f.networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client connects to the addresses that may be reached. The address is looked at
// when the connection is made, so that no name can change what it stands for in
// between.
func client(reaches func(netip.Addr) bool) *http.Client {
	dialer := &net.Dialer{
		Timeout: fetchTimeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("address %s: %w", address, err)
			}
			if !reaches(to.Addr().Unmap().WithZone("")) {
				return fmt.Errorf("%w: the address %s", errNotAllowed, to.Addr())
			}
			return nil
		},
	}
	return &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: fetchTimeout,
			DisableKeepAlives: true, DisableCompression: true,
			MaxResponseHeaderBytes: maxHeader, ForceAttemptHTTP2: true,
		},
		CheckRedirect: noRedirects,
	}
}

var errNotAllowed = errors.New("issuers are reached at public addresses, for what is not signed over HTTPS, and at what the operator lists")

// ErrBadURI is wrapped by errors that another try will not mend: the URI leads
// to nothing of the kind, or to where nothing is fetched from. Other errors may be
// gone the next time.
var ErrBadURI = errors.New("the URI is of no use")

// Fetch fetches and reads a key set. left is how many keys there are beyond
// MaxKeys. Errors are for the log, and tell of the network.
func (f *Fetcher) Fetch(ctx context.Context, uri string) (keys []Key, left int, err error) {
	body, err := f.get(ctx, uri, "application/jwk-set+json, application/json", maxSet, f.near)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch the key set: %w", err)
	}
	keys, left, err = ParseKeys(body)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrBadURI, err)
	}
	return keys, left, nil
}

// FetchSigned fetches what carries its own signature, which the caller checks: at
// most limit bytes of it, over plain HTTP as well. Errors are as those of Fetch.
func (f *Fetcher) FetchSigned(ctx context.Context, uri, mediaTypes string, limit int) ([]byte, error) {
	return f.get(ctx, uri, mediaTypes, limit, f.everywhere)
}

// get fetches at most limit bytes; plain is what https is not needed for.
func (f *Fetcher) get(ctx context.Context, uri, mediaTypes string, limit int, plain *http.Client) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	u, err := url.Parse(uri)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: it is no URL with a host", ErrBadURI)
	}
	through := f.everywhere
	if u.Scheme == "http" {
		through = plain
	} else if u.Scheme != "https" {
		return nil, fmt.Errorf("%w: %w", ErrBadURI, errNotAllowed)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no URL", ErrBadURI)
	}
	request.Header.Set("Accept", mediaTypes)
	request.Header.Set("User-Agent", userAgent)
	answer, err := through.Do(request)
	if err != nil {
		var lookUp *net.DNSError
		if errors.Is(err, errNotAllowed) || errors.As(err, &lookUp) && lookUp.IsNotFound {
			return nil, fmt.Errorf("%w: %w", ErrBadURI, err)
		}
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	switch status := answer.StatusCode; {
	case status == http.StatusOK:
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return nil, fmt.Errorf("the server there answers %s", answer.Status)
	default:
		return nil, fmt.Errorf("%w: it answers %s, and redirects are not followed", ErrBadURI, answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(body) > limit {
		return nil, fmt.Errorf("%w: what it serves is longer than %d bytes", ErrBadURI, limit)
	}
	return body, nil
}

// special are the networks that are not private by name and of no use to reach
// a public server either, or that lead to other addresses (IANA's registries of
// special-purpose addresses, RFC 6890).
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
)

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// public reports whether the address is one of the internet.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}
