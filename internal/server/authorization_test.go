package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/clientcert/certtest"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/server"
)

const (
	roleBindings  = "/iam/v2/role-bindings"
	invitations   = "/iam/v2/invitations"
	users         = "/iam/v2/users"
	organizations = "/org/v2/organizations"
	integrations  = "/pim/v2/integrations"
)

// cluster is the part of a name below an environment for a cluster that nobody
// keeps yet, so that bindings may name it.
const cluster = "/cloud-cluster=lkc-1"

// drawn makes names that are taken by nobody.
var drawn atomic.Int64

// scene is an organization seen by its administrator.
type scene struct {
	*enginetest.World
	admin *enginetest.Client
	root  string
}

func newScene(w *enginetest.World) *scene {
	return &scene{World: w, admin: w.Client(w.Admin), root: "crn://confluent.cloud/organization=" + w.Admin.Organization}
}

func (s *scene) account(t *testing.T) string {
	t.Helper()
	return create(t, s.admin, serviceAccounts, map[string]any{"display_name": fmt.Sprintf("drawn %d", drawn.Add(1))})
}

func (s *scene) environment(t *testing.T) string {
	t.Helper()
	return create(t, s.admin, environments, map[string]any{"display_name": fmt.Sprintf("drawn %d", drawn.Add(1))})
}

// invited makes an invitation and returns its ID and that of its user.
func (s *scene) invited(t *testing.T) (invitation, user string) {
	t.Helper()
	a := s.admin.Do(t, http.MethodPost, invitations, map[string]any{"email": fmt.Sprintf("drawn-%d@example.com", drawn.Add(1))}).Want(t, http.StatusCreated)
	return a.ID(), a.Text("user.id")
}

func binding(principal, role, pattern string) map[string]any {
	return map[string]any{"principal": "User:" + principal, "role_name": role, "crn_pattern": pattern}
}

// integrationIn is a draft with AWS, as both versions of the API make one.
func integrationIn(env string) map[string]any {
	return map[string]any{
		"display_name": fmt.Sprintf("drawn %d", drawn.Add(1)), "provider": "AWS", "environment": map[string]any{"id": env},
	}
}

func keyFor(owner, resource string) map[string]any {
	return map[string]any{"spec": map[string]any{"owner": map[string]any{"id": owner}, "resource": map[string]any{"id": resource}}}
}

func (s *scene) bind(t *testing.T, principal, role, pattern string) string {
	t.Helper()
	return create(t, s.admin, roleBindings, binding(principal, role, pattern))
}

// client makes a Cloud API key for the service account.
func (s *scene) client(t *testing.T, account string) *enginetest.Client {
	t.Helper()
	a := s.admin.Do(t, http.MethodPost, apiKeys, keyFor(account, "cloud")).Want(t, http.StatusAccepted)
	return s.Client(enginetest.Caller{Key: a.ID(), Secret: a.Text("spec.secret"), Organization: s.Admin.Organization, Principal: account})
}

// holder is the client of a new service account with the role.
func (s *scene) holder(t *testing.T, role, pattern string) *enginetest.Client {
	t.Helper()
	account := s.account(t)
	s.bind(t, account, role, pattern)
	return s.client(t, account)
}

// props are the objects that one actor tries everything on: two environments
// and two service accounts, of which the first may be in the actor's scope, and
// what hangs on them.
type props struct {
	env, account, integration [2]string
	// bindings are by where they are bound: "org", "env1", "env2", "cluster1",
	// "account1", "account2".
	bindings         map[string]string
	keys             [2]string
	invitation, user string
	foreignKey       string
}

// patterns are the names that the props' bindings are bound to, each with a
// role that fits.
func (s *scene) patterns(p *props) map[string][2]string {
	return map[string][2]string{
		"org":      {"MetricsViewer", s.root},
		"env1":     {"DataDiscovery", s.root + "/environment=" + p.env[0]},
		"env2":     {"DataDiscovery", s.root + "/environment=" + p.env[1]},
		"cluster1": {"MetricsViewer", s.root + "/environment=" + p.env[0] + cluster},
		"account1": {"Assigner", s.root + "/service-account=" + p.account[0]},
		"account2": {"Assigner", s.root + "/service-account=" + p.account[1]},
	}
}

