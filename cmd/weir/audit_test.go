package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The audit log is read beside a server that runs, as lines and as JSON, and
// as it grows.
func TestAudit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, "--audit-sink", "file:events.jsonl", "--audit-sink", "stdout:")
	r := run(t, nil, "audit", "query", "--data-dir", dir)
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if r.code != 0 || len(lines) != 5 || !strings.Contains(lines[4], "success  CreateAPIKey ") || !strings.Contains(lines[4], "  by bootstrap") {
		t.Errorf("exit code %d: %s\n%s", r.code, r.stderr, r.stdout)
	}
	key := strings.Fields(lines[4])[3]

	tail := command(t, nil, "audit", "tail", "--data-dir", dir, "--lines", "0", "--result", "failure")
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	followed := make(chan string, 100)
	go func() {
		defer close(followed)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			followed <- scan.Text()
		}
	}()
	// The end of tail's own start is not seen from here: it is told again until
	// it says so.
	var line string
	for deadline := time.Now().Add(patience); line == ""; {
		if got := s.status(t, key, "wrong"); got != 401 {
			t.Fatalf("a wrong secret is answered with %d", got)
		}
		select {
		case line = <-followed:
		case <-time.After(300 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing comes")
		}
	}
	if !strings.Contains(line, "failure") || !strings.Contains(line, "with "+key) || !strings.Contains(line, "not valid") {
		t.Errorf("followed: %s", line)
	}
	if err := tail.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range followed { // until it has ended
	}
	if err := tail.Wait(); err != nil {
		t.Errorf("the end: %v", err)
	}

	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--principal", "bootstrap"}, 5},
		{[]string{"--principal", "bootstrap", "--method", "CreateApiKey"}, 1},
		{[]string{"--resource", key}, 1},
		{[]string{"--since", "1h", "--principal", "bootstrap"}, 5},
		{[]string{"--until", "1h"}, 0},
		{[]string{"--since", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z"}, 0},
		{[]string{"--organization", "none"}, 0},
	} {
		r := run(t, nil, append([]string{"audit", "query", "--json", "--data-dir", dir}, c.args...)...)
		if got := strings.Count(r.stdout, "\n"); r.code != 0 || got != c.want {
			t.Errorf("%v: %d lines, exit code %d, %s", c.args, got, r.code, r.stderr)
		}
		for line := range strings.Lines(r.stdout) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%v: no JSON: %s", c.args, line)
			}
		}
	}
	stdout := s.stop(t, syscall.SIGTERM)
	file, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(file), "\n")
	if strings.Count(string(file), "\n") < 6 || !strings.Contains(stdout, first) {
		t.Errorf("the file is\n%s\nand standard output\n%s", file, stdout)
	}
}

func TestAuditFailures(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	for _, c := range []struct {
		want string
		args []string
	}{
		{"no database", []string{"query", "--data-dir", empty}},
		{"no database", []string{"tail", "--data-dir", empty}},
		{"--since", []string{"query", "--since", "yesterday"}},
		{"--until", []string{"query", "--until", "-1h"}},
		{"--result", []string{"tail", "--result", "denied"}},
	} {
		wantFailure(t, run(t, nil, append([]string{"audit"}, c.args...)...), c.want)
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("a database was made: %v", entries)
	}
}

func TestPointInTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"90m": "2026-03-01T10:30:00Z", "0s": "2026-03-01T12:00:00Z", "2026-01-31T08:00:00+01:00": "2026-01-31T07:00:00Z", "": "0001-01-01T00:00:00Z",
	} {
		if got, err := pointInTime(text, now); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"-1h", "1d", "today", "2026-01-31", fmt.Sprint(now.Unix())} {
		if got, err := pointInTime(text, now); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}
