package server_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/server"
)

// sink is a made-up kind that uses provider integrations, as connectors will:
// no kind that is served does yet.
var sink = &engine.Kind{
	Group: "test", Version: "v1", Name: "Sink",
	Description: "A made-up kind that uses provider integrations.",
	Path:        "/artifact/v1/flink-artifacts",
	Operations: map[engine.Verb]string{
		engine.List:   "listArtifactV1FlinkArtifacts",
		engine.Create: "createArtifactV1FlinkArtifact",
		engine.Read:   "getArtifactV1FlinkArtifact",
		engine.Update: "updateArtifactV1FlinkArtifact",
		engine.Delete: "deleteArtifactV1FlinkArtifact",
	},
	ID:       engine.IDShape{Prefix: "sink-", Length: 8, Alphabet: random.LowerAlphanumeric},
	Segment:  "sink",
	Resource: "FlinkArtifact",
	Parent:   org.Environment, ParentField: "environment", ParentParameter: "environment",
	Fields: []engine.Field{
		{
			Name: "integration", Type: engine.Reference, Filter: engine.FilterOne, Description: "What it acts through.",
			To: &engine.ReferenceTo{Kinds: []string{"pim/v2.Integration"}, OnDelete: engine.Restrict, Asks: "Assign"},
		},
		{Name: "spare", Type: engine.Array, MaxItems: 5, Description: "What it could act through.", Items: &engine.Field{
			Name: "integration", Type: engine.Reference, Description: "An integration.",
			To: &engine.ReferenceTo{Kinds: []string{"pim/v2.Integration"}, OnDelete: engine.Restrict, Asks: "Assign"},
		}},
		{
			Name: "account", Type: engine.Reference, Description: "Who it acts as.",
			To: &engine.ReferenceTo{Kinds: []string{"iam/v2.ServiceAccount"}, OnDelete: engine.Keep, Typed: true, Asks: "Assign"},
		},
		{
			Name: "environment", Type: engine.Reference, Required: true, Immutable: true, Filter: engine.FilterOne, FilterRequired: true,
			Description: "Where it is.", To: &engine.ReferenceTo{Kinds: []string{org.Environment.Key()}, OnDelete: engine.Cascade},
		},
	},
}

// withSinks serves the real kinds and sinks.
func withSinks(t *testing.T, databaseURL string) *enginetest.World {
	t.Helper()
	return serve(t, databaseURL, append(server.Kinds(), sink), time.Now)
}

func ref(id string) map[string]any { return map[string]any{"id": id} }

func (s *integrated) sinkBody(env, integration string, spare ...string) map[string]any {
	body := map[string]any{"environment": ref(env), "integration": ref(integration)}
	var list []any
	for _, id := range spare {
		list = append(list, ref(id))
	}
	if list != nil {
		body["spare"] = list
	}
	return body
}

func (s *integrated) sink(t *testing.T, env, integration string, spare ...string) string {
	t.Helper()
	return create(t, s.admin, sink.Path, s.sinkBody(env, integration, spare...))
}

// created makes an integration that something can use.
func (s *integrated) created(t *testing.T) string {
	t.Helper()
	return s.v1(t, customerRole(int(drawn.Add(1)))).Want(t, http.StatusCreated).ID()
}

// wantUsages compares what both versions tell of an integration, in reads and
// in lists, with the sinks that should be told of, in the environment of the
// scene.
func (s *integrated) wantUsages(t *testing.T, id string, sinks ...string) {
	t.Helper()
	want := []any{}
	for _, n := range sinks {
		env := s.env
		if before, after, ok := strings.Cut(n, "/"); ok {
			env, n = before, after
		}
		want = append(want, s.root+"/environment="+env+"/sink="+n)
	}
	status := "CREATED"
	if len(want) > 0 {
		status = "ACTIVE"
	}
	for _, path := range []string{integrationsV1, integrations} {
		a := s.read(t, path, id)
		if got, _ := a.Body["usages"].([]any); !slices.Equal(got, want) {
			t.Errorf("%s tells of %q, want %q", path, got, want)
		}
		if got := a.Text("status"); path == integrations && got != status {
			t.Errorf("the status is %s, want %s", got, status)
		}
	}
	if got := walkIDs(t, s.admin, integrations+in(s.env)+"&status="+status); !slices.Contains(got, id) {
		t.Errorf("the list of what is %s lacks %s: %q", status, id, got)
	}
	other := map[string]string{"ACTIVE": "CREATED", "CREATED": "ACTIVE"}[status]
	if got := walkIDs(t, s.admin, integrations+in(s.env)+"&status="+other); slices.Contains(got, id) {
		t.Errorf("the list of what is %s has %s", other, id)
	}
}

