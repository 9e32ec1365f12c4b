//go:build !race

// What is in other processes the race detector cannot see.

package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weirhq/weir/internal/pgtest"
)

// replicaTime is how long replicas are killed; 'make drill' sets it to minutes.
var replicaTime = flag.Duration("replica-time", 4*time.Second, "how long replicas are killed under load")

// replicated is three servers in processes of their own on one PostgreSQL, and a
// client that asks them in turn and goes on to the next where one does not
// answer, as behind a plain load balancer.
type replicated struct {
	t    *testing.T
	weir string
	url  string
	dirs []string
	// admin is the first key, behind an address of its own.
	admin caller

	mu        sync.Mutex
	processes []*process
	next      atomic.Int64
	client    *http.Client
}

// behindLocalProxy lets the tests say which address they come from.
var behindLocalProxy = []string{"--trusted-proxy", "127.0.0.1/32"}

// caller is a key, used from an address.
type caller struct{ key, secret, from string }

func startReplicas(t *testing.T) *replicated {
	t.Helper()
	c := &replicated{
		t: t, weir: buildWeir(t), url: pgtest.URL(t),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: 10 * time.Second},
	}
	t.Cleanup(c.client.CloseIdleConnections)
	for range 3 {
		dir := t.TempDir()
		c.dirs = append(c.dirs, dir)
		c.processes = append(c.processes, launch(t, c.weir, dir, c.url, behindLocalProxy...).serving(t))
	}
	first := credentials(t, c.dirs[0])
	c.admin = caller{first["CONFLUENT_CLOUD_API_KEY"], first["CONFLUENT_CLOUD_API_SECRET"], "10.1.2.3"}
	return c
}

// at is where a replica serves, or "" while it does not.
func (c *replicated) at(i int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.processes[i] == nil {
		return ""
	}
	return c.processes[i].url
}

// ask sends a request to one replica.
func (c *replicated) ask(i int, by caller, method, path string, body any) (status int, raw string, err error) {
	base := c.at(i)
	if base == "" {
		return 0, "", io.ErrUnexpectedEOF
	}
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, "", err
		}
		reader = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, base+path, reader)
	if err != nil {
		return 0, "", err
	}
	req.SetBasicAuth(by.key, by.secret)
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("X-Forwarded-For", by.from)
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.ReplaceAll(string(read), base, ""), err
}

// must asks one replica, which must answer with the status.
func (c *replicated) must(i int, want int, method, path string, body any) string {
	c.t.Helper()
	status, raw, err := c.ask(i, c.admin, method, path, body)
	if err != nil || status != want {
		c.t.Fatalf("%s %s at replica %d: %d %s %v, want %d", method, path, i, status, raw, err, want)
	}
	return raw
}

