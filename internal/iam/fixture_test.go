package iam

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

const (
	orgID = "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"
	root  = "crn://confluent.cloud/organization=" + orgID
)

// fixture is an engine over a real store, with a clock that tests turn and an
// organization with an administrator in it.
type fixture struct {
	*engine.Engine
	t     *testing.T
	now   time.Time
	admin string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), "", t.TempDir(), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return f.now }
	f.Engine, err = engine.New(engine.Config{
		Store: s, PublicURL: "http://127.0.0.1", Now: now, Log: slog.New(slog.DiscardHandler),
		Kinds:        []*engine.Kind{APIKey, Invitation, IPFilter, IPFilterSuspension, IPGroup, RoleBinding, ServiceAccount, User, org.Environment, org.Organization},
		Authenticate: func(*http.Request, []string) (*authn.Caller, error) { return nil, errors.New("no requests here") },
		Tokens:       api.PageTokens{Key: make([]byte, 32), Now: now},
		Hasher:       authn.NewHasher(make([]byte, 32)),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.insert(&engine.Object{Kind: org.Organization, Org: orgID, ID: orgID, Doc: engine.Doc{"display_name": "Test"}})
	f.admin = f.user("admin@example.com").ID
	f.must(func(tx store.Tx) error {
		return Bind(t.Context(), f.Engine, tx, orgID, f.admin, authz.OrganizationAdmin, root)
	})
	return f
}

// try runs a transaction and returns its error.
func (f *fixture) try(fn func(tx store.Tx) error) error {
	f.t.Helper()
	return f.Store.Update(f.t.Context(), fn)
}

func (f *fixture) must(fn func(tx store.Tx) error) {
	f.t.Helper()
	if err := f.try(fn); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) insert(o *engine.Object) *engine.Object {
	f.t.Helper()
	f.must(func(tx store.Tx) error { return f.Insert(f.t.Context(), tx, o) })
	return o
}

func (f *fixture) user(email string) *engine.Object {
	f.t.Helper()
	return f.insert(&engine.Object{Kind: User, Org: orgID, Private: UserRecord{}.Encode(), Doc: engine.Doc{"email": email, "auth_type": AuthTypeLocal}})
}

func (f *fixture) account(name string) *engine.Object {
	f.t.Helper()
	return f.insert(&engine.Object{Kind: ServiceAccount, Org: orgID, Doc: engine.Doc{"display_name": name}})
}

// key makes a Cloud API key of the principal's.
func (f *fixture) key(owner string) {
	f.t.Helper()
	f.insert(&engine.Object{Kind: APIKey, Org: orgID, Doc: engine.Doc{"spec": engine.Doc{"owner": engine.Doc{"id": owner}}}})
}

func (f *fixture) invite(email string) *engine.Object {
	f.t.Helper()
	return f.insert(&engine.Object{Kind: Invitation, Org: orgID, Doc: engine.Doc{"email": email, "auth_type": AuthTypeLocal}})
}

// change alters an object in the store as upkeep does.
func (f *fixture) change(k *engine.Kind, id string, fn func(o *engine.Object)) {
	f.t.Helper()
	f.must(func(tx store.Tx) error {
		o, err := f.Lock(f.t.Context(), tx, orgID, k, id)
		if err != nil {
			return err
		}
		fn(o)
		return f.Save(f.t.Context(), tx, o)
	})
}

// get returns the object, or nil.
func (f *fixture) get(k *engine.Kind, id string) *engine.Object {
	f.t.Helper()
	row, err := f.Store.Get(f.t.Context(), orgID, store.Key{Kind: k.Key(), ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		f.t.Fatal(err)
	}
	o, err := k.Decode(row)
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// wantCode checks that an error is one for the client.
func wantCode(t *testing.T, err error, code *api.Code) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("the error is %v, want %s", err, code.Name)
	}
}
