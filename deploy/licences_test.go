package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/licensecheck"
)

// permitted are the licences of what may be linked into the program, as SPDX names
// them: they ask for a notice and for nothing else of who passes the program on;
// MPL-2.0 asks for the sources of its own files.
var permitted = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unicode-DFS-2016", "blessing", "CC0-1.0", "Zlib", "Unlicense"}

// Every module that is linked into the program has a licence, and one that is
// permitted.
func TestLicences(t *testing.T) {
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=Module", "./cmd/weir")
	command.Dir = ".."
	listed, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{}
	for in := json.NewDecoder(bytes.NewReader(listed)); ; {
		var p struct {
			Module *struct {
				Path, Dir string
				Main      bool
			}
		}
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module != nil && !p.Module.Main {
			modules[p.Module.Path] = p.Module.Dir
		}
	}
	if len(modules) < 20 {
		t.Fatalf("the program has %d modules", len(modules))
	}
	for path, dir := range modules {
		var files []string
		for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "[Ll]icense*"} {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
		known := 0
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				continue // a folder
			}
			for _, m := range licensecheck.Scan(content).Match {
				if known++; !m.IsURL && !slices.Contains(permitted, m.ID) {
					t.Errorf("%s has the licence %s (%s)", path, m.ID, filepath.Base(file))
				}
			}
		}
		if known == 0 {
			t.Errorf("%s has no licence that is known", path)
		}
	}
}