// retry asks one replica after the other until one answers, as clients do that
// are told to wait or lose their connection. again is whether an earlier try may
// have had an effect.
func (c *replicated) retry(method, path string, body any) (status int, raw string, again bool) {
	for try := 0; ; try++ {
		var err error
		status, raw, err = c.ask(int(c.next.Add(1)%3), c.admin, method, path, body)
		if err == nil && status < http.StatusInternalServerError {
			return status, raw, again
		}
		if err == nil && status != http.StatusServiceUnavailable {
			c.t.Errorf("%s %s: %d %s", method, path, status, raw)
		}
		again = true
		if try == 1000 {
			c.t.Errorf("%s %s: no replica answers: %d %s %v", method, path, status, raw, err)
			return 0, "", true
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// What is written through one replica is read through every other at once.
func TestReplicasReadWhatWasWritten(t *testing.T) {
	t.Parallel()
	c := startReplicas(t)
	for round := range 30 {
		made := c.must(round%3, http.StatusCreated, http.MethodPost, serviceAccounts, map[string]any{"display_name": fmt.Sprintf("round %d", round)})
		path := serviceAccounts + "/" + text(made, "id")
		for i := range 3 {
			if read := c.must(i, http.StatusOK, http.MethodGet, path, nil); read != made {
				t.Fatalf("replica %d reads\n%s\nand made was\n%s", i, read, made)
			}
		}
		changed := c.must((round+1)%3, http.StatusOK, http.MethodPatch, path, map[string]any{"description": "changed"})
		for i := range 3 {
			if read := c.must(i, http.StatusOK, http.MethodGet, path, nil); read != changed {
				t.Fatalf("replica %d reads\n%s\nand changed was\n%s", i, read, changed)
			}
			if list := c.must(i, http.StatusOK, http.MethodGet, serviceAccounts+"?page_size=100", nil); !strings.Contains(list, changed) {
				t.Fatalf("replica %d does not list %s", i, changed)
			}
		}
		c.must((round+2)%3, http.StatusNoContent, http.MethodDelete, path, nil)
		for i := range 3 {
			if status, raw, err := c.ask(i, c.admin, http.MethodGet, path, nil); err != nil || status != http.StatusNotFound {
				t.Fatalf("replica %d still reads %d %s %v", i, status, raw, err)
			}
		}
	}
}

// A key, a role and an IP filter that one replica takes away are gone on every
// other within a second, also where these have just lost the connection on which
// they are told.
func TestReplicasFollowWithoutNotifications(t *testing.T) {
	t.Parallel()
	c := startReplicas(t)
	admin, err := pgx.Connect(t.Context(), c.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	organization := credentials(t, c.dirs[0])["WEIR_ORGANIZATION_ID"]
	group := text(c.must(0, http.StatusCreated, http.MethodPost, ipGroups, map[string]any{"group_name": "office", "cidr_blocks": []any{"10.0.0.0/8"}}), "id")
	for _, lost := range []bool{false, true} {
		for _, what := range []string{"key", "role", "filter"} {
			account := text(c.must(0, http.StatusCreated, http.MethodPost, serviceAccounts, map[string]any{"display_name": fmt.Sprint(what, lost)}), "id")
			binding := text(c.must(0, http.StatusCreated, http.MethodPost, roleBindings, map[string]any{
				"principal": "User:" + account, "role_name": "OrganizationAdmin", "crn_pattern": "crn://confluent.cloud/organization=" + organization,
			}), "id")
			key := c.must(0, http.StatusAccepted, http.MethodPost, apiKeys, map[string]any{"spec": map[string]any{"owner": map[string]any{"id": account}}})
			worker := caller{text(key, "id"), text(key, "spec.secret"), "192.0.2.7"}
			status := func(i int) int {
				status, _, err := c.ask(i, worker, http.MethodGet, ipGroups+"/"+group, nil)
				if err != nil {
					t.Fatal(err)
				}
				return status
			}
			for i := range 3 {
				waitFor(t, "the key to work everywhere", func() bool { return status(i) == http.StatusOK })
			}
			if lost {
				const end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'weir-changes'"
				if tag, err := admin.Exec(t.Context(), end); err != nil || tag.RowsAffected() != 3 {
					t.Fatalf("%d connections were ended, %v", tag.RowsAffected(), err)
				}
			}
			filter := ""
			switch what {
			case "key":
				c.must(0, http.StatusNoContent, http.MethodDelete, apiKeys+"/"+worker.key, nil)
			case "role":
				c.must(0, http.StatusOK, http.MethodDelete, roleBindings+"/"+binding, nil)
			default:
				filter = text(c.must(0, http.StatusCreated, http.MethodPost, ipFilters, map[string]any{
					"filter_name": "office", "resource_group": "management", "ip_groups": []any{map[string]any{"id": group}},
				}), "id")
			}
			begun := time.Now()
			for i := range 3 {
				for status(i) == http.StatusOK {
					if time.Since(begun) > time.Second {
						t.Fatalf("replica %d still lets in after a second who was shut out by a %s (notifications lost: %v)", i, what, lost)
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
			if filter != "" {
				c.must(0, http.StatusNoContent, http.MethodDelete, ipFilters+"/"+filter, nil)
			}
		}
	}
}

// Any replica may be killed at any moment: clients that try again see nothing
// lost and nothing doubled, and what the replicas leave holds together.
func TestReplicasAreKilled(t *testing.T) {
	t.Parallel()
	c := startReplicas(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	stop := make(chan struct{})
	var clients, killer sync.WaitGroup
	kept := make([]map[string]string, writers)
	gone := make([][]string, writers)
	retried := atomic.Int64{}
	for n := range writers {
		kept[n] = map[string]string{}
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		clients.Go(func() {
			for count := 0; ; count++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("client %d account %d", n, count)
				status, raw, again := c.retry(http.MethodPost, serviceAccounts, map[string]any{"display_name": name})
				if again {
					retried.Add(1)
				}
				switch {
				case status == http.StatusCreated:
					kept[n][name] = text(raw, "id")
				case status == http.StatusConflict && again:
					kept[n][name] = "" // an earlier try made it
				default:
					t.Errorf("make %s: %d %s", name, status, raw)
					return
				}
				// All of them together stay within the quota.
				if id := kept[n][name]; id != "" && (random.IntN(3) == 0 || len(kept[n]) > 100) {
					status, raw, again := c.retry(http.MethodDelete, serviceAccounts+"/"+id, nil)
					if status != http.StatusNoContent && (status != http.StatusNotFound || !again) {
						t.Errorf("delete %s: %d %s", name, status, raw)
						return
					}
					delete(kept[n], name)
					gone[n] = append(gone[n], name)
				}
			}
		})
	}
	kills := 0
	killer.Go(func() {
		random := rand.New(rand.NewPCG(seed, 99))
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(50+random.IntN(400)) * time.Millisecond):
			}
			i := random.IntN(3)
			c.mu.Lock()
			p := c.processes[i]
			c.processes[i] = nil
			c.mu.Unlock()
			p.kill()
			kills++
			p = launch(t, c.weir, c.dirs[i], c.url, behindLocalProxy...)
			select {
			case <-p.ready:
			case <-p.ended:
				t.Errorf("a killed replica does not start again:\n%s", p.logged())
				return
			}
			c.mu.Lock()
			c.processes[i] = p
			c.mu.Unlock()
		}
	})
	time.Sleep(*replicaTime)
	close(stop)
	clients.Wait()
	killer.Wait()
	if t.Failed() {
		return
	}

	names := map[string]int{}
	for path := serviceAccounts + "?page_size=100"; path != ""; {
		page := c.must(0, http.StatusOK, http.MethodGet, path, nil)
		var list struct {
			Data []struct {
				DisplayName string `json:"display_name"`
			}
			Metadata struct{ Next string }
		}
		if err := json.Unmarshal([]byte(page), &list); err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Data {
			names[o.DisplayName]++
		}
		path = list.Metadata.Next
	}
	made := 0
	for n := range writers {
		for name := range kept[n] {
			made++
			if names[name] != 1 {
				t.Errorf("%s was made and is there %d times", name, names[name])
			}
		}
		for _, name := range gone[n] {
			if names[name] != 0 {
				t.Errorf("%s was deleted and is there", name)
			}
		}
	}
	if len(names) != made {
		t.Errorf("there are %d accounts, and the clients made %d", len(names), made)
	}
	for i := range c.processes {
		c.processes[i].kill()
	}
	settled(t, c.url)
	verifyDatabase(t, c.dirs[0], c.url)
	t.Logf("%d kills, %d requests were tried again, %d accounts were kept", kills, retried.Load(), made)
	if kills == 0 || retried.Load() == 0 || made < 20 {
		t.Error("the test has seen too little")
	}
}

// What replicas do beside requests is done by one of them: each mail goes out
// once, and each event is delivered once, while none is killed.
func TestReplicasShareTheWork(t *testing.T) {
	t.Parallel()
	const many = 24
	c := startReplicas(t)
	for i := range many {
		status, raw, _ := c.retry(http.MethodPost, invitations, map[string]any{"email": fmt.Sprintf("someone-%d@example.com", i)})
		if status != http.StatusCreated {
			t.Fatalf("invite: %d %s", status, raw)
		}
	}
	count := func(pattern string) (files []string) {
		for _, dir := range c.dirs {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
		return files
	}
	waitFor(t, "the mail to go out", func() bool { return len(count("outbox/*.eml")) >= many })
	delivered := func() []string {
		var lines []string
		for _, path := range count("audit/*.jsonl") {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines = slices.AppendSeq(lines, strings.Lines(string(content)))
		}
		return lines
	}
	// Each invitation is made, sent, and makes its user; wait for the last of it.
	waitFor(t, "the invitations to be sent", func() bool {
		sent := 0
		for _, o := range strings.Split(c.must(0, http.StatusOK, http.MethodGet, invitations+"?page_size=100", nil), `"status":`) {
			if strings.HasPrefix(o, `"INVITE_STATUS_SENT"`) {
				sent++
			}
		}
		return sent == many
	})
	// Events are delivered in their order: with the last one all are there, and
	// what was done twice would be among them.
	last := text(c.must(1, http.StatusCreated, http.MethodPost, serviceAccounts, map[string]any{"display_name": "the last"}), "id")
	waitFor(t, "the audit log to be delivered", func() bool {
		return slices.ContainsFunc(delivered(), func(line string) bool { return strings.Contains(line, last) })
	})
	if mails := count("outbox/*.eml"); len(mails) != many {
		t.Errorf("%d mails were sent for %d invitations", len(mails), many)
	}
	var events []string
	for _, line := range delivered() {
		events = append(events, text(line, "id"))
	}
	if once := slices.Compact(slices.Sorted(slices.Values(events))); len(once) != len(events) || len(once) < 3*many {
		t.Errorf("%d events were delivered, and there are %d", len(events), len(once))
	}
}