func (s *scene) props(t *testing.T) *props {
	t.Helper()
	p := &props{bindings: map[string]string{}, foreignKey: s.Admin.Key}
	for i := range 2 {
		p.env[i], p.account[i] = s.environment(t), s.account(t)
		p.keys[i] = create(t, s.admin, apiKeys, keyFor(p.account[i], "cloud"))
		p.integration[i] = create(t, s.admin, integrations, integrationIn(p.env[i]))
	}
	p.invitation, p.user = s.invited(t)
	bystander := s.account(t)
	for where, b := range s.patterns(p) {
		p.bindings[where] = s.bind(t, bystander, b[0], b[1])
	}
	return p
}

// actor is a role at a scope, and its column in the table below.
type actor struct {
	column byte
	role   string
	bound  func(s *scene, p *props) string
}

// actors are who tries: every role at the scopes where it means something
// different.
var actors = []actor{
	{'O', "OrganizationAdmin", inOrg},
	{'E', "EnvironmentAdmin", inEnv("")},
	{'C', "CloudClusterAdmin", inEnv(cluster)},
	{'A', "AccountAdmin", inOrg},
	{'R', "ResourceOwner", onAccount},
	{'G', "Assigner", onAccount},
	{'T', "ResourceOwner", inEnv(cluster + "/kafka=lkc-1/topic=a*")},
	{'P', "Operator", inOrg},
	{'P', "NetworkAdmin", inOrg},
	{'P', "FlinkAdmin", inOrg},
	{'B', "BillingAdmin", inOrg},
	{'B', "MetricsViewer", inOrg},
	{'B', "ResourceKeyAdmin", inOrg},
	{'M', "Operator", inEnv("")},
	{'M', "MetricsViewer", inEnv("")},
	{'M', "ResourceKeyAdmin", inEnv(cluster)},
	{'M', "DataDiscovery", inEnv("")},
	{'M', "DataSteward", inEnv("")},
	{'M', "FlinkAdmin", inEnv("")},
	{'M', "FlinkDeveloper", inEnv("")},
	{'M', "FlinkDeveloper", inEnv("/flink-region=aws.us-east-1/compute-pool=lfcp-1")},
	{'M', "DeveloperRead", inEnv(cluster + "/kafka=lkc-1/topic=a*")},
	{'M', "DeveloperWrite", inEnv(cluster + "/kafka=lkc-1/transactional-id=a")},
	{'M', "DeveloperManage", inEnv(cluster + "/kafka=lkc-1")},
	{'M', "ConnectManager", inEnv(cluster + "/connector=*")},
	{'M', "ClusterLinkConnection", inEnv(cluster + "/kafka=lkc-1/cluster-link=east")},
	{'M', "KsqlAdmin", inEnv(cluster + "/ksql=lksqlc-1")},
	{'N', "", nil},
	{'I', "ResourceOwner", onIntegration},
	{'J', "Assigner", onIntegration},
}

func inOrg(s *scene, _ *props) string { return s.root }

func inEnv(below string) func(*scene, *props) string {
	return func(s *scene, p *props) string { return s.root + "/environment=" + p.env[0] + below }
}

func onAccount(s *scene, p *props) string { return s.root + "/service-account=" + p.account[0] }

func onIntegration(s *scene, p *props) string {
	return s.root + "/environment=" + p.env[0] + "/provider-integration=" + p.integration[0]
}

