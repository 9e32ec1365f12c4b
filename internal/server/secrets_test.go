//go:build !race

// What is in other processes the race detector cannot see.

package server_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// planted is a secret that a test gives to a server, or gets from it.
type planted struct {
	what, secret string
	// lies says where it may be found all the same: a prefix of the name of an
	// output, and why.
	lies, why string
}

// TestSecretsStayOut gives secrets to a server wherever one can enter, and looks
// for them in everything that it writes: its log at debug level, its database,
// its metrics, audit log and traces, its configuration as it is printed, what it
// says when it is made to crash, and a backup.
func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	weir := buildWeir(t)
	onEachStore(t, func(t *testing.T, databaseURL string) {
		var traces bytes.Buffer
		var mu sync.Mutex
		collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			_, _ = io.Copy(&traces, r.Body)
		}))
		t.Cleanup(collector.Close)
		n := 0
		mark := func() string { n++; return fmt.Sprintf("mARKed%02dsEcret-%s", n, strings.Repeat("q7", 10)) }
		bootstrapSecret, bootstrapPassword, smtp, sink, azure, collectorPassword := mark(), mark(), mark(), mark(), mark(), mark()
		const email = "admin@example.com"
		settings := []string{
			"WEIR_BOOTSTRAP_API_KEY=MARKEDKEY0000001", "WEIR_BOOTSTRAP_API_SECRET=" + bootstrapSecret, "WEIR_BOOTSTRAP_EMAIL=" + email, "WEIR_BOOTSTRAP_PASSWORD=" + bootstrapPassword,
			"WEIR_SMTP_URL=smtp://weir:" + smtp + "@localhost:1", "WEIR_MAIL_FROM=weir@example.com",
			"WEIR_AUDIT_SINK=file:audit/audit.jsonl,http://weir:" + sink + "@127.0.0.1:1/events", "WEIR_AZURE_CLIENT_SECRET=" + azure,
			"WEIR_TRACE_ENDPOINT=" + strings.Replace(collector.URL, "//", "//weir:"+collectorPassword+"@", 1), "WEIR_TRACE_SAMPLE=1",
		}
		dir := t.TempDir()
		p := launch(t, weir, dir, databaseURL, append(settings, "--log-level", "debug")...).serving(t)
		secrets := []planted{
			{"the first secret", bootstrapSecret, "data/credentials.env", "it is what that file is for"},
			{"the first password", bootstrapPassword, "data/credentials.env", "it is what that file is for"},
			{"the password for mail", smtp, "", ""}, {"the password of a sink", sink, "", ""},
			{"Azure's client secret", azure, "", ""}, {"the collector's password", collectorPassword, "", ""},
		}
		send := func(method, path, contentType, body string, change func(*http.Request)) (int, string) {
			t.Helper()
			req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.SetBasicAuth("MARKEDKEY0000001", bootstrapSecret)
			if body != "" {
				req.Header.Set("Content-Type", contentType)
			}
			if change != nil {
				change(req)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			raw, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, string(raw)
		}
		const asJSON, asForm = "application/json", "application/x-www-form-urlencoded"
		must := func(status int, raw string) string {
			t.Helper()
			if status >= 300 {
				t.Fatalf("%d %s", status, raw)
			}
			return raw
		}
		command := func(args ...string) string {
			t.Helper()
			args = append(args, "--data-dir", dir)
			if databaseURL != "" {
				args = append(args, "--database-url", databaseURL)
			}
			out, err := exec.CommandContext(t.Context(), weir, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %v: %s", args, err, out)
			}
			return string(out)
		}

		// What Weir makes.
		account := text(must(send(http.MethodPost, serviceAccounts, asJSON, `{"display_name":"worker"}`, nil)), "id")
		key := must(send(http.MethodPost, apiKeys, asJSON, `{"spec":{"owner":{"id":"`+account+`"}}}`, nil))
		secrets = append(secrets, planted{"a key's secret", text(key, "spec.secret"), "", ""})
		_, _ = send(http.MethodGet, serviceAccounts, "", "", func(r *http.Request) { r.SetBasicAuth(text(key, "id"), text(key, "spec.secret")) })
		partner := regexp.MustCompile(`CLIENT_SECRET=(\S+)`).FindStringSubmatch(command("partners", "create", "Acme", "--scope", "partner:create"))
		secrets = append(secrets, planted{"a partner's secret", partner[1], "", ""})
		status, session := send(http.MethodPost, "/api/sessions", asJSON, `{"email":"`+email+`","password":"`+bootstrapPassword+`"}`, nil)
		if status != http.StatusOK || text(session, "token") == "" {
			t.Fatalf("sign in: %d %s", status, session)
		}
		secrets = append(secrets, planted{"a session's token", text(session, "token"), "", ""}, planted{"a refresh token", text(session, "refresh_token"), "", ""})
		must(send(http.MethodGet, serviceAccounts, "", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+text(session, "token")) }))

		// What people send, right and wrong.
		put := func(what string, request func(secret string) (int, string)) {
			t.Helper()
			s := mark()
			request(s)
			secrets = append(secrets, planted{"what is sent as " + what, s, "", ""})
		}
		put("a wrong secret", func(s string) (int, string) {
			return send(http.MethodGet, serviceAccounts, "", "", func(r *http.Request) { r.SetBasicAuth("MARKEDKEY0000001", s) })
		})
		put("a user name", func(s string) (int, string) {
			return send(http.MethodGet, serviceAccounts, "", "", func(r *http.Request) { r.SetBasicAuth(s, "x") })
		})
		put("a bearer token", func(s string) (int, string) {
			return send(http.MethodGet, serviceAccounts, "", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+s) })
		})
		put("a token", func(s string) (int, string) {
			token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"a"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://a.example"}`)) + "." + s
			return send(http.MethodGet, serviceAccounts, "", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
		})
		put("another scheme", func(s string) (int, string) {
			return send(http.MethodGet, serviceAccounts, "", "", func(r *http.Request) { r.Header.Set("Authorization", "Digest "+s) })
		})
		put("a query", func(s string) (int, string) {
			return send(http.MethodGet, serviceAccounts+"?api_key="+s, "", "", nil)
		})
		put("a header", func(s string) (int, string) {
			return send(http.MethodGet, serviceAccounts, "", "", func(r *http.Request) { r.Header.Set("X-Api-Key", s); r.Header.Set("Cookie", "session="+s) })
		})
		put("a password", func(s string) (int, string) {
			return send(http.MethodPost, "/api/sessions", asJSON, `{"email":"`+email+`","password":"`+s+`"}`, nil)
		})
		put("a subject token", func(s string) (int, string) {
			form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {s}, "identity_pool_id": {"pool-1"},
				"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"}}
			return send(http.MethodPost, "/sts/v1/oauth2/token", asForm, form.Encode(), func(r *http.Request) { r.Header.Del("Authorization") })
		})
		put("a client's secret", func(s string) (int, string) {
			return send(http.MethodPost, "/oauth2/token", asForm, url.Values{"grant_type": {"client_credentials"}, "client_id": {"partner-1"}, "client_secret": {s}}.Encode(), nil)
		})
		put("a new password", func(s string) (int, string) {
			return send(http.MethodPost, "/password", asForm, url.Values{"email": {email}, "current": {"wrong"}, "password": {s}, "again": {s}}.Encode(), nil)
		})
		put("a link", func(s string) (int, string) { return send(http.MethodGet, "/invitation?token="+s, "", "", nil) })

		// What the server writes.
		outputs := map[string]string{"metrics": must(send(http.MethodGet, "/metrics", "", "", nil))}
		config := exec.CommandContext(t.Context(), weir, "config", "--data-dir", dir)
		config.Env = append(os.Environ(), settings...)
		printed, err := config.CombinedOutput()
		if err != nil {
			t.Fatalf("config: %v: %s", err, printed)
		}
		outputs["config"] = string(printed)
		outputs["audit query"] = command("audit", "query", "--json")
		if databaseURL == "" {
			copied := filepath.Join(t.TempDir(), "backup")
			command("backup", copied)
			collect(t, outputs, "backup", copied)
		} else {
			outputs["database"] = dumpTables(t, databaseURL)
		}
		waitFor(t, "the traces to be sent", func() bool { mu.Lock(); defer mu.Unlock(); return traces.Len() > 0 })
		waitFor(t, "the audit log to be delivered", func() bool {
			content, _ := os.ReadFile(filepath.Join(dir, "audit", "audit.jsonl"))
			return bytes.Contains(content, []byte("CreateServiceAccount"))
		})
		// Go tells of all goroutines then, as when it crashes.
		if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		outputs["log"] = p.logged()
		mu.Lock()
		outputs["traces"] = traces.String()
		mu.Unlock()
		collect(t, outputs, "data", dir)
		for _, must := range []struct{ output, has string }{
			{"log", `"msg":"request"`}, {"log", "goroutine "}, {"metrics", "weir_http_requests_total"}, {"config", "smtp-url"}, {"traces", "weir"},
		} {
			if !strings.Contains(outputs[must.output], must.has) {
				t.Errorf("the %s has no %q: nothing was looked at", must.output, must.has)
			}
		}
		for _, m := range secrets {
			if len(m.secret) < 16 {
				t.Errorf("%s is %q", m.what, m.secret)
				continue
			}
			for name, content := range outputs {
				if m.lies != "" && strings.HasPrefix(name, m.lies) {
					continue // m.why
				}
				for _, form := range []string{m.secret, url.QueryEscape(m.secret), base64.StdEncoding.EncodeToString([]byte(m.secret))} {
					if at := strings.Index(content, form); at >= 0 {
						t.Errorf("%s is in %s: …%.200q…", m.what, name, content[max(0, at-60):min(len(content), at+len(form)+40)])
						break
					}
				}
			}
		}
	})
}

// collect adds all files below the folder.
func collect(t *testing.T, outputs map[string]string, name, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		outputs[name+"/"+rel] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dumpTables returns all that is in a PostgreSQL database, bytes as they are.
func dumpTables(t *testing.T, databaseURL string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	var out strings.Builder
	for _, table := range []string{"objects", "entries", "settings", "counters", "limits", "events"} {
		rows, err := c.Query(ctx, "SELECT * FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				if b, ok := v.([]byte); ok {
					v = string(b)
				}
				fmt.Fprintln(&out, v)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}
