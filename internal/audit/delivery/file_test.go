package delivery

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// folder is where an audit file is, with a clock.
type folder struct {
	t    *testing.T
	path string
	now  time.Time
}

func newFolder(t *testing.T) *folder {
	return &folder{t: t, path: filepath.Join(t.TempDir(), "logs", "audit.jsonl"), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (f *folder) open(limits fileLimits) *file {
	f.t.Helper()
	s, err := openFile(f.path, limits, func() time.Time { return f.now })
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (f *folder) deliver(s *file, bodies ...string) {
	f.t.Helper()
	var events []Message
	for _, b := range bodies {
		events = append(events, Message{Body: []byte(b)})
	}
	if n, err := s.Deliver(f.t.Context(), events); err != nil || n != len(bodies) {
		f.t.Fatal(n, err)
	}
}

// files returns the contents of the files by their names.
func (f *folder) files() map[string]string {
	f.t.Helper()
	entries, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		f.t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(f.path), e.Name()))
		if err != nil {
			f.t.Fatal(err)
		}
		out[e.Name()] = string(content)
	}
	return out
}

func (f *folder) want(want map[string]string) {
	f.t.Helper()
	if got := f.files(); fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("the files are %q, want %q", got, want)
	}
}

func TestFileGoesOn(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	s := f.open(fileLimits{})
	f.deliver(s, "one", "two")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f.deliver(f.open(fileLimits{}), "three")
	f.want(map[string]string{"audit.jsonl": "one\ntwo\nthree\n"})
	info, err := os.Stat(f.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
}

// What a killed process left of an event is cut off, however long it is.
func TestFileBeginsWithWholeLines(t *testing.T) {
	t.Parallel()
	for _, whole := range []string{"", "one\n", strings.Repeat("x", 70_000) + "\n", strings.Repeat("one\n", 40_000)} {
		for _, torn := range []string{"", "t", strings.Repeat("y", 64<<10-1), strings.Repeat("y", 64<<10), strings.Repeat("y", 200_000)} {
			f := newFolder(t)
			if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f.path, []byte(whole+torn), 0o600); err != nil {
				t.Fatal(err)
			}
			f.deliver(f.open(fileLimits{}), "next")
			if got := f.files()["audit.jsonl"]; got != whole+"next\n" {
				t.Errorf("with %d whole and %d torn bytes there are %d", len(whole), len(torn), len(got))
			}
		}
	}
}