// may says what each actor gets, by columns in the order of its header: + is
// success, d is 403 for what the caller may not do, h is what the kind answers
// for an object that does not exist. It is written after the facts about the
// real service (semantics 1.2 and 2.2) and not after the code. Rows run from
// the top, and what takes something away stands last: with integration1 went the
// role of who owned it.
const may = `
operation              object    OECARGTPBMNIJ
getOrgV2Organization   org       ++++++++++h++
updateOrgV2Organization org      +dddddddddhdd
createOrgV2Environment -         +dddddddddddd
getOrgV2Environment    env1      +++hhh++h+h++
getOrgV2Environment    env2      +hhhhhh+hhhhh
updateOrgV2Environment env1      ++dhhhddhdhdd
updateOrgV2Environment env2      +hhhhhhdhhhhh
createIamV2ServiceAccount -      +dd++d+dddd+d
getIamV2ServiceAccount account1  ++++++hhhhhhh
getIamV2ServiceAccount account2  ++++hhhhhhhhh
updateIamV2ServiceAccount account1 +dd++dhhhhhhh
updateIamV2ServiceAccount account2 +dd+hhhhhhhhh
getIamV2User           user      ++++hhhhhhhhh
updateIamV2User        user      +dd+hhhhhhhhh
updateIamV2UserAuth    user      +dddhhhhhhhhh
createIamV2Invitation  -         ++++ddddddddd
getIamV2Invitation     invitation +hh+hhhhhhhhh
getIamV2RoleBinding    org       +hhhhhhhhhhhh
getIamV2RoleBinding    env1      ++hhhhhhhhhhh
getIamV2RoleBinding    env2      +hhhhhhhhhhhh
getIamV2RoleBinding    cluster1  +++hhhhhhhhhh
getIamV2RoleBinding    account1  +hh++hhhhhhhh
getIamV2RoleBinding    account2  +hh+hhhhhhhhh
createIamV2RoleBinding org       +dddddddddddd
createIamV2RoleBinding env1      ++ddddddddddd
createIamV2RoleBinding env2      +dddddddddddd
createIamV2RoleBinding cluster1  +++dddddddddd
createIamV2RoleBinding account1  +dd++dddddddd
createIamV2RoleBinding account2  +dd+ddddddddd
createIamV2ApiKey      account1  +ddd+dddddddd
createIamV2ApiKey      account2  +dddddddddddd
createIamV2ApiKey      user      ddddddddddddd
getIamV2ApiKey         account1  +hhh+hhhhhhhh
getIamV2ApiKey         account2  +hhhhhhhhhhhh
getIamV2ApiKey         admin     +hhhhhhhhhhhh
updateIamV2ApiKey      account1  +hhh+hhhhhhhh
updateIamV2ApiKey      account2  +hhhhhhhhhhhh
createIamV2SsoGroupMapping -     +dd+ddddddddd
createIamV2IdentityProvider -    +dddddddddddd
getIamV2IdentityProvider provider ++++hhhhhhhhh
updateIamV2IdentityProvider provider +dddhhhhhhhhh
refreshIamV2JsonWebKeySet provider +dddhhhhhhhhh
createIamV2IdentityPool -        ++++ddddddddd
getIamV2IdentityPool   pool      ++++hhhhhhhhh
updateIamV2IdentityPool pool     +dd+hhhhhhhhh
createIamV2CertificateAuthority - +dddddddddddd
getIamV2CertificateAuthority authority ++++hhhhhhhhh
updateIamV2CertificateAuthority authority +dddhhhhhhhhh
createIamV2CertificateIdentityPool - ++++ddddddddd
getIamV2CertificateIdentityPool certificatePool ++++hhhhhhhhh
updateIamV2CertificateIdentityPool certificatePool +dd+hhhhhhhhh
listIamV2ApiKeys       -         +++++++++++++
listIamV2CertificateAuthorities - +++++++++++++
listIamV2CertificateIdentityPools - ++++hhhhhhhhh
listIamV2IdentityPools -         ++++hhhhhhhhh
listIamV2IdentityProviders -     +++++++++++++
listIamV2Invitations   -         +++++++++++++
listIamV2RoleBindings  -         +++++++++++++
listIamV2ServiceAccounts -       +++++++++++++
listIamV2SsoGroupMappings -      +++++++++++++
listIamV2Users         -         +++++++++++++
listServiceQuotaV1AppliedQuotas - +++++++++++++
listServiceQuotaV1Scopes -       +++++++++++++
getServiceQuotaV1AppliedQuota -  ++++++++++h++
getServiceQuotaV1Scope -         ++++++++++h++
listOrgV2Environments  -         +++++++++++++
listOrgV2Organizations -         +++++++++++++
createCliV1Usage       -         +++++++++++++
listV1ServiceAccounts  -         +++++++++++++
listV1Users            -         +++++++++++++
listIamV2IpFilters     -         +++++++++++++
listIamV2IpGroups      -         +++++++++++++
createIamV2IpGroup     -         +dddddddddddd
getIamV2IpGroup        group     ++hhhhhhhhhhh
updateIamV2IpGroup     group     +dhhhhhhhhhhh
createIamV2IpFilter    org       +dddddddddddd
createIamV2IpFilter    env1      ++ddddddddddd
createIamV2IpFilter    env2      +dddddddddddd
getIamV2IpFilter       org       +hhhhhhhhhhhh
getIamV2IpFilter       env1      ++hhhhhhhhhhh
getIamV2IpFilter       env2      +hhhhhhhhhhhh
updateIamV2IpFilter    org       +hhhhhhhhhhhh
updateIamV2IpFilter    env1      ++hhhhhhhhhhh
updateIamV2IpFilter    env2      +hhhhhhhhhhhh
getIamV2IpFilterSummary org      +dddddddddddd
getIamV2IpFilterSummary env1     ++ddddddddddd
getIamV2IpFilterSummary env2     +dddddddddddd
deleteIamV2IpFilter    org       +hhhhhhhhhhhh
deleteIamV2IpFilter    env1      ++hhhhhhhhhhh
deleteIamV2IpFilter    env2      +hhhhhhhhhhhh
deleteIamV2IpGroup     spare     +dhhhhhhhhhhh
createPimV1Integration env1      ++ddddddddddd
createPimV1Integration env2      +dddddddddddd
createPimV2Integration env1      ++ddddddddddd
createPimV2Integration env2      +dddddddddddd
listPimV1Integrations  env1      +++++++++++++
listPimV2Integrations  env1      +++++++++++++
getPimV1Integration    env1      ++hhhhhhhhh++
getPimV1Integration    env2      +hhhhhhhhhhhh
getPimV2Integration    env1      ++hhhhhhhhh++
getPimV2Integration    env2      +hhhhhhhhhhhh
updatePimV2Integration env1      ++hhhhhhhhh+d
updatePimV2Integration env2      +hhhhhhhhhhhh
validatePimV2Integration env1    ++hhhhhhhhh++
validatePimV2Integration env2    +hhhhhhhhhhhh
getIamV2SsoGroupMapping mapping  +hh+hhhhhhhhh
updateIamV2SsoGroupMapping mapping +hh+hhhhhhhhh
deleteIamV2SsoGroupMapping mapping +hh+hhhhhhhhh
deleteIamV2CertificateIdentityPool certificatePool +dd+hhhhhhhhh
deleteIamV2CertificateAuthority authority +dddhhhhhhhhh
deleteIamV2IdentityPool pool     +dd+hhhhhhhhh
deleteIamV2IdentityProvider provider +dddhhhhhhhhh
deleteIamV2RoleBinding org       +hhhhhhhhhhhh
deleteIamV2RoleBinding env1      ++hhhhhhhhhhh
deleteIamV2RoleBinding env2      +hhhhhhhhhhhh
deleteIamV2RoleBinding cluster1  +++hhhhhhhhhh
deleteIamV2RoleBinding account1  +hh++hhhhhhhh
deleteIamV2RoleBinding account2  +hh+hhhhhhhhh
deleteIamV2ApiKey      account1  +hhh+hhhhhhhh
deleteIamV2ApiKey      account2  +hhhhhhhhhhhh
deleteIamV2Invitation  invitation +hh+hhhhhhhhh
deletePimV1Integration env2      +hhhhhhhhhhhh
deletePimV2Integration env1      ++hhhhhhhhh+d
deleteIamV2User        other     +dd+hhhhhhhhh
deleteIamV2ServiceAccount account2 +dd+hhhhhhhhh
deleteIamV2ServiceAccount account1 +dd++dhhhhhhh
deleteOrgV2Environment env2      +hhhhhhdhhhhh
deleteOrgV2Environment env1      ++dhhhddhdhhd
`

