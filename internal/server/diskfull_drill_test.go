//go:build drill && linux && !race

package server_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/weirtest"
)

// smallDisk mounts a file system of that size, which takes root.
func smallDisk(t *testing.T, size string) (dir string, remount func(options string)) {
	t.Helper()
	dir = t.TempDir()
	// PostgreSQL runs as another user.
	for _, parent := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(parent, 0o755); err != nil { //nolint:gosec // nothing secret is in it
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=1777,size="+size); err != nil {
		t.Fatalf("the drill cannot mount a small disk: %v; run it as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir, func(options string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "mount", "-o", "remount,"+options, dir).CombinedOutput(); err != nil {
			t.Fatalf("remount: %v: %s", err, out)
		}
	}
}

// fillDisk makes accounts until one is refused, and returns the paths of those made.
func fillDisk(t *testing.T, s *weirtest.Server, round string) (paths []string) {
	t.Helper()
	for i := range 20_000 {
		a := s.Do(http.MethodPost, serviceAccounts, map[string]any{
			"display_name": fmt.Sprintf("%s %d", round, i), "description": strings.Repeat("x", 1000),
		})
		if a.Status != http.StatusCreated {
			return paths
		}
		paths = append(paths, serviceAccounts+"/"+a.Body["id"].(string))
	}
	t.Fatal("the disk does not fill")
	return nil
}

// testFullDisk fills the disk, first by what others write there, and then makes it
// larger.
func testFullDisk(t *testing.T, s *weirtest.Server, others, more func()) {
	t.Helper()
	s.SetLimit("iam.max_service_accounts.per_org", 1_000_000)
	first := s.Do(http.MethodPost, serviceAccounts, map[string]any{"display_name": "before"})
	if first.Status != http.StatusCreated {
		t.Fatalf("%d %s", first.Status, first.Raw)
	}
	others()
	paths := append([]string{serviceAccounts + "/" + first.Body["id"].(string)}, fillDisk(t, s, "filler")...)
	write := func() weirtest.Answer {
		return s.Do(http.MethodPost, serviceAccounts, map[string]any{"display_name": "refused", "description": strings.Repeat("x", 1000)})
	}
	wantUnavailable(t, s, "a write to a full disk", "its disk is full", write)
	for _, path := range []string{paths[0], paths[len(paths)-1]} {
		if a := s.Do(http.MethodGet, path, nil); a.Status != http.StatusOK {
			t.Errorf("a read: %d %s", a.Status, a.Raw)
		}
	}
	more()
	waitFor(t, "the server to be ready", func() bool { return s.Do(http.MethodGet, "/readyz", nil).Status == http.StatusOK })
	if a := write(); a.Status != http.StatusCreated {
		t.Errorf("a write, when there is room again: %d %s", a.Status, a.Raw)
	}
	for _, path := range paths {
		if a := s.Do(http.MethodGet, path, nil); a.Status != http.StatusOK {
			t.Fatalf("%s was acknowledged and is read as %d %s", path, a.Status, a.Raw)
		}
	}
	t.Logf("%d accounts were made before the disk was full", len(paths))
}

func TestDrillFullDiskSQLite(t *testing.T) {
	dir, remount := smallDisk(t, "6m")
	s := weirtest.Start(t, weirtest.WithDataDir(dir))
	testFullDisk(t, s, func() {}, func() { remount("size=64m") })
	s.Stop()
	verifyDatabase(t, dir, "")

	// A disk that can only be read is told at the start.
	remount("ro")
	out, err := exec.CommandContext(t.Context(), buildWeir(t), "serve", "--listen", "127.0.0.1:0", "--data-dir", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "must be writable") || !strings.Contains(string(out), "read-only file system") {
		t.Errorf("a start on a read-only disk: %v\n%s", err, out)
	}
}

func TestDrillFullDiskPostgreSQL(t *testing.T) {
	dir, remount := smallDisk(t, "160m")
	before := os.TempDir()
	t.Setenv("TMPDIR", dir)
	database := pgtest.Start(t, pgtest.WithSetting("max_wal_size", "32MB"), pgtest.WithSetting("min_wal_size", "32MB"))
	t.Setenv("TMPDIR", before)
	url := database.URL()
	data := t.TempDir()
	s := weirtest.Start(t, weirtest.WithDatabaseURL(url), weirtest.WithDataDir(data))
	operator, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = operator.Close(t.Context()) }()
	// Somebody else takes the rest of the disk.
	if _, err := operator.Exec(t.Context(), "CREATE UNLOGGED TABLE junk (filler text)"); err != nil {
		t.Fatal(err)
	}
	testFullDisk(t, s, func() {
		for {
			if _, err := operator.Exec(t.Context(), "INSERT INTO junk SELECT repeat('x', 2000) FROM generate_series(1, 300)"); err != nil {
				t.Logf("the disk is full: %v", err)
				break
			}
		}
	}, func() { remount("size=400m") })
	verifyDatabase(t, data, url)
}