func TestUsages(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := withSinks(t, databaseURL)
		t.Run("Sink", func(t *testing.T) {
			enginetest.Run(t, w, sink, enginetest.Spec{
				Body: func(t *testing.T, c *enginetest.Client, n int) map[string]any {
					env := sharedEnvironment(t, c)
					one := create(t, c, integrations, map[string]any{"display_name": fmt.Sprint(n), "environment": ref(env)})
					two := create(t, c, integrations, map[string]any{"display_name": fmt.Sprint(n), "environment": ref(env)})
					return map[string]any{
						"environment": ref(env), "integration": ref(one), "spare": []any{ref(two)}, "account": ref(serviceAccount(t, c, int(made.Add(1))+2e6)),
					}
				},
				Query: inSharedEnvironment,
			})
		})
		t.Run("Told", func(t *testing.T) { testUsagesTold(t, newIntegrated(t, w)) })
		t.Run("Held", func(t *testing.T) { testUsedIsHeld(t, newIntegrated(t, w)) })
		t.Run("Assign", func(t *testing.T) { testAssign(t, newIntegrated(t, w)) })
		t.Run("AtOnce", func(t *testing.T) { testUsagesAtOnce(t, newIntegrated(t, w)) })
		t.Run("Race", func(t *testing.T) { testUseRace(t, newIntegrated(t, w)) })
	})
}

// testUsagesTold makes, changes and ends references.
func testUsagesTold(t *testing.T, s *integrated) {
	one, two := s.created(t), s.created(t)
	s.wantUsages(t, one)
	before := s.read(t, integrations, one).Text("metadata.updated_at")
	first := s.sink(t, s.env, one)
	s.wantUsages(t, one, first)
	if after := s.read(t, integrations, one).Text("metadata.updated_at"); after <= before {
		t.Errorf("a usage leaves updated_at at %s", after)
	}
	// Two references from one object are one usage; the order is that of time.
	second := s.sink(t, s.env, one, one, two)
	s.wantUsages(t, one, first, second)
	s.wantUsages(t, two, second)

	change := func(id string, body map[string]any) enginetest.Answer {
		t.Helper()
		return s.admin.Do(t, http.MethodPatch, sink.Path+"/"+id, body)
	}
	change(second, map[string]any{"integration": nil}).Want(t, http.StatusOK)
	s.wantUsages(t, one, first, second) // it is a spare still
	change(second, map[string]any{"spare": []any{ref(two)}}).Want(t, http.StatusOK)
	s.wantUsages(t, one, first)
	s.wantUsages(t, two, second)
	change(first, map[string]any{"integration": ref(two)}).Want(t, http.StatusOK)
	s.wantUsages(t, one)
	s.wantUsages(t, two, second, first)
	// What fails tells nothing.
	change(first, map[string]any{"integration": ref(one), "spare": []any{ref("cspi-00000")}}).WantInvalid(t, "/spare/0/id")
	s.admin.Do(t, http.MethodPost, sink.Path, s.sinkBody(s.env, one, "cspi-00000")).WantInvalid(t, "/spare/0/id")
	s.wantUsages(t, one)
	s.wantUsages(t, two, second, first)

	s.admin.Do(t, http.MethodDelete, sink.Path+"/"+second+in(s.env), nil).Want(t, http.StatusNoContent)
	s.wantUsages(t, two, first)
	s.admin.Do(t, http.MethodDelete, sink.Path+"/"+first+in(s.env), nil).Want(t, http.StatusNoContent)
	s.wantUsages(t, two)

	// A draft stays one, however much it is used.
	draft := s.draft(t, "gcp", "used draft")
	user := s.sink(t, s.env, draft)
	if a := s.read(t, integrations, draft); a.Text("status") != "DRAFT" || len(a.Body["usages"].([]any)) != 1 {
		t.Errorf("a draft in use: %s", a.Raw)
	}
	s.configure(t, draft, map[string]any{"kind": "GcpIntegrationConfig", "customer_google_service_account": "a@b-project.iam.gserviceaccount.com"}).Want(t, http.StatusOK)
	s.wantUsages(t, draft, user)
}

