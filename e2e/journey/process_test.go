package journey_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds what a test waits for a process; it is reached only when
// something hangs.
const patience = time.Minute

// binary is the program as TestMain built it.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weir-journey-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "weir")
	build := exec.Command("go", "build", "-o", binary, "./cmd/weir")
	build.Dir = filepath.Join("..", "..")
	code := 1
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// machine is where somebody tries Weir: a folder and an environment.
type machine struct {
	t           *testing.T
	dir         string
	environment []string
}

func newMachine(t *testing.T, environment ...string) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir()}
	m.environment = append([]string{"HOME=" + m.dir, "PATH=" + os.Getenv("PATH"), "WEIR_LISTEN=127.0.0.1:0"}, environment...)
	return m
}

func (m *machine) command(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	m.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = m.dir, m.environment
	return cmd
}

// run runs a program that must succeed and returns its standard output.
func (m *machine) run(name string, args ...string) string {
	m.t.Helper()
	cmd := m.command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%s %v: %v: %s%s", name, args, err, out, stderr.String())
	}
	return string(out)
}

// assignments has the shell read lines of assignments, as the README says, and
// returns the variables.
func (m *machine) assignments(text string) map[string]string {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), "assignments")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	variables := map[string]string{}
	for line := range strings.Lines(m.run("sh", "-c", `set -a; . "$1"; set +a; env`, "sh", path)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		variables[name] = value
	}
	return variables
}

// process is a server that runs.
type process struct {
	t      *testing.T
	url    string
	cmd    *exec.Cmd
	stdout bytes.Buffer
	ended  chan error
}

// serve starts the server and waits until it says where it serves.
func (m *machine) serve() *process {
	m.t.Helper()
	p := &process{t: m.t, ended: make(chan error, 1), cmd: m.command(binary, "serve", "--log-format", "json")}
	p.cmd.Stdout = &p.stdout
	log, err := p.cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	lines := bufio.NewScanner(log)
	var all strings.Builder
	for p.url == "" && lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		var entry struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "serving" {
			p.url = entry.URL
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, log)
		p.ended <- p.cmd.Wait()
	}()
	if p.url == "" {
		m.t.Fatalf("the server did not start: %v\n%s", <-p.ended, all.String())
	}
	return p
}

// stop asks the server to end, which it must do in order, and returns what it
// wrote to standard output.
func (p *process) stop() string {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		p.t.Fatalf("the server ended with %v", err)
	}
	return p.stdout.String()
}

// kill ends the server at once, as a crash does.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := <-p.ended; !errors.As(err, &exit) {
		p.t.Fatalf("the server ended with %v", err)
	}
}

// answer is what the server says to a request.
type answer struct {
	status int
	raw    []byte
	body   map[string]any
}

// ask sends a request as curl would; an empty key sends no credentials.
func (p *process) ask(key, secret, method, path, body string) answer {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.SetBasicAuth(key, secret)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	a := answer{status: res.StatusCode}
	if a.raw, err = io.ReadAll(res.Body); err != nil {
		p.t.Fatal(err)
	}
	_ = json.Unmarshal(a.raw, &a.body) // stays nil for what is no JSON object
	return a
}

func (a answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

// goRun runs a Go program in this module with the journey's credentials.
func goRun(t *testing.T, path string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "run", path)
	cmd.Env = append(os.Environ(), "CONFLUENT_CLOUD_API_KEY="+key, "CONFLUENT_CLOUD_API_SECRET="+secret)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
