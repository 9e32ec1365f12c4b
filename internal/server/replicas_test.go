package server_test

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store/sqlstore"
	"github.com/weirhq/weir/weirtest"
)

// What one replica changes holds on the next request there, and within a
// second on every other.
func TestChangesHoldOnEveryReplica(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	first := weirtest.Start(t, weirtest.WithDatabaseURL(url))
	second := first.Replica(weirtest.WithDatabaseURL(url))

	account := first.Do("POST", "/iam/v2/service-accounts", map[string]any{"display_name": "worker"})
	id, _ := account.Body["id"].(string)
	key := first.Do("POST", "/iam/v2/api-keys", map[string]any{"spec": map[string]any{"owner": map[string]any{"id": id}}})
	if key.Status != http.StatusAccepted {
		t.Fatalf("make a key: %d %s", key.Status, key.Raw)
	}
	keyID, _ := key.Body["id"].(string)
	secret, _ := key.Body["spec"].(map[string]any)["secret"].(string)
	here, there := first.As(keyID, secret), second.As(keyID, secret)

	environment := "/org/v2/environments/" + first.EnvironmentID
	expect := func(what string, want int) {
		t.Helper()
		if got := here.Do("GET", environment, nil).Status; got != want {
			t.Fatalf("%s: the replica that changed it answers %d, want %d", what, got, want)
		}
		deadline := time.Now().Add(time.Second)
		for {
			got := there.Do("GET", environment, nil).Status
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the other replica still answers %d after a second, want %d", what, got, want)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}

	expect("a new key", http.StatusNotFound)
	binding := first.Do("POST", "/iam/v2/role-bindings", map[string]any{
		"principal": "User:" + id, "role_name": "EnvironmentAdmin",
		"crn_pattern": "crn://confluent.cloud/organization=" + first.OrganizationID + "/environment=" + first.EnvironmentID,
	})
	if binding.Status != http.StatusCreated {
		t.Fatalf("bind: %d %s", binding.Status, binding.Raw)
	}
	expect("a new binding", http.StatusOK)
	bindingID, _ := binding.Body["id"].(string)
	first.Do("DELETE", "/iam/v2/role-bindings/"+bindingID, nil)
	expect("a deleted binding", http.StatusNotFound)
	first.Do("DELETE", "/iam/v2/api-keys/"+keyID, nil)
	expect("a deleted key", http.StatusUnauthorized)

	key = first.Do("POST", "/iam/v2/api-keys", map[string]any{"spec": map[string]any{"owner": map[string]any{"id": id}}})
	keyID, _ = key.Body["id"].(string)
	secret, _ = key.Body["spec"].(map[string]any)["secret"].(string)
	here, there = first.As(keyID, secret), second.As(keyID, secret)
	expect("another key", http.StatusNotFound)
	first.Do("DELETE", "/iam/v2/service-accounts/"+id, nil)
	expect("a deleted service account", http.StatusUnauthorized)
}

// A key that an operator makes beside a running server works there within a
// second, also when the server has been asked for it before.
func TestKeysMadeBesideARunningServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := weirtest.Start(t, weirtest.WithDataDir(dir))
	beside, err := sqlstore.OpenSQLite(t.Context(), dir, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = beside.Close() }()
	e, err := server.NewEngine(t.Context(), beside, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	id, secret, _, err := bootstrap.NewKey(t.Context(), e, "", "")
	if err != nil {
		t.Fatal(err)
	}
	client := s.As(id, secret)
	deadline := time.Now().Add(time.Second)
	for client.Do("GET", "/org/v2/environments", nil).Status != http.StatusOK {
		if time.Now().After(deadline) {
			t.Fatal("the key does not work after a second")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
