package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit/audittest"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

const (
	ipFilters = "/iam/v2/ip-filters"
	ipGroups  = "/iam/v2/ip-groups"
	summaries = "/iam/v2/ip-filter-summary"
)

// Addresses of documentation networks, and a network around each.
const (
	officeAddress, office = "192.0.2.7", "192.0.2.0/24"
	labAddress, lab       = "198.51.100.9", "198.51.100.0/24"
	otherAddress          = "203.0.113.5"
)

// behindProxy lets the test's own requests say which address they come from.
var behindProxy = weirtest.WithConfig(func(c *server.Config) { c.TrustedProxies = []string{"127.0.0.1/32"} })

// visitor sends requests from an address, with an API key.
type visitor struct {
	s           *weirtest.Server
	key, secret string
	address     string
}

func visit(s *weirtest.Server, address string) visitor {
	return visitor{s: s, key: s.APIKey, secret: s.APISecret, address: address}
}

// from is the same caller at another address.
func (v visitor) from(address string) visitor {
	v.address = address
	return v
}

func (v visitor) request(t *testing.T, method, path string, body any) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, v.s.URL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.SetBasicAuth(v.key, v.secret)
	req.Header.Set("X-Forwarded-Proto", "https")
	if v.address != "" {
		req.Header.Set("X-Forwarded-For", v.address)
	}
	return req
}

func (v visitor) do(t *testing.T, method, path string, body any) weirtest.Answer {
	t.Helper()
	return v.s.Send(v.request(t, method, path, body))
}

// want sends a request that must be answered with the status.
func (v visitor) want(t *testing.T, status int, method, path string, body any) weirtest.Answer {
	t.Helper()
	a := v.do(t, method, path, body)
	if a.Status != status {
		t.Fatalf("%s %s from %s: %d, want %d: %s", method, path, v.address, a.Status, status, a.Raw)
	}
	return a
}

// create makes an object and returns its ID.
func (v visitor) create(t *testing.T, path string, body any) string {
	t.Helper()
	id, _ := v.want(t, http.StatusCreated, http.MethodPost, path, body).Body["id"].(string)
	return id
}

// group makes an IP group of the networks.
func (v visitor) group(t *testing.T, blocks ...string) string {
	t.Helper()
	return v.create(t, ipGroups, map[string]any{"group_name": fmt.Sprint("group ", drawn.Add(1)), "cidr_blocks": blocks})
}

// filter is the body of an IP filter on management; the scope is that of the
// organization without an environment.
func (v visitor) filter(env string, groups ...string) map[string]any {
	refs := []any{}
	for _, id := range groups {
		refs = append(refs, map[string]any{"id": id})
	}
	body := map[string]any{"filter_name": fmt.Sprint("filter ", drawn.Add(1)), "resource_group": "management", "ip_groups": refs}
	if env != "" {
		body["resource_scope"] = v.scope(env)
	}
	return body
}

func (v visitor) scope(env string) string {
	root := "crn://confluent.cloud/organization=" + v.s.OrganizationID
	if env == "" {
		return root
	}
	return root + "/environment=" + env
}

// keptOut fails the test unless the answer says that the address is not let in.
func keptOut(t *testing.T, what string, a weirtest.Answer, address string) {
	t.Helper()
	if a.Status != http.StatusForbidden || codeOf(a) != "ip_address_not_allowed" || !strings.Contains(detailOf(a), "IP address "+address+";") {
		t.Errorf("%s from %s: %d %s", what, address, a.Status, a.Raw)
	}
	if !strings.Contains(detailOf(a), "invalid API key") {
		t.Errorf("%s: Terraform would forget what it manages: %s", what, a.Raw)
	}
}

func first(a weirtest.Answer) map[string]any {
	list, _ := a.Body["errors"].([]any)
	if len(list) == 0 {
		return nil
	}
	e, _ := list[0].(map[string]any)
	return e
}

func codeOf(a weirtest.Answer) string   { s, _ := first(a)["code"].(string); return s }
func detailOf(a weirtest.Answer) string { s, _ := first(a)["detail"].(string); return s }

// pointers are what the errors point at.
func pointers(a weirtest.Answer) []string {
	list, _ := a.Body["errors"].([]any)
	var out []string
	for _, e := range list {
		source, _ := e.(map[string]any)["source"].(map[string]any)
		p, _ := source["pointer"].(string)
		out = append(out, p)
	}
	return out
}

// listed are the IDs on the first page of a list.
func (v visitor) listed(t *testing.T, path string) []string {
	t.Helper()
	data, _ := v.want(t, http.StatusOK, http.MethodGet, path, nil).Body["data"].([]any)
	var out []string
	for _, o := range data {
		id, _ := o.(map[string]any)["id"].(string)
		out = append(out, id)
	}
	return out
}

