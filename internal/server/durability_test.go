//go:build !race

// What is in other processes the race detector cannot see.

package server_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/audit/audittest"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

// TestKill kills servers with SIGKILL: under load, where nothing that was
// acknowledged may be lost, and while they start for the first time.
func TestKill(t *testing.T) {
	t.Parallel()
	weir := buildWeir(t)
	for _, database := range []struct {
		name string
		url  func(testing.TB) string
	}{
		{"SQLite", func(testing.TB) string { return "" }},
		{"PostgreSQL", pgtest.URL},
	} {
		t.Run("UnderLoad/"+database.name, func(t *testing.T) {
			t.Parallel()
			testKillUnderLoad(t, weir, database.url(t))
		})
		t.Run("FirstStart/"+database.name, func(t *testing.T) {
			t.Parallel()
			testKillFirstStart(t, weir, database.url)
		})
	}
}

// killRounds is how often servers are killed; 'make drill' sets it to hundreds.
var killRounds = flag.Int("kill-rounds", 5, "how often servers are killed under load")

const (
	firstStarts = 5
	writers     = 6
	// most is how many objects of a sort a writer keeps, so that late rounds
	// cost what early ones do.
	most = 30
)

// subject is an object as its only writer knows it.
type subject struct {
	path, id, name string
	// body is the last acknowledged one, without the server's address.
	body string
	// secret is an API key's, owner its service account.
	secret string
	owner  *subject
	// owned is whether the creation named a principal who becomes the owner.
	owned bool
	gone  bool
	// buried is whether it was seen to be gone; from then on it is looked for in
	// the last round alone.
	buried bool
	// doubt is the request that was not acknowledged when the server was
	// killed; its effect may be there wholly, or not at all.
	doubt string
	// intended is the description that a change in doubt was to set.
	intended string
}

// writer is one connection's work, with its history.
type writer struct {
	number   int
	random   *rand.Rand
	url      string
	key      [2]string
	admin    string
	client   *http.Client
	accounts []*subject
	keys     []*subject
	count    int
	acked    int
	// requests are the IDs of the changes that were acknowledged.
	mu       sync.Mutex
	requests []string
}

// do sends a request; ok is whether it was acknowledged.
func (w *writer) do(key [2]string, method, path string, body any) (status int, raw string, ok bool) {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, "", false
		}
		reader = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, w.url+path, reader)
	if err != nil {
		return 0, "", false
	}
	req.SetBasicAuth(key[0], key[1])
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, "", false
	}
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", false
	}
	if method != http.MethodGet && resp.StatusCode < 300 {
		w.mu.Lock()
		w.requests = append(w.requests, resp.Header.Get("X-Request-Id"))
		w.mu.Unlock()
	}
	return resp.StatusCode, strings.ReplaceAll(string(read), w.url, ""), true
}

// pick returns one of those that are there, or nil.
func (w *writer) pick(from []*subject) *subject {
	var live []*subject
	for _, s := range from {
		if !s.gone {
			live = append(live, s)
		}
	}
	if len(live) == 0 {
		return nil
	}
	return live[w.random.IntN(len(live))]
}

// live is how many of them are there.
func (w *writer) live(of []*subject) int {
	n := 0
	for _, s := range of {
		if !s.gone {
			n++
		}
	}
	return n
}

// step makes one change and reports whether it was acknowledged, and what was
// answered that should not have been.
func (w *writer) step() (acknowledged bool, complaint error) {
	account, key := w.pick(w.accounts), w.pick(w.keys)
	dice := w.random.IntN(10)
	if crowded := w.live(w.accounts) >= most; crowded && dice < 3 {
		dice = 9 // fall through to a deletion
	} else if crowded := w.live(w.keys) >= most; crowded && dice >= 6 && dice < 8 {
		dice = 8
	}
	switch {
	case account == nil || dice < 3:
		return w.createAccount()
	case dice < 6:
		account.intended = fmt.Sprintf("change %d", w.random.Uint64())
		status, raw, ok := w.do(w.key, http.MethodPatch, account.path, map[string]any{"description": account.intended})
		if !ok {
			account.doubt = "change"
			return false, nil
		}
		account.body = raw
		return true, unless(status == http.StatusOK, "change", status, raw)
	case dice < 8:
		return w.createKey(account)
	case dice < 9 && key != nil:
		status, raw, ok := w.do(w.key, http.MethodDelete, key.path, nil)
		if !ok {
			key.doubt = "delete"
			return false, nil
		}
		key.gone = true
		return true, unless(status == http.StatusNoContent, "delete", status, raw)
	default:
		status, raw, ok := w.do(w.key, http.MethodDelete, account.path, nil)
		if !ok {
			account.doubt = "delete"
			return false, nil
		}
		w.end(account)
		return true, unless(status == http.StatusNoContent, "delete", status, raw)
	}
}

