package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/weirtest"
)

// v1Failure checks that an answer is an error as the CLI's SDK reads it.
func v1Failure(t *testing.T, a weirtest.Answer, status int) {
	t.Helper()
	var body struct {
		Error struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal(a.Raw, &body); err != nil || a.Status != status || body.Error.Code != status || body.Error.Message == "" {
		t.Errorf("%d %s, want an error of %d: %v", a.Status, a.Raw, status, err)
	}
}

// object returns what is in a body at the path, which must be there.
func object(t *testing.T, a weirtest.Answer, path ...string) map[string]any {
	t.Helper()
	at := a.Body
	for _, name := range path {
		next, ok := at[name].(map[string]any)
		if !ok {
			t.Fatalf("there is no %v in %d %s", path, a.Status, a.Raw)
		}
		at = next
	}
	return at
}

// TestCLI does what the CLI does over HTTP, at both of the paths that it takes
// for the same things.
func TestCLI(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, _ := start(t, databaseURL)
		robot := s.Do("POST", "/iam/v2/service-accounts", map[string]any{"display_name": "robot", "description": "beeps"})
		robotID, _ := robot.Body["id"].(string)
		anybody := s.As("", "")
		for _, prefix := range []string{"/api", "/confluent.cloud/api", "//api", "/api/", "/confluent.cloud//api/", ""} {
			realm := anybody.Do("GET", prefix+"/login/realm?XXX_sizecache=0&client_id=x&email="+url.QueryEscape(s.Email), nil)
			if realm.Status != http.StatusOK || string(realm.Raw) != `{"is_sso":false,"realm":"","mfa_required":false}` {
				t.Fatalf("%s: the realm is %d %s", prefix, realm.Status, realm.Raw)
			}
			in := anybody.Do("POST", prefix+"/sessions", map[string]any{"email": s.Email, "password": s.Password, "orgResourceId": s.OrganizationID})
			if in.Status != http.StatusOK || in.Header.Get("Cache-Control") != "no-store" || in.Header.Get("Set-Cookie") != "" {
				t.Fatalf("%s: sign in: %d %v %s", prefix, in.Status, in.Header, in.Raw)
			}
			token, _ := in.Body["token"].(string)
			refresh, _ := in.Body["refresh_token"].(string)
			c := s.WithToken(token)
			me := c.Do("GET", prefix+"/me", nil)
			for _, a := range []weirtest.Answer{in, me} {
				if u := object(t, a, "user"); u["email"] != s.Email || u["first_name"] != "Administrator" || u["auth_type"] != "AUTH_TYPE_LOCAL" {
					t.Errorf("%s: the user is %v", prefix, u)
				}
				if o := object(t, a, "organization"); o["resource_id"] != s.OrganizationID || o["name"] != "Weir" {
					t.Errorf("%s: the organization is %v", prefix, o)
				}
			}
			if a := object(t, me, "account"); a["id"] != s.EnvironmentID || a["name"] != "default" || a["org_resource_id"] != s.OrganizationID {
				t.Errorf("%s: the account is %v", prefix, a)
			}

			// Numbers: positive, and no two the same.
			seen := map[any]string{object(t, me, "organization")["id"]: "the organization"}
			found := map[string]map[string]any{}
			for _, path := range []string{"/users", "/service_accounts"} {
				a := c.Do("GET", prefix+path, nil)
				list, _ := a.Body["users"].([]any)
				for _, e := range list {
					u := e.(map[string]any)
					id, _ := u["id"].(float64)
					if seen[u["id"]] != "" || id < 1 || id != float64(int32(id)) {
						t.Errorf("%s: %v has the number of %v", prefix, u, seen[u["id"]])
					}
					seen[u["id"]] = fmt.Sprint(u["resource_id"])
					found[fmt.Sprint(u["resource_id"])] = u
				}
			}
			if seen[object(t, me, "user")["id"]] != object(t, me, "user")["resource_id"] {
				t.Errorf("%s: the user is not among the users: %v", prefix, seen)
			}
			if u := found[robotID]; u == nil || u["service_name"] != "robot" || u["service_description"] != "beeps" || u["service_account"] != true {
				t.Errorf("%s: the service account is %v", prefix, u)
			}

			if a := c.Do("GET", prefix+"/growth/v1/free-trial-info", map[string]any{"orgId": 1}); string(a.Raw) != `{"promo_code_claims":[]}` {
				t.Errorf("%s: credits: %d %s", prefix, a.Status, a.Raw)
			}
			usage := map[string]any{"os": "linux", "arch": "amd64", "version": "v4.73.0", "command": "confluent login", "error": false}
			for _, flags := range []any{[]string{"url"}, nil} { // the CLI sends null for none
				usage["flags"] = flags
				if a := c.Do("POST", prefix+"/cli/v1/usages", usage); a.Status != http.StatusNoContent {
					t.Errorf("%s: usage with the flags %v: %d %s", prefix, flags, a.Status, a.Raw)
				}
			}
			for _, absent := range []weirtest.Answer{c.Do("POST", prefix+"/access_tokens", map[string]any{}), c.Do("GET", prefix+"/usage_limits?lkc_id=lkc-1", nil)} {
				if text, _ := absent.Body["error"].(string); absent.Status != http.StatusNotImplemented || !strings.Contains(text, "no Kafka clusters") {
					t.Errorf("%s: %d %s", prefix, absent.Status, absent.Raw)
				}
			}

			// The session is good wherever a Cloud API key is.
			if a := c.Do("GET", prefix+"/org/v2/environments", nil); a.Status != http.StatusOK {
				t.Errorf("%s: environments: %d %s", prefix, a.Status, a.Raw)
			}

			again := anybody.Do("POST", prefix+"/sessions", map[string]any{"refreshToken": refresh, "orgResourceId": s.OrganizationID})
			next, _ := again.Body["token"].(string)
			if again.Status != http.StatusOK || next == "" || next == token || again.Body["refresh_token"] == refresh {
				t.Errorf("%s: refresh: %d %s", prefix, again.Status, again.Raw)
			}
			if a := c.Do("DELETE", prefix+"/sessions", map[string]any{"idToken": next}); a.Status != http.StatusOK {
				t.Errorf("%s: sign out: %d %s", prefix, a.Status, a.Raw)
			}
			v1Failure(t, c.Do("GET", prefix+"/me", nil), http.StatusUnauthorized)
			v1Failure(t, anybody.Do("POST", prefix+"/sessions", map[string]any{"refreshToken": again.Body["refresh_token"]}), http.StatusUnauthorized)
			if a := c.Do("GET", "/org/v2/environments", nil); a.Status != http.StatusUnauthorized || !strings.Contains(a.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s: after signing out: %d %v", prefix, a.Status, a.Header)
			}
		}
	})
}

