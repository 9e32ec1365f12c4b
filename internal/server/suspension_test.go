package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/server"
)

const suspendedMessage = "IP filters are suspended: requests are let in from everywhere until 'weir ip-filters resume'"

// warned waits until so many entries of a log warn with the message and have all
// of the texts.
func warned(t *testing.T, log *logged, entries int, message string, texts ...string) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d warnings %q with %q", entries, message, texts), func() bool {
		found := 0
		for _, entry := range log.lines(t, message) {
			has := entry["level"] == "WARN"
			for _, text := range texts {
				has = has && strings.Contains(fmt.Sprint(entry), text)
			}
			if has {
				found++
			}
		}
		return found == entries
	})
}

// A server warns of suspended IP filters when that changes, and at every start.
func TestSuspensionIsLogged(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, databaseURL string) {
		dir := t.TempDir()
		run := func(log *logged) (*server.Server, func()) {
			t.Helper()
			ctx, stop := context.WithCancel(context.Background())
			s, err := server.Open(ctx, server.Config{CacheSize: 32, Listen: "127.0.0.1:0", DataDir: dir, DatabaseURL: databaseURL}, "test",
				slog.New(slog.NewJSONHandler(log, nil)))
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
		var log logged
		s, stop := run(&log)
		t.Cleanup(stop)
		organization := s.First.OrganizationID
		if _, err := iam.SuspendIPFilters(t.Context(), s.Engine(), organization, "way back in"); err != nil {
			t.Fatal(err)
		}
		warned(t, &log, 1, suspendedMessage, organization, "way back in")
		if _, err := iam.ResumeIPFilters(t.Context(), s.Engine(), organization); err != nil {
			t.Fatal(err)
		}
		warned(t, &log, 1, "IP filters count again", organization)
		if _, err := iam.SuspendIPFilters(t.Context(), s.Engine(), organization, ""); err != nil {
			t.Fatal(err)
		}
		warned(t, &log, 2, suspendedMessage, organization)
		stop()

		var later logged
		_, stop = run(&later)
		t.Cleanup(stop)
		warned(t, &later, 1, suspendedMessage, organization)
	})
}