func unless(good bool, what string, status int, raw string) error {
	if good {
		return nil
	}
	return fmt.Errorf("%s: %d: %s", what, status, raw)
}

// end marks an account and all that goes with it.
func (w *writer) end(account *subject) {
	account.gone = true
	for _, k := range w.keys {
		if k.owner == account {
			k.gone = true
		}
	}
}

func (w *writer) createAccount() (bool, error) {
	w.count++
	s := &subject{name: fmt.Sprintf("account %d.%d", w.number, w.count), owned: w.random.IntN(2) == 0}
	w.accounts = append(w.accounts, s)
	path := serviceAccounts
	if s.owned {
		path += "?assigned_resource_owner=" + w.admin
	}
	status, raw, ok := w.do(w.key, http.MethodPost, path, map[string]any{"display_name": s.name})
	if !ok {
		s.doubt = "create"
		return false, nil
	}
	s.id, s.body = text(raw, "id"), raw
	s.path = serviceAccounts + "/" + s.id
	return true, unless(status == http.StatusCreated && s.id != "", "create", status, raw)
}

func (w *writer) createKey(owner *subject) (bool, error) {
	w.count++
	s := &subject{name: fmt.Sprintf("key %d.%d", w.number, w.count), owner: owner}
	w.keys = append(w.keys, s)
	status, raw, ok := w.do(w.key, http.MethodPost, apiKeys, map[string]any{"spec": map[string]any{
		"display_name": s.name, "owner": map[string]any{"id": owner.id},
	}})
	if !ok {
		s.doubt = "create"
		return false, nil
	}
	s.id, s.secret = text(raw, "id"), text(raw, "spec.secret")
	s.body = strings.Replace(raw, `"secret":"`+s.secret+`",`, "", 1)
	s.path = apiKeys + "/" + s.id
	return true, unless(status == http.StatusAccepted && s.secret != "", "create key", status, raw)
}

// startWriters returns writers with the first key of a server, who have done
// nothing yet.
func startWriters(t *testing.T, url string, c map[string]string, seed uint64) []*writer {
	t.Helper()
	work := make([]*writer, writers)
	for i := range work {
		work[i] = &writer{
			number: i, random: rand.New(rand.NewPCG(seed, uint64(i+1))), url: url,
			key:    [2]string{c["CONFLUENT_CLOUD_API_KEY"], c["CONFLUENT_CLOUD_API_SECRET"]},
			client: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second},
		}
	}
	_, raw, ok := work[0].do(work[0].key, http.MethodGet, apiKeys+"/"+c["CONFLUENT_CLOUD_API_KEY"], nil)
	if !ok {
		t.Fatal("the server does not answer")
	}
	for _, w := range work {
		w.admin = text(raw, "spec.owner.id")
	}
	return work
}

// acknowledged returns the IDs of the changes that were acknowledged so far.
func (w *writer) acknowledged() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests)
}

