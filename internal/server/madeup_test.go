package server_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/random"
)

// The kinds of this file are made up. They use what the engine can do and few
// real kinds need: every link between pages, a parent in the path, PUT, DELETE
// that answers with the object, every type of field, references that restrict,
// and cascades through two levels. Their operations are rows of the table that
// have the paths and methods for it.

// authority is updated by PUT, and its lists have every link.
var authority = &engine.Kind{
	Group: "test", Version: "v1", Name: "Authority",
	Description: "A made-up kind with every type of field.",
	Path:        "/iam/v2/certificate-authorities",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2CertificateAuthorities",
		engine.Create: "createIamV2CertificateAuthority",
		engine.Read:   "getIamV2CertificateAuthority",
		engine.Update: "updateIamV2CertificateAuthority",
		engine.Delete: "deleteIamV2CertificateAuthority",
	},
	ID:       engine.IDShape{Prefix: "op-", Length: 8, Alphabet: random.MixedAlphanumeric},
	Segment:  "authority",
	Resource: "CertificateAuthority",
	PageSize: engine.PageSize{Default: 3, Max: 7},
	Pages:    engine.Pages{First: true, Last: true, Prev: true, Total: true},
	Fields: []engine.Field{
		{
			Name: "display_name", Required: true, MaxLength: 24, Description: "A name with a pattern.",
			Pattern: regexp.MustCompile(`^[a-z0-9-]{2,24}$`), PatternHint: "have 2 to 24 lower-case letters, digits and hyphens", Filter: engine.FilterAny,
		},
		{Name: "mode", Enum: []string{"STRICT", "LAX"}, Default: "STRICT", Filter: engine.FilterOne, Description: "An enumeration with a default."},
		{Name: "enabled", Type: engine.Boolean, Default: true, Description: "A truth."},
		{Name: "level", Type: engine.Integer, Description: "A number."},
		{Name: "expires_at", Type: engine.Timestamp, Description: "A time."},
		{Name: "origin", Immutable: true, MinLength: 3, MaxLength: 20, Description: "A text that stays."},
		{Name: "fingerprint", ReadOnly: true, Description: "What the server says."},
		{Name: "labels", Type: engine.Array, MaxItems: 4, Description: "Texts.", Items: &engine.Field{
			Name: "label", MinLength: 1, MaxLength: 10, Description: "A text.",
		}},
		{
			Name: "contact", Type: engine.Reference, Filter: engine.FilterOne, Description: "A reference that restricts.",
			To: &engine.ReferenceTo{Kinds: []string{"iam/v2.ServiceAccount"}, OnDelete: engine.Restrict},
		},
		{
			Name: "watchers", Type: engine.Array, MinItems: 1, MaxItems: 3, Filter: engine.FilterAny, Description: "References that restrict.",
			Items: &engine.Field{Name: "watcher", Type: engine.Reference, Description: "A watcher.", To: &engine.ReferenceTo{
				Kinds: []string{"iam/v2.ServiceAccount", "iam/v2.User"}, OnDelete: engine.Restrict, Typed: true,
			}},
		},
		{Name: "rules", Type: engine.Structure, Description: "A structure.", Fields: []engine.Field{
			{Name: "depth", Type: engine.Integer, Required: true, Description: "A number that must be there."},
			{Name: "note", MaxLength: 100, Description: "A text."},
			{Name: "inner", Type: engine.Structure, Description: "A structure in a structure.", Fields: []engine.Field{
				{Name: "flag", Type: engine.Boolean, Description: "A truth."},
			}},
		}},
	},
	UniqueName: "display_name",
}

