package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/partner"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
	"github.com/weirhq/weir/weirtest"
)

const (
	entitlements         = "/partner/v2/entitlements"
	partnerOrganizations = "/partner/v2/organizations"
	signup               = "/partner/v2/signup"
	signupActivate       = "/partner/v2/signup/activate"
	signupLink           = "/partner/v2/signup/link"
)

// client is a partner's client as its operator made it.
type client struct{ id, secret string }

func newPartner(t *testing.T, e *engine.Engine, scopes ...string) client {
	t.Helper()
	if scopes == nil {
		scopes = partner.Scopes()
	}
	id, secret, err := partner.Create(t.Context(), e, "Partner of "+t.Name()[:min(len(t.Name()), 40)], scopes)
	if err != nil {
		t.Fatal(err)
	}
	return client{id, secret}
}

// askToken asks for a token and returns the answer, which has the shape of
// RFC 6749 and is not checked for that of the API.
func askToken(t *testing.T, w *enginetest.World, change func(*http.Request), form url.Values) enginetest.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(req)
	}
	return exchange(t, req)
}

// caller is the partner with a token of the scopes.
func (c client) caller(t *testing.T, w *enginetest.World, scopes ...string) enginetest.Caller {
	t.Helper()
	a := askToken(t, w, func(r *http.Request) { r.SetBasicAuth(c.id, url.QueryEscape(c.secret)) },
		url.Values{"grant_type": {"client_credentials"}, "scope": {strings.Join(scopes, " ")}}).Want(t, http.StatusOK)
	return enginetest.Caller{Token: a.Text("access_token"), Organization: c.id, Principal: c.id}
}

// partners is a world of two partners on the server of another world.
func partners(t *testing.T, w *enginetest.World) *enginetest.World {
	t.Helper()
	p := *w
	p.Admin, p.Other = newPartner(t, w.Engine).caller(t, w), newPartner(t, w.Engine).caller(t, w)
	p.Nobody, p.Member = enginetest.Caller{}, enginetest.Caller{}
	p.Root = "crn://confluent.cloud/partner=" + p.Admin.Organization
	return &p
}

// withPartners runs a test on a server with two partners; c is the first.
func withPartners(t *testing.T, test func(t *testing.T, w, p *enginetest.World, c *enginetest.Client)) {
	t.Helper()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		p := partners(t, w)
		test(t, w, p, p.Client(p.Admin))
	})
}

// entitlement is a body with what an entitlement must have.
func entitlement(n int) map[string]any {
	return map[string]any{
		"external_id": fmt.Sprintf("external %d", n), "name": fmt.Sprintf("entitlement %d", n),
		"plan_id": fmt.Sprintf("plan-%d", n), "product_id": fmt.Sprintf("product-%d", n),
	}
}

func newEntitlement() map[string]any {
	return entitlement(int(drawn.Add(1)) + 5_000_000)
}

var ssoConfig = map[string]any{"kind": "AzureSSOConfig", "tenant_id": "0f3f1c8f-5b5a-4f3e-8a0e-0c5c3b0f7a11"}

func marty() map[string]any {
	return map[string]any{"given_name": "Marty", "family_name": "McFly", "email": "marty@example.com"}
}

// signupBody signs up an organization with a new entitlement and, where it is
// not nil, a user.
func signupBody(entitlement, user map[string]any) map[string]any {
	body := map[string]any{
		"organization": map[string]any{"name": "Customer & Sons", "sso_config": ssoConfig},
		"entitlement":  entitlement,
	}
	if user != nil {
		body["user"] = user
	}
	return body
}

// signedUp signs up an organization without a user and returns its ID.
func signedUp(t *testing.T, c *enginetest.Client) string {
	t.Helper()
	return c.Do(t, http.MethodPost, signup, signupBody(newEntitlement(), nil)).Want(t, http.StatusCreated).Text("organization_id")
}

