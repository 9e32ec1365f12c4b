package clientaddr_test

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/clientaddr"
)

func mustProxies(t testing.TB, networks ...string) clientaddr.Proxies {
	t.Helper()
	p, err := clientaddr.ParseProxies(networks)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// request makes a request as it arrives from the peer; header lines have the
// form "Name: value".
func request(peer string, lines ...string) *http.Request {
	r := &http.Request{RemoteAddr: peer, Header: http.Header{}}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func TestParseProxies(t *testing.T) {
	t.Parallel()
	got := mustProxies(t, "10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "2001:db8::1",
		"::ffff:192.0.2.8", "::ffff:172.16.0.0/108", "0.0.0.0/0")
	want := []string{"10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32", "2001:db8::1/128",
		"192.0.2.8/32", "172.16.0.0/12", "0.0.0.0/0"}
	if !slices.EqualFunc(got, want, func(p netip.Prefix, s string) bool { return p.String() == s }) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParseProxiesRejects(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ network, says string }{
		"empty":           {"", "neither a network"},
		"name":            {"proxy.example", "neither a network"},
		"port":            {"10.0.0.1:80", "neither a network"},
		"leading zero":    {"010.0.0.1", "neither a network"},
		"list":            {"10.0.0.1,10.0.0.2", "neither a network"},
		"zone":            {"fe80::1%eth0", `leave out the zone "eth0"`},
		"zone in network": {"fe80::%eth0/64", "is not a network"},
		"no length":       {"10.0.0.0/", "is not a network"},
		"long length":     {"10.0.0.0/33", "is not a network"},
		"netmask":         {"10.0.0.0/255.0.0.0", "is not a network"},
		"host bits":       {"10.1.2.3/8", "write 10.0.0.0/8 for the network or 10.1.2.3 for the host"},
		"more than IPv4":  {"::ffff:0.0.0.0/90", "write it as an IPv4 network"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := clientaddr.ParseProxies([]string{"192.0.2.1", tt.network})
			if err == nil {
				t.Fatalf("accepted as %v", p)
			}
			if msg := err.Error(); !strings.Contains(msg, tt.says) || !strings.Contains(msg, `"`+tt.network+`"`) {
				t.Errorf("the error does not say %q of %q: %v", tt.says, tt.network, err)
			}
		})
	}
}

const unknown = "" // stands for the zero Addr in the tables

func TestClient(t *testing.T) {
	t.Parallel()
	// The peer is 10.0.0.1 where the table names none.
	tests := map[string]struct {
		peer  string
		lines []string
		want  string
	}{
		// Without a proxy that is trusted, headers mean nothing.
		"direct":                      {"203.0.113.9:1234", nil, "203.0.113.9"},
		"direct IPv6":                 {"[2001:db8:9::1]:1234", nil, "2001:db8:9::1"},
		"direct, mapped":              {"[::ffff:203.0.113.9]:1234", nil, "203.0.113.9"},
		"direct, zone":                {"[fe80::9%eth0]:1234", nil, "fe80::9"},
		"direct, claims another":      {"203.0.113.9:1", []string{"X-Forwarded-For: 198.51.100.1"}, "203.0.113.9"},
		"direct, claims a proxy":      {"203.0.113.9:1", []string{"X-Forwarded-For: 10.0.0.1"}, "203.0.113.9"},
		"direct, claims loopback":     {"203.0.113.9:1", []string{"Forwarded: for=127.0.0.1"}, "203.0.113.9"},
		"direct, claims by both":      {"203.0.113.9:1", []string{"Forwarded: for=1.1.1.1", "X-Forwarded-For: 1.1.1.1"}, "203.0.113.9"},
		"direct, both disagree":       {"203.0.113.9:1", []string{"Forwarded: for=1.1.1.1", "X-Forwarded-For: 2.2.2.2"}, "203.0.113.9"},
		"no address":                  {"@", []string{"X-Forwarded-For: 198.51.100.1"}, unknown},
		"no port":                     {"10.0.0.1", []string{"X-Forwarded-For: 198.51.100.1"}, unknown},
		"headers that nobody appends": {"", []string{"X-Real-Ip: 1.1.1.1", "True-Client-Ip: 1.1.1.1", "Cf-Connecting-Ip: 1.1.1.1", "X-Client-Ip: 1.1.1.1", "Via: 1.1.1.1"}, "10.0.0.1"},

		// X-Forwarded-For.
		"proxied":                       {"", []string{"X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		"proxy's own call":              {"", nil, "10.0.0.1"},
		"mapped proxy":                  {"[::ffff:10.0.0.1]:1", []string{"X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		"IPv6 proxy":                    {"[fd00::1]:1", []string{"X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		"proxy with zone":               {"[fd00::1%eth0]:1", []string{"X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		"claim before":                  {"", []string{"X-Forwarded-For: 1.1.1.1, 203.0.113.9"}, "203.0.113.9"},
		"claim on a line before":        {"", []string{"X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		"claims around a proxy":         {"", []string{"X-Forwarded-For: 1.1.1.1, 10.0.0.2, 203.0.113.9"}, "203.0.113.9"},
		"two proxies":                   {"", []string{"X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		"two proxies on two lines":      {"", []string{"X-Forwarded-For: 1.1.1.1, 203.0.113.9", "X-Forwarded-For: 10.0.0.2"}, "203.0.113.9"},
		"a proxy that is not trusted":   {"", []string{"X-Forwarded-For: 1.1.1.1, 10.9.0.2"}, "10.9.0.2"},
		"only proxies":                  {"", []string{"X-Forwarded-For: 10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"garbage before":                {"", []string{`X-Forwarded-For: ";,'(\ , 203.0.113.9`}, "203.0.113.9"},
		"garbage at the end":            {"", []string{"X-Forwarded-For: 203.0.113.9, unknown"}, unknown},
		"garbage behind a proxy":        {"", []string{"X-Forwarded-For: 203.0.113.9, unknown, 10.0.0.2"}, unknown},
		"empty items":                   {"", []string{"X-Forwarded-For: 1.1.1.1,, 203.0.113.9 ,\t, "}, "203.0.113.9"},
		"empty header":                  {"", []string{"X-Forwarded-For: "}, "10.0.0.1"},
		"nothing but commas":            {"", []string{"X-Forwarded-For: , ,"}, "10.0.0.1"},
		"no space":                      {"", []string{"X-Forwarded-For: 1.1.1.1,203.0.113.9"}, "203.0.113.9"},
		"port":                          {"", []string{"X-Forwarded-For: 203.0.113.9:8080"}, "203.0.113.9"},
		"IPv6":                          {"", []string{"X-Forwarded-For: 2001:db8:9::1"}, "2001:db8:9::1"},
		"IPv6 in brackets":              {"", []string{"X-Forwarded-For: [2001:db8:9::1]"}, "2001:db8:9::1"},
		"IPv6 with port":                {"", []string{"X-Forwarded-For: [2001:db8:9::1]:443"}, "2001:db8:9::1"},
		"IPv6 with zone":                {"", []string{"X-Forwarded-For: fe80::9%eth0"}, "fe80::9"},
		"IPv6 in brackets with zone":    {"", []string{"X-Forwarded-For: [fe80::9%eth0]:1"}, "fe80::9"},
		"mapped":                        {"", []string{"X-Forwarded-For: ::ffff:203.0.113.9"}, "203.0.113.9"},
		"mapped proxy in the list":      {"", []string{"X-Forwarded-For: 203.0.113.9, [::ffff:10.0.0.2]:1"}, "203.0.113.9"},
		"IPv4 in brackets":              {"", []string{"X-Forwarded-For: [203.0.113.9]"}, unknown},
		"open bracket":                  {"", []string{"X-Forwarded-For: [2001:db8:9::1"}, unknown},
		"text after bracket":            {"", []string{"X-Forwarded-For: [2001:db8:9::1]x"}, unknown},
		"empty port":                    {"", []string{"X-Forwarded-For: 203.0.113.9:"}, unknown},
		"port is no number":             {"", []string{"X-Forwarded-For: 203.0.113.9:http"}, unknown},
		"port is too long":              {"", []string{"X-Forwarded-For: 203.0.113.9:123456"}, unknown},
		"octal":                         {"", []string{"X-Forwarded-For: 0313.0.113.9"}, unknown},
		"hexadecimal":                   {"", []string{"X-Forwarded-For: 0xcb007109"}, unknown},
		"short":                         {"", []string{"X-Forwarded-For: 127.1"}, unknown},
		"spaces between":                {"", []string{"X-Forwarded-For: 1.1.1.1 203.0.113.9"}, unknown},
		"network":                       {"", []string{"X-Forwarded-For: 203.0.113.0/24"}, unknown},
		"name":                          {"", []string{"X-Forwarded-For: client.example"}, unknown},
		"item of the wrong header":      {"", []string{"X-Forwarded-For: for=203.0.113.9"}, unknown},
		"other case of the header name": {"", []string{"x-forwarded-FOR: 203.0.113.9"}, "203.0.113.9"},

		// Forwarded.
		"fwd":                           {"", []string{"Forwarded: for=203.0.113.9"}, "203.0.113.9"},
		"fwd, case and order":           {"", []string{`Forwarded: proto=https;By="[fd00::1]";FOR=203.0.113.9;host=weir.example`}, "203.0.113.9"},
		"fwd, claim before":             {"", []string{"Forwarded: for=1.1.1.1, for=203.0.113.9"}, "203.0.113.9"},
		"fwd, claim on a line before":   {"", []string{"Forwarded: for=1.1.1.1", "Forwarded: for=203.0.113.9"}, "203.0.113.9"},
		"fwd, two proxies":              {"", []string{"Forwarded: for=1.1.1.1, for=203.0.113.9, for=10.0.0.2"}, "203.0.113.9"},
		"fwd, IPv6":                     {"", []string{`Forwarded: for="[2001:db8:9::1]"`}, "2001:db8:9::1"},
		"fwd, IPv6 with port":           {"", []string{`Forwarded: for="[2001:db8:9::1]:4711"`}, "2001:db8:9::1"},
		"fwd, IPv6 unquoted":            {"", []string{`Forwarded: for=[2001:db8:9::1]:4711;proto=http`}, "2001:db8:9::1"},
		"fwd, hidden port":              {"", []string{`Forwarded: for="203.0.113.9:_a.b-C_1"`}, "203.0.113.9"},
		"fwd, escapes":                  {"", []string{`Forwarded: for="203\.0.113.9"`}, "203.0.113.9"},
		"fwd, comma in quotes":          {"", []string{`Forwarded: ext="a, for=1.1.1.1";for=203.0.113.9`}, "203.0.113.9"},
		"fwd, comma in quotes at end":   {"", []string{`Forwarded: for=203.0.113.9;ext="a, for=1.1.1.1"`}, "203.0.113.9"},
		"fwd, escaped quote and comma":  {"", []string{`Forwarded: for=203.0.113.9;ext="\", for=1.1.1.1;x=\""`}, "203.0.113.9"},
		"fwd, escaped backslash":        {"", []string{`Forwarded: for=1.1.1.1;ext="\\", for=203.0.113.9`}, "203.0.113.9"},
		"fwd, quote left open before":   {"", []string{`Forwarded: for=1.1.1.1;ext=", for=203.0.113.9`}, "203.0.113.9"},
		"fwd, quote open, then quoted":  {"", []string{`Forwarded: for=1.1.1.1;ext=", for="[2001:db8:9::1]"`}, "2001:db8:9::1"},
		"fwd, quote open on a line":     {"", []string{`Forwarded: for="`, `Forwarded: for=203.0.113.9;by="_b"`}, "203.0.113.9"},
		"fwd, backslash before":         {"", []string{`Forwarded: for="\`, `Forwarded: for="203.0.113.9"`}, "203.0.113.9"},
		"fwd, empty parameters":         {"", []string{"Forwarded: ;for=203.0.113.9;;proto=http; "}, "203.0.113.9"},
		"fwd, unknown":                  {"", []string{"Forwarded: for=203.0.113.9, for=unknown"}, unknown},
		"fwd, hidden name":              {"", []string{"Forwarded: for=_secret, for=10.0.0.2"}, unknown},
		"fwd, no for":                   {"", []string{"Forwarded: for=203.0.113.9, proto=https"}, unknown},
		"fwd, for twice":                {"", []string{"Forwarded: for=203.0.113.9;for=1.1.1.1"}, unknown},
		"fwd, no value":                 {"", []string{"Forwarded: for"}, unknown},
		"fwd, empty value":              {"", []string{"Forwarded: for="}, unknown},
		"fwd, space around equals sign": {"", []string{"Forwarded: for = 203.0.113.9"}, unknown},
		"fwd, text after quotes":        {"", []string{`Forwarded: for="203.0.113.9"9`}, unknown},
		"fwd, quote in token":           {"", []string{`Forwarded: for=203.0.113.9";x="`}, unknown},
		"fwd, quote left open":          {"", []string{`Forwarded: for="203.0.113.9`}, unknown},
		"fwd, backslash at the end":     {"", []string{`Forwarded: for="203.0.113.9\`}, unknown},
		"fwd, broken parameter":         {"", []string{"Forwarded: for=203.0.113.9;proto"}, unknown},
		"fwd, item of the wrong header": {"", []string{"Forwarded: 203.0.113.9"}, unknown},

		// Both.
		"both agree":                   {"", []string{"Forwarded: for=203.0.113.9", "X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		"both agree in other words":    {"", []string{`Forwarded: for=1.1.1.1, for="[::ffff:203.0.113.9]:1"`, "X-Forwarded-For: 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		"Forwarded is made up":         {"", []string{"Forwarded: for=192.0.2.1", "X-Forwarded-For: 203.0.113.9"}, unknown},
		"X-Forwarded-For is made up":   {"", []string{"Forwarded: for=203.0.113.9", "X-Forwarded-For: 192.0.2.1"}, unknown},
		"Forwarded names the proxy":    {"", []string{"Forwarded: for=10.0.0.1", "X-Forwarded-For: 203.0.113.9"}, unknown},
		"Forwarded is garbage":         {"", []string{"Forwarded: ?", "X-Forwarded-For: 203.0.113.9"}, unknown},
		"X-Forwarded-For is garbage":   {"", []string{"Forwarded: for=203.0.113.9", "X-Forwarded-For: ?"}, unknown},
		"Forwarded is empty":           {"", []string{"Forwarded: , ", "X-Forwarded-For: 203.0.113.9"}, "203.0.113.9"},
		"X-Forwarded-For is empty":     {"", []string{"Forwarded: for=203.0.113.9", "X-Forwarded-For: "}, "203.0.113.9"},
		"both are garbage":             {"", []string{"Forwarded: ?", "X-Forwarded-For: ?"}, unknown},
		"both stop at the same proxy":  {"", []string{"Forwarded: for=_x, for=10.0.0.2", "X-Forwarded-For: unknown, 10.0.0.2"}, unknown},
		"both stop at different hosts": {"", []string{"Forwarded: for=_x, for=10.0.0.3", "X-Forwarded-For: unknown, 10.0.0.2"}, unknown},
	}
	proxies := mustProxies(t, "10.0.0.0/24", "fd00::/8")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.peer == "" {
				tt.peer = "10.0.0.1:50000"
			}
			var want netip.Addr
			if tt.want != unknown {
				want = netip.MustParseAddr(tt.want)
			}
			if got := proxies.Client(request(tt.peer, tt.lines...)); got != want {
				t.Errorf("peer %s, %q: got %v, want %v", tt.peer, tt.lines, got, want)
			}
		})
	}
}

func TestClientWithoutProxiesIsThePeer(t *testing.T) {
	t.Parallel()
	for _, lines := range [][]string{
		nil,
		{"X-Forwarded-For: 1.1.1.1"},
		{"Forwarded: for=1.1.1.1"},
	} {
		var none clientaddr.Proxies
		if got := none.Client(request("127.0.0.1:5", lines...)); got != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("%q: got %v", lines, got)
		}
	}
}

func TestSecure(t *testing.T) {
	t.Parallel()
	const proxy, stranger = "10.0.0.1:1", "203.0.113.9:1"
	tests := map[string]struct {
		peer  string
		tls   bool
		lines []string
		want  bool
	}{
		"plain":                     {stranger, false, nil, false},
		"TLS":                       {stranger, true, nil, true},
		"TLS, header says http":     {proxy, true, []string{"X-Forwarded-Proto: http"}, true},
		"stranger's claim":          {stranger, false, []string{"X-Forwarded-Proto: https", "Forwarded: proto=https"}, false},
		"proxy says nothing":        {proxy, false, []string{"X-Forwarded-For: 203.0.113.9"}, false},
		"proxy says https":          {proxy, false, []string{"X-Forwarded-Proto: https"}, true},
		"in capitals":               {proxy, false, []string{"X-Forwarded-Proto: HTTPS"}, true},
		"proxy says http":           {proxy, false, []string{"X-Forwarded-Proto: http"}, false},
		"something else":            {proxy, false, []string{"X-Forwarded-Proto: httpsx"}, false},
		"empty":                     {proxy, false, []string{"X-Forwarded-Proto: "}, false},
		"nearest is last":           {proxy, false, []string{"X-Forwarded-Proto: http, https"}, true},
		"claim before":              {proxy, false, []string{"X-Forwarded-Proto: https, http"}, false},
		"claim on a line before":    {proxy, false, []string{"X-Forwarded-Proto: https", "X-Forwarded-Proto: http"}, false},
		"empty items":               {proxy, false, []string{"X-Forwarded-Proto: http, https, ,"}, true},
		"fwd https":                 {proxy, false, []string{"Forwarded: for=203.0.113.9;proto=https"}, true},
		"fwd https in quotes":       {proxy, false, []string{`Forwarded: for="[2001:db8::1]";Proto="HTTPS"`}, true},
		"fwd http":                  {proxy, false, []string{"Forwarded: proto=http"}, false},
		"fwd nothing":               {proxy, false, []string{"Forwarded: for=203.0.113.9"}, false},
		"fwd nearest is last":       {proxy, false, []string{"Forwarded: proto=http, proto=https"}, true},
		"fwd claim before":          {proxy, false, []string{"Forwarded: proto=https, proto=http"}, false},
		"fwd nearest says nothing":  {proxy, false, []string{"Forwarded: proto=https, for=203.0.113.9"}, false},
		"fwd claim, open quote":     {proxy, false, []string{`Forwarded: proto=https;x=", proto=http`}, false},
		"fwd garbage":               {proxy, false, []string{"Forwarded: proto=https;x"}, false},
		"fwd proto twice":           {proxy, false, []string{"Forwarded: proto=https;proto=http"}, false},
		"both https":                {proxy, false, []string{"X-Forwarded-Proto: https", "Forwarded: proto=https"}, true},
		"fwd disagrees":             {proxy, false, []string{"X-Forwarded-Proto: https", "Forwarded: proto=http"}, false},
		"xfp disagrees":             {proxy, false, []string{"X-Forwarded-Proto: http", "Forwarded: proto=https"}, false},
		"fwd does not speak of it":  {proxy, false, []string{"X-Forwarded-Proto: https", "Forwarded: for=203.0.113.9"}, true},
		"fwd cannot be read":        {proxy, false, []string{"X-Forwarded-Proto: https", "Forwarded: ?"}, false},
		"headers that do not count": {proxy, false, []string{"X-Forwarded-Ssl: on", "Front-End-Https: on", "X-Forwarded-Scheme: https", "X-Url-Scheme: https"}, false},
	}
	proxies := mustProxies(t, "10.0.0.1")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := request(tt.peer, tt.lines...)
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if got := proxies.Secure(r); got != tt.want {
				t.Errorf("%q: got %v, want %v", tt.lines, got, tt.want)
			}
		})
	}
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	tests := []struct {
		listen string
		want   bool
		ok     bool
	}{
		{"127.0.0.1:8080", true, true},
		{"127.9.8.7:0", true, true},
		{"localhost:8080", true, true},
		{"LocalHost:8080", true, true},
		{"[::1]:8080", true, true},
		{"[::1%lo]:8080", true, true},
		{"[::ffff:127.0.0.1]:8080", true, true},
		{":8080", false, true},
		{"0.0.0.0:8080", false, true},
		{"[::]:8080", false, true},
		{"128.0.0.1:8080", false, true},
		{"192.0.2.1:8080", false, true},
		{"[::2]:8080", false, true},
		{"weir.example:443", false, true},
		{"localhost.example:443", false, true},
		{"127.0.0.1.example:443", false, true},
		{"127.1:443", false, true},
		{"", false, false},
		{"localhost", false, false},
		{"127.0.0.1", false, false},
		{"::1", false, false},
		{"::1:8080", false, false},
		{"8080", false, false},
		{":", false, false},
		{"127.0.0.1:", false, false},
		{"127.0.0.1:http", false, false},
		{"127.0.0.1:65536", false, false},
		{"127.0.0.1:-1", false, false},
		{"unix:/run/weir.sock", false, false},
		{"/run/weir.sock", false, false},
	}
	for _, tt := range tests {
		got, err := clientaddr.IsLoopback(tt.listen)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("IsLoopback(%q) = %v, %v, want %v, ok: %v", tt.listen, got, err, tt.want, tt.ok)
		}
	}
}

// FuzzClient checks that a stranger is always itself, that a trusted proxy's
// last word stands whatever is put before it, and that nothing panics.
func FuzzClient(f *testing.F) {
	for _, s := range []string{
		"", "1.1.1.1", "10.0.0.2, 10.0.0.3", `for="`, `for="\`, `for="[::1]:_x";proto=https, for=unknown`,
		`a="\", for=10.0.0.2;b="`, ",,\"\\\",\"", "[::1%25x]:1", "proto=https", ";;=;",
	} {
		f.Add(s, s)
	}
	proxies := mustProxies(f, "10.0.0.0/24")
	peer, client := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("198.51.100.7")
	f.Fuzz(func(t *testing.T, xff, fwd string) {
		both := []string{"X-Forwarded-For: " + xff, "Forwarded: " + fwd, "X-Forwarded-Proto: " + xff}

		stranger := request("203.0.113.9:1", both...)
		if got := proxies.Client(stranger); got != peer {
			t.Errorf("%q: a stranger passes for %v", both, got)
		}
		if proxies.Secure(stranger) {
			t.Errorf("%q: a stranger is taken to be secure", both)
		}

		if got := proxies.Client(request("10.0.0.1:1", both...)); got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q: %v is not in its plain form", both, got)
		}

		// The proxy appends to the line that it got, or adds a line.
		for _, lines := range [][]string{
			{"X-Forwarded-For: " + xff + ", 198.51.100.7", "X-Forwarded-Proto: " + xff + ", http"},
			{"X-Forwarded-For: " + xff, "X-Forwarded-For: 198.51.100.7"},
			{"Forwarded: " + fwd + ", for=198.51.100.7;proto=http"},
			{"Forwarded: " + fwd, `Forwarded: for="198.51.100.7:80";by="_w"`},
			{"X-Forwarded-For: " + xff + ",198.51.100.7", "Forwarded: " + fwd + `,for="198.51.100.7";x="\","`},
		} {
			r := request("10.0.0.1:1", lines...)
			if got := proxies.Client(r); got != client {
				t.Errorf("%q: got %v, want what the proxy appended", lines, got)
			}
			if proxies.Secure(r) {
				t.Errorf("%q: taken to be secure", lines)
			}
		}
	})
}
