// Package clientaddr finds out who is calling: the address that a request
// really comes from and whether it travelled encrypted, where reverse proxies
// stand in front of Weir.
//
// Anybody can write a header, so headers count only from proxies that the
// operator listed. Of the many headers in use, the two that proxies append to
// are read: X-Forwarded-For with X-Forwarded-Proto, and Forwarded (RFC 7239).
package clientaddr

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Proxies are the networks whose hosts are believed when they say on whose
// behalf they call. The zero value believes nobody. Networks in which clients
// live, too, do not belong here: each host in them could speak for any address.
type Proxies []netip.Prefix

// ParseProxies reads networks such as "10.1.0.0/16" and "2001:db8::/32"; an
// address alone stands for itself.
func ParseProxies(networks []string) (Proxies, error) {
	var p Proxies
	for _, s := range networks {
		prefix, err := parseNetwork(s)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q: %w", s, err)
		}
		p = append(p, prefix)
	}
	return p, nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("is neither a network such as 10.1.0.0/16 nor an address: %w", err)
		}
		if addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("leave out the zone %q", addr.Zone())
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("is not a network such as 10.1.0.0/16: %w", err)
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return netip.Prefix{}, errors.New("covers more than the IPv4 addresses: write it as an IPv4 network")
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	// Trusting a whole network where one host was meant would be a hole.
	if masked := prefix.Masked(); masked != prefix {
		return netip.Prefix{}, fmt.Errorf("names a host within a network: write %v for the network or %v for the host", masked, prefix.Addr())
	}
	return prefix, nil
}

func (p Proxies) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// Client returns the address that the request comes from, without a zone, an
// IPv4 address always as such.
//
// That is the peer of the connection unless the peer is a trusted proxy. Then
// the header is read from its end, where the nearest proxy wrote, and the first
// address that is no trusted proxy's is the client. Where the list ends, the
// last proxy that was reached is: it calls for itself. Where a trusted proxy
// wrote something else than an address, such as "unknown", the result is the
// zero Addr.
//
// A request with both headers must get the same client from both. A proxy that
// maintains one usually passes the other one on as the client wrote it, and
// there is no telling which. Where they disagree, the result is the zero
// Addr, too. It is in no network: what admits by address refuses it. It is also
// the result where the connection has no IP address.
func (p Proxies) Client(r *http.Request) netip.Addr {
	peer := peerOf(r)
	if !p.trusts(peer) {
		return peer
	}
	xff := joined(r, "X-Forwarded-For")
	fwd := joined(r, "Forwarded")
	switch {
	case fwd == "":
		return p.walk(peer, xff, cutLast, parseNode)
	case xff == "":
		return p.walk(peer, fwd, cutLastQuoted, forwardedFor)
	}
	a := p.walk(peer, xff, cutLast, parseNode)
	b := p.walk(peer, fwd, cutLastQuoted, forwardedFor)
	if a != b {
		return netip.Addr{}
	}
	return a
}

// walk follows the hops of a list from its end. Reading from the end is what
// makes it safe: whatever a client sent stands to the left of what the first
// trusted proxy appended and is never reached, well-formed or not.
func (p Proxies) walk(
	client netip.Addr, list string,
	cut func(string) (rest, last string), parse func(string) (netip.Addr, bool),
) netip.Addr {
	for list != "" && p.trusts(client) {
		var hop string
		list, hop = cut(list)
		if hop == "" {
			continue
		}
		addr, ok := parse(hop)
		if !ok {
			return netip.Addr{}
		}
		client = addr
	}
	return client
}

// Secure reports whether the request travelled encrypted, at least to the
// proxy that is nearest: over TLS to this server, or else the peer is a trusted
// proxy and says "https" in X-Forwarded-Proto or as the proto of Forwarded.
// If both speak of it, both must say so.
func (p Proxies) Secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if !p.trusts(peerOf(r)) {
		return false
	}
	said := false
	if xfp := nearest(joined(r, "X-Forwarded-Proto"), cutLast); xfp != "" {
		if !strings.EqualFold(xfp, "https") {
			return false
		}
		said = true
	}
	if fwd := nearest(joined(r, "Forwarded"), cutLastQuoted); fwd != "" {
		e, ok := parseElement(fwd)
		if !ok || e.proto != "" && !strings.EqualFold(e.proto, "https") {
			return false
		}
		said = said || e.proto != ""
	}
	return said
}

// Local reports whether the request comes from this machine itself: over
// loopback, and not from a trusted proxy that passes on somebody else's, which
// shows in the headers that it adds.
func (p Proxies) Local(r *http.Request) bool {
	peer := peerOf(r)
	if !peer.IsLoopback() {
		return false
	}
	return !p.trusts(peer) || joined(r, "X-Forwarded-For")+joined(r, "X-Forwarded-Proto")+joined(r, "Forwarded") == ""
}

// nearest returns the last item of a list that is not empty, if any.
func nearest(list string, cut func(string) (rest, last string)) string {
	item := ""
	for list != "" && item == "" {
		list, item = cut(list)
	}
	return item
}

// joined returns all lines of a header as one list, as RFC 9110 section 5.3
// defines it, or "" if there is nothing in it.
func joined(r *http.Request, header string) string {
	list := strings.Join(r.Header.Values(header), ",")
	if strings.Trim(list, ", \t") == "" {
		return ""
	}
	return list
}

// peerOf returns the other end of the connection, or the zero Addr if that is
// not an IP address.
func peerOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(peer.Addr())
}

// plain gives every host one form only, so that addresses can be compared.
func plain(addr netip.Addr) netip.Addr {
	return addr.Unmap().WithZone("")
}

// IsLoopback reports whether a server that listens there can be reached from
// this machine only. The address has the form "host:port" with a numeric port.
// Of host names only localhost is known to be loopback; no name is looked up.
// An empty host means all interfaces.
func IsLoopback(listenAddr string) (bool, error) {
	host, port, err := net.SplitHostPort(listenAddr)
	if err != nil {
		return false, fmt.Errorf("listen address %q is not of the form host:port: %w", listenAddr, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, fmt.Errorf("listen address %q: port %q is not a number from 0 to 65535", listenAddr, port)
	}
	if strings.EqualFold(host, "localhost") {
		return true, nil
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && plain(addr).IsLoopback(), nil
}