// What an answer says of an account that is there it says of one that is not.
func TestSignInTellsNothing(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "")
	c := s.As("", "")
	for _, ask := range []func(email string) weirtest.Answer{
		func(email string) weirtest.Answer {
			return c.Do("GET", "/api/login/realm?email="+url.QueryEscape(email), nil)
		},
		func(email string) weirtest.Answer {
			return c.Do("POST", "/api/sessions", map[string]any{"email": email, "password": "wrong"})
		},
	} {
		known, unknown := ask(s.Email), ask("nobody@example.com")
		if known.Status != unknown.Status || !bytes.Equal(known.Raw, unknown.Raw) {
			t.Errorf("%d %s, and %d %s", known.Status, known.Raw, unknown.Status, unknown.Raw)
		}
	}
}

// Requests that are wrong in themselves.
func TestSessionsRefuse(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "")
	c := s.As("", "")
	good := map[string]any{"email": s.Email, "password": s.Password}
	for what, a := range map[string]struct {
		answer weirtest.Answer
		status int
	}{
		"an empty body":               {c.Do("POST", "/api/sessions", ""), 400},
		"no JSON":                     {c.Do("POST", "/api/sessions", "email=x"), 400},
		"an array":                    {c.Do("POST", "/api/sessions", "[]"), 400},
		"nothing in it":               {c.Do("POST", "/api/sessions", "{}"), 401},
		"numbers":                     {c.Do("POST", "/api/sessions", `{"email":1,"password":2}`), 401},
		"a huge body":                 {c.Do("POST", "/api/sessions", `{"email":"`+strings.Repeat("x", 2<<20)+`"}`), 413},
		"a huge address":              {c.Do("POST", "/api/sessions", `{"password":"x","email":"`+strings.Repeat("x", 1<<19)+`"}`), 401},
		"line feeds":                  {c.Do("POST", "/api/sessions", `{"password":"x","email":"a@b.example\r\nX-Injected: 1"}`), 401},
		"an id token":                 {c.Do("POST", "/api/sessions", `{"idToken":"x"}`), 401},
		"a refresh token":             {c.Do("POST", "/api/sessions", `{"refreshToken":"v1.x"}`), 401},
		"another organization":        {c.Do("POST", "/api/sessions", map[string]any{"email": s.Email, "password": s.Password, "orgResourceId": "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"}), 401},
		"sign out without a token":    {c.Do("DELETE", "/api/sessions", "{}"), 400},
		"sign out with a made-up":     {c.Do("DELETE", "/api/sessions", `{"idToken":"a.b.c"}`), 401},
		"GET":                         {c.Do("GET", "/api/sessions", nil), 405},
		"PUT":                         {c.Do("PUT", "/api/me", good), 405},
		"nobody":                      {c.Do("GET", "/api/me", nil), 401},
		"nobody lists users":          {c.Do("GET", "/api/users", nil), 401},
		"nobody wants a token":        {c.Do("POST", "/api/access_tokens", "{}"), 401},
		"nobody lists roles":          {c.Do("GET", "/confluent.cloud/api/metadata/security/v2alpha1/roles", nil), 401},
		"a role that there is not":    {s.Do("GET", "/api/metadata/security/v2alpha1/roles/Nope", nil), 404},
		"a query that is not decoded": {c.Do("GET", "/api/login/realm?email=%", nil), 400},
	} {
		t.Run(what, func(t *testing.T) {
			v1Failure(t, a.answer, a.status)
			if a.answer.Header.Get("X-Injected") != "" {
				t.Error("a header was injected")
			}
		})
	}
	for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		body, _ := json.Marshal(good)
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/api/sessions", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", media) // what a form of another site can send
		v1Failure(t, s.Send(r), http.StatusUnsupportedMediaType)
	}
	for _, path := range []string{"/api/metadata/security/v2alpha1/roles/", "/api/metadata/security/v2alpha1/roles/a/b", "/api/metadata/security/v2alpha1/roles/%7Bname%7D/x", "/confluent.cloud/me", "/confluent.cloudapi/me"} {
		if a := s.Do("GET", path, nil); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.Status, a.Raw)
		}
	}
}

