package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine/enginetest"
)

const (
	environments    = "/org/v2/environments"
	serviceAccounts = "/iam/v2/service-accounts"
	apiKeys         = "/iam/v2/api-keys"
)

// TestConventions is about what all operations share; what is in bodies is for
// TestKinds.
func TestConventions(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		_, w := start(t, databaseURL)
		c := w.Client(w.Admin)
		t.Run("Malformed", func(t *testing.T) { testMalformed(t, c) })
		t.Run("Size", func(t *testing.T) { testBodySize(t, c) })
		t.Run("MediaType", func(t *testing.T) { testMediaTypes(t, c) })
		t.Run("Accept", func(t *testing.T) { testAccept(t, c) })
		t.Run("Paths", func(t *testing.T) { testPaths(t, w) })
		t.Run("DotSegments", func(t *testing.T) { testDotSegments(t, c) })
		t.Run("AssignedResourceOwner", func(t *testing.T) { testAssignedResourceOwner(t, w) })
		t.Run("KeyEnds", func(t *testing.T) { testKeyEnds(t, w) })
	})
}

func testMalformed(t *testing.T, c *enginetest.Client) {
	for _, test := range []struct{ body, position string }{
		{`{"display_name": oops}`, "line 1, column 18"},
		{"{\n  \"display_name\": \"é\",\n  \"x\": }", "line 3, column 8"},
		{"{\n\"display_name\": \"a", "line 2, column 19"},
		{`{} {}`, "line 1, column 4"},
		{"{\"display_name\": \"\xff\"}", "line 1, column 19"},
		{`{"display_name": 'a'}`, "line 1, column 18"},
		{`{"a": 01}`, "line 1, column 8"},
		{strings.Repeat(`{"a":`, 20_000), ""},
		{strings.Repeat(`[`, 200_000), ""},
	} {
		a := c.Do(t, http.MethodPost, environments, test.body).WantCode(t, api.MalformedRequest)
		if message := a.Text("error.message"); !strings.Contains(message, test.position) {
			t.Errorf("%.40q: %q does not say %q", test.body, message, test.position)
		}
	}
}

func testBodySize(t *testing.T, c *enginetest.Client) {
	body := func(size int) string {
		start, end := `{"display_name":"big"`, `}`
		return start + strings.Repeat(" ", size-len(start)-len(end)) + end
	}
	create(t, c, environments, body(api.MaxBody))
	c.Do(t, http.MethodPost, environments, body(api.MaxBody+1)).WantCode(t, api.PayloadTooLarge)
	// The same without a Content-Length.
	for size, status := range map[int]int{api.MaxBody: http.StatusCreated, api.MaxBody + 1: http.StatusRequestEntityTooLarge} {
		req := c.Request(t, http.MethodPost, environments, "")
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body(size))), -1
		c.Send(t, req).Want(t, status)
	}
}

func testMediaTypes(t *testing.T, c *enginetest.Client) {
	for contentType, status := range map[string]int{
		"":                                  http.StatusCreated,
		"application/json":                  http.StatusCreated,
		"APPLICATION/JSON; charset=UTF-8":   http.StatusCreated,
		"application/merge-patch+json":      http.StatusCreated,
		"text/plain":                        http.StatusUnsupportedMediaType,
		"application/x-www-form-urlencoded": http.StatusUnsupportedMediaType,
		"application/jsonp":                 http.StatusUnsupportedMediaType,
		"multipart/form-data; boundary=x":   http.StatusUnsupportedMediaType,
		"json":                              http.StatusUnsupportedMediaType,
		"application/json; =":               http.StatusUnsupportedMediaType,
	} {
		req := c.Request(t, http.MethodPost, environments, `{"display_name":"typed"}`)
		req.Header.Del("Content-Type")
		if contentType != "" {
			req.Header.Set("Content-Type", contentType)
		}
		if a := c.Send(t, req); a.Status != status {
			t.Errorf("Content-Type %q: status is %d, want %d", contentType, a.Status, status)
		}
	}
	req := c.Request(t, http.MethodPost, environments, `{"display_name":"typed"}`)
	req.Header.Set("Content-Encoding", "gzip")
	c.Send(t, req).WantCode(t, api.UnsupportedMediaType)
}

func testAccept(t *testing.T, c *enginetest.Client) {
	for accept, status := range map[string]int{
		"*/*":                               http.StatusOK,
		"application/*":                     http.StatusOK,
		"text/html, application/json;q=0.1": http.StatusOK,
		"application/json, */*":             http.StatusOK,
		"text/html":                         http.StatusNotAcceptable,
		"application/xml, text/*":           http.StatusNotAcceptable,
		"application/json;q=0":              http.StatusNotAcceptable,
		"application/json;q=0.000, */*;q=0": http.StatusNotAcceptable,
	} {
		req := c.Request(t, http.MethodGet, environments, nil)
		req.Header.Set("Accept", accept)
		if a := c.Send(t, req); a.Status != status {
			t.Errorf("Accept %q: status is %d, want %d", accept, a.Status, status)
		}
	}
}

