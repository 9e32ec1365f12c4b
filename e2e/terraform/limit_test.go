package terraform_test

import (
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

// limited finds how many requests were refused for the rate of the principal.
var limited = regexp.MustCompile(`weir_limited_requests_total\{limit="rate-limit-principal"\} (\d+)`)

// TestLowLimit lets fifty workers at a server that serves five requests a
// second. The provider tries each request five times: all of them get through,
// since each is told a time of its own.
func TestLowLimit(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	w := weirtest.Start(t, weirtest.WithConfig(func(c *server.Config) { c.RateLimitPrincipal = 5 }))
	ws := newWorkspace(t, tools, w, "many")
	options := []string{"-parallelism=50", "-var", "accounts=60"}
	ws.apply("60 added, 0 changed, 0 destroyed", options...)
	ws.must(append([]string{"destroy", "-auto-approve", "-no-color"}, options...)...)

	found := limited.FindSubmatch(w.Do(http.MethodGet, "/metrics", nil).Raw)
	if found == nil {
		t.Fatal("the metrics do not tell of the limit")
	}
	if n, _ := strconv.Atoi(string(found[1])); n < 50 {
		t.Errorf("only %d requests were refused", n)
	} else {
		t.Logf("%d requests were refused", n)
	}
}