// What a user sees and may do in a session is what roles say, as with a key.
func TestSessionsObeyRoles(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, w := start(t, databaseURL)
		hash, err := authn.HashPassword("great scott")
		if err != nil {
			t.Fatal(err)
		}
		err = w.Engine.Store.Update(t.Context(), func(tx store.Tx) error {
			return iam.SetPassword(t.Context(), w.Engine, tx, w.Member.Organization, w.Member.Principal, hash, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		robot := s.Do("POST", "/iam/v2/service-accounts", map[string]any{"display_name": "robot"})
		c := s.SignIn("member@example.com", "great scott")
		me := c.Do("GET", "/api/me", nil)
		if accounts, _ := me.Body["accounts"].([]any); me.Status != http.StatusOK || accounts == nil || len(accounts) != 0 || me.Body["account"] != nil {
			t.Errorf("without a role: %d %s", me.Status, me.Raw)
		}
		users := c.Do("GET", "/api/users", nil)
		if list, _ := users.Body["users"].([]any); len(list) != 1 || list[0].(map[string]any)["resource_id"] != w.Member.Principal {
			t.Errorf("without a role the users are %s", users.Raw)
		}
		if a := c.Do("GET", "/api/service_accounts", nil); string(a.Raw) != `{"users":[]}` {
			t.Errorf("without a role the service accounts are %s", a.Raw)
		}
		own := map[string]any{"spec": map[string]any{"owner": map[string]any{"id": w.Member.Principal}, "resource": map[string]any{"id": "cloud"}}}
		if a := c.Do("POST", "/api/iam/v2/api-keys", own); a.Status != http.StatusAccepted {
			t.Errorf("a key of one's own: %d %s", a.Status, a.Raw)
		}
		for what, owner := range map[string]any{"somebody else": w.Admin.Principal, "a service account": robot.Body["id"]} {
			body := map[string]any{"spec": map[string]any{"owner": map[string]any{"id": owner}, "resource": map[string]any{"id": "cloud"}}}
			if a := c.Do("POST", "/api/iam/v2/api-keys", body); a.Status != http.StatusForbidden {
				t.Errorf("a key for %s: %d %s", what, a.Status, a.Raw)
			}
		}
		if a := c.Do("POST", "/api/org/v2/environments", map[string]any{"display_name": "mine"}); a.Status != http.StatusForbidden {
			t.Errorf("an environment: %d %s", a.Status, a.Raw)
		}
		binding := s.Do("POST", "/iam/v2/role-bindings", map[string]any{
			"principal": "User:" + w.Member.Principal, "role_name": "EnvironmentAdmin",
			"crn_pattern": "crn://confluent.cloud/organization=" + s.OrganizationID + "/environment=" + s.EnvironmentID,
		})
		if binding.Status != http.StatusCreated {
			t.Fatalf("bind: %d %s", binding.Status, binding.Raw)
		}
		// The session that there is has the role at once.
		if accounts, _ := c.Do("GET", "/api/me", nil).Body["accounts"].([]any); len(accounts) != 1 {
			t.Errorf("with a role in an environment: %v", accounts)
		}
		// Service accounts do not sign in, and their keys are of nobody.
		key := s.Do("POST", "/iam/v2/api-keys", map[string]any{"spec": map[string]any{"owner": map[string]any{"id": robot.Body["id"]}}})
		secret, _ := object(t, key, "spec")["secret"].(string)
		id, _ := key.Body["id"].(string)
		v1Failure(t, s.As(id, secret).Do("GET", "/api/me", nil), http.StatusForbidden)
		// The user's own end with the user.
		if a := s.Do("DELETE", "/iam/v2/users/"+w.Member.Principal, nil); a.Status != http.StatusNoContent {
			t.Fatalf("delete the user: %d %s", a.Status, a.Raw)
		}
		v1Failure(t, c.Do("GET", "/api/me", nil), http.StatusUnauthorized)
	})
}

// A session opens what a Cloud API key opens, and nothing that takes neither.
func TestSessionsAreNoOtherTokens(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil)
	first := s.First
	body, _ := json.Marshal(map[string]any{"email": first.Email, "password": first.Password})
	var in struct{ Token string }
	rec := ask(s, "POST", "/api/sessions", loopback, func(r *http.Request) {
		*r = *httptest.NewRequestWithContext(t.Context(), "POST", "/api/sessions", bytes.NewReader(body))
		r.RemoteAddr = loopback
		r.Header.Del("Authorization")
	})
	if err := json.Unmarshal(rec.Body.Bytes(), &in); err != nil || in.Token == "" {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	tried := 0
	for _, op := range operation.All() {
		if len(op.Credentials) == 0 || !s.Engine().Serves(op.ID) || op.Method != http.MethodGet {
			continue
		}
		opens := false
		for _, c := range op.Credentials {
			opens = opens || c == operation.CloudAPIKey || c == operation.APIKey || c == operation.Session
		}
		rec := ask(s, op.Method, filled(op.Path), loopback, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+in.Token) })
		if (rec.Code != http.StatusUnauthorized) != opens {
			t.Errorf("%s takes %v and answers %d", op.ID, op.Credentials, rec.Code)
		}
		tried++
	}
	if tried == 0 {
		t.Error("nothing was tried")
	}
}