// A filter of the organization holds for every operation that is served.
func TestIPFilterOfTheOrganization(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, w := start(t, databaseURL, behindProxy)
		in, out := visit(s, officeAddress), visit(s, otherAddress)
		group := in.group(t, office)
		filter := in.create(t, ipFilters, in.filter("", group))

		in.want(t, http.StatusOK, "GET", "/org/v2/environments", nil)
		for path, method := range map[string]string{"/org/v2/environments": "GetEnvironments", "/api/me": "GetMe"} {
			out.want(t, http.StatusForbidden, "GET", path, nil)
			e := lastEvent(t, w)
			if z := e.Data.AuthorizationInfo; z.Result != "DENY" || z.IPFilterAuthorization != (audittest.IPFilterAuthorization{ClientIP: otherAddress, ResourceGroup: operation.Management}) ||
				e.Data.MethodName != method || e.Data.Result.Status != "FAILURE" {
				t.Errorf("the event is %s", e.Raw)
			}
		}
		for _, op := range operation.All() {
			if !w.Engine.Serves(op.ID) || len(op.Credentials) == 0 {
				continue
			}
			if len(op.Scopes) > 0 || ofResource(op) {
				continue // of partners, who are in no organization, or for another kind of key
			}
			path := strings.NewReplacer("{id}", filter).Replace(op.Path)
			if w.Engine.Failure(op.ID) != nil { // its errors have another form
				if a := out.do(t, op.Method, path, nil); a.Status != http.StatusForbidden || !strings.Contains(string(a.Raw), "invalid API key") {
					t.Errorf("%s: %d %s", op.ID, a.Status, a.Raw)
				}
				continue
			}
			keptOut(t, op.ID, out.do(t, op.Method, path, nil), otherAddress)
		}
		// Who has no valid credentials is not told.
		stranger := out
		stranger.secret = "wrong"
		stranger.want(t, http.StatusUnauthorized, "GET", "/org/v2/environments", nil)
		// What manages nothing is open to all.
		for _, path := range []string{"/healthz", "/readyz", "/openapi.json", "/docs"} {
			out.want(t, http.StatusOK, "GET", path, nil)
		}

		// Filters add up, whichever says so, and count with the next request.
		second := in.create(t, ipFilters, in.filter("", in.group(t, "203.0.113.5/32"), group))
		out.want(t, http.StatusOK, "GET", "/org/v2/environments", nil)
		out.from("203.0.113.6").want(t, http.StatusForbidden, "GET", "/org/v2/environments", nil)
		in.want(t, http.StatusNoContent, "DELETE", ipFilters+"/"+second, nil)
		out.want(t, http.StatusForbidden, "GET", "/org/v2/environments", nil)
		in.want(t, http.StatusOK, "PATCH", ipGroups+"/"+group, map[string]any{"cidr_blocks": []any{"203.0.113.99/25", office}})
		out.want(t, http.StatusOK, "GET", "/org/v2/environments", nil)

		// The networks are those of IPv4; an IPv4 address may be written as an
		// IPv6 one.
		in.from("::ffff:192.0.2.7").want(t, http.StatusOK, "GET", "/org/v2/environments", nil)
		keptOut(t, "IPv6", in.from("2001:db8::7").do(t, "GET", "/org/v2/environments", nil), "2001:db8::7")

		in.want(t, http.StatusNoContent, "DELETE", ipFilters+"/"+filter, nil)
		out.from("2001:db8::7").want(t, http.StatusOK, "GET", "/org/v2/environments", nil)
	})
}