// pool has its parent in the path and goes with it.
var pool = &engine.Kind{
	Group: "test", Version: "v1", Name: "Pool",
	Description: "A made-up kind with a parent in its path.",
	Path:        "/iam/v2/certificate-authorities/{certificate_authority_id}/identity-pools",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2CertificateIdentityPools",
		engine.Create: "createIamV2CertificateIdentityPool",
		engine.Read:   "getIamV2CertificateIdentityPool",
		engine.Update: "updateIamV2CertificateIdentityPool",
		engine.Delete: "deleteIamV2CertificateIdentityPool",
	},
	ID:       engine.IDShape{Prefix: "pool-", Length: 6, Alphabet: random.LowerAlphanumeric},
	Segment:  "pool",
	Parent:   authority,
	Resource: "CertificateAuthority",
	Fields: []engine.Field{
		{Name: "display_name", Required: true, MinLength: 1, MaxLength: 64, Filter: engine.FilterAny, Description: "A name, unique below the parent."},
		{Name: "filter", Description: "A text."},
	},
	UniqueName: "display_name",
}

// consumer goes with the pool that it names, and holds another one in place.
var consumer = &engine.Kind{
	Group: "test", Version: "v1", Name: "Consumer",
	Description: "A made-up kind that refers to others.",
	Path:        "/iam/v2/ip-filters",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2IpFilters",
		engine.Create: "createIamV2IpFilter",
		engine.Read:   "getIamV2IpFilter",
		engine.Update: "updateIamV2IpFilter",
		engine.Delete: "deleteIamV2IpFilter",
	},
	ID:       engine.IDShape{}, // a UUID
	Segment:  "consumer",
	Resource: "IpFilter",
	Fields: []engine.Field{
		{Name: "note", MaxLength: 30, Description: "A text."},
		{
			Name: "pool", Type: engine.Reference, Required: true, Immutable: true, Filter: engine.FilterOne, Description: "The pool that it goes with.",
			To: &engine.ReferenceTo{Kinds: []string{"test/v1.Pool"}, OnDelete: engine.Cascade},
		},
		{
			Name: "holds", Type: engine.Reference, Description: "The pool that it holds in place.",
			To: &engine.ReferenceTo{Kinds: []string{"test/v1.Pool"}, OnDelete: engine.Restrict, Typed: true},
		},
	},
}

func madeUpKinds() []*engine.Kind {
	return []*engine.Kind{iam.APIKey, iam.Invitation, iam.RoleBinding, iam.ServiceAccount, iam.User, org.Environment, org.Organization, authority, consumer, pool}
}

func authorityBody(t *testing.T, c *enginetest.Client, n int) map[string]any {
	t.Helper()
	one, two := serviceAccount(t, c, n), map[string]any{"id": c.Principal}
	return map[string]any{
		"display_name": fmt.Sprintf("authority-%d", n), "mode": "LAX", "enabled": true, "level": n,
		"expires_at": time.Unix(int64(n), 0).UTC().Format(time.RFC3339), "origin": fmt.Sprintf("origin %d", n),
		"labels":  []any{fmt.Sprintf("l%d", n), "é"},
		"contact": map[string]any{"id": one}, "watchers": []any{map[string]any{"id": one}, two},
		"rules": map[string]any{"depth": n, "note": fmt.Sprintf("note %d", n), "inner": map[string]any{"flag": true}},
	}
}

var made atomic.Int64

func newAuthority(t *testing.T, c *enginetest.Client) string {
	t.Helper()
	return create(t, c, authority.Path, map[string]any{"display_name": fmt.Sprintf("parent-%d", made.Add(1))})
}

func poolsOf(authority string) string {
	return "/iam/v2/certificate-authorities/" + authority + "/identity-pools"
}

func newPool(t *testing.T, c *enginetest.Client, authority string) string {
	t.Helper()
	return create(t, c, poolsOf(authority), map[string]any{"display_name": fmt.Sprintf("pool %d", made.Add(1))})
}

func madeUpSpecs() map[*engine.Kind]enginetest.Spec {
	return map[*engine.Kind]enginetest.Spec{
		authority: {Body: authorityBody},
		pool: {
			Parent: newAuthority,
			Body: func(_ *testing.T, _ *enginetest.Client, n int) map[string]any {
				return map[string]any{"display_name": fmt.Sprintf("pool no. %d", n), "filter": fmt.Sprintf("claims.n == %d", n)}
			},
		},
		consumer: {Body: func(t *testing.T, c *enginetest.Client, n int) map[string]any {
			p := newPool(t, c, newAuthority(t, c))
			return map[string]any{"note": fmt.Sprint(n), "pool": map[string]any{"id": p}, "holds": map[string]any{"id": p}}
		}},
	}
}

