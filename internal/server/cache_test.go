package server_test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

func TestCacheSize(t *testing.T) {
	t.Parallel()
	for size, good := range map[int]bool{-1: false, 0: true, 1: false, 31: false, 32: true, 64: true, 64 << 10: true, 64<<10 + 1: false} {
		err := server.Config{Listen: "127.0.0.1:0", CacheSize: size}.Check()
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "--cache-size") {
			t.Errorf("%d MiB: %v", size, err)
		}
	}
}

// TestCacheIsCounted reads one object again and again: with a cache, reads
// of SQLite are answered from it, what is written is there at once, and the
// metrics count. Without one all is as it was.
func TestCacheIsCounted(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 32} {
		s := weirtest.Start(t, weirtest.WithConfig(func(c *server.Config) { c.CacheSize = size }))
		id, _ := s.Do("POST", "/iam/v2/service-accounts", map[string]any{"display_name": "a"}).Body["id"].(string)
		path := "/iam/v2/service-accounts/" + id
		get := func(description string) {
			t.Helper()
			if got := s.Do("GET", path, nil); got.Status != http.StatusOK || got.Body["id"] != id || got.Body["description"] != description {
				t.Errorf("%d %s, want the description %q", got.Status, got.Raw, description)
			}
		}
		count := func(what string) string {
			t.Helper()
			line := regexp.MustCompile(`(?m)^weir_cache_` + what + `_total (\S+)$`).FindSubmatch(s.Do("GET", "/metrics", nil).Raw)
			if line == nil {
				t.Fatalf("no count of %s", what)
			}
			return string(line[1])
		}
		for round := range 5 {
			description := strconv.Itoa(round)
			s.Do("PATCH", path, map[string]any{"description": description})
			for range 5 {
				get(description)
			}
		}
		if size == 0 {
			if hits, misses := count("hits"), count("misses"); hits != "0" || misses != "0" {
				t.Errorf("%s hits and %s misses of no cache", hits, misses)
			}
			continue
		}
		eventually(t, "the cache answers", func() bool {
			get("4")
			return count("hits") != "0" && count("misses") != "0"
		})
	}
}