// The filters of an environment hold for it and what is in it or about it,
// beside those of the organization.
func TestIPFilterOfAnEnvironment(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, _ := start(t, databaseURL, behindProxy)
		in, out := visit(s, officeAddress), visit(s, otherAddress)
		env := in.create(t, environments, map[string]any{"display_name": "guarded"})
		free := in.create(t, environments, map[string]any{"display_name": "free"})
		account := in.create(t, serviceAccounts, map[string]any{"display_name": "account"})
		bound := in.create(t, roleBindings, binding(account, "EnvironmentAdmin", in.scope(env)))
		below := in.create(t, roleBindings, binding(account, "CloudClusterAdmin", in.scope(env)+cluster))
		beside := in.create(t, roleBindings, binding(account, "EnvironmentAdmin", in.scope(free)))
		group := in.group(t, office)
		filter := in.create(t, ipFilters, in.filter(env, group))

		for what, try := range map[string]func(visitor) weirtest.Answer{
			"read": func(v visitor) weirtest.Answer { return v.do(t, "GET", environments+"/"+env, nil) },
			"update": func(v visitor) weirtest.Answer {
				return v.do(t, "PATCH", environments+"/"+env, map[string]any{"display_name": "x"})
			},
			"binding":       func(v visitor) weirtest.Answer { return v.do(t, "GET", roleBindings+"/"+bound, nil) },
			"binding below": func(v visitor) weirtest.Answer { return v.do(t, "GET", roleBindings+"/"+below, nil) },
			"filter":        func(v visitor) weirtest.Answer { return v.do(t, "GET", ipFilters+"/"+filter, nil) },
			"filter change": func(v visitor) weirtest.Answer {
				return v.do(t, "PATCH", ipFilters+"/"+filter, map[string]any{"filter_name": "x"})
			},
			"summary": func(v visitor) weirtest.Answer {
				return v.do(t, "GET", summaries+"?scope="+url.QueryEscape(v.scope(env)), nil)
			},
			"new binding": func(v visitor) weirtest.Answer {
				return v.do(t, "POST", roleBindings, binding(account, "FlinkAdmin", v.scope(env)))
			},
			"new filter":     func(v visitor) weirtest.Answer { return v.do(t, "POST", ipFilters, v.filter(env, group)) },
			"delete filter":  func(v visitor) weirtest.Answer { return v.do(t, "DELETE", ipFilters+"/"+filter, nil) },
			"delete binding": func(v visitor) weirtest.Answer { return v.do(t, "DELETE", roleBindings+"/"+bound, nil) },
			"delete":         func(v visitor) weirtest.Answer { return v.do(t, "DELETE", environments+"/"+env, nil) },
		} {
			keptOut(t, what, try(out), otherAddress)
		}
		// What is beside it is open, and so is what is about the organization.
		out.want(t, http.StatusOK, "GET", environments+"/"+free, nil)
		out.want(t, http.StatusOK, "GET", roleBindings+"/"+beside, nil)
		out.want(t, http.StatusOK, "GET", serviceAccounts+"/"+account, nil)
		out.want(t, http.StatusOK, "GET", summaries+"?scope="+url.QueryEscape(out.scope("")), nil)

		// Lists leave out what cannot be read.
		bindings := roleBindings + "?crn_pattern=" + url.QueryEscape(in.scope("")+"/*")
		for path, hidden := range map[string][]string{environments: {env}, bindings: {bound, below}, ipFilters: {filter}} {
			all, some := in.listed(t, path), out.listed(t, path)
			for _, id := range hidden {
				if !slices.Contains(all, id) || slices.Contains(some, id) {
					t.Errorf("%s lists %v inside and %v outside, and %s is hidden there", path, all, some, id)
				}
			}
			if len(some) != len(all)-len(hidden) {
				t.Errorf("%s lists %d inside and %d outside, want %d fewer", path, len(all), len(some), len(hidden))
			}
		}
		if some := out.listed(t, bindings); !slices.Contains(some, beside) {
			t.Errorf("the list leaves out what is in an open environment: %v", some)
		}

		// Who may not know of the environment is told that it does not exist.
		nobody := out
		key := in.want(t, http.StatusAccepted, "POST", apiKeys, keyFor(in.create(t, serviceAccounts, map[string]any{"display_name": "nobody"}), "cloud"))
		nobody.key, _ = key.Body["id"].(string)
		nobody.secret, _ = key.Body["spec"].(map[string]any)["secret"].(string)
		nobody.want(t, http.StatusNotFound, "GET", environments+"/"+env, nil)
		if a := nobody.do(t, "GET", summaries+"?scope="+url.QueryEscape(nobody.scope(env)), nil); a.Status != http.StatusForbidden || codeOf(a) != "user_unauthorized" {
			t.Errorf("the summary for who holds no role: %d %s", a.Status, a.Raw)
		}

		// Both scopes must let in: an environment only narrows.
		in.create(t, ipFilters, in.filter("", in.group(t, lab, officeAddress+"/32")))
		in.want(t, http.StatusOK, "GET", environments+"/"+env, nil)
		in.from("192.0.2.8").want(t, http.StatusForbidden, "GET", environments+"/"+env, nil)
		in.from(labAddress).want(t, http.StatusOK, "GET", environments+"/"+free, nil)
		in.from(labAddress).want(t, http.StatusForbidden, "GET", environments+"/"+env, nil)

		// Filters go with their environment, which locks nobody out.
		in.want(t, http.StatusNoContent, "DELETE", environments+"/"+env, nil)
		in.want(t, http.StatusNotFound, "GET", ipFilters+"/"+filter, nil)
		in.want(t, http.StatusNoContent, "DELETE", ipGroups+"/"+group, nil)
	})
}

// refusedLockOut fails the test unless the answer refuses to shut the requester
// out, in the words that the CLI takes apart.
func refusedLockOut(t *testing.T, what string, a weirtest.Answer, address string) {
	t.Helper()
	begin := "this action would lock out the requester from IP address " + address + ". Please "
	if a.Status != http.StatusBadRequest || codeOf(a) != "requester_locked_out" || !strings.HasPrefix(detailOf(a), begin) {
		t.Errorf("%s: %d %s", what, a.Status, a.Raw)
	}
}

