package server_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/store"
)

// administrator makes a user with a key who is OrganizationAdmin, and returns
// the client and the binding.
func (s *scene) administrator(t *testing.T) (c *enginetest.Client, bound string) {
	t.Helper()
	var caller enginetest.Caller
	err := s.Engine.Store.Update(t.Context(), func(tx store.Tx) error {
		user := &engine.Object{Kind: iam.User, Org: s.Admin.Organization, Private: iam.UserRecord{}.Encode(), Doc: engine.Doc{
			"email": fmt.Sprintf("drawn-%d@example.com", drawn.Add(1)), "auth_type": iam.AuthTypeLocal,
		}}
		if err := s.Engine.Insert(t.Context(), tx, user); err != nil {
			return err
		}
		var err error
		caller, err = issue(t.Context(), s.Engine, tx, s.Admin.Organization, user.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.Client(caller), s.bind(t, caller.Principal, authz.OrganizationAdmin, s.root)
}

// adminBinding finds the binding of the administrator that the first start made.
func (s *scene) adminBinding(t *testing.T) string {
	t.Helper()
	ids := walkIDs(t, s.admin, roleBindings+"?crn_pattern="+s.root+"&role_name=OrganizationAdmin&principal=User:"+s.Admin.Principal)
	if len(ids) != 1 {
		t.Fatalf("the first administrator's bindings are %q", ids)
	}
	return ids[0]
}

// forgetPassword leaves the first administrator with keys alone.
func (s *scene) forgetPassword(t *testing.T) {
	t.Helper()
	err := s.Engine.Store.Update(t.Context(), func(tx store.Tx) error {
		user, err := s.Engine.Lock(t.Context(), tx, s.Admin.Organization, iam.User, s.Admin.Principal)
		if err != nil {
			return err
		}
		user.Private = iam.UserRecord{}.Encode()
		return s.Engine.Save(t.Context(), tx, user)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Who can sign in administrates without a key.
func TestAdministratorWithAPassword(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		server, w := start(t, databaseURL)
		s := newScene(w)
		s.admin.Do(t, http.MethodDelete, apiKeys+"/"+s.Admin.Key, nil).Want(t, http.StatusNoContent)
		c := server.SignIn(server.Email, server.Password)
		if a := c.Do(http.MethodPost, apiKeys, keyFor(s.Admin.Principal, "cloud")); a.Status != http.StatusAccepted {
			t.Errorf("another key: %d %s", a.Status, a.Raw)
		}
		if a := c.Do(http.MethodDelete, users+"/"+s.Admin.Principal, nil); a.Status != http.StatusBadRequest {
			t.Errorf("the last administrator: %d %s", a.Status, a.Raw)
		}
	})
}

// TestLastAdministrator tries every way to leave an organization without one.
func TestLastAdministrator(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		s := newScene(w)
		s.forgetPassword(t)
		c := s.admin
		first := s.adminBinding(t)
		stands := func() {
			t.Helper()
			c.Do(t, http.MethodPatch, organizations+"/"+s.Admin.Organization, map[string]any{"display_name": "Weir"}).Want(t, http.StatusOK)
		}
		alone := func() {
			t.Helper()
			for _, path := range []string{roleBindings + "/" + first, users + "/" + s.Admin.Principal, apiKeys + "/" + s.Admin.Key} {
				if a := c.Do(t, http.MethodDelete, path, nil); a.Status != http.StatusBadRequest {
					t.Errorf("DELETE %s: %s", path, a.Raw)
				}
				stands()
			}
		}
		alone()

		// Who may come later is nobody yet, and who has another role neither.
		_, invited := s.invited(t)
		s.bind(t, invited, authz.OrganizationAdmin, s.root)
		s.bind(t, s.account(t), "AccountAdmin", s.root)
		alone()

		// A second key makes the first one dispensable.
		a := c.Do(t, http.MethodPost, apiKeys, keyFor(s.Admin.Principal, "tableflow")).Want(t, http.StatusAccepted)
		c.Do(t, http.MethodDelete, apiKeys+"/"+s.Admin.Key, nil).Want(t, http.StatusBadRequest) // it manages nothing
		c.Do(t, http.MethodDelete, apiKeys+"/"+a.ID(), nil).Want(t, http.StatusNoContent)
		a = c.Do(t, http.MethodPost, apiKeys, keyFor(s.Admin.Principal, "global")).Want(t, http.StatusAccepted)
		c.Do(t, http.MethodDelete, apiKeys+"/"+s.Admin.Key, nil).Want(t, http.StatusNoContent)
		c = s.Client(enginetest.Caller{Key: a.ID(), Secret: a.Text("spec.secret"), Organization: s.Admin.Organization, Principal: s.Admin.Principal})
		c.Do(t, http.MethodDelete, apiKeys+"/"+a.ID(), nil).Want(t, http.StatusBadRequest)
		a = c.Do(t, http.MethodPost, apiKeys, keyFor(s.Admin.Principal, "cloud")).Want(t, http.StatusAccepted)
		c.Do(t, http.MethodDelete, apiKeys+"/"+c.Key, nil).Want(t, http.StatusNoContent)
		c = s.Client(enginetest.Caller{Key: a.ID(), Secret: a.Text("spec.secret"), Organization: s.Admin.Organization, Principal: s.Admin.Principal})
		s.admin = c

		// With a second administrator, a service account this time, the first can
		// go; then the second is the last.
		robot := s.account(t)
		second := s.bind(t, robot, authz.OrganizationAdmin, s.root)
		r := s.client(t, robot)
		r.Do(t, http.MethodDelete, users+"/"+s.Admin.Principal, nil).Want(t, http.StatusNoContent)
		c.Do(t, http.MethodGet, environments, nil).Want(t, http.StatusUnauthorized)
		for _, path := range []string{roleBindings + "/" + second, serviceAccounts + "/" + robot, apiKeys + "/" + r.Key} {
			if a := r.Do(t, http.MethodDelete, path, nil); a.Status != http.StatusBadRequest {
				t.Errorf("DELETE %s: %s", path, a.Raw)
			}
			r.Do(t, http.MethodPatch, organizations+"/"+s.Admin.Organization, map[string]any{"display_name": "Weir"}).Want(t, http.StatusOK)
		}
	})
}

// TestLastAdministratorWithAKey leaves an OrganizationAdmin who has no key and,
// being a service account, no other way to sign in: it counts for nothing.
func TestLastAdministratorWithAKey(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	s := newScene(w)
	s.forgetPassword(t)
	first := s.adminBinding(t)
	robot := s.account(t)
	s.bind(t, robot, authz.OrganizationAdmin, s.root)
	for _, path := range []string{apiKeys + "/" + s.Admin.Key, roleBindings + "/" + first, users + "/" + s.Admin.Principal} {
		if a := s.admin.Do(t, http.MethodDelete, path, nil); a.Status != http.StatusBadRequest {
			t.Errorf("DELETE %s leaves nobody who can manage the organization: %d", path, a.Status)
			return
		}
	}
	s.client(t, robot)
	s.admin.Do(t, http.MethodDelete, users+"/"+s.Admin.Principal, nil).Want(t, http.StatusNoContent)
}

// TestAdministratorsRemoveEachOther lets two administrators remove each other at
// the same time, in every way there is: one of them stays.
func TestAdministratorsRemoveEachOther(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		s := newScene(w)
		bound := s.adminBinding(t)
		type removal struct {
			name string
			path func(c *enginetest.Client, bound string) string
		}
		byBinding := removal{"binding", func(_ *enginetest.Client, bound string) string { return roleBindings + "/" + bound }}
		byUser := removal{"user", func(c *enginetest.Client, _ string) string { return users + "/" + c.Principal }}
		for round := range 4 {
			for _, pair := range [][2]removal{{byBinding, byBinding}, {byUser, byUser}, {byBinding, byUser}} {
				second, secondBound := s.administrator(t)
				both := []*enginetest.Client{s.admin, second}
				paths := []string{pair[0].path(second, secondBound), pair[1].path(s.admin, bound)}
				statuses := make([]int, 2)
				var clients sync.WaitGroup
				for i := range both {
					clients.Go(func() {
						var err error
						if statuses[i], _, err = call(both[i], w.URL, http.MethodDelete, paths[i], nil); err != nil {
							t.Errorf("DELETE %s: %v", paths[i], err)
						}
					})
				}
				clients.Wait()
				removed := [2]bool{statuses[0] < 300, statuses[1] < 300}
				if removed[0] == removed[1] {
					t.Fatalf("round %d, %s against %s: %v, want one success", round, pair[0].name, pair[1].name, statuses)
				}
				if removed[1] {
					s.admin, bound = second, secondBound
				}
				s.admin.Do(t, http.MethodPatch, organizations+"/"+s.Admin.Organization, map[string]any{"display_name": "Weir"}).Want(t, http.StatusOK)
				s.admin.Do(t, http.MethodDelete, roleBindings+"/"+bound, nil).Want(t, http.StatusBadRequest)
			}
		}
	})
}
