//go:build !race

// What is in other processes the race detector cannot see.

package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildWeir builds the command and returns its path.
func buildWeir(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/weirhq/weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// process is a server in a process of its own, so that it can be killed.
type process struct {
	cmd *exec.Cmd
	// url is where it serves; it is set once ready is closed. ended is closed
	// when the process is gone and its log was read to the end.
	url          string
	ready, ended chan struct{}

	mu  sync.Mutex
	log strings.Builder
}

// launch starts the command on a data directory and does not wait for it.
func launch(t *testing.T, weir, dir, databaseURL string, more ...string) *process {
	t.Helper()
	args := []string{
		"serve", "--listen", "127.0.0.1:0", "--data-dir", dir, "--log-format", "json",
		"--rate-limit-principal", "0", "--rate-limit-organization", "0", "--rate-limit-address", "0",
	}
	for _, m := range more {
		if !strings.HasPrefix(m, "WEIR_") {
			args = append(args, m)
		}
	}
	if databaseURL != "" {
		args = append(args, "--database-url", databaseURL)
	}
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), weir, args...), ready: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WEIR_") })
	for _, m := range more {
		// Settings that have no flag.
		if strings.HasPrefix(m, "WEIR_") {
			p.cmd.Env = append(p.cmd.Env, m)
		}
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var entry struct{ Msg, URL, Level string }
			_ = json.Unmarshal(lines.Bytes(), &entry) // what is no entry is kept as it is
			if entry.Msg == "request" && !slices.Contains(more, "debug") {
				continue
			}
			p.mu.Lock()
			fmt.Fprintln(&p.log, lines.Text())
			p.mu.Unlock()
			if entry.Msg == "serving" {
				p.url = entry.URL
				close(p.ready)
			}
		}
		_ = p.cmd.Wait() // it is killed, so it ends with an error
	}()
	t.Cleanup(p.kill)
	return p
}

// kill sends SIGKILL and waits for the process to be gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// serving waits until the server serves.
func (p *process) serving(t *testing.T) *process {
	t.Helper()
	select {
	case <-p.ready:
	case <-p.ended:
		t.Fatalf("the server did not start:\n%s", p.logged())
	case <-time.After(time.Minute):
		t.Fatalf("the server did not start in time:\n%s", p.logged())
	}
	return p
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// credentials reads credentials.env.
func credentials(t *testing.T, dir string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "credentials.env"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			values[name] = strings.Trim(value, "'")
		}
	}
	return values
}
