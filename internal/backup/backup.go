// Package backup copies the data folder of a server that keeps its database in
// it, and puts such a copy back.
//
// A backup is a folder that holds the database, the certificates of
// --tls-self-signed, and backup.json, which says what is in it:
//
//	backup.json   the [Manifest]; it is written last
//	weir.db       the database as it was at one moment
//	tls/…         the local CA and the server's certificate, where there are some
//
// It holds every secret that the data folder does.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/store/sqlstore"
)

// manifestName is the file that makes a folder a backup.
const manifestName = "backup.json"

// tlsFiles are what --tls-self-signed keeps, below the data folder.
var tlsFiles = []string{"tls/ca.crt", "tls/ca.key", "tls/server.pem"}

// Manifest says what a backup is of.
type Manifest struct {
	// Version is the program that made it, Schema the version of the database.
	Version string    `json:"weir_version"`
	Schema  int64     `json:"schema_version"`
	Made    time.Time `json:"made_at"`
	// Files are the others in the folder, by their path in it with slashes.
	Files map[string]File `json:"files"`
}

// File is what a file must be to be put back.
type File struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Make writes a backup of the data folder into the new folder to. Servers may
// run on it. Where anything fails, to is not there.
func Make(ctx context.Context, dataDir, to, version string, now time.Time) (*Manifest, error) {
	if _, err := os.Lstat(to); err == nil {
		return nil, fmt.Errorf("%s is there already: name a new folder", to)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return nil, err
	}
	partial, err := os.MkdirTemp(filepath.Dir(to), ".weir-backup-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(partial) }() // gone already when all went well
	m := &Manifest{Version: version, Made: now.UTC().Truncate(time.Second), Files: map[string]File{}}
	if m.Schema, err = sqlstore.BackupSQLite(ctx, dataDir, filepath.Join(partial, sqlstore.FileName)); err != nil {
		return nil, err
	}
	if m.Files[sqlstore.FileName], err = sum(filepath.Join(partial, sqlstore.FileName)); err != nil {
		return nil, err
	}
	for _, name := range tlsFiles {
		f, err := copyFile(filepath.Join(dataDir, filepath.FromSlash(name)), filepath.Join(partial, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m.Files[name] = f
	}
	if err := m.write(filepath.Join(partial, manifestName)); err != nil {
		return nil, err
	}
	for name := range m.Files {
		if err := syncFolder(filepath.Dir(filepath.Join(partial, filepath.FromSlash(name)))); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(partial, to); err != nil {
		return nil, err
	}
	return m, syncFolder(filepath.Dir(to))
}

// Restore puts the backup into the data folder, which it makes and in which
// there must be no database. It looks at all of the backup before it writes
// anything, and brings the database last: where anything fails there is none.
func Restore(from, dataDir string) (*Manifest, error) {
	m, err := read(from)
	if err != nil {
		return nil, err
	}
	there, err := sqlstore.HasSQLite(dataDir)
	if err != nil {
		return nil, err
	}
	if there {
		return nil, fmt.Errorf("there is a database in %s, which is not overwritten: stop the server and move it away, or name another --data-dir", dataDir)
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range m.names() {
		if _, err := os.Lstat(filepath.Join(dataDir, filepath.FromSlash(name))); err == nil {
			return nil, fmt.Errorf("%s is in %s already and is not overwritten: move it away, or name another --data-dir", name, dataDir)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	// The names are in order, and the database is the last of them: weir.db
	// comes behind tls/.
	for _, name := range m.names() {
		if err := place(filepath.Join(from, filepath.FromSlash(name)), filepath.Join(dataDir, filepath.FromSlash(name)), m.Files[name]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// place copies a file under another name, and gives it its own once it is whole.
func place(from, to string, want File) error {
	temp := to + ".restoring"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	got, err := copyFile(from, temp)
	if err == nil && got != want {
		err = fmt.Errorf("%s changed while it was copied", from)
	}
	if err == nil {
		err = os.Rename(temp, to)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return syncFolder(filepath.Dir(to))
}

// read returns the manifest of a backup whose files are all there and as they
// were made.
func read(from string) (*Manifest, error) {
	encoded, err := os.ReadFile(filepath.Join(from, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no backup: there is no %s in it", from, manifestName)
	}
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := json.Unmarshal(encoded, m); err != nil {
		return nil, fmt.Errorf("%s in %s is damaged: %w", manifestName, from, err)
	}
	if _, there := m.Files[sqlstore.FileName]; !there {
		return nil, fmt.Errorf("%s in %s is damaged: it names no database", manifestName, from)
	}
	for _, name := range m.names() {
		if name != sqlstore.FileName && !slices.Contains(tlsFiles, name) {
			return nil, fmt.Errorf("%s in %s names %q, which is no file of a backup", manifestName, from, name)
		}
		got, err := sum(filepath.Join(from, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		if got != m.Files[name] {
			return nil, fmt.Errorf("%s in %s is not what was backed up: it has %d bytes and the SHA-256 %s, and should have %d and %s",
				name, from, got.Bytes, got.SHA256, m.Files[name].Bytes, m.Files[name].SHA256)
		}
	}
	return m, nil
}

func (m *Manifest) names() []string {
	names := make([]string, 0, len(m.Files))
	for name := range m.Files {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	return names
}

func (m *Manifest) write(path string) error {
	encoded, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(encoded, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

func sum(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer func() { _ = f.Close() }()
	return digest(io.Discard, f)
}

func digest(to io.Writer, from io.Reader) (File, error) {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, h), from)
	return File{Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

// copyFile copies a file into a new one that only the owner can read, durably,
// and makes the folder that it is in.
func copyFile(from, to string) (File, error) {
	src, err := os.Open(from)
	if err != nil {
		return File{}, err
	}
	defer func() { _ = src.Close() }()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return File{}, err
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return File{}, err
	}
	f, err := digest(dst, src)
	return f, errors.Join(err, dst.Sync(), dst.Close())
}

// syncFolder makes the entries of a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
