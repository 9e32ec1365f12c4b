package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
)

// below names an object of a kind by its environment and further segments.
func below(segments ...string) func(*engine.Object) crn.CRN {
	return func(o *engine.Object) crn.CRN {
		c := crn.Must(engine.OrganizationCRN(o.Org).Append("environment", o.Parent))
		for i := 0; i < len(segments); i += 2 {
			c = crn.Must(c.Append(segments[i], segments[i+1]))
		}
		return c
	}
}

// The kinds that keys can be made for and that nobody keeps yet, as far as keys
// need them: where they are, and what seeing them asks for.
var (
	kafkaCluster = &engine.Kind{
		Group: "cmk", Version: "v2", Name: "Cluster", Path: "/cmk/v2/clusters", Parent: org.Environment,
		ID:      engine.IDShape{Prefix: "lkc-", Length: 6, Alphabet: random.LowerAlphanumeric},
		Segment: "cloud-cluster", Under: below(), Resource: "CloudCluster", Guards: guardedByName("CloudCluster"), GuardedAs: []string{"CloudCluster"},
	}
	schemaRegistry = &engine.Kind{
		Group: "srcm", Version: "v3", Name: "Cluster", Path: "/srcm/v3/clusters", Parent: org.Environment,
		ID:      engine.IDShape{Prefix: "lsrc-", Length: 6, Alphabet: random.LowerAlphanumeric},
		Segment: "schema-registry", Under: below(), Resource: "SchemaRegistry", Guards: guardedByName("SchemaRegistry"), GuardedAs: []string{"SchemaRegistry"},
	}
	ksqlCluster = &engine.Kind{
		Group: "ksqldbcm", Version: "v2", Name: "Cluster", Path: "/ksqldbcm/v2/clusters", Parent: org.Environment,
		ID:      engine.IDShape{Prefix: "lksqlc-", Length: 6, Alphabet: random.LowerAlphanumeric},
		Segment: "ksql", Under: below("cloud-cluster", "lkc-000001"), Resource: "KsqlCluster", Guards: guardedByName("KsqlCluster"), GuardedAs: []string{"KsqlCluster"},
	}
	flinkRegion = &engine.Kind{
		Group: "fcpm", Version: "v2", Name: "Region", Path: "/fcpm/v2/regions", Parent: org.Environment,
		ID:      engine.IDShape{Prefix: "aws.", Length: 6, Alphabet: random.LowerAlphanumeric},
		Segment: "flink-region", Under: below(), Resource: "FlinkRegion", Guards: guardedByName("FlinkRegion"), GuardedAs: []string{"FlinkRegion"},
	}
)

func guardedByName(resource string) func(*engine.Object) []engine.Guard {
	return func(o *engine.Object) []engine.Guard {
		return []engine.Guard{{Resource: resource, On: crn.PatternOf(o.Kind.CRN(o))}}
	}
}

// keyMatrix says who makes a key of which type for a service account: y
// anywhere, e for a resource in the environment, c in the cluster, q for the
// ksqlDB cluster, n not at all. It is the newest table of the facts (semantics
// 2.2), and "any other" is written out.
const keyMatrix = `
role                  bound     Cloud Kafka SR Flink Tableflow ksqlDB Global
OrganizationAdmin     org       y y y y y y y
ResourceOwner         account   y y y y y y y
EnvironmentAdmin      env       n e e e n e n
CloudClusterAdmin     cluster   n c n n n c n
ResourceKeyAdmin      org       n y y n y y n
ResourceKeyAdmin      env       n e e n n e n
ResourceKeyAdmin      cluster   n c n n n c n
FlinkAdmin            org       n n n y n n n
FlinkAdmin            env       n n n e n n n
KsqlAdmin             ksql      n n n n n q n
AccountAdmin          org       n n n n n n n
Assigner              account   n n n n n n n
BillingAdmin          org       n n n n n n n
ClusterLinkConnection link      n n n n n n n
ConnectManager        connector n n n n n n n
DataDiscovery         env       n n n n n n n
DataSteward           env       n n n n n n n
DeveloperManage       topic     n n n n n n n
DeveloperRead         topic     n n n n n n n
DeveloperWrite        topic     n n n n n n n
FlinkDeveloper        env       n n n n n n n
MetricsViewer         org       n n n n n n n
NetworkAdmin          org       n n n n n n n
Operator              org       n n n n n n n
Operator              env       n n n n n n n
ResourceOwner         topic     n n n n n n n
ResourceOwner         ksql      n n n n n n n
`

// tableflowRegions is the one operation that takes a key for Tableflow.
const tableflowRegions = "/tableflow/v1/regions"