// everything counts all rows of the store, by kind.
func everything(t *testing.T, e *engine.Engine) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, k := range server.Kinds() {
		n, err := e.Store.Count(t.Context(), store.Query{Kind: k.Key(), Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		out[k.Key()] = n
	}
	return out
}

// sameRows fails the test unless there are as many rows as before.
func sameRows(t *testing.T, e *engine.Engine, before map[string]int64) {
	t.Helper()
	for kind, n := range everything(t, e) {
		if n != before[kind] {
			t.Errorf("there are %d of %s, and were %d", n, kind, before[kind])
		}
	}
}

// accept makes the invited user of an organization active, as the page behind
// the mail's link does, and returns a key of theirs.
func accept(t *testing.T, e *engine.Engine, organization string) enginetest.Caller {
	t.Helper()
	rows, err := e.Store.List(t.Context(), store.Query{
		Org: organization, Kind: iam.Invitation.Key(), Limit: 10,
		Where: []store.Condition{{Field: "status", Values: []string{iam.StatusStaged, iam.StatusSent}}},
	})
	if err != nil || len(rows) != 1 {
		t.Fatalf("there are %d open invitations: %v", len(rows), err)
	}
	err = e.Store.Update(t.Context(), func(tx store.Tx) error {
		o, err := e.Lock(t.Context(), tx, organization, iam.Invitation, rows[0].ID)
		if err != nil {
			return err
		}
		hash := []byte("a hash of the token in the mail")
		o.Private = iam.InvitationRecord{TokenHash: hash}.Encode()
		if err := e.Save(t.Context(), tx, o); err != nil {
			return err
		}
		return iam.AcceptInvitation(t.Context(), e, tx, o.ID, hash, "Marty McFly", "$argon2id$none")
	})
	if err != nil {
		t.Fatal(err)
	}
	id, secret, owner, err := bootstrap.NewKey(t.Context(), e, organization, "")
	if err != nil {
		t.Fatal(err)
	}
	return enginetest.Caller{Key: id, Secret: secret, Organization: organization, Principal: owner}
}

// TestSignup takes a customer from the purchase to work in the organization.
func TestSignup(t *testing.T) {
	t.Parallel()
	withPartners(t, func(t *testing.T, w, _ *enginetest.World, c *enginetest.Client) {
		body := signupBody(newEntitlement(), marty())
		a := c.Do(t, http.MethodPost, signup, body).Want(t, http.StatusCreated)
		id := a.Text("organization_id")
		if got, want := a.Header.Get("Location"), w.URL+partnerOrganizations+"/"+id; got != want {
			t.Errorf("Location is %q, want %q", got, want)
		}
		if got, want := a.Text("sso_url"), w.URL+"/login/sso/"+id; got != want {
			t.Errorf("sso_url is %q, want %q", got, want)
		}
		if !strings.Contains(a.Text("display_message"), "marty@example.com") {
			t.Errorf("the message is %q", a.Text("display_message"))
		}

		seen := c.Do(t, http.MethodGet, partnerOrganizations+"/"+id, nil).Want(t, http.StatusOK)
		if seen.Text("name") != "Customer & Sons" || seen.Text("sso_config.kind") != "AzureSSOConfig" ||
			seen.Text("sso_config.tenant_id") != ssoConfig["tenant_id"] || seen.Text("sso_url") != a.Text("sso_url") {
			t.Errorf("the organization is %s", seen.Raw)
		}
		bought := walkIDs(t, c, entitlements+"?organization.id="+id)
		if len(bought) != 1 {
			t.Fatalf("the organization has the entitlements %q", bought)
		}
		e := c.Do(t, http.MethodGet, entitlements+"/"+bought[0], nil).Want(t, http.StatusOK)
		external, _ := body["entitlement"].(map[string]any)["external_id"].(string)
		if e.Text("external_id") != external || e.Text("usage_reporting_id") != external || e.Text("organization.id") != id ||
			e.Text("organization.related") != w.URL+partnerOrganizations+"/"+id {
			t.Errorf("the entitlement is %s", e.Raw)
		}
		if got := walkIDs(t, c, entitlements+"?organization.id="+uuid.NewString()); len(got) != 0 {
			t.Errorf("another organization has the entitlements %q", got)
		}

		// The customer's administrator works there as in any organization.
		if complete := c.Do(t, http.MethodPost, signupActivate, map[string]any{"organization_id": id, "user": marty()}); complete.Status != http.StatusConflict {
			t.Errorf("the signup can be completed twice: %s", complete.Raw)
		}
		admin := w.Client(accept(t, w.Engine, id))
		if got := walkIDs(t, admin, organizations); !slices.Equal(got, []string{id}) {
			t.Errorf("the administrator sees the organizations %q", got)
		}
		if o := admin.Do(t, http.MethodGet, organizations+"/"+id, nil); o.Text("display_name") != "Customer & Sons" {
			t.Errorf("the organization is %s", o.Raw)
		}
		if got := walkIDs(t, admin, environments); len(got) != 1 {
			t.Errorf("the new organization has the environments %q", got)
		}
		account := create(t, admin, serviceAccounts, map[string]any{"display_name": "worker"})
		create(t, admin, roleBindings, binding(account, "MetricsViewer", "crn://confluent.cloud/organization="+id))
		if u := admin.Do(t, http.MethodGet, users+"/"+admin.Principal, nil); u.Text("full_name") != "Marty McFly" || u.Text("email") != "marty@example.com" {
			t.Errorf("the administrator is %s", u.Raw)
		}
	})
}

// TestSignupSendsMail shows that the invitation is one like any other.
func TestSignupSendsMail(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL, weirtest.WithConfig(func(c *server.Config) { c.SMTPURL = "" }))
		p := partners(t, w)
		id := p.Client(p.Admin).Do(t, http.MethodPost, signup, signupBody(newEntitlement(), marty())).Want(t, http.StatusCreated).Text("organization_id")
		eventually(t, "the mail goes out", func() bool {
			rows, err := w.Engine.Store.List(t.Context(), store.Query{
				Org: id, Kind: iam.Invitation.Key(), Limit: 1, Where: []store.Condition{{Field: "status", Values: []string{iam.StatusSent}}},
			})
			return err == nil && len(rows) == 1
		})
	})
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it took too long until %s", what)
		}
	}
}

// TestActivate completes a signup that had no user, also after the invitation
// was not accepted in time.
func TestActivate(t *testing.T) {
	t.Parallel()
	withPartners(t, func(t *testing.T, w, p *enginetest.World, c *enginetest.Client) {
		id := signedUp(t, c)
		activate := map[string]any{"organization_id": id, "user": marty()}

		for _, o := range []string{uuid.NewString(), p.Admin.Organization, w.Admin.Organization, "x"} {
			c.Do(t, http.MethodPost, signupActivate, map[string]any{"organization_id": o, "user": marty()}).WantCode(t, api.ResourceNotFound)
		}
		p.Client(p.Other).Do(t, http.MethodPost, signupActivate, activate).WantCode(t, api.ResourceNotFound)
		c.Do(t, http.MethodPost, signupActivate, map[string]any{}).WantInvalid(t, "/organization_id", "/user")
		wrong := marty()
		wrong["email"] = "nobody at all"
		c.Do(t, http.MethodPost, signupActivate, map[string]any{"organization_id": id, "user": wrong}).WantInvalid(t, "/user/email")
		delete(wrong, "given_name")
		c.Do(t, http.MethodPost, signupActivate, map[string]any{"organization_id": id, "user": wrong}).WantInvalid(t, "/user/given_name")

		// Of many at once, one completes it.
		var completed sync.Map
		var wg sync.WaitGroup
		for n := range 6 {
			wg.Go(func() {
				user := marty()
				user["email"] = email(n)
				a := c.Do(t, http.MethodPost, signupActivate, map[string]any{"organization_id": id, "user": user})
				switch a.Status {
				case http.StatusCreated:
					completed.Store(n, true)
				default:
					a.WantCode(t, api.AlreadyExists)
				}
			})
		}
		wg.Wait()
		count := 0
		completed.Range(func(any, any) bool { count++; return true })
		if count != 1 {
			t.Fatalf("the signup was completed %d times", count)
		}

		// Nobody accepts, and the time runs out.
		expire(t, w.Engine, id)
		again := c.Do(t, http.MethodPost, signupActivate, activate).Want(t, http.StatusCreated)
		if again.Text("organization_id") != id || again.Text("sso_url") == "" || again.Header.Get("Location") != w.URL+partnerOrganizations+"/"+id {
			t.Errorf("the answer is %s", again.Raw)
		}
		expire(t, w.Engine, id)
		c.Do(t, http.MethodPost, signupActivate, activate).Want(t, http.StatusCreated) // the same person once more
		admin := w.Client(accept(t, w.Engine, id))
		if got := walkIDs(t, admin, environments); len(got) != 1 {
			t.Errorf("the administrator sees the environments %q", got)
		}
		conflict := c.Do(t, http.MethodPost, signupActivate, activate).WantCode(t, api.AlreadyExists)
		if got, want := conflict.Header.Get("Location"), w.URL+partnerOrganizations+"/"+id; got != want {
			t.Errorf("Location is %q, want %q", got, want)
		}
	})
}

