package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
	"github.com/weirhq/weir/weirtest"
)

const (
	appliedQuotas = "/service-quota/v1/applied-quotas"
	quotaScopes   = "/service-quota/v1/scopes"

	maxEnvironments = "iam.max_environments.per_org"
	maxUsers        = "iam.max_users.per_org"
	maxPending      = "iam.max_pending_invitations.per_organization"
)

// verify fails the test if anything in the database does not hold.
func verify(t *testing.T, e *engine.Engine) {
	t.Helper()
	for _, problem := range problems(t, e) {
		t.Error(problem)
	}
}

// problems are what 'weir verify' reports.
func problems(t *testing.T, e *engine.Engine) []string {
	t.Helper()
	var found []string
	if _, err := e.Verify(context.WithoutCancel(t.Context()), func(problem string) { found = append(found, problem) }); err != nil {
		t.Fatal(err)
	}
	return found
}

// verifyDatabase is verify on the database of a server that was killed.
func verifyDatabase(t *testing.T, dir, databaseURL string) {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), databaseURL, dir, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	e, err := engine.New(engine.Config{Store: s, Kinds: server.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	verify(t, e)
}

// setLimit sets a limit of the administrator's organization.
func setLimit(t *testing.T, w *enginetest.World, code string, limit int64) {
	t.Helper()
	if err := w.Engine.SetLimit(t.Context(), w.Admin.Organization, code, limit); err != nil {
		t.Fatal(err)
	}
}

// applied reads a quota as it is shown to the caller.
func applied(t *testing.T, c *enginetest.Client, code string) (limit, usage int) {
	t.Helper()
	a := c.Do(t, http.MethodGet, appliedQuotas+"/"+code, nil).Want(t, http.StatusOK)
	l, _ := a.Body["applied_limit"].(float64)
	u, _ := a.Body["usage"].(float64)
	return int(l), int(u)
}

// wantExceeded checks that the answer names the quota.
func wantExceeded(t *testing.T, a enginetest.Answer, code string) {
	t.Helper()
	a.WantCode(t, api.QuotaExceeded)
	if !strings.Contains(string(a.Raw), "The request would exceed the quota: "+code) {
		t.Errorf("the refusal does not name %s: %s", code, a.Raw)
	}
}

// TestDefaultLimits goes to the limits that hold where nobody set others.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	refused := func(path string, body func(n int) any, places int, title, detail string) {
		t.Helper()
		for n := range places {
			if a := s.Do(http.MethodPost, path, body(n)); a.Status >= 300 {
				t.Fatalf("%s %d of %d: %d %s", path, n+1, places, a.Status, a.Raw)
			}
		}
		a := s.Do(http.MethodPost, path, body(places))
		first, _ := a.Body["errors"].([]any)
		if a.Status != http.StatusPaymentRequired || len(first) == 0 {
			t.Fatalf("%s beyond the limit: %d %s", path, a.Status, a.Raw)
		}
		e, _ := first[0].(map[string]any)
		if e["code"] != "quota_exceeded" || e["title"] != title || e["detail"] != detail {
			t.Errorf("%s beyond the limit: %s", path, a.Raw)
		}
	}
	refused(environments, func(n int) any { return map[string]any{"display_name": fmt.Sprint("environment ", n)} }, 24,
		"Environments Per Organization Quota Exceeded", "The request would exceed the quota: iam.max_environments.per_org; the limit is 25")
	refused("/iam/v2/sso/group-mappings", func(n int) any { return map[string]any{"display_name": "m", "filter": fmt.Sprint("group", n)} }, 12,
		"Group Mappings Per Organization Quota Exceeded", "Group mapping reached limit 12")
	user := s.Do(http.MethodGet, users, nil).Body["data"].([]any)[0].(map[string]any)["id"].(string)
	refused(apiKeys, func(int) any { return keyFor(user, "cloud") }, 9,
		"Cloud API Keys Per User Quota Exceeded", "The request would exceed the quota: iam.max_cloud_api_keys.per_user; the limit is 10 for '"+user+"'")
	refused(apiKeys, func(int) any { return keyFor(user, "tableflow") }, 10,
		"Cluster API Keys Per User Quota Exceeded", "The request would exceed the quota: iam.max_cluster_api_keys.per_user; the limit is 10 for '"+user+"'")
}

