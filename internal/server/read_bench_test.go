package server_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/server"
)

// nowhere is an answer that nobody reads.
type nowhere struct {
	header http.Header
	status int
}

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(status int)      { n.status = status }

// BenchmarkRead is all that a read takes beside what net/http does: by ID, and
// of a list, with all limits on.
func BenchmarkRead(b *testing.B) {
	s, err := server.Open(b.Context(), server.Config{
		Listen: "127.0.0.1:0", DataDir: b.TempDir(), CacheSize: 32,
		RateLimitPrincipal: 100_000_000, RateLimitOrganization: 100_000_000, RateLimitAddress: 100_000_000,
		ConcurrencyLimitPrincipal: 200, ConcurrencyLimitOrganization: 1000, ConcurrencyLimitAddress: 50,
		Bootstrap: bootstrap.Options{Password: "correct-horse-battery"},
	}, "bench", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for name, path := range map[string]string{"one": environments + "/" + s.First.EnvironmentID, "list": environments} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				req := httptest.NewRequest(http.MethodGet, path, nil)
				req.RemoteAddr = "127.0.0.1:1"
				req.SetBasicAuth(s.First.APIKey, s.First.APISecret)
				w := &nowhere{header: http.Header{}}
				for pb.Next() {
					clear(w.header)
					s.Handler().ServeHTTP(w, req)
					if w.status != http.StatusOK {
						b.Error("the answer is", w.status)
						return
					}
				}
			})
		})
	}
}
