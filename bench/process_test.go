package main

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// A child that ends wrongly is told of with what it wrote; one that a signal of
// ours ends is not.
func TestProcess(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	for _, c := range []struct{ name, script, want string }{
		{"ends by the signal", "echo ready >&2; exec sleep 60", ""},
		{"ends in order", "trap 'exit 0' TERM; echo ready >&2; while :; do sleep 0.01; done", ""},
		{"fails at the end", "trap 'echo broken >&2; exit 3' TERM; echo ready >&2; while :; do sleep 0.01; done", "broken"},
	} {
		p, _, err := start(t.Context(), address, "/", "", "", exec.CommandContext(t.Context(), "/bin/sh", "-c", c.script))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for p.stderr.String() == "" {
			runtime.Gosched() // until it has set its trap
		}
		if err := p.stop(); (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, _, err := start(t.Context(), "127.0.0.1:1", "/", "", "", exec.CommandContext(t.Context(), "/bin/sh", "-c", "echo no such flag >&2; exit 2")); err == nil || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("a process that does not start: %v", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var out tail
	for range 3 {
		if n, err := out.Write([]byte(strings.Repeat("x", keptStderr-1) + "y")); n != keptStderr || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := out.String(); len(got) != keptStderr || !strings.HasSuffix(got, "xy") {
		t.Errorf("%d bytes are kept", len(got))
	}
}
