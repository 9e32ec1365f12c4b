package localca

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// writeFile puts the content in place all at once and durably: after a crash
// there is either the old file or the new one.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// syncDir makes a rename in the directory durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // has no such call for directories
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
