package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

// What a client writes into headers does not get it past an IP filter, whatever
// it writes: behind a proxy what the proxy appends counts, and without one
// nothing does.
func TestSpoofedAddressesPassNoFilter(t *testing.T) {
	t.Parallel()
	forged := map[string][]string{
		"one line":              {"X-Forwarded-For: 192.0.2.7"},
		"several lines":         {"X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 192.0.2.7"},
		"a list":                {"X-Forwarded-For: 192.0.2.7, 127.0.0.1, 192.0.2.7"},
		"the proxy":             {"X-Forwarded-For: 127.0.0.1"},
		"empty elements":        {"X-Forwarded-For: 192.0.2.7,,,", "X-Forwarded-For: "},
		"IPv4 in IPv6":          {"X-Forwarded-For: ::ffff:192.0.2.7, [::ffff:192.0.2.7]:80"},
		"a port":                {"X-Forwarded-For: 192.0.2.7:443"},
		"a zone":                {"X-Forwarded-For: fe80::1%eth0, 192.0.2.7%eth0"},
		"garbage":               {`X-Forwarded-For: ";,'(\ , 192.0.2.7`},
		"other alphabets":       {"X-Forwarded-For: １９２.0.2.7"},
		"octal":                 {"X-Forwarded-For: 0300.0.2.7"},
		"a number":              {"X-Forwarded-For: 3221225991"},
		"a huge list":           {"X-Forwarded-For: " + strings.Repeat("192.0.2.7, ", 2000) + "192.0.2.7"},
		"many lines":            slicesOf("X-Forwarded-For: 192.0.2.7", 200),
		"Forwarded":             {"Forwarded: for=192.0.2.7"},
		"Forwarded, open quote": {`Forwarded: for=192.0.2.7;by="`},
		"Forwarded, hidden":     {"Forwarded: for=_hidden, for=192.0.2.7"},
		"both":                  {"Forwarded: for=192.0.2.7", "X-Forwarded-For: 192.0.2.7"},
		"headers of others":     {"X-Real-IP: 192.0.2.7", "True-Client-IP: 192.0.2.7", "CF-Connecting-IP: 192.0.2.7", "X-Client-IP: 192.0.2.7", "X_Forwarded_For: 192.0.2.7", "X-Originating-IP: 192.0.2.7", "Client-IP: 192.0.2.7"},
		"a header of PROXY":     {"PROXY: TCP4 192.0.2.7 10.0.0.1 1 2"},
	}

	// Behind a proxy that appends the address that it sees.
	proxied := weirtest.Start(t, behindProxy)
	in := visit(proxied, officeAddress)
	in.create(t, ipFilters, in.filter("", in.group(t, office)))
	for name, lines := range forged {
		for _, appended := range []string{"on the line", "on a line of its own"} {
			req := in.from("").request(t, "GET", environments, nil)
			add(req, lines)
			own := strings.Join(req.Header.Values("X-Forwarded-For"), ", ")
			if appended == "on the line" && own != "" {
				req.Header.Set("X-Forwarded-For", own+", "+otherAddress)
			} else {
				req.Header.Add("X-Forwarded-For", otherAddress)
			}
			// What cannot be read of Forwarded does not say either that the client
			// used TLS.
			a := proxied.Send(req)
			if a.Status != http.StatusForbidden || codeOf(a) != "ip_address_not_allowed" && codeOf(a) != "https_required" {
				t.Errorf("%s, and the proxy's word %s: %d %s", name, appended, a.Status, a.Raw)
			}
		}
	}

	// Without a proxy that is trusted. The filter's own maker is let in as the
	// test's real address, and shut out by what takes that away.
	direct := weirtest.Start(t)
	here := visit(direct, "")
	filter := here.create(t, ipFilters, here.filter("", here.group(t, "127.0.0.0/8")))
	for name, lines := range forged {
		req := here.request(t, "GET", ipFilters+"/"+filter, nil)
		req.Header.Del("X-Forwarded-Proto")
		add(req, lines)
		if a := direct.Send(req); a.Status != http.StatusOK {
			t.Errorf("%s, sent by who is let in: %d %s", name, a.Status, a.Raw)
		}
		// The address that a lock-out names is the real one.
		req = here.request(t, "POST", ipFilters, here.filter(direct.EnvironmentID, "ipg-none"))
		req.Header.Del("X-Forwarded-Proto")
		add(req, lines)
		refusedLockOut(t, name, direct.Send(req), "127.0.0.1")
	}
}

func slicesOf(line string, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = line
	}
	return lines
}

func add(req *http.Request, lines []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header[http.CanonicalHeaderKey(name)] = append(req.Header[http.CanonicalHeaderKey(name)], value)
	}
}

