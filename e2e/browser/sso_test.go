package browser

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/weirhq/weir/e2e/oidc"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/weirtest"
)

// TestSSO signs in at a provider that knows nothing of Weir, with the form that
// it has for people.
func TestSSO(t *testing.T) {
	t.Parallel()
	for store, databaseURL := range map[string]func(testing.TB) string{
		"SQLite":     func(testing.TB) string { return "" },
		"PostgreSQL": pgtest.URL,
	} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := weirtest.Start(t, weirtest.WithDatabaseURL(databaseURL(t)))
			page := s.URL + "/login/sso/" + s.OrganizationID
			b := start(t)
			if status := b.open(page); status != http.StatusNotFound {
				t.Errorf("without a connection it answers %d", status)
			}

			p := oidc.Start(t)
			p.LoginTo(page + "/callback")
			s.SetSSO(p.Issuer, oidc.LoginClientID, oidc.LoginClientSecret)
			if status := b.open(page); status != http.StatusOK {
				t.Fatalf("the provider's form is answered with %d", status)
			}
			b.wantText("Username", "Password")
			b.fill("username", p.Username())
			b.fill("password", "wrong")
			b.press()
			b.wantText("Username")
			b.fill("username", p.Username())
			b.fill("password", oidc.Password)
			if status := b.press(); status != http.StatusOK {
				t.Fatalf("after the form it answers %d: %s", status, b.text())
			}
			b.wantText("You are signed in", oidc.Email, oidc.Group, "confluent login --url "+s.URL+"/confluent.cloud")
			token := strings.TrimSpace(run(b, chromedp.Text(chromedp.ID("token"))))
			me := s.WithToken(token).Do(http.MethodGet, "/api/me", nil)
			if user, _ := me.Body["user"].(map[string]any); me.Status != http.StatusOK || user["email"] != oidc.Email {
				t.Errorf("with the token: %d %s", me.Status, me.Raw)
			}
			for _, c := range call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{s.URL}}).Cookies {
				if strings.HasPrefix(c.Name, "weir") || strings.HasPrefix(c.Name, "__Host-weir") {
					t.Errorf("the cookie %s is left", c.Name)
				}
			}
			if width := b.width(320); width > 320 {
				t.Errorf("on a screen of 320 pixels the page is %v wide", width)
			}
		})
	}
}
