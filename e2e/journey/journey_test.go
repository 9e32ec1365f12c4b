// Package journey_test goes the way of somebody who tries Weir, as the README
// tells it: build the program, start it, call it by hand and from Go, restart
// it, and get back in after losing the key.
package journey_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	apikeysv2 "github.com/confluentinc/ccloud-sdk-go-v2/apikeys/v2"
	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
	mdsv2 "github.com/confluentinc/ccloud-sdk-go-v2/mds/v2"

	"github.com/weirhq/weir/internal/pgtest"
)

// What the first start is told to choose.
const (
	key          = "JOURNEYKEY000001"
	secret       = "s3cret-of-the-'journey'"
	email        = "traveller@example.com"
	password     = "there-and-back-again"
	organization = "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"
)

var bootstrap = []string{
	"WEIR_BOOTSTRAP_API_KEY=" + key,
	"WEIR_BOOTSTRAP_API_SECRET=" + secret,
	"WEIR_BOOTSTRAP_EMAIL=" + email,
	"WEIR_BOOTSTRAP_PASSWORD=" + password,
	"WEIR_BOOTSTRAP_ORGANIZATION_ID=" + organization,
}

const environments = "/org/v2/environments"

func TestJourney(t *testing.T) {
	t.Parallel()
	for store, databaseURL := range map[string]func(testing.TB) string{
		"SQLite":     func(testing.TB) string { return "" },
		"PostgreSQL": pgtest.URL,
	} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, append(bootstrap, "WEIR_DATABASE_URL="+databaseURL(t))...)
			if store == "PostgreSQL" {
				// The folder must be there for credentials.env.
				if err := os.Mkdir(filepath.Join(m.dir, "weir-data"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			p := m.serve()
			first := firstDay(t, m, p)
			made := fromGo(t, p, first)
			if out := p.stop(); !strings.Contains(out, p.url) || !strings.Contains(out, secret) || !strings.Contains(out, organization) {
				t.Errorf("the first start printed %q", out)
			}

			p = m.serve()
			unchanged(t, p, first, made)
			lateID := p.ask(key, secret, http.MethodPost, environments, `{"display_name": "late"}`).text("id")
			p.kill()

			p = m.serve()
			unchanged(t, p, first, made)
			if a := p.ask(key, secret, http.MethodGet, environments+"/"+lateID, ""); a.status != http.StatusOK {
				t.Errorf("what was acknowledged before the crash: %d %s", a.status, a.raw)
			}
			lostKey(t, m, p)
			if out := p.stop(); strings.Contains(out, key) || strings.Contains(out, secret) {
				t.Errorf("a later start shows the credentials again: %q", out)
			}
		})
	}
}

// day is what the first day leaves behind.
type day struct {
	firstEnvironment, staging string
	// stagingRaw is the environment exactly as it was read.
	stagingRaw string
	gone       string
}