// expire ends the open invitations of an organization.
func expire(t *testing.T, e *engine.Engine, organization string) {
	t.Helper()
	rows, err := e.Store.List(t.Context(), store.Query{Org: organization, Kind: iam.Invitation.Key(), Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		err := e.Store.Update(t.Context(), func(tx store.Tx) error {
			o, err := e.Lock(t.Context(), tx, organization, iam.Invitation, row.ID)
			if err != nil || o.Doc.String("status") == iam.StatusExpired {
				return err
			}
			o.Doc.Set("status", iam.StatusExpired)
			return e.Save(t.Context(), tx, o)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSignupEntitlements is about the two forms of an entitlement in a signup.
func TestSignupEntitlements(t *testing.T) {
	t.Parallel()
	withPartners(t, func(t *testing.T, w, p *enginetest.World, c *enginetest.Client) {
		other := p.Client(p.Other)
		before := everything(t, w.Engine)
		for name, test := range map[string]struct {
			entitlement map[string]any
			pointers    []string
		}{
			"empty":              {map[string]any{}, []string{"/entitlement/external_id", "/entitlement/name", "/entitlement/plan_id", "/entitlement/product_id"}},
			"no plan":            {map[string]any{"external_id": "x", "name": "x", "product_id": "x"}, []string{"/entitlement/plan_id"}},
			"a wrong type":       {map[string]any{"external_id": 1, "name": "x", "plan_id": "x", "product_id": "x"}, []string{"/entitlement/external_id"}},
			"unknown":            {map[string]any{"id": "ent-00000000"}, []string{"/entitlement/id"}},
			"unknown by URL":     {map[string]any{"related": w.URL + entitlements + "/ent-00000000"}, []string{"/entitlement/related"}},
			"another's":          {map[string]any{"id": create(t, other, entitlements, newEntitlement())}, []string{"/entitlement/id"}},
			"the URL of another": {map[string]any{"related": w.URL + partnerOrganizations + "/ent-00000000"}, []string{"/entitlement/related"}},
			"no URL":             {map[string]any{"related": "\x7f%zz"}, []string{"/entitlement/related"}},
		} {
			t.Run(name, func(t *testing.T) {
				c.Do(t, http.MethodPost, signup, signupBody(test.entitlement, marty())).WantInvalid(t, test.pointers...)
			})
		}
		before[partner.Entitlement.Key()]++ // the other partner's
		sameRows(t, w.Engine, before)

		byID := create(t, c, entitlements, newEntitlement())
		id := c.Do(t, http.MethodPost, signup, signupBody(map[string]any{"id": byID}, nil)).Want(t, http.StatusCreated).Text("organization_id")
		byURL := create(t, c, entitlements, newEntitlement())
		c.Do(t, http.MethodPost, signup, signupBody(map[string]any{"related": "https://api.confluent.cloud" + entitlements + "/" + byURL}, nil)).Want(t, http.StatusCreated)
		if got := walkIDs(t, c, entitlements+"?organization.id="+id); !slices.Equal(got, []string{byID}) {
			t.Errorf("the organization has the entitlements %q", got)
		}
		taken := c.Do(t, http.MethodPost, signup, signupBody(map[string]any{"id": byID}, nil)).WantCode(t, api.InUse)
		if got, want := taken.Header.Get("Location"), w.URL+entitlements+"/"+byID; got != want {
			t.Errorf("Location is %q, want %q", got, want)
		}

		// An entitlement can name its organization itself, by ID or by URL.
		for n, ref := range []map[string]any{{"id": id}, {"related": w.URL + partnerOrganizations + "/" + id}} {
			body := newEntitlement()
			body["organization"] = ref
			create(t, c, entitlements, body)
			if got := walkIDs(t, c, entitlements+"?organization.id="+id); len(got) != n+2 {
				t.Errorf("the organization has the entitlements %q", got)
			}
			body = newEntitlement()
			body["organization"] = ref
			other.Do(t, http.MethodPost, entitlements, body).WantInvalid(t, "/organization/id")
		}
		for _, related := range []string{w.URL + entitlements + "/" + id, id, "/" + id, w.URL + partnerOrganizations + "/" + uuid.NewString()} {
			body := newEntitlement()
			body["organization"] = map[string]any{"related": related}
			c.Do(t, http.MethodPost, entitlements, body).WantInvalid(t, "/organization/id")
		}
	})
}

// TestSignupConflicts sends a purchase more than once: it counts once. Two
// organizations may have one name.
func TestSignupConflicts(t *testing.T) {
	t.Parallel()
	withPartners(t, func(t *testing.T, w, p *enginetest.World, c *enginetest.Client) {
		body := signupBody(newEntitlement(), marty())
		answers := make([]enginetest.Answer, 8)
		var wg sync.WaitGroup
		for n := range answers {
			wg.Go(func() { answers[n] = c.Do(t, http.MethodPost, signup, body) })
		}
		wg.Wait()
		made := 0
		for _, a := range answers {
			if a.Status == http.StatusCreated {
				made++
				continue
			}
			a.WantCode(t, api.AlreadyExists)
			if !strings.HasPrefix(a.Header.Get("Location"), w.URL+entitlements+"/ent-") || !strings.Contains(string(a.Raw), `"/entitlement/external_id"`) {
				t.Errorf("the conflict is at %q: %s", a.Header.Get("Location"), a.Raw)
			}
		}
		if made != 1 {
			t.Errorf("one purchase made %d organizations", made)
		}
		if got := walkIDs(t, c, partnerOrganizations); len(got) != 1 {
			t.Errorf("the partner has the organizations %q", got)
		}
		// A dry run tells of the conflict as well.
		c.Do(t, http.MethodPost, signup+"?dry_run=true", body).WantCode(t, api.AlreadyExists)

		shared := create(t, c, entitlements, newEntitlement())
		for n := range answers {
			wg.Go(func() {
				answers[n] = c.Do(t, http.MethodPost, signup, signupBody(map[string]any{"id": shared}, nil))
			})
		}
		wg.Wait()
		made = 0
		for _, a := range answers {
			if a.Status == http.StatusCreated {
				made++
			} else {
				a.WantCode(t, api.InUse)
			}
		}
		if made != 1 {
			t.Errorf("one entitlement went to %d organizations", made)
		}

		// Another partner's IDs are its own.
		p.Client(p.Other).Do(t, http.MethodPost, signup, body).Want(t, http.StatusCreated)
		signedUp(t, c)
		signedUp(t, c)
	})
}

// TestDryRun keeps nothing, whether it goes well or not.
func TestDryRun(t *testing.T) {
	t.Parallel()
	withPartners(t, func(t *testing.T, w, p *enginetest.World, c *enginetest.Client) {
		existing := create(t, c, entitlements, newEntitlement())
		entitled := c.Do(t, http.MethodGet, entitlements+"/"+existing, nil).Want(t, http.StatusOK)
		link := func() string {
			raw, _, err := partner.LinkToken(t.Context(), w.Engine, p.Admin.Organization, w.Other.Organization)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		before := everything(t, w.Engine)
		for name, test := range map[string]struct {
			path string
			body map[string]any
		}{
			"with a user":       {signup, signupBody(newEntitlement(), marty())},
			"without a user":    {signup, signupBody(newEntitlement(), nil)},
			"by an entitlement": {signup, signupBody(map[string]any{"id": existing}, marty())},
			"link":              {signupLink, map[string]any{"token": link(), "organization": map[string]any{"sso_config": ssoConfig}, "entitlement": newEntitlement()}},
		} {
			t.Run(name, func(t *testing.T) {
				for range 2 {
					a := c.Do(t, http.MethodPost, test.path+"?dry_run=true", test.body).Want(t, http.StatusCreated)
					if a.Header.Get("Location") != "" || len(a.Body) != 1 || !strings.Contains(a.Text("display_message"), "Nothing was changed") {
						t.Errorf("a dry run answers %s, Location %q", a.Raw, a.Header.Get("Location"))
					}
				}
				delete(test.body, "organization")
				c.Do(t, http.MethodPost, test.path+"?dry_run=true", test.body).WantInvalid(t, "/organization")
				for _, value := range []string{"yes", "1", "TRUE", "true "} {
					c.Do(t, http.MethodPost, test.path+"?dry_run="+url.QueryEscape(value), signupBody(newEntitlement(), nil)).Want(t, map[bool]int{true: http.StatusBadRequest, false: http.StatusUnprocessableEntity}[test.path == signup])
				}
			})
		}
		sameRows(t, w.Engine, before)
		if again := c.Do(t, http.MethodGet, entitlements+"/"+existing, nil); string(again.Raw) != string(entitled.Raw) {
			t.Errorf("a dry run changed the entitlement:\n%s\n%s", entitled.Raw, again.Raw)
		}
	})
}

// TestLink gives an organization that is there to a partner.
func TestLink(t *testing.T) {
	t.Parallel()
	withPartners(t, func(t *testing.T, w, p *enginetest.World, c *enginetest.Client) {
		other := p.Client(p.Other)
		token := func(by string) string {
			raw, until, err := partner.LinkToken(t.Context(), w.Engine, by, w.Other.Organization)
			if err != nil || time.Until(until) < 23*time.Hour {
				t.Fatal(until, err)
			}
			return raw
		}
		body := func(token string) map[string]any {
			return map[string]any{"token": token, "organization": map[string]any{"sso_config": ssoConfig}, "entitlement": newEntitlement()}
		}
		before := everything(t, w.Engine)
		good := token(p.Admin.Organization)
		// One character of the signature: not the last one, of which some bits say nothing.
		at := len(good) - 10
		changed := "x"
		if good[at] == 'x' {
			changed = "y"
		}
		for name, raw := range map[string]string{
			"another partner's": token(p.Other.Organization), "a credential": p.Admin.Token, "tampered": good[:at] + changed + good[at+1:],
			"none": "x", "unsigned": "eyJhbGciOiJub25lIn0.e30.",
		} {
			t.Run(name, func(t *testing.T) { c.Do(t, http.MethodPost, signupLink, body(raw)).WantInvalid(t, "/token") })
		}
		w.Client(enginetest.Caller{Token: good}).Do(t, http.MethodGet, partnerOrganizations, nil).WantCode(t, api.Unauthenticated)
		sameRows(t, w.Engine, before)

		a := c.Do(t, http.MethodPost, signupLink, body(good)).Want(t, http.StatusCreated)
		if a.Text("organization_id") != w.Other.Organization || !strings.HasSuffix(a.Text("sso_url"), w.Other.Organization) {
			t.Errorf("the answer is %s", a.Raw)
		}
		if o := c.Do(t, http.MethodGet, partnerOrganizations+"/"+w.Other.Organization, nil).Want(t, http.StatusOK); o.Text("name") != "Elsewhere" {
			t.Errorf("the organization is %s", o.Raw)
		}
		if got := walkIDs(t, c, entitlements+"?organization.id="+w.Other.Organization); len(got) != 1 {
			t.Errorf("its entitlements are %q", got)
		}
		// Once is enough, and there is one partner for each organization.
		c.Do(t, http.MethodPost, signupLink, body(good)).WantCode(t, api.AlreadyExists)
		elsewhere := other.Do(t, http.MethodPost, signupLink, body(token(p.Other.Organization))).WantCode(t, api.AlreadyExists)
		if elsewhere.Header.Get("Location") != "" {
			t.Errorf("another partner learns where: %q", elsewhere.Header.Get("Location"))
		}
		if got := walkIDs(t, other, partnerOrganizations); len(got) != 0 {
			t.Errorf("another partner sees %q", got)
		}
		// The organization has an administrator: the partner gives it no other.
		c.Do(t, http.MethodPost, signupActivate, map[string]any{"organization_id": w.Other.Organization, "user": marty()}).WantCode(t, api.AlreadyExists)
		for _, missing := range [][2]string{{p.Admin.Organization, uuid.NewString()}, {"partner-0000000000", w.Other.Organization}} {
			if _, _, err := partner.LinkToken(t.Context(), w.Engine, missing[0], missing[1]); err == nil {
				t.Errorf("a linking token for %q", missing)
			}
		}
	})
}

// partnerOperations are requests that succeed with every scope, by operation.
func partnerOperations(t *testing.T, w, p *enginetest.World) map[string]struct {
	path string
	body any
} {
	t.Helper()
	c := p.Client(p.Admin)
	raw, _, err := partner.LinkToken(t.Context(), w.Engine, p.Admin.Organization, w.Other.Organization)
	if err != nil {
		t.Fatal(err)
	}
	type request = struct {
		path string
		body any
	}
	return map[string]request{
		"listPartnerV2Entitlements":  {entitlements, nil},
		"createPartnerV2Entitlement": {entitlements, newEntitlement()},
		"getPartnerV2Entitlement":    {entitlements + "/" + create(t, c, entitlements, newEntitlement()), nil},
		"listPartnerV2Organizations": {partnerOrganizations, nil},
		"getPartnerV2Organization":   {partnerOrganizations + "/" + signedUp(t, c), nil},
		"signup":                     {signup, signupBody(newEntitlement(), marty())},
		"activateSignup":             {signupActivate, map[string]any{"organization_id": signedUp(t, c), "user": marty()}},
		"signupPartnerV2Link": {signupLink, map[string]any{
			"token": raw, "organization": map[string]any{"sso_config": ssoConfig}, "entitlement": newEntitlement(),
		}},
	}
}

// TestScopes tries every operation of partners with each scope missing, and
// with none but the one that it takes.
func TestScopes(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		all := newPartner(t, w.Engine)
		p := *w
		p.Admin = all.caller(t, w)
		requests := partnerOperations(t, w, &p)
		document := ownDocument(t, w.Engine)
		before := everything(t, w.Engine)
		served := 0
		for _, op := range operation.All() {
			if len(op.Scopes) == 0 {
				continue
			}
			served++
			request, ok := requests[op.ID]
			if !ok || !w.Engine.Serves(op.ID) || len(op.Scopes) != 1 {
				t.Errorf("%s is not tried, or not served", op.ID)
				continue
			}
			for _, scope := range partner.Scopes() {
				if scope == op.Scopes[0] {
					continue
				}
				without := slices.DeleteFunc(partner.Scopes(), func(s string) bool { return s == op.Scopes[0] })
				for _, scopes := range [][]string{{scope}, without} {
					a := w.Client(all.caller(t, w, scopes...)).Do(t, op.Method, request.path, request.body).WantCode(t, api.InsufficientScope)
					if got, want := a.Header.Get("WWW-Authenticate"), `Bearer error="insufficient_scope", scope="`+op.Scopes[0]+`"`; got != want {
						t.Errorf("%s: the challenge is %q, want %q", op.ID, got, want)
					}
				}
				// Without the scope nothing is said of the request either.
				w.Client(all.caller(t, w, scope)).Do(t, op.Method, request.path, "{").WantCode(t, api.InsufficientScope)
			}
		}
		if served != len(requests) {
			t.Errorf("%d operations take scopes, and %d are tried", served, len(requests))
		}
		sameRows(t, w.Engine, before)
		for id, request := range requests {
			op, _ := operation.ByID(id)
			a := w.Client(all.caller(t, w, op.Scopes...)).Do(t, op.Method, request.path, request.body).Want(t, op.Success)
			fits(t, document, op, a)
		}
	})
}

// ownDocument is the server's OpenAPI document as clients read it.
func ownDocument(t *testing.T, e *engine.Engine) *openapi3.T {
	t.Helper()
	raw, err := json.Marshal(e.OpenAPI("test"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// fits holds a successful answer to the document: no SDK does it for the Partner
// API.
func fits(t *testing.T, document *openapi3.T, op operation.Operation, a enginetest.Answer) {
	t.Helper()
	described := document.Paths.Value(op.Path).GetOperation(op.Method)
	if got := (*described.Security)[0][operation.PartnerToken]; !slices.Equal(got, op.Scopes) {
		t.Errorf("%s: the document asks for the scopes %q", op.ID, got)
	}
	success := described.Responses.Status(a.Status).Value
	schema := success.Content.Get("application/json").Schema.Value
	if err := schema.VisitJSON(a.Body); err != nil {
		t.Errorf("%s answers otherwise than its document says: %v", op.ID, err)
	}
	properties := schema.Properties
	for _, part := range schema.AllOf {
		properties = part.Value.Properties
	}
	for name := range a.Body {
		if properties[name] == nil {
			t.Errorf("%s answers with %s, which its document does not have", op.ID, name)
		}
	}
	if described := success.Headers["Location"] != nil; described != (a.Status == http.StatusCreated) || described != (a.Header.Get("Location") != "") {
		t.Errorf("%s: Location is %q, and in the document: %t", op.ID, a.Header.Get("Location"), described)
	}
}

// TestPartnersAndOrganizations is about the wall between the two: the token of a
// partner opens nothing of an organization, not even of one that it signed up,
// and a key of an organization nothing of a partner.
func TestPartnersAndOrganizations(t *testing.T) {
	t.Parallel()
	withPartners(t, func(t *testing.T, w, p *enginetest.World, c *enginetest.Client) {
		organization := c.Do(t, http.MethodPost, signup, signupBody(newEntitlement(), marty())).Want(t, http.StatusCreated).Text("organization_id")
		customer := accept(t, w.Engine, organization)
		requests := partnerOperations(t, w, p)
		before := everything(t, w.Engine)
		for _, op := range operation.All() {
			switch {
			case !w.Engine.Serves(op.ID) || len(op.Credentials) == 0:
			case w.Engine.Failure(op.ID) != nil: // its errors have another form
				resp, err := http.DefaultTransport.RoundTrip(c.Request(t, op.Method, op.Path, nil))
				if err != nil {
					t.Fatal(err)
				}
				if _ = resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s: %d", op.ID, resp.StatusCode)
				}
			case len(op.Scopes) == 0:
				path := strings.ReplaceAll(op.Path, "{id}", organization)
				c.Do(t, op.Method, path, map[string]any{}).WantCode(t, api.Unauthenticated)
			default:
				for _, caller := range []enginetest.Caller{w.Admin, customer, {}} {
					w.Client(caller).Do(t, op.Method, requests[op.ID].path, requests[op.ID].body).WantCode(t, api.Unauthenticated)
				}
			}
		}
		sameRows(t, w.Engine, before)
		// Between partners: what one has is not there for the other.
		other := p.Client(p.Other)
		for _, id := range []string{"getPartnerV2Entitlement", "getPartnerV2Organization"} {
			hidden := other.Do(t, http.MethodGet, requests[id].path, nil).WantCode(t, api.ResourceNotFound)
			path := requests[id].path
			own, never := path[strings.LastIndexByte(path, '/')+1:], uuid.NewString()
			missing := other.Do(t, http.MethodGet, strings.ReplaceAll(path, own, never), nil).WantCode(t, api.ResourceNotFound)
			if got, want := strings.ReplaceAll(essence(t, hidden), own, never), essence(t, missing); got != want {
				t.Errorf("what another partner has is told from what never was:\n%s\n%s", got, want)
			}
		}
		for _, path := range []string{entitlements, partnerOrganizations, entitlements + "?organization.id=" + organization} {
			if got := walkIDs(t, other, path); len(got) != 0 {
				t.Errorf("GET %s shows %q to another partner", path, got)
			}
		}
		// Organizations that no partner signed up are no partner's.
		for _, id := range []string{w.Admin.Organization, w.Other.Organization} {
			c.Do(t, http.MethodGet, partnerOrganizations+"/"+id, nil).WantCode(t, api.ResourceNotFound)
		}
	})
}

// exchange sends a request and reads the answer, of whatever shape.
func exchange(t *testing.T, req *http.Request) enginetest.Answer {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := enginetest.Answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Raw, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(a.Raw, &a.Body) // stays nil for what is no JSON object
	return a
}

// TestTokenEndpoint is about RFC 6749, section 4.4 and 5.
func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		c := newPartner(t, w.Engine, partner.ScopeCreate, partner.ScopeDescribe)
		form := func(pairs ...string) url.Values {
			out := url.Values{}
			for i := 0; i+1 < len(pairs); i += 2 {
				out.Set(pairs[i], pairs[i+1])
			}
			return out
		}
		basic := func(id, secret string) func(*http.Request) {
			return func(r *http.Request) { r.SetBasicAuth(id, secret) }
		}
		grant := []string{"grant_type", "client_credentials"}
		with := func(pairs ...string) url.Values { return form(append(grant, pairs...)...) }
		both := "partner:create partner:describe"
		for name, test := range map[string]struct {
			change func(*http.Request)
			form   url.Values
			scope  string
		}{
			"Basic":                   {basic(c.id, c.secret), with(), both},
			"Basic, encoded":          {basic(url.QueryEscape(c.id), url.QueryEscape(c.secret)), with(), both},
			"in the form":             {nil, with("client_id", c.id, "client_secret", c.secret), both},
			"Basic, and who it is":    {basic(c.id, c.secret), with("client_id", c.id), both},
			"all scopes by name":      {basic(c.id, c.secret), with("scope", "partner:describe partner:create"), both},
			"some scopes":             {basic(c.id, c.secret), with("scope", "partner:describe"), "partner:describe"},
			"the same scope twice":    {basic(c.id, c.secret), with("scope", "partner:create partner:create"), "partner:create"},
			"an empty scope":          {basic(c.id, c.secret), with("scope", ""), both},
			"with what is not needed": {basic(c.id, c.secret), with("audience", "x"), both},
		} {
			t.Run(name, func(t *testing.T) {
				a := askToken(t, w, test.change, test.form).Want(t, http.StatusOK)
				if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" || a.Header.Get("X-RateLimit-Limit") == "" {
					t.Errorf("the headers are %v", a.Header)
				}
				if a.Text("token_type") != "Bearer" || a.Text("scope") != test.scope || a.Body["expires_in"] != 3600.0 {
					t.Errorf("the answer is %s", a.Raw)
				}
				w.Client(enginetest.Caller{Token: a.Text("access_token")}).Do(t, http.MethodGet, entitlements+"/x", nil).Want(t, map[bool]int{true: http.StatusNotFound, false: http.StatusForbidden}[strings.Contains(test.scope, "describe")])
			})
		}
		for name, test := range map[string]struct {
			change func(*http.Request)
			form   url.Values
			status int
			code   string
		}{
			"nobody":                    {nil, with(), 401, "invalid_client"},
			"no secret":                 {nil, with("client_id", c.id), 401, "invalid_client"},
			"an empty secret":           {basic(c.id, ""), with(), 401, "invalid_client"},
			"a wrong secret":            {basic(c.id, c.secret+"x"), with(), 401, "invalid_client"},
			"an unknown client":         {basic("partner-0000000000", c.secret), with(), 401, "invalid_client"},
			"no client's ID":            {basic("\x00", c.secret), with(), 401, "invalid_client"},
			"an API key":                {basic(w.Admin.Key, w.Admin.Secret), with(), 401, "invalid_client"},
			"a wrong secret, in a form": {nil, with("client_id", c.id, "client_secret", "x"), 401, "invalid_client"},
			"another scheme":            {func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, with("client_id", c.id, "client_secret", c.secret), 401, "invalid_client"},
			"broken Basic":              {func(r *http.Request) { r.Header.Set("Authorization", "Basic !") }, with(), 401, "invalid_client"},
			"credentials twice":         {basic(c.id, c.secret), with("client_secret", c.secret), 400, "invalid_request"},
			"two clients":               {basic(c.id, c.secret), with("client_id", "x"), 400, "invalid_request"},
			"no grant":                  {basic(c.id, c.secret), form(), 400, "invalid_request"},
			"another grant":             {basic(c.id, c.secret), form("grant_type", "password"), 400, "unsupported_grant_type"},
			"a scope that is not":       {basic(c.id, c.secret), with("scope", "partner:describe marketplace::describe"), 400, "invalid_scope"},
			"a scope of others":         {basic(c.id, c.secret), with("scope", "partner:delete"), 400, "invalid_scope"},
			"a parameter twice":         {basic(c.id, c.secret), url.Values{"grant_type": {"client_credentials", "client_credentials"}}, 400, "invalid_request"},
			"JSON":                      {func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, with(), 400, "invalid_request"},
		} {
			t.Run(name, func(t *testing.T) {
				a := askToken(t, w, test.change, test.form).Want(t, test.status)
				if a.Text("error") != test.code || a.Text("error_description") == "" || len(a.Body) != 2 {
					t.Errorf("the answer is %s, want %s", a.Raw, test.code)
				}
				if got := strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic"); got != (test.status == 401) {
					t.Errorf("the challenge is %q", a.Header.Get("WWW-Authenticate"))
				}
				if a.Header.Get("Cache-Control") != "no-store" || strings.Contains(string(a.Raw), c.secret) {
					t.Errorf("headers %v: %s", a.Header, a.Raw)
				}
			})
		}
		a := w.Client(enginetest.Caller{}).Do(t, http.MethodGet, "/oauth2/token", nil).WantCode(t, api.MethodNotAllowed)
		if a.Header.Get("Allow") != "POST" {
			t.Errorf("Allow is %q", a.Header.Get("Allow"))
		}
		// Credentials in the URL are none: they would be in logs.
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(with().Encode()))
		req.RequestURI = ""
		req.URL, _ = url.Parse(w.URL + "/oauth2/token?" + with("client_id", c.id, "client_secret", c.secret).Encode())
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		exchange(t, req).Want(t, http.StatusUnauthorized)
	})
}

