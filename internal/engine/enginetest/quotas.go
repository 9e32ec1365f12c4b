package enginetest

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

// testQuotas sets low limits and goes beyond them.
func (r *tester) testQuotas(t *testing.T) {
	for _, q := range r.k.Quotas {
		if r.spec.Uncounted[q.Code] == "" {
			t.Run(q.Code, func(t *testing.T) { r.testQuota(t, q) })
		}
	}
}

// used is how many Admin's organization, or a subject in it, has of what the
// quota counts.
func (r *tester) used(t *testing.T, c store.Counter) int64 {
	t.Helper()
	values, err := r.Engine.Store.Counters(t.Context(), c.Org, c.Subject)
	if err != nil {
		t.Fatal(err)
	}
	return values[c.Name]
}

func (r *tester) limit(t *testing.T, q *engine.Quota, limit int64) {
	t.Helper()
	if err := r.Engine.SetLimit(t.Context(), r.Admin.Organization, q.Code, limit); err != nil {
		t.Fatal(err)
	}
}

// counter is what the object with the ID is counted in.
func (r *tester) counter(t *testing.T, q *engine.Quota, id string) store.Counter {
	t.Helper()
	row, err := r.Engine.Store.Get(t.Context(), r.Admin.Organization, store.Key{Kind: r.k.Key(), ID: id})
	if err != nil {
		t.Fatal(err)
	}
	o, err := r.k.Decode(row)
	if err != nil {
		t.Fatal(err)
	}
	c, counts := q.Counter(o)
	if !counts {
		t.Fatalf("%s does not count %s; let the Spec's Body make what counts, or say in Uncounted why not", q.Code, id)
	}
	return c
}

func (r *tester) testQuota(t *testing.T, q *engine.Quota) {
	limits, err := r.Engine.Store.Limits(t.Context(), r.Admin.Organization)
	if err != nil {
		t.Fatal(err)
	}
	before, set := limits[q.Code]
	if !set {
		before = q.Limit
	}
	defer r.limit(t, q, before)

	first := r.object(t, r.admin)
	c := r.counter(t, q, first)
	used := r.used(t, c)
	if used < 1 {
		t.Fatalf("with %s the count of %q is %d", first, c.Subject, used)
	}
	body := r.body(t, r.admin)
	if q.Subject != nil && r.parent == "" {
		used = 0 // another body is for another subject, unless the path names it
	}
	all := func() []string {
		if !r.has(engine.List) {
			return nil
		}
		return r.ids(t, r.admin, r.parent, nil)
	}
	there := all()
	r.limit(t, q, used)
	for range 2 {
		r.checkExceeded(t, q, r.admin.Do(t, http.MethodPost, r.collection(r.parent), body))
	}
	if now := all(); !slices.Equal(there, now) {
		t.Errorf("a create beyond the quota changed the list from %q to %q", there, now)
	}
	// Other organizations have limits of their own.
	r.object(t, r.other)
	// Nothing was left of what was refused, and there is place for one.
	r.limit(t, q, used+1)
	second := r.create(t, body).ID()
	c = r.counter(t, q, second)
	if got := r.used(t, c); got != used+1 {
		t.Errorf("the count of %q is %d, want %d", c.Subject, got, used+1)
	}
	// What is above the limit can be read and changed, and goes like any other.
	r.limit(t, q, 0)
	if r.has(engine.Update) && r.op(t, engine.Update).Method == http.MethodPatch {
		r.admin.Do(t, http.MethodPatch, r.item(r.parent, second), map[string]any{}).Want(t, r.op(t, engine.Update).Success)
	}
	r.limit(t, q, used+1)
	if q.Subject != nil {
		return
	}
	body = r.body(t, r.admin)
	r.checkExceeded(t, q, r.admin.Do(t, http.MethodPost, r.collection(r.parent), body))
	if r.has(engine.Delete) {
		r.admin.Do(t, http.MethodDelete, r.item(r.parent, second), nil).Want(t, r.op(t, engine.Delete).Success)
		r.create(t, body)
		r.checkExceeded(t, q, r.admin.Do(t, http.MethodPost, r.collection(r.parent), r.body(t, r.admin)))
	}

	const writers = 8
	r.limit(t, q, used+2)
	bodies := make([]map[string]any, writers)
	for i := range bodies {
		bodies[i] = r.body(t, r.admin)
	}
	var won atomic.Int64
	done := make(chan struct{})
	for _, body := range bodies {
		go func() {
			defer func() { done <- struct{}{} }()
			if a := r.admin.Do(t, http.MethodPost, r.collection(r.parent), body); a.Status == r.op(t, engine.Create).Success {
				won.Add(1)
			} else {
				r.checkExceeded(t, q, a)
			}
		}()
	}
	for range writers {
		<-done
	}
	if got := r.used(t, c); won.Load() != 1 || got != used+2 {
		t.Errorf("%d writers got the last place, and the count is %d of %d", won.Load(), got, used+2)
	}
}

// checkExceeded checks the refusal.
func (r *tester) checkExceeded(t *testing.T, q *engine.Quota, a Answer) {
	t.Helper()
	a.WantCode(t, api.QuotaExceeded)
	if a.Status != http.StatusPaymentRequired {
		return
	}
	title, _ := a.errors()[0]["title"].(string)
	detail, _ := a.errors()[0]["detail"].(string)
	begins := "The request would exceed the quota: " + q.Code
	if q.Exceeded != "" {
		begins, _, _ = strings.Cut(q.Exceeded, "%")
	}
	if title != q.DisplayName+" Quota Exceeded" || !strings.HasPrefix(detail, begins) {
		t.Errorf("the refusal is %q, %q", title, detail)
	}
}