// firstDay is about the first start and calls by hand.
func firstDay(t *testing.T, m *machine, p *process) day {
	t.Helper()
	path := filepath.Join(m.dir, "weir-data", "credentials.env")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read %s: %v, %v", path, info.Mode(), err)
	}
	given := m.assignments(string(content))
	for name, want := range map[string]string{
		"CONFLUENT_CLOUD_API_KEY": key, "CONFLUENT_CLOUD_API_SECRET": secret,
		"CONFLUENT_CLOUD_EMAIL": email, "CONFLUENT_CLOUD_PASSWORD": password,
		"WEIR_ORGANIZATION_ID": organization, "WEIR_URL": p.url,
	} {
		if given[name] != want {
			t.Errorf("the shell reads %s as %q, want %q", name, given[name], want)
		}
	}
	for path, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/docs": 200, "/openapi.json": 200, environments: 401} {
		if a := p.ask("", "", http.MethodGet, path, ""); a.status != status {
			t.Errorf("%s without credentials: %d, want %d", path, a.status, status)
		}
	}
	if a := p.ask(key, secret, http.MethodGet, "/org/v2/organizations/"+organization, ""); a.status != http.StatusOK || a.text("id") != organization {
		t.Errorf("the organization: %d %s", a.status, a.raw)
	}
	d := day{firstEnvironment: given["WEIR_ENVIRONMENT_ID"]}
	if a := p.ask(key, secret, http.MethodGet, environments+"/"+d.firstEnvironment, ""); a.status != http.StatusOK || a.text("display_name") != "default" {
		t.Errorf("the first environment: %d %s", a.status, a.raw)
	}
	for name, id := range map[string]*string{"staging": &d.staging, "mistake": &d.gone} {
		a := p.ask(key, secret, http.MethodPost, environments, `{"display_name": "`+name+`"}`)
		if *id = a.text("id"); a.status != http.StatusCreated || *id == "" {
			t.Fatalf("%s: %d %s", name, a.status, a.raw)
		}
	}
	if a := p.ask(key, secret, http.MethodDelete, environments+"/"+d.gone, ""); a.status != http.StatusNoContent {
		t.Errorf("delete: %d %s", a.status, a.raw)
	}
	d.stagingRaw = withoutHost(p, p.ask(key, secret, http.MethodGet, environments+"/"+d.staging, ""))
	return d
}

// withoutHost is an answer without what a restart changes: the free port that
// the test has the server take.
func withoutHost(p *process, a answer) string {
	return strings.ReplaceAll(string(a.raw), p.url, "")
}

// program is what a program makes for itself.
type program struct{ account, key, secret string }

// fromGo makes a service account that administers the staging environment, with
// the Go SDK.
func fromGo(t *testing.T, p *process, d day) program {
	t.Helper()
	iam, keys, mds := iamv2.NewConfiguration(), apikeysv2.NewConfiguration(), mdsv2.NewConfiguration()
	iam.Servers[0].URL, keys.Servers[0].URL, mds.Servers[0].URL = p.url, p.url, p.url
	ctx := context.WithValue(t.Context(), iamv2.ContextBasicAuth, iamv2.BasicAuth{UserName: key, Password: secret})
	ctx = context.WithValue(ctx, apikeysv2.ContextBasicAuth, apikeysv2.BasicAuth{UserName: key, Password: secret})
	ctx = context.WithValue(ctx, mdsv2.ContextBasicAuth, mdsv2.BasicAuth{UserName: key, Password: secret})

	account, _, err := iamv2.NewAPIClient(iam).ServiceAccountsIamV2Api.CreateIamV2ServiceAccount(ctx).
		IamV2ServiceAccount(iamv2.IamV2ServiceAccount{DisplayName: new("app")}).Execute()
	if err != nil {
		t.Fatal(err)
	}
	made, _, err := apikeysv2.NewAPIClient(keys).APIKeysIamV2Api.CreateIamV2ApiKey(ctx).IamV2ApiKey(apikeysv2.IamV2ApiKey{
		Spec: &apikeysv2.IamV2ApiKeySpec{Owner: &apikeysv2.ObjectReference{Id: account.GetId()}},
	}).Execute()
	if err != nil {
		t.Fatal(err)
	}
	app := program{account.GetId(), made.GetId(), made.Spec.GetSecret()}
	path := environments + "/" + d.staging
	if a := p.ask(app.key, app.secret, http.MethodGet, path, ""); a.status != http.StatusNotFound {
		t.Errorf("without a role: %d %s", a.status, a.raw)
	}
	_, _, err = mdsv2.NewAPIClient(mds).RoleBindingsIamV2Api.CreateIamV2RoleBinding(ctx).IamV2RoleBinding(mdsv2.IamV2RoleBinding{
		Principal: new("User:" + app.account), RoleName: new("EnvironmentAdmin"),
		CrnPattern: new("crn://confluent.cloud/organization=" + organization + "/environment=" + d.staging),
	}).Execute()
	if err != nil {
		t.Fatal(err)
	}
	if a := p.ask(app.key, app.secret, http.MethodGet, path, ""); a.status != http.StatusOK {
		t.Errorf("with a role: %d %s", a.status, a.raw)
	}
	return app
}

