package server_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/server"
)

// bare is a server that is spoken to in bytes.
type bare struct {
	*server.Server
	t       testing.TB
	address string
	// key is the value of an Authorization header.
	key string
}

func startBare(t *testing.T, change func(*server.Server), config func(*server.Config)) *bare {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	c := server.Config{CacheSize: 32, Listen: "127.0.0.1:0", DataDir: t.TempDir()}
	config(&c)
	s, err := server.Open(ctx, c, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		stop()
		t.Fatal(err)
	}
	change(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	key := base64.StdEncoding.EncodeToString([]byte(s.First.APIKey + ":" + s.First.APISecret))
	return &bare{s, t, strings.TrimPrefix(s.URL, "http://"), "Authorization: Basic " + key + "\r\n"}
}

func unchanged(*server.Server) {}

func (b *bare) dial() net.Conn {
	b.t.Helper()
	c, err := net.Dial("tcp", b.address)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// closes waits until the server ends the connection, and returns what it said.
func closes(t testing.TB, c net.Conn) string {
	t.Helper()
	said, err := io.ReadAll(c)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // net returns it bare
		t.Fatal("the server keeps the connection")
	}
	return string(said)
}

func (b *bare) answers(what string) {
	b.t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := c.Get("http://" + b.address + "/healthz")
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: others are not answered: %v", what, err)
	}
	_ = resp.Body.Close()
}

// Clients that are slow on purpose are waited for so long and no longer.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const short = 300 * time.Millisecond
	b := startBare(t, func(s *server.Server) { s.SetTimeouts(short, 2*short, 3*short) }, func(*server.Config) {})
	drip := func(c net.Conn, text string) {
		for _, r := range []byte(text) {
			if _, err := c.Write([]byte{r}); err != nil {
				return // it was closed, which the reader sees
			}
			time.Sleep(short / 20) // what a slow client is
		}
	}
	for name, send := range map[string]func(net.Conn){
		"says nothing": func(net.Conn) {},
		"headers":      func(c net.Conn) { drip(c, "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: "+strings.Repeat("x", 200)) },
		"body": func(c net.Conn) {
			_, _ = io.WriteString(c, "POST /iam/v2/service-accounts HTTP/1.1\r\nHost: a\r\n"+b.key+"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n")
			drip(c, `{"display_name": "`+strings.Repeat("x", 200))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := b.dial()
			go send(c)
			begun := time.Now()
			said := closes(t, c)
			if took := time.Since(begun); took > 20*short {
				t.Errorf("the connection was kept for %s", took)
			}
			if strings.HasPrefix(said, "HTTP/1.1 2") {
				t.Errorf("it was answered %q", said)
			}
		})
	}
	b.answers("slow clients")
}

