package server_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
)

// The wall between two organizations of one server: for the administrator of
// one, nothing of the other is there. Every operation that is served is tried
// with IDs of the other organization, and with IDs that never were. Both
// must answer the same, and take the same steps in the store.

// wall is two organizations, the second one (behind the wall) with at least one
// object of every kind.
type wall struct {
	*scene
	kinds []*engine.Kind
	// behind are the objects of the other organization, by kind.
	behind map[string][]store.Row
	// unknown gives each of their IDs one of the same shape that never was.
	unknown map[string]string
	// written are the names and other texts of these objects.
	written []string
	trace   *trace
}

// essence is an answer without what differs from one request to the next: the
// id of the request, and its time.
func essence(t *testing.T, a enginetest.Answer) string {
	t.Helper()
	if len(a.Raw) == 0 {
		return ""
	}
	var body map[string]any
	if err := json.Unmarshal(a.Raw, &body); err != nil {
		t.Fatal(err)
	}
	delete(body, "requestId")
	if e, ok := body["error"].(map[string]any); ok {
		delete(e, "timestamp")
	}
	if list, ok := body["errors"].([]any); ok {
		for _, e := range list {
			delete(e.(map[string]any), "id")
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// newWall builds the two organizations. What a kind's Spec can make is made for
// it; a kind of which nothing is there fails the test.
func newWall(t *testing.T, databaseURL string) *wall {
	t.Helper()
	w := &wall{kinds: ofOrganizations(), behind: map[string][]store.Row{}, unknown: map[string]string{}, trace: &trace{}}
	w.scene = newScene(serveTraced(t, databaseURL, w.trace))
	other := w.Client(w.Other)
	// What is computed has the same IDs on both sides: the test of all kinds and
	// that of quotas look at it.
	w.kinds = slices.DeleteFunc(w.kinds, func(k *engine.Kind) bool { return len(k.Operations) == 0 })
	stored := slices.DeleteFunc(slices.Clone(w.kinds), func(k *engine.Kind) bool { return k.Source != nil })
	for _, k := range stored {
		spec, ok := specs[k.Key()]
		switch {
		case !ok:
			t.Fatalf("add a Spec for %s to the table in kinds_test.go", k.Key())
		case spec.Make != nil:
			spec.Make(t, other, int(drawn.Add(1))+marked)
		default:
			path := k.Path
			if spec.Parent != nil {
				path = (&engine.Object{Kind: k, Parent: spec.Parent(t, other)}).Path()
				path = strings.TrimSuffix(path, "/")
			}
			create(t, other, path, spec.Body(t, other, int(drawn.Add(1))+marked))
		}
	}
	// More to refer to than what the Specs need.
	env := create(t, other, environments, map[string]any{"display_name": "hidden environment"})
	account := create(t, other, serviceAccounts, map[string]any{"display_name": "hidden account"})
	root := "crn://confluent.cloud/organization=" + w.Other.Organization
	create(t, other, roleBindings, binding(account, "EnvironmentAdmin", root+"/environment="+env))
	create(t, other, roleBindings, binding(w.Other.Principal, "ResourceOwner", root+"/service-account="+account))
	create(t, other, apiKeys, keyFor(account, "global"))

	for _, k := range stored {
		w.behind[k.Key()] = w.rows(t, w.Other.Organization, k)
		if len(w.behind[k.Key()]) == 0 {
			t.Fatalf("there is no %s behind the wall", k.Name)
		}
		for _, row := range w.behind[k.Key()] {
			if w.unknown[row.ID] == "" {
				w.unknown[row.ID] = unused(k, row.ID)
			}
			for _, field := range []string{"display_name", "description", "email", "full_name", "filter", "filter_name", "group_name", "spec.display_name", "spec.description"} {
				if value := filterText(document(t, k, row), field); len(value) > 8 && value != "Administrator" {
					w.written = append(w.written, value)
				}
			}
		}
	}
	return w
}

// marked begins the numbers in names behind the wall, so that no text has them
// by accident.
const marked = 770_000_000

// unused returns an ID of the kind's shape, as long as the one given.
func unused(k *engine.Kind, id string) string {
	if k.ID.Length == 0 {
		return uuid.NewString()
	}
	shape := k.ID
	shape.Length = len(id) - len(shape.Prefix)
	return shape.New()
}

// rows reads everything of a kind in an organization, private bytes included.
func (w *wall) rows(t *testing.T, organization string, k *engine.Kind) []store.Row {
	t.Helper()
	rows, err := w.Engine.Store.List(t.Context(), store.Query{Org: organization, Kind: k.StoreKey(), Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		whole, err := w.Engine.Store.Get(t.Context(), organization, rows[i].Key)
		if err != nil {
			t.Fatal(err)
		}
		rows[i] = *whole
	}
	return rows
}

// unchanged fails the test if anything behind the wall is not as it was.
func (w *wall) unchanged(t *testing.T) {
	t.Helper()
	for _, k := range w.kinds {
		now := w.rows(t, w.Other.Organization, k)
		if !slices.EqualFunc(w.behind[k.Key()], now, func(a, b store.Row) bool {
			// The courier keeps its claim on the mail beside an invitation, and when
			// its keys were asked for is kept beside a provider.
			claimed := k.Key() == iam.Invitation.Key() || k.Key() == iam.IdentityProvider.Key()
			return a.Key == b.Key && (claimed || a.Version == b.Version) && a.Name == b.Name && a.Parent == b.Parent && a.Seq == b.Seq &&
				a.Updated.Equal(b.Updated) && a.Created.Equal(b.Created) && bytes.Equal(a.Body, b.Body) && (claimed || bytes.Equal(a.Private, b.Private))
		}) {
			t.Errorf("the %ss behind the wall changed", k.Name)
		}
	}
}

// stranger rewrites a text that has IDs from behind the wall into one with IDs
// that never were.
func (w *wall) stranger(text string) string {
	var pairs []string
	for id, other := range w.unknown {
		pairs = append(pairs, id, other)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// compare sends a request that has IDs from behind the wall, and the same with
// IDs that never were: they answer the same, and take the same steps. It
// returns the first answer.
func (w *wall) compare(t *testing.T, c *enginetest.Client, method, path string, body any) enginetest.Answer {
	t.Helper()
	var text string
	send := func(path, text string) (enginetest.Answer, []string) {
		w.trace.reset()
		var sent any
		if body != nil {
			sent = text
		}
		a := c.Do(t, method, path, sent)
		return a, w.trace.reset()
	}
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(encoded)
	}
	hidden, hiddenSteps := send(path, text)
	w.forget(t, method, path, hidden)
	missing, missingSteps := send(w.stranger(path), w.stranger(text))
	w.forget(t, method, path, missing)
	what := method + " " + path + " " + text
	if hidden.Status != missing.Status {
		t.Errorf("%s: %d, and %d for what never was: %s", what, hidden.Status, missing.Status, hidden.Raw)
		return hidden
	}
	if got, want := w.stranger(essence(t, hidden)), essence(t, missing); hidden.Status >= 300 && got != want {
		t.Errorf("%s tells what is hidden from what never was:\n%s\n%s", what, got, want)
	}
	for _, name := range []string{"Location", "Allow", "WWW-Authenticate"} {
		if hidden.Status >= 300 && w.stranger(hidden.Header.Get(name)) != missing.Header.Get(name) {
			t.Errorf("%s: the header %s is %q, and %q for what never was", what, name, hidden.Header.Get(name), missing.Header.Get(name))
		}
	}
	if hidden.Status >= 300 && !slices.Equal(hiddenSteps, missingSteps) {
		t.Errorf("%s takes other steps than for what never was, which can be timed:\n%q\n%q", what, hiddenSteps, missingSteps)
	}
	w.tellsNothing(t, what, path+text, hidden)
	return hidden
}

// forget removes what a request made, so that the next one finds the same.
func (w *wall) forget(t *testing.T, method, path string, a enginetest.Answer) {
	t.Helper()
	if method != http.MethodPost || a.Status >= 300 {
		return
	}
	path, _, _ = strings.Cut(path, "?")
	w.admin.Do(t, http.MethodDelete, path+"/"+a.ID(), nil)
}

// tellsNothing looks for what is behind the wall in an answer: IDs and names
// that the request did not have itself.
func (w *wall) tellsNothing(t *testing.T, what, asked string, a enginetest.Answer) {
	t.Helper()
	said := string(a.Raw) + strings.Join(slices.Concat(slices.Collect(maps.Values(a.Header))...), "\n")
	for _, secret := range w.secrets() {
		if strings.Contains(said, secret) && !strings.Contains(asked, secret) {
			t.Errorf("%s tells %q: %s", what, secret, a.Raw)
		}
	}
}

// secrets are the IDs behind the wall, and what users wrote there.
func (w *wall) secrets() []string {
	return append(slices.Collect(maps.Keys(w.unknown)), w.written...)
}

// calls are operations of no kind that are about one object, which their path
// names: the kind of it.
var calls = map[string]string{"refreshIamV2JsonWebKeySet": "iam/v2.IdentityProvider"}

// each calls f for the operations of the kinds that are served, with the kind.
func (w *wall) each(t *testing.T, f func(op operation.Operation, k *engine.Kind)) {
	t.Helper()
	kinds := map[string]*engine.Kind{}
	for _, k := range w.kinds {
		for _, id := range k.Operations {
			kinds[id] = k
		}
		for _, a := range k.Actions {
			kinds[a.Operation] = k
		}
		for _, c := range k.Checks {
			kinds[c.Operation] = k
		}
	}
	for _, op := range operation.All() {
		if about := calls[op.ID]; about != "" {
			f(op, w.Engine.Kind(about))
			continue
		}
		called := slices.ContainsFunc(server.Calls(), func(c *engine.Call) bool { return c.Operation == op.ID })
		if !w.Engine.Serves(op.ID) || called || len(op.Scopes) > 0 {
			continue // calls have subtests of their own, partners a wall of their own
		}
		if kinds[op.ID] == nil {
			t.Errorf("%s is served, and of no kind", op.ID)
			continue
		}
		f(op, kinds[op.ID])
	}
}

// fill puts an object's IDs into the path of an operation.
func fill(path string, row store.Row) string {
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "{id}":
			path = strings.Replace(path, part, row.ID, 1)
		case strings.HasPrefix(part, "{"):
			path = strings.Replace(path, part, cmp.Or(row.Parent, row.ID), 1)
		}
	}
	return path
}

// document is the body of a stored object as a client would send it.
func document(t *testing.T, k *engine.Kind, row store.Row) map[string]any {
	t.Helper()
	o, err := k.Decode(&row)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(o.Doc)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWall tries every operation that is served on every object behind the
// wall, as the administrator of this side, as a service account that owns
// something, and as one without a role.
func TestWall(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := newWall(t, databaseURL)
		callers := map[string]*enginetest.Client{
			"administrator": w.admin,
			"owner":         w.holder(t, "ResourceOwner", w.root+"/service-account="+w.account(t)),
			"nobody":        w.Client(w.Nobody),
		}
		for name, c := range callers {
			t.Run(name, func(t *testing.T) {
				w.each(t, func(op operation.Operation, k *engine.Kind) {
					t.Run(op.ID, func(t *testing.T) {
						if !strings.Contains(op.Path, "{id}") && op.Method == http.MethodGet {
							w.lists(t, c, op, k)
							return
						}
						for _, row := range w.behind[k.Key()] {
							w.operates(t, c, op, k, row)
						}
					})
				})
				w.unchanged(t)
			})
		}
		t.Run("references", w.references)
		t.Run("numbers", w.numbers)
		t.Run("summary", w.summary)
		t.Run("pages", w.pages)
		t.Run("keys", w.keys)
		w.unchanged(t)
	})
}

// operates tries an operation that is no list on one object, with bodies that
// the operation would take, and some that it would not.
func (w *wall) operates(t *testing.T, c *enginetest.Client, op operation.Operation, k *engine.Kind, row store.Row) {
	t.Helper()
	path := fill(op.Path, row)
	if k.ParentParameter != "" && (op.ID == k.Operations[engine.Read] || op.ID == k.Operations[engine.Delete]) {
		path += "?" + url.Values{k.ParentParameter: {row.Parent}}.Encode()
	}
	checks := slices.ContainsFunc(k.Checks, func(c engine.Check) bool { return c.Operation == op.ID })
	bodies := []any{nil}
	if op.Method != http.MethodGet && op.Method != http.MethodDelete {
		whole := document(t, k, row)
		if checks {
			whole["id"] = row.ID
		}
		bodies = []any{whole, map[string]any{}, map[string]any{"display_name": "", "filter": 7}}
	}
	for _, body := range bodies {
		a := w.compare(t, c, op.Method, path, body)
		if (checks || strings.Contains(op.Path, "{id}")) && a.Status < 400 {
			t.Errorf("%s %s succeeds: %s", op.Method, path, a.Raw)
		}
	}
}

// lists asks a list for everything, and for what each object behind the wall
// has in each field that can be filtered by.
func (w *wall) lists(t *testing.T, c *enginetest.Client, op operation.Operation, k *engine.Kind) {
	t.Helper()
	for _, row := range w.behind[k.Key()] {
		path := fill(op.Path, row)
		base := url.Values{}
		if spec := specs[k.Key()]; spec.Query != nil {
			base = spec.Query(t, w.Client(w.Other))
			// The same of one's own organization shows what is here, and nothing
			// of what is there.
			own := spec.Query(t, w.admin)
			_, raw := pagesOf(t, c, path+"?page_size=100&"+own.Encode())
			w.tellsNothing(t, op.ID, "", enginetest.Answer{Raw: []byte(raw)})
		}
		if len(base) > 0 || strings.Contains(op.Path, "{") {
			w.findsNothing(t, c, path+"?"+base.Encode())
		} else {
			_, raw := pagesOf(t, c, path)
			w.tellsNothing(t, op.ID, "", enginetest.Answer{Raw: []byte(raw)})
		}
		for _, field := range filters(k.Fields, "") {
			value := filterText(document(t, k, row), field)
			if value == "" {
				continue
			}
			query := maps.Clone(base)
			query[field] = []string{value}
			a := w.compare(t, c, op.Method, path+"?"+query.Encode(), nil)
			if field != "display_name" && field != "status" && field != "role_name" && field != "spec.resource" {
				found, _ := a.Body["data"].([]any)
				if a.Status == http.StatusOK && len(found) > 0 {
					t.Errorf("%s?%s finds %d objects", path, query.Encode(), len(found))
				}
			}
		}
	}
}

// findsNothing asks for a list of what is behind the wall.
func (w *wall) findsNothing(t *testing.T, c *enginetest.Client, path string) {
	t.Helper()
	a := w.compare(t, c, http.MethodGet, path, nil)
	if data, _ := a.Body["data"].([]any); a.Status == http.StatusOK && len(data) > 0 {
		t.Errorf("GET %s finds %s", path, a.Raw)
	}
}

// filters are the dotted paths of the fields that lists can be filtered by.
func filters(fields []engine.Field, prefix string) []string {
	var out []string
	for _, f := range fields {
		if f.Filter != engine.NotFiltered {
			out = append(out, prefix+f.Name)
		}
		if f.Type == engine.Structure {
			out = append(out, filters(f.Fields, prefix+f.Name+".")...)
		}
	}
	return out
}

// filterText is what to filter a dotted path by: a text, or the ID of a
// reference.
func filterText(document map[string]any, path string) string {
	head, rest, more := strings.Cut(path, ".")
	switch v := document[head].(type) {
	case string:
		return v
	case map[string]any:
		if !more {
			rest = "id"
		}
		return filterText(v, rest)
	default:
		return ""
	}
}

// references names what is behind the wall in everything that can refer to
// something, together with what is on this side.
func (w *wall) references(t *testing.T) {
	mine := w.account(t)
	env := w.environment(t)
	there := "crn://confluent.cloud/organization=" + w.Other.Organization
	accounts, envs := w.behind["iam/v2.ServiceAccount"], w.behind["org/v2.Environment"]
	people := []string{w.Other.Principal, accounts[0].ID, accounts[len(accounts)-1].ID}
	for _, principal := range slices.Concat(w.behind["iam.v2/sso.GroupMapping"], w.behind["iam/v2.IdentityPool"]) {
		people = append(people, principal.ID)
	}
	var bodies []map[string]any
	for _, person := range people {
		bodies = append(bodies,
			binding(person, "MetricsViewer", w.root),
			binding(person, "OrganizationAdmin", w.root),
			binding(person, "DataDiscovery", w.root+"/environment="+env))
	}
	for _, e := range envs {
		bodies = append(bodies,
			binding(mine, "DataDiscovery", w.root+"/environment="+e.ID),
			binding(mine, "DataDiscovery", there+"/environment="+e.ID),
			binding(mine, "DeveloperRead", there+"/environment="+e.ID+cluster+"/kafka=lkc-1/topic=*"))
	}
	for _, a := range accounts {
		bodies = append(bodies,
			binding(mine, "ResourceOwner", w.root+"/service-account="+a.ID),
			binding(mine, "ResourceOwner", there+"/service-account="+a.ID))
	}
	for _, pool := range w.behind["iam/v2.IdentityPool"] {
		name := "/identity-provider=" + pool.Parent + "/identity-pool=" + pool.ID
		bodies = append(bodies, binding(mine, "ResourceOwner", w.root+name), binding(mine, "ResourceOwner", there+name))
	}
	bodies = append(bodies, binding(mine, "OrganizationAdmin", there), binding(w.Admin.Principal, "OrganizationAdmin", there))
	for _, body := range bodies {
		if a := w.compare(t, w.admin, http.MethodPost, roleBindings, body); a.Status < 400 {
			t.Errorf("a binding through the wall: %s", a.Raw)
		}
	}
	for _, person := range people {
		w.compare(t, w.admin, http.MethodPost, serviceAccounts+"?assigned_resource_owner="+person, map[string]any{"display_name": "through the wall"}).Want(t, http.StatusBadRequest)
		for _, resource := range []string{"cloud", "global", "tableflow"} {
			if a := w.compare(t, w.admin, http.MethodPost, apiKeys, keyFor(person, resource)); a.Status < 400 {
				t.Errorf("a key through the wall: %s", a.Raw)
			}
		}
	}
	// Filters for what is behind the wall, each way that they can be written.
	for _, e := range envs {
		for _, pattern := range []string{there, there + "/*", there + "/environment=" + e.ID, there + "/environment=" + e.ID + "/*", w.root + "/environment=" + e.ID, w.root + "/environment=" + e.ID + "/*"} {
			w.findsNothing(t, w.admin, roleBindings+"?crn_pattern="+url.QueryEscape(pattern))
		}
	}
	for _, person := range people {
		w.findsNothing(t, w.admin, roleBindings+"?crn_pattern="+url.QueryEscape(w.root+"/*")+"&principal="+url.QueryEscape("User:"+person))
		w.findsNothing(t, w.admin, apiKeys+"?spec.owner="+person)
	}
	// Names are taken on their own side only.
	w.compare(t, w.admin, http.MethodPost, serviceAccounts, map[string]any{"display_name": "hidden account"}).Want(t, http.StatusCreated)
	for _, u := range w.behind["iam/v2.User"] {
		body := map[string]any{"email": document(t, w.Engine.Kind("iam/v2.User"), u)["email"]}
		a := w.admin.Do(t, http.MethodPost, invitations, body).Want(t, http.StatusCreated)
		if a.Text("user.id") == u.ID {
			t.Error("an invitation gives away a user behind the wall")
		}
		w.admin.Do(t, http.MethodDelete, invitations+"/"+a.ID(), nil).Want(t, http.StatusNoContent)
	}
}

// pages takes the page tokens of the other organization's lists.
func (w *wall) pages(t *testing.T) {
	other := w.Client(w.Other)
	a := other.Do(t, http.MethodGet, serviceAccounts+"?page_size=1", nil).Want(t, http.StatusOK)
	next, err := url.Parse(a.Text("metadata.next"))
	if err != nil || next.Query().Get("page_token") == "" {
		t.Fatalf("there is no next page: %s", a.Raw)
	}
	foreign := w.admin.Do(t, http.MethodGet, serviceAccounts+"?"+next.RawQuery, nil).Want(t, http.StatusBadRequest)
	made := next.Query()
	made.Set("page_token", random.Text(len(made.Get("page_token")), random.MixedAlphanumeric))
	madeUp := w.admin.Do(t, http.MethodGet, serviceAccounts+"?"+made.Encode(), nil).Want(t, http.StatusBadRequest)
	if got, want := essence(t, foreign), essence(t, madeUp); got != want {
		t.Errorf("a page token of another organization is told from one that was made up:\n%s\n%s", got, want)
	}
}

// numbers asks for the lists of the older API, which have no pages.
func (w *wall) numbers(t *testing.T) {
	for _, path := range []string{"/users", "/service_accounts"} {
		for _, c := range []*enginetest.Client{w.admin, w.Client(w.Nobody)} {
			w.compare(t, c, http.MethodGet, path, nil).Want(t, http.StatusOK)
		}
	}
}

// summary asks for the summary of what is behind the wall.
func (w *wall) summary(t *testing.T) {
	for _, row := range w.behind["org/v2.Environment"] {
		for _, scope := range []string{
			w.root + "/environment=" + row.ID,
			"crn://confluent.cloud/organization=" + w.Other.Organization,
			"crn://confluent.cloud/organization=" + w.Other.Organization + "/environment=" + row.ID,
		} {
			for _, c := range []*enginetest.Client{w.admin, w.Client(w.Nobody)} {
				if a := w.compare(t, c, http.MethodGet, summaries+"?scope="+url.QueryEscape(scope), nil); a.Status < 400 {
					t.Errorf("a summary of %s: %s", scope, a.Raw)
				}
			}
		}
	}
}

// keys takes keys of the other organization with secrets of this one, and the
// other way round.
func (w *wall) keys(t *testing.T) {
	for _, caller := range []enginetest.Caller{
		{Key: w.Other.Key, Secret: w.Admin.Secret},
		{Key: w.Admin.Key, Secret: w.Other.Secret},
	} {
		hidden := w.Client(caller).Do(t, http.MethodGet, environments, nil).Want(t, http.StatusUnauthorized)
		caller.Key = unused(w.Engine.Kind("iam/v2.ApiKey"), caller.Key)
		missing := w.Client(caller).Do(t, http.MethodGet, environments, nil).Want(t, http.StatusUnauthorized)
		if got, want := essence(t, hidden), essence(t, missing); got != want {
			t.Errorf("a key of another organization is told from one that never was:\n%s\n%s", got, want)
		}
	}
	// Each key sees its own organization, and that one only.
	for _, caller := range []enginetest.Caller{w.Admin, w.Other} {
		if got := walkIDs(t, w.Client(caller), organizations); !slices.Equal(got, []string{caller.Organization}) {
			t.Errorf("the key of %s sees the organizations %q", caller.Organization, got)
		}
	}
}