// through is a client whose connections begin with a text, before TLS.
func through(t *testing.T, dir, begin string) *http.Client {
	t.Helper()
	authority, err := os.ReadFile(filepath.Join(dir, "tls", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			if _, err := io.WriteString(conn, begin); err != nil {
				return nil, err
			}
			secured := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "localhost"})
			if err := secured.HandshakeContext(ctx); err != nil {
				_ = conn.Close()
				return nil, err
			}
			return secured, nil
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// A proxy passes on TLS and says in the PROXY protocol who the client is. IP
// filters hold for that address, and headers say nothing.
func TestIPFiltersBehindTheProxyProtocol(t *testing.T) {
	t.Parallel()
	start := func(proxies ...string) (*weirtest.Server, string) {
		dir := t.TempDir()
		return weirtest.Start(t, weirtest.WithDataDir(dir), weirtest.WithConfig(func(c *server.Config) {
			c.TLSSelfSigned, c.ProxyProtocol, c.TrustedProxies = true, true, proxies
		})), dir
	}
	s, dir := start("127.0.0.1/32")
	v := visit(s, "")
	send := func(client *http.Client, method, path string, body any, lines ...string) (int, string, error) {
		req := v.request(t, method, path, body)
		add(req, lines)
		resp, err := client.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text), err
	}
	header := func(source string) string { return fmt.Sprintf("PROXY TCP4 %s 10.0.0.1 40000 443\r\n", source) }
	inside := through(t, dir, header(officeAddress))

	status, text, err := send(inside, "POST", ipGroups, map[string]any{"group_name": "office", "cidr_blocks": []any{office}})
	if err != nil || status != http.StatusCreated {
		t.Fatalf("%d %s %v", status, text, err)
	}
	id := text[strings.Index(text, "ipg-"):][:len("ipg-12345")]
	if status, text, err := send(inside, "POST", ipFilters, v.filter("", id)); err != nil || status != http.StatusCreated {
		t.Fatalf("%d %s %v", status, text, err)
	}
	for name, c := range map[string]struct {
		begin  string
		lines  []string
		status int
		says   string
	}{
		"inside":                     {header(officeAddress), nil, http.StatusOK, ""},
		"outside":                    {header(otherAddress), nil, http.StatusForbidden, "IP address " + otherAddress},
		"outside, claims in headers": {header(otherAddress), []string{"X-Forwarded-For: " + officeAddress, "Forwarded: for=" + officeAddress}, http.StatusForbidden, "IP address " + otherAddress},
		"inside, claims in headers":  {header(officeAddress), []string{"X-Forwarded-For: " + otherAddress}, http.StatusOK, ""},
		"not known":                  {"PROXY UNKNOWN\r\n", []string{"X-Forwarded-For: " + officeAddress}, http.StatusForbidden, "IP address unknown"},
		"the proxy itself":           {"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", []string{"X-Forwarded-For: " + officeAddress}, http.StatusForbidden, "IP address 127.0.0.1"},
	} {
		status, text, err := send(through(t, dir, c.begin), "GET", environments, nil, c.lines...)
		if err != nil || status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s %v", name, status, text, err)
		}
	}
	for name, begin := range map[string]string{"no header": "", "two headers": header(officeAddress) + header(officeAddress), "garbage": "GET / HTTP/1.1\r\n"} {
		if status, text, err := send(through(t, dir, begin), "GET", environments, nil); err == nil {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}

	// A peer that is no listed proxy speaks for itself, and cannot speak for
	// others.
	s, dir = start("10.0.0.0/8")
	v = visit(s, "")
	if status, text, err := send(through(t, dir, header(officeAddress)), "GET", environments, nil); err == nil {
		t.Errorf("a stranger with a header: %d %s", status, text)
	}
	if status, text, err := send(through(t, dir, ""), "GET", environments, nil); err != nil || status != http.StatusOK {
		t.Errorf("a stranger without one: %d %s %v", status, text, err)
	}
}

func TestProxyProtocolConfiguration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config server.Config
		want   string
	}{
		"no proxies":     {server.Config{ProxyProtocol: true, TLSSelfSigned: true}, "--trusted-proxy"},
		"no TLS":         {server.Config{ProxyProtocol: true, TrustedProxies: []string{"10.0.0.0/8"}}, "--tls-self-signed"},
		"what it needs":  {server.Config{ProxyProtocol: true, TrustedProxies: []string{"10.0.0.0/8"}, TLSSelfSigned: true}, ""},
		"without either": {server.Config{}, ""},
	} {
		c.config.Listen = "127.0.0.1:0"
		err := c.config.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
