package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/audit/audittest"
	"github.com/weirhq/weir/internal/audit/delivery"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/partner"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/testclock"
	"github.com/weirhq/weir/weirtest"
)

// auditTrail returns every event of the log behind the number. Of those that are
// much alike, one is held to all that events have to be.
func auditTrail(t *testing.T, s store.Store, publicURL string, after int64) ([]audittest.Event, int64) {
	t.Helper()
	checked := map[string]bool{}
	var events []audittest.Event
	ids := map[string]bool{}
	for {
		page, err := s.Events(context.WithoutCancel(t.Context()), store.EventQuery{After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			body := delivery.Body(e, publicURL)
			event := audittest.Read(t, body)
			if d := event.Data; !checked[d.MethodName+d.AuthenticationInfo.Result+d.AuthorizationInfo.Result+d.Result.Status] {
				checked[d.MethodName+d.AuthenticationInfo.Result+d.AuthorizationInfo.Result+d.Result.Status] = true
				audittest.Check(t, body)
			}
			if ids[event.ID] {
				t.Errorf("two events have the ID %s", event.ID)
			}
			ids[event.ID] = true
			if event.PartitionKey != e.Org {
				t.Errorf("the event is of the organization %q and says %q: %s", e.Org, event.PartitionKey, event.Raw)
			}
			events = append(events, event)
			after = e.Seq
		}
		if len(page) == 0 {
			// Nothing is left out but what another transaction may come before.
			if late, err := s.EventSizes(context.WithoutCancel(t.Context()), after, 1); err != nil {
				t.Fatal(err)
			} else if len(late) == 0 {
				return events, after
			}
		}
	}
}

// stored returns the objects of the kinds as the API reports them, by resource
// name.
func stored(t *testing.T, s store.Store, kinds []*engine.Kind, publicURL string) audittest.State {
	t.Helper()
	state := audittest.State{}
	for _, k := range kinds {
		for after := int64(0); ; {
			rows, err := s.List(context.WithoutCancel(t.Context()), store.Query{Kind: k.Key(), After: after, Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for i := range rows {
				o, err := k.Decode(&rows[i])
				if err != nil {
					t.Fatal(err)
				}
				state[o.ResourceName()] = string(api.AppendSpliced(nil, rows[i].Body, publicURL))
				after = rows[i].Seq
			}
			if len(rows) < 1000 {
				break
			}
		}
	}
	return state
}

// auditAgrees rebuilds the state of the installation from its audit log, and
// compares it with what is stored. It is the end of every test with a server
// that start or serve has started.
func auditAgrees(t *testing.T, w *enginetest.World) {
	t.Helper()
	if t.Failed() {
		return // the first cause is enough
	}
	if testing.Short() {
		return // one thing after the other: nothing for the race detector
	}
	events, _ := auditTrail(t, w.Engine.Store, w.URL, 0)
	rebuilt := audittest.State{}
	for _, e := range events {
		rebuilt.Apply(t, e)
	}
	compareStates(t, rebuilt, stored(t, w.Engine.Store, w.Engine.Kinds, w.URL))
	verify(t, w.Engine)
}

func compareStates(t *testing.T, rebuilt, stored audittest.State) {
	t.Helper()
	for name := range maps.Keys(rebuilt) {
		if stored[name] == "" {
			t.Errorf("the audit log tells of %s, which is not there", name)
		}
	}
	for name, object := range stored {
		if rebuilt[name] != object {
			t.Errorf("%s is\n%s\nand the audit log says\n%s", name, object, rebuilt[name])
		}
	}
}

// A mixed history, much of it at the same time: what the events say is what
// the API reports.
func TestAuditTellsTheState(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		admin := w.Client(w.Admin)
		environment := create(t, admin, environments, map[string]any{"display_name": "shared"})
		var work sync.WaitGroup
		for i := range 8 {
			work.Go(func() { auditHistory(t, w, i, environment) })
		}
		work.Wait()
		admin.Do(t, http.MethodDelete, environments+"/"+environment, nil)

		events, _ := auditTrail(t, w.Engine.Store, w.URL, 0)
		rebuilt := audittest.State{}
		counts := map[string]int{}
		for _, e := range events {
			rebuilt.Apply(t, e)
			counts[e.Data.MethodName+" "+e.Data.Result.Status]++
		}
		for _, what := range []string{
			"CreateServiceAccount SUCCESS", "CreateServiceAccount FAILURE", "UpdateServiceAccount SUCCESS", "DeleteServiceAccount SUCCESS",
			"CreateAPIKey SUCCESS", "UpdateAPIKey SUCCESS", "DeleteAPIKey SUCCESS", "CreateRoleBinding SUCCESS", "DeleteRoleBindingById SUCCESS",
			"CreateInvitation SUCCESS", "DeleteInvitation SUCCESS", "InviteUser SUCCESS", "DeleteUser SUCCESS",
			"CreateEnvironment SUCCESS", "UpdateEnvironment SUCCESS", "DeleteEnvironment SUCCESS", "UpdateEnvironment FAILURE",
			"CreateSSOGroupMapping SUCCESS", "DeleteSSOGroupMapping SUCCESS", "CreateOrganization SUCCESS",
		} {
			if counts[what] == 0 {
				t.Errorf("the history has no %s: %v", what, counts)
			}
		}
		// What the API reports, list by list.
		root := "crn://confluent.cloud/organization=" + w.Admin.Organization
		reported := 0
		for _, path := range []string{
			serviceAccounts, apiKeys, environments, invitations, organizations, "/iam/v2/users", "/iam/v2/sso/group-mappings",
			roleBindings + "?crn_pattern=" + root + "/*",
		} {
			for _, o := range walkAll(t, admin, path) {
				name := text(string(o), "metadata.resource_name")
				if rebuilt[name] != string(o) {
					t.Errorf("%s is reported as\n%s\nand the audit log says\n%s", name, o, rebuilt[name])
				}
				reported++
			}
		}
		own := 0
		for name := range rebuilt {
			if name == root || strings.HasPrefix(name, root+"/") {
				own++
			}
		}
		if reported != own || own < 20 {
			t.Errorf("the API reports %d objects, and the audit log tells of %d", reported, own)
		}
	})
}

// walkAll returns the objects of all pages of a list.
func walkAll(t *testing.T, c *enginetest.Client, path string) []json.RawMessage {
	t.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	var all []json.RawMessage
	for at := path + separator + "page_size=100"; at != ""; {
		a := c.Do(t, http.MethodGet, at, nil).Want(t, http.StatusOK)
		var page struct{ Data []json.RawMessage }
		if err := json.Unmarshal(a.Raw, &page); err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Data...)
		at = text(string(a.Raw), "metadata.next")
	}
	return all
}

