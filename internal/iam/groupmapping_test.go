package iam_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/weirhq/weir/weirtest"
)

const groupMappings = "/iam/v2/sso/group-mappings"

// want fails the test unless the answer has the status, and returns it.
func want(t *testing.T, a weirtest.Answer, status int) weirtest.Answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("answer %d, want %d: %s", a.Status, status, a.Raw)
	}
	return a
}

func idOf(t *testing.T, a weirtest.Answer) string {
	t.Helper()
	id, _ := a.Body["id"].(string)
	if id == "" {
		t.Fatalf("no id in %s", a.Raw)
	}
	return id
}

func newMapping(t *testing.T, w *weirtest.Server, filter string) string {
	t.Helper()
	return idOf(t, want(t, w.Do(http.MethodPost, groupMappings, map[string]any{"display_name": "mapping", "filter": filter}), http.StatusCreated))
}

func rootOf(w *weirtest.Server) string {
	return "crn://confluent.cloud/organization=" + w.OrganizationID
}

func bind(t *testing.T, w *weirtest.Server, principal, role, pattern string) string {
	t.Helper()
	return idOf(t, want(t, w.Do(http.MethodPost, "/iam/v2/role-bindings", map[string]any{
		"principal": "User:" + principal, "role_name": role, "crn_pattern": pattern,
	}), http.StatusCreated))
}

// as returns the client of a new service account that holds the role on the
// organization.
func as(t *testing.T, w *weirtest.Server, role string) weirtest.Client {
	t.Helper()
	account := idOf(t, want(t, w.Do(http.MethodPost, "/iam/v2/service-accounts", map[string]any{"display_name": role}), http.StatusCreated))
	a := want(t, w.Do(http.MethodPost, "/iam/v2/api-keys", map[string]any{"spec": map[string]any{"owner": map[string]any{"id": account}}}), http.StatusAccepted)
	bind(t, w, account, role, rootOf(w))
	secret, _ := a.Body["spec"].(map[string]any)["secret"].(string)
	return w.As(idOf(t, a), secret)
}

func TestGroupMapping(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	a := want(t, w.Do(http.MethodPost, groupMappings, map[string]any{
		"display_name": "Engineers", "description": "all of them", "filter": `"engineering" in groups`,
		"principal": "u-abc123", "state": "DISABLED",
	}), http.StatusCreated)
	id := idOf(t, a)
	if !regexp.MustCompile(`^group-[0-9A-Za-z]{4,6}$`).MatchString(id) {
		t.Errorf("the id is %q", id)
	}
	wanted := map[string]any{
		"api_version": "iam.v2/sso", "kind": "GroupMapping", "id": id,
		"display_name": "Engineers", "description": "all of them", "filter": `"engineering" in groups`,
		"principal": id, "state": "ENABLED",
	}
	check := func(body map[string]any) {
		t.Helper()
		body = maps.Clone(body)
		metadata, _ := body["metadata"].(map[string]any)
		if metadata["resource_name"] != rootOf(w)+"/group-mapping="+id || metadata["self"] != w.URL+groupMappings+"/"+id {
			t.Errorf("metadata is %v", metadata)
		}
		delete(body, "metadata")
		if !maps.Equal(body, wanted) {
			t.Errorf("the object is %v, want %v", body, wanted)
		}
	}
	check(a.Body)
	check(want(t, w.Do(http.MethodGet, groupMappings+"/"+id, nil), http.StatusOK).Body)

	other := newMapping(t, w, "operations")
	list := want(t, w.Do(http.MethodGet, groupMappings, nil), http.StatusOK)
	data, _ := list.Body["data"].([]any)
	if list.Body["kind"] != "GroupMappingList" || list.Body["api_version"] != "iam.v2/sso" || len(data) != 2 {
		t.Fatalf("the list is %s", list.Raw)
	}
	for _, o := range data {
		if o := o.(map[string]any); o["id"] == id {
			check(o)
		}
	}

	// One property at a time, as the Terraform provider changes them.
	for name, values := range map[string][]any{
		"display_name": {"mapping"}, // which the other one is called, too
		"description":  {"", "something", ""},
		"filter":       {"engineering", `"a" in groups || "b" in claims.group`, "true"},
	} {
		for _, value := range values {
			wanted[name] = value
			check(want(t, w.Do(http.MethodPatch, groupMappings+"/"+id, map[string]any{name: value}), http.StatusOK).Body)
		}
	}
	check(want(t, w.Do(http.MethodGet, groupMappings+"/"+id, nil), http.StatusOK).Body)

	want(t, w.Do(http.MethodDelete, groupMappings+"/"+id, nil), http.StatusNoContent)
	want(t, w.Do(http.MethodGet, groupMappings+"/"+id, nil), http.StatusNotFound)
	want(t, w.Do(http.MethodGet, groupMappings+"/"+other, nil), http.StatusOK)
}