// A client that does not read its answers keeps nothing but its connection.
func TestReaderThatStands(t *testing.T) {
	t.Parallel()
	b := startBare(t, func(s *server.Server) { s.SetTimeouts(5*time.Second, 5*time.Second, 500*time.Millisecond) }, func(c *server.Config) { c.MaxConnections = 100 })
	c := b.dial()
	request := "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
	// Answers beyond what the buffers of the system hold.
	if _, err := io.WriteString(c, strings.Repeat(request, 200)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the connection to be given up", func() bool { return b.Connections() == 0 })
	b.answers("a reader that stands")
}

// Headers beyond the bound are refused, however they are cut up.
func TestHeaderFlood(t *testing.T) {
	t.Parallel()
	b := startBare(t, unchanged, func(*server.Config) {})
	for name, headers := range map[string]string{
		"one":  "X-Big: " + strings.Repeat("x", 200<<10) + "\r\n",
		"many": strings.Repeat("X-A: b\r\n", 30_000),
	} {
		c := b.dial()
		go func() { _, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: a\r\n"+headers+"\r\n") }()
		line, err := bufio.NewReader(c).ReadString('\n')
		if err == nil && !strings.Contains(line, " 431 ") {
			t.Errorf("%s: answered %q", name, line)
		}
	}
	b.answers("header floods")
}

// Thousands of connections stand idle: others are answered, memory is bounded,
// and one more than may be closes the one that is idle for the longest.
func TestIdleConnections(t *testing.T) {
	many, most := 9000, 6000
	if testing.Short() {
		many, most = 1500, 1000
	}
	b := startBare(t, unchanged, func(c *server.Config) { c.MaxConnections = most })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	first := b.dial()
	for range many {
		b.dial()
	}
	waitFor(t, "the surplus to be closed", func() bool { return b.Connections() <= most })
	b.answers("idle connections")
	runtime.ReadMemStats(&after)
	// Both ends are in this process.
	if grown := int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse); grown > int64(many)*40<<10 {
		t.Errorf("%d connections take %d MiB", many, grown>>20)
	}
	_ = first.SetReadDeadline(time.Now().Add(10 * time.Second))
	if said := closes(t, first); said != "" {
		t.Errorf("the oldest connection was told %q", said)
	}
}

// What proxies and servers have read in different ways is refused, or read in
// one way: no part of one request is taken for another.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	b := startBare(t, unchanged, func(*server.Config) {})
	const hidden = "GET /org/v2/environments HTTP/1.1\r\nHost: a\r\nX-Hidden: 1\r\n"
	for name, c := range map[string]struct {
		request string
		// answers is how many there are at most, refused whether the first one
		// must be a 4xx or 5xx.
		answers int
		refused bool
	}{
		"length and chunks":  {"POST /iam/v2/service-accounts HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden + b.key + "\r\n", 1, true},
		"two lengths":        {"POST /iam/v2/service-accounts HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n" + hidden + b.key + "\r\n", 1, true},
		"chunked twice":      {"POST /iam/v2/service-accounts HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 1, true},
		"chunked, hidden":    {"POST /iam/v2/service-accounts HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 1, true},
		"negative length":    {"POST /iam/v2/service-accounts HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 1, true},
		"signed length":      {"POST /iam/v2/service-accounts HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 1, true},
		"space before colon": {"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n", 1, true},
		"name with a space":  {"GET /healthz HTTP/1.1\r\nHost: a\r\nX Y: 5\r\n\r\n", 1, true},
		"two hosts":          {"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 1, true},
		"no host":            {"GET /healthz HTTP/1.1\r\n\r\n", 1, true},
		"NUL in a header":    {"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n", 1, true},
		"old version":        {"GET /healthz HTTP/0.9\r\nHost: a\r\n\r\n", 1, true},
		"no version":         {"GET /healthz\r\n\r\n", 1, true},
		"huge chunk":         {"POST /iam/v2/service-accounts HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" + b.key + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n", 1, true},
		"folded header":      {"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\r\n Content-Length: 5\r\n\r\n", 1, false},
		"absolute form":      {"GET http://elsewhere.example/healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 1, false},
		"trailers":           {"POST /iam/v2/service-accounts HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n2\r\n{}\r\n0\r\n" + b.key + "\r\n", 1, true},
		"body of a GET":      {fmt.Sprintf("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(hidden)+len(b.key)+2, hidden+b.key+"\r\n"), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := b.dial()
			if _, err := io.WriteString(conn, c.request); err != nil {
				t.Fatal(err)
			}
			if half, ok := conn.(*net.TCPConn); ok {
				_ = half.CloseWrite() // nothing more comes, so that all answers are there
			}
			said := closes(t, conn)
			if n := strings.Count(said, "HTTP/1.1 "); n > c.answers {
				t.Errorf("%d answers: %.500s", n, said)
			}
			if strings.Contains(said, "EnvironmentList") {
				t.Errorf("the hidden request was answered: %.500s", said)
			}
			status := strings.TrimPrefix(said, "HTTP/1.1 ")
			if c.refused && status != "" && status[0] != '4' && status[0] != '5' {
				t.Errorf("it was taken: %.300s", said)
			}
		})
	}
	b.answers("smuggling")
}

// A body that is small on the wire and large when it is unpacked is not
// unpacked.
func TestCompressionBomb(t *testing.T) {
	t.Parallel()
	b := startBare(t, unchanged, func(*server.Config) {})
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 200 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	for _, encoding := range []string{"gzip", "deflate", "br", "gzip, gzip", "identity, gzip"} {
		req, err := http.NewRequest(http.MethodPost, "http://"+b.address+"/iam/v2/service-accounts", bytes.NewReader(bomb.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(b.First.APIKey, b.First.APISecret)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Content-Encoding", encoding)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		runtime.ReadMemStats(&after)
		if resp.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("%s: answered %d", encoding, resp.StatusCode)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 50<<20 {
			t.Errorf("%s: %d MiB were allocated", encoding, grown>>20)
		}
	}
}