// keyScene is a scene with two environments, each with one of everything that
// keys are made for.
type keyScene struct {
	*scene
	env [2]string
	// resources are the IDs, by type, in the first and in the second
	// environment; what there is only one of is in neither.
	resources map[string][2]string
}

func newKeyScene(t *testing.T, databaseURL string) *keyScene {
	t.Helper()
	kinds := append(server.Kinds(), kafkaCluster, schemaRegistry, ksqlCluster, flinkRegion)
	s := &keyScene{scene: newScene(serve(t, databaseURL, kinds, time.Now))}
	s.env = [2]string{s.environment(t), s.environment(t)}
	s.resources = map[string][2]string{
		"Cloud": {"cloud", ""}, "Tableflow": {"TABLEFLOW", ""}, "Global": {"Global", ""},
		"Kafka": {"lkc-000001", "lkc-000002"}, "SR": {"lsrc-000001", "lsrc-000002"},
		"ksqlDB": {"lksqlc-000001", "lksqlc-000002"}, "Flink": {"aws.useast1", "aws.uswest2"},
	}
	kept := map[string]*engine.Kind{"Kafka": kafkaCluster, "SR": schemaRegistry, "ksqlDB": ksqlCluster, "Flink": flinkRegion}
	err := s.Engine.Store.Update(t.Context(), func(tx store.Tx) error {
		for name, k := range kept {
			for i, id := range s.resources[name] {
				o := &engine.Object{Kind: k, Org: s.Admin.Organization, Parent: s.env[i], ID: id, Doc: engine.Doc{}}
				if err := s.Engine.Insert(t.Context(), tx, o); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bound is the pattern of a column of the matrix.
func (s *keyScene) bound(t *testing.T, scope, account string) string {
	t.Helper()
	env := s.root + "/environment=" + s.env[0]
	names := map[string]string{
		"org": s.root, "account": s.root + "/service-account=" + account, "env": env,
		"cluster": env + "/cloud-cluster=lkc-000001", "ksql": env + "/cloud-cluster=lkc-000001/ksql=lksqlc-000001",
		"topic":     env + "/cloud-cluster=lkc-000001/kafka=lkc-000001/topic=*",
		"link":      env + "/cloud-cluster=lkc-000001/kafka=lkc-000001/cluster-link=x",
		"connector": env + "/cloud-cluster=lkc-000001/connector=*",
	}
	if names[scope] == "" {
		t.Fatalf("the matrix names the scope %q", scope)
	}
	return names[scope]
}

// TestKeyMatrix makes keys of every type, for a service account, as every role.
func TestKeyMatrix(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s := newKeyScene(t, databaseURL)
		lines := strings.Split(strings.TrimSpace(keyMatrix), "\n")
		types := strings.Fields(lines[0])[2:]
		for _, line := range lines[1:] {
			f := strings.Fields(line)
			role, scope, cells := f[0], f[1], f[2:]
			t.Run(role+" "+scope, func(t *testing.T) {
				account, stranger := s.account(t), s.account(t)
				c := s.holder(t, role, s.bound(t, scope, account))
				for i, resource := range types {
					for n, id := range s.resources[resource] {
						if id == "" {
							continue
						}
						want := cells[i] == "y" || n == 0 && cells[i] != "n"
						s.tryKey(t, c, account, id, want)
						// A role on one service account is none on another.
						s.tryKey(t, c, stranger, id, want && scope != "account")
					}
				}
			})
		}
	})
}

// tryKey makes a key and, where that is allowed, uses and deletes it as its
// maker may.
func (s *keyScene) tryKey(t *testing.T, c *enginetest.Client, owner, resource string, want bool) {
	t.Helper()
	a := c.Do(t, http.MethodPost, apiKeys, keyFor(owner, resource))
	if got := a.Status == http.StatusAccepted; got != want {
		t.Errorf("a key for %s: %t, want %t: %s", resource, got, want, a.Raw)
	}
	if a.Status != http.StatusAccepted {
		// Refused, or the resource is none that the caller can see.
		if a.Code() != "user_unauthorized" && a.Code() != "invalid_configuration" {
			t.Errorf("a key for %s: %s", resource, a.Raw)
		}
		return
	}
	path := apiKeys + "/" + a.ID()
	c.Do(t, http.MethodGet, path, nil).Want(t, http.StatusOK)
	if !slices.Contains(walkIDs(t, c, apiKeys+"?page_size=100"), a.ID()) {
		t.Errorf("the maker of a key for %s does not see it in the list", resource)
	}
	// Only Cloud and Global keys reach the management operations.
	key := s.Client(enginetest.Caller{Key: a.ID(), Secret: a.Text("spec.secret")})
	reaches := strings.EqualFold(resource, "cloud") || strings.EqualFold(resource, "global")
	if got := key.Do(t, http.MethodGet, environments, nil).Status; got == http.StatusOK != reaches {
		t.Errorf("a key for %s gets %d from the environments", resource, got)
	}
	// One of Tableflow shows that it works where the provider of Terraform asks.
	if strings.EqualFold(resource, "tableflow") {
		regions := key.Do(t, http.MethodGet, tableflowRegions, nil).Want(t, http.StatusOK)
		if data, ok := regions.Body["data"].([]any); !ok || len(data) != 0 {
			t.Errorf("the regions are %s", regions.Raw)
		}
	} else if reaches {
		key.Do(t, http.MethodGet, tableflowRegions, nil).Want(t, http.StatusUnauthorized)
	}
	c.Do(t, http.MethodPatch, path, map[string]any{"spec": map[string]any{"description": "changed"}}).Want(t, http.StatusOK)
	c.Do(t, http.MethodDelete, path, nil).Want(t, http.StatusNoContent)
	key.Do(t, http.MethodGet, tableflowRegions, nil).Want(t, http.StatusUnauthorized)
}

// TestKeysOfUsers is about keys for oneself: any user makes them, of every
// type, for what it can see; and nobody makes one for another user.
func TestKeysOfUsers(t *testing.T) {
	t.Parallel()
	s := newKeyScene(t, "")
	c := s.Client(s.Member)
	for _, id := range []string{"cloud", "global", "tableflow"} {
		s.tryKey(t, c, s.Member.Principal, id, true)
		s.tryKey(t, c, s.Admin.Principal, id, false)
		s.tryKey(t, s.admin, s.Member.Principal, id, false)
	}
	// What the user does not see answers like what is not there.
	hidden := c.Do(t, http.MethodPost, apiKeys, keyFor(s.Member.Principal, "lkc-000001"))
	unknown := c.Do(t, http.MethodPost, apiKeys, keyFor(s.Member.Principal, "lkc-zzzzzz"))
	hidden.Want(t, http.StatusUnprocessableEntity)
	if got := strings.ReplaceAll(essence(t, hidden), "lkc-000001", "lkc-zzzzzz"); got != essence(t, unknown) {
		t.Errorf("a hidden cluster and an unknown one differ:\n%s\n%s", hidden.Raw, unknown.Raw)
	}
	s.bind(t, s.Member.Principal, "Operator", s.root+"/environment="+s.env[0])
	s.tryKey(t, c, s.Member.Principal, "lkc-000001", true)
	s.tryKey(t, c, s.Member.Principal, "lkc-000002", false)

	// An Operator sees the keys of others for what it operates, and no more.
	operator := s.holder(t, "Operator", s.root+"/environment="+s.env[0])
	account := s.account(t)
	for id, visible := range map[string]bool{"lkc-000001": true, "lsrc-000001": true, "lksqlc-000001": true, "aws.useast1": true, "lkc-000002": false, "cloud": false, "global": false, "tableflow": false} {
		key := create(t, s.admin, apiKeys, keyFor(account, id))
		want := http.StatusForbidden
		if visible {
			want = http.StatusOK
		}
		operator.Do(t, http.MethodGet, apiKeys+"/"+key, nil).Want(t, want)
		if got := slices.Contains(walkIDs(t, operator, apiKeys+"?page_size=100"), key); got != visible {
			t.Errorf("an Operator sees the key for %s: %t", id, got)
		}
		operator.Do(t, http.MethodDelete, apiKeys+"/"+key, nil).Want(t, http.StatusForbidden)
	}
}

// TestKeyGoesWithItsResource deletes an environment with clusters in it: the
// keys for them go along.
func TestKeyGoesWithItsResource(t *testing.T) {
	t.Parallel()
	s := newKeyScene(t, "")
	account := s.account(t)
	gone := create(t, s.admin, apiKeys, keyFor(account, "lkc-000001"))
	stays := create(t, s.admin, apiKeys, keyFor(account, "lkc-000002"))
	s.admin.Do(t, http.MethodDelete, environments+"/"+s.env[0], nil).Want(t, http.StatusNoContent)
	s.admin.Do(t, http.MethodGet, apiKeys+"/"+gone, nil).Want(t, http.StatusForbidden)
	s.admin.Do(t, http.MethodGet, apiKeys+"/"+stays, nil).Want(t, http.StatusOK)
}