// auditHistory is the work of one of several callers.
func auditHistory(t *testing.T, w *enginetest.World, n int, environment string) {
	random := rand.New(rand.NewPCG(42, uint64(n)))
	c := w.Client(w.Admin)
	root := "crn://confluent.cloud/organization=" + w.Admin.Organization
	for round := range 4 {
		name := fmt.Sprintf("%d.%d", n, round)
		account := create(t, c, serviceAccounts+"?assigned_resource_owner="+w.Admin.Principal, map[string]any{"display_name": name, "description": `"<é>\`})
		key := create(t, c, apiKeys, map[string]any{"spec": map[string]any{"owner": map[string]any{"id": account}}})
		create(t, c, roleBindings, map[string]any{"principal": "User:" + account, "role_name": "EnvironmentAdmin", "crn_pattern": root + "/environment=" + environment})
		mapping := create(t, c, "/iam/v2/sso/group-mappings", map[string]any{"display_name": name, "filter": `"a" in groups`})
		invitation := create(t, c, invitations, map[string]any{"email": name + "@example.com"})
		// All of them change the one environment, which only some may lower.
		c.Do(t, http.MethodPatch, environments+"/"+environment, map[string]any{"display_name": name})
		c.Do(t, http.MethodPatch, environments+"/"+environment, map[string]any{"stream_governance_config": map[string]any{"package": []string{"ESSENTIALS", "ADVANCED"}[random.IntN(2)]}})
		c.Do(t, http.MethodPatch, environments+"/"+environment, map[string]any{"display_name": ""})
		c.Do(t, http.MethodPatch, apiKeys+"/"+key, map[string]any{"spec": map[string]any{"display_name": name}})
		c.Do(t, http.MethodPatch, serviceAccounts+"/"+account, map[string]any{"description": name})
		// One name, wanted by all.
		if a := c.Do(t, http.MethodPost, serviceAccounts, map[string]any{"display_name": fmt.Sprint("wanted ", round)}); a.Status == http.StatusCreated {
			c.Do(t, http.MethodPost, serviceAccounts, map[string]any{"display_name": fmt.Sprint("wanted ", round)}).Want(t, http.StatusConflict)
		}
		switch round {
		case 0:
			c.Do(t, http.MethodDelete, serviceAccounts+"/"+account, nil)
			c.Do(t, http.MethodDelete, invitations+"/"+invitation, nil)
		case 1:
			c.Do(t, http.MethodDelete, apiKeys+"/"+key, nil)
			c.Do(t, http.MethodDelete, "/iam/v2/sso/group-mappings/"+mapping, nil)
		}
	}
}

// lastEvent returns the newest event, which the request must have added.
func lastEvent(t *testing.T, w *enginetest.World) audittest.Event {
	t.Helper()
	events, _ := auditTrail(t, w.Engine.Store, w.URL, 0)
	if len(events) == 0 {
		t.Fatal("the audit log is empty")
	}
	return events[len(events)-1]
}

// lastEventOf is lastEvent among those with the method.
func lastEventOf(t *testing.T, w *enginetest.World, method string) audittest.Event {
	t.Helper()
	events, _ := auditTrail(t, w.Engine.Store, w.URL, 0)
	for _, e := range slices.Backward(events) {
		if e.Data.MethodName == method {
			return e
		}
	}
	t.Fatalf("no event is about %s", method)
	return audittest.Event{}
}

func TestAuditSaysWhoDidWhat(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		admin := w.Client(w.Admin)
		root := "crn://confluent.cloud/organization=" + w.Admin.Organization

		a := admin.Do(t, http.MethodPost, serviceAccounts, map[string]any{"display_name": "one", "unknown": "x", "id": "sa-mine", "kind": "ServiceAccount"}).Want(t, http.StatusCreated)
		e := lastEvent(t, w)
		if e.Data.MethodName != "CreateServiceAccount" || e.Subject != root+"/service-account="+a.ID() || e.Data.ResourceName != e.Subject {
			t.Errorf("the create is %s", e.Raw)
		}
		if string(e.Data.Request.Data) != `{"display_name":"one"}` || string(e.Data.Result.Data) != string(a.Raw) {
			t.Errorf("the create is %s", e.Raw)
		}
		wantActor(t, e, "confluentUser", w.Admin.Principal, w.Admin.Key, a.Header.Get("X-Request-Id"))
		if z := e.Data.AuthorizationInfo; z.Result != "ALLOW" || z.Operation != "Create" || z.ResourceType != "ServiceAccount" || z.ResourceName != root {
			t.Errorf("the decision is %+v", z)
		}
		if r := e.Data.CloudResources; len(r) != 1 || len(r[0].Scope.Resources) != 1 || r[0].Scope.Resources[0].Type != "ORGANIZATION" ||
			r[0].Resource.Resource.Type != "SERVICE_ACCOUNT" || r[0].Resource.Resource.ResourceID != a.ID() {
			t.Errorf("the resources are %+v", r)
		}

		// A change that changes nothing was decided on all the same.
		a = admin.Do(t, http.MethodPatch, serviceAccounts+"/"+a.ID(), map[string]any{"display_name": "one"}).Want(t, http.StatusOK)
		if e = lastEvent(t, w); e.Data.MethodName != "UpdateServiceAccount" || e.Data.Result.Status != "SUCCESS" || string(e.Data.Result.Data) != string(a.Raw) {
			t.Errorf("the update is %s", e.Raw)
		}

		// An action says what its body says.
		other := create(t, admin, invitations, map[string]any{"email": "auth@example.com"})
		user := admin.Do(t, http.MethodGet, invitations+"/"+other, nil).Text("user.id")
		admin.Do(t, http.MethodPatch, "/iam/v2/users/"+user+"/auth", map[string]any{"auth_type": "AUTH_TYPE_LOCAL"}).Want(t, http.StatusNoContent)
		// The sending of the invitation may have left its own events meanwhile.
		if e = lastEventOf(t, w, "UpdateUser"); string(e.Data.Request.Data) != `{"auth_type":"AUTH_TYPE_LOCAL"}` {
			t.Errorf("the action is %s", e.Raw)
		}

		// A deletion that leaves a record, and takes the user along.
		_, before := auditTrail(t, w.Engine.Store, w.URL, 0)
		a = admin.Do(t, http.MethodDelete, invitations+"/"+other, nil).Want(t, http.StatusNoContent)
		events, _ := auditTrail(t, w.Engine.Store, w.URL, before)
		events = slices.DeleteFunc(events, func(e audittest.Event) bool {
			return !slices.Contains(e.Data.RequestMetadata.RequestID, a.Header.Get("X-Request-Id"))
		})
		if len(events) != 3 || events[0].Data.MethodName != "UpdateInvitation" ||
			events[1].Data.MethodName != "DeleteUser" || events[1].Data.Result.Data != nil ||
			events[2].Data.MethodName != "DeleteInvitation" || text(string(events[2].Data.Result.Data), "status") != "INVITE_STATUS_DEACTIVATED" {
			t.Errorf("the withdrawal is %s", raws(events))
		}

		// A cascade has an event for each object, all of the one request.
		account := create(t, admin, serviceAccounts+"?assigned_resource_owner="+w.Admin.Principal, map[string]any{"display_name": "two"})
		create(t, admin, apiKeys, map[string]any{"spec": map[string]any{"owner": map[string]any{"id": account}}})
		_, before = auditTrail(t, w.Engine.Store, w.URL, 0)
		a = admin.Do(t, http.MethodDelete, serviceAccounts+"/"+account, nil).Want(t, http.StatusNoContent)
		events, _ = auditTrail(t, w.Engine.Store, w.URL, before)
		var methods []string
		for _, e := range events {
			methods = append(methods, e.Data.MethodName)
			wantActor(t, e, "confluentUser", w.Admin.Principal, w.Admin.Key, a.Header.Get("X-Request-Id"))
			if e.Data.Result.Data != nil || e.Data.Request.Data != nil {
				t.Errorf("a deletion with data: %s", e.Raw)
			}
		}
		slices.Sort(methods)
		if !slices.Equal(methods, []string{"DeleteAPIKey", "DeleteRoleBindingById", "DeleteServiceAccount"}) {
			t.Errorf("the cascade is %v", methods)
		}
	})
}

func raws(events []audittest.Event) string {
	var lines []string
	for _, e := range events {
		lines = append(lines, string(e.Raw))
	}
	return strings.Join(lines, "\n")
}

func wantActor(t *testing.T, e audittest.Event, kind, principal, key, requestID string) {
	t.Helper()
	gotKind, got := e.Data.Principal()
	a, m := e.Data.AuthenticationInfo, e.Data.RequestMetadata
	if gotKind != kind || got != principal || a.Result != "SUCCESS" || a.Credentials.IDSecretCredentials.CredentialID != key || a.Credentials.Mechanism != "HTTP_BASIC" {
		t.Errorf("the actor is %s %s: %s", gotKind, got, e.Raw)
	}
	if len(m.RequestID) != 1 || m.RequestID[0] != requestID || len(m.ClientAddress) != 1 || m.ClientAddress[0].IP != "127.0.0.1" {
		t.Errorf("the request is %+v, want %s", m, requestID)
	}
}

func TestAuditOfDenials(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		admin, nobody, other := w.Client(w.Admin), w.Client(w.Nobody), w.Client(w.Other)
		root := "crn://confluent.cloud/organization=" + w.Admin.Organization
		account := create(t, admin, serviceAccounts, map[string]any{"display_name": "target"})
		made := admin.Do(t, http.MethodPost, apiKeys, map[string]any{"spec": map[string]any{"owner": map[string]any{"id": account}}}).Want(t, http.StatusAccepted)
		gone := enginetest.Caller{Key: made.ID(), Secret: made.Text("spec.secret")}
		admin.Do(t, http.MethodDelete, apiKeys+"/"+gone.Key, nil).Want(t, http.StatusNoContent)
		for name, c := range map[string]struct {
			client       *enginetest.Client
			method, path string
			body         any
			status       int
			// what the event says
			event, decision, subject string
			organization             string
		}{
			"may not create": {nobody, http.MethodPost, serviceAccounts, map[string]any{"display_name": "mine"}, http.StatusForbidden,
				"CreateServiceAccount", "DENY", "", w.Admin.Organization},
			"may not see": {nobody, http.MethodGet, serviceAccounts + "/" + account, nil, http.StatusNotFound,
				"GetServiceAccount", "DENY", root + "/service-account=" + account, w.Admin.Organization},
			"may not delete": {nobody, http.MethodDelete, serviceAccounts + "/" + account, nil, http.StatusNotFound,
				"DeleteServiceAccount", "DENY", root + "/service-account=" + account, w.Admin.Organization},
			"may not change": {nobody, http.MethodPatch, serviceAccounts + "/" + account, map[string]any{"description": "mine"}, http.StatusNotFound,
				"UpdateServiceAccount", "DENY", root + "/service-account=" + account, w.Admin.Organization},
			"hook that forbids": {admin, http.MethodPost, apiKeys, map[string]any{"spec": map[string]any{"owner": map[string]any{"id": w.Member.Principal}}}, http.StatusForbidden,
				"CreateAPIKey", "DENY", "", w.Admin.Organization},
			"behind the wall": {other, http.MethodDelete, serviceAccounts + "/" + account, nil, http.StatusNotFound,
				"DeleteServiceAccount", "UNSET", "", w.Other.Organization},
			"invalid": {admin, http.MethodPost, serviceAccounts, map[string]any{"display_name": strings.Repeat("x", 65), "description": strings.Repeat("y", 20_000)}, http.StatusUnprocessableEntity,
				"CreateServiceAccount", "ALLOW", "", w.Admin.Organization},
			"taken": {admin, http.MethodPost, serviceAccounts, map[string]any{"display_name": "target"}, http.StatusConflict,
				"CreateServiceAccount", "ALLOW", "", w.Admin.Organization},
			"no JSON": {admin, http.MethodPost, serviceAccounts, "{", http.StatusBadRequest,
				"CreateServiceAccount", "UNSET", "", w.Admin.Organization},
			"no credentials": {w.Client(enginetest.Caller{}), http.MethodGet, serviceAccounts, nil, http.StatusUnauthorized,
				"GetServiceAccounts", "UNSET", "", ""},
			"wrong secret": {w.Client(enginetest.Caller{Key: w.Admin.Key, Secret: "cfltnotthesecret"}), http.MethodPost, environments, map[string]any{"display_name": "e"}, http.StatusUnauthorized,
				"CreateEnvironment", "UNSET", "", w.Admin.Organization},
			"deleted key": {w.Client(gone), http.MethodGet, environments, nil, http.StatusUnauthorized,
				"GetEnvironments", "UNSET", "", ""},
			"secret in the wrong place": {w.Client(enginetest.Caller{Key: w.Admin.Secret, Secret: w.Admin.Key}), http.MethodGet, environments, nil, http.StatusUnauthorized,
				"GetEnvironments", "UNSET", "", ""},
		} {
			_, before := auditTrail(t, w.Engine.Store, w.URL, 0)
			a := c.client.Do(t, c.method, c.path, c.body)
			if a.Status != c.status {
				t.Errorf("%s: %d %s", name, a.Status, a.Raw)
				continue
			}
			events, _ := auditTrail(t, w.Engine.Store, w.URL, before)
			if len(events) != 1 {
				t.Errorf("%s: %d events: %s", name, len(events), raws(events))
				continue
			}
			e := events[0]
			if e.Data.MethodName != c.event || e.Data.AuthorizationInfo.Result != c.decision || e.Subject != c.subject ||
				e.PartitionKey != c.organization || e.Data.Result.Status != "FAILURE" || e.Data.RequestMetadata.RequestID[0] != a.Header.Get("X-Request-Id") {
				t.Errorf("%s: %s", name, e.Raw)
			}
			if got := e.Data.AuthenticationInfo.Result; (got == "FAILURE") != (c.status == http.StatusUnauthorized) {
				t.Errorf("%s: authentication is %s", name, got)
			}
			var outcome struct{ Status int }
			if err := json.Unmarshal(e.Data.Result.Data, &outcome); err != nil || outcome.Status != c.status {
				t.Errorf("%s: the outcome is %s", name, e.Data.Result.Data)
			}
			if len(e.Raw) > 16<<10 {
				t.Errorf("%s: the event has %d bytes", name, len(e.Raw))
			}
		}
	})
}

// Reads with one credential from one address are in the log once an hour.
func TestAuditOfReads(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		clock := testclock.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		w := serve(t, databaseURL, server.Kinds(), clock.Now)
		member := w.Client(w.Member)
		count := func() int {
			events, _ := auditTrail(t, w.Engine.Store, w.URL, 0)
			n := 0
			for _, e := range events {
				if e.Data.Request.AccessType == "READ_ONLY" && e.Data.Result.Status == "SUCCESS" {
					n++
				}
			}
			return n
		}
		for range 3 {
			member.Do(t, http.MethodGet, environments, nil).Want(t, http.StatusOK)
		}
		if got := count(); got != 1 {
			t.Errorf("three reads made %d events", got)
		}
		clock.Forward(time.Hour - time.Second)
		member.Do(t, http.MethodGet, environments, nil).Want(t, http.StatusOK)
		if got := count(); got != 1 {
			t.Errorf("within an hour there are %d events", got)
		}
		clock.Forward(time.Second)
		member.Do(t, http.MethodGet, organizations, nil).Want(t, http.StatusOK)
		if got := count(); got != 2 {
			t.Errorf("after an hour there are %d events", got)
		}
		e := lastEvent(t, w)
		if e.Data.MethodName != "GetOrganizations" || e.Data.AuthenticationInfo.Credentials.IDSecretCredentials.CredentialID != w.Member.Key {
			t.Errorf("the read is %s", e.Raw)
		}
		w.Client(w.Other).Do(t, http.MethodGet, organizations, nil).Want(t, http.StatusOK)
		if got := count(); got != 3 {
			t.Errorf("another key's read is not there: %d events", got)
		}
	})
}

// Nothing that opens anything is in the log, whatever was done with it.
func TestAuditHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, w := start(t, databaseURL)
		admin := w.Client(w.Admin)
		secrets := []string{w.Admin.Secret, w.Member.Secret, w.Nobody.Secret, w.Other.Secret, s.Password}
		account := create(t, admin, serviceAccounts, map[string]any{"display_name": "one"})
		a := admin.Do(t, http.MethodPost, apiKeys, map[string]any{"spec": map[string]any{
			"owner": map[string]any{"id": account, "secret": "in-a-reference"}, "secret": "chosen-by-the-client", "display_name": "key",
		}}).Want(t, http.StatusAccepted)
		made := a.Text("spec.secret")
		secrets = append(secrets, made, "chosen-by-the-client", "in-a-reference", "never-a-key", "Basic ", "argon2id", "token_hash", "password_hash")
		c := w.Client(enginetest.Caller{Key: a.ID(), Secret: made, Organization: w.Admin.Organization})
		c.Do(t, http.MethodGet, environments, nil)
		c.Do(t, http.MethodPost, environments, map[string]any{"display_name": "e"})
		w.Client(enginetest.Caller{Key: made, Secret: "never-a-key"}).Do(t, http.MethodGet, environments, nil)
		w.Client(enginetest.Caller{Key: a.ID(), Secret: "never-a-key"}).Do(t, http.MethodPost, environments, map[string]any{"display_name": "e"})
		admin.Do(t, http.MethodPatch, apiKeys+"/"+a.ID(), map[string]any{"spec": map[string]any{"secret": "chosen-by-the-client", "description": "d"}}).Want(t, http.StatusOK)
		admin.Do(t, http.MethodPatch, apiKeys+"/"+a.ID(), map[string]any{"spec": map[string]any{"secret": "chosen-by-the-client", "owner": map[string]any{"id": "sa-000000"}}})
		create(t, admin, invitations, map[string]any{"email": "person@example.com"})
		admin.Do(t, http.MethodDelete, apiKeys+"/"+a.ID(), nil).Want(t, http.StatusNoContent)

		events, _ := auditTrail(t, w.Engine.Store, w.URL, 0)
		all := raws(events)
		for _, secret := range secrets {
			if secret == "" || strings.Contains(all, secret) {
				t.Errorf("%q is in the audit log", secret)
			}
		}
		rows, err := w.Engine.Store.Get(t.Context(), "", store.Key{Kind: authn.APIKeyKind, ID: w.Admin.Key})
		if err != nil {
			t.Fatal(err)
		}
		var private struct{ Hash string }
		if err := json.Unmarshal(rows.Private, &private); err != nil || private.Hash == "" || strings.Contains(all, private.Hash) {
			t.Errorf("the hash of a secret is in the audit log, or could not be read: %v", err)
		}
		if !strings.Contains(all, `"display_name":"key"`) || !strings.Contains(all, a.ID()) {
			t.Error("the events of this test are not there")
		}
	})
}

// What Weir does by itself says so, and belongs to the organization concerned.
func TestAuditOfWeirItself(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		dir := t.TempDir()
		s := weirtest.Start(t, weirtest.WithDatabaseURL(databaseURL), weirtest.WithDataDir(dir))
		account := s.Do(http.MethodPost, "/iam/v2/invitations", map[string]any{"email": "person@example.com"})
		id, _ := account.Body["id"].(string)
		w := &enginetest.World{URL: s.URL, Engine: besideServer(t, databaseURL, dir, s.URL)}
		waitFor(t, "the mail to go out", func() bool {
			return strings.Contains(string(s.Do(http.MethodGet, "/iam/v2/invitations/"+id, nil).Raw), "INVITE_STATUS_SENT")
		})
		events, _ := auditTrail(t, w.Engine.Store, s.URL, 0)
		by := map[string][]string{}
		for _, e := range events {
			if e.PartitionKey != s.OrganizationID {
				t.Errorf("the event belongs to %q: %s", e.PartitionKey, e.Raw)
			}
			if kind, name := e.Data.Principal(); kind == "weirComponent" {
				by[name] = append(by[name], e.Data.MethodName)
				if e.Data.AuthenticationInfo.Result != "UNSET" || e.Data.AuthorizationInfo.Result != "UNSET" {
					t.Errorf("who authenticated Weir? %s", e.Raw)
				}
			}
		}
		if want := []string{"CreateOrganization", "CreateEnvironment", "InviteUser", "CreateRoleBinding", "CreateAPIKey"}; !slices.Equal(by["bootstrap"], want) {
			t.Errorf("the first start is %v, want %v", by["bootstrap"], want)
		}
		// The claim with its token, and that the mail is out.
		if want := []string{"UpdateInvitation", "UpdateInvitation"}; !slices.Equal(by["invitations"], want) {
			t.Errorf("the sending of mail is %v, want %v", by["invitations"], want)
		}

		// Who signs up does that as the user, by the link in the mail.
		mails, err := filepath.Glob(filepath.Join(dir, "outbox", "*.eml"))
		if err != nil || len(mails) != 1 {
			t.Fatalf("the mails are %v, %v", mails, err)
		}
		mail, err := os.ReadFile(mails[0])
		if err != nil {
			t.Fatal(err)
		}
		// The mail is quoted-printable, where lines end anywhere.
		link := regexp.MustCompile(`token=(i-[0-9a-z]+\.[0-9A-Za-z_-]+)`).FindSubmatch([]byte(strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(string(mail))))
		if link == nil {
			t.Fatalf("there is no link in the mail:\n%s", mail)
		}
		token := string(link[1])
		form := url.Values{"full_name": {"Marty"}, "password": {"a-password-of-mine"}, "password_again": {"a-password-of-mine"}}
		_, before := auditTrail(t, w.Engine.Store, s.URL, 0)
		for _, c := range []struct {
			token  string
			status int
		}{{token[:len(token)-1] + "_", http.StatusNotFound}, {token, http.StatusOK}} {
			resp, err := http.PostForm(s.URL+"/invitation?token="+c.token, form)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Fatalf("the page answers %d, want %d: %s", resp.StatusCode, c.status, body)
			}
		}
		events, _ = auditTrail(t, w.Engine.Store, s.URL, before)
		var methods []string
		for _, e := range events {
			a := e.Data.AuthenticationInfo
			methods = append(methods, e.Data.MethodName+" "+a.Result)
			if a.Credentials.Mechanism != audit.InvitationLink || len(e.Data.RequestMetadata.ClientAddress) != 1 {
				t.Errorf("the event is %s", e.Raw)
			}
			if a.Result == "SUCCESS" && a.Credentials.IDSecretCredentials.CredentialID != id {
				t.Errorf("the event is %s", e.Raw)
			}
		}
		if want := []string{"AcceptInvitation FAILURE", "UpdateUser SUCCESS", "UpdateInvitation SUCCESS"}; !slices.Equal(methods, want) {
			t.Errorf("the events are %v, want %v", methods, want)
		}
		all, _ := auditTrail(t, w.Engine.Store, s.URL, 0)
		_, secret, _ := strings.Cut(token, ".")
		for _, hidden := range []string{secret, secret[:len(secret)-1], "a-password-of-mine", "argon2id"} {
			if strings.Contains(raws(all), hidden) {
				t.Errorf("%q is in the audit log", hidden)
			}
		}
		auditAgrees(t, w)
	})
}

// Who comes too fast is counted, and fills no log.
func TestAuditIsNotFlooded(t *testing.T) {
	t.Parallel()
	s, w := start(t, "", weirtest.WithRateLimits(0, 1))
	limited := 0
	for range 40 {
		if s.As("UNKNOWNKEY000000", "x").Do(http.MethodGet, environments, nil).Status == http.StatusTooManyRequests {
			limited++
		}
	}
	events, _ := auditTrail(t, w.Engine.Store, s.URL, 0)
	failed := 0
	for _, e := range events {
		if e.Data.AuthenticationInfo.Result == "FAILURE" {
			failed++
		}
	}
	if limited < 20 || failed != 40-limited {
		t.Errorf("%d requests were turned away, and %d failures are in the log", limited, failed)
	}
}

// Tokens of partners are in the log, those that are refused too.
func TestAuditOfPartnerTokens(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	client := newPartner(t, w.Engine)
	id, secret := client.id, client.secret
	for _, c := range []struct {
		secret, grant                  string
		status                         int
		authentication, result, client string
	}{
		{secret, "client_credentials", http.StatusOK, "SUCCESS", "SUCCESS", id},
		{"not-the-secret", "client_credentials", http.StatusUnauthorized, "FAILURE", "FAILURE", ""},
		{secret, "password", http.StatusBadRequest, "UNSET", "FAILURE", ""},
	} {
		resp, err := http.PostForm(w.URL+partner.TokenPath, url.Values{"grant_type": {c.grant}, "client_id": {id}, "client_secret": {c.secret}})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		e := lastEvent(t, w)
		a := e.Data.AuthenticationInfo
		if _, who := e.Data.Principal(); resp.StatusCode != c.status || e.Data.MethodName != "CreatePartnerToken" || a.Result != c.authentication ||
			e.Data.Result.Status != c.result || who != c.client || a.Credentials.IDSecretCredentials.CredentialID != id {
			t.Errorf("%d, and the event is %s", resp.StatusCode, e.Raw)
		}
		if strings.Contains(string(e.Raw), c.secret) {
			t.Errorf("the secret is in the event: %s", e.Raw)
		}
	}
}

// Limits of quotas are no objects, and a change of one is in the log all the same.
func TestAuditOfLimits(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		const code = "iam.max_environments.per_org"
		ctx := audit.As(t.Context(), audit.Operator)
		for _, c := range []struct {
			change func() error
			want   string
		}{
			{func() error { return w.Engine.SetLimit(ctx, w.Admin.Organization, code, 7) }, `{"limit":7}`},
			{func() error { return w.Engine.ResetLimit(ctx, w.Admin.Organization, code) }, `{"limit":null}`},
			{func() error { return w.Engine.ResetLimit(ctx, w.Admin.Organization, code) }, `{"limit":null}`}, // nothing, and no event
		} {
			if err := c.change(); err != nil {
				t.Fatal(err)
			}
			e := lastEvent(t, w)
			if _, who := e.Data.Principal(); e.Data.MethodName != "SetQuotaLimit" || who != audit.Operator || e.PartitionKey != w.Admin.Organization ||
				string(e.Data.Request.Data) != c.want || e.Data.CloudResources[0].Resource.Resource.ResourceID != code {
				t.Errorf("the event is %s", e.Raw)
			}
		}
	})
}

// A credential's first read is recorded for other mechanisms too, which say who
// they stand for.
func TestAuditRecordsWhatOthersReport(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	w.Engine.Record(t.Context(), &audit.Event{
		Organization: w.Admin.Organization, Method: "SignIn", Access: audit.ReadOnly,
		Actor: &audit.Actor{
			Organization: w.Admin.Organization, Principal: w.Admin.Principal, Mechanism: audit.HTTPBearer,
			Token: &audit.Token{Type: "ID_TOKEN", Issuer: "https://idp.example.com", Subject: "someone", Audience: []string{"weir"}},
		},
	})
	if e := lastEvent(t, w); e.Data.MethodName != "SignIn" || !strings.Contains(string(e.Raw), `"idTokenCredentials":{"type":"ID_TOKEN","issuer":"https://idp.example.com","subject":"someone","audience":["weir"]}`) {
		t.Errorf("the event is %s", e.Raw)
	}
}
