//go:build !race

// What is in other processes the race detector cannot see.

package server_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

// cutImages is how many images are cut; 'make drill' sets it to hundreds.
var cutImages = flag.Int("cut-images", 6, "how many images of the SQLite database are taken and cut")

// TestCut takes images of the SQLite database while it is written to, as a crash
// of the machine would leave them, and cuts them: at the moment of the image, or
// with the end of the write-ahead log missing, overwritten with zeros or with
// noise, as where a disk had not written yet. Every image opens, all of it holds
// together, and it is a beginning of the history. The uncut one has everything
// that was acknowledged.
func TestCut(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	p := launch(t, buildWeir(t), dir, "").serving(t)
	c := credentials(t, dir)
	work := startWriters(t, p.url, c, seed)
	stop := make(chan struct{})
	var running sync.WaitGroup
	for i, w := range work {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, complaint := w.step(); complaint != nil {
					t.Errorf("writer %d: %v", i, complaint)
					return
				}
			}
		})
	}
	lost := 0
	for range *cutImages {
		// A timer, since the moment is meant to be any.
		time.Sleep(time.Duration(10+random.IntN(60)) * time.Millisecond)
		acknowledged := map[string]bool{}
		// Stopped between two instructions, with requests under way: what was
		// acknowledged by then must be in the image.
		if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "all threads to stand still", func() bool { return stopped(t, p.cmd.Process.Pid) })
		for _, w := range work {
			for _, id := range w.acknowledged() {
				acknowledged[id] = true
			}
		}
		image, safe := copyDatabase(t, dir)
		whole := history(t, image(nil))
		told := map[string]bool{}
		for _, e := range whole {
			told[e.request] = true
		}
		for id := range acknowledged {
			if !told[id] {
				t.Errorf("the request %s was acknowledged and is not in the image", id)
			}
		}
		for _, cut := range cuts(random, safe) {
			part := history(t, image(cut.change))
			if len(part) > len(whole) {
				t.Fatalf("%s: the image has %d events, and the whole one %d", cut.name, len(part), len(whole))
			}
			for i := range part {
				if part[i] != whole[i] {
					t.Fatalf("%s: the history differs at event %d: %+v, and the whole one %+v", cut.name, i, part[i], whole[i])
				}
			}
			if len(part) < len(whole) {
				lost++
			}
		}
		// It stood still until now, so that the history grows by what happens
		// between two images alone.
		if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	running.Wait()
	t.Logf("%d of %d cut images had lost the end of the history", lost, 4**cutImages)
	if lost == 0 {
		t.Error("no cut has lost anything: the test has seen nothing")
	}
}

// stopped reports whether every thread of the process stands still.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads of the server: %v", err)
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // it ended
		}
		if err != nil {
			t.Fatal(err)
		}
		// The state follows the name, which is in parentheses.
		if _, state, ok := strings.Cut(string(stat), ") "); !ok || state[0] != 'T' {
			return false
		}
	}
	return true
}

// cut is a change of a write-ahead log.
type cut struct {
	name   string
	change func([]byte) []byte
}

// cuts returns changes behind the first so many bytes.
func cuts(random *rand.Rand, safe int) []cut {
	at := func(log []byte) int { return min(len(log), safe+random.IntN(max(1, len(log)-safe))) }
	return []cut{
		{"cut off", func(log []byte) []byte { return log[:at(log)] }},
		{"zeros", func(log []byte) []byte { clear(log[at(log):]); return log }},
		{"noise", func(log []byte) []byte {
			for i := at(log); i < len(log); i++ {
				log[i] = byte(random.Uint32())
			}
			return log
		}},
		{"a byte", func(log []byte) []byte {
			if len(log) > 0 {
				log[min(at(log), len(log)-1)] ^= 1 << random.IntN(8)
			}
			return log
		}},
	}
}

// copyDatabase reads the files of the database and returns what makes images of
// them, each in a folder of its own, with the log changed. The first so many bytes
// of the log are safe: SQLite has synced them before it began to copy them into the
// file, so that no disk can have lost them.
func copyDatabase(t *testing.T, dir string) (image func(change func([]byte) []byte) string, safe int) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir, sqlstore.FileName))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, sqlstore.FileName+"-wal"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	// The header of the log, and what the index of the log says of copying
	// (https://www.sqlite.org/walformat.html): nBackfillAttempted.
	const header, frameHeader, attempted = 32, 24, 128
	index, err := os.ReadFile(filepath.Join(dir, sqlstore.FileName+"-shm"))
	if err != nil || len(index) < attempted+4 || len(log) < header {
		t.Fatalf("the index of the log has %d bytes and the log %d, %v", len(index), len(log), err)
	}
	pageSize := binary.BigEndian.Uint32(log[8:])
	safe = header + int(binary.NativeEndian.Uint32(index[attempted:]))*(frameHeader+int(pageSize))
	return func(change func([]byte) []byte) string {
		image := t.TempDir()
		changed := append([]byte(nil), log...)
		if change != nil {
			changed = change(changed)
		}
		for suffix, content := range map[string][]byte{"": file, "-wal": changed} {
			if err := os.WriteFile(filepath.Join(image, sqlstore.FileName+suffix), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return image
	}, safe
}

// happened is one event of a history.
type happened struct{ id, request string }

// history opens an image, looks at everything in it, and returns its events.
func history(t *testing.T, image string) []happened {
	t.Helper()
	s, err := sqlstore.OpenSQLite(t.Context(), image, sqlstore.Options{})
	if err != nil {
		t.Fatalf("an image does not open: %v", err)
	}
	defer func() { _ = s.Close() }()
	e, err := engine.New(engine.Config{Store: s, Kinds: server.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	verify(t, e)
	var out []happened
	events, _ := auditTrail(t, s, "", 0)
	for _, e := range events {
		h := happened{id: e.ID}
		if ids := e.Data.RequestMetadata.RequestID; len(ids) > 0 {
			h.request = ids[0]
		}
		out = append(out, h)
	}
	return out
}
