package enginetest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
)

// page is one page of a list.
type page struct {
	Answer
	// raw are the objects as sent, ids their IDs.
	raw []json.RawMessage
	ids []string
	// links are the links in metadata, by name; total is -1 where there is none.
	links map[string]string
	total int
}

// list fetches a page, from a path with a query or a link, and checks all that
// is true of every page.
func (r *tester) list(t *testing.T, c *Client, at string) page {
	t.Helper()
	p := page{Answer: c.Do(t, http.MethodGet, at, nil).Want(t, r.op(t, engine.List).Success), links: map[string]string{}, total: -1}
	var envelope struct {
		APIVersion string `json:"api_version"`
		Kind       string
		Metadata   map[string]any
		Data       []json.RawMessage
	}
	if err := json.Unmarshal(p.Raw, &envelope); err != nil || envelope.Metadata == nil || envelope.Data == nil {
		t.Fatalf("%s: the list lacks metadata or data (%v): %s", at, err, p.Raw)
	}
	if envelope.APIVersion != r.k.APIVersion() || envelope.Kind != r.k.ListKind() {
		t.Errorf("%s: api_version and kind are %q and %q", at, envelope.APIVersion, envelope.Kind)
	}
	for name, v := range envelope.Metadata {
		switch v := v.(type) {
		case string:
			p.links[name] = v
			if u, err := url.Parse(v); err != nil || !strings.HasPrefix(v, r.URL+"/") || !strings.Contains(at, u.Path) {
				t.Errorf("%s: metadata.%s is %q, not an absolute link to the same list", at, name, v)
			}
			if token := tokenOf(v); len(token) > 255 {
				t.Errorf("%s: the page token of %s has %d characters", at, name, len(token))
			}
		case float64:
			p.total = int(v)
		default:
			t.Errorf("%s: metadata.%s is %v", at, name, v)
		}
	}
	for name, declared := range map[string]bool{"first": r.k.Pages.First, "last": r.k.Pages.Last} {
		if _, there := p.links[name]; there != declared {
			t.Errorf("%s: metadata.%s is there: %t, declared: %t", at, name, there, declared)
		}
	}
	if _, there := p.links["prev"]; there && !r.k.Pages.Prev {
		t.Errorf("%s: metadata.prev is there, and not declared", at)
	}
	if p.total >= 0 != r.k.Pages.Total {
		t.Errorf("%s: total_size is %d", at, p.total)
	}
	p.raw = envelope.Data
	for _, raw := range p.raw {
		var o struct{ ID string }
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		p.ids = append(p.ids, o.ID)
	}
	return p
}

func tokenOf(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	return u.Query().Get("page_token")
}

// at is the path of a list with a query, and what the kind needs in it.
func (r *tester) at(t *testing.T, c *Client, parent string, query url.Values) string {
	t.Helper()
	q := url.Values{}
	if r.spec.Query != nil {
		maps.Copy(q, r.spec.Query(t, c))
	}
	maps.Copy(q, query)
	if len(q) == 0 {
		return r.collection(parent)
	}
	return r.collection(parent) + "?" + q.Encode()
}

// walk follows the next links from a page on and returns all pages.
func (r *tester) walk(t *testing.T, c *Client, at string) []page {
	t.Helper()
	var pages []page
	for at != "" {
		if len(pages) > 1000 {
			t.Fatalf("the list has no end: %s", at)
		}
		p := r.list(t, c, at)
		pages = append(pages, p)
		at = p.links["next"]
	}
	return pages
}

// ids are the IDs in the whole list.
func (r *tester) ids(t *testing.T, c *Client, parent string, query url.Values) []string {
	t.Helper()
	q := url.Values{"page_size": {strconv.Itoa(r.pageSize().Max)}}
	for name, values := range query {
		q[name] = values
	}
	var out []string
	for _, p := range r.walk(t, c, r.at(t, c, parent, q)) {
		out = append(out, p.ids...)
	}
	return out
}

// pageSize are the kind's page sizes.
func (r *tester) pageSize() engine.PageSize {
	if r.k.PageSize == (engine.PageSize{}) {
		return engine.PageSize{Default: 10, Max: 100}
	}
	return r.k.PageSize
}

// several makes some objects of Admin's and returns their IDs; one, where the
// organization has but one. What is computed is there.
func (r *tester) several(t *testing.T, n int) []string {
	t.Helper()
	if r.k.Source != nil {
		there := r.ids(t, r.admin, r.parent, nil)
		return there[:min(n, len(there))]
	}
	var out []string
	for range n {
		if id := r.object(t, r.admin); !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// only keeps the IDs that are in both, in the order of the first.
func only(all, those []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return !slices.Contains(those, id) })
}

