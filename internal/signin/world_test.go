package signin_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/signin"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
	"github.com/weirhq/weir/internal/testclock"
	"github.com/weirhq/weir/internal/token"
)

// world is a service over a real store with an organization and a user in it, a
// clock that tests turn, and a log.
type world struct {
	*engine.Engine
	*signin.Service
	t    *testing.T
	org  string
	user string
	log  *syncBuffer
	mail *mailbox

	clock *testclock.Clock
	// again opens another engine on the same store, as another replica has.
	again func() *engine.Engine
}

const (
	marty    = "marty@example.com"
	password = "great scott, 1.21 GW"
	home     = "192.0.2.1"
)

// onEachStore runs a test on SQLite and on PostgreSQL, side by side.
func onEachStore(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, ""))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, pgtest.URL(t)))
	})
}

func newWorld(t *testing.T, databaseURL string) *world {
	t.Helper()
	w := &world{t: t, log: &syncBuffer{}, mail: &mailbox{sent: make(chan mail.Message, 10)}, clock: testclock.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dir := t.TempDir()
	w.again = func() *engine.Engine {
		s, err := sqlstore.Open(t.Context(), databaseURL, dir, sqlstore.Options{Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		e, err := server.NewEngine(t.Context(), s, "https://weir.example.com", log)
		if err != nil {
			t.Fatal(err)
		}
		w.withClock(e)
		return e
	}
	w.Engine = w.again()
	w.Service = w.service(w.Engine)
	w.org = w.organization("Hill Valley")
	w.user = w.person(w.org, marty, password)
	return w
}

// withClock lets the test's clock rule the engine, and its tokens.
func (w *world) withClock(e *engine.Engine) {
	directory := authn.NewDirectory(e.Store)
	e.Store.Watch(directory.Changed)
	e.Now = w.clock.Now
	e.SigningKeys = token.NewKeys(e.Store, w.clock.Now)
	authenticator := &authn.Authenticator{Directory: directory, Hasher: e.Hasher, Tokens: map[string]authn.TokenReader{
		operation.Session: authn.Sessions(e.SigningKeys, directory, nil),
	}}
	e.Authenticate = authenticator.Authenticate
}

func (w *world) service(e *engine.Engine) *signin.Service {
	w.t.Helper()
	s, err := signin.New(e, authn.NewPasswords(func(p string) (string, error) { return quickHash(w.t, p), nil }), w.mail, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	s.NobodysHash(quickHash(w.t, "the password of nobody"))
	return s
}

func (w *world) update(fn func(tx store.Tx) error) {
	w.t.Helper()
	if err := w.Store.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) organization(name string) string {
	w.t.Helper()
	id := uuid.NewString()
	w.update(func(tx store.Tx) error {
		return w.Insert(w.t.Context(), tx, &engine.Object{Kind: org.Organization, Org: id, ID: id, Doc: engine.Doc{"display_name": name}})
	})
	return id
}

// quickHash is a hash of the password that takes no time to compare: the
// parameters are in it.
func quickHash(t *testing.T, password string) string {
	t.Helper()
	hash, err := argon2id.CreateHash(password, &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// person makes a user; with an empty password one who cannot sign in.
func (w *world) person(organization, email, password string) string {
	w.t.Helper()
	record := iam.UserRecord{}
	if password != "" {
		record.PasswordHash = quickHash(w.t, password)
	}
	return w.personWith(organization, email, iam.AuthTypeLocal, record)
}

func (w *world) personWith(organization, email, authType string, record iam.UserRecord) string {
	w.t.Helper()
	o := &engine.Object{Kind: iam.User, Org: organization, Private: record.Encode(), Doc: engine.Doc{
		"email": email, "full_name": "Marty McFly", "auth_type": authType,
	}}
	w.update(func(tx store.Tx) error { return w.Insert(w.t.Context(), tx, o) })
	return o.ID
}

func attempt(password string) signin.Attempt {
	return signin.Attempt{Email: marty, Password: password, Address: home}
}

// begin signs the user in.
func (w *world) begin() *signin.Grant {
	w.t.Helper()
	g, err := w.Begin(w.t.Context(), attempt(password))
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// renew renews a session, which must succeed.
func (w *world) renew(refresh string) *signin.Grant {
	w.t.Helper()
	g, err := w.Renew(w.t.Context(), refresh, "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// caller is who a token stands for on a replica, or nil.
func caller(t *testing.T, e *engine.Engine, raw string) *authn.Caller {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/org/v2/environments", nil)
	r.Header.Set("Authorization", "Bearer "+raw)
	c, err := e.Authenticate(r, []string{authn.SchemeCloudKey})
	if err != nil && c != nil {
		t.Fatalf("refused, and has a caller: %v", err)
	}
	return c
}

// lives checks whether the token is good.
func (w *world) lives(g *signin.Grant, want bool) {
	w.t.Helper()
	switch c := caller(w.t, w.Engine, g.Token); {
	case (c != nil) != want:
		w.t.Errorf("the token is good: %t, want %t", c != nil, want)
	case c != nil && (c.Principal != g.User || c.Org != g.Organization || c.Credential != g.Session || c.Scheme != operation.Session):
		w.t.Errorf("the token is of %+v", c)
	}
}

// sessions counts those that there are.
func (w *world) sessions() int {
	w.t.Helper()
	n, err := w.Store.Count(w.t.Context(), store.Query{Org: w.org, Kind: iam.Session.Key(), Limit: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	return int(n)
}

// silent fails if the log has any of the texts.
func (w *world) silent(secrets ...string) {
	w.t.Helper()
	for _, s := range secrets {
		if strings.Contains(w.log.String(), s) {
			w.t.Errorf("the log has %q:\n%s", s, w.log)
		}
	}
}

// mailbox keeps mail instead of sending it.
type mailbox struct {
	sent chan mail.Message
	// fail, where set, is what becomes of a mail.
	fail error
}

func (b *mailbox) Send(_ context.Context, m mail.Message) error {
	if b.fail == nil {
		b.sent <- m
	}
	return b.fail
}

// syncBuffer is a log that may be written and read at the same time.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