// addFilters makes IP groups, and a filter on each scope that lets this machine
// in.
func (s *scene) addFilters(t *testing.T, p *props, extra map[string]string) {
	t.Helper()
	for _, name := range []string{"group", "spare"} {
		extra[name] = create(t, s.admin, ipGroups, ipGroup(int(drawn.Add(1))))
	}
	for object, scope := range map[string]string{"org": s.root, "env1": s.root + "/environment=" + p.env[0], "env2": s.root + "/environment=" + p.env[1]} {
		extra["filter "+object] = create(t, s.admin, ipFilters, ipFilter(scope, extra["group"]))
	}
}

// ipFilter is the body of a filter that lets the group in.
func ipFilter(scope, group string) map[string]any {
	return map[string]any{
		"filter_name": fmt.Sprint("filter ", drawn.Add(1)), "resource_group": "management", "resource_scope": scope,
		"ip_groups": []any{map[string]any{"id": group}},
	}
}

// attempt is one row of the table above.
type attempt struct{ operation, object, cells string }

func attempts(t *testing.T) (columns string, out []attempt) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSpace(may), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			t.Fatalf("row %q", line)
		}
		if i == 0 {
			columns = f[2]
			continue
		}
		if len(f[2]) != len(columns) {
			t.Fatalf("row %q does not have %d cells", line, len(columns))
		}
		out = append(out, attempt{f[0], f[1], f[2]})
	}
	return columns, out
}

