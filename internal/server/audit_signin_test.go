package server_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/weirhq/weir/internal/audit/audittest"
)

// TestAuditOfSignIn looks for who signed in, went on, signed out and failed to,
// and for what must not be in the log.
func TestAuditOfSignIn(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, w := start(t, databaseURL)
		anybody := s.As("", "")
		last := func(method, status, mechanism string) audittest.Event {
			t.Helper()
			e := lastEvent(t, w)
			if e.Data.MethodName != method || e.Data.Result.Status != status || e.Data.AuthenticationInfo.Credentials.Mechanism != mechanism ||
				len(e.Data.RequestMetadata.RequestID) != 1 || len(e.Data.RequestMetadata.ClientAddress) != 1 {
				t.Errorf("the event is %s, want %s %s by %s", e.Raw, method, status, mechanism)
			}
			return e
		}
		user := func(e audittest.Event) {
			t.Helper()
			if kind, id := e.Data.Principal(); kind != "confluentUser" || id != w.Admin.Principal {
				t.Errorf("the principal is %s %s: %s", kind, id, e.Raw)
			}
		}

		in := anybody.Do(http.MethodPost, "/api/sessions", map[string]any{"email": s.Email, "password": s.Password})
		user(last("SignIn", "SUCCESS", "PASSWORD"))
		refresh, _ := in.Body["refresh_token"].(string)
		next := anybody.Do(http.MethodPost, "/api/sessions", map[string]any{"refreshToken": refresh})
		user(last("RefreshSession", "SUCCESS", "REFRESH_TOKEN"))
		token, _ := next.Body["token"].(string)
		anybody.Do(http.MethodDelete, "/api/sessions", map[string]any{"idToken": token})
		user(last("SignOut", "SUCCESS", "HTTP_BEARER"))

		anybody.Do(http.MethodPost, "/api/sessions", map[string]any{"email": s.Email, "password": "a wrong password"})
		user(last("SignIn", "FAILURE", "PASSWORD"))
		anybody.Do(http.MethodPost, "/api/sessions", map[string]any{"email": "nobody@example.com", "password": "a wrong password"})
		last("SignIn", "FAILURE", "PASSWORD")
		anybody.Do(http.MethodPost, "/api/sessions", map[string]any{"refreshToken": refresh})
		last("RefreshSession", "FAILURE", "REFRESH_TOKEN")
		s.WithToken(token).Do(http.MethodGet, "/api/me", nil)
		if e := lastEvent(t, w); e.Data.AuthenticationInfo.Result != "FAILURE" || e.Data.AuthenticationInfo.Credentials.Mechanism != "HTTP_BEARER" {
			t.Errorf("the token of a session that ended is %s", e.Raw)
		}

		events, _ := auditTrail(t, w.Engine.Store, w.URL, 0)
		for _, e := range events {
			for name, secret := range map[string]string{"password": s.Password, "wrong password": "a wrong password", "token": token, "refresh token": refresh} {
				if secret == "" || bytes.Contains(e.Raw, []byte(secret)) {
					t.Errorf("the %s is in %s", name, e.Raw)
				}
			}
		}
	})
}
