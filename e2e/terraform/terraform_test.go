// Package terraform_test drives Weir with Terraform and its official provider,
// unmodified, on both databases.
//
// Every configuration in the folders beside it goes the same way: apply, a plan
// with nothing to do, an update, such a plan again, an import of everything
// into a fresh state, such a plan once more, and destroy, which leaves what was
// there before.
package terraform_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/weirtest"
)

// scenario is what is particular about one configuration.
type scenario struct {
	// options go to every command.
	options []string
	// made is how many resources there are.
	made int
	// update are the variables of the second apply, and updated its summary;
	// none means that there is nothing to update.
	update  []string
	updated string
	// replaced are the addresses of resources that the update replaces.
	replaced []string
	// flagged is how many resources have a flag that the provider keeps to
	// itself, so that an import does not bring it in.
	flagged int
	// first and second check the outputs after the first and second apply.
	first, second func(*testing.T, *weirtest.Server, outputs)
}

func TestTerraform(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for store, databaseURL := range map[string]func(testing.TB) string{
		"SQLite":     func(testing.TB) string { return "" },
		"PostgreSQL": pgtest.URL,
	} {
		for folder, s := range scenarios {
			t.Run(store+"/"+folder, func(t *testing.T) {
				t.Parallel()
				w := weirtest.Start(t, weirtest.WithDatabaseURL(databaseURL(t)))
				s.run(t, newWorkspace(t, tools, w, folder), newWorkspace(t, tools, w, folder))
			})
		}
	}
}

// run goes the whole way; other is where the import goes to.
func (s scenario) run(t *testing.T, ws, other *workspace) {
	before := inventory(t, ws.weir)
	ws.apply(fmt.Sprintf("%d added, 0 changed, 0 destroyed", s.made), s.options...)
	first, made := ws.state()
	s.first(t, ws.weir, outputs{t, first})
	ws.settled(s.options...)

	options := s.options
	if s.update != nil {
		options = append(slices.Clone(options), s.update...)
		ws.apply(s.updated, options...)
		second, updated := ws.state()
		s.second(t, ws.weir, outputs{t, second})
		for i, r := range updated {
			if r.Address != made[i].Address {
				t.Fatalf("the update made %s of %s", r.Address, made[i].Address)
			}
			if kept := r.id() == made[i].id(); kept == slices.Contains(s.replaced, r.Address) {
				t.Errorf("%s was %s and is %s after the update", r.Address, made[i].id(), r.id())
			}
		}
		ws.settled(options...)
		made = updated
	}

	if s.made > 0 {
		for _, r := range made {
			if secret, ok := r.Values["secret"].(string); ok {
				other.secret = secret
			}
		}
		other.write("import.tf", importBlocks(made))
		other.apply(fmt.Sprintf("%d imported, 0 added, %d changed, 0 destroyed", s.made, s.flagged), options...)
		other.settled(options...)
	}

	destroyed := ws.must(append([]string{"destroy", "-auto-approve", "-no-color"}, options...)...)
	if want := fmt.Sprintf("Destroy complete! Resources: %d destroyed", s.made); !strings.Contains(destroyed, want) {
		t.Errorf("not %q:\n%s", want, destroyed)
	}
	for path, ids := range inventory(t, ws.weir) {
		if !slices.Equal(ids, before[path]) {
			t.Errorf("%s had %v, and has %v after destroy", path, before[path], ids)
		}
	}
}

// inventory lists what there is, by path.
func inventory(t *testing.T, w *weirtest.Server) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, path := range []string{
		"/org/v2/environments", "/iam/v2/service-accounts", "/iam/v2/users", "/iam/v2/api-keys",
		"/iam/v2/role-bindings?crn_pattern=crn://confluent.cloud/organization=" + w.OrganizationID + "/*",
		"/iam/v2/sso/group-mappings", "/iam/v2/identity-providers", "/iam/v2/certificate-authorities", "/iam/v2/ip-groups", "/iam/v2/ip-filters",
	} {
		a := w.Do(http.MethodGet, path, nil)
		data, ok := a.Body["data"].([]any)
		if !ok || a.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, a.Status, a.Raw)
		}
		ids := []string{}
		for _, object := range data {
			ids = append(ids, fmt.Sprint(object.(map[string]any)["id"]))
		}
		found[path] = ids
	}
	return found
}

// outputs are what a configuration says of what it made.
type outputs struct {
	t      *testing.T
	values map[string]any
}

// at returns the output, or what is in it at the path: "key.owner.0.id".
func (o outputs) at(path string) any {
	o.t.Helper()
	var value any = o.values
	for _, name := range strings.Split(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(v) {
				o.t.Fatalf("there is no %s in %v", path, o.values)
			}
			value = v[i]
		default:
			o.t.Fatalf("there is no %s in %v", path, o.values)
		}
	}
	return value
}

func (o outputs) text(path string) string {
	o.t.Helper()
	text, ok := o.at(path).(string)
	if !ok {
		o.t.Fatalf("%s is %v and no text", path, o.at(path))
	}
	return text
}

// want checks what the outputs say.
func (o outputs) want(values map[string]any) {
	o.t.Helper()
	for _, path := range slices.Sorted(maps.Keys(values)) {
		if got := o.at(path); fmt.Sprint(got) != fmt.Sprint(values[path]) {
			o.t.Errorf("%s is %v, want %v", path, got, values[path])
		}
	}
}

// same checks that two outputs say the same.
func (o outputs) same(one string, others ...string) {
	o.t.Helper()
	for _, other := range others {
		if a, b := o.at(one), o.at(other); fmt.Sprint(a) != fmt.Sprint(b) {
			o.t.Errorf("%s is %v, and %s is %v", one, a, other, b)
		}
	}
}