// TestLastPlace lets 64 clients race for one place, through two replicas where
// there can be two.
func TestLastPlace(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		first, w := start(t, databaseURL)
		at := []string{w.URL}
		if databaseURL != "" {
			at = append(at, first.Replica(weirtest.WithDatabaseURL(databaseURL)).URL)
		}
		c := w.Client(w.Admin)
		account := serviceAccount(t, c, 1)
		for _, race := range []struct {
			code, path string
			body       func(n int) any
		}{
			{maxEnvironments, environments, func(n int) any { return map[string]any{"display_name": fmt.Sprint("racer ", n)} }},
			{"iam.max_cloud_api_keys.per_service_account", apiKeys, func(int) any { return keyFor(account, "cloud") }},
		} {
			subject := ""
			if race.path == apiKeys {
				subject = account
			}
			values, err := w.Engine.Store.Counters(t.Context(), w.Admin.Organization, subject)
			if err != nil {
				t.Fatal(err)
			}
			setLimit(t, w, race.code, values[race.code]+1)
			const clients = 64
			statuses := make([]int, clients)
			var racing sync.WaitGroup
			for n := range clients {
				racing.Go(func() {
					var err error
					if statuses[n], _, err = call(c, at[n%len(at)], http.MethodPost, race.path, race.body(n)); err != nil {
						t.Error(err)
					}
				})
			}
			racing.Wait()
			counts := map[int]int{}
			for _, status := range statuses {
				if status == http.StatusAccepted {
					status = http.StatusCreated
				}
				counts[status]++
			}
			if want := map[int]int{http.StatusCreated: 1, http.StatusPaymentRequired: clients - 1}; !maps.Equal(counts, want) {
				t.Errorf("%s: the answers are %v, want %v", race.code, counts, want)
			}
		}
		verify(t, w.Engine)
	})
}

// TestLimitsHoldAtOnce changes a limit beside a running server.
func TestLimitsHoldAtOnce(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		c := w.Client(w.Admin)
		env := func() enginetest.Answer {
			return c.Do(t, http.MethodPost, environments, map[string]any{"display_name": "more"})
		}
		for range 3 {
			_, used := applied(t, c, maxEnvironments)
			setLimit(t, w, maxEnvironments, int64(used))
			wantExceeded(t, env(), maxEnvironments)
			setLimit(t, w, maxEnvironments, int64(used)+1)
			env().Want(t, http.StatusCreated)
			wantExceeded(t, env(), maxEnvironments)
			if limit, now := applied(t, c, maxEnvironments); limit != used+1 || now != used+1 {
				t.Errorf("%d of %d environments are told, want %d of %d", now, limit, used+1, used+1)
			}
		}
		// Another organization has its own.
		other := w.Client(w.Other)
		create(t, other, environments, map[string]any{"display_name": "elsewhere"})
		if limit, used := applied(t, other, maxEnvironments); limit != engine.MaxLimit || used != 1 {
			t.Errorf("the other organization is told %d of %d", used, limit)
		}
		if err := w.Engine.ResetLimit(t.Context(), w.Admin.Organization, maxEnvironments); err != nil {
			t.Fatal(err)
		}
		if limit, _ := applied(t, c, maxEnvironments); limit != 25 {
			t.Errorf("after the reset the limit is %d", limit)
		}
		for _, wrong := range []error{
			w.Engine.SetLimit(t.Context(), w.Admin.Organization, "no.such.quota", 1),
			w.Engine.SetLimit(t.Context(), w.Admin.Organization, maxUsers, -1),
			w.Engine.SetLimit(t.Context(), w.Admin.Organization, maxUsers, engine.MaxLimit+1),
			w.Engine.ResetLimit(t.Context(), w.Admin.Organization, "no.such.quota"),
		} {
			if wrong == nil {
				t.Error("a limit that cannot be is set")
			}
		}
	})
}

