package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// binary is the command as built by TestMain: exit codes and signals need a
// process.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weir-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "weir")
	code := 1
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// patience bounds what a test waits for a process. It is reached only when
// something hangs.
const patience = time.Minute

type result struct {
	stdout, stderr string
	code           int
}

// command is the binary with an environment of its own, in an empty directory.
func command(t *testing.T, environment []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"HOME=" + cmd.Dir, "PATH=" + os.Getenv("PATH")}, environment...)
	return cmd
}

// run runs the command to its end.
func run(t *testing.T, environment []string, args ...string) result {
	t.Helper()
	cmd := command(t, environment, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatalf("weir %v: %v", args, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// wantFailure checks that the command failed with one line for the operator
// that has each of the texts.
func wantFailure(t *testing.T, r result, texts ...string) {
	t.Helper()
	if r.code != 1 {
		t.Errorf("the exit code is %d", r.code)
	}
	if r.stdout != "" {
		t.Errorf("a failure printed %q", r.stdout)
	}
	line, rest, ended := strings.Cut(r.stderr, "\n")
	if !strings.HasPrefix(line, "weir: ") || rest != "" || !ended {
		t.Errorf("the error is not one line: %q", r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(line, text) {
			t.Errorf("the error is %q and does not say %q", line, text)
		}
	}
}

// serving is a server as a process.
type serving struct {
	url string
	cmd *exec.Cmd
	// output holds standard output once the process has ended.
	stdout bytes.Buffer
	ended  chan error
}

// serve starts a server on the data directory and waits until it says in its
// log where it serves.
func serve(t *testing.T, dir string, args ...string) *serving {
	t.Helper()
	s := &serving{ended: make(chan error, 1)}
	s.cmd = command(t, nil, append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", dir, "--log-format", "json"}, args...)...)
	s.cmd.Stdout = &s.stdout
	log, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	var all strings.Builder
	for s.url == "" && lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		var entry struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "serving" {
			s.url = entry.URL
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, log)
		s.ended <- s.cmd.Wait()
	}()
	if s.url == "" {
		t.Fatalf("the server did not start: %v\n%s", <-s.ended, all.String())
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

// stop asks the server to end and returns what it printed.
func (s *serving) stop(t *testing.T, signal os.Signal) string {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if err := <-s.ended; err != nil {
		t.Fatalf("the server ended with %v", err)
	}
	return s.stdout.String()
}

// status asks for the environments with an API key.
func (s *serving) status(t *testing.T, key, secret string) int {
	t.Helper()
	return s.environments(t, http.MethodGet, "", key, secret)
}

// environments sends a request about environments and returns its status.
func (s *serving) environments(t *testing.T, method, body, key, secret string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/org/v2/environments", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(key, secret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

var exported = regexp.MustCompile(`(?m)^(?:export )?CONFLUENT_CLOUD_API_(KEY|SECRET)=(\S+)$`)

// credentials finds the key and its secret in a text of assignments.
func credentials(t *testing.T, text string) (key, secret string) {
	t.Helper()
	for _, m := range exported.FindAllStringSubmatch(text, -1) {
		if m[1] == "KEY" {
			key = m[2]
		} else {
			secret = m[2]
		}
	}
	if key == "" || secret == "" {
		t.Fatalf("no credentials in %q", text)
	}
	return key, secret
}

func TestServe(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	content, err := os.ReadFile(filepath.Join(dir, "credentials.env"))
	if err != nil {
		t.Fatal(err)
	}
	key, secret := credentials(t, string(content))
	if got := s.status(t, key, secret); got != http.StatusOK {
		t.Errorf("the first key gets %d", got)
	}
	if got := s.status(t, key, secret+"x"); got != http.StatusUnauthorized {
		t.Errorf("a wrong secret gets %d", got)
	}

	// A lost key is no reason to stop the server.
	made := run(t, nil, "keys", "create", "--data-dir", dir)
	if made.code != 0 {
		t.Fatalf("exit code %d: %s", made.code, made.stderr)
	}
	newKey, newSecret := credentials(t, made.stdout)
	if newKey == key || newSecret == secret {
		t.Error("the new key is the old one")
	}
	if got := s.status(t, newKey, newSecret); got != http.StatusOK {
		t.Errorf("the new key gets %d", got)
	}
	wantFailure(t, run(t, nil, "keys", "create", "--data-dir", dir, "--owner", "sa-zzzzzz"), "sa-zzzzzz", "does not exist")

	first := s.stop(t, syscall.SIGTERM)
	if !strings.Contains(first, s.url) || !strings.Contains(first, secret) {
		t.Errorf("the first start printed %q", first)
	}
	s = serve(t, dir)
	if got := s.status(t, key, secret); got != http.StatusOK {
		t.Errorf("after a restart the first key gets %d", got)
	}
	if second := s.stop(t, os.Interrupt); strings.Contains(second, secret) || strings.Contains(second, key) {
		t.Errorf("the second start shows the credentials again: %q", second)
	}
}

func TestServeFailures(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, "file", "content")
	garbage := t.TempDir()
	noise := make([]byte, 1<<14)
	_, _ = rand.Read(noise)
	if err := os.WriteFile(filepath.Join(garbage, "weir.db"), noise, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		environment, args, texts []string
	}{
		"port taken":               {nil, []string{"--listen", taken.Addr().String()}, []string{taken.Addr().String(), "in use"}},
		"data directory":           {nil, []string{"--data-dir", filepath.Join(file, "data")}, []string{"data directory", file}},
		"data directory is file":   {nil, []string{"--data-dir", file}, []string{file}},
		"database is no database":  {nil, []string{"--data-dir", garbage}, []string{"database"}},
		"database unreachable":     {nil, []string{"--database-url", "postgres://weir:hunter2@" + nobody + "/weir"}, []string{"database", nobody}},
		"database of another kind": {nil, []string{"--database-url", "mysql://weir:hunter2@db/weir"}, []string{"postgres://"}},
		"database URL broken":      {nil, []string{"--database-url", "postgres://weir:hunter2%@db/weir"}, nil},
		"plain HTTP for all":       {nil, []string{"--listen", "0.0.0.0:0"}, []string{"plain HTTP", "--tls-cert", "--tls-self-signed", "--trusted-proxy"}},
		"plain HTTP for all, v6":   {nil, []string{"--listen", "[::]:0"}, []string{"plain HTTP"}},
		"plain HTTP, no host":      {nil, []string{"--listen", ":0"}, []string{"plain HTTP"}},
		"bad address":              {nil, []string{"--listen", "127.0.0.1"}, []string{"--listen"}},
		"bad log level":            {nil, []string{"--log-level", "loud"}, []string{`--log-level "loud"`}},
		"bad log level by name":    {[]string{"WEIR_LOG_LEVEL=loud"}, nil, []string{`"loud"`}},
		"bad proxy":                {nil, []string{"--trusted-proxy", "nonsense"}, []string{"--trusted-proxy", "nonsense"}},
		"bad network":              {nil, []string{"--oauth-allow-network", "nonsense"}, []string{"--oauth-allow-network", "nonsense"}},
		"no such configuration":    {nil, []string{"--config", file + ".yaml"}, []string{"--config", file + ".yaml"}},
		"no such certificate":      {nil, []string{"--tls-cert", file + ".pem", "--tls-key", file + ".pem", "--log-level", "error"}, []string{"--tls-cert", file + ".pem"}},
		"bad bootstrap password":   {[]string{"WEIR_BOOTSTRAP_PASSWORD=hunter2"}, nil, []string{"WEIR_BOOTSTRAP_PASSWORD"}},
		"no such flag":             {nil, []string{"--port", "80"}, []string{"--port"}},
		"number that is none":      {nil, []string{"--rate-limit-address", "many"}, []string{"rate-limit-address"}},
		"an argument":              {nil, []string{"now"}, []string{"now"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, c.environment, append([]string{"serve", "--listen", "127.0.0.1:0"}, c.args...)...)
			wantFailure(t, r, c.texts...)
			if strings.Contains(r.stderr, "hunter2") {
				t.Errorf("the error has a password in it: %s", r.stderr)
			}
		})
	}
}

// The data of a newer release must not be opened by an older one.
func TestSchemaNewerThanTheBinary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serve(t, dir).stop(t, syscall.SIGTERM)
	db, err := sql.Open("sqlite", filepath.Join(dir, "weir.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"keys", "create"}} {
		wantFailure(t, run(t, nil, append(command, "--data-dir", dir)...), "newer", "99999")
	}
}

// An operator lets everybody in again who shut everybody out.
func TestIPFiltersSuspend(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir, "--trusted-proxy", "127.0.0.1/32")
	content, err := os.ReadFile(filepath.Join(dir, "credentials.env"))
	if err != nil {
		t.Fatal(err)
	}
	key, secret := credentials(t, string(content))
	send := func(from, method, path, body string) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(key, secret)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Forwarded-Proto", "https")
		req.Header.Set("X-Forwarded-For", from)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var answer map[string]any
		_ = json.NewDecoder(resp.Body).Decode(&answer)
		return resp.StatusCode, answer
	}
	_, group := send("192.0.2.7", "POST", "/iam/v2/ip-groups", `{"group_name": "office", "cidr_blocks": ["192.0.2.0/24"]}`)
	if status, filter := send("192.0.2.7", "POST", "/iam/v2/ip-filters", fmt.Sprintf(`{"filter_name": "f", "resource_group": "management", "ip_groups": [{"id": %q}]}`, group["id"])); status != http.StatusCreated {
		t.Fatalf("make a filter: %d %v", status, filter)
	}
	becomes := func(want int) {
		t.Helper()
		deadline := time.Now().Add(time.Second)
		for {
			status, _ := send("203.0.113.5", "GET", "/org/v2/environments", "")
			if status == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("after a second the answer is %d, want %d", status, want)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	becomes(http.StatusForbidden)
	do := func(want string, args ...string) {
		t.Helper()
		r := run(t, nil, append(append([]string{"ip-filters"}, args...), "--data-dir", dir)...)
		if r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("ip-filters %v: %d, %q, %q", args, r.code, r.stdout, r.stderr)
		}
	}
	do("state: in force\n", "status")
	do("are suspended", "suspend", "--reason", "wrong office")
	becomes(http.StatusOK)
	do("suspended already", "suspend")
	do("ip filters: 1\nstate: suspended since 2", "status")
	do(": wrong office\n", "status")
	do("count again", "resume")
	becomes(http.StatusForbidden)
	do("were not suspended", "resume")
	wantFailure(t, run(t, nil, "ip-filters", "suspend", "--data-dir", dir, "--organization", "nowhere"), `"nowhere"`)
	wantFailure(t, run(t, nil, "ip-filters", "suspend", "--data-dir", dir, "--reason", strings.Repeat("x", 256)), "255")
	wantFailure(t, run(t, nil, "ip-filters", "status", "--data-dir", filepath.Join(dir, "other")), "no database")
	s.stop(t, syscall.SIGTERM)
}

func TestKeysCreateMakesNoDatabase(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	wantFailure(t, run(t, nil, "keys", "create", "--data-dir", dir), "no database", "weir serve", "--data-dir")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory is there: %v", err)
	}
}

func TestUnknownCommand(t *testing.T) {
	t.Parallel()
	wantFailure(t, run(t, nil, "serv"), `"serv"`)
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := run(t, nil, "version")
	if r.code != 0 || r.stderr != "" || !regexp.MustCompile(`^weir \S+\n$`).MatchString(r.stdout) {
		t.Errorf("exit code %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	released := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-ldflags", "-X main.version=1.2.3", "-o", released, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	out, err := exec.Command(released, "version").Output()
	if err != nil || string(out) != "weir 1.2.3\n" {
		t.Errorf("a release says %q, %v", out, err)
	}
}

func TestHelpMentionsEverySetting(t *testing.T) {
	t.Parallel()
	r := run(t, nil, "serve", "--help")
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	serveFlags(f)
	flags := 0
	f.VisitAll(func(flag *pflag.Flag) {
		flags++
		if !regexp.MustCompile(`(?m)^\s+--` + flag.Name + `\b.*\w`).MatchString(r.stdout) {
			t.Errorf("--%s is not in the help", flag.Name)
		}
		if flag.Usage == "" {
			t.Errorf("--%s has no explanation", flag.Name)
		}
	})
	if flags < 10 {
		t.Errorf("there are only %d flags", flags)
	}
	for _, name := range withoutFlag {
		if variable := "WEIR_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")); !strings.Contains(r.stdout, variable) {
			t.Errorf("%s is not in the help", variable)
		}
		if f.Lookup(name) != nil {
			t.Errorf("--%s is a flag: other users of the machine see it", name)
		}
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"one":                "one",
		"one\ntwo":           "one; two",
		"one\r\ntwo\n\n":     "one; two",
		"\n\none\n\n\ntwo":   "one; two",
		"":                   "",
		"tab\tgoes, é stays": "tab goes, é stays",
	} {
		if got := oneLine(errors.New(text)); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if got := oneLine(errors.Join(errors.New("a"), fmt.Errorf("b: %w", errors.Join(errors.New("c"), errors.New("d"))))); got != "a; b: c; d" {
		t.Errorf("joined errors become %q", got)
	}
}
