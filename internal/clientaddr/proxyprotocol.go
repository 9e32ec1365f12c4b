package clientaddr

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// Listen wraps a listener whose connections come through proxies that pass on
// TLS as it is, and write in a header of the PROXY protocol (version 1 or 2),
// before it, whose connection it is. That one then is the connection's
// RemoteAddr.
//
// A proxy of p must send the header, within the timeout. Nobody else is heard:
// what they send is the beginning of their own connection. Where a proxy cannot
// tell the address (UNKNOWN), nobody knows the client's; where it calls for
// itself (LOCAL), it is the client.
func (p Proxies) Listen(l net.Listener, timeout time.Duration) net.Listener {
	return &proxyListener{&proxyproto.Listener{
		Listener: l, ReadHeaderTimeout: timeout, ValidateHeader: checkProxyHeader,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			peer, err := netip.ParseAddrPort(o.Upstream.String())
			if err == nil && p.trusts(plain(peer.Addr())) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}}
}

// checkProxyHeader refuses addresses that are none of IP: the path of a socket
// could look like one.
func checkProxyHeader(h *proxyproto.Header) error {
	switch h.SourceAddr.(type) {
	case nil, *net.TCPAddr:
		return nil
	default:
		return fmt.Errorf("clientaddr: a proxy names the client %T", h.SourceAddr)
	}
}

type proxyListener struct{ *proxyproto.Listener }

func (l *proxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if proxied, ok := c.(*proxyproto.Conn); ok && err == nil {
		return &proxiedConn{proxied}, nil
	}
	return c, err
}

// proxiedConn knows no address where the proxy could not tell it. Version 1 has
// the word UNKNOWN for that, which the library reads as a call of the proxy's
// own; in version 2 it refuses what says as little.
type proxiedConn struct{ *proxyproto.Conn }

func (c *proxiedConn) RemoteAddr() net.Addr {
	if h := c.ProxyHeader(); h != nil && h.Version == 1 && h.Command.IsLocal() {
		return unknownAddr{}
	}
	return c.Conn.RemoteAddr()
}

type unknownAddr struct{}

func (unknownAddr) Network() string { return "tcp" }
func (unknownAddr) String() string  { return "unknown" }
