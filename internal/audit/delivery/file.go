package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// fileLimits are when a file is full, and how many full ones are kept.
type fileLimits struct {
	bytes int64
	age   time.Duration
	count int
}

// file writes one event a line, and syncs before it says that events are kept.
// A file that is full gets the time into its name.
type file struct {
	path   string
	limits fileLimits
	now    func() time.Time

	f     *os.File
	size  int64
	began time.Time
}

func openFile(path string, limits fileLimits, now func() time.Time) (*file, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	s := &file{path: path, limits: limits, now: now}
	return s, s.open()
}

// open opens the file to append to. A last line without an end is what a
// killed process left of an event, which is delivered again.
func (s *file) open() error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	size, err := wholeLines(f)
	if err == nil {
		err = f.Truncate(size)
	}
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err == nil {
		err = syncFolder(s.path)
	}
	if err != nil {
		_ = f.Close() // what went wrong first counts
		return err
	}
	s.f, s.size, s.began = f, size, s.now()
	if size > 0 {
		if info, err := f.Stat(); err == nil {
			s.began = info.ModTime() // there is no better sign of when it was begun
		}
	}
	return nil
}

// wholeLines returns the length of the file up to the end of its last whole
// line.
func wholeLines(f *os.File) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	const step = 64 << 10
	buf := make([]byte, step)
	for end := size; end > 0; {
		start := max(0, end-step)
		n, err := f.ReadAt(buf[:end-start], start)
		if err != nil && !(errors.Is(err, io.EOF) && int64(n) == end-start) {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

func (s *file) Deliver(_ context.Context, events []Message) (int, error) {
	err := s.deliver(joined(events))
	if err == nil {
		return len(events), nil
	}
	if s.f != nil {
		// What of it was written is not known: the next try begins with whole
		// lines.
		_ = s.f.Close()
		s.f = nil
	}
	return 0, err
}

func (s *file) deliver(b []byte) error {
	// The operator, or another program, may have moved the file away.
	if s.f != nil && s.gone() {
		_ = s.f.Close()
		s.f = nil
	}
	if s.f == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	full := s.limits.bytes > 0 && s.size+int64(len(b)) > s.limits.bytes
	old := s.limits.age > 0 && s.now().Sub(s.began) >= s.limits.age
	if s.size > 0 && (full || old) {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	if _, err := s.f.Write(b); err != nil {
		return err
	}
	s.size += int64(len(b))
	return s.f.Sync()
}

func (s *file) gone() bool {
	there, err := os.Stat(s.path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	open, err := s.f.Stat()
	return err != nil || !os.SameFile(there, open)
}

// rotated is the form of the time in the names of full files, which sort by it.
const rotated = "20060102T150405.000000000Z"

func (s *file) rotate() error {
	err := s.f.Close()
	s.f = nil
	if err != nil {
		return err
	}
	ext := filepath.Ext(s.path)
	base := strings.TrimSuffix(s.path, ext)
	if err := os.Rename(s.path, base+"-"+s.now().UTC().Format(rotated)+ext); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	if s.limits.count <= 0 {
		return nil
	}
	full, err := s.full()
	if err != nil {
		return err
	}
	for _, path := range full[:max(0, len(full)-s.limits.count)] {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// full returns the full files, the oldest first.
func (s *file) full() ([]string, error) {
	dir, name := filepath.Split(s.path)
	ext := filepath.Ext(name)
	prefix := strings.TrimSuffix(name, ext) + "-"
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		middle, hasPrefix := strings.CutPrefix(e.Name(), prefix)
		middle, hasExt := strings.CutSuffix(middle, ext)
		if _, err := time.Parse(rotated, middle); hasPrefix && hasExt && err == nil {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s *file) Close() error {
	if s.f == nil {
		return nil
	}
	return s.f.Close()
}

// syncFolder makes the file's name as durable as its content.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync the folder of %s: %w", path, err)
	}
	return nil
}
