package server_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/engine/enginetest"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
	"github.com/weirhq/weir/weirtest"
)

// onEachStore runs a test on SQLite and on PostgreSQL, side by side, each with
// an empty database; with -short on PostgreSQL alone, where more goroutines meet.
func onEachStore(t *testing.T, test func(t *testing.T, databaseURL string)) {
	t.Helper()
	if !testing.Short() {
		t.Run("SQLite", func(t *testing.T) {
			t.Parallel()
			test(t, "")
		})
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, pgtest.URL(t))
	})
}

// start starts a server with its own kinds, and a second engine on its store.
func start(t *testing.T, databaseURL string, options ...weirtest.Option) (*weirtest.Server, *enginetest.World) {
	t.Helper()
	dir := t.TempDir()
	// Mail that never goes out leaves invitations as they are made.
	noMail := weirtest.WithConfig(func(c *server.Config) {
		c.SMTPURL, c.MailFrom = "smtp://127.0.0.1:1", "weir@example.com"
	})
	options = append([]weirtest.Option{weirtest.WithDataDir(dir), weirtest.WithDatabaseURL(databaseURL), noMail}, options...)
	s := weirtest.Start(t, options...)
	e := besideServer(t, databaseURL, dir, s.URL)
	return s, people(t, s.URL, e, enginetest.Caller{Key: s.APIKey, Secret: s.APISecret, Organization: s.OrganizationID})
}

// besideServer returns an engine on the database of a server that runs.
func besideServer(t *testing.T, databaseURL, dir, url string) *engine.Engine {
	t.Helper()
	st, err := sqlstore.Open(t.Context(), databaseURL, dir, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	e, err := server.NewEngine(t.Context(), st, url, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// people gives a world its callers, beside the administrator that the first
// start made.
func people(t *testing.T, url string, e *engine.Engine, admin enginetest.Caller) *enginetest.World {
	t.Helper()
	w := &enginetest.World{URL: url, Engine: e, Admin: admin}
	err := e.Store.Update(t.Context(), func(tx store.Tx) error {
		key, err := tx.Get(t.Context(), "", store.Key{Kind: authn.APIKeyKind, ID: admin.Key})
		if err != nil {
			return err
		}
		record, err := authn.DecodeKeyRecord(key.Private)
		if err != nil {
			return err
		}
		w.Admin.Principal = record.Owner

		other := uuid.NewString()
		organization := &engine.Object{Kind: org.Organization, Org: other, ID: other, Doc: engine.Doc{"display_name": "Elsewhere"}}
		user := &engine.Object{Kind: iam.User, Org: other, Doc: engine.Doc{
			"email": "admin@elsewhere.example", "full_name": "Administrator", "auth_type": iam.AuthTypeLocal,
		}}
		member := &engine.Object{Kind: iam.User, Org: admin.Organization, Doc: engine.Doc{
			"email": "member@example.com", "full_name": "Member", "auth_type": iam.AuthTypeLocal,
		}}
		for _, u := range []*engine.Object{user, member} {
			u.Private = iam.UserRecord{}.Encode()
		}
		nobody := newAccount(admin.Organization)
		for _, o := range []*engine.Object{organization, user, member, nobody} {
			if err := e.Insert(t.Context(), tx, o); err != nil {
				return err
			}
		}
		if err := iam.Bind(t.Context(), e, tx, other, user.ID, authz.OrganizationAdmin, organization.ResourceName()); err != nil {
			return err
		}
		if w.Other, err = issue(t.Context(), e, tx, other, user.ID); err != nil {
			return err
		}
		if w.Member, err = issue(t.Context(), e, tx, admin.Organization, member.ID); err != nil {
			return err
		}
		if w.Nobody, err = issue(t.Context(), e, tx, admin.Organization, nobody.ID); err != nil {
			return err
		}
		// Tests make more of everything than the usual limits allow.
		for _, q := range e.Quotas() {
			for _, org := range []string{admin.Organization, other} {
				if err := tx.PutLimit(t.Context(), org, q.Code, engine.MaxLimit); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { auditAgrees(t, w) })
	return w
}

// issue makes an API key for a principal.
func issue(ctx context.Context, e *engine.Engine, tx store.Tx, organization, owner string) (enginetest.Caller, error) {
	secret := authn.NewSecret()
	key := &engine.Object{
		Kind: iam.APIKey, Org: organization, Once: map[string]string{"spec.secret": secret},
		Doc: engine.Doc{"spec": engine.Doc{"owner": engine.Doc{"id": owner}}},
	}
	err := e.Insert(ctx, tx, key)
	return enginetest.Caller{Key: key.ID, Secret: secret, Organization: organization, Principal: owner}, err
}

// serve starts a server with the kinds given in place of its own.
func serve(t *testing.T, databaseURL string, kinds []*engine.Kind, now func() time.Time) *enginetest.World {
	t.Helper()
	return serveWith(t, databaseURL, kinds, now, func(*engine.Engine) {})
}

// serveWith is serve with an engine that the test changes before it answers.
func serveWith(t *testing.T, databaseURL string, kinds []*engine.Kind, now func() time.Time, change func(*engine.Engine)) *enginetest.World {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s, err := server.Open(ctx, server.Config{
		// Mail that never goes out leaves invitations as they are made.
		SMTPURL: "smtp://127.0.0.1:1", MailFrom: "weir@example.com",
		Listen: "127.0.0.1:0", DataDir: t.TempDir(), DatabaseURL: databaseURL, CacheSize: 32,
		RateLimitPrincipal: 1_000_000, RateLimitAddress: 1_000_000,
	}, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		stop()
		t.Fatal(err)
	}
	if err := s.UseKinds(kinds, now); err != nil {
		stop()
		t.Fatal(err)
	}
	change(s.Engine())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return people(t, s.URL, s.Engine(), enginetest.Caller{
		Key: s.First.APIKey, Secret: s.First.APISecret, Organization: s.First.OrganizationID,
	})
}

// create makes an object over HTTP and returns its ID.
func create(t *testing.T, c *enginetest.Client, path string, body any) string {
	t.Helper()
	a := c.Do(t, http.MethodPost, path, body)
	if a.Status != http.StatusCreated && a.Status != http.StatusAccepted {
		t.Fatalf("POST %s: %d: %s", path, a.Status, a.Raw)
	}
	return a.ID()
}

// newAccount is a service account with a name that no other has.
func newAccount(organization string) *engine.Object {
	return &engine.Object{Kind: iam.ServiceAccount, Org: organization, Doc: engine.Doc{"display_name": "account " + uuid.NewString()}}
}

// text is a text of an encoded object.
func text(raw, path string) string {
	var v any
	_ = json.Unmarshal([]byte(raw), &v) // what is no object has no text
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	s, _ := v.(string)
	return s
}
