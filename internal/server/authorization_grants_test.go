package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/clientcert/certtest"
	"github.com/weirhq/weir/internal/engine/enginetest"
)

// granting is what a role can and cannot hand out, as a role and the part of a
// name below the organization in turn: ENV1 and ENV2 stand for environments,
// MINE and WEAK for service accounts without roles, BOSS for one that is
// OrganizationAdmin. The role itself is bound in ENV1, or on MINE.
type granting struct {
	role, bound string
	can, cannot []string
}

// nothing is what nobody below an OrganizationAdmin can grant.
var nothing = []string{
	"OrganizationAdmin", "", "AccountAdmin", "", "MetricsViewer", "", "ResourceKeyAdmin", "", "Operator", "",
	"EnvironmentAdmin", "/environment=ENV2", "DataDiscovery", "/environment=ENV2",
	"CloudClusterAdmin", "/environment=ENV2/cloud-cluster=lkc-2",
	"ResourceOwner", "/service-account=BOSS", "Assigner", "/service-account=BOSS",
}

const (
	topics = "/environment=ENV1/cloud-cluster=lkc-1/kafka=lkc-1/topic="
	near   = "/environment=ENV1/cloud-cluster=lkc-9"
)

// grantings has a row for every role, after the escalation rule of the facts
// (semantics 1.2): roles are granted within the scope of who is
// OrganizationAdmin, EnvironmentAdmin, CloudClusterAdmin or ResourceOwner
// there, and on service accounts by an AccountAdmin.
var grantings = []granting{
	{
		"OrganizationAdmin", "",
		[]string{
			"OrganizationAdmin", "", "AccountAdmin", "", "EnvironmentAdmin", "/environment=ENV2", "DeveloperRead", topics + "*",
			"ResourceOwner", "/service-account=BOSS", "ResourceOwner", "/identity-provider=OP/identity-pool=POOL",
		},
		nil,
	},
	{
		"EnvironmentAdmin", "/environment=ENV1",
		[]string{
			"EnvironmentAdmin", "/environment=ENV1", "FlinkAdmin", "/environment=ENV1", "CloudClusterAdmin", "/environment=ENV1/cloud-cluster=lkc-1",
			"ResourceOwner", topics + "*", "DeveloperRead", topics + "a*", "ResourceOwner", "/environment=ENV1/schema-registry=lsrc-1/subject=*",
			"Assigner", "/environment=ENV1/provider-integration=CSPI", "ResourceOwner", "/environment=ENV1/provider-integration=CSPI",
		},
		[]string{"ResourceOwner", "/service-account=MINE", "Assigner", "/service-account=WEAK"},
	},
	{
		"CloudClusterAdmin", "/environment=ENV1/cloud-cluster=lkc-1",
		[]string{"CloudClusterAdmin", "/environment=ENV1/cloud-cluster=lkc-1", "ResourceOwner", topics + "*", "KsqlAdmin", "/environment=ENV1/cloud-cluster=lkc-1/ksql=lksqlc-1"},
		[]string{
			"EnvironmentAdmin", "/environment=ENV1", "CloudClusterAdmin", near, "DeveloperRead", near + "/kafka=lkc-9/topic=*",
			"DeveloperRead", "/environment=ENV1/schema-registry=lsrc-1/subject=a", "ResourceOwner", "/service-account=MINE",
		},
	},
	{
		"AccountAdmin", "",
		[]string{"ResourceOwner", "/service-account=WEAK", "Assigner", "/service-account=WEAK"},
		[]string{"EnvironmentAdmin", "/environment=ENV1", "BillingAdmin", "", "ResourceOwner", topics + "*", "ResourceOwner", "/identity-provider=OP/identity-pool=POOL"},
	},
	{
		"ResourceOwner", topics + "ab*",
		[]string{"ResourceOwner", topics + "ab*", "DeveloperRead", topics + "abc*", "DeveloperWrite", topics + "ab", "DeveloperRead", topics + "ab%2A"},
		[]string{
			"ResourceOwner", topics + "a*", "DeveloperRead", topics + "*", "DeveloperRead", topics + "a", "DeveloperRead", topics + "b",
			"DeveloperRead", "/environment=ENV1/cloud-cluster=lkc-1/kafka=lkc-1/group=ab", "CloudClusterAdmin", "/environment=ENV1/cloud-cluster=lkc-1",
			"DeveloperManage", "/environment=ENV1/cloud-cluster=lkc-1/kafka=lkc-1",
		},
	},
	{
		"ResourceOwner", topics + "ab",
		[]string{"ResourceOwner", topics + "ab", "DeveloperRead", topics + "ab"},
		[]string{"ResourceOwner", topics + "ab*", "DeveloperRead", topics + "abc"},
	},
	{
		"ResourceOwner", "/service-account=MINE",
		[]string{"ResourceOwner", "/service-account=MINE", "Assigner", "/service-account=MINE"},
		[]string{"ResourceOwner", "/service-account=WEAK", "Assigner", "/service-account=WEAK", "EnvironmentAdmin", "/environment=ENV1"},
	},
	{
		"ResourceOwner", "/environment=ENV1/provider-integration=CSPI",
		[]string{"ResourceOwner", "/environment=ENV1/provider-integration=CSPI", "Assigner", "/environment=ENV1/provider-integration=CSPI"},
		[]string{"EnvironmentAdmin", "/environment=ENV1"},
	},
	{"Assigner", "/environment=ENV1/provider-integration=CSPI", nil, []string{"Assigner", "/environment=ENV1/provider-integration=CSPI"}},
	{
		"ResourceOwner", "/identity-provider=OP/identity-pool=POOL",
		[]string{"ResourceOwner", "/identity-provider=OP/identity-pool=POOL", "Assigner", "/identity-provider=OP/identity-pool=POOL"},
		[]string{"ResourceOwner", "/service-account=MINE", "EnvironmentAdmin", "/environment=ENV1"},
	},
	{"Assigner", "/identity-provider=OP/identity-pool=POOL", nil, []string{"Assigner", "/identity-provider=OP/identity-pool=POOL"}},
	{"Assigner", "/service-account=MINE", nil, []string{"Assigner", "/service-account=MINE", "ResourceOwner", "/service-account=MINE"}},
	{"KsqlAdmin", "/environment=ENV1/cloud-cluster=lkc-1/ksql=lksqlc-1", nil, []string{"KsqlAdmin", "/environment=ENV1/cloud-cluster=lkc-1/ksql=lksqlc-1"}},
	{"BillingAdmin", "", nil, []string{"BillingAdmin", ""}},
	{"ClusterLinkConnection", "/environment=ENV1/cloud-cluster=lkc-1/kafka=lkc-1/cluster-link=x", nil, []string{"ClusterLinkConnection", "/environment=ENV1/cloud-cluster=lkc-1/kafka=lkc-1/cluster-link=x"}},
	{"ConnectManager", "/environment=ENV1/cloud-cluster=lkc-1/connector=*", nil, []string{"ConnectManager", "/environment=ENV1/cloud-cluster=lkc-1/connector=a"}},
	{"DataDiscovery", "/environment=ENV1", nil, []string{"DataDiscovery", "/environment=ENV1", "EnvironmentAdmin", "/environment=ENV1"}},
	{"DataSteward", "/environment=ENV1", nil, []string{"DataSteward", "/environment=ENV1"}},
	{"DeveloperManage", topics + "*", nil, []string{"DeveloperManage", topics + "a"}},
	{"DeveloperRead", topics + "*", nil, []string{"DeveloperRead", topics + "a"}},
	{"DeveloperWrite", topics + "*", nil, []string{"DeveloperWrite", topics + "a"}},
	{"FlinkAdmin", "", nil, []string{"FlinkAdmin", "/environment=ENV1", "FlinkDeveloper", "/environment=ENV1"}},
	{"FlinkDeveloper", "/environment=ENV1", nil, []string{"FlinkDeveloper", "/environment=ENV1"}},
	{"MetricsViewer", "", nil, []string{"MetricsViewer", "/environment=ENV1"}},
	{"NetworkAdmin", "", nil, []string{"NetworkAdmin", "", "EnvironmentAdmin", "/environment=ENV1"}},
	{"Operator", "", nil, []string{"Operator", "/environment=ENV1"}},
	{"ResourceKeyAdmin", "", nil, []string{"ResourceKeyAdmin", "/environment=ENV1"}},
}

