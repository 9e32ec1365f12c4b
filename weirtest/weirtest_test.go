package weirtest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

const environments = "/org/v2/environments"

func TestStart(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(testing.TB) string{
		"SQLite":     func(testing.TB) string { return "" },
		"PostgreSQL": pgtest.URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := weirtest.Start(t, weirtest.WithDatabaseURL(url(t)))
			if !strings.HasPrefix(w.URL, "http://127.0.0.1:") {
				t.Errorf("the URL is %q", w.URL)
			}
			a := w.Do(http.MethodGet, environments+"/"+w.EnvironmentID, nil)
			if a.Status != http.StatusOK || a.Body["id"] != w.EnvironmentID || a.Header.Get("X-RateLimit-Limit") == "" {
				t.Errorf("the first environment: %d %s", a.Status, a.Raw)
			}
			a = w.Do(http.MethodGet, "/org/v2/organizations/"+w.OrganizationID, nil)
			if a.Status != http.StatusOK || a.Body["id"] != w.OrganizationID {
				t.Errorf("the organization: %d %s", a.Status, a.Raw)
			}
			if w.Email == "" || w.Password == "" {
				t.Error("the first user's credentials are missing")
			}
		})
	}
}

func TestSetLimit(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	for limit, want := range map[int]int{0: http.StatusPaymentRequired, 100: http.StatusCreated} {
		w.SetLimit("iam.max_environments.per_org", limit)
		if a := w.Do(http.MethodPost, environments, map[string]any{"display_name": "another"}); a.Status != want {
			t.Errorf("with a limit of %d a create answers %d", limit, a.Status)
		}
	}
}

func TestDo(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	for _, test := range []struct {
		name string
		body any
		want int
	}{
		{"a map", map[string]any{"display_name": "a"}, http.StatusCreated},
		{"a string", `{"display_name":"b"}`, http.StatusCreated},
		{"no JSON", `{`, http.StatusBadRequest},
		{"nothing", nil, http.StatusBadRequest},
	} {
		if a := w.Do(http.MethodPost, environments, test.body); a.Status != test.want {
			t.Errorf("%s: %d %s", test.name, a.Status, a.Raw)
		}
	}
	if a := w.Do(http.MethodDelete, environments+"/"+w.EnvironmentID, nil); a.Status != http.StatusNoContent || a.Body != nil || len(a.Raw) != 0 {
		t.Errorf("delete: %d %q", a.Status, a.Raw)
	}
}

func TestAs(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	for name, client := range map[string]weirtest.Client{
		"no key":       w.As("", ""),
		"wrong secret": w.As(w.APIKey, "wrong"),
	} {
		if a := client.Do(http.MethodGet, environments, nil); a.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
	if a := w.As(w.APIKey, w.APISecret).Do(http.MethodGet, environments, nil); a.Status != http.StatusOK {
		t.Errorf("the first key: %d", a.Status)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := weirtest.Start(t, weirtest.WithDataDir(dir), weirtest.WithRateLimits(1, 1), weirtest.WithConfig(func(c *server.Config) {
		c.Bootstrap.APIKey = "ABCDEFGHIJKLMNOP"
	}))
	if w.APIKey != "ABCDEFGHIJKLMNOP" {
		t.Errorf("the key is %q", w.APIKey)
	}
	if _, err := os.Stat(filepath.Join(dir, "credentials.env")); err != nil {
		t.Error(err)
	}
	limited := false
	for range 50 {
		limited = limited || w.Do(http.MethodGet, environments, nil).Status == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("50 requests at once pass a limit of one a second")
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	w.Stop()
	w.Stop() // once more is harmless
	if resp, err := http.Get(w.URL + "/healthz"); err == nil {
		_ = resp.Body.Close()
		t.Errorf("a stopped server answers %d", resp.StatusCode)
	}
}