func TestRolesForTheCLI(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "")
	const roles = "/confluent.cloud/api/metadata/security/v2alpha1/role"
	var list []struct {
		Name     string
		Policies []struct {
			BindingScope      string
			BindWithResource  *bool
			AllowedOperations []struct {
				ResourceType string
				Operations   []string
			}
		}
	}
	read := func(path string, into any) {
		t.Helper()
		if a := s.Do("GET", path, nil); a.Status != http.StatusOK || json.Unmarshal(a.Raw, into) != nil {
			t.Fatalf("%s: %d %s", path, a.Status, a.Raw)
		}
	}
	read(roles+"s", &list)
	var names []string
	read(roles+"Names?namespace=dataplane,public,usm", &names)
	if len(names) != len(list) || len(list) < 20 {
		t.Errorf("%d roles and %d names", len(list), len(names))
	}
	for i, r := range list {
		if r.Name != names[i] || len(r.Policies) == 0 {
			t.Errorf("%s and %s with %v", r.Name, names[i], r.Policies)
		}
		for _, p := range r.Policies {
			if (p.BindingScope != "organization" && p.BindingScope != "environment" && p.BindingScope != "cluster") || p.BindWithResource == nil || len(p.AllowedOperations) == 0 {
				t.Errorf("%s: %+v", r.Name, p)
			}
		}
		one := list[0]
		one.Policies = nil
		read(roles+"s/"+r.Name+"?namespace=dataplane,datagovernance,identity,ksql,public,streamcatalog,usm", &one)
		if fmt.Sprint(one) != fmt.Sprint(r) && len(one.Policies) != len(r.Policies) {
			t.Errorf("%+v is listed as %+v", one, r)
		}
	}
	// Roles of a namespace that Weir has none of: the CLI adds them to the others.
	for _, path := range []string{"s?namespace=usm", "Names?namespace=usm"} {
		if a := s.Do("GET", roles+path, nil); string(a.Raw) != "[]" {
			t.Errorf("%s: %d %s", path, a.Status, a.Raw)
		}
	}
	v1Failure(t, s.Do("GET", roles+"s/OrganizationAdmin?namespace=usm", nil), http.StatusNotFound)
}