func testPaths(t *testing.T, w *enginetest.World) {
	c := w.Client(w.Admin)
	id := create(t, c, environments, map[string]any{"display_name": "found"})
	want := c.Do(t, http.MethodGet, environments+"/"+id, nil).Want(t, http.StatusOK)
	for _, path := range []string{
		"/api" + environments + "/" + id,
		"//org/v2//environments///" + id,
		"/api//org/v2/environments/" + id,
		"//api" + environments + "/" + id,
		"/org/v2/%65nvironments/" + id,
	} {
		if a := c.Do(t, http.MethodGet, path, nil).Want(t, http.StatusOK); string(a.Raw) != string(want.Raw) {
			t.Errorf("%s answers otherwise: %s", path, a.Raw)
		}
	}
	if a := c.Do(t, http.MethodPost, "/api"+environments, map[string]any{"display_name": "below"}).Want(t, http.StatusCreated); a.Header.Get("Location") != a.Text("metadata.self") {
		t.Errorf("below /api the Location is %q and the link %q", a.Header.Get("Location"), a.Text("metadata.self"))
	}
	for _, path := range []string{
		"/nowhere", "/api", "/org", "/org/v2", "/org/v2/", environments + "/", environments + "/" + id + "/", environments + "/" + id + "/x",
		"/ORG/V2/ENVIRONMENTS", "/org/v2%2Fenvironments", "/org%2F/v2/environments",
		"/%00", "/\xc3\xa9",
	} {
		for _, who := range []*enginetest.Client{c, w.Client(enginetest.Caller{})} {
			who.Do(t, http.MethodGet, path, nil).WantCode(t, api.RouteNotFound)
		}
	}
	// An encoded slash belongs to the value.
	c.Do(t, http.MethodGet, environments+"/a%2Fb", nil).WantCode(t, api.ResourceNotFound)
	c.Do(t, http.MethodGet, environments+"/a%2F%2Fb", nil).WantCode(t, api.ResourceNotFound)
}

// testDotSegments sends paths that a file server would resolve. To an API a dot
// is text like any other, and a redirect to somewhere else no answer.
func testDotSegments(t *testing.T, c *enginetest.Client) {
	for _, path := range []string{environments + "/.", environments + "/..", environments + "/%2e%2e"} {
		c.Do(t, http.MethodGet, path, nil).WantCode(t, api.ResourceNotFound)
	}
	for _, path := range []string{"/org/./v2/environments", "/org/v2/../v2/environments"} {
		c.Do(t, http.MethodGet, path, nil).WantCode(t, api.RouteNotFound)
	}
}

// testKeyEnds is about credentials that stop being valid.
func testKeyEnds(t *testing.T, w *enginetest.World) {
	c := w.Client(w.Admin)
	owner := create(t, c, serviceAccounts, map[string]any{"display_name": "ends"})
	var callers []*enginetest.Client
	for range 2 {
		a := c.Do(t, http.MethodPost, apiKeys, map[string]any{"spec": map[string]any{"owner": map[string]any{"id": owner}}}).Want(t, http.StatusAccepted)
		callers = append(callers, w.Client(enginetest.Caller{Key: a.ID(), Secret: a.Text("spec.secret")}))
	}
	for _, caller := range callers {
		caller.Do(t, http.MethodGet, environments, nil).Want(t, http.StatusOK)
	}
	c.Do(t, http.MethodDelete, apiKeys+"/"+callers[0].Key, nil).Want(t, http.StatusNoContent)
	callers[0].Do(t, http.MethodGet, environments, nil).WantCode(t, api.Unauthenticated)
	callers[1].Do(t, http.MethodGet, environments, nil).Want(t, http.StatusOK)
	c.Do(t, http.MethodDelete, serviceAccounts+"/"+owner, nil).Want(t, http.StatusNoContent)
	callers[1].Do(t, http.MethodGet, environments, nil).WantCode(t, api.Unauthenticated)
	c.Do(t, http.MethodGet, apiKeys+"/"+callers[1].Key, nil).WantCode(t, api.ForbiddenAccess)
}

// testAssignedResourceOwner is about the one query parameter that creates take.
func testAssignedResourceOwner(t *testing.T, w *enginetest.World) {
	t.Helper()
	c := w.Client(w.Admin)
	for i, owner := range []string{w.Admin.Principal, w.Nobody.Principal} {
		id := create(t, c, serviceAccounts+"?assigned_resource_owner="+owner, map[string]any{"display_name": fmt.Sprintf("owned %d", i)})
		if n := bindingsOn(t, w, id); n != 1 {
			t.Errorf("%s has %d role bindings, want one for its owner", id, n)
		}
	}
	for _, owner := range []string{"u-000000", "nobody", w.Other.Principal, "\x00"} {
		req := c.Request(t, http.MethodPost, serviceAccounts, map[string]any{"display_name": "ownerless"})
		q := req.URL.Query()
		q.Set("assigned_resource_owner", owner)
		req.URL.RawQuery = q.Encode()
		c.Send(t, req).WantParameter(t, api.InvalidParameter, "assigned_resource_owner")
	}
	// The refused ones left nothing behind, not even their name.
	create(t, c, serviceAccounts, map[string]any{"display_name": "ownerless"})
}