// TestGroupMappingDescription is about the description that is not there and
// the one that is empty: every answer has one, as the vendor's document says.
func TestGroupMappingDescription(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	for name, body := range map[string]map[string]any{
		"none":  {"display_name": "a", "filter": "a"},
		"empty": {"display_name": "a", "filter": "a", "description": ""},
		"text":  {"display_name": "a", "filter": "a", "description": "b"},
	} {
		a := want(t, w.Do(http.MethodPost, groupMappings, body), http.StatusCreated)
		sent, _ := body["description"].(string)
		if got, is := a.Body["description"]; !is || got != sent {
			t.Errorf("%s: description is %v, %v", name, got, is)
		}
	}
}

func TestGroupMappingFilterIsChecked(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	id := newMapping(t, w, "engineering")
	for filter, says := range map[any]string{
		"":                                     "must not be empty",
		"   ":                                  "wrong at character 1: ",
		strings.Repeat("x", 301):               "must have at most 300 characters",
		`"engineering" in group`:               "wrong at character 18: ",
		`"engineering" in groups and true`:     "wrong at character 25: 'and' is no operator",
		`"engineering" in groups || size("x")`: "wrong at character 28: filters have no function 'size'",
		"\"a\" in groups\n&& b":                "wrong at line 2, column 4: the name 'b' is unknown",
		`"engineering"`:                        "wrong at character 1: ",
		7:                                      "must be a string",
	} {
		for _, a := range []weirtest.Answer{
			w.Do(http.MethodPost, groupMappings, map[string]any{"display_name": "a", "filter": filter}),
			w.Do(http.MethodPatch, groupMappings+"/"+id, map[string]any{"filter": filter}),
		} {
			want(t, a, http.StatusUnprocessableEntity)
			problem := a.Body["errors"].([]any)[0].(map[string]any)
			source, _ := problem["source"].(map[string]any)
			if detail, _ := problem["detail"].(string); source["pointer"] != "/filter" || !strings.Contains(detail, says) {
				t.Errorf("%q: %v: %s, want %q", filter, source, detail, says)
			}
		}
	}
	if a := w.Do(http.MethodGet, groupMappings+"/"+id, nil); a.Body["filter"] != "engineering" {
		t.Errorf("a refused change was made: %s", a.Raw)
	}
	for _, missing := range []string{"display_name", "filter"} {
		body := map[string]any{"display_name": "a", "filter": "a"}
		delete(body, missing)
		a := want(t, w.Do(http.MethodPost, groupMappings, body), http.StatusUnprocessableEntity)
		if !strings.Contains(string(a.Raw), `"/`+missing+`"`) {
			t.Errorf("without %s: %s", missing, a.Raw)
		}
	}
}

// TestGroupMappingHoldsRoles binds roles to a mapping and deletes it.
func TestGroupMappingHoldsRoles(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	id, other := newMapping(t, w, "engineering"), newMapping(t, w, "engineering")
	gone := []string{
		bind(t, w, id, "OrganizationAdmin", rootOf(w)),
		bind(t, w, id, "EnvironmentAdmin", rootOf(w)+"/environment="+w.EnvironmentID),
	}
	stays := bind(t, w, other, "EnvironmentAdmin", rootOf(w)+"/environment="+w.EnvironmentID)
	unknown := map[string]any{"principal": "User:group-zzzz", "role_name": "OrganizationAdmin", "crn_pattern": rootOf(w)}
	want(t, w.Do(http.MethodPost, "/iam/v2/role-bindings", unknown), http.StatusForbidden)

	want(t, w.Do(http.MethodDelete, groupMappings+"/"+id, nil), http.StatusNoContent)
	for _, binding := range gone {
		want(t, w.Do(http.MethodGet, "/iam/v2/role-bindings/"+binding, nil), http.StatusForbidden)
	}
	want(t, w.Do(http.MethodGet, "/iam/v2/role-bindings/"+stays, nil), http.StatusOK)
	// The name of what is gone gives no roles to what comes after it.
	unknown["principal"] = "User:" + id
	want(t, w.Do(http.MethodPost, "/iam/v2/role-bindings", unknown), http.StatusForbidden)
}

