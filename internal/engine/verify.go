package engine

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/store"
)

const (
	verifyPage = 1000
	// mostDangling bounds how many references to nothing are looked at.
	mostDangling = 10_000
	// clockSkew is how far the clocks of replicas may be apart: whether an object
	// is older than the log is a question of time.
	clockSkew = 5 * time.Minute
)

// Verified is what a look at all of the database has seen.
type Verified struct {
	// Objects are there, Deleted are rows that keep an ID from being given out
	// again, Events are in the audit log.
	Objects, Deleted, Events int64
	// Problems is how many were reported.
	Problems int64
}

// Verify looks at everything in the database as it is at one moment, and reports
// what does not hold of it, each in words for the operator:
//
//   - the database is whole, and index entries are those of rows that are there;
//   - every object can be read, and is what its row says: ID, kind, version, times;
//   - its row has the name and the entries that its fields make;
//   - what it is in is there, and so is all that it refers to, in its own
//     organization; who is told of references is told of these and no others;
//   - counters are what the objects come to;
//   - the audit log can be read, and what it says of an object last is the object,
//     or that it is gone. An object from before the log is not in it.
//
// Others may write meanwhile. The error is that of a database that does not
// answer.
func (e *Engine) Verify(ctx context.Context, report func(problem string)) (Verified, error) {
	v := &verifier{engine: e, report: report}
	err := e.Store.Snapshot(ctx, func(s store.Snapshot) error {
		v.Snapshot = s
		v.Verified = Verified{}
		v.last, v.counts = map[string]*told{}, map[store.Counter]int64{}
		for _, step := range []func(context.Context) error{v.damage, v.log, v.rows, v.dangling, v.counters, v.forgotten} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	return v.Verified, err
}

// verifier is one look at everything.
type verifier struct {
	store.Snapshot
	Verified
	engine *Engine
	report func(string)
	// last is what the log says last of each object, by resource name.
	last map[string]*told
	// since is when the log begins; it is zero where there is none.
	since time.Time
	// counts are what the objects come to.
	counts map[store.Counter]int64
}

// told is what an event says of an object.
type told struct {
	// gone is whether the object was deleted; is is the hash of it otherwise.
	gone bool
	is   [sha256.Size]byte
	at   int64
	// seen is whether there is such an object.
	seen bool
}

func (v *verifier) problem(format string, args ...any) {
	v.Problems++
	v.report(fmt.Sprintf(format, args...))
}

func (v *verifier) damage(ctx context.Context) error {
	found, err := v.Damage(ctx)
	for _, text := range found {
		v.problem("database: %s", text)
	}
	return err
}

// log reads the audit log.
func (v *verifier) log(ctx context.Context) error {
	for after := int64(0); ; {
		events, err := v.Log(ctx, after, verifyPage)
		if err != nil {
			return err
		}
		for i := range events {
			v.event(&events[i])
			after = events[i].Seq
		}
		if len(events) < verifyPage {
			return nil
		}
	}
}

func (v *verifier) event(stored *store.Event) {
	if v.Events++; v.since.IsZero() {
		v.since = stored.At
	}
	var e struct {
		ID, Subject string
		Data        struct {
			Request struct{ AccessType string }
			Result  struct {
				Status string
				Data   json.RawMessage
			}
		}
	}
	body := api.AppendSpliced(nil, stored.Body, "")
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" {
		v.problem("audit log: event %d cannot be read", stored.Seq)
		return
	}
	if e.Data.Request.AccessType != string(audit.Modification) || e.Data.Result.Status != "SUCCESS" || e.Subject == "" {
		return
	}
	v.last[e.Subject] = &told{gone: e.Data.Result.Data == nil, is: sha256.Sum256(e.Data.Result.Data), at: stored.Seq}
}

func (v *verifier) rows(ctx context.Context) error {
	for after := int64(0); ; {
		rows, err := v.Inspect(ctx, after, verifyPage)
		if err != nil {
			return err
		}
		for i := range rows {
			if err := v.row(ctx, &rows[i]); err != nil {
				return err
			}
			after = rows[i].Seq
		}
		if len(rows) < verifyPage {
			return nil
		}
	}
}

func (v *verifier) row(ctx context.Context, r *store.Inspected) error {
	if r.Deleted {
		v.Deleted++
		return nil
	}
	k := v.engine.kinds[r.Kind]
	if k == nil {
		// Positions in the audit log and the like, which are no objects.
		return nil
	}
	v.Objects++
	o, unreadable := k.Decode(&r.Row)
	if unreadable != nil {
		v.problem("%s %s: the stored document cannot be read", k.Name, r.ID)
		return nil //nolint:nilerr // it is reported
	}
	v.document(o, &r.Row)
	want := o.row()
	if want.Name != r.Name {
		v.problem("%s %s: the row has the name %q, and its fields make %q", k.Name, r.ID, r.Name, want.Name)
	}
	v.entries(o, r.Entries)
	if k.Parent != nil && r.Parent == "" {
		v.problem("%s %s: it is in nothing", k.Name, r.ID)
	}
	for _, share := range o.shares() {
		v.counts[share.Counter]++
	}
	v.logged(o, r.Body)
	return v.usages(ctx, o)
}

// document compares what stands in the document with what the row says.
func (v *verifier) document(o *Object, r *store.Row) {
	var stands struct {
		ID         string `json:"id"`
		Kind       string `json:"kind"`
		APIVersion string `json:"api_version"`
		Metadata   struct {
			ResourceName string `json:"resource_name"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(api.AppendSpliced(nil, r.Body, ""), &stands); err != nil {
		v.problem("%s %s: the stored document cannot be sent", o.Kind.Name, o.ID)
		return
	}
	for _, c := range []struct{ what, stands, want string }{
		{"ID", stands.ID, o.ID}, {"kind", stands.Kind, o.Kind.Name}, {"API version", stands.APIVersion, o.Kind.APIVersion()},
		{"resource name", stands.Metadata.ResourceName, o.ResourceName()},
	} {
		if c.stands != c.want {
			v.problem("%s %s: the %s in the document is %q, and should be %q", o.Kind.Name, o.ID, c.what, c.stands, c.want)
		}
	}
	if r.Version < 1 || r.Updated.Before(r.Created) {
		v.problem("%s %s: version %d, made at %s and changed at %s", o.Kind.Name, o.ID, r.Version, r.Created, r.Updated)
	}
}

func (v *verifier) entries(o *Object, stored []store.Entry) {
	want := v.engine.entries(o)
	for _, entry := range stored {
		if !slices.Contains(want, entry) {
			v.problem("%s %s: the index has %s = %q, which the object has not", o.Kind.Name, o.ID, entry.Field, entry.Value)
		}
	}
	for _, entry := range want {
		if !slices.Contains(stored, entry) {
			v.problem("%s %s: the index lacks %s = %q", o.Kind.Name, o.ID, entry.Field, entry.Value)
		}
	}
}

// logged compares the object with what the audit log says of it last.
func (v *verifier) logged(o *Object, body []byte) {
	t := v.last[o.ResourceName()]
	switch {
	case t == nil:
		if !v.since.IsZero() && o.Created.After(v.since.Add(clockSkew)) {
			v.problem("%s %s: the audit log does not tell of it", o.Kind.Name, o.ID)
		}
		return
	case t.gone:
		v.problem("%s %s: the audit log says that it was deleted (event %d)", o.Kind.Name, o.ID, t.at)
	case t.is != sha256.Sum256(api.AppendSpliced(nil, body, "")):
		v.problem("%s %s: the audit log says otherwise of it (event %d)", o.Kind.Name, o.ID, t.at)
	}
	t.seen = true
}

// forgotten looks for objects that the audit log tells of and that are not
// there.
func (v *verifier) forgotten(context.Context) error {
	var names []string
	for name, t := range v.last {
		if !t.gone && !t.seen {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		v.problem("the audit log tells of %s (event %d), which is not there", name, v.last[name].at)
	}
	return nil
}

// usages compares the names of who refers to the object, which stand in it, with
// who does.
func (v *verifier) usages(ctx context.Context, o *Object) error {
	if o.Kind.Usages == "" {
		return nil
	}
	var want, stand []string
	referrers, err := v.Referrers(ctx, o.Key(), maxReferrers)
	if err != nil {
		return err
	}
	for i := range referrers {
		k := v.engine.kinds[referrers[i].Kind]
		if k == nil {
			continue
		}
		by, err := k.Decode(&referrers[i].Row)
		if err != nil {
			continue // its own row is told of
		}
		if v.engine.users[k] && by.onDelete(referrers[i].Field) == Restrict {
			want = append(want, by.ResourceName())
		}
	}
	names, _ := o.Doc.Get(o.Kind.Usages).([]any)
	for _, name := range names {
		text, _ := name.(string)
		stand = append(stand, text)
	}
	slices.Sort(want)
	slices.Sort(stand)
	if want = slices.Compact(want); !slices.Equal(want, stand) {
		v.problem("%s %s: it says that it is used by %q, and is by %q", o.Kind.Name, o.ID, stand, want)
	}
	return nil
}

// dangling tells of references to nothing, but for those to what is built in.
func (v *verifier) dangling(ctx context.Context) error {
	var kinds []string
	for key := range v.engine.kinds {
		kinds = append(kinds, key)
	}
	refs, err := v.Dangling(ctx, kinds, mostDangling)
	if err != nil {
		return err
	}
	for _, r := range refs {
		o, err := v.engine.kinds[r.To.Kind].builtIn(ctx, v, r.Org, r.To.ID)
		if err != nil {
			return err
		}
		if o == nil {
			v.problem("%s %s: %s refers to %s %s, which is not there", kindName(r.From.Kind), r.From.ID, r.Field, kindName(r.To.Kind), r.To.ID)
		}
	}
	return nil
}

// kindName is the name of a kind without its group and version.
func kindName(key string) string {
	_, version, _ := strings.Cut(key, "/")
	if _, name, ok := strings.Cut(version, "."); ok {
		return name
	}
	return key
}

// counters compares what is counted with what the objects come to.
func (v *verifier) counters(ctx context.Context) error {
	for _, q := range v.engine.Quotas() {
		counted, err := v.CountersNamed(ctx, q.Code)
		if err != nil {
			return err
		}
		for c, n := range v.counts {
			if _, known := counted[c]; c.Name == q.Code && !known && n != 0 {
				counted[c] = 0
			}
		}
		for c, n := range counted {
			if n == v.counts[c] {
				continue
			}
			of := "the organization " + c.Org
			if c.Subject != "" {
				of = c.Subject + " in " + of
			}
			v.problem("quota %s: %d are counted for %s, and there are %d", c.Name, n, of, v.counts[c])
		}
	}
	return nil
}
