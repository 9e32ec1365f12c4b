package clientaddr_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/clientaddr"
)

// v2 is a header of version 2: the command and the family in a byte each, and
// what they have behind them.
func v2(command, family byte, body ...byte) string {
	h := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family)
	h = binary.BigEndian.AppendUint16(h, uint16(len(body)))
	return string(append(h, body...))
}

const (
	local, proxy            = 0, 1
	unspec, tcp4, tcp6      = 0x00, 0x11, 0x21
	udp4, unixStream   byte = 0x12, 0x31
)

// ipv4 are the addresses and ports of a connection over IPv4, from 203.0.113.9.
func ipv4() []byte {
	return []byte{203, 0, 113, 9, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb}
}

// from6 are those of one over IPv6.
func from6(source string) []byte {
	b := append(netip.MustParseAddr(source).AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice()...)
	return append(b, 0x30, 0x39, 0x01, 0xbb)
}

func tlv(kind byte, size int) []byte {
	return append([]byte{kind, byte(size >> 8), byte(size)}, bytes.Repeat([]byte{'x'}, size)...)
}

// refused stands for a connection that ends without an answer.
const refused = "refused"

// asked connects, sends the text and a request, and returns which client a
// server behind the listener takes it for.
func asked(t *testing.T, trusted []string, begin string) string {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := mustProxies(t, trusted...).Listen(inner, 200*time.Millisecond)
	var none clientaddr.Proxies // behind the listener headers tell nothing
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, none.Client(r).String())
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	conn, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, begin+"GET / HTTP/1.1\r\nHost: weir\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"); err != nil {
		return refused
	}
	answer, err := io.ReadAll(conn)
	if err != nil && strings.Contains(err.Error(), "timeout") {
		t.Fatal("the connection neither answers nor ends")
	}
	head, body, ok := strings.Cut(string(answer), "\r\n\r\n")
	if !ok || !strings.HasPrefix(head, "HTTP/1.1 200") {
		return refused
	}
	return body
}

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	const nobody = "invalid IP"
	for name, c := range map[string]struct{ begin, want string }{
		"version 1":                {"PROXY TCP4 203.0.113.9 10.0.0.1 12345 443\r\n", "203.0.113.9"},
		"version 1, IPv6":          {"PROXY TCP6 2001:db8::9 2001:db8::1 12345 443\r\n", "2001:db8::9"},
		"version 1, mapped":        {"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:10.0.0.1 12345 443\r\n", "203.0.113.9"},
		"version 1, unknown":       {"PROXY UNKNOWN\r\n", nobody},
		"version 1, unknown, more": {"PROXY UNKNOWN 203.0.113.9 10.0.0.1 1 2\r\n", nobody},
		"version 2":                {v2(proxy, tcp4, ipv4()...), "203.0.113.9"},
		"version 2, IPv6":          {v2(proxy, tcp6, from6("2001:db8::9")...), "2001:db8::9"},
		"version 2, mapped":        {v2(proxy, tcp6, from6("::ffff:203.0.113.9")...), "203.0.113.9"},
		"version 2, its own call":  {v2(local, unspec), "127.0.0.1"},
		"version 2, local, claims": {v2(local, tcp4, ipv4()...), "127.0.0.1"},
		"version 2, unknown":       {v2(proxy, unspec), refused},
		"version 2, more values":   {v2(proxy, tcp4, append(ipv4(), tlv(0x04, 1000)...)...), "203.0.113.9"},
		// Once is enough: a second header is the beginning of the request.
		"two headers": {"PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\nPROXY TCP4 198.51.100.1 10.0.0.1 1 2\r\n", refused},

		"none":                     {"", refused},
		"version 1, garbage":       {"PROXY nonsense\r\n", refused},
		"version 1, bad address":   {"PROXY TCP4 203.0.113 10.0.0.1 12345 443\r\n", refused},
		"version 1, octal":         {"PROXY TCP4 0313.0.113.9 10.0.0.1 12345 443\r\n", refused},
		"version 1, bad port":      {"PROXY TCP4 203.0.113.9 10.0.0.1 65536 443\r\n", refused},
		"version 1, wrong family":  {"PROXY TCP4 2001:db8::9 2001:db8::1 12345 443\r\n", refused},
		"version 1, no end":        {"PROXY TCP4 " + strings.Repeat("1", 500), refused},
		"version 1, line feed":     {"PROXY TCP4 203.0.113.9 10.0.0.1 12345 443\n", refused},
		"version 1, lower case":    {"proxy TCP4 203.0.113.9 10.0.0.1 12345 443\r\n", refused},
		"version 2, short":         {v2(proxy, tcp4, 203, 0, 113, 9), refused},
		"version 2, no command":    {v2(7, tcp4, ipv4()...), refused},
		"version 3":                {strings.Replace(v2(proxy, tcp4, ipv4()...), "\x21\x11", "\x31\x11", 1), refused},
		"version 2, a socket":      {v2(proxy, unixStream, append([]byte("203.0.113.9:80"), make([]byte, 216-14)...)...), refused},
		"version 2, a datagram":    {v2(proxy, udp4, ipv4()...), refused},
		"version 2, long, not all": {strings.Replace(v2(proxy, tcp4), "\x11\x00\x00", "\x11\xff\xff", 1), refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := asked(t, []string{"127.0.0.1/32"}, c.begin); got != c.want {
				t.Errorf("taken for %s, want %s", got, c.want)
			}
			// The same from whom nobody trusts: no header is read, and none that
			// is sent is taken for anything but the beginning of the request.
			stranger := refused
			if c.begin == "" {
				stranger = "127.0.0.1"
			}
			if got := asked(t, []string{"10.0.0.0/8"}, c.begin); got != stranger {
				t.Errorf("from a stranger taken for %s, want %s", got, stranger)
			}
		})
	}
}

// A connection that says nothing, or only the half of a header, ends, and holds
// up no other.
func TestProxyProtocolSlow(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := mustProxies(t, "127.0.0.1").Listen(inner, 100*time.Millisecond)
	t.Cleanup(func() { _ = l.Close() })
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	for _, begin := range []string{"", "P", "PROXY TCP4 203.0.", "\r\n\r\n\x00\r\nQUIT\n", v2(proxy, tcp4, ipv4()...)[:20]} {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, begin); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil && strings.Contains(err.Error(), "timeout") || strings.HasPrefix(string(answer), "HTTP/1.1 2") {
			t.Errorf("after %q: %q, %v", begin, answer, err)
		}
	}
}
