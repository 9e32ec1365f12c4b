package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/store"
)

// bindingsOn counts the role bindings whose pattern ends with the ID.
func bindingsOn(t *testing.T, w *enginetest.World, id string) int {
	t.Helper()
	rows, err := w.Engine.Store.List(t.Context(), store.Query{Org: w.Admin.Organization, Kind: "iam/v2.RoleBinding", Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, row := range rows {
		if bytes.Contains(row.Body, []byte("="+id+`"`)) {
			n++
		}
	}
	return n
}

// call is a request from a goroutine, which must not end the test.
func call(c *enginetest.Client, url, method, path string, body any) (int, map[string]any, error) {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		reader = bytes.NewReader(encoded)
	}
	if !strings.HasPrefix(path, url) {
		path = url + path
	}
	req, err := http.NewRequest(method, path, reader)
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth(c.Key, c.Secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	var decoded map[string]any
	if len(raw) > 0 {
		err = json.Unmarshal(raw, &decoded)
	}
	return resp.StatusCode, decoded, err
}

// TestPagingUnderChange walks a list while others insert and delete: what was
// there throughout is seen exactly once, and nothing is seen twice.
func TestPagingUnderChange(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		c := w.Client(w.Admin)
		var steady []string
		for i := range 40 {
			steady = append(steady, create(t, c, environments, map[string]any{"display_name": fmt.Sprintf("steady %d", i)}))
		}
		stop := make(chan struct{})
		var changes sync.WaitGroup
		for worker := range 4 {
			changes.Go(func() {
				var mine []string
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					status, body, err := call(c, w.URL, http.MethodPost, environments, map[string]any{"display_name": fmt.Sprintf("passing %d.%d", worker, i)})
					if err != nil || status != http.StatusCreated {
						t.Errorf("create: %d %v %v", status, body, err)
						return
					}
					id, _ := body["id"].(string)
					if mine = append(mine, id); len(mine) > 3 {
						if status, body, err := call(c, w.URL, http.MethodDelete, environments+"/"+mine[0], nil); err != nil || status != http.StatusNoContent {
							t.Errorf("delete: %d %v %v", status, body, err)
							return
						}
						mine = mine[1:]
					}
				}
			})
		}
		for _, size := range []int{1, 3, 7, 100} {
			ids := walkIDs(t, c, fmt.Sprintf("%s?page_size=%d", environments, size))
			counts := map[string]int{}
			for _, id := range ids {
				if counts[id]++; counts[id] == 2 {
					t.Errorf("page_size %d: %s is seen twice", size, id)
				}
			}
			seen := slices.DeleteFunc(ids, func(id string) bool { return !slices.Contains(steady, id) })
			if !slices.Equal(seen, steady) {
				t.Errorf("page_size %d: of what was there throughout, %d of %d are seen, or in another order", size, len(seen), len(steady))
			}
		}
		close(stop)
		changes.Wait()
	})
}

// walkIDs returns the IDs on all pages. A list that grows while it is walked
// ends all the same, for it grows slower than it is read.
func walkIDs(t *testing.T, c *enginetest.Client, at string) []string {
	t.Helper()
	var ids []string
	for pages := 0; at != ""; pages++ {
		if pages > 5000 {
			t.Fatal("the list has no end")
		}
		a := c.Do(t, http.MethodGet, at, nil).Want(t, http.StatusOK)
		data, _ := a.Body["data"].([]any)
		for _, o := range data {
			object, _ := o.(map[string]any)
			id, _ := object["id"].(string)
			ids = append(ids, id)
		}
		at = a.Text("metadata.next")
	}
	return ids
}

// TestConcurrency lets clients get in each other's way.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		t.Run("Names", func(t *testing.T) { testConcurrentNames(t, w) })
		t.Run("Delete", func(t *testing.T) { testConcurrentDelete(t, w) })
	})
}

// testConcurrentNames lets several clients create the same name at once: one of
// them gets it, and the others are told who has it.
func testConcurrentNames(t *testing.T, w *enginetest.World) {
	t.Helper()
	c := w.Client(w.Admin)
	for round := range 5 {
		var clients sync.WaitGroup
		statuses := make([]int, 6)
		for i := range statuses {
			clients.Go(func() {
				var err error
				if statuses[i], _, err = call(c, w.URL, http.MethodPost, serviceAccounts, map[string]any{"display_name": fmt.Sprintf("wanted %d", round)}); err != nil {
					t.Errorf("create: %v", err)
				}
			})
		}
		clients.Wait()
		slices.Sort(statuses)
		if want := []int{201, 409, 409, 409, 409, 409}; !slices.Equal(statuses, want) {
			t.Errorf("round %d answers %v, want %v", round, statuses, want)
		}
	}
}

// testConcurrentDelete deletes one object from several clients at once, while
// others make objects that refer to it: in the end none of those is left.
func testConcurrentDelete(t *testing.T, w *enginetest.World) {
	t.Helper()
	c := w.Client(w.Admin)
	for round := range 5 {
		owner := create(t, c, serviceAccounts, map[string]any{"display_name": fmt.Sprintf("owner %d", round)})
		var clients sync.WaitGroup
		var mu sync.Mutex
		deleted, keys := 0, []string{}
		for range 3 {
			clients.Go(func() {
				status, body, err := call(c, w.URL, http.MethodDelete, serviceAccounts+"/"+owner, nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && status == http.StatusNoContent:
					deleted++
				case err != nil || status != http.StatusNotFound:
					t.Errorf("delete: %d %v %v", status, body, err)
				}
			})
			clients.Go(func() {
				status, body, err := call(c, w.URL, http.MethodPost, apiKeys, map[string]any{"spec": map[string]any{"owner": map[string]any{"id": owner}}})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && status == http.StatusAccepted:
					id, _ := body["id"].(string)
					keys = append(keys, id)
				case err != nil || status != http.StatusUnprocessableEntity:
					t.Errorf("create: %d %v %v", status, body, err)
				}
			})
		}
		clients.Wait()
		if deleted != 1 {
			t.Errorf("round %d: %d clients deleted the object, want one", round, deleted)
		}
		for _, key := range keys {
			c.Do(t, http.MethodGet, apiKeys+"/"+key, nil).Want(t, http.StatusForbidden)
		}
		if left := walkIDs(t, c, apiKeys+"?spec.owner="+owner); len(left) != 0 {
			t.Errorf("round %d: %q refer to what is gone", round, left)
		}
	}
}