// testUsedIsHeld deletes what is in use.
func testUsedIsHeld(t *testing.T, s *integrated) {
	used := s.created(t)
	user := s.sink(t, s.env, used)
	name := s.root + "/environment=" + s.env + "/sink=" + user
	for _, path := range []string{integrationsV1, integrations} {
		a := s.admin.Do(t, http.MethodDelete, path+"/"+used+in(s.env), nil).WantCode(t, api.InUse)
		if !strings.Contains(a.Text("error.message"), name) || a.Header.Get("Location") != s.URL+sink.Path+"/"+user+in(s.env) {
			t.Errorf("the refusal does not name %s: %s", name, a.Raw)
		}
	}
	// Who may delete the integration, and may not know of what uses it.
	owner := s.holder(t, "ResourceOwner", s.root+"/environment="+s.env+"/provider-integration="+used)
	if a := owner.Do(t, http.MethodDelete, integrations+"/"+used+in(s.env), nil).WantCode(t, api.InUse); strings.Contains(string(a.Raw), user) || a.Header.Get("Location") != "" {
		t.Errorf("the refusal tells what is hidden: %s", a.Raw)
	}
	s.wantUsages(t, used, user)

	// An environment takes along what uses its integrations inside of it, and is
	// held by what uses them from outside.
	elsewhere := s.environment(t)
	outside := s.sink(t, elsewhere, used)
	s.wantUsages(t, used, user, elsewhere+"/"+outside)
	s.admin.Do(t, http.MethodDelete, environments+"/"+s.env, nil).WantCode(t, api.InUse)
	s.wantUsages(t, used, user, elsewhere+"/"+outside)
	s.admin.Do(t, http.MethodDelete, environments+"/"+elsewhere, nil).Want(t, http.StatusNoContent)
	s.wantUsages(t, used, user)
	s.admin.Do(t, http.MethodDelete, environments+"/"+s.env, nil).Want(t, http.StatusNoContent)
	s.admin.Do(t, http.MethodGet, sink.Path+"/"+user+in(s.env), nil).WantCode(t, api.ResourceNotFound)
}

// testAssign makes references as who may see, may assign, or may do neither.
func testAssign(t *testing.T, s *integrated) {
	one, two := s.created(t), s.created(t)
	place := s.root + "/environment=" + s.env
	developer := s.account(t)
	s.bind(t, developer, "FlinkDeveloper", place) // may make sinks, and knows of no integration
	c := s.client(t, developer)
	use := func(integration string, spare ...string) enginetest.Answer {
		t.Helper()
		return c.Do(t, http.MethodPost, sink.Path, s.sinkBody(s.env, integration, spare...))
	}
	hidden := use(one)
	hidden.WantInvalid(t, "/integration/id")
	unknown := use("cspi-00000")
	unknown.WantInvalid(t, "/integration/id")
	if a, b := strings.ReplaceAll(hidden.Text("error.message"), one, "ID"), strings.ReplaceAll(unknown.Text("error.message"), "cspi-00000", "ID"); a != b {
		t.Errorf("what is hidden answers %q, what is nowhere %q", a, b)
	}
	s.wantUsages(t, one)

	s.bind(t, developer, "Assigner", place+"/provider-integration="+one)
	mine := use(one).Want(t, http.StatusCreated).ID()
	s.wantUsages(t, one, mine)
	use(one, two).WantInvalid(t, "/spare/0/id")
	change := func(body map[string]any) enginetest.Answer {
		t.Helper()
		return c.Do(t, http.MethodPatch, sink.Path+"/"+mine, body)
	}
	change(map[string]any{"integration": ref(two)}).WantInvalid(t, "/integration/id")
	// A reference that somebody else made stays without asking again.
	s.admin.Do(t, http.MethodPatch, sink.Path+"/"+mine, map[string]any{"spare": []any{ref(two)}}).Want(t, http.StatusOK)
	change(map[string]any{"spare": []any{ref(two), ref(one)}}).Want(t, http.StatusOK)
	change(map[string]any{"spare": nil}).Want(t, http.StatusOK)
	change(map[string]any{"spare": []any{ref(two)}}).WantInvalid(t, "/spare/0/id")
	s.wantUsages(t, two)

	owner := s.account(t)
	s.bind(t, owner, "FlinkDeveloper", place)
	s.bind(t, owner, "ResourceOwner", place+"/provider-integration="+two)
	s.client(t, owner).Do(t, http.MethodPost, sink.Path, s.sinkBody(s.env, two)).Want(t, http.StatusCreated)

	// What may be seen and not assigned is refused as such.
	environmentAdmin := s.account(t)
	s.bind(t, environmentAdmin, "EnvironmentAdmin", place)
	s.bind(t, environmentAdmin, "FlinkDeveloper", place)
	admin, bystander := s.client(t, environmentAdmin), s.account(t)
	body := merged(s.sinkBody(s.env, one), "account", ref(bystander))
	if a := admin.Do(t, http.MethodPost, sink.Path, body).WantCode(t, api.UserUnauthorized); !strings.Contains(a.Text("error.message"), "Assign on ServiceAccount") {
		t.Errorf("the refusal is %s", a.Raw)
	}
	s.bind(t, environmentAdmin, "Assigner", s.root+"/service-account="+bystander)
	admin.Do(t, http.MethodPost, sink.Path, body).Want(t, http.StatusCreated)
}

