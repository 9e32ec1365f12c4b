package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	dirPattern = "weir-pgtest-*"
	// staleAfter is the age from which a directory was surely left behind, by
	// a machine that went down.
	staleAfter = 24 * time.Hour
	superuser  = "weir"
)

// supervisor runs the server ($2 and on) until its standard input says how to
// end it, or closes because the test process is gone; only then it removes the
// directory ($1).
const supervisor = `dir=$1; shift
"$@" </dev/null >"$dir/log" 2>&1 &
server=$!
read -r signal
kill -"${signal:-QUIT}" $server
wait $server
[ -n "$signal" ] || rm -rf "$dir"
`

// Server is a PostgreSQL server of a test's own, for tests that stop it. Its
// methods are not safe for concurrent use.
type Server struct {
	t        testing.TB
	bin      string
	dir      string
	settings []string
	owner    *syscall.Credential

	command *exec.Cmd
	control io.WriteCloser
}

// Option changes how Start runs the server.
type Option func(*Server)

// WithSetting sets a parameter of the server, for example "max_connections".
func WithSetting(name, value string) Option {
	return func(s *Server) { s.settings = append(s.settings, "-c", name+"="+value) }
}

// Start starts a server of the test's own, which ends with the test. It
// listens on a Unix socket only and syncs its writes.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := newServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.t = t
	t.Cleanup(func() {
		s.end("")
		if err := os.RemoveAll(s.dir); err != nil {
			t.Logf("remove PostgreSQL's directory: %v", err)
		}
	})
	return s
}

// URL returns the URL of a fresh, empty database; it stays valid over Restart.
func (s *Server) URL() string {
	s.t.Helper()
	return createDatabase(s.t, s.adminURL())
}

// Stop shuts the server down in order, breaking off connections.
func (s *Server) Stop() { s.end("INT") }

// Kill ends the server at once, as a crash does: nothing is brought in order,
// and the next start recovers from the log. (The signal that PostgreSQL has for
// it also ends the processes that serve connections; SIGKILL would leave them
// at work for a while.)
func (s *Server) Kill() { s.end("QUIT") }

// Restart starts the server again after Stop or Kill, with its data and at the
// same address.
func (s *Server) Restart() {
	s.t.Helper()
	if s.command != nil {
		s.t.Fatal("pgtest: Restart of a server that runs")
	}
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// adminURL is the URL of the database that every server has.
func (s *Server) adminURL() string {
	u := url.URL{Scheme: "postgres", Path: "/postgres", RawQuery: url.Values{
		"host": {s.dir}, "user": {superuser}, "sslmode": {"disable"},
	}.Encode()}
	return u.String()
}

func newServer(opts []Option) (*Server, error) {
	bin, err := findBinaries("/usr/lib/postgresql/*/bin")
	if err != nil {
		return nil, err
	}
	removeStale()
	s := &Server{bin: bin}
	for _, opt := range opts {
		opt(s)
	}
	if os.Geteuid() == 0 {
		if s.owner, err = unprivileged(); err != nil {
			return nil, err
		}
	}
	if s.dir, err = os.MkdirTemp("", dirPattern); err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	if s.owner != nil {
		if err := os.Chown(s.dir, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			return nil, errors.Join(fmt.Errorf("pgtest: %w", err), os.RemoveAll(s.dir))
		}
	}
	// Syncing a cluster that nobody has written to yet only costs time.
	initdb := s.cmd(filepath.Join(bin, "initdb"), "--pgdata", s.data(), "--username", superuser,
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: initdb: %w\n%s", err, out), os.RemoveAll(s.dir))
	}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// cmd prepares a command that runs as the server's owner and apart from the
// signals of the terminal.
func (s *Server) cmd(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = s.dir
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.owner}
	return c
}

// start runs the server and waits until it answers.
func (s *Server) start() error {
	if err := s.launch(); err != nil {
		return err
	}
	err := s.await()
	if err != nil {
		s.end("QUIT")
	}
	return err
}

func (s *Server) launch() error {
	args := []string{"-c", supervisor, "supervisor", s.dir, filepath.Join(s.bin, "postgres"), "-D", s.data(),
		"-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.dir,
		"-c", "max_connections=200", "-c", "shared_buffers=32MB"}
	s.command = s.cmd("/bin/sh", append(args, s.settings...)...)
	var err error
	if s.control, err = s.command.StdinPipe(); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	if err := s.command.Start(); err != nil {
		return fmt.Errorf("pgtest: start PostgreSQL: %w", err)
	}
	return nil
}

func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.adminURL())
		if err == nil {
			return c.Close(ctx)
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("pgtest: PostgreSQL does not answer: %w\n%s", err, log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// end tells the supervisor to end the server by the signal and waits for it; ""
// removes the directory as well.
func (s *Server) end(signal string) {
	if s.command == nil {
		return
	}
	if signal != "" {
		_, _ = io.WriteString(s.control, signal+"\n")
	}
	_ = s.control.Close()
	_ = s.command.Wait() // it ends with the status of the server, which was told to end
	s.command = nil
}

// findBinaries returns the directory with postgres and initdb: that in PATH, or
// of those that match the pattern the one of the newest version.
func findBinaries(pattern string) (string, error) {
	var dirs []string
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	packaged, _ := filepath.Glob(pattern)
	slices.SortFunc(packaged, func(a, b string) int { return version(b) - version(a) })
	for _, dir := range append(dirs, packaged...) {
		if isFile(filepath.Join(dir, "initdb")) && isFile(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", errors.New("pgtest: no PostgreSQL on this machine: install its server (Debian: apt-get install postgresql), " +
		"or set " + EnvURL + " to the URL of a server whose user may create databases")
}

// version is the number in a path such as /usr/lib/postgresql/17/bin.
func version(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return n
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// unprivileged returns a user to run the server as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("pgtest: PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")
}

// removeStale removes what servers left behind that could not clean up.
func removeStale() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPattern))
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err == nil && time.Since(info.ModTime()) > staleAfter {
			_ = os.RemoveAll(dir) // another process may be at it, or own it
		}
	}
}