// TestGranting tries in both directions, for every role: what it can hand out
// it can, to others and to itself, and the rest it cannot.
func TestGranting(t *testing.T) {
	t.Parallel()
	for _, role := range authz.Roles() {
		if !slices.ContainsFunc(grantings, func(g granting) bool { return g.role == role.Name }) {
			t.Errorf("no row says what %s can grant", role.Name)
		}
	}
	_, w := start(t, "")
	s := newScene(w)
	env1, env2 := s.environment(t), s.environment(t)
	boss, bystander := s.account(t), s.account(t)
	integration := create(t, s.admin, integrations, integrationIn(env1))
	s.bind(t, boss, "OrganizationAdmin", s.root)
	provider := identityProvider(t, s.admin)
	pool := create(t, s.admin, "/iam/v2/identity-providers/"+provider+"/identity-pools", map[string]any{"display_name": "pool", "filter": "true"})
	for _, g := range grantings {
		t.Run(g.role+" "+g.bound, func(t *testing.T) {
			mine, weak := s.account(t), s.account(t)
			name := func(below string) string {
				return s.root + strings.NewReplacer("POOL", pool, "ENV1", env1, "ENV2", env2, "MINE", mine, "WEAK", weak, "BOSS", boss, "CSPI", integration, "=OP/", "="+provider+"/").Replace(below)
			}
			c := s.holder(t, g.role, name(g.bound))
			cannot := g.cannot
			if g.role != authz.OrganizationAdmin {
				cannot = append(slices.Clone(nothing), cannot...)
			}
			for _, principal := range []string{bystander, c.Principal} {
				for i := 0; i < len(g.can); i += 2 {
					if principal == c.Principal && g.can[i] == g.role && g.can[i+1] == g.bound {
						continue // holds it already
					}
					a := c.Do(t, http.MethodPost, roleBindings, binding(principal, g.can[i], name(g.can[i+1])))
					if a.Status != http.StatusCreated {
						t.Errorf("cannot grant %s on %s: %s", g.can[i], g.can[i+1], a.Raw)
						continue
					}
					// And take it back.
					if a := c.Do(t, http.MethodDelete, roleBindings+"/"+a.ID(), nil); a.Status != http.StatusOK {
						t.Errorf("cannot take back %s on %s: %s", g.can[i], g.can[i+1], a.Raw)
					}
				}
				for i := 0; i < len(cannot); i += 2 {
					a := c.Do(t, http.MethodPost, roleBindings, binding(principal, cannot[i], name(cannot[i+1])))
					if a.Status != http.StatusForbidden || a.Code() != "user_unauthorized" {
						t.Errorf("grants %s on %s: %s", cannot[i], cannot[i+1], a.Raw)
					}
				}
			}
			s.checkTakeover(t, g, c, boss)
		})
	}
}