func (r *tester) testList(t *testing.T) {
	made := r.several(t, 3)
	for _, size := range []int{1, 2, r.pageSize().Max} {
		pages := r.walk(t, r.admin, r.at(t, r.admin, r.parent, url.Values{"page_size": {strconv.Itoa(size)}, "unknown": {"1"}}))
		var all []string
		for i, p := range pages {
			last := i == len(pages)-1
			if len(p.ids) > size || !last && len(p.ids) != size || len(p.ids) == 0 {
				t.Errorf("page %d of size %d has %d objects", i, size, len(p.ids))
			}
			if _, there := p.links["next"]; there == last {
				t.Errorf("page %d of %d has a next: %t", i, len(pages), there)
			}
			all = append(all, p.ids...)
			if r.has(engine.Read) {
				for n, id := range p.ids {
					if !slices.Contains(made, id) {
						continue
					}
					if read := r.read(t, id); !bytes.Equal(read.Raw, p.raw[n]) {
						t.Errorf("%s is listed as\n%s\nand read as\n%s", id, p.raw[n], read.Raw)
					}
				}
			}
		}
		if got := only(all, made); !slices.Equal(got, made) {
			t.Errorf("with page_size %d the list has %q of %q, which were made in this order", size, got, made)
		}
		if unique := slices.Compact(slices.Sorted(slices.Values(all))); len(unique) != len(all) {
			t.Errorf("with page_size %d the list has an object twice: %q", size, all)
		}
		for i, p := range pages {
			if p.total >= 0 && p.total != len(all) {
				t.Errorf("page %d says that there are %d objects of %d", i, p.total, len(all))
			}
		}
	}
	r.checkHead(t, r.at(t, r.admin, r.parent, url.Values{"page_size": {"1"}}))
	if a, b := r.list(t, r.admin, "/api"+r.at(t, r.admin, r.parent, nil)), r.list(t, r.admin, r.at(t, r.admin, r.parent, nil)); !slices.Equal(a.ids, b.ids) {
		t.Errorf("the list under /api is another one")
	}
}

func (r *tester) testPageSize(t *testing.T) {
	sizes := r.pageSize()
	r.several(t, 2)
	for _, size := range []string{"1", strconv.Itoa(sizes.Max), ""} {
		r.list(t, r.admin, r.at(t, r.admin, r.parent, url.Values{"page_size": {size}}))
	}
	for _, size := range []string{"0", "-1", strconv.Itoa(sizes.Max + 1), "99999999999999999999", "ten", "1.5", "1 ", "0x1"} {
		r.admin.Do(t, http.MethodGet, r.at(t, r.admin, r.parent, url.Values{"page_size": {size}}), nil).WantParameter(t, api.InvalidParameter, "page_size")
	}
	if !r.has(engine.Create) || sizes.Default > 20 {
		return
	}
	r.several(t, sizes.Default+1)
	p := r.list(t, r.admin, r.at(t, r.admin, r.parent, nil))
	if len(p.ids) != sizes.Default || p.links["next"] == "" {
		t.Errorf("without page_size a page has %d objects, want %d", len(p.ids), sizes.Default)
	}
}

func (r *tester) testPageToken(t *testing.T) {
	if made := r.several(t, 3); len(made) < 2 {
		return
	}
	p := r.list(t, r.admin, r.at(t, r.admin, r.parent, url.Values{"page_size": {"1"}}))
	token := tokenOf(p.links["next"])
	if token == "" {
		t.Fatalf("there is no token in %q", p.links["next"])
	}
	refused := func(c *Client, parent, sent string, more url.Values) {
		t.Helper()
		q := url.Values{"page_token": {sent}}
		for name, values := range more {
			q[name] = values
		}
		a := c.Do(t, http.MethodGet, r.at(t, c, parent, q), nil)
		if a.Status == http.StatusOK {
			t.Errorf("%.300q is taken for a token; %q was given out", q, token)
			return
		}
		a.WantParameter(t, api.InvalidPageToken, "page_token")
	}
	for i := range len(token) {
		changed := []byte(token)
		changed[i] = "AB"[(int(changed[i])+1)%2]
		if string(changed) != token {
			refused(r.admin, r.parent, string(changed), nil)
		}
	}
	for _, forged := range []string{"x", token + "A", token[1:], token[:len(token)-1], token + "=", " " + token, token + "\n", strings.Repeat("A", len(token)), strings.Repeat("A", 5000), "\x00", "é"} {
		refused(r.admin, r.parent, forged, nil)
	}
	// A token is good for its organization, its list and its filters alone.
	refused(r.other, r.parentOf(t, r.other), token, nil)
	for _, f := range filterable(r.k.Fields, "") {
		if f.FilterBy == nil {
			refused(r.admin, r.parent, token, url.Values{f.parameter(): {"x"}})
		}
	}
	if r.spec.Parent != nil {
		refused(r.admin, r.spec.Parent(t, r.admin), token, nil)
	}
	// It works as often as one likes, and with another page_size.
	second := r.list(t, r.admin, p.links["next"])
	if again := r.list(t, r.admin, p.links["next"]); !slices.Equal(second.ids, again.ids) || slices.Equal(second.ids, p.ids) {
		t.Errorf("the next page is %q, and then %q", second.ids, again.ids)
	}
	wider := r.list(t, r.admin, r.at(t, r.admin, r.parent, url.Values{"page_token": {token}, "page_size": {"2"}}))
	if len(wider.ids) == 0 || wider.ids[0] != second.ids[0] {
		t.Errorf("with another page_size the token leads to %q, not %q", wider.ids, second.ids)
	}
	if alone := r.list(t, r.admin, r.at(t, r.admin, r.parent, url.Values{"page_token": {token}})); !slices.Equal(alone.ids, second.ids) {
		t.Errorf("the token alone leads to %q, not %q", alone.ids, second.ids)
	}
}