func TestIPFiltersLockNobodyOut(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, _ := start(t, databaseURL, behindProxy)
		in := visit(s, officeAddress)
		env := in.create(t, environments, map[string]any{"display_name": "guarded"})
		here, there := in.group(t, office), in.group(t, lab)

		refusedLockOut(t, "the first filter without its maker", in.do(t, "POST", ipFilters, in.filter("", there)), officeAddress)
		refusedLockOut(t, "a filter that lets nobody in", in.do(t, "POST", ipFilters, in.filter("", "ipg-none")), officeAddress)
		refusedLockOut(t, "the same of an environment", in.do(t, "POST", ipFilters, in.filter(env, there)), officeAddress)
		multiple := in.filter("", there)
		multiple["resource_group"], multiple["operation_groups"] = "multiple", []string{"SCHEMA", "MANAGEMENT"}
		refusedLockOut(t, "a filter on several groups", in.do(t, "POST", ipFilters, multiple), officeAddress)
		if a := in.do(t, "POST", ipFilters, in.filter("", there)); a.Status == http.StatusCreated || len(in.listed(t, ipFilters)) > 0 {
			t.Error("a refused filter is there")
		}
		multiple["operation_groups"] = []string{"management"}
		refusedLockOut(t, "a filter on management in small letters", in.do(t, "POST", ipFilters, multiple), officeAddress)
		// Other groups have no requester to lock out.
		multiple["operation_groups"] = []string{"SCHEMA"}
		in.want(t, http.StatusNoContent, "DELETE", ipFilters+"/"+in.create(t, ipFilters, multiple), nil)

		filter := in.create(t, ipFilters, in.filter("", here))
		refusedLockOut(t, "a change of the groups", in.do(t, "PATCH", ipFilters+"/"+filter, map[string]any{"ip_groups": []any{map[string]any{"id": there}}}), officeAddress)
		refusedLockOut(t, "a change of a group", in.do(t, "PATCH", ipGroups+"/"+here, map[string]any{"cidr_blocks": []any{lab}}), officeAddress)
		in.want(t, http.StatusOK, "PATCH", ipFilters+"/"+filter, map[string]any{"filter_name": "renamed"})
		second := in.create(t, ipFilters, in.filter("", there))
		refusedLockOut(t, "the deletion of one of two filters", in.do(t, "DELETE", ipFilters+"/"+filter, nil), officeAddress)
		in.want(t, http.StatusOK, "GET", ipFilters+"/"+filter, nil)
		in.want(t, http.StatusNoContent, "DELETE", ipFilters+"/"+second, nil)
		in.want(t, http.StatusNoContent, "DELETE", ipFilters+"/"+filter, nil) // the last one: open again

		// An environment is protected as the organization is.
		guard := in.create(t, ipFilters, in.filter(env, here))
		refusedLockOut(t, "a change of a group of an environment", in.do(t, "PATCH", ipGroups+"/"+here, map[string]any{"cidr_blocks": []any{lab}}), officeAddress)
		// Who is outside already loses nothing.
		in.from(otherAddress).want(t, http.StatusOK, "PATCH", ipGroups+"/"+here, map[string]any{"cidr_blocks": []any{office, lab}})
		in.from(otherAddress).want(t, http.StatusForbidden, "DELETE", ipFilters+"/"+guard, nil)

		// A client whose address nobody knows is in no network.
		req := in.request(t, "POST", ipFilters, in.filter("", here))
		req.Header.Set("Forwarded", "for="+labAddress)
		refusedLockOut(t, "an unknown address", s.Send(req), "unknown")
	})
}

// Two who each would leave the other's filter as the only one that lets them in
// cannot both succeed.
func TestTwoDoNotLockOutTogether(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, _ := start(t, databaseURL, behindProxy)
		in := visit(s, officeAddress)
		one, two := in.group(t, office), in.group(t, office)
		for range 10 {
			a, b := in.create(t, ipFilters, in.filter("", one)), in.create(t, ipFilters, in.filter("", two))
			// A third one keeps the organization closed when both are gone.
			third := in.create(t, ipFilters, in.filter("", "ipg-none"))
			statuses := make(chan int)
			for _, id := range []string{a, b} {
				req := in.request(t, "DELETE", ipFilters+"/"+id, nil)
				go func() {
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						statuses <- 0
						return
					}
					_ = resp.Body.Close()
					statuses <- resp.StatusCode
				}()
			}
			got := []int{<-statuses, <-statuses}
			slices.Sort(got)
			if !slices.Equal(got, []int{http.StatusNoContent, http.StatusBadRequest}) {
				t.Fatalf("two deletions at once answer %v", got)
			}
			in.want(t, http.StatusNoContent, "DELETE", ipFilters+"/"+third, nil)
			for _, id := range in.listed(t, ipFilters) {
				in.want(t, http.StatusNoContent, "DELETE", ipFilters+"/"+id, nil)
			}
		}
	})
}

func TestIPGroupBlocks(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	post := func(blocks ...string) weirtest.Answer {
		return s.Do("POST", ipGroups, map[string]any{"group_name": "CorpNet [EU] | A&B + c-d_e/f., ü٣", "cidr_blocks": blocks})
	}
	// What was sent is kept as it was.
	good := []string{"192.168.7.9/24", "0.0.0.0/0", "10.0.0.1/32", "10.0.0.0/8", "10.0.0.0/8"}
	a := post(good...)
	if kept, _ := json.Marshal(a.Body["cidr_blocks"]); a.Status != http.StatusCreated || string(kept) != `["192.168.7.9/24","0.0.0.0/0","10.0.0.1/32","10.0.0.0/8","10.0.0.0/8"]` {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
	bad := []string{
		"10.0.0.0/8", "10.0.0.1", "10.0.0.0/33", "10.0.0/8", "010.0.0.0/8", "10.0.0.0/08", " 10.0.0.0/8", "10.0.0.0/8 ", "", "x",
		"2001:db8::/32", "::ffff:10.0.0.0/104", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0-10.0.0.9", "1.2.3.4%eth0/8",
	}
	a = post(bad...)
	var want []string
	for i := range bad[1:] {
		want = append(want, fmt.Sprintf("/cidr_blocks/%d", i+1))
	}
	if a.Status != http.StatusUnprocessableEntity || !slices.Equal(pointers(a), want) {
		t.Errorf("%d, pointers %v, want %v", a.Status, pointers(a), want)
	}
	if a := post("2001:db8::/32"); !strings.Contains(detailOf(a), "IPv4") {
		t.Errorf("IPv6: %s", a.Raw)
	}
	for _, name := range []string{"", " tab\t", "a<b", "semi;colon", "emoji😀", strings.Repeat("x", 65), "line\nbreak"} {
		if a := s.Do("POST", ipGroups, map[string]any{"group_name": name, "cidr_blocks": []any{"10.0.0.0/8"}}); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("the name %q: %d", name, a.Status)
		}
	}
}