// checkTakeover tries the other ways to the rights of a service account that
// may do everything: a key for it, a new name for it, its deletion, a key for
// the administrator, more for oneself.
func (s *scene) checkTakeover(t *testing.T, g granting, c *enginetest.Client, boss string) {
	t.Helper()
	if g.role == authz.OrganizationAdmin {
		return
	}
	for _, resource := range []string{"cloud", "global", "tableflow"} {
		for _, owner := range []string{boss, s.Admin.Principal} {
			// Keys for Tableflow manage nothing, and are what a ResourceKeyAdmin
			// makes for any service account (semantics 2.2).
			if resource == "tableflow" && g.role == "ResourceKeyAdmin" && owner == boss {
				continue
			}
			a := c.Do(t, http.MethodPost, apiKeys, keyFor(owner, resource))
			if a.Status != http.StatusForbidden {
				t.Errorf("a key of type %s for %s: %s", resource, owner, a.Raw)
			}
		}
	}
	if a := c.Do(t, http.MethodPost, apiKeys, keyFor(c.Principal, "cloud")); a.Status != http.StatusForbidden {
		t.Errorf("another key for itself: %s", a.Raw)
	}
	if a := c.Do(t, http.MethodGet, apiKeys+"/"+s.Admin.Key, nil); a.Status != http.StatusForbidden {
		t.Errorf("sees the administrator's key: %s", a.Raw)
	}
}