// A flood of attempts from one address is told to wait, with the limit that
// counts for requests without credentials.
func TestSignInIsLimited(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t, weirtest.WithRateLimits(1_000_000, 1))
	c := s.As("", "")
	var a weirtest.Answer
	for range 30 {
		if a = c.Do("GET", "/api/login/realm?email=x", nil); a.Status != http.StatusOK {
			break
		}
	}
	v1Failure(t, a, http.StatusTooManyRequests)
	v1Failure(t, c.Do("POST", "/api/sessions", map[string]any{"email": s.Email, "password": s.Password}), http.StatusTooManyRequests)
	if a.Header.Get("Retry-After") == "" {
		t.Errorf("it does not say when to try again: %v", a.Header)
	}
}

// Guesses at an account end with 429, and with how long to wait.
func TestGuessesAreLimited(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "")
	c := s.As("", "")
	var a weirtest.Answer
	for range 12 {
		if a = c.Do("POST", "/api/sessions", map[string]any{"email": s.Email, "password": "wrong"}); a.Status != http.StatusUnauthorized {
			break
		}
	}
	v1Failure(t, a, http.StatusTooManyRequests)
	if a.Header.Get("Retry-After") == "" {
		t.Errorf("it does not say when to try again: %v", a.Header)
	}
	// Keys of the same user are another matter.
	if a := s.Do("GET", "/api/me", nil); a.Status != http.StatusOK {
		t.Errorf("with a key: %d %s", a.Status, a.Raw)
	}
}