func testKillUnderLoad(t *testing.T, weir, databaseURL string) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	p := launch(t, weir, dir, databaseURL).serving(t)
	c := credentials(t, dir)
	work := startWriters(t, p.url, c, seed)
	seen := &witness{rebuilt: audittest.State{}, told: map[string]bool{}, delivered: map[string]bool{}}
	for round := range *killRounds {
		var running sync.WaitGroup
		var written atomic.Int64
		for _, w := range work {
			w.url = p.url
			running.Go(func() {
				for {
					acknowledged, complaint := w.step()
					if complaint != nil {
						t.Errorf("round %d: %v", round, complaint)
					}
					if !acknowledged || complaint != nil {
						return
					}
					w.acked++
					written.Add(1)
				}
			})
		}
		// However busy the machine is, each round sees some writes; from then on it is
		// a timer, since the moment is meant to be any.
		waitFor(t, "writes", func() bool { return written.Load() >= 10 || t.Failed() })
		time.Sleep(time.Duration(random.IntN(250)) * time.Millisecond)
		p.kill()
		running.Wait()
		settled(t, databaseURL)
		p = launch(t, weir, dir, databaseURL).serving(t)
		for _, w := range work {
			w.url = p.url
			w.client.CloseIdleConnections()
		}
		checkSurvival(t, work, seen, round == *killRounds-1, dir, databaseURL)
		if t.Failed() {
			t.Fatalf("round %d failed; the log of the restarted server:\n%s", round, p.logged())
		}
	}
	acked := 0
	for _, w := range work {
		acked += w.acked
	}
	t.Logf("%d writes were acknowledged", acked)
	if acked < 10**killRounds {
		t.Errorf("only %d writes were acknowledged: the test has seen too little", acked)
	}
}

// settled waits until a PostgreSQL has ended all that a killed server began: a
// COMMIT that was sent before the end may be done after it.
func settled(t *testing.T, databaseURL string) {
	t.Helper()
	if databaseURL == "" {
		return
	}
	c, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(t.Context()) }()
	waitFor(t, "the database to end the work of a killed server", func() bool {
		var others int
		const count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
		if err := c.QueryRow(t.Context(), count).Scan(&others); err != nil {
			t.Fatal(err)
		}
		return others == 0
	})
}

// checkSurvival compares what the writers know with what the server says after
// it was killed, and settles their doubts by what it says.
func checkSurvival(t *testing.T, work []*writer, seen *witness, final bool, dir, databaseURL string) {
	t.Helper()
	accounts := listed(t, work[0], serviceAccounts)
	keys := listed(t, work[0], apiKeys)
	for _, w := range work {
		for _, s := range w.accounts {
			if s.buried && !final {
				continue
			}
			checkSubject(t, w, s, accounts, "display_name")
			if s.buried = s.gone; s.gone {
				w.end(s)
			}
		}
		for _, s := range w.keys {
			if s.buried && !final {
				continue
			}
			checkSubject(t, w, s, keys, "spec.display_name")
			if s.gone && s.secret != "" {
				if status, raw, ok := w.do([2]string{s.id, s.secret}, http.MethodGet, environments, nil); !ok || status != http.StatusUnauthorized {
					t.Errorf("a deleted key still opens: %d %s", status, raw)
				}
			}
			s.buried = s.gone
			if !s.gone && s.secret != "" {
				if status, raw, ok := w.do([2]string{s.id, s.secret}, http.MethodGet, environments, nil); !ok || status != http.StatusOK {
					t.Errorf("an acknowledged key does not open: %d %s", status, raw)
				}
			}
		}
	}
	checkCounts(t, work, accounts, keys)
	checkBindings(t, work, dir, databaseURL)
	verifyDatabase(t, dir, databaseURL)
	seen.checkAudit(t, work, final, dir, databaseURL)
}

// witness is what was read of the audit log, from round to round.
type witness struct {
	last    int64
	rebuilt audittest.State
	// told are the requests that events name, delivered the events that the
	// file has, read up to offset; at is the sequence of the last.
	told, delivered map[string]bool
	at              string
	offset          int64
	// due are events that were not looked for in the file yet.
	due    []audittest.Event
	rounds int
}