// TestTakeoverByWayOfAnother hands out control of a service account that has no
// role of its own, but owns one that may do everything.
func TestTakeoverByWayOfAnother(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	s := newScene(w)
	boss, between, last := s.account(t), s.account(t), s.account(t)
	s.bind(t, boss, "OrganizationAdmin", s.root)
	s.bind(t, between, "ResourceOwner", s.root+"/service-account="+boss)
	s.bind(t, last, "ResourceOwner", s.root+"/service-account="+between)
	c := s.holder(t, "AccountAdmin", s.root)
	for _, account := range []string{boss, between, last} {
		for _, role := range []string{"ResourceOwner", "Assigner"} {
			a := c.Do(t, http.MethodPost, roleBindings, binding(c.Principal, role, s.root+"/service-account="+account))
			if a.Status != http.StatusForbidden {
				t.Errorf("an AccountAdmin becomes %s of %s: %s", role, account, a.Raw)
			}
		}
	}
	// Accounts that own each other, and nothing else, end the search.
	a, b := s.account(t), s.account(t)
	s.bind(t, a, "ResourceOwner", s.root+"/service-account="+b)
	s.bind(t, b, "ResourceOwner", s.root+"/service-account="+a)
	c.Do(t, http.MethodPost, roleBindings, binding(c.Principal, "ResourceOwner", s.root+"/service-account="+a)).Want(t, http.StatusCreated)
}

// TestTakeoverOfAGroup changes whom a group mapping with roles is for.
func TestTakeoverOfAGroup(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	s := newScene(w)
	const mappings = "/iam/v2/sso/group-mappings"
	body := func(filter string) map[string]any {
		return map[string]any{"display_name": fmt.Sprintf("drawn %d", drawn.Add(1)), "filter": filter}
	}
	strong, weak, own := create(t, s.admin, mappings, body("root")), create(t, s.admin, mappings, body("staff")), create(t, s.admin, mappings, body("robots"))
	s.bind(t, strong, "OrganizationAdmin", s.root)
	boss := s.account(t)
	s.bind(t, boss, "OrganizationAdmin", s.root)
	s.bind(t, own, "ResourceOwner", s.root+"/service-account="+boss)
	c := s.holder(t, "AccountAdmin", s.root)
	c.Do(t, http.MethodPatch, mappings+"/"+weak, map[string]any{"filter": "everybody"}).Want(t, http.StatusOK)
	for _, id := range []string{strong, own} {
		c.Do(t, http.MethodPatch, mappings+"/"+id, map[string]any{"filter": "everybody"}).Want(t, http.StatusForbidden)
		c.Do(t, http.MethodPatch, mappings+"/"+id, map[string]any{"display_name": "renamed"}).Want(t, http.StatusOK)
		if got := s.admin.Do(t, http.MethodGet, mappings+"/"+id, nil).Text("filter"); got == "everybody" {
			t.Errorf("%s is for %s now", id, got)
		}
	}
}

