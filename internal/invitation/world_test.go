package invitation_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/invitation"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
	"github.com/weirhq/weir/internal/testclock"
)

// world is an engine over a real store with an organization in it, a clock
// that tests turn, a mailbox, and a log.
type world struct {
	*engine.Engine
	t    *testing.T
	org  string
	mail *mailbox
	log  *syncBuffer

	clock *testclock.Clock
	// again opens another engine on the same store, as another replica has.
	again func() *engine.Engine
}

const publicURL = "https://weir.example.com/team"

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
	w := &world{t: t, mail: &mailbox{}, log: &syncBuffer{}, clock: testclock.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dir := t.TempDir()
	w.again = func() *engine.Engine {
		s, err := sqlstore.Open(t.Context(), databaseURL, dir, sqlstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		e, err := server.NewEngine(t.Context(), s, publicURL, log)
		if err != nil {
			t.Fatal(err)
		}
		e.Now = w.clock.Now
		return e
	}
	w.Engine = w.again()
	w.org = w.organization("Finance Org")
	return w
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

// invite makes an invitation as the API does and returns its ID.
func (w *world) invite(email string) string {
	w.t.Helper()
	return w.inviteTo(w.org, email)
}

func (w *world) inviteTo(organization, email string) string {
	w.t.Helper()
	o := &engine.Object{Kind: iam.Invitation, Org: organization, Doc: engine.Doc{"email": email, "auth_type": iam.AuthTypeLocal}}
	w.update(func(tx store.Tx) error { return w.Insert(w.t.Context(), tx, o) })
	return o.ID
}

func (w *world) get(k *engine.Kind, id string) *engine.Object {
	w.t.Helper()
	row, err := w.Store.Get(w.t.Context(), "", store.Key{Kind: k.Key(), ID: id})
	if err != nil {
		w.t.Fatalf("%s: %v", id, err)
	}
	o, err := k.Decode(row)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) wantStatus(id, want string) {
	w.t.Helper()
	o := w.get(iam.Invitation, id)
	if got := o.Doc.String("status"); got != want {
		w.t.Errorf("invitation %s to %s is %s, want %s", id, o.Doc.String("email"), got, want)
	}
}

// user returns the invited user and what is kept of it in private.
func (w *world) user(invitationID string) (*engine.Object, iam.UserRecord) {
	w.t.Helper()
	o := w.get(iam.User, w.get(iam.Invitation, invitationID).Doc.String("user.id"))
	record, err := iam.DecodeUserRecord(o.Private)
	if err != nil {
		w.t.Fatal(err)
	}
	return o, record
}

// courier returns a new courier that delivers to the mailbox.
func (w *world) courier() *invitation.Courier { return invitation.NewCourier(w.Engine, w.mail) }

func (w *world) step(c *invitation.Courier) {
	w.t.Helper()
	if err := c.Step(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// handler returns the page, with a hash that takes no time: argon2id itself is
// tested where the whole is.
func (w *world) handler() *invitation.Handler {
	w.t.Helper()
	h := w.slowHandler(admitted)
	h.HashWith(func(p string) (string, error) { return "hash of " + p, nil })
	return h
}

func admitted(http.ResponseWriter, *http.Request) (leave func(), err error) { return func() {}, nil }

func (w *world) slowHandler(admit func(http.ResponseWriter, *http.Request) (leave func(), err error)) *invitation.Handler {
	w.t.Helper()
	h, err := invitation.NewHandler(w.Engine, authn.NewPasswords(authn.HashPassword), admit)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// sent returns the link that a new invitation's mail has.
func (w *world) sent(email string) (id, link string) {
	w.t.Helper()
	id = w.invite(email)
	w.step(w.courier())
	return id, w.mail.link(w.t, email)
}

// mailbox keeps mail instead of sending it.
type mailbox struct {
	mu       sync.Mutex
	messages []mail.Message
	// onSend, where set, is what becomes of a message that is on its way.
	onSend func(ctx context.Context, m mail.Message) error
}

func (b *mailbox) Send(ctx context.Context, m mail.Message) error {
	b.mu.Lock()
	b.messages = append(b.messages, m)
	onSend := b.onSend
	b.mu.Unlock()
	if onSend != nil {
		return onSend(ctx, m)
	}
	return ctx.Err()
}

func (b *mailbox) all() []mail.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]mail.Message(nil), b.messages...)
}

func (b *mailbox) then(onSend func(context.Context, mail.Message) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onSend = onSend
}

var linkPattern = regexp.MustCompile(`https?://\S+`)

// link returns the link in the newest mail to the address.
func (b *mailbox) link(t *testing.T, email string) string {
	t.Helper()
	messages := b.all()
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].To == email {
			return linkPattern.FindString(messages[i].Text)
		}
	}
	t.Fatalf("there is no mail to %s", email)
	return ""
}

// answer is what the page answered.
type answer struct {
	*httptest.ResponseRecorder
	body string
}

func request(t *testing.T, method, link string, form url.Values) *http.Request {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	// The proxy in front takes the prefix off.
	u.Path = strings.TrimPrefix(u.Path, "/team")
	r := httptest.NewRequestWithContext(t.Context(), method, u.RequestURI(), strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func serve(h http.Handler, r *http.Request) answer {
	a := answer{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(a, r)
	a.body = a.Body.String()
	return a
}

// open follows a link.
func open(t *testing.T, h http.Handler, link string) answer {
	t.Helper()
	return serve(h, request(t, http.MethodGet, link, nil))
}

// submit sends the form.
func submit(t *testing.T, h http.Handler, link, name, password, again string) answer {
	t.Helper()
	return serve(h, request(t, http.MethodPost, link, url.Values{
		"full_name": {name}, "password": {password}, "password_again": {again},
	}))
}

func (a answer) want(t *testing.T, status int, texts ...string) {
	t.Helper()
	if a.Code != status {
		t.Errorf("the page answers %d, want %d: %s", a.Code, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("the page does not say %q: %s", text, a.body)
		}
	}
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

// wantNoToken fails if a link's token is in the log.
func (w *world) wantNoToken() {
	w.t.Helper()
	for _, m := range w.mail.all() {
		_, token, _ := strings.Cut(linkPattern.FindString(m.Text), "token=")
		_, secret, _ := strings.Cut(token, ".")
		if len(secret) < 40 {
			w.t.Fatalf("the token is %q", token)
		}
		if strings.Contains(w.log.String(), secret) {
			w.t.Errorf("the log shows a token:\n%s", w.log)
		}
	}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen: %s", what)
		}
	}
}