// checkAudit compares the audit log with what is stored, and looks for the
// event of each change that was acknowledged.
func (h *witness) checkAudit(t *testing.T, work []*writer, final bool, dir, databaseURL string) {
	t.Helper()
	st, err := sqlstore.Open(t.Context(), databaseURL, dir, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	events, last := auditTrail(t, st, "", h.last)
	h.last = last
	h.due = append(h.due, events...)
	// Another process takes deliveries up some seconds after the one that had
	// them: waiting for that in each round would be most of the test.
	if final || h.rounds%50 == 1 {
		h.checkFile(t, dir, h.due)
		h.due = nil
	}
	h.rounds++
	for _, e := range events {
		h.rebuilt.Apply(t, e)
		for _, id := range e.Data.RequestMetadata.RequestID {
			h.told[id] = true
		}
	}
	compareStates(t, h.rebuilt, stored(t, st, server.Kinds(), ""))
	for _, w := range work {
		for _, id := range w.requests {
			if !h.told[id] {
				t.Errorf("the request %s was acknowledged and has no event", id)
			}
		}
		w.requests = nil
	}
}

// listed walks a list and returns the objects by ID, each of which must read
// as it is listed.
func listed(t *testing.T, w *writer, path string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for at := path + "?page_size=100"; at != ""; {
		status, raw, ok := w.do(w.key, http.MethodGet, at, nil)
		if !ok || status != http.StatusOK {
			t.Fatalf("list %s: %d %s", at, status, raw)
		}
		var page struct{ Data []json.RawMessage }
		if err := json.Unmarshal([]byte(raw), &page); err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Data {
			id := text(string(o), "id")
			if out[id] != "" {
				t.Errorf("%s is listed twice", id)
			}
			out[id] = string(o)
			if status, read, ok := w.do(w.key, http.MethodGet, path+"/"+id, nil); !ok || status != http.StatusOK || read != string(o) {
				t.Errorf("%s is listed as\n%s\nand read as %d\n%s", id, o, status, read)
			}
		}
		at = text(raw, "metadata.next")
	}
	return out
}

// checkSubject compares one object with what its writer knows of it.
func checkSubject(t *testing.T, w *writer, s *subject, listed map[string]string, name string) {
	t.Helper()
	doubt := s.doubt
	s.doubt = ""
	if doubt == "create" {
		s.gone = true
		for id, body := range listed {
			if text(body, name) == s.name {
				s.gone, s.id, s.body = false, id, body
				s.path = text(body, "metadata.self")
			}
		}
		return
	}
	if s.id == "" {
		return // it never came to be
	}
	body, there := listed[s.id]
	if !there {
		if status, raw, ok := w.do(w.key, http.MethodGet, s.path, nil); !ok || status != http.StatusNotFound && status != http.StatusForbidden {
			t.Errorf("%s is not listed, and read as %d %s", s.id, status, raw)
		}
	}
	switch {
	case s.gone && !there:
	case s.gone:
		t.Errorf("%s was deleted, or its owner was, and it is there: %s", s.id, body)
	case there && body == s.body:
	case there && doubt == "change" && text(body, "description") == s.intended &&
		text(body, name) == s.name && text(body, "metadata.created_at") == text(s.body, "metadata.created_at"):
		s.body = body
	case there:
		t.Errorf("%s (in doubt: %q) is\n%s\nand was acknowledged as\n%s", s.id, doubt, body, s.body)
	case doubt == "delete":
		s.gone = true
	default:
		t.Errorf("%s was acknowledged as %s and is not there", s.id, s.body)
	}
}

// checkCounts looks for objects that nobody made: after every doubt is
// settled, what is listed is what the writers know, and the first key.
func checkCounts(t *testing.T, work []*writer, accounts, keys map[string]string) {
	t.Helper()
	known := map[string]bool{work[0].key[0]: true}
	for _, w := range work {
		for _, s := range append(append([]*subject{}, w.accounts...), w.keys...) {
			if !s.gone {
				known[s.id] = true
			}
		}
	}
	for _, all := range []map[string]string{accounts, keys} {
		for id, body := range all {
			if !known[id] {
				t.Errorf("nobody made %s", body)
			}
		}
	}
	if len(known) != len(accounts)+len(keys) {
		t.Errorf("there are %d objects, and the writers know %d", len(accounts)+len(keys), len(known))
	}
}

var accountSegment = regexp.MustCompile(`service-account=(sa-[0-9a-z]+)"`)

// checkBindings compares role bindings with accounts: one that was made with an
// owner has its binding, one that was not has none, and no binding is left of
// an account that was never made.
func checkBindings(t *testing.T, work []*writer, dir, databaseURL string) {
	t.Helper()
	st, err := sqlstore.Open(t.Context(), databaseURL, dir, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	organization, err := st.Setting(t.Context(), "first-organization")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := st.List(t.Context(), store.Query{Org: string(organization), Kind: "iam/v2.RoleBinding", Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	bound := map[string]int{}
	for _, row := range rows {
		if m := accountSegment.FindSubmatch(row.Body); m != nil {
			bound[string(m[1])]++
		}
	}
	for _, w := range work {
		for _, s := range w.accounts {
			want := 0
			if s.owned {
				want = 1
			}
			if !s.gone && bound[s.id] != want {
				t.Errorf("%s has %d role bindings, want %d", s.id, bound[s.id], want)
			}
			delete(bound, s.id)
		}
	}
	if len(bound) > 0 {
		t.Errorf("role bindings are left of accounts that were never made: %v", bound)
	}
}

// checkFile waits until the audit file of the server that runs has all of the
// events, and looks whether they came in order: each for the first time behind
// all before it.
func (h *witness) checkFile(t *testing.T, dir string, events []audittest.Event) {
	t.Helper()
	var content string
	waitFor(t, "the audit file", func() bool {
		f, err := os.Open(filepath.Join(dir, "audit", "audit.jsonl"))
		if os.IsNotExist(err) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		read, err := io.ReadAll(io.NewSectionReader(f, h.offset, 1<<30))
		if err != nil {
			t.Fatal(err)
		}
		content = string(read)
		return strings.Contains(content, `{"sequence":"`+audit.Sequence(h.last)+`"`)
	})
	h.offset += int64(len(content))
	for line := range strings.Lines(content) {
		if !strings.HasSuffix(line, "\n") || !json.Valid([]byte(line)) {
			t.Errorf("the audit file has the line %q", line)
			continue
		}
		id, sequence := text(line, "id"), text(line, "sequence")
		if h.delivered[id] {
			continue // at least once
		}
		if sequence <= h.at {
			t.Errorf("the audit file has %s behind %s", sequence, h.at)
		}
		h.delivered[id], h.at = true, sequence
	}
	for _, e := range events {
		if !h.delivered[e.ID] {
			t.Errorf("the audit file has no %s", e.Raw)
		}
	}
}

// testKillFirstStart kills servers at all moments of their first start: what
// they leave is no installation, which the next start makes, or a whole one
// whose credentials are in the file.
func testKillFirstStart(t *testing.T, weir string, databaseURL func(testing.TB) string) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	begun := time.Now()
	launch(t, weir, t.TempDir(), databaseURL(t)).serving(t).kill()
	whole := time.Since(begun)
	interrupted := 0
	for range firstStarts {
		dir, url := t.TempDir(), databaseURL(t)
		p := launch(t, weir, dir, url)
		select {
		case <-p.ready:
		case <-time.After(time.Duration(random.Int64N(int64(whole)))):
			interrupted++
		}
		p.kill()
		settled(t, url)
		p = launch(t, weir, dir, url).serving(t)
		c := credentials(t, dir)
		w := &writer{url: p.url, key: [2]string{c["CONFLUENT_CLOUD_API_KEY"], c["CONFLUENT_CLOUD_API_SECRET"]}, client: http.DefaultClient}
		for path, want := range map[string]string{"/org/v2/organizations": c["WEIR_ORGANIZATION_ID"], environments: c["WEIR_ENVIRONMENT_ID"], apiKeys: c["CONFLUENT_CLOUD_API_KEY"]} {
			all := listed(t, w, path)
			if len(all) != 1 || all[want] == "" {
				t.Errorf("%s has %d objects, want %s alone", path, len(all), want)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "credentials.env.pending")); err == nil {
			t.Error("credentials.env.pending is left")
		}
		p.kill()
	}
	t.Logf("%d of %d first starts were interrupted, which take %s", interrupted, firstStarts, whole)
}