// testPageLinks walks in both directions, for kinds whose lists have the links.
func (r *tester) testPageLinks(t *testing.T) {
	pages := r.k.Pages
	if pages == (engine.Pages{}) {
		return
	}
	r.several(t, 5)
	start := r.at(t, r.admin, r.parent, url.Values{"page_size": {"2"}})
	forward := r.walk(t, r.admin, start)
	last := forward[len(forward)-1]
	if pages.First {
		for _, p := range forward {
			if first := r.list(t, r.admin, p.links["first"]); !slices.Equal(first.ids, forward[0].ids) {
				t.Errorf("first leads to %q, not %q", first.ids, forward[0].ids)
			}
		}
	}
	if pages.Last {
		p := r.list(t, r.admin, forward[0].links["last"])
		if p.links["next"] != "" || len(p.ids) == 0 || p.ids[len(p.ids)-1] != last.ids[len(last.ids)-1] {
			t.Errorf("last leads to %q (next %q), and the last page is %q", p.ids, p.links["next"], last.ids)
		}
	}
	if !pages.Prev {
		return
	}
	if forward[0].links["prev"] != "" {
		t.Errorf("the first page has a prev")
	}
	var there, back []string
	for _, p := range forward {
		there = append(there, p.ids...)
	}
	var backward []page
	for at := last.links["prev"]; at != ""; {
		p := r.list(t, r.admin, at)
		backward = append(backward, p)
		at = p.links["prev"]
		if p.links["next"] == "" {
			t.Errorf("a page before the last has no next")
		}
	}
	for _, p := range slices.Backward(backward) {
		back = append(back, p.ids...)
	}
	if back = append(back, last.ids...); !slices.Equal(there, back) {
		t.Errorf("forward the list is %q, and backward %q", there, back)
	}
	if len(backward) > 0 {
		first := backward[len(backward)-1]
		if next := r.list(t, r.admin, first.links["next"]); !slices.Equal(next.ids, forward[1].ids) {
			t.Errorf("next of the first page, reached backward, is %q, not %q", next.ids, forward[1].ids)
		}
	}
}

func (r *tester) testFilters(t *testing.T) {
	if r.k.FilterID != engine.NotFiltered {
		for _, id := range r.several(t, 2) {
			if got := r.ids(t, r.admin, r.parent, url.Values{"id": {id}}); !slices.Equal(got, []string{id}) {
				t.Errorf("id=%s selects %q", id, got)
			}
		}
		for _, nothing := range strange {
			if got := r.ids(t, r.admin, r.parent, url.Values{"id": {nothing}}); len(got) != 0 {
				t.Errorf("id=%.20q selects %q", nothing, got)
			}
		}
	}
	for _, p := range filterable(r.k.Fields, "") {
		if p.FilterRequired {
			r.admin.Do(t, http.MethodGet, r.collection(r.parent), nil).WantParameter(t, api.InvalidParameter, p.parameter())
			r.admin.Do(t, http.MethodGet, r.collection(r.parent)+"?"+p.parameter()+"=", nil).WantParameter(t, api.InvalidParameter, p.parameter())
		}
		if p.FilterBy != nil || r.spec.Omit[p.path] != "" {
			continue // what such a filter selects is the kind's own affair
		}
		value := map[string]string{}
		for _, id := range r.several(t, 2) {
			v, _ := get(r.shown(t, id).Body, p.path)
			if items, ok := v.([]any); ok && len(items) > 0 {
				v = items[0]
			}
			s, ok := filterValue(v)
			if !ok {
				t.Fatalf("%s has the value %v, which no parameter can name", p.path, v)
			}
			value[id] = s
		}
		r.checkFilter(t, p, value)
	}
}