// TestGroupMappingIsNoAdministrator keeps the last administrator who can act,
// whatever a group mapping holds.
func TestGroupMappingIsNoAdministrator(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	bind(t, w, newMapping(t, w, "true"), "OrganizationAdmin", rootOf(w))
	list := want(t, w.Do(http.MethodGet, "/iam/v2/role-bindings?crn_pattern="+rootOf(w), nil), http.StatusOK)
	refused := 0
	for _, o := range list.Body["data"].([]any) {
		o := o.(map[string]any)
		if strings.HasPrefix(o["principal"].(string), "User:u-") {
			want(t, w.Do(http.MethodDelete, "/iam/v2/role-bindings/"+o["id"].(string), nil), http.StatusBadRequest)
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d administrators in %s", refused, list.Raw)
	}
}

// TestGroupMappingFilterHandsOutRoles is about those who may manage mappings
// and not grant what the mappings hold.
func TestGroupMappingFilterHandsOutRoles(t *testing.T) {
	t.Parallel()
	w := weirtest.Start(t)
	manager := as(t, w, "AccountAdmin")
	nobody := as(t, w, "MetricsViewer")
	account := idOf(t, want(t, w.Do(http.MethodPost, "/iam/v2/service-accounts", map[string]any{"display_name": "holds nothing"}), http.StatusCreated))

	want(t, nobody.Do(http.MethodPost, groupMappings, map[string]any{"display_name": "a", "filter": "a"}), http.StatusForbidden)
	id := idOf(t, want(t, manager.Do(http.MethodPost, groupMappings, map[string]any{"display_name": "a", "filter": "a"}), http.StatusCreated))
	path := groupMappings + "/" + id
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		want(t, nobody.Do(method, path, nil), http.StatusNotFound)
	}
	want(t, nobody.Do(http.MethodPatch, path, map[string]any{"filter": "true"}), http.StatusNotFound)

	filters := 0
	patch := func(c weirtest.Client, status int) {
		t.Helper()
		filters++
		want(t, c.Do(http.MethodPatch, path, map[string]any{"filter": fmt.Sprintf("group %d", filters)}), status)
	}
	patch(manager, http.StatusOK) // it holds nothing yet
	binding := bind(t, w, id, "ResourceOwner", rootOf(w)+"/service-account="+account)
	patch(manager, http.StatusOK) // who manages accounts may grant that
	powerful := bind(t, w, account, "EnvironmentAdmin", rootOf(w)+"/environment="+w.EnvironmentID)
	patch(manager, http.StatusForbidden) // but not the account's own roles through it
	want(t, w.Do(http.MethodDelete, "/iam/v2/role-bindings/"+powerful, nil), http.StatusOK)
	admin := bind(t, w, id, "OrganizationAdmin", rootOf(w))
	patch(manager, http.StatusForbidden)

	// All but the filter is harmless, the filter as it is among it.
	a := want(t, manager.Do(http.MethodGet, path, nil), http.StatusOK)
	want(t, manager.Do(http.MethodPatch, path, map[string]any{"display_name": "b", "filter": a.Body["filter"]}), http.StatusOK)
	patch(w.As(w.APIKey, w.APISecret), http.StatusOK)

	want(t, w.Do(http.MethodDelete, "/iam/v2/role-bindings/"+admin, nil), http.StatusOK)
	patch(manager, http.StatusOK)
	bind(t, w, id, "EnvironmentAdmin", rootOf(w)+"/environment="+w.EnvironmentID)
	patch(manager, http.StatusForbidden)
	want(t, manager.Do(http.MethodDelete, path, nil), http.StatusNoContent)
	want(t, w.Do(http.MethodGet, "/iam/v2/role-bindings/"+binding, nil), http.StatusForbidden)
}