// TestTakeoverOfACertificatePool changes whose certificates a pool with roles is
// for, and who owns it.
func TestTakeoverOfACertificatePool(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	s := newScene(w)
	pools := authoritiesPath + "/" + create(t, s.admin, authoritiesPath, authorityWith(map[string]any{"certificate_chain": certtest.New(t, "root").PEM()})) + "/identity-pools"
	body := func(name, filter string) map[string]any {
		return map[string]any{"display_name": name, "description": "", "external_identifier": "CN", "filter": filter}
	}
	strong, weak, own := create(t, s.admin, pools, body("strong", `OU == "root"`)), create(t, s.admin, pools, body("weak", `OU == "staff"`)), create(t, s.admin, pools, body("own", `OU == "robots"`))
	s.bind(t, strong, "OrganizationAdmin", s.root)
	s.bind(t, own, "ResourceOwner", s.root+"/certificate-identity-pool="+strong)
	c := s.holder(t, "AccountAdmin", s.root)
	c.Do(t, http.MethodPut, pools+"/"+weak, body("weak", `O == "Example"`)).Want(t, http.StatusOK)
	for id, filter := range map[string]string{strong: `OU == "root"`, own: `OU == "robots"`} {
		c.Do(t, http.MethodPut, pools+"/"+id, body("renamed", `O == "Example"`)).Want(t, http.StatusForbidden)
		c.Do(t, http.MethodPut, pools+"/"+id, body("renamed", filter)).Want(t, http.StatusOK)
		c.Do(t, http.MethodPost, roleBindings, binding(c.Principal, "ResourceOwner", s.root+"/certificate-identity-pool="+id)).Want(t, http.StatusForbidden)
		if got := s.admin.Do(t, http.MethodGet, pools+"/"+id, nil).Text("filter"); got != filter {
			t.Errorf("%s is for %s now", id, got)
		}
	}
	// Who may look at authorities makes none.
	c.Do(t, http.MethodGet, authoritiesPath, nil).Want(t, http.StatusOK)
	c.Do(t, http.MethodPost, authoritiesPath, authorityWith(map[string]any{"certificate_chain": certtest.New(t, "mine").PEM()})).Want(t, http.StatusForbidden)
	// A pool's name belongs to its own kind.
	a := s.admin.Do(t, http.MethodPost, roleBindings, binding(c.Principal, "ResourceOwner", s.root+"/identity-pool="+weak))
	if a.Status != http.StatusBadRequest {
		t.Errorf("a certificate pool by the name of an identity pool: %s", a.Raw)
	}
}

// TestAssignedOwner makes service accounts as who holds ResourceOwner on a
// topic: the new account is under the control of whom the request names.
func TestAssignedOwner(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	s := newScene(w)
	env := s.environment(t)
	c := s.holder(t, "ResourceOwner", s.root+"/environment="+env+cluster+"/kafka=lkc-1/topic=a*")
	a := c.Do(t, http.MethodPost, serviceAccounts+"?assigned_resource_owner="+c.Principal, map[string]any{"display_name": "mine"}).Want(t, http.StatusCreated)
	c.Do(t, http.MethodGet, serviceAccounts+"/"+a.ID(), nil).Want(t, http.StatusOK)
	c.Do(t, http.MethodPost, apiKeys, keyFor(a.ID(), "cloud")).Want(t, http.StatusAccepted)

	// Without an owner it is out of its maker's hands.
	a = c.Do(t, http.MethodPost, serviceAccounts, map[string]any{"display_name": "lost"}).Want(t, http.StatusCreated)
	c.Do(t, http.MethodGet, serviceAccounts+"/"+a.ID(), nil).Want(t, http.StatusNotFound)
	c.Do(t, http.MethodPost, apiKeys, keyFor(a.ID(), "cloud")).Want(t, http.StatusForbidden)
}