// try sends the attempt's request, and returns the ID that it was about.
func (s *scene) try(t *testing.T, c *enginetest.Client, p *props, extra map[string]string, a attempt) (answer enginetest.Answer, op operation.Operation, id string) {
	t.Helper()
	op, ok := operation.ByID(a.operation)
	if !ok {
		t.Fatalf("there is no operation %s", a.operation)
	}
	n := map[string]int{"env1": 0, "env2": 1, "account1": 0, "account2": 1}[a.object]
	group := op.Path
	for _, api := range []string{"/iam/v2/", "/org/v2/", "/service-quota/v1/"} {
		group = strings.TrimPrefix(group, api)
	}
	group, _, _ = strings.Cut(group, "/")
	if strings.HasPrefix(op.Path, "/pim/") {
		group = "integrations"
	}
	name := fmt.Sprintf("drawn %d", drawn.Add(1))
	var body any
	query := ""
	switch group {
	case "organizations":
		id, body = s.Admin.Organization, map[string]any{"display_name": "Weir"}
	case "environments":
		id, body = p.env[n], map[string]any{"display_name": name}
	case "service-accounts":
		id, body = p.account[n], map[string]any{"display_name": name}
	case "users":
		id, body = p.user, map[string]any{"full_name": name}
		if a.object == "other" {
			id = extra["other"]
		}
		if strings.HasSuffix(op.Path, "/auth") {
			body = map[string]any{"auth_type": "AUTH_TYPE_LOCAL"}
		}
	case "invitations":
		id, body = p.invitation, map[string]any{"email": strings.ReplaceAll(name, " ", "-") + "@example.com"}
	case "applied-quotas":
		id, query = "iam.max_environments.per_org", "?scope=ORGANIZATION"
	case "scopes":
		id = "ORGANIZATION"
	case "identity-providers":
		id, body = extra["provider"], map[string]any{"display_name": name, "issuer": "https://" + strings.ReplaceAll(name, " ", "-") + ".example.com", "jwks_uri": "https://127.0.0.1:1/"}
		switch {
		case strings.Contains(op.Path, "/identity-pools"):
			id, body = extra["pool"], map[string]any{"display_name": name, "filter": "true"}
		case op.ID == "refreshIamV2JsonWebKeySet":
			body = map[string]any{"spec": map[string]any{"jwks_status": "REFRESHED"}}
		}
	case "certificate-authorities":
		id, body = extra["authority"], authorityWith(map[string]any{"certificate_chain": certtest.New(t, name).PEM()})
		if strings.Contains(op.Path, "/identity-pools") {
			id, body = extra["certificatePool"], certificatePoolBody("true")
		}
	case "sso":
		id, body = extra["mapping"], map[string]any{"display_name": name, "filter": name}
	case "ip-groups":
		id, body = extra[a.object], ipGroup(int(drawn.Add(1)))
	case "ip-filters", "ip-filter-summary":
		scope := map[string]string{"env1": s.root + "/environment=" + p.env[0], "env2": s.root + "/environment=" + p.env[1]}[a.object]
		if scope == "" {
			scope = s.root
		}
		id, body = extra["filter "+a.object], ipFilter(scope, extra["group"])
		if op.Method == http.MethodPatch {
			body = map[string]any{"filter_name": name}
		}
		if group == "ip-filter-summary" {
			query = "?scope=" + url.QueryEscape(scope)
		}
	case "integrations":
		id, query = p.integration[n], "?environment="+p.env[n]
		body = map[string]any{"environment": map[string]any{"id": p.env[n]}}
		switch {
		case strings.HasSuffix(op.Path, ":validate"):
			body = map[string]any{
				"id": id, "environment": map[string]any{"id": p.env[n]},
				"config": map[string]any{"kind": "AwsIntegrationConfig", "customer_iam_role_arn": customerRole(1)},
			}
		case op.Method == http.MethodPost:
			made := integrationIn(p.env[n])
			made["config"] = map[string]any{"kind": "AwsIntegrationConfig"}
			body = made
		}
	case "role-bindings":
		id = p.bindings[a.object]
		if op.Method == http.MethodGet && !strings.Contains(op.Path, "{") {
			query = "?crn_pattern=" + url.QueryEscape(s.root+"/*")
		}
		if b, ok := s.patterns(p)[a.object]; ok {
			body = binding(extra["bystander"], b[0], b[1])
		}
	case "api-keys":
		id = p.keys[n]
		owner := p.account[n]
		switch a.object {
		case "user":
			owner = p.user
		case "admin":
			id = s.Admin.Key
		}
		body = keyFor(owner, "cloud")
		if op.Method == http.MethodPatch {
			body = map[string]any{"spec": map[string]any{"display_name": name}}
		}
	case "": // beside the groups, and open to all
		body = map[string]any{"os": "linux", "arch": "amd64", "version": "v4.73.0", "command": "confluent environment list", "flags": []any{}, "error": false}
	default:
		t.Fatalf("say here what to send to %s", op.Path)
	}
	if op.Method == http.MethodGet || op.Method == http.MethodDelete {
		body = nil
	}
	path := strings.NewReplacer("{id}", id, "{provider_id}", extra["provider"], "{certificate_authority_id}", extra["authority"]).Replace(op.Path)
	return c.Do(t, op.Method, path+query, body), op, id
}