// TestInvitationQuotas follows users and invitations through their lives.
func TestInvitationQuotas(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		s := newScene(w)
		_, people := applied(t, s.admin, maxUsers)
		_, pending := applied(t, s.admin, maxPending)
		expect := func(what string, morePeople, morePending int) {
			t.Helper()
			if _, got := applied(t, s.admin, maxUsers); got != people+morePeople {
				t.Errorf("%s: %d users more, want %d", what, got-people, morePeople)
			}
			if _, got := applied(t, s.admin, maxPending); got != pending+morePending {
				t.Errorf("%s: %d pending invitations more, want %d", what, got-pending, morePending)
			}
		}
		first, _ := s.invited(t)
		_, user := s.invited(t)
		third, _ := s.invited(t)
		fourth, _ := s.invited(t)
		expect("invited", 4, 4)

		invite := func() enginetest.Answer {
			return s.admin.Do(t, http.MethodPost, invitations, map[string]any{"email": fmt.Sprintf("late-%d@example.com", drawn.Add(1))})
		}
		setLimit(t, w, maxUsers, int64(people)+4)
		wantExceeded(t, invite(), maxUsers)
		setLimit(t, w, maxUsers, engine.MaxLimit)
		setLimit(t, w, maxPending, int64(pending)+4)
		wantExceeded(t, invite(), maxPending)
		expect("refused", 4, 4)

		s.admin.Do(t, http.MethodDelete, invitations+"/"+first, nil).Want(t, http.StatusNoContent)
		expect("an invitation is withdrawn", 3, 3)
		s.admin.Do(t, http.MethodDelete, users+"/"+user, nil).Want(t, http.StatusNoContent)
		expect("an invited user is deleted", 2, 2)
		update := func(fn func(tx store.Tx) error) {
			t.Helper()
			if err := w.Engine.Store.Update(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
		}
		hash := []byte("hash of a token")
		update(func(tx store.Tx) error {
			o, err := w.Engine.Lock(t.Context(), tx, w.Admin.Organization, iam.Invitation, third)
			if err != nil {
				return err
			}
			o.Private = iam.InvitationRecord{TokenHash: hash}.Encode()
			if err := w.Engine.Save(t.Context(), tx, o); err != nil {
				return err
			}
			return iam.AcceptInvitation(t.Context(), w.Engine, tx, third, hash, "New User", "hash of a password")
		})
		expect("an invitation is accepted", 2, 1)
		later := *w.Engine
		later.Now = func() time.Time { return time.Now().Add(iam.InvitationTTL + time.Hour) }
		update(func(tx store.Tx) error { return iam.ExpireInvitation(t.Context(), &later, tx, fourth) })
		expect("an invitation is over", 2, 0)
		invite().Want(t, http.StatusCreated)
		expect("invited again", 3, 1)
		verify(t, w.Engine)
	})
}