// A session that began on one replica is good on the others, and ends on all.
func TestSessionsOnReplicas(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.URL(t)
	first := weirtest.Start(t, weirtest.WithDatabaseURL(databaseURL))
	second := first.Replica(weirtest.WithDatabaseURL(databaseURL))
	in := first.As("", "").Do("POST", "/api/sessions", map[string]any{"email": first.Email, "password": first.Password})
	token, _ := in.Body["token"].(string)
	refresh, _ := in.Body["refresh_token"].(string)
	there := second.WithToken(token)
	if a := there.Do("GET", "/api/me", nil); a.Status != http.StatusOK {
		t.Fatalf("on the other replica: %d %s", a.Status, a.Raw)
	}
	again := second.As("", "").Do("POST", "/api/sessions", map[string]any{"refreshToken": refresh})
	if again.Status != http.StatusOK {
		t.Fatalf("refresh on the other replica: %d %s", again.Status, again.Raw)
	}
	next, _ := again.Body["token"].(string)
	if a := first.As("", "").Do("DELETE", "/api/sessions", map[string]any{"idToken": next}); a.Status != http.StatusOK {
		t.Fatalf("sign out: %d %s", a.Status, a.Raw)
	}
	for deadline := time.Now().Add(20 * time.Second); there.Do("GET", "/api/me", nil).Status != http.StatusUnauthorized; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the session is still good on the other replica")
		}
	}
}

// form sends the form of the page that changes passwords.
func form(t *testing.T, s *weirtest.Server, values url.Values) weirtest.Answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/password", strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.Send(r)
}

func TestPasswordPage(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, _ := start(t, databaseURL)
		c := s.SignIn(s.Email, s.Password)
		const wanted = "a <new> password"
		fields := func(change ...string) url.Values {
			v := url.Values{"email": {s.Email}, "password": {s.Password}, "new_password": {wanted}, "new_password_again": {wanted}}
			for i := 0; i < len(change); i += 2 {
				v.Set(change[i], change[i+1])
			}
			return v
		}
		page := s.As("", "").Do("GET", "/password", nil)
		if page.Status != http.StatusOK || !strings.Contains(string(page.Raw), `name="new_password_again"`) {
			t.Fatalf("%d %s", page.Status, page.Raw)
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Set-Cookie": ""} {
			if got := page.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		if p := page.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || !strings.Contains(p, "frame-ancestors 'none'") {
			t.Errorf("the policy is %q", p)
		}
		for what, bad := range map[string]struct {
			values url.Values
			status int
			says   string
		}{
			"a wrong password":      {fields("password", "wrong"), 403, "The e-mail address or the password is wrong"},
			"an unknown address":    {fields("email", "nobody@example.com"), 403, "The e-mail address or the password is wrong"},
			"another organization":  {fields("organization", "x"), 403, "The e-mail address or the password is wrong"},
			"no password":           {fields("password", ""), 422, "Enter the password that you have now"},
			"a short password":      {fields("new_password", "short"), 422, "at least 8 characters"},
			"the same password":     {fields("new_password", s.Password), 422, "other than the one"},
			"passwords that differ": {fields("new_password_again", wanted+"x"), 422, "the two differ"},
			"no repetition":         {fields("new_password_again", ""), 422, "Repeat the new password"},
			"nothing":               {url.Values{}, 422, "Choose a password"},
			"too much":              {fields("new_password", strings.Repeat("x", 1<<20)), 413, "could not be read"},
		} {
			a := form(t, s, bad.values)
			if text := string(a.Raw); a.Status != bad.status || !strings.Contains(text, bad.says) || strings.Contains(text, s.Password) || strings.Contains(text, "&lt;new&gt;") {
				t.Errorf("%s: %d %s", what, a.Status, text)
			}
		}
		if a := form(t, s, fields("email", `"><script>alert(1)</script>`)); strings.Contains(string(a.Raw), "<script>") {
			t.Errorf("a script is on the page: %s", a.Raw)
		}
		if a := c.Do("GET", "/api/me", nil); a.Status != http.StatusOK {
			t.Errorf("the session ended before the password changed: %d", a.Status)
		}
		if a := form(t, s, fields("email", strings.ToUpper(s.Email))); a.Status != http.StatusOK || !strings.Contains(string(a.Raw), "Your password is changed") {
			t.Fatalf("%d %s", a.Status, a.Raw)
		}
		v1Failure(t, c.Do("GET", "/api/me", nil), http.StatusUnauthorized)
		v1Failure(t, s.As("", "").Do("POST", "/api/sessions", map[string]any{"email": s.Email, "password": s.Password}), http.StatusUnauthorized)
		s.SignIn(s.Email, wanted)
		if a := s.As("", "").Do("DELETE", "/password", nil); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("DELETE: %d %v", a.Status, a.Header)
		}
	})
}