func TestFileRotates(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	s := f.open(fileLimits{bytes: 10, age: time.Hour, count: 2})
	f.deliver(s, "12345", "678") // ten bytes with their line feeds
	f.now = f.now.Add(time.Minute)
	f.deliver(s, "second")
	f.want(map[string]string{"audit-20260301T120100.000000000Z.jsonl": "12345\n678\n", "audit.jsonl": "second\n"})
	f.now = f.now.Add(time.Hour)
	f.deliver(s, "3")
	f.want(map[string]string{
		"audit-20260301T120100.000000000Z.jsonl": "12345\n678\n", "audit-20260301T130100.000000000Z.jsonl": "second\n", "audit.jsonl": "3\n",
	})
	// Files of others stay, and so does one event that is larger than a file.
	if err := os.WriteFile(filepath.Join(filepath.Dir(f.path), "audit-notes.jsonl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(time.Minute)
	f.deliver(s, "longer than a file")
	f.want(map[string]string{
		"audit-20260301T130100.000000000Z.jsonl": "second\n", "audit-20260301T130200.000000000Z.jsonl": "3\n",
		"audit-notes.jsonl": "", "audit.jsonl": "longer than a file\n",
	})
}

// A file that somebody moved away is begun anew, and one that cannot be written
// is an error until it can.
func TestFileThatIsGone(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	s := f.open(fileLimits{})
	f.deliver(s, "one")
	if err := os.Rename(f.path, f.path+".1"); err != nil {
		t.Fatal(err)
	}
	f.deliver(s, "two")
	f.want(map[string]string{"audit.jsonl": "two\n", "audit.jsonl.1": "one\n"})
	if err := os.RemoveAll(filepath.Dir(f.path)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Deliver(t.Context(), []Message{{Body: []byte("three")}}); err == nil || n != 0 {
		t.Error("a folder that is gone is no error")
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		t.Fatal(err)
	}
	f.deliver(s, "three")
	f.want(map[string]string{"audit.jsonl": "three\n"})
}

func TestParseSink(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ name, problem string }{
		"file:audit/audit.jsonl":           {"file:audit/audit.jsonl", ""},
		"file:///var/log/weir/audit.jsonl": {"file:///var/log/weir/audit.jsonl", ""},
		"file:":                            {"", "file:PATH"},
		"file:///var/log/":                 {"", "file:PATH"},
		"file://host/path":                 {"", "file:PATH"},
		"stdout:":                          {"stdout:", ""},
		"https://user:hunter2@host.example/x?token=hunter2": {"https://host.example/x", ""},
		"https:///x":                                             {"", "names no host"},
		"http://localhost:1/x":                                   {"http://localhost:1/x", ""},
		"http://[::1]:1/x":                                       {"http://[::1]:1/x", ""},
		"http://user:hunter2@host.example/x":                     {"", "https://"},
		"https://host/#x":                                        {"", "fragment"},
		"https://user:hunter2%zz@host/":                          {"", "cannot be read"},
		"https://host/" + strings.Repeat("x", 200):               {"", "200"},
		"kafka://host:9092":                                      {"kafka://host:9092", ""},
		"kafka://user:hunter2@host:9092/t?tls=true":              {"kafka://host:9092/t", ""},
		"kafka://user:hunter2@host:9092/t":                       {"", "tls=true"},
		"kafka://user:hunter2@localhost:9092/t?broker=host:9092": {"", "tls=true"},
		"kafka://host:9092?tls=hunter2":                          {"", "true or false"},
		"kafka://host:9092?sasl=hunter2&tls=true":                {"", "scram-sha-512"},
		"kafka://host:9092?password=hunter2":                     {"", "no others"},
		"kafka:///t":                                             {"", "kafka://host:port"},
		"syslog://host":                                          {"", "begins with"},
		"audit.jsonl":                                            {"", "begins with"},
	} {
		p, err := ParseSink(text)
		switch {
		case want.problem == "" && (err != nil || p.Name != want.name):
			t.Errorf("%s is %q, %v", text, p.Name, err)
		case want.problem != "" && (err == nil || !strings.Contains(err.Error(), want.problem)):
			t.Errorf("%s: %v, want %q", text, err, want.problem)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("the error tells the password: %v", err)
		}
	}
	if _, err := ParseSinks([]string{"https://a@host/x?token=1", "https://b@host/x?token=2"}); err == nil {
		t.Error("two sinks share one position")
	}
	if sinks, err := ParseSinks([]string{"stdout:", "file:x"}); err != nil || len(sinks) != 2 {
		t.Errorf("two sinks: %v", err)
	}
}

func FuzzParseSink(f *testing.F) {
	for _, text := range []string{"file:a", "stdout:", "https://u:p@h/x?y", "kafka://u:p@h:1/t?tls=true&sasl=plain&broker=h:2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseSink(text)
		if err == nil && (p.open == nil || p.Name == "" || strings.Contains(p.Name, "?")) {
			t.Errorf("%q is %+v", text, p)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	var names []string
	for flag, o := range map[string]Options{
		"--audit-file-size": {FileBytes: -1}, "--audit-file-age": {FileAge: -1}, "--audit-file-count": {FileCount: -1},
		"--audit-retention": {Retain: Bounds{Age: -1}}, "--audit-max-size": {Retain: Bounds{Bytes: -1}},
		"--audit-ca": {CAFile: notPEM},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
		names = append(names, flag)
	}
	if slices.Contains(names, "") || (Options{}).Check() != nil {
		t.Error("the zero options are refused")
	}
}