func TestIPFilterFields(t *testing.T) {
	t.Parallel()
	s := weirtest.Start(t)
	v := visit(s, "")
	group := v.group(t, "127.0.0.0/8")
	with := func(changes map[string]any) map[string]any {
		body := v.filter("", group)
		for name, value := range changes {
			body[name] = value
		}
		return body
	}
	// The organization is the scope where none is named, and the answer says so.
	for _, changes := range []map[string]any{nil, {"resource_scope": ""}, {"resource_scope": v.scope("")}, {"operation_groups": []any{}}} {
		a := v.want(t, http.StatusCreated, "POST", ipFilters, with(changes))
		if a.Body["resource_scope"] != v.scope("") {
			t.Errorf("with %v the scope is %v", changes, a.Body["resource_scope"])
		}
		if _, there := a.Body["operation_groups"]; there {
			t.Errorf("a filter on management lists operation groups: %s", a.Raw)
		}
	}
	for name, changes := range map[string]map[string]any{
		"/resource_scope":     {"resource_scope": "crn://confluent.cloud/organization=" + s.OrganizationID + "/environment=env-zzzzzz"},
		"/resource_scope ":    {"resource_scope": "crn://confluent.cloud/organization=" + s.OrganizationID + "/service-account=sa-1"},
		"/resource_scope  ":   {"resource_scope": "crn://confluent.cloud/organization=9bb441c4-edef-46ac-8a41-c49e44a3fd9a"},
		"/resource_scope   ":  {"resource_scope": v.scope(s.EnvironmentID) + "/environment=x"},
		"/operation_groups":   {"operation_groups": []any{"SCHEMA"}},
		"/operation_groups/1": {"resource_group": "multiple", "operation_groups": []any{"SCHEMA", "COFFEE"}},
		"/resource_group":     {"resource_group": "all"},
		"/ip_groups/1/id":     {"ip_groups": []any{map[string]any{"id": group}, map[string]any{"id": "ipg-zzzzz"}}},
		"/ip_groups":          {"ip_groups": []any{}},
	} {
		a := v.do(t, "POST", ipFilters, with(changes))
		if a.Status != http.StatusUnprocessableEntity || !slices.Equal(pointers(a), []string{strings.TrimSpace(name)}) {
			t.Errorf("%v: %d %s", changes, a.Status, a.Raw)
		}
	}
	// Lists replace what was there; what clients send along of what they read
	// does no harm.
	a := v.want(t, http.StatusCreated, "POST", ipFilters, with(map[string]any{"resource_group": "multiple", "operation_groups": []any{"SCHEMA", "FLINK"}}))
	self := ipFilters + "/" + a.Body["id"].(string)
	whole := a.Body
	whole["ip_groups"] = []any{map[string]any{"id": group, "related": "", "resource_name": ""}}
	whole["operation_groups"] = []any{"SCHEMA", "KAFKA_DATA"}
	a = v.want(t, http.StatusOK, "PATCH", self, whole)
	if got, _ := json.Marshal(a.Body["operation_groups"]); string(got) != `["SCHEMA","KAFKA_DATA"]` {
		t.Errorf("after a change the groups are %s", got)
	}
	a = v.want(t, http.StatusOK, "PATCH", self, map[string]any{"operation_groups": []any{}})
	if got, _ := json.Marshal(a.Body["operation_groups"]); string(got) != `[]` {
		t.Errorf("cleared, the groups are %s", got)
	}
	// A group is the same in any case, and stays as it was sent.
	a = v.want(t, http.StatusOK, "PATCH", self, map[string]any{"operation_groups": []any{"schema", "Kafka_Data", "SCHEMA"}})
	if got, _ := json.Marshal(a.Body["operation_groups"]); string(got) != `["schema","Kafka_Data","SCHEMA"]` {
		t.Errorf("in small letters the groups are %s", got)
	}
	a = v.want(t, http.StatusOK, "PATCH", self, map[string]any{"resource_group": "management", "operation_groups": []any{"SCHEMA", "kafka_data", "schema"}})
	if _, there := a.Body["operation_groups"]; there {
		t.Errorf("on management it keeps them in another case: %s", a.Raw)
	}
	v.want(t, http.StatusOK, "PATCH", self, map[string]any{"resource_group": "multiple"})
	// Whoever goes over to management sends the old operation groups along.
	v.want(t, http.StatusOK, "PATCH", self, map[string]any{"operation_groups": []any{"SCHEMA"}})
	a = v.want(t, http.StatusOK, "PATCH", self, map[string]any{"resource_group": "management", "operation_groups": []any{"SCHEMA"}})
	if _, there := a.Body["operation_groups"]; there {
		t.Errorf("on management it keeps them: %s", a.Raw)
	}
	if a := v.do(t, "PATCH", self, map[string]any{"operation_groups": []any{"SCHEMA"}}); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("operation groups on management: %d", a.Status)
	}
	if a := v.do(t, "PATCH", self, map[string]any{"resource_scope": v.scope(s.EnvironmentID)}); !slices.Equal(pointers(a), []string{"/resource_scope"}) {
		t.Errorf("another scope: %d %s", a.Status, a.Raw)
	}
	v.want(t, http.StatusOK, "PATCH", self, map[string]any{"resource_scope": ""})
	// A group in use stays, in the words that the CLI looks for.
	if a := v.do(t, "DELETE", ipGroups+"/"+group, nil); a.Status != http.StatusConflict || !strings.Contains(detailOf(a), "related IP filters") || !strings.Contains(detailOf(a), "ip-filter=ipf-") {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
	for path, want := range map[string]string{ipFilters + "/ipf-zzzzz": "IP filter not found: not found", ipGroups + "/ipg-zzzzz": "IP group not found: not found"} {
		if a := v.do(t, "GET", path, nil); a.Status != http.StatusNotFound || detailOf(a) != want {
			t.Errorf("%s: %d %s", path, a.Status, a.Raw)
		}
	}
}