// Who may not come from an address neither signs in, nor refreshes, nor uses a
// session from there, nor changes a password.
func TestSessionsAreUnderIPFilters(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "", weirtest.WithConfig(func(c *server.Config) { c.TrustedProxies = []string{"127.0.0.1/32"} }))
	const office, elsewhere = "10.0.0.5", "192.0.2.1"
	send := func(from, method, path, token string, body any) weirtest.Answer {
		t.Helper()
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, bytes.NewReader(encoded))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", from)
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("Content-Type", "application/json")
		if values, ok := body.(url.Values); ok {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(values.Encode())), int64(len(values.Encode()))
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return s.Send(r)
	}
	credentials := map[string]any{"email": s.Email, "password": s.Password}
	in := send(office, "POST", "/api/sessions", "", credentials)
	token, _ := in.Body["token"].(string)
	group := send(office, "POST", "/iam/v2/ip-groups", token, map[string]any{"group_name": "office", "cidr_blocks": []string{"10.0.0.0/8"}})
	filter := send(office, "POST", "/iam/v2/ip-filters", token, map[string]any{
		"filter_name": "office", "resource_group": "multiple", "operation_groups": []string{"MANAGEMENT"}, "ip_groups": []any{map[string]any{"id": group.Body["id"]}},
	})
	if filter.Status != http.StatusCreated {
		t.Fatalf("%d %s, %d %s", group.Status, group.Raw, filter.Status, filter.Raw)
	}
	for what, a := range map[string]weirtest.Answer{
		"sign in": send(elsewhere, "POST", "/api/sessions", "", credentials),
		"refresh": send(elsewhere, "POST", "/api/sessions", "", map[string]any{"refreshToken": in.Body["refresh_token"]}),
		"me":      send(elsewhere, "GET", "/api/me", token, nil),
		"users":   send(elsewhere, "GET", "/api/users", token, nil),
		"roles":   send(elsewhere, "GET", "/confluent.cloud/api/metadata/security/v2alpha1/roles", token, nil),
	} {
		t.Run(what, func(t *testing.T) { v1Failure(t, a, http.StatusForbidden) })
	}
	if a := send(elsewhere, "POST", "/password", "", url.Values{
		"email": {s.Email}, "password": {s.Password}, "new_password": {"another password"}, "new_password_again": {"another password"},
	}); a.Status != http.StatusForbidden {
		t.Errorf("the page: %d %s", a.Status, a.Raw)
	}
	// Who has not proved a password learns nothing of filters.
	v1Failure(t, send(elsewhere, "POST", "/api/sessions", "", map[string]any{"email": s.Email, "password": "wrong"}), http.StatusUnauthorized)
	if a := send(office, "POST", "/api/sessions", "", map[string]any{"refreshToken": in.Body["refresh_token"]}); a.Status != http.StatusOK {
		t.Errorf("refresh from the office: %d %s", a.Status, a.Raw)
	}
	if a := send(office, "GET", "/api/me", token, nil); a.Status != http.StatusOK {
		t.Errorf("from the office: %d %s", a.Status, a.Raw)
	}
}
