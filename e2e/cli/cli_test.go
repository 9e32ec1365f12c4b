// Package cli_test drives Weir with the vendor's CLI, unmodified, on both
// databases. Each script in testdata runs with a server and a home directory of
// its own; README.md says what there is to write one with.
package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weirhq/weir/e2e/oidc"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

const (
	envCLI      = "CONFLUENT_CLI"
	envRequired = "WEIR_REQUIRE_CLI"
)

// findCLI returns the program. Where it is missing the test is skipped, or fails
// if WEIR_REQUIRE_CLI is 1.
func findCLI(t *testing.T) string {
	t.Helper()
	path, err := locate(os.Getenv)
	if err != nil {
		if os.Getenv(envRequired) == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// locate takes the program that the environment names, and no other: one that
// happens to be in PATH is somebody's own, and may be of any version.
func locate(getenv func(string) string) (string, error) {
	path := getenv(envCLI)
	if path == "" {
		return "", fmt.Errorf("the CLI is missing: install it or build github.com/confluentinc/cli, and set %s to the program", envCLI)
	}
	path, err := exec.LookPath(path)
	if err != nil {
		return "", fmt.Errorf("the CLI is missing: %s: %w", envCLI, err)
	}
	return filepath.Abs(path)
}

func TestLocate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "confluent")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for named, want := range map[string]string{"": "", program: program, filepath.Join(dir, "none"): ""} {
		got, err := locate(func(string) string { return named })
		if got != want || (err == nil) != (want != "") || err != nil && !strings.Contains(err.Error(), envCLI) {
			t.Errorf("%q: %q, %v", named, got, err)
		}
	}
}

func TestCLI(t *testing.T) {
	t.Parallel()
	program := findCLI(t)
	// Scripts find it by its name.
	bin := t.TempDir()
	if err := os.Symlink(program, filepath.Join(bin, "confluent")); err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("there are no scripts: %v", err)
	}
	for store, databaseURL := range map[string]func(testing.TB) string{
		"SQLite":     func(testing.TB) string { return "" },
		"PostgreSQL": pgtest.URL,
	} {
		for _, script := range scripts {
			t.Run(store+"/"+strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				options := []weirtest.Option{weirtest.WithDatabaseURL(databaseURL(t)), weirtest.WithDataDir(dir)}
				if strings.HasPrefix(filepath.Base(script), "refresh") {
					// The CLI refreshes a minute before a token ends: so each command
					// does.
					options = append(options, weirtest.WithConfig(func(c *server.Config) { c.SessionTokenLife = 30 * time.Second }))
				}
				s := &stage{weirtest.Start(t, options...), filepath.Join(dir, "outbox"), oidc.Start(t)}
				testscript.Run(t, testscript.Params{
					Files: []string{script}, RequireExplicitExec: true, RequireUniqueNames: true,
					Setup: func(env *testscript.Env) error { return s.setUp(env, bin) },
					Cmds:  map[string]func(*testscript.TestScript, bool, []string){"keep": keep, "join": s.join, "mapped": s.mapped, "sso": s.sso},
				})
			})
		}
	}
}

// stage is what one script runs with.
type stage struct {
	*weirtest.Server
	outbox   string
	provider *oidc.Provider
}

// configuration keeps the CLI from asking the vendor's servers for anything.
const configuration = `{"disable_feature_flags":true,"disable_update_check":true}`

func (s *stage) setUp(env *testscript.Env, bin string) error {
	home := filepath.Join(env.WorkDir, "home")
	folder := filepath.Join(home, ".confluent")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"HOME": home, "PATH": bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"URL": s.URL + "/confluent.cloud", "EMAIL": s.Email, "PASSWORD": s.Password,
		"ORGANIZATION": s.OrganizationID, "ENVIRONMENT": s.EnvironmentID, "API_KEY": s.APIKey, "API_SECRET": s.APISecret,
		"CRN": "crn://confluent.cloud/organization=" + s.OrganizationID,
	} {
		env.Setenv(name, value)
	}
	return os.WriteFile(filepath.Join(folder, "config.json"), []byte(configuration), 0o600)
}

// keep NAME PATTERN puts what the pattern's group matches in the last command's
// standard output into a variable.
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%s is not in standard output:\n%s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], found[1])
}

// join EMAIL NAME PASSWORD invites somebody and accepts the invitation for them.
func (s *stage) join(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: join EMAIL NAME PASSWORD")
	}
	a := s.Do(http.MethodPost, "/iam/v2/invitations", map[string]any{"email": args[0]})
	user, _ := a.Body["user"].(map[string]any)
	if a.Status != http.StatusCreated {
		ts.Fatalf("invite %s: %d %s", args[0], a.Status, a.Raw)
	}
	var link string
	for deadline := time.Now().Add(20 * time.Second); link == ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("there is no mail to %s", args[0])
		}
		var err error
		link, err = s.link(args[0])
		ts.Check(err)
	}
	resp, err := http.PostForm(link, url.Values{"full_name": {args[1]}, "password": {args[2]}, "password_again": {args[2]}})
	ts.Check(err)
	body, err := io.ReadAll(resp.Body)
	ts.Check(errors.Join(err, resp.Body.Close()))
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("accept the invitation of %s: %d %s", args[0], resp.StatusCode, body)
	}
	ts.Setenv("USER_ID", fmt.Sprint(user["id"]))
}

var codePattern = regexp.MustCompile(`<pre id="code">([^<]+)</pre>`)

// sso signs in at a provider in a browser, and puts the code for the CLI into a
// variable.
func (s *stage) sso(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: sso")
	}
	page := s.URL + "/login/sso/" + s.OrganizationID
	s.provider.LoginTo(page + "/callback")
	s.SetSSO(s.provider.Issuer, oidc.LoginClientID, oidc.LoginClientSecret)
	status, body := s.provider.SignIn(page)
	code := codePattern.FindStringSubmatch(body)
	if status != http.StatusOK || code == nil {
		ts.Fatalf("sign in: %d %s", status, body)
	}
	ts.Setenv("SSO_EMAIL", oidc.Email)
	ts.Setenv("SSO_CODE", code[1])
}

// mapped GROUP ROLE gives a group a role in the organization.
func (s *stage) mapped(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mapped GROUP ROLE")
	}
	mapping := s.Do(http.MethodPost, "/iam/v2/sso/group-mappings", map[string]any{"display_name": args[0], "filter": args[0]})
	a := s.Do(http.MethodPost, "/iam/v2/role-bindings", map[string]any{
		"principal": fmt.Sprint("User:", mapping.Body["id"]), "role_name": args[1], "crn_pattern": "crn://confluent.cloud/organization=" + s.OrganizationID,
	})
	if a.Status != http.StatusCreated {
		ts.Fatalf("map %s: %d %s, %d %s", args[0], mapping.Status, mapping.Raw, a.Status, a.Raw)
	}
}

var linkPattern = regexp.MustCompile(`https?://\S+/invitation\?token=\S+`)

// link returns the link in the mail to the address, or "" before it is there.
func (s *stage) link(email string) (string, error) {
	files, err := filepath.Glob(filepath.Join(s.outbox, "*.eml"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		m, err := mail.ReadMessage(bytes.NewReader(content))
		if err != nil {
			return "", err
		}
		if !strings.Contains(m.Header.Get("To"), email) {
			continue
		}
		_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
		if err != nil {
			return "", err
		}
		part, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		return linkPattern.FindString(string(text)), err
	}
	return "", nil
}
