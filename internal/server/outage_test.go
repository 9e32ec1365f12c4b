package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/weirtest"
)

// wantUnavailable checks that a request fails at once, as one that the client
// may repeat, and that the server says that it is not ready and why.
func wantUnavailable(t *testing.T, s *weirtest.Server, what, why string, answer func() weirtest.Answer) {
	t.Helper()
	begun := time.Now()
	a := answer()
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("%s: the answer took %s", what, took)
	}
	var failure struct {
		Errors []struct{ ID, Status, Code, Detail string }
	}
	if err := json.Unmarshal(a.Raw, &failure); err != nil || a.Status != http.StatusServiceUnavailable || len(failure.Errors) != 1 ||
		failure.Errors[0].Status != "503" || failure.Errors[0].ID == "" || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s: %d %s, Retry-After %q", what, a.Status, a.Raw, a.Header.Get("Retry-After"))
	}
	for _, told := range []string{"SELECT", "pgx", "sqlite", "host=", "SQLSTATE", "dial"} {
		if strings.Contains(string(a.Raw), told) {
			t.Errorf("%s: the answer tells of the database: %s", what, a.Raw)
		}
	}
	if ready := s.Do(http.MethodGet, "/readyz", nil); ready.Status != http.StatusServiceUnavailable || !strings.Contains(string(ready.Raw), why) {
		t.Errorf("%s: /readyz answers %d %s, want %q", what, ready.Status, ready.Raw, why)
	}
	if alive := s.Do(http.MethodGet, "/healthz", nil); alive.Status != http.StatusOK {
		t.Errorf("%s: /healthz answers %d", what, alive.Status)
	}
}

// The database is stopped and killed: requests fail at once, everything comes
// back by itself, and nothing is lost that was acknowledged.
func TestDatabaseOutage(t *testing.T) {
	t.Parallel()
	database := pgtest.Start(t)
	s := weirtest.Start(t, weirtest.WithDatabaseURL(database.URL()))
	write := func(name string) weirtest.Answer {
		return s.Do(http.MethodPost, serviceAccounts, map[string]any{"display_name": name})
	}
	var paths []string
	keep := func(name string) {
		t.Helper()
		waitFor(t, "a write to be taken", func() bool {
			a := write(name)
			if a.Status == http.StatusCreated {
				paths = append(paths, serviceAccounts+"/"+a.Body["id"].(string))
			}
			return a.Status == http.StatusCreated
		})
	}
	keep("before")
	for _, outage := range []struct {
		name string
		end  func()
	}{{"stopped", database.Stop}, {"killed", database.Kill}} {
		outage.end()
		for what, request := range map[string]func() weirtest.Answer{
			"read":  func() weirtest.Answer { return s.Do(http.MethodGet, paths[0], nil) },
			"list":  func() weirtest.Answer { return s.Do(http.MethodGet, serviceAccounts, nil) },
			"write": func() weirtest.Answer { return write("lost") },
			// What is not in memory is not known to be good or bad.
			"unknown key": func() weirtest.Answer {
				return s.As("ABCDEFGHIJKLMNOP", "secret").Do(http.MethodGet, serviceAccounts, nil)
			},
		} {
			wantUnavailable(t, s, outage.name+": "+what, "the database does not answer", request)
		}
		database.Restart()
		keep("after it was " + outage.name)
		waitFor(t, "the server to be ready", func() bool { return s.Do(http.MethodGet, "/readyz", nil).Status == http.StatusOK })
		for _, path := range paths {
			if a := s.Do(http.MethodGet, path, nil); a.Status != http.StatusOK {
				t.Errorf("%s was acknowledged and is read as %d %s", path, a.Status, a.Raw)
			}
		}
	}
}

// The database turns into a standby that can only be read, and back: reads go
// on, writes fail.
func TestReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s := weirtest.Start(t, weirtest.WithDatabaseURL(url))
	operator, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = operator.Close(t.Context()) })
	// The setting holds for connections from then on; those there are end.
	set := func(value string) {
		t.Helper()
		for _, sql := range []string{
			"SET default_transaction_read_only = off",
			"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = " + value + "', current_database()); END $$",
			"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
		} {
			if _, err := operator.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func() weirtest.Answer {
		return s.Do(http.MethodPost, serviceAccounts, map[string]any{"display_name": "a"})
	}
	set("on")
	waitFor(t, "reads to go on", func() bool { return s.Do(http.MethodGet, serviceAccounts, nil).Status == http.StatusOK })
	waitFor(t, "writes to be refused as read-only", func() bool {
		return write().Status == http.StatusServiceUnavailable && strings.Contains(string(s.Do(http.MethodGet, "/readyz", nil).Raw), "can only be read")
	})
	wantUnavailable(t, s, "a write", "the database takes no writes: it can only be read", write)
	if a := s.Do(http.MethodGet, serviceAccounts, nil); a.Status != http.StatusOK {
		t.Errorf("a read: %d %s", a.Status, a.Raw)
	}
	set("off")
	waitFor(t, "the server to be ready", func() bool { return s.Do(http.MethodGet, "/readyz", nil).Status == http.StatusOK })
	if a := write(); a.Status != http.StatusCreated {
		t.Errorf("when it takes writes again: %d %s", a.Status, a.Raw)
	}
}