// shown is the object as it is read, or listed where the kind has no Read.
func (r *tester) shown(t *testing.T, id string) Answer {
	t.Helper()
	if r.has(engine.Read) {
		return r.read(t, id)
	}
	for _, p := range r.walk(t, r.admin, r.at(t, r.admin, r.parent, nil)) {
		if i := slices.Index(p.ids, id); i >= 0 {
			a := Answer{Raw: p.raw[i]}
			if err := json.Unmarshal(a.Raw, &a.Body); err != nil {
				t.Fatal(err)
			}
			return a
		}
	}
	t.Fatalf("%s is not listed", id)
	return Answer{}
}

// checkFilter filters by a property that some objects have with the values.
func (r *tester) checkFilter(t *testing.T, p property, value map[string]string) {
	t.Helper()
	var ids, values []string
	for id, v := range value {
		ids, values = append(ids, id), append(values, v)
	}
	for id, v := range value {
		got := only(r.ids(t, r.admin, r.parent, url.Values{p.parameter(): {v}}), ids)
		var want []string
		for other, same := range value {
			if same == v {
				want = append(want, other)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s=%s selects %q of %q, want %q (%s is one)", p.path, v, got, ids, want, id)
		}
		// The filter holds on every page.
		for _, page := range r.walk(t, r.admin, r.at(t, r.admin, r.parent, url.Values{p.parameter(): {v}, "page_size": {"1"}})) {
			for n := range page.raw {
				var body map[string]any
				if err := json.Unmarshal(page.raw[n], &body); err != nil {
					t.Fatal(err)
				}
				answered, _ := get(body, p.path)
				if s, _ := filterValue(answered); s != v && p.Type != engine.Array {
					t.Errorf("%s=%s selects an object with %q", p.path, v, s)
				}
			}
		}
		if upper := strings.ToUpper(v); upper != v && p.Type == engine.String && len(p.Enum) == 0 {
			if got := r.ids(t, r.admin, r.parent, url.Values{p.parameter(): {upper}}); slices.Contains(got, id) {
				t.Errorf("%s=%s selects %s, which has %q", p.path, upper, id, v)
			}
		}
	}
	for _, nothing := range []string{"no-such-value", "%", "_", "*", "\x00", "\xff", strings.Repeat("x", 5000)} {
		if got := r.ids(t, r.admin, r.parent, url.Values{p.parameter(): {nothing}}); len(got) != 0 {
			t.Errorf("%s=%.20q selects %q", p.path, nothing, got)
		}
	}
	if !p.FilterRequired {
		if got := only(r.ids(t, r.admin, r.parent, url.Values{p.parameter(): {""}}), ids); len(got) != len(ids) {
			t.Errorf("an empty %s selects %q of %q", p.path, got, ids)
		}
	}
	if p.Filter != engine.FilterAny {
		return
	}
	for _, form := range []url.Values{
		{p.parameter(): values},
		{p.parameter(): {strings.Join(values, ",")}},
		{p.parameter(): append([]string{"no-such-value"}, values...)},
	} {
		if got := only(r.ids(t, r.admin, r.parent, form), ids); len(got) != len(ids) {
			t.Errorf("%s selects %q of %q", form.Encode(), got, ids)
		}
		// So it does from page to page.
		form.Set("page_size", "1")
		var paged []string
		for _, page := range r.walk(t, r.admin, r.at(t, r.admin, r.parent, form)) {
			paged = append(paged, page.ids...)
		}
		if len(only(paged, ids)) != len(ids) {
			t.Errorf("%s selects %q of %q", form.Encode(), paged, ids)
		}
	}
	if !free(p.Field) || r.spec.Only[p.path] != "" || !r.has(engine.Create) {
		return
	}
	// A comma separates values, and may stand in one.
	for _, text := range []string{"a,b & c=d + e;f", "ü#?/"} {
		id := r.create(t, with(r.body(t, r.admin), p.path, text)).ID()
		if got := r.ids(t, r.admin, r.parent, url.Values{p.parameter(): {text}}); !slices.Contains(got, id) {
			t.Errorf("%s=%s does not select the object with this value", p.path, text)
		}
		if words := strings.Split(text, " "); !slices.Contains(r.ids(t, r.admin, r.parent, url.Values{p.parameter(): words}), id) {
			t.Errorf("%s with the words %q does not select the object", p.path, words)
		}
		r.discard(t, id)
	}
}