func TestMadeUpKinds(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		w := serve(t, databaseURL, madeUpKinds(), time.Now)
		for k, spec := range madeUpSpecs() {
			t.Run(k.Name, func(t *testing.T) { enginetest.Run(t, w, k, spec) })
		}
		t.Run("RestrictedDelete", func(t *testing.T) { testRestrictedDelete(t, w) })
		t.Run("CascadeOrder", func(t *testing.T) { testCascadeOrder(t, w) })
		t.Run("Cascade", func(t *testing.T) { testCascade(t, w) })
		t.Run("MixedFilters", func(t *testing.T) { testMixedFilters(t, w) })
	})
}

// testRestrictedDelete deletes what others refer to.
func testRestrictedDelete(t *testing.T, w *enginetest.World) {
	c := w.Client(w.Admin)
	inUse := func(path, by string) {
		t.Helper()
		referrer := c.Do(t, http.MethodGet, by, nil).Want(t, http.StatusOK)
		a := c.Do(t, http.MethodDelete, path, nil).WantCode(t, api.InUse)
		if got, want := a.Header.Get("Location"), referrer.Text("metadata.self"); got != want {
			t.Errorf("DELETE %s: Location is %q, want who refers to it, %q", path, got, want)
		}
		if message := a.Text("error.message"); !strings.Contains(message, referrer.Text("metadata.resource_name")) {
			t.Errorf("DELETE %s: %q does not name %q", path, message, referrer.Text("metadata.resource_name"))
		}
		c.Do(t, http.MethodGet, path, nil).Want(t, http.StatusOK)
	}
	account := "/iam/v2/service-accounts/"
	contact, watcher := serviceAccount(t, c, int(made.Add(1))+1e6), serviceAccount(t, c, int(made.Add(1))+1e6)
	a := authority.Path + "/" + create(t, c, authority.Path, map[string]any{
		"display_name": "restricted", "contact": map[string]any{"id": contact}, "watchers": []any{map[string]any{"id": c.Principal}, map[string]any{"id": watcher}},
	})
	inUse(account+contact, a)
	inUse(account+watcher, a)

	// What is no longer referred to can go.
	c.Do(t, http.MethodPut, a, map[string]any{"display_name": "restricted", "watchers": []any{map[string]any{"id": watcher}}}).Want(t, http.StatusOK)
	c.Do(t, http.MethodDelete, account+contact, nil).Want(t, http.StatusNoContent)
	inUse(account+watcher, a)
	c.Do(t, http.MethodDelete, a, nil).Want(t, http.StatusOK)
	c.Do(t, http.MethodDelete, account+watcher, nil).Want(t, http.StatusNoContent)

	// A reference that restricts holds the whole cascade, however deep: the
	// held pool goes with its authority, so the authority stays, and with it
	// the other pool and what would have gone with that.
	top := newAuthority(t, c)
	free, held := newPool(t, c, top), newPool(t, c, top)
	goes := consumer.Path + "/" + create(t, c, consumer.Path, map[string]any{"pool": map[string]any{"id": free}})
	elsewhere := newPool(t, c, newAuthority(t, c))
	holder := consumer.Path + "/" + create(t, c, consumer.Path, map[string]any{"pool": map[string]any{"id": elsewhere}, "holds": map[string]any{"id": held}})
	c.Do(t, http.MethodDelete, authority.Path+"/"+top, nil).WantCode(t, api.InUse)
	for _, path := range []string{authority.Path + "/" + top, poolsOf(top) + "/" + free, poolsOf(top) + "/" + held, goes, holder} {
		c.Do(t, http.MethodGet, path, nil).Want(t, http.StatusOK)
	}
	c.Do(t, http.MethodPatch, holder, map[string]any{"holds": nil}).Want(t, http.StatusOK)
	c.Do(t, http.MethodDelete, authority.Path+"/"+top, nil).Want(t, http.StatusOK)
	c.Do(t, http.MethodGet, goes, nil).WantCode(t, api.ResourceNotFound)
	c.Do(t, http.MethodGet, holder, nil).Want(t, http.StatusOK)
}