// TestTokenEndpointIsLimited slows down who guesses, and leaves others alone.
func TestTokenEndpointIsLimited(t *testing.T) {
	t.Parallel()
	_, w := start(t, "", weirtest.WithRateLimits(1_000_000, 1))
	c := newPartner(t, w.Engine)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.id}, "client_secret": {"guess"}}
	limited := false
	for range 50 {
		a := askToken(t, w, nil, form)
		limited = limited || a.Status == http.StatusTooManyRequests && a.Header.Get("Retry-After") != ""
	}
	if !limited {
		t.Error("one may guess as fast as one likes")
	}
	c.caller(t, w) // who knows the secret is not held up by who does not
}

// TestPartnerTokens is about tokens that are not good, or not any more.
func TestPartnerTokens(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		c := newPartner(t, w.Engine)
		list := func(raw string) enginetest.Answer {
			return w.Client(enginetest.Caller{Token: raw}).Do(t, http.MethodGet, entitlements, nil)
		}
		good := c.caller(t, w).Token
		list(good).Want(t, http.StatusOK)

		issue := func(now func() time.Time, use token.Use, claims token.Claims, more any) string {
			raw, _, err := token.NewKeys(w.Engine.Store, now).Issue(t.Context(), use, claims, time.Hour, more)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		say := map[string]any{"scope": "partner:describe", "partner_version": 1}
		list(issue(time.Now, token.Partner, token.Claims{Subject: c.id}, say)).Want(t, http.StatusOK)
		ago := func() time.Time { return time.Now().Add(-2 * time.Hour) }
		soon := func() time.Time { return time.Now().Add(time.Minute) }
		parts := strings.Split(good, ".")
		for name, raw := range map[string]string{
			"expired":              issue(ago, token.Partner, token.Claims{Subject: c.id}, say),
			"not good yet":         issue(soon, token.Partner, token.Claims{Subject: c.id}, say),
			"of another use":       issue(time.Now, token.STS, token.Claims{Subject: c.id}, say),
			"a session":            issue(time.Now, token.Session, token.Claims{Subject: c.id}, say),
			"a linking token":      issue(time.Now, token.PartnerLink, token.Claims{Subject: c.id}, say),
			"of no partner":        issue(time.Now, token.Partner, token.Claims{Subject: "partner-0000000000"}, say),
			"of an organization":   issue(time.Now, token.Partner, token.Claims{Subject: w.Admin.Organization}, say),
			"of an older secret":   issue(time.Now, token.Partner, token.Claims{Subject: c.id}, map[string]any{"scope": "partner:describe", "partner_version": 0}),
			"of no version":        issue(time.Now, token.Partner, token.Claims{Subject: c.id}, map[string]any{"scope": "partner:describe"}),
			"with another payload": parts[0] + "." + strings.Split(issue(time.Now, token.Partner, token.Claims{Subject: c.id}, say), ".")[1] + "." + parts[2],
			"without a signature":  parts[0] + "." + parts[1] + ".",
			"unsigned":             "eyJhbGciOiJub25lIiwidHlwIjoid2Vpci1wYXJ0bmVyK2p3dCJ9." + parts[1] + ".",
			"half of one":          good[:len(good)/2],
			"a secret":             c.secret,
		} {
			t.Run(name, func(t *testing.T) {
				a := list(raw).WantCode(t, api.Unauthenticated)
				if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("the challenge is %q", a.Header.Get("WWW-Authenticate"))
				}
			})
		}
		// Without scopes a token opens nothing.
		list(issue(time.Now, token.Partner, token.Claims{Subject: c.id}, map[string]any{"partner_version": 1})).WantCode(t, api.InsufficientScope)

		// A new secret ends the tokens of the old one, and the old one. It is made beside
		// the server, which follows.
		secret, err := partner.Rotate(t.Context(), w.Engine, c.id)
		if err != nil {
			t.Fatal(err)
		}
		ended := func() bool { return list(good).Status == http.StatusUnauthorized }
		eventually(t, "a new secret ends the tokens of the old one", ended)
		list(good).WantCode(t, api.Unauthenticated)
		askToken(t, w, func(r *http.Request) { r.SetBasicAuth(c.id, c.secret) }, url.Values{"grant_type": {"client_credentials"}}).Want(t, http.StatusUnauthorized)
		c.secret = secret
		good = c.caller(t, w).Token
		list(good).Want(t, http.StatusOK)

		// So does the deletion of the partner.
		if err := partner.Delete(t.Context(), w.Engine, c.id); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the deletion of a partner ends its tokens", ended)
		list(good).WantCode(t, api.Unauthenticated)
		askToken(t, w, func(r *http.Request) { r.SetBasicAuth(c.id, c.secret) }, url.Values{"grant_type": {"client_credentials"}}).Want(t, http.StatusUnauthorized)
		if _, err := partner.Rotate(t.Context(), w.Engine, c.id); err == nil {
			t.Error("a partner that is gone has a new secret")
		}
	})
}