// outcome reads an answer as a cell of the table.
func outcome(a enginetest.Answer, op operation.Operation) string {
	hidden := []struct{ part, code string }{
		{"certificate-authorities", "resource_not_found"},
		{"identity-pools/{id}", "identity_pool_not_found"},
		{"identity-providers/", "identity_provider_not_found"},
		{"api-keys", "forbidden_access"}, {"role-bindings", "role_binding_forbidden"}, {"service-accounts", "service_account_not_found"},
		{"integrations", "provider_integration_not_found"},
	}
	missing := "resource_not_found"
	for _, h := range hidden {
		if strings.Contains(op.Path, h.part) {
			missing = h.code
			break
		}
	}
	switch {
	case a.Status == op.Success:
		return "+"
	case a.Status == http.StatusForbidden && a.Code() == "user_unauthorized":
		return "d"
	case a.Code() == missing:
		return "h"
	default:
		return fmt.Sprintf("%d %s", a.Status, a.Code())
	}
}

// TestRoles lets every role try every operation that is served, on objects in
// its scope and out of it.
func TestRoles(t *testing.T) {
	t.Parallel()
	columns, rows := attempts(t)
	for _, role := range authz.Roles() {
		if !slices.ContainsFunc(actors, func(a actor) bool { return a.role == role.Name }) {
			t.Errorf("nobody holds %s in this test", role.Name)
		}
	}
	e, err := engine.New(engine.Config{Kinds: server.Kinds(), Calls: server.Calls()})
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range operation.All() {
		if ofResource(op) {
			continue // tryKey uses them
		}
		if e.Serves(op.ID) && len(op.Scopes) == 0 && len(op.Credentials) > 0 && !slices.ContainsFunc(rows, func(a attempt) bool { return a.operation == op.ID }) {
			t.Errorf("no row of the table tries %s", op.ID)
		}
	}
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		s := newScene(w)
		for _, actor := range actors {
			t.Run(fmt.Sprintf("%c %s", actor.column, actor.role), func(t *testing.T) {
				p := s.props(t)
				c := s.Client(s.Nobody)
				if actor.role != "" {
					c = s.holder(t, actor.role, actor.bound(s, p))
				}
				_, other := s.invited(t)
				extra := map[string]string{
					"bystander": s.account(t), "other": other, "provider": identityProvider(t, s.admin),
					"mapping": create(t, s.admin, "/iam/v2/sso/group-mappings", map[string]any{"display_name": "mapping", "filter": "staff"}),
				}
				extra["pool"] = create(t, s.admin, "/iam/v2/identity-providers/"+extra["provider"]+"/identity-pools", map[string]any{"display_name": "pool", "filter": "true"})
				extra["authority"] = create(t, s.admin, authoritiesPath, authorityWith(map[string]any{"certificate_chain": certtest.New(t, "root").PEM()}))
				extra["certificatePool"] = create(t, s.admin, authoritiesPath+"/"+extra["authority"]+"/identity-pools", certificatePoolBody("true"))
				s.addFilters(t, p, extra)
				s.checkLists(t, c, p.env[:]...)
				for _, row := range rows {
					want := row.cells[strings.IndexByte(columns, actor.column)]
					a, op, id := s.try(t, c, p, extra, row)
					if got := outcome(a, op); got != string(want) {
						t.Errorf("%s %s (%s): %s, want %c: %s", row.operation, row.object, id, got, want, a.Raw)
					}
				}
			})
		}
	})
}

