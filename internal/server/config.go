package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/audit/delivery"
	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/clientaddr"
	"github.com/weirhq/weir/internal/cloudaccess"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/tracing"
)

// Config is what an operator sets. The zero value of a field is what its
// comment says.
type Config struct {
	// Listen is the address and port; port 0 takes a free one.
	Listen string
	// DataDir holds the SQLite database, credentials.env and the local CA.
	DataDir string
	// DatabaseURL is a postgres:// URL; empty means SQLite in DataDir.
	DatabaseURL string
	// CacheSize is how many MiB of memory are used for what was read from SQLite,
	// at least 32; zero means none. On PostgreSQL it does nothing.
	CacheSize int
	// PublicURL is the base of links; empty means it is made from the listener.
	PublicURL string

	// TLSCert and TLSKey are PEM files, both or neither.
	TLSCert, TLSKey string
	// TLSSelfSigned makes a local CA in DataDir and a certificate from it.
	TLSSelfSigned bool
	// TLSClientCertificates asks clients for a certificate, and lets those that
	// show none go on without. It needs TLSCert or TLSSelfSigned.
	TLSClientCertificates bool
	// TrustedProxies are the networks whose proxies terminate TLS and are
	// believed about the client.
	TrustedProxies []string
	// ProxyProtocol makes the trusted proxies say in a header of the PROXY
	// protocol who the client is, and no longer in headers of HTTP: they pass on
	// TLS, which this server terminates.
	ProxyProtocol bool

	// RateLimitPrincipal is how many requests a second each principal may
	// make, RateLimitOrganization how many all of an organization together, and
	// RateLimitAddress how many an address without valid credentials may; each
	// in bursts of ten times as many. Zero means no limit.
	RateLimitPrincipal, RateLimitOrganization, RateLimitAddress int
	// ConcurrencyLimitPrincipal is how many requests of each principal may be
	// under way at once, ConcurrencyLimitOrganization how many of each
	// organization, and ConcurrencyLimitAddress how many of each address that
	// have not shown valid credentials. Zero means no limit.
	ConcurrencyLimitPrincipal, ConcurrencyLimitOrganization, ConcurrencyLimitAddress int

	// MaxConnections is how many connections may be open at once; zero means no
	// limit.
	MaxConnections int

	// OAuthNetworks are the networks in which the key sets of identity providers
	// may be fetched beside public addresses, over plain HTTP too. Without any,
	// loopback is one while Listen is on loopback and no proxy is trusted: then
	// whoever names a URL is on this machine.
	OAuthNetworks []string

	// SMTPURL is the server that mail goes through, as mail.NewSMTP reads it;
	// empty means that mail is written into files, in outbox/ in DataDir.
	SMTPURL string
	// MailFrom is the address that mail is from, with or without a name. With
	// SMTPURL it is needed.
	MailFrom string

	// SessionTokenLife is how long the token of a session is good; zero means
	// signin.TokenLife. It is for tests and no setting.
	SessionTokenLife time.Duration
	// Clouds are who Weir is in the public clouds, and which of them are asked.
	Clouds cloudaccess.Options
	// Audit says where the audit log goes. DataDir and PublicURL in it are the
	// server's own.
	Audit delivery.Options
	// Traces says where traces go, and of how many requests; without an endpoint
	// there are none.
	Traces tracing.Options

	Bootstrap bootstrap.Options
}

// leastCache and greatestCache are in MiB. The least is what the cache cannot do
// without.
const leastCache, greatestCache = 32, 64 << 10