// TestCascadesGiveBack deletes what others go with.
func TestCascadesGiveBack(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		s := newScene(w)
		codes := []string{
			maxEnvironments, "iam.max_service_accounts.per_org", "iam.max_cloud_api_keys.per_org",
			"iam.max_rbac_role_bindings.per_org_plus_envs", "iam.max_rbac_role_bindings_all_roles.per_org",
		}
		usage := func() (out []int) {
			for _, code := range codes {
				_, used := applied(t, s.admin, code)
				out = append(out, used)
			}
			return out
		}
		before := usage()
		env, account := s.environment(t), s.account(t)
		for range 3 {
			create(t, s.admin, apiKeys, keyFor(account, "cloud"))
			create(t, s.admin, apiKeys, keyFor(account, "global"))
			create(t, s.admin, apiKeys, keyFor(account, "tableflow"))
		}
		s.bind(t, account, "EnvironmentAdmin", s.root+"/environment="+env)
		s.bind(t, account, "CloudClusterAdmin", s.root+"/environment="+env+cluster)
		s.bind(t, account, "MetricsViewer", s.root)
		if got, want := usage(), []int{before[0] + 1, before[1] + 1, before[2] + 6, before[3] + 2, before[4] + 3}; !slices.Equal(got, want) {
			t.Errorf("the usage of %q is %v, want %v", codes, got, want)
		}
		// The service account sees its own.
		own := s.client(t, account)
		for code, want := range map[string]int{"iam.max_cloud_api_keys.per_service_account": 7, "iam.max_cluster_api_keys.per_service_account": 3} {
			if _, used := applied(t, own, code); used != want {
				t.Errorf("the service account is told %d for %s, want %d", used, code, want)
			}
		}
		s.admin.Do(t, http.MethodDelete, environments+"/"+env, nil).Want(t, http.StatusNoContent)
		if got, want := usage(), []int{before[0], before[1] + 1, before[2] + 7, before[3] + 1, before[4] + 1}; !slices.Equal(got, want) {
			t.Errorf("without the environment the usage of %q is %v, want %v", codes, got, want)
		}
		s.admin.Do(t, http.MethodDelete, serviceAccounts+"/"+account, nil).Want(t, http.StatusNoContent)
		if got := usage(); !slices.Equal(got, before) {
			t.Errorf("in the end the usage of %q is %v, and was %v", codes, got, before)
		}
		verify(t, w.Engine)
	})
}

// TestWhatHooksMakeCounts is about objects that hooks make beside the one
// that was asked for.
func TestWhatHooksMakeCounts(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	c := w.Client(w.Admin)
	const code = "iam.max_rbac_role_bindings_all_roles.per_org"
	_, used := applied(t, c, code)
	setLimit(t, w, code, int64(used))
	body := map[string]any{"display_name": "owned"}
	owned := serviceAccounts + "?assigned_resource_owner=" + w.Admin.Principal
	wantExceeded(t, c.Do(t, http.MethodPost, owned, body), code)
	setLimit(t, w, code, int64(used)+1)
	c.Do(t, http.MethodPost, owned, body).Want(t, http.StatusCreated)
	verify(t, w.Engine)
}

// TestQuotasUnderChange makes and deletes at random, from several sides, next
// to the limits. In the end what is counted is what is there, and no list ever
// showed more than the limit.
func TestQuotasUnderChange(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		c := w.Client(w.Admin)
		const limit = 20
		for _, code := range []string{maxEnvironments, "iam.max_service_accounts.per_org", "iam.max_cloud_api_keys.per_org"} {
			setLimit(t, w, code, limit)
		}
		account := serviceAccount(t, c, 1)
		var workers sync.WaitGroup
		for worker := range 8 {
			workers.Go(func() {
				type object struct{ path, id string }
				var mine []object
				for n := range 40 {
					if len(mine) > 0 && rand.IntN(3) == 0 {
						i := rand.IntN(len(mine))
						if status, body, err := call(c, w.URL, http.MethodDelete, mine[i].path+"/"+mine[i].id, nil); err != nil || status != http.StatusNoContent {
							t.Errorf("delete %s: %d %v %v", mine[i].path, status, body, err)
							return
						}
						mine = slices.Delete(mine, i, i+1)
						continue
					}
					path := []string{environments, serviceAccounts, apiKeys}[rand.IntN(3)]
					var body any = map[string]any{"display_name": fmt.Sprintf("%d.%d", worker, n)}
					if path == apiKeys {
						body = keyFor(account, "cloud")
					}
					status, answer, err := call(c, w.URL, http.MethodPost, path, body)
					id, _ := answer["id"].(string)
					switch {
					case err == nil && status < 300:
						mine = append(mine, object{path, id})
					case err != nil || status != http.StatusPaymentRequired:
						t.Errorf("create %s: %d %v %v", path, status, answer, err)
					}
				}
			})
		}
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			workers.Wait()
		}()
		for ended := false; !ended; {
			select {
			case <-watched:
				ended = true
			default:
			}
			for _, path := range []string{environments, serviceAccounts, apiKeys} {
				_, body, err := call(c, w.URL, http.MethodGet, path+"?page_size=100", nil)
				if data, _ := body["data"].([]any); err != nil || len(data) > limit {
					t.Errorf("%s has %d objects, %v", path, len(data), err)
				}
			}
		}
		verify(t, w.Engine)
	})
}