// checkLists compares the lists of a caller with what the caller can read one
// by one: of everything that there is, a list has exactly that. Kinds whose lists
// are of one environment are looked at in those given.
func (s *scene) checkLists(t *testing.T, c *enginetest.Client, environments ...string) {
	t.Helper()
	for _, k := range ofOrganizations() {
		if k.ParentParameter != "" {
			for _, env := range environments {
				s.checkList(t, c, k, url.Values{"page_size": {"100"}, k.ParentParameter: {env}}, "?"+url.Values{k.ParentParameter: {env}}.Encode())
			}
			continue
		}
		if k.Operations[engine.List] == "" || k.Operations[engine.Read] == "" || strings.Contains(k.Path, "{") {
			continue
		}
		query := url.Values{"page_size": {"100"}}
		if k.Path == roleBindings {
			query.Set("crn_pattern", s.root+"/*")
		}
		if k.Path == appliedQuotas {
			query.Set("scope", "ORGANIZATION")
		}
		s.checkList(t, c, k, query, "")
	}
}

// checkList compares one list with the reads of what is in it, each with the
// query for reads.
func (s *scene) checkList(t *testing.T, c *enginetest.Client, k *engine.Kind, query url.Values, reading string) {
	t.Helper()
	path := k.Path + "?" + query.Encode()
	listed := walkIDs(t, c, path)
	all := walkIDs(t, s.admin, path)
	for i, id := range all {
		if len(all) > 40 && i%7 != 0 && !slices.Contains(listed, id) {
			continue // of many that are hidden, some will do
		}
		if readable := c.Do(t, http.MethodGet, k.Path+"/"+id+reading, nil).Status == http.StatusOK; readable != slices.Contains(listed, id) {
			t.Errorf("%s %s can be read: %t, and is listed: %t", k.Name, id, readable, slices.Contains(listed, id))
		}
	}
	for _, id := range listed {
		if !slices.Contains(all, id) {
			t.Errorf("%s %s is listed for this caller and not for the administrator", k.Name, id)
		}
	}
}