// TestPartnerTokensEndOnEveryReplica rotates beside two replicas.
func TestPartnerTokensEndOnEveryReplica(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.URL(t)
	first, w := start(t, databaseURL)
	second := first.Replica(weirtest.WithDatabaseURL(databaseURL))
	c := newPartner(t, w.Engine)
	caller := c.caller(t, w)
	list := func(base string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+entitlements, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+caller.Token)
		return exchange(t, req).Status
	}
	for _, base := range []string{first.URL, second.URL} {
		if got := list(base); got != http.StatusOK {
			t.Errorf("%s answers %d", base, got)
		}
	}
	if _, err := partner.Rotate(t.Context(), w.Engine, c.id); err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{first.URL, second.URL} {
		if got := list(base); got != http.StatusUnauthorized {
			t.Errorf("after the rotation %s answers %d", base, got)
		}
	}
}

// TestDeletePartner takes along what is the partner's, and leaves what is its
// customers'.
func TestDeletePartner(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		bystander := partners(t, w)
		signedUp(t, bystander.Client(bystander.Admin))
		before := everything(t, w.Engine)

		c := newPartner(t, w.Engine)
		caller := w.Client(c.caller(t, w))
		create(t, caller, entitlements, newEntitlement())
		id := signedUp(t, caller)
		if err := partner.Delete(t.Context(), w.Engine, c.id); err == nil || !strings.Contains(err.Error(), id) {
			t.Fatalf("an organization that nobody can manage is forgotten: %v", err)
		}
		caller.Do(t, http.MethodPost, signupActivate, map[string]any{"organization_id": id, "user": marty()}).Want(t, http.StatusCreated)
		admin := w.Client(accept(t, w.Engine, id))
		if err := partner.Delete(t.Context(), w.Engine, c.id); err != nil {
			t.Fatal(err)
		}
		if got := walkIDs(t, admin, environments); len(got) != 1 {
			t.Errorf("the customer's organization has the environments %q", got)
		}
		after := everything(t, w.Engine)
		for _, k := range []*engine.Kind{partner.Partner, partner.Entitlement, partner.Organization} {
			if after[k.Key()] != before[k.Key()] {
				t.Errorf("there are %d of %s, and were %d", after[k.Key()], k.Key(), before[k.Key()])
			}
		}
		if after[org.Organization.Key()] != before[org.Organization.Key()]+1 {
			t.Error("the organization went with its partner")
		}
	})
}