// testUsagesAtOnce uses integrations from many sides at the same time: none of
// it is lost.
func testUsagesAtOnce(t *testing.T, s *integrated) {
	one, two := s.created(t), s.created(t)
	const workers, each = 6, 5
	stay := make([][]string, workers)
	var all sync.WaitGroup
	for n := range workers {
		all.Go(func() {
			for i := range each {
				a, b := one, two
				if (n+i)%2 == 1 {
					a, b = two, one
				}
				id := s.admin.Do(t, http.MethodPost, sink.Path, s.sinkBody(s.env, a, b)).ID()
				switch i % 3 {
				case 0:
					stay[n] = append(stay[n], id)
				case 1:
					s.admin.Do(t, http.MethodPatch, sink.Path+"/"+id, map[string]any{"integration": ref(b), "spare": []any{ref(a)}})
					stay[n] = append(stay[n], id)
				default:
					s.admin.Do(t, http.MethodDelete, sink.Path+"/"+id+in(s.env), nil)
				}
			}
		})
	}
	all.Wait()
	for _, id := range []string{one, two} {
		names, _ := s.read(t, integrations, id).Body["usages"].([]any)
		var got []string
		for _, name := range names {
			_, after, _ := strings.Cut(name.(string), "/sink=")
			got = append(got, after)
		}
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(slices.Concat(stay...))); !slices.Equal(got, want) {
			t.Errorf("%s is used by %q, want %q", id, got, want)
		}
	}
}

// testUseRace deletes integrations while others begin and end to use them:
// nothing ever refers to what is gone.
func testUseRace(t *testing.T, s *integrated) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for round := range 12 {
		if ctx.Err() != nil {
			t.Fatal("the rounds take too long")
		}
		id := s.created(t)
		held := ""
		if round%2 == 0 {
			held = s.sink(t, s.env, id)
		}
		var all sync.WaitGroup
		var made, deleted enginetest.Answer
		all.Go(func() { made = s.admin.Do(t, http.MethodPost, sink.Path, s.sinkBody(s.env, id)) })
		all.Go(func() { deleted = s.admin.Do(t, http.MethodDelete, integrations+"/"+id+in(s.env), nil) })
		if held != "" {
			all.Go(func() {
				s.admin.Do(t, http.MethodDelete, sink.Path+"/"+held+in(s.env), nil).Want(t, http.StatusNoContent)
			})
		}
		all.Wait()
		switch {
		case deleted.Status == http.StatusNoContent:
			made.WantInvalid(t, "/integration/id")
		default:
			deleted.WantCode(t, api.InUse)
			made.Want(t, http.StatusCreated)
			s.wantUsages(t, id, made.ID())
		}
	}
}