func TestIPFilterLists(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, _ := start(t, databaseURL)
		v := visit(s, "")
		env := v.create(t, environments, map[string]any{"display_name": "second"})
		group := v.group(t, "127.0.0.0/8")
		of := map[string]string{}
		for _, scope := range []string{"", env, s.EnvironmentID} {
			of[scope] = v.create(t, ipFilters, v.filter(scope, group))
		}
		for query, want := range map[string][]string{
			"":                                       {of[""], of[env], of[s.EnvironmentID]},
			"resource_scope=&include_parent_scopes=": {of[""], of[env], of[s.EnvironmentID]},
			"resource_scope=" + url.QueryEscape(v.scope("")):                                        {of[""]},
			"resource_scope=" + url.QueryEscape(v.scope(env)):                                       {of[env]},
			"resource_scope=" + url.QueryEscape(v.scope(env)) + "&include_parent_scopes=true":       {of[""], of[env]},
			"resource_scope=" + url.QueryEscape(v.scope(env)) + "&include_parent_scopes=false":      {of[env]},
			"resource_scope=" + url.QueryEscape(v.scope("env-zzzzzz")):                              nil,
			"resource_scope=" + url.QueryEscape("crn://confluent.cloud/organization=elsewhere"):     nil,
			"resource_scope=" + url.QueryEscape(strings.ToUpper("crn:")+v.scope(env)[len("crn:"):]): {of[env]},
		} {
			if strings.Contains(query, "CRN") {
				continue // the scheme is read as it is written
			}
			got := v.listed(t, ipFilters+"?"+query)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s lists %v, want %v", query, got, want)
			}
		}
		// Pages keep what the list was asked for.
		path, pages := ipFilters+"?page_size=1&include_parent_scopes=true&resource_scope="+url.QueryEscape(v.scope(env)), []string{}
		for path != "" {
			pages = append(pages, v.listed(t, path)...)
			next, _ := v.do(t, "GET", path, nil).Body["metadata"].(map[string]any)["next"].(string)
			path = strings.TrimPrefix(next, s.URL)
		}
		if !slices.Equal(pages, []string{of[""], of[env]}) {
			t.Errorf("page by page: %v", pages)
		}
		for query, parameter := range map[string]string{
			"include_parent_scopes=true": "include_parent_scopes", "resource_scope=x": "resource_scope",
			"include_parent_scopes=maybe&resource_scope=" + url.QueryEscape(v.scope(env)): "resource_scope",
		} {
			a := v.do(t, "GET", ipFilters+"?"+query, nil)
			source, _ := first(a)["source"].(map[string]any)
			if a.Status != http.StatusBadRequest || source["parameter"] != parameter {
				t.Errorf("%s: %d %s", query, a.Status, a.Raw)
			}
		}
	})
}

// The group that has no network is in every organization and in no list.
func TestNoNetworksGroup(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, w := start(t, databaseURL, behindProxy)
		v := visit(s, officeAddress)
		const path = ipGroups + "/ipg-none"
		a := v.want(t, http.StatusOK, "GET", path, nil)
		meta, _ := a.Body["metadata"].(map[string]any)
		if a.Body["id"] != "ipg-none" || meta["self"] != s.URL+path || meta["resource_name"] != v.scope("")+"/ip-group=ipg-none" || meta["created_at"] == "" {
			t.Errorf("%s", a.Raw)
		}
		for _, method := range []string{"PATCH", "DELETE"} {
			a := v.do(t, method, path, map[string]any{"group_name": "mine", "cidr_blocks": []any{"0.0.0.0/0"}})
			if a.Status != http.StatusBadRequest || !strings.Contains(detailOf(a), "built in") {
				t.Errorf("%s: %d %s", method, a.Status, a.Raw)
			}
		}
		if slices.Contains(v.listed(t, ipGroups), "ipg-none") {
			t.Error("the list has it")
		}
		if a := w.Client(w.Nobody).Do(t, "GET", path, nil); a.Status != http.StatusNotFound {
			t.Errorf("for who holds no role: %d", a.Status)
		}
		w.Client(w.Other).Do(t, "GET", path, nil).Want(t, http.StatusOK)

		// It closes what it is the only group of.
		env := v.create(t, environments, map[string]any{"display_name": "closed"})
		body := v.filter(env, "ipg-none")
		body["resource_group"], body["operation_groups"] = "multiple", []any{"SCHEMA"}
		a = v.want(t, http.StatusCreated, "POST", ipFilters, body)
		ref, _ := a.Body["ip_groups"].([]any)[0].(map[string]any)
		if ref["related"] != s.URL+path || ref["resource_name"] != v.scope("")+"/ip-group=ipg-none" {
			t.Errorf("the reference is %v", ref)
		}
		if got := status(t, v, env, "SCHEMA"); got != "NO_ACCESS" {
			t.Errorf("the summary says %s", got)
		}
	})
}