// unchanged checks, after a restart, that everything is as it was.
func unchanged(t *testing.T, p *process, d day, app program) {
	t.Helper()
	if a := p.ask(key, secret, http.MethodGet, "/org/v2/organizations/"+organization, ""); a.status != http.StatusOK {
		t.Errorf("the organization: %d %s", a.status, a.raw)
	}
	if a := p.ask(key, secret, http.MethodGet, environments+"/"+d.firstEnvironment, ""); a.status != http.StatusOK {
		t.Errorf("the first environment: %d %s", a.status, a.raw)
	}
	if a := p.ask(key, secret, http.MethodGet, environments+"/"+d.staging, ""); withoutHost(p, a) != d.stagingRaw {
		t.Errorf("the environment is %s, and was %s", a.raw, d.stagingRaw)
	}
	if a := p.ask(key, secret, http.MethodGet, environments+"/"+d.gone, ""); a.status != http.StatusNotFound {
		t.Errorf("the deleted environment: %d %s", a.status, a.raw)
	}
	for path, status := range map[string]int{environments + "/" + d.staging: 200, environments + "/" + d.firstEnvironment: 404} {
		if a := p.ask(app.key, app.secret, http.MethodGet, path, ""); a.status != status {
			t.Errorf("the program's key at %s: %d, want %d", path, a.status, status)
		}
	}
}

// lostKey makes another key on the server's own machine, while it runs.
func lostKey(t *testing.T, m *machine, p *process) {
	t.Helper()
	made := m.assignments(m.run(binary, "keys", "create"))
	newKey, newSecret := made["CONFLUENT_CLOUD_API_KEY"], made["CONFLUENT_CLOUD_API_SECRET"]
	if newKey == "" || newKey == key || newSecret == "" {
		t.Fatalf("the new key is %q", newKey)
	}
	// It is an administrator's: it can remove the lost one.
	if a := p.ask(newKey, newSecret, http.MethodDelete, "/iam/v2/api-keys/"+key, ""); a.status != http.StatusNoContent {
		t.Errorf("remove the lost key: %d %s", a.status, a.raw)
	}
	if a := p.ask(key, secret, http.MethodGet, environments, ""); a.status != http.StatusUnauthorized {
		t.Errorf("the lost key: %d", a.status)
	}
	if a := p.ask(newKey, newSecret, http.MethodGet, environments, ""); a.status != http.StatusOK {
		t.Errorf("the new key: %d %s", a.status, a.raw)
	}
}

// A second installation with the same values has the same credentials.
func TestSameAgain(t *testing.T) {
	t.Parallel()
	for range 2 {
		p := newMachine(t, bootstrap...).serve()
		if a := p.ask(key, secret, http.MethodGet, "/org/v2/organizations/"+organization, ""); a.status != http.StatusOK {
			t.Errorf("the organization: %d %s", a.status, a.raw)
		}
		p.stop()
	}
}

var goBlock = regexp.MustCompile("(?s)```go\n(package main\n.*?)```")

// The program in the README compiles, and works.
func TestReadmeProgram(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	const documented = "http://127.0.0.1:8080"
	block := goBlock.FindSubmatch(readme)
	if block == nil || !strings.Contains(string(block[1]), documented) {
		t.Fatal("the README has no Go program that calls " + documented)
	}
	p := newMachine(t, bootstrap...).serve()
	path := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(block[1]), documented, p.url)), 0o600); err != nil {
		t.Fatal(err)
	}
	// It is built here, where go.mod has the SDK.
	out, err := goRun(t, path)
	if err != nil {
		t.Fatalf("go run: %v: %s", err, out)
	}
	if a := p.ask(key, secret, http.MethodGet, "/iam/v2/service-accounts/"+strings.TrimSpace(out), ""); a.status != http.StatusOK {
		t.Errorf("it printed %q, and there is %d %s", out, a.status, a.raw)
	}
}
