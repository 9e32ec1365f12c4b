package server_test

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/engine/enginetest"
)

// pagesOf follows a list of the path and returns the IDs of each page.
func pagesOf(t *testing.T, c *enginetest.Client, at string) (pages [][]string, raw string) {
	t.Helper()
	for at != "" {
		if len(pages) > 1000 {
			t.Fatal("the list has no end")
		}
		a := c.Do(t, http.MethodGet, at, nil).Want(t, http.StatusOK)
		raw += string(a.Raw)
		var ids []string
		data, _ := a.Body["data"].([]any)
		for _, o := range data {
			object, _ := o.(map[string]any)
			id, _ := object["id"].(string)
			ids = append(ids, id)
		}
		pages = append(pages, ids)
		at = a.Text("metadata.next")
	}
	return pages, raw
}

// TestListsAreFull hides most objects of a list, in random places: every page
// but the last is full all the same, and nothing tells of what is hidden.
func TestListsAreFull(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		s := newScene(w)
		account := s.account(t)
		c := s.client(t, account)
		random := rand.New(rand.NewPCG(7, 30))
		var visible, hidden, bindings []string
		chosen := random.Perm(30)[:7]
		for i := range 30 {
			id := s.environment(t)
			name := s.root + "/environment=" + id
			if !slices.Contains(chosen, i) {
				hidden = append(hidden, id)
				s.bind(t, s.account(t), "DataDiscovery", name)
				continue
			}
			visible = append(visible, id)
			// Each by another way: a role on it, or on something in it.
			role := [][2]string{{"EnvironmentAdmin", ""}, {"DataDiscovery", ""}, {"DeveloperRead", cluster + "/kafka=lkc-1/topic=a*"}, {"CloudClusterAdmin", cluster}}[len(visible)%4]
			bindings = append(bindings, s.bind(t, account, role[0], name+role[1]))
		}
		check := func(path string, want []string) {
			t.Helper()
			pages, raw := pagesOf(t, c, path)
			for i, page := range pages {
				if i < len(pages)-1 && len(page) != 3 {
					t.Errorf("%s: page %d of %d has %d objects", path, i+1, len(pages), len(page))
				}
			}
			if got := slices.Concat(pages...); !slices.Equal(got, want) {
				t.Errorf("%s shows %q, want %q", path, got, want)
			}
			if len(want) > 0 && len(pages) != (len(want)+2)/3 {
				t.Errorf("%s has %d pages for %d objects", path, len(pages), len(want))
			}
			for _, id := range hidden {
				if strings.Contains(raw, id) {
					t.Errorf("%s tells of %s", path, id)
				}
			}
		}
		check(environments+"?page_size=3", visible)
		// Its own bindings, and no others: nobody else is bound where it may see
		// access. (The roles of an administrator there show what hangs on it.)
		check(roleBindings+"?page_size=3&crn_pattern="+url.QueryEscape(s.root+"/*"), bindings)
		// An account sees itself, among those that an administrator of an
		// environment sees.
		if got := walkIDs(t, c, serviceAccounts+"?page_size=3"); !slices.Contains(got, account) || len(got) < 24 {
			t.Errorf("an EnvironmentAdmin sees %d service accounts", len(got))
		}
		check(apiKeys+"?page_size=3", []string{c.Key})

		// A filter that names what is hidden finds nothing.
		for _, id := range hidden[:3] {
			check(roleBindings+"?crn_pattern="+url.QueryEscape(s.root+"/environment="+id), nil)
		}
		// A token of another caller's page does not lead past what is visible.
		a := s.admin.Do(t, http.MethodGet, environments+"?page_size=3", nil).Want(t, http.StatusOK)
		next, err := url.Parse(a.Text("metadata.next"))
		if err != nil {
			t.Fatal(err)
		}
		a = c.Do(t, http.MethodGet, environments+"?"+next.RawQuery, nil)
		for _, id := range hidden {
			if strings.Contains(string(a.Raw), id) {
				t.Errorf("the administrator's page token shows %s", id)
			}
		}
	})
}

// TestListOfHiddenParent asks for what lies in an object that the caller may
// not know of: it answers like one that does not exist.
func TestListOfHiddenParent(t *testing.T) {
	t.Parallel()
	w := serve(t, "", madeUpKinds(), time.Now)
	s := newScene(w)
	top := newAuthority(t, s.admin)
	newPool(t, s.admin, top)
	c := s.Client(s.Nobody)
	hidden := c.Do(t, http.MethodGet, poolsOf(top), nil)
	unknown := "op-00000000"
	missing := c.Do(t, http.MethodGet, poolsOf(unknown), nil).Want(t, http.StatusNotFound)
	if got, want := strings.ReplaceAll(essence(t, hidden), top, unknown), essence(t, missing); got != want {
		t.Errorf("a hidden parent and one that does not exist differ:\n%s\n%s", hidden.Raw, missing.Raw)
	}
}