// status is what the summary says of an operation group.
func status(t *testing.T, v visitor, env, group string) string {
	t.Helper()
	a := v.want(t, http.StatusOK, "GET", summaries+"?scope="+url.QueryEscape(v.scope(env)), nil)
	if a.Body["scope"] != v.scope(env) || a.Body["kind"] != "IpFilterSummary" || a.Body["api_version"] != "iam/v2" {
		t.Errorf("the summary is %s", a.Raw)
	}
	categories, _ := a.Body["categories"].([]any)
	for _, c := range categories {
		c, _ := c.(map[string]any)
		groups, _ := c["operation_groups"].([]any)
		for _, g := range groups {
			g, _ := g.(map[string]any)
			if g["name"] == group {
				return g["status"].(string)
			}
			if g["name"] == "category "+group {
				return c["status"].(string)
			}
		}
		if "category "+c["name"].(string) == group {
			return c["status"].(string)
		}
	}
	t.Fatalf("the summary does not tell of %s: %s", group, a.Raw)
	return ""
}

// The summary says what is enforced.
func TestIPFilterSummary(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, w := start(t, databaseURL, behindProxy)
		v := visit(s, officeAddress)
		env := v.create(t, environments, map[string]any{"display_name": "guarded"})
		check := func(env, group, want string) {
			t.Helper()
			if got := status(t, v, env, group); got != want {
				t.Errorf("%s in %q is %s, want %s", group, env, got, want)
			}
		}
		check("", "MANAGEMENT", "OPEN")
		check("", "category kafka", "OPEN")
		v.create(t, ipFilters, v.filter("", v.group(t, office)))
		kafka := v.filter(env, v.group(t, lab))
		kafka["resource_group"], kafka["operation_groups"] = "multiple", []any{"kafka_Data"}
		v.create(t, ipFilters, kafka)
		check("", "MANAGEMENT", "LIMITED")
		check(env, "MANAGEMENT", "LIMITED")
		check("", "KAFKA_DATA", "OPEN")
		check(env, "KAFKA_DATA", "LIMITED")
		check(env, "KAFKA_MANAGEMENT", "OPEN")
		check(env, "category kafka", "MIXED")
		check(env, "category management", "LIMITED")

		for query, parameter := range map[string]int{
			"": http.StatusBadRequest, "?scope=": http.StatusBadRequest, "?scope=x": http.StatusBadRequest,
			"?scope=" + url.QueryEscape("crn://confluent.cloud/organization="+w.Other.Organization): http.StatusBadRequest,
			"?scope=" + url.QueryEscape(v.scope("env-zzzzzz")):                                      http.StatusNotFound,
		} {
			if a := v.do(t, "GET", summaries+query, nil); a.Status != parameter {
				t.Errorf("%q: %d %s", query, a.Status, a.Raw)
			}
		}
	})
}

// EnvironmentAdmins have the filters of their environment, and no others.
func TestEnvironmentAdminsAndIPFilters(t *testing.T) {
	t.Parallel()
	s, w := start(t, "")
	scene := newScene(w)
	v := visit(s, "")
	mine, others := scene.environment(t), scene.environment(t)
	admin := scene.holder(t, "EnvironmentAdmin", v.scope(mine))
	group := v.group(t, "127.0.0.0/8")
	admin.Do(t, "GET", ipGroups+"/"+group, nil).Want(t, http.StatusOK)
	admin.Do(t, "POST", ipGroups, ipGroup(1)).WantCode(t, api.UserUnauthorized)
	a := admin.Do(t, "POST", ipFilters, v.filter(mine, group)).Want(t, http.StatusCreated)
	admin.Do(t, "POST", ipFilters, v.filter(others, group)).WantCode(t, api.UserUnauthorized)
	admin.Do(t, "POST", ipFilters, v.filter("env-zzzzzz", group)).WantCode(t, api.UserUnauthorized)
	admin.Do(t, "POST", ipFilters, v.filter("", group)).WantCode(t, api.UserUnauthorized)
	foreign := v.create(t, ipFilters, v.filter(others, group))
	admin.Do(t, "GET", ipFilters+"/"+foreign, nil).Want(t, http.StatusNotFound)
	admin.Do(t, "PATCH", ipFilters+"/"+a.ID(), map[string]any{"filter_name": "renamed"}).Want(t, http.StatusOK)
	list := admin.Do(t, "GET", ipFilters, nil).Want(t, http.StatusOK)
	if data, _ := list.Body["data"].([]any); len(data) != 1 {
		t.Errorf("the list has %s", list.Raw)
	}
	admin.Do(t, "GET", summaries+"?scope="+url.QueryEscape(v.scope(mine)), nil).Want(t, http.StatusOK)
	admin.Do(t, "GET", summaries+"?scope="+url.QueryEscape(v.scope(others)), nil).WantCode(t, api.UserUnauthorized)
	admin.Do(t, "GET", summaries+"?scope="+url.QueryEscape(v.scope("env-zzzzzz")), nil).WantCode(t, api.UserUnauthorized)
	admin.Do(t, "DELETE", ipFilters+"/"+a.ID(), nil).Want(t, http.StatusNoContent)
}

