package server_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/server"
)

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// waitFor waits until so many lines have all of the texts.
func (j *journal) waitFor(t *testing.T, lines int, texts ...string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		j.mu.Lock()
		all := j.text.String()
		j.mu.Unlock()
		found := 0
		for line := range strings.Lines(all) {
			has := true
			for _, text := range texts {
				has = has && strings.Contains(line, text)
			}
			if has {
				found++
			}
		}
		if found == lines {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d lines have %q, want %d:\n%s", found, texts, lines, all)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A server warns of suspended IP filters when that changes, and at every start.
func TestSuspensionIsLogged(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		dir := t.TempDir()
		run := func(log *journal) (*server.Server, func()) {
			t.Helper()
			ctx, stop := context.WithCancel(context.Background())
			s, err := server.Open(ctx, server.Config{Listen: "127.0.0.1:0", DataDir: dir, DatabaseURL: databaseURL}, "test",
				slog.New(slog.NewTextHandler(log, nil)))
			if err != nil {
				stop()
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(ctx) }()
			return s, sync.OnceFunc(func() {
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		}
		var log journal
		s, stop := run(&log)
		t.Cleanup(stop)
		organization := s.First.OrganizationID
		if _, err := iam.SuspendIPFilters(t.Context(), s.Engine(), organization, "way back in"); err != nil {
			t.Fatal(err)
		}
		log.waitFor(t, 1, "level=WARN", "IP filters are suspended", organization, `reason="way back in"`)
		if _, err := iam.ResumeIPFilters(t.Context(), s.Engine(), organization); err != nil {
			t.Fatal(err)
		}
		log.waitFor(t, 1, "level=WARN", "IP filters count again", organization)
		if _, err := iam.SuspendIPFilters(t.Context(), s.Engine(), organization, ""); err != nil {
			t.Fatal(err)
		}
		log.waitFor(t, 2, "level=WARN", "IP filters are suspended", organization)
		stop()

		var later journal
		_, stop = run(&later)
		t.Cleanup(stop)
		later.waitFor(t, 1, "level=WARN", "IP filters are suspended", organization)
	})
}