// Check reports what is wrong with the configuration, in words for the
// operator.
func (c Config) Check() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together: give both or neither")
	}
	if c.TLSSelfSigned && c.TLSCert != "" {
		return errors.New("--tls-self-signed and --tls-cert exclude each other: give one of them")
	}
	if c.TLSClientCertificates && !c.tls() {
		return errors.New("--tls-client-certificates is for servers that terminate TLS: add --tls-cert and --tls-key, or --tls-self-signed; what a proxy says of certificates is not believed")
	}
	if c.TLSClientCertificates && len(c.TrustedProxies) > 0 && !c.ProxyProtocol {
		return errors.New("--tls-client-certificates and --trusted-proxy go together with --proxy-protocol only: behind a proxy that terminates TLS, every certificate is the proxy's own")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("--public-url %q is not a base URL such as https://weir.example.com", c.PublicURL)
		}
	}
	for _, rate := range []struct {
		name string
		is   int
	}{
		{rateLimitPrincipal, c.RateLimitPrincipal}, {rateLimitOrganization, c.RateLimitOrganization}, {rateLimitAddress, c.RateLimitAddress},
	} {
		if rate.is < 0 || rate.is > maxRate {
			return fmt.Errorf("--%s is %d: give from 1 to %d requests per second, or 0 for no limit", rate.name, rate.is, maxRate)
		}
	}
	for _, concurrency := range []struct {
		name string
		is   int
	}{
		{concurrencyLimitPrincipal, c.ConcurrencyLimitPrincipal}, {concurrencyLimitOrganization, c.ConcurrencyLimitOrganization},
		{concurrencyLimitAddress, c.ConcurrencyLimitAddress},
	} {
		if concurrency.is < 0 {
			return fmt.Errorf("--%s is %d: give the number of requests at once, or 0 for no limit", concurrency.name, concurrency.is)
		}
	}
	if c.CacheSize != 0 && (c.CacheSize < leastCache || c.CacheSize > greatestCache) {
		return fmt.Errorf("--cache-size is %d: give from %d to %d MiB, or 0 for no cache", c.CacheSize, leastCache, greatestCache)
	}
	if c.MaxConnections < 0 {
		return fmt.Errorf("--max-connections is %d: give the number of connections that may be open at once, or 0 for no limit", c.MaxConnections)
	}
	if c.SMTPURL != "" {
		if c.MailFrom == "" {
			return errors.New("--smtp-url needs --mail-from: the address that mail is from, such as \"Weir <weir@example.com>\"")
		}
		if _, err := mail.NewSMTP(c.SMTPURL, c.MailFrom); err != nil {
			return fmt.Errorf("--smtp-url, --mail-from: %w", err)
		}
	}
	if err := c.Clouds.Check(); err != nil {
		return err
	}
	if _, err := c.keyNetworks(); err != nil {
		return err
	}
	if _, err := clientaddr.ParseProxies(c.TrustedProxies); err != nil {
		return fmt.Errorf("--trusted-proxy: %w", err)
	}
	if _, err := delivery.ParseSinks(c.Audit.Sinks); err != nil {
		return fmt.Errorf("--audit-sink: %w", err)
	}
	if err := c.Audit.Check(); err != nil {
		return err
	}
	if err := c.Traces.Check(); err != nil {
		return err
	}
	if c.ProxyProtocol && len(c.TrustedProxies) == 0 {
		return errors.New("--proxy-protocol needs --trusted-proxy: the network of the proxies that speak it")
	}
	if c.ProxyProtocol && !c.tls() {
		return errors.New("--proxy-protocol is for proxies that pass on TLS: add --tls-cert and --tls-key, or --tls-self-signed; a proxy that terminates TLS tells the client in headers and needs --trusted-proxy only")
	}
	loopback, err := clientaddr.IsLoopback(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q is not an address such as 127.0.0.1:8080: %w", c.Listen, err)
	}
	if !loopback && !c.tls() && len(c.TrustedProxies) == 0 {
		return fmt.Errorf("refusing to serve plain HTTP on %s, which others can reach: add --tls-cert and --tls-key, or --tls-self-signed, or --trusted-proxy with the network of a proxy that terminates TLS", c.Listen)
	}
	return c.Bootstrap.Check()
}

func (c Config) tls() bool { return c.TLSCert != "" || c.TLSSelfSigned }

// keyNetworks are the networks in which key sets may be fetched.
func (c Config) keyNetworks() ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(c.OAuthNetworks))
	for _, text := range c.OAuthNetworks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--oauth-allow-network %q is not a network such as 10.1.0.0/16", text)
		}
		networks = append(networks, p.Masked())
	}
	if local, err := clientaddr.IsLoopback(c.Listen); err == nil && local && len(networks) == 0 && len(c.TrustedProxies) == 0 {
		networks = append(networks, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	return networks, nil
}

// publicURL is the base of links, without a final slash. A listener on every
// address is called localhost.
func (c Config) publicURL(bound net.Addr) string {
	if c.PublicURL != "" {
		return strings.TrimRight(c.PublicURL, "/")
	}
	scheme := "http"
	if c.tls() {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return scheme + "://" + bound.String()
	}
	if given, _, err := net.SplitHostPort(c.Listen); err == nil && given != "" {
		host = given
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsUnspecified() || host == "" {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func (c Config) certificateHosts() []string {
	var hosts []string
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" {
		hosts = append(hosts, host)
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Hostname() != "" {
		hosts = append(hosts, u.Hostname())
	}
	return hosts
}

func minimalTLS() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
