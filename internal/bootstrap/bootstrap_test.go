package bootstrap

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

func testCredentials() Credentials {
	return Credentials{
		OrganizationID: "9bb441c4-edef-46ac-8a41-c49e44a3fd9a", EnvironmentID: "env-abc123",
		Email: "admin@example.com", Password: "correct-horse",
		APIKey: "ABCDEFGH01234567", APISecret: "cflt0123456789abcdef",
	}
}

// install is an installation without a server: a real store and the engine.
type install struct {
	*engine.Engine
	dir   string
	authn *authn.Authenticator
}

func newInstall(t *testing.T) install {
	t.Helper()
	dir := t.TempDir()
	s, err := sqlstore.Open(t.Context(), "", dir, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	keys, err := LoadKeys(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	a := &authn.Authenticator{Directory: authn.NewDirectory(s), Hasher: authn.NewHasher(keys.Hash)}
	e, err := engine.New(engine.Config{
		Store: s, PublicURL: "http://127.0.0.1", Authenticate: a.Authenticate, Hasher: a.Hasher,
		Kinds: []*engine.Kind{iam.APIKey, iam.Invitation, iam.RoleBinding, iam.ServiceAccount, iam.User, org.Environment, org.Organization},
		Admit: func(http.ResponseWriter, *http.Request, *authn.Caller) (leave func(), err error) {
			return func() {}, nil
		},
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Tokens: api.PageTokens{Key: keys.PageToken, Now: time.Now},
	})
	if err != nil {
		t.Fatal(err)
	}
	return install{e, dir, a}
}

// caller authenticates with an API key as a request does.
func (i install) caller(t *testing.T, id, secret string) (*authn.Caller, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth(id, secret)
	return i.authn.Authenticate(r, []string{authn.SchemeCloudKey})
}

func (i install) create(t *testing.T, c Credentials) bool {
	t.Helper()
	made, err := Create(t.Context(), i.Engine, c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// rows returns all rows of the kind in all of an organization.
func (i install) rows(t *testing.T, organization string, k *engine.Kind) []store.Row {
	t.Helper()
	rows, err := i.Store.List(t.Context(), store.Query{Org: organization, Kind: k.Key(), Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestLoadKeys(t *testing.T) {
	t.Parallel()
	i := newInstall(t)
	first, err := LoadKeys(t.Context(), i.Store)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadKeys(t.Context(), i.Store)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Hash) != 32 || len(first.PageToken) != 32 || bytes.Equal(first.Hash, first.PageToken) {
		t.Errorf("keys have %d and %d bytes, or are the same", len(first.Hash), len(first.PageToken))
	}
	if !bytes.Equal(first.Hash, second.Hash) || !bytes.Equal(first.PageToken, second.PageToken) {
		t.Error("the second start has other keys")
	}
	if other, err := LoadKeys(t.Context(), newInstall(t).Store); err != nil || bytes.Equal(other.Hash, first.Hash) {
		t.Errorf("another installation has the same keys, or none: %v", err)
	}
}

func TestLoadKeysByReplicasAtOnce(t *testing.T) {
	t.Parallel()
	s, err := sqlstore.Open(t.Context(), "", t.TempDir(), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	all := make([]Keys, 8)
	var wg sync.WaitGroup
	for n := range all {
		wg.Go(func() {
			var err error
			if all[n], err = LoadKeys(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range all[1:] {
		if !bytes.Equal(k.Hash, all[0].Hash) || !bytes.Equal(k.PageToken, all[0].PageToken) {
			t.Error("replicas have different keys")
		}
	}
}

func TestChooseFillsInWhatIsNotFixed(t *testing.T) {
	t.Parallel()
	a, b := Choose(Options{}), Choose(Options{})
	for name, values := range map[string][2]string{
		"organization": {a.OrganizationID, b.OrganizationID}, "environment": {a.EnvironmentID, b.EnvironmentID},
		"password": {a.Password, b.Password}, "key": {a.APIKey, b.APIKey}, "secret": {a.APISecret, b.APISecret},
	} {
		if values[0] == "" || values[0] == values[1] {
			t.Errorf("%s is chosen as %q and %q", name, values[0], values[1])
		}
	}
	chosen := Options{APIKey: a.APIKey, APISecret: a.APISecret, Email: a.Email, Password: a.Password, OrganizationID: a.OrganizationID}
	if err := chosen.Check(); err != nil {
		t.Errorf("what is chosen could not be fixed: %v", err)
	}
	if !authn.WellFormedSecret(a.APISecret) || !org.Environment.ID.Has(a.EnvironmentID) {
		t.Errorf("secret or environment have a wrong format: %+v", a)
	}
	c := testCredentials()
	fixed := Choose(Options{APIKey: c.APIKey, APISecret: c.APISecret, Email: c.Email, Password: c.Password, OrganizationID: c.OrganizationID})
	fixed.EnvironmentID = c.EnvironmentID
	if fixed != c {
		t.Errorf("chosen are %+v, want what was fixed", fixed)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	i := newInstall(t)
	if needed, err := Needed(t.Context(), i.Store); !needed || err != nil {
		t.Fatalf("a new database needs nothing: %v", err)
	}
	c := testCredentials()
	if !i.create(t, c) {
		t.Fatal("nothing was made")
	}
	if needed, err := Needed(t.Context(), i.Store); needed || err != nil {
		t.Errorf("it is still needed: %v", err)
	}

	caller, err := i.caller(t, c.APIKey, c.APISecret)
	if err != nil {
		t.Fatal(err)
	}
	if caller.Org != c.OrganizationID || len(caller.Bindings) != 1 || caller.Bindings[0].Role != authz.OrganizationAdmin {
		t.Errorf("the key's caller is %+v", caller)
	}
	if _, err := i.caller(t, c.APIKey, c.APISecret+"x"); err == nil {
		t.Error("a wrong secret gets in")
	}

	users := i.rows(t, c.OrganizationID, iam.User)
	if len(users) != 1 || users[0].ID != caller.Principal || users[0].Name != c.Email {
		t.Fatalf("users are %+v", users)
	}
	user, err := i.Store.Get(t.Context(), c.OrganizationID, users[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	record, err := iam.DecodeUserRecord(user.Private)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := authn.PasswordMatches(c.Password, record.PasswordHash); !ok || err != nil || record.Pending {
		t.Errorf("the password does not match, or the user is pending: %v, %v", err, record.Pending)
	}
	if environments := i.rows(t, c.OrganizationID, org.Environment); len(environments) != 1 || environments[0].ID != c.EnvironmentID {
		t.Errorf("environments are %+v", environments)
	}
	for _, k := range []*engine.Kind{iam.User, iam.APIKey, org.Organization, org.Environment, iam.RoleBinding} {
		for _, row := range i.rows(t, c.OrganizationID, k) {
			if bytes.Contains(row.Body, []byte(c.APISecret)) || bytes.Contains(row.Body, []byte(c.Password)) {
				t.Errorf("a secret is in the document of %s: %s", row.Kind, row.Body)
			}
		}
	}
}

func TestCreateTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	i := newInstall(t)
	c := testCredentials()
	if !i.create(t, c) {
		t.Fatal("nothing was made")
	}
	other := Choose(Options{})
	if i.create(t, other) || i.create(t, c) {
		t.Error("it was made a second time")
	}
	if _, err := i.caller(t, other.APIKey, other.APISecret); err == nil {
		t.Error("the second one's key gets in")
	}
	for _, k := range []*engine.Kind{iam.User, iam.APIKey, org.Organization, org.Environment, iam.RoleBinding} {
		if n := len(i.rows(t, c.OrganizationID, k)); n != 1 {
			t.Errorf("there are %d of %s", n, k.Key())
		}
		if n := len(i.rows(t, other.OrganizationID, k)); n != 0 {
			t.Errorf("the second organization has %d of %s", n, k.Key())
		}
	}
}

func TestCreateByReplicasAtOnce(t *testing.T) {
	t.Parallel()
	i := newInstall(t)
	made := make([]bool, 3)
	var wg sync.WaitGroup
	for n := range made {
		wg.Go(func() { made[n] = i.create(t, Choose(Options{})) })
	}
	wg.Wait()
	count := 0
	for _, m := range made {
		if m {
			count++
		}
	}
	if count != 1 {
		t.Errorf("it was made %d times", count)
	}
}

// exists reports which of the two names the credentials have.
func (i install) exists(t *testing.T) (pending, settled bool) {
	t.Helper()
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(i.dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return err == nil
	}
	return there(CredentialsFile + pendingSuffix), there(CredentialsFile)
}

func (i install) settle(t *testing.T) {
	t.Helper()
	if err := Settle(t.Context(), i.Store, i.dir); err != nil {
		t.Fatal(err)
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	i := newInstall(t)
	i.settle(t)
	if pending, settled := i.exists(t); pending || settled {
		t.Fatal("credentials came out of nothing")
	}

	// A start that failed before it wrote to the database.
	failed := Choose(Options{})
	if err := failed.Prepare(i.dir, "http://127.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	i.settle(t)
	if pending, settled := i.exists(t); pending || settled {
		t.Errorf("credentials of a failed start are still there: %v, %v", pending, settled)
	}

	// A start that ended between the database and the file.
	c := testCredentials()
	if err := c.Prepare(i.dir, "http://127.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	i.create(t, c)
	for range 2 {
		i.settle(t)
		if pending, settled := i.exists(t); pending || !settled {
			t.Fatalf("credentials are not settled: %v, %v", pending, settled)
		}
	}
	path := filepath.Join(i.dir, CredentialsFile)
	if got := shellValues(t, path, "CONFLUENT_CLOUD_API_SECRET"); got[0] != c.APISecret {
		t.Errorf("the file has the secret %q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
}

// Two replicas with the same WEIR_BOOTSTRAP_API_KEY start on one empty
// database, each with a data directory of its own. The one that comes too late
// holds a secret that was never in force.
func TestSettleDropsCredentialsThatWereNeverInForce(t *testing.T) {
	t.Parallel()
	i := newInstall(t)
	winner, loser := Choose(Options{APIKey: "ABCDEFGH01234567"}), Choose(Options{APIKey: "ABCDEFGH01234567"})
	if err := loser.Prepare(i.dir, "http://127.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	if !i.create(t, winner) || i.create(t, loser) {
		t.Fatal("the wrong one was made")
	}
	i.settle(t)
	if _, settled := i.exists(t); settled {
		got := shellValues(t, filepath.Join(i.dir, CredentialsFile), "CONFLUENT_CLOUD_API_KEY", "CONFLUENT_CLOUD_API_SECRET")
		if _, err := i.caller(t, got[0], got[1]); err != nil {
			t.Errorf("%s holds credentials that do not work: %v", CredentialsFile, err)
		}
	}
}

func TestSettleKeepsTheFileWhenTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	i := newInstall(t)
	if err := testCredentials().Prepare(i.dir, "http://127.0.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Settle(gone, i.Store, i.dir); err == nil {
		t.Error("no error")
	}
	if pending, _ := i.exists(t); !pending {
		t.Error("the only copy of the secret is gone")
	}
}

func TestNewKey(t *testing.T) {
	t.Parallel()
	i := newInstall(t)
	if _, _, _, err := NewKey(t.Context(), i.Engine, "", ""); err == nil || !strings.Contains(err.Error(), "start the server") {
		t.Errorf("without an organization the error is %v", err)
	}
	c := testCredentials()
	i.create(t, c)
	admin := i.rows(t, c.OrganizationID, iam.User)[0].ID
	robot := &engine.Object{Kind: iam.ServiceAccount, Org: c.OrganizationID, Doc: engine.Doc{"display_name": "robot"}}
	if err := i.Store.Update(t.Context(), func(tx store.Tx) error { return i.Insert(t.Context(), tx, robot) }); err != nil {
		t.Fatal(err)
	}
	for owner, want := range map[string]string{"": admin, admin: admin, robot.ID: robot.ID} {
		id, secret, ownedBy, err := NewKey(t.Context(), i.Engine, "", owner)
		if err != nil {
			t.Fatalf("for %q: %v", owner, err)
		}
		if ownedBy != want || !authn.WellFormedSecret(secret) || !keyID.MatchString(id) {
			t.Errorf("for %q: key %s of %s, want %s", owner, id, ownedBy, want)
		}
		caller, err := i.caller(t, id, secret)
		if err != nil || caller.Principal != want || caller.Org != c.OrganizationID {
			t.Errorf("for %q: the key stands for %+v, %v", owner, caller, err)
		}
	}
	// Other organizations have keys too, and administrators of their own.
	const other = "11111111-edef-46ac-8a41-c49e44a3fd9a"
	boss := &engine.Object{Kind: iam.ServiceAccount, Org: other, Doc: engine.Doc{"display_name": "boss"}}
	err := i.Store.Update(t.Context(), func(tx store.Tx) error {
		if err := NewOrganization(t.Context(), i.Engine, tx, other, "Other", org.Environment.ID.New()); err != nil {
			return err
		}
		if err := i.Insert(t.Context(), tx, boss); err != nil {
			return err
		}
		for range 2 { // the second time there is nothing to do
			if err := iam.Appoint(t.Context(), i.Engine, tx, other, boss.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(i.rows(t, other, iam.RoleBinding)); n != 1 {
		t.Errorf("the administrator was appointed %d times", n)
	}
	id, secret, ownedBy, err := NewKey(t.Context(), i.Engine, other, "")
	if err != nil || ownedBy != boss.ID {
		t.Fatalf("the key is %s's: %v", ownedBy, err)
	}
	if caller, err := i.caller(t, id, secret); err != nil || caller.Org != other {
		t.Errorf("the key stands for %+v, %v", caller, err)
	}
	if _, _, _, err := NewKey(t.Context(), i.Engine, "", boss.ID); err == nil {
		t.Error("a key for somebody in another organization")
	}
	before := len(i.rows(t, c.OrganizationID, iam.APIKey))
	for _, unknown := range []string{"u-zzzzzz", "sa-zzzzzz", "nobody", "env-abc123"} {
		_, _, _, err := NewKey(t.Context(), i.Engine, "", unknown)
		if err == nil || !strings.Contains(err.Error(), unknown) || strings.Contains(err.Error(), "\n") {
			t.Errorf("for %s the error is %v", unknown, err)
		}
	}
	if after := len(i.rows(t, c.OrganizationID, iam.APIKey)); after != before {
		t.Errorf("%d keys were made for nobody", after-before)
	}
}

func TestNewKeyWithoutAnAdministrator(t *testing.T) {
	t.Parallel()
	i := newInstall(t)
	c := testCredentials()
	i.create(t, c)
	binding := i.rows(t, c.OrganizationID, iam.RoleBinding)[0]
	if err := i.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(t.Context(), binding.Key, time.Now()) }); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := NewKey(t.Context(), i.Engine, "", ""); err == nil || !strings.Contains(err.Error(), "--owner") {
		t.Errorf("the error is %v", err)
	}
}
