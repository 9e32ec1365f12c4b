package sqlstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/store"
	"zombiezen.com/go/sqlite"
)

func TestTwoHandlesOnOneFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	handles := []store.Store{openSQLite(t, dir, Options{}), openSQLite(t, dir, Options{})}
	shareFile(t, handles, 100)
}

// shareFile writes through all handles at once, each row under its own ID and
// an own number of a shared counter.
func shareFile(t *testing.T, handles []store.Store, n int) {
	t.Helper()
	_ = insert(t.Context(), handles[0], testRow("counter"))
	var calls sync.WaitGroup
	for h, s := range handles {
		for i := range n {
			calls.Go(func() {
				if err := s.Update(t.Context(), func(tx store.Tx) error {
					c, err := tx.Lock(t.Context(), "org", store.Key{Kind: "kind", ID: "counter"})
					if err != nil {
						return err
					}
					return errors.Join(tx.Update(t.Context(), c, nil), tx.Insert(t.Context(), testRow(fmt.Sprintf("%d-%d", h, i)), nil))
				}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	calls.Wait()
	for _, s := range handles {
		c, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: "counter"})
		if want := int64(len(handles)*n + 1); err != nil || c.Version != want || count(t, s) != want {
			t.Errorf("version %d and %d rows, want %d of both; %v", c.Version, count(t, s), want, err)
		}
	}
}

// helperEnv tells the test binary to act as another process; its value is
// "what directory".
const helperEnv = "SQLSTORE_HELPER"

func helper(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$", "-test.v")
	c.Env = append(os.Environ(), helperEnv+"="+what+" "+dir)
	return c
}

func TestHelperProcess(t *testing.T) {
	what, dir, _ := strings.Cut(os.Getenv(helperEnv), " ")
	switch what {
	case "write":
		s := openSQLite(t, dir, Options{})
		for i := range 200 {
			if err := insert(t.Context(), s, testRow(fmt.Sprint("helper-", i))); err != nil {
				t.Fatal(err)
			}
		}
	case "unprivileged":
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			t.Fatal(err)
		}
		_, err := OpenSQLite(t.Context(), dir, Options{})
		fmt.Println("ERROR", err)
	case "kill":
		s := openSQLite(t, dir, Options{})
		var calls sync.WaitGroup
		for i := range 8 {
			calls.Go(func() {
				for j := 0; ; j++ {
					id := fmt.Sprintf("%d-%d", i, j)
					if err := insert(t.Context(), s, testRow(id)); err != nil {
						t.Error(err)
					}
					fmt.Println("KEPT", id)
				}
			})
		}
		calls.Wait()
	}
}

func TestTwoProcessesOnOneFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openSQLite(t, dir, Options{})
	other := helper(t, "write", dir)
	out := make(chan error, 1)
	go func() {
		text, err := other.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, text)
		}
		out <- err
	}()
	for i := range 200 {
		if err := insert(t.Context(), s, testRow(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-out; err != nil {
		t.Fatal(err)
	}
	if got := count(t, s); got != 400 {
		t.Errorf("%d rows, want 400", got)
	}
}

// TestAnswersSurviveSIGKILL kills a process in the midst of its writes: every
// write that it reported is there.
func TestAnswersSurviveSIGKILL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openSQLite(t, dir, Options{})
	other := helper(t, "kill", dir)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	kept := make(map[string]bool)
	for buffer := bufio.NewScanner(out); buffer.Scan(); {
		if id, ok := strings.CutPrefix(buffer.Text(), "KEPT "); ok {
			kept[id] = true
		}
		if len(kept) == 300 {
			if err := other.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = other.Wait()
	if len(kept) < 300 {
		t.Fatalf("the helper kept %d rows only", len(kept))
	}
	s := openSQLite(t, dir, Options{})
	for id := range kept {
		if _, err := s.Get(t.Context(), "org", store.Key{Kind: "kind", ID: id}); err != nil {
			t.Errorf("%s was reported as kept: %v", id, err)
		}
	}
	if got := count(t, s); got < int64(len(kept)) || got > int64(len(kept))+8 {
		t.Errorf("%d rows, of which %d were reported", got, len(kept))
	}
	if report := text(t, s, "PRAGMA integrity_check"); report != "ok" {
		t.Error(report)
	}
}

// text reads a statement's one text.
func text(t testing.TB, s store.Store, sql string) (value string) {
	t.Helper()
	if err := s.(*db).backend.read(t.Context(), func(c conn) error {
		return c.query(t.Context(), sql, nil, func(scan func(...any) error) error { return scan(&value) })
	}); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	// t.TempDir is below a directory that only its owner may enter.
	dir, err := os.MkdirTemp("", "weir-readonly-*") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		_, err := OpenSQLite(t.Context(), dir, Options{})
		wantNotWritable(t, fmt.Sprint(err))
		return
	}
	// Permissions do not bind root, so another process gives them up first.
	out, err := helper(t, "unprivileged", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, line, _ := strings.Cut(string(out), "ERROR ")
	line, _, _ = strings.Cut(line, "\n")
	wantNotWritable(t, line)
}

func wantNotWritable(t *testing.T, line string) {
	t.Helper()
	if !strings.Contains(line, "must be writable") || !strings.Contains(line, "permission denied") {
		t.Errorf("error %q does not say that the directory must be writable", line)
	}
}

// TestWriterWaitsForAnotherProcess keeps the file's write lock elsewhere for a
// while; the caller waits, and may leave.
func TestWriterWaitsForAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openSQLite(t, dir, Options{})
	other, err := openSQLiteConn(filepath.Join(dir, FileName), sqlite.OpenReadWrite, readerCacheKiB)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if _, err := other.exec(t.Context(), "BEGIN IMMEDIATE", nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := insert(ctx, s, testRow("left")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want context.DeadlineExceeded", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var began atomic.Bool
	err = s.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Setting(ctx, "none")
		began.Store(!errors.Is(err, context.DeadlineExceeded))
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want context.DeadlineExceeded", err)
	}
	done := make(chan error, 1)
	go func() { done <- insert(t.Context(), s, testRow("a")) }()
	if count(t, s) != 0 { // reads do not wait
		t.Error("rows out of nowhere")
	}
	if _, err := other.exec(t.Context(), "COMMIT", nil); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if began.Load() || count(t, s) != 1 {
		t.Error("a transaction ran whose caller had left")
	}
}