// TestNewUser is about a user who holds no role: what is theirs they can do,
// and for the rest there is nothing.
func TestNewUser(t *testing.T) {
	t.Parallel()
	_, w := start(t, "")
	s := newScene(w)
	c := s.Client(s.Member)
	s.checkLists(t, c)
	for _, path := range []string{environments, serviceAccounts, organizations, invitations, "/iam/v2/sso/group-mappings", roleBindings + "?crn_pattern=" + url.QueryEscape(s.root+"/*")} {
		if got := walkIDs(t, c, path); len(got) != 0 {
			t.Errorf("GET %s shows %q", path, got)
		}
	}
	if got := walkIDs(t, c, users); !slices.Equal(got, []string{s.Member.Principal}) {
		t.Errorf("the user sees the users %q", got)
	}
	if got := walkIDs(t, c, apiKeys); !slices.Equal(got, []string{s.Member.Key}) {
		t.Errorf("the user sees the keys %q", got)
	}
	self := users + "/" + s.Member.Principal
	c.Do(t, http.MethodGet, self, nil).Want(t, http.StatusOK)
	if a := c.Do(t, http.MethodPatch, self, map[string]any{"full_name": "New Name"}).Want(t, http.StatusOK); a.Text("full_name") != "New Name" {
		t.Errorf("the name did not change: %s", a.Raw)
	}
	for _, attempt := range []struct {
		method, path string
		body         any
		want         int
	}{
		{http.MethodDelete, self, nil, http.StatusForbidden},
		{http.MethodPatch, self + "/auth", map[string]any{"auth_type": "AUTH_TYPE_LOCAL"}, http.StatusForbidden},
		{http.MethodGet, users + "/" + s.Admin.Principal, nil, http.StatusNotFound},
		{http.MethodPost, invitations, map[string]any{"email": "friend@example.com"}, http.StatusForbidden},
		{http.MethodPost, environments, map[string]any{"display_name": "mine"}, http.StatusForbidden},
		{http.MethodPost, serviceAccounts, map[string]any{"display_name": "mine"}, http.StatusForbidden},
		{http.MethodPost, roleBindings, binding(s.Member.Principal, "OrganizationAdmin", s.root), http.StatusForbidden},
		{http.MethodPost, roleBindings, binding(s.Member.Principal, "MetricsViewer", s.root), http.StatusForbidden},
		{http.MethodGet, organizations + "/" + s.Admin.Organization, nil, http.StatusNotFound},
	} {
		c.Do(t, attempt.method, attempt.path, attempt.body).Want(t, attempt.want)
	}
	// Keys of their own, with all that goes with them.
	a := c.Do(t, http.MethodPost, apiKeys, keyFor(s.Member.Principal, "cloud")).Want(t, http.StatusAccepted)
	c.Do(t, http.MethodPatch, apiKeys+"/"+a.ID(), map[string]any{"spec": map[string]any{"display_name": "mine"}}).Want(t, http.StatusOK)
	c.Do(t, http.MethodDelete, apiKeys+"/"+a.ID(), nil).Want(t, http.StatusNoContent)
	c.Do(t, http.MethodPost, apiKeys, keyFor(s.Admin.Principal, "cloud")).Want(t, http.StatusForbidden)
}

// TestNextRequest changes what a caller holds between two requests: the second
// one shows it.
func TestNextRequest(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		s := newScene(w)
		env := s.environment(t)
		account := s.account(t)
		c := s.client(t, account)
		path := environments + "/" + env
		for range 3 {
			c.Do(t, http.MethodGet, path, nil).Want(t, http.StatusNotFound)
			id := s.bind(t, account, "EnvironmentAdmin", s.root+"/environment="+env)
			c.Do(t, http.MethodPatch, path, map[string]any{"display_name": "changed"}).Want(t, http.StatusOK)
			s.admin.Do(t, http.MethodDelete, roleBindings+"/"+id, nil).Want(t, http.StatusOK)
		}
		c.Do(t, http.MethodGet, path, nil).Want(t, http.StatusNotFound)

		second := s.client(t, account)
		second.Do(t, http.MethodGet, environments, nil).Want(t, http.StatusOK)
		s.admin.Do(t, http.MethodDelete, apiKeys+"/"+second.Key, nil).Want(t, http.StatusNoContent)
		second.Do(t, http.MethodGet, environments, nil).Want(t, http.StatusUnauthorized)
		c.Do(t, http.MethodGet, environments, nil).Want(t, http.StatusOK)

		s.admin.Do(t, http.MethodDelete, serviceAccounts+"/"+account, nil).Want(t, http.StatusNoContent)
		c.Do(t, http.MethodGet, environments, nil).Want(t, http.StatusUnauthorized)

		// What it was bound to takes the role along.
		heir := s.account(t)
		s.bind(t, heir, "EnvironmentAdmin", s.root+"/environment="+env)
		h := s.client(t, heir)
		h.Do(t, http.MethodGet, users+"/"+s.Admin.Principal, nil).Want(t, http.StatusOK)
		s.admin.Do(t, http.MethodDelete, path, nil).Want(t, http.StatusNoContent)
		h.Do(t, http.MethodGet, users+"/"+s.Admin.Principal, nil).Want(t, http.StatusNotFound)

		member := s.Client(s.Member)
		member.Do(t, http.MethodGet, users, nil).Want(t, http.StatusOK)
		s.admin.Do(t, http.MethodDelete, users+"/"+s.Member.Principal, nil).Want(t, http.StatusNoContent)
		member.Do(t, http.MethodGet, users, nil).Want(t, http.StatusUnauthorized)
	})
}