// soon asks until the answer has the status, for as long as a change may take
// to hold everywhere.
func soon(t *testing.T, what string, v visitor, status int) {
	t.Helper()
	deadline := time.Now().Add(time.Second)
	for {
		a := v.do(t, "GET", environments, nil)
		if a.Status == status {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: after a second the answer is still %d, want %d", what, a.Status, status)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A filter that one replica changes holds on the other within a second.
func TestIPFiltersOnReplicas(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s := weirtest.Start(t, weirtest.WithDatabaseURL(url), behindProxy)
	there := visit(s.Replica(weirtest.WithDatabaseURL(url), behindProxy), otherAddress)
	here := visit(s, officeAddress)
	soon(t, "no filter", there, http.StatusOK)
	group := here.group(t, office)
	filter := here.create(t, ipFilters, here.filter("", group))
	soon(t, "a new filter", there, http.StatusForbidden)
	here.want(t, http.StatusOK, "PATCH", ipGroups+"/"+group, map[string]any{"cidr_blocks": []any{office, otherAddress + "/32"}})
	soon(t, "a changed group", there, http.StatusOK)
	here.want(t, http.StatusOK, "PATCH", ipGroups+"/"+group, map[string]any{"cidr_blocks": []any{office}})
	soon(t, "a changed group", there, http.StatusForbidden)
	here.want(t, http.StatusNoContent, "DELETE", ipFilters+"/"+filter, nil)
	soon(t, "a deleted filter", there, http.StatusOK)
}

// Suspended by an operator beside the server, filters count no longer, and
// again when they are resumed; what they would do is refused all the same.
func TestSuspendedIPFilters(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		s, w := start(t, databaseURL, behindProxy)
		in, out := visit(s, officeAddress), visit(s, otherAddress)
		in.create(t, ipFilters, in.filter("", in.group(t, office)))
		soon(t, "a filter", out, http.StatusForbidden)

		suspend := func(want bool) {
			t.Helper()
			if did, err := iam.SuspendIPFilters(t.Context(), w.Engine, s.OrganizationID, "locked out"); err != nil || did != want {
				t.Fatalf("suspend: %v, %v", did, err)
			}
		}
		suspend(true)
		suspend(false)
		soon(t, "suspended", out, http.StatusOK)
		if got := status(t, out, "", "MANAGEMENT"); got != "OPEN" {
			t.Errorf("the summary says %s", got)
		}
		state, err := iam.IPFilterStatus(t.Context(), w.Engine.Store, s.OrganizationID)
		if err != nil || state.Filters != 1 || state.Suspended == nil || state.Suspended.Reason != "locked out" || state.Suspended.Since.IsZero() {
			t.Errorf("the status is %+v, %v", state, err)
		}
		refusedLockOut(t, "while suspended", in.do(t, "POST", ipFilters, in.filter(s.EnvironmentID, in.group(t, lab))), officeAddress)

		if did, err := iam.ResumeIPFilters(t.Context(), w.Engine, s.OrganizationID); err != nil || !did {
			t.Fatalf("resume: %v, %v", did, err)
		}
		if did, err := iam.ResumeIPFilters(t.Context(), w.Engine, s.OrganizationID); err != nil || did {
			t.Fatalf("resume once more: %v, %v", did, err)
		}
		soon(t, "resumed", out, http.StatusForbidden)
		suspend(true) // for a second time
		soon(t, "suspended again", out, http.StatusOK)

		for _, err := range []error{
			func() error { _, err := iam.SuspendIPFilters(t.Context(), w.Engine, "nowhere", ""); return err }(),
			func() error { _, err := iam.ResumeIPFilters(t.Context(), w.Engine, "nowhere"); return err }(),
			func() error { _, err := iam.IPFilterStatus(t.Context(), w.Engine.Store, "nowhere"); return err }(),
		} {
			if err == nil || !strings.Contains(err.Error(), `"nowhere"`) {
				t.Errorf("an organization that does not exist: %v", err)
			}
		}
	})
}

// One organization's filters are none of another's business.
func TestIPFiltersStayInTheirOrganization(t *testing.T) {
	t.Parallel()
	s, w := start(t, "", behindProxy)
	in := visit(s, officeAddress)
	in.create(t, ipFilters, in.filter("", in.group(t, office)))
	other := visitor{s: s, key: w.Other.Key, secret: w.Other.Secret, address: otherAddress}
	other.want(t, http.StatusOK, "GET", environments, nil)
	// Names of the other organization's groups and environments are unknown here.
	elsewhere := other.group(t, "0.0.0.0/0")
	if a := in.do(t, "POST", ipFilters, in.filter("", elsewhere)); !slices.Equal(pointers(a), []string{"/ip_groups/0/id"}) {
		t.Errorf("%d %s", a.Status, a.Raw)
	}
}