// testCascadeOrder deletes an authority with two pools, and a consumer that goes
// with one of them and holds the other. Which pool was made first must not
// decide whether that works.
func testCascadeOrder(t *testing.T, w *enginetest.World) {
	c := w.Client(w.Admin)
	outcome := func(goesWithFirst bool) int {
		top := newAuthority(t, c)
		goesWith, holds := newPool(t, c, top), newPool(t, c, top)
		if !goesWithFirst {
			goesWith, holds = holds, goesWith
		}
		create(t, c, consumer.Path, map[string]any{"pool": map[string]any{"id": goesWith}, "holds": map[string]any{"id": holds}})
		return c.Do(t, http.MethodDelete, authority.Path+"/"+top, nil).Status
	}
	if a, b := outcome(true), outcome(false); a != b {
		t.Errorf("deletion answers %d or %d, as things were made in one order or the other", a, b)
	}
}

// testCascade deletes what others go with, through two levels.
func testCascade(t *testing.T, w *enginetest.World) {
	c := w.Client(w.Admin)
	top := newAuthority(t, c)
	var gone []string
	for range 3 {
		p := newPool(t, c, top)
		gone = append(gone, poolsOf(top)+"/"+p)
		for range 4 {
			gone = append(gone, consumer.Path+"/"+create(t, c, consumer.Path, map[string]any{
				"pool": map[string]any{"id": p},
			}))
		}
	}
	stays := newPool(t, c, newAuthority(t, c))
	survivor := consumer.Path + "/" + create(t, c, consumer.Path, map[string]any{"pool": map[string]any{"id": stays}})
	c.Do(t, http.MethodDelete, authority.Path+"/"+top, nil).Want(t, http.StatusOK)
	for _, path := range gone {
		c.Do(t, http.MethodGet, path, nil).WantCode(t, api.ResourceNotFound)
		c.Do(t, http.MethodDelete, path, nil).WantCode(t, api.ResourceNotFound)
	}
	c.Do(t, http.MethodGet, survivor, nil).Want(t, http.StatusOK)
	c.Do(t, http.MethodGet, poolsOf(top), nil).WantCode(t, api.ResourceNotFound)
	c.Do(t, http.MethodPost, consumer.Path, map[string]any{"pool": map[string]any{"id": stays + "x"}}).WantInvalid(t, "/pool/id")
}

// testMixedFilters combines filters: all of them must hold.
func testMixedFilters(t *testing.T, w *enginetest.World) {
	c := w.Client(w.Admin)
	for i, mode := range []string{"STRICT", "LAX", "LAX"} {
		create(t, c, authority.Path, map[string]any{"display_name": fmt.Sprintf("mixed-%d", i), "mode": mode})
	}
	a := c.Do(t, http.MethodGet, authority.Path+"?mode=LAX&display_name=mixed-0&display_name=mixed-2", nil).Want(t, http.StatusOK)
	data, _ := a.Body["data"].([]any)
	if len(data) != 1 || data[0].(map[string]any)["display_name"] != "mixed-2" {
		t.Errorf("two filters select %s", a.Raw)
	}
}

// TestStalePageToken lets a day go by.
func TestStalePageToken(t *testing.T) {
	t.Parallel()
	var elapsed atomic.Int64
	w := serve(t, "", madeUpKinds(), func() time.Time { return time.Now().Add(time.Duration(elapsed.Load())) })
	c := w.Client(w.Admin)
	newAuthority(t, c)
	newAuthority(t, c)
	next := c.Do(t, http.MethodGet, authority.Path+"?page_size=1", nil).Want(t, http.StatusOK).Text("metadata.next")
	elapsed.Store(int64(api.PageTokenTTL - time.Minute))
	c.Do(t, http.MethodGet, next, nil).Want(t, http.StatusOK)
	elapsed.Store(int64(api.PageTokenTTL + time.Minute))
	c.Do(t, http.MethodGet, next, nil).WantParameter(t, api.InvalidPageToken, "page_token")
}