// TestQuotaOnAnOldDatabase counts what was there before a quota, once, however
// many replicas begin to count.
func TestQuotaOnAnOldDatabase(t *testing.T) {
	t.Parallel()
	for name, databaseURL := range map[string]string{"SQLite": "", "PostgreSQL": pgtest.URL(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			open := func(kinds []*engine.Kind) *engine.Engine {
				s, err := sqlstore.Open(t.Context(), databaseURL, dir, sqlstore.Options{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				e, err := server.NewEngine(t.Context(), s, "", slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				config := e.Config
				config.Kinds = kinds
				if e, err = engine.New(config); err != nil {
					t.Fatal(err)
				}
				return e
			}
			const many = 1200 // more than are read at once
			org := "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"
			add := func(e *engine.Engine, n int) error {
				return e.Store.Update(t.Context(), func(tx store.Tx) error {
					for range n {
						if err := e.Insert(t.Context(), tx, &engine.Object{Kind: e.Kind("test/v1.Gadget"), Org: org, Doc: engine.Doc{
							"size": "large", "environment": engine.Doc{"id": "env-1"},
						}}); err != nil {
							return err
						}
					}
					return nil
				})
			}
			old := open(withGadgets())
			if err := old.Store.Update(t.Context(), func(tx store.Tx) error {
				return old.Insert(t.Context(), tx, &engine.Object{Kind: old.Kind("org/v2.Environment"), Org: org, ID: "env-1", Doc: engine.Doc{"display_name": "e"}})
			}); err != nil {
				t.Fatal(err)
			}
			if err := add(old, many); err != nil {
				t.Fatal(err)
			}

			quotas := gadgetQuotas()
			for _, q := range quotas {
				q.Limit = many + 2
			}
			engines := make([]*engine.Engine, 4)
			for i := range engines {
				engines[i] = open(withGadgets(quotas...))
			}
			if wrong := problems(t, engines[0]); len(wrong) != 2 || !strings.HasPrefix(wrong[0], "quota ") || !strings.HasPrefix(wrong[1], "quota ") {
				t.Errorf("before the counting: %q", wrong)
			}
			var counting sync.WaitGroup
			for _, e := range engines {
				counting.Go(func() {
					if err := e.CountQuotas(t.Context()); err != nil {
						t.Error(err)
						return
					}
					if err := add(e, 1); err != nil && !errors.As(err, new(*store.ErrFull)) {
						t.Error(err)
					}
				})
			}
			counting.Wait()
			verify(t, engines[0])
			values, err := engines[0].Store.Counters(t.Context(), org, "env-1")
			if err != nil || values[quotas[0].Code] != many+2 {
				t.Errorf("the environment is counted as %v, %v", values, err)
			}
			if err := engines[1].CountQuotas(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
			verify(t, engines[1])
		})
	}
}

// Counters that are off are right again after a recount, also while others make
// and delete what is counted.
func TestRecountQuotas(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		admin := w.Client(w.Admin)
		if err := w.Engine.Store.Update(t.Context(), func(tx store.Tx) error {
			return tx.SetCounters(t.Context(), maxEnvironments, map[store.Counter]int64{{Org: w.Admin.Organization, Name: maxEnvironments}: 7})
		}); err != nil {
			t.Fatal(err)
		}
		if wrong := problems(t, w.Engine); len(wrong) != 1 {
			t.Errorf("a counter that is off: %q", wrong)
		}
		stop := make(chan struct{})
		var others sync.WaitGroup
		for i := range 4 {
			others.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					id := create(t, admin, environments, map[string]any{"display_name": fmt.Sprint("e ", i)})
					admin.Do(t, http.MethodDelete, environments+"/"+id, nil)
				}
			})
		}
		for range 5 {
			if err := w.Engine.RecountQuotas(t.Context()); err != nil {
				t.Error(err)
			}
		}
		close(stop)
		others.Wait()
		verify(t, w.Engine)
	})
}