// TestSignupChecksEverything is about bodies that are wrong.
func TestSignupChecksEverything(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	p := partners(t, w)
	c := p.Client(p.Admin)
	before := everything(t, w.Engine)
	name := func(name any) map[string]any {
		body := signupBody(newEntitlement(), nil)
		body["organization"] = map[string]any{"name": name, "sso_config": ssoConfig}
		return body
	}
	sso := func(config any) map[string]any {
		body := signupBody(newEntitlement(), nil)
		body["organization"] = map[string]any{"name": "x", "sso_config": config}
		return body
	}
	email := func(email string) map[string]any {
		user := marty()
		user["email"] = email
		return signupBody(newEntitlement(), user)
	}
	for _, test := range []struct {
		body     map[string]any
		pointers []string
	}{
		{map[string]any{}, []string{"/organization", "/entitlement"}},
		{name(""), []string{"/organization/name"}},
		{name("a<b"), []string{"/organization/name"}},
		{name(strings.Repeat("x", 32)), []string{"/organization/name"}},
		{name(7), []string{"/organization/name"}},
		{sso(nil), []string{"/organization/sso_config"}},
		{sso(map[string]any{"kind": "OktaSSOConfig", "tenant_id": "x"}), []string{"/organization/sso_config/kind"}},
		{sso(map[string]any{"kind": "AzureSSOConfig"}), []string{"/organization/sso_config/tenant_id"}},
		{email("not an address"), []string{"/user/email"}},
		{email("Marty <marty@example.com>"), []string{"/user/email"}},
		{email("x"), []string{"/user/email"}},
		{signupBody(newEntitlement(), map[string]any{}), []string{"/user/given_name", "/user/family_name", "/user/email"}},
	} {
		c.Do(t, http.MethodPost, signup, test.body).WantInvalid(t, slices.Clone(test.pointers)...)
		c.Do(t, http.MethodPost, signup+"?dry_run=true", test.body).WantInvalid(t, slices.Clone(test.pointers)...)
	}
	c.Do(t, http.MethodPost, signup, "[]").WantCode(t, api.MalformedRequest)
	sameRows(t, w.Engine, before)
}

// TestNoSingleSignOn is about the address that partners are told: it is there,
// and says that the organization has no connection yet.
func TestNoSingleSignOn(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	p := partners(t, w)
	a := p.Client(p.Admin).Do(t, http.MethodPost, signup, signupBody(newEntitlement(), nil)).Want(t, http.StatusCreated)
	refusesWith(t, "no connection", newBrowser(t).get(a.Text("sso_url")), http.StatusNotFound, "no single sign-on")
}
