package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func TestURLGivesEachTestItsOwnDatabase(t *testing.T) {
	t.Parallel()
	var first string
	t.Run("first", func(t *testing.T) {
		first = URL(t)
		second := URL(t)
		for _, url := range []string{first, second} {
			if _, err := connect(t, url).Exec(t.Context(), "CREATE TABLE mine (id int)"); err != nil {
				t.Fatal(err)
			}
		}
	})
	if c, err := pgx.Connect(t.Context(), first); err == nil {
		c.Close(t.Context())
		t.Error("the database outlived its test")
	}
}

func TestServerKeepsItsDataOverStopAndKill(t *testing.T) {
	t.Parallel()
	s := Start(t, WithSetting("max_connections", "17"))
	url := s.URL()
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), "CREATE TABLE mine (id int)"); err != nil {
		t.Fatal(err)
	}
	for i, end := range []func(){s.Stop, s.Kill} {
		if _, err := c.Exec(t.Context(), "INSERT INTO mine VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		end()
		if c, err := pgx.Connect(t.Context(), url); err == nil {
			c.Close(t.Context())
			t.Fatal("a server that was ended answers")
		}
		s.Restart()
		c = connect(t, url)
		var n int
		if err := c.QueryRow(t.Context(), "SELECT count(*) FROM mine").Scan(&n); err != nil || n != i+1 {
			t.Fatalf("after restart %d: %d rows, %v", i, n, err)
		}
	}
	var setting, fsync string
	if err := c.QueryRow(t.Context(), "SELECT current_setting('max_connections'), current_setting('fsync')").Scan(&setting, &fsync); err != nil {
		t.Fatal(err)
	}
	if setting != "17" || fsync != "on" {
		t.Errorf("max_connections = %s, fsync = %s", setting, fsync)
	}
}

// helperEnv makes this test binary start a server and wait to be killed.
const helperEnv = "PGTEST_HELPER"

func TestHelperProcess(t *testing.T) {
	if os.Getenv(helperEnv) == "" {
		return // it is only a body for the test below
	}
	s := Start(t)
	fmt.Println("DIR", s.dir)
	select {}
}

func TestServerEndsWithAKilledTestProcess(t *testing.T) {
	t.Parallel()
	helper := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
	helper.Env = append(os.Environ(), helperEnv+"=1")
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		dir, _ = strings.CutPrefix(lines.Text(), "DIR ")
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "postmaster.pid")); err != nil {
		t.Fatalf("the helper's server does not run: %v", err)
	}
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server outlived its test process")
		}
	}
}

func TestFindBinaries(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PATH", filepath.Join(root, "empty"))
	pattern := filepath.Join(root, "*", "bin")
	_, err := findBinaries(pattern)
	if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") || !strings.Contains(err.Error(), EnvURL) {
		t.Errorf("without binaries: error %v does not say what to do", err)
	}
	for _, version := range []string{"9", "16", "15"} {
		bin := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(bin, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"initdb", "postgres"} {
			if err := os.WriteFile(filepath.Join(bin, name), nil, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Remove(filepath.Join(root, "16", "bin", "postgres")); err != nil {
		t.Fatal(err)
	}
	if got, err := findBinaries(pattern); err != nil || got != filepath.Join(root, "15", "bin") {
		t.Errorf("got %s, %v, want the newest that is complete", got, err)
	}
	t.Setenv("PATH", filepath.Join(root, "9", "bin"))
	if got, err := findBinaries(pattern); err != nil || got != filepath.Join(root, "9", "bin") {
		t.Errorf("got %s, %v, want that in PATH", got, err)
	}
}

func TestStaleDirectoriesAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	old := filepath.Join(os.TempDir(), "weir-pgtest-old")
	fresh := filepath.Join(os.TempDir(), "weir-pgtest-fresh")
	for _, dir := range []string{old, fresh} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * staleAfter)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	removeStale()
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old directory is still there: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("the fresh directory is gone: %v", err)
	}
}
