package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// contents returns every row of every table, as bytes.
func contents(t *testing.T, file string) string {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var out strings.Builder
	for _, table := range column(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'sqlite_stat1' ORDER BY name") {
		fmt.Fprintf(&out, "%s\n", table)
		rows, err := db.QueryContext(t.Context(), `SELECT * FROM "`+table+`"`)
		if err != nil {
			t.Fatal(err)
		}
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		values, dest := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		var lines []string
		for rows.Next() {
			if err := rows.Scan(dest...); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("%q", values))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		out.WriteString(strings.Join(lines, "\n") + "\n")
	}
	return out.String()
}

func column(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestBackupAndRestore makes a backup of a server that is writing, and puts it
// back: bit for bit what was backed up, and a whole server.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir, copies := filepath.Join(t.TempDir(), "data"), t.TempDir()
	s := serve(t, dir, "--tls-self-signed", "--listen", "127.0.0.1:0")
	s.stop(t, syscall.SIGTERM)
	s = serve(t, dir, "--rate-limit-principal", "0")
	env, err := os.ReadFile(filepath.Join(dir, "credentials.env"))
	if err != nil {
		t.Fatal(err)
	}
	key, secret := credentials(t, string(env))

	// The server goes on writing while the backup is made.
	stop := make(chan struct{})
	var writing sync.WaitGroup
	made := 0
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			body := fmt.Sprintf(`{"display_name": "environment %d"}`, made)
			if status := s.environments(t, http.MethodPost, body, key, secret); status != http.StatusCreated {
				return // the quota is full, which is enough
			}
			made++
		}
	})
	to := filepath.Join(copies, "one")
	r := run(t, nil, "backup", to, "--data-dir", dir)
	close(stop)
	writing.Wait()
	if r.code != 0 || !strings.Contains(r.stdout, to+" holds ") {
		t.Fatalf("backup: %d %q %q", r.code, r.stdout, r.stderr)
	}
	s.stop(t, syscall.SIGTERM)

	for name, want := range map[string]os.FileMode{"": 0o700, "weir.db": 0o600, "backup.json": 0o600, "tls/ca.key": 0o600} {
		info, err := os.Stat(filepath.Join(to, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info, err, want)
		}
	}

	// A backup of a server that stands still has what the server has.
	still := filepath.Join(copies, "still")
	if r := run(t, nil, "backup", still, "--data-dir", dir); r.code != 0 {
		t.Fatalf("backup: %d %q", r.code, r.stderr)
	}
	if a, b := contents(t, filepath.Join(dir, "weir.db")), contents(t, filepath.Join(still, "weir.db")); a != b || !strings.Contains(a, "environment 0") {
		t.Errorf("the backup has other content than the database:\n%s\n%s", a, b)
	}

	for _, from := range []string{to, still} {
		back := filepath.Join(t.TempDir(), "restored")
		if r := run(t, nil, "restore", from, "--data-dir", back); r.code != 0 || !strings.Contains(r.stdout, "weir verify") {
			t.Fatalf("restore: %d %q %q", r.code, r.stdout, r.stderr)
		}
		for _, name := range []string{"weir.db", "tls/ca.key", "tls/ca.crt", "tls/server.pem"} {
			a, err := os.ReadFile(filepath.Join(from, name))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(filepath.Join(back, name)); err != nil || !bytes.Equal(a, b) {
				t.Errorf("%s was not restored bit for bit, %v", name, err)
			}
		}
		if r := run(t, nil, "verify", "--data-dir", back); r.code != 0 || !regexp.MustCompile(`^Looked at \d+ objects, 0 IDs of deleted ones and \d+ events of the audit log: all is well\n$`).MatchString(r.stdout) {
			t.Errorf("verify: %d %q %q", r.code, r.stdout, r.stderr)
		}
		again := serve(t, back)
		if status := again.status(t, key, secret); status != http.StatusOK {
			t.Errorf("the restored server answers %d", status)
		}
		again.stop(t, syscall.SIGTERM)
	}
}

// What is not whole is not restored, and nothing is overwritten.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	dir, copies := filepath.Join(t.TempDir(), "data"), t.TempDir()
	serve(t, dir).stop(t, syscall.SIGTERM)
	to := filepath.Join(copies, "backup")
	if r := run(t, nil, "backup", to, "--data-dir", dir); r.code != 0 {
		t.Fatalf("backup: %q", r.stderr)
	}
	wantFailure(t, run(t, nil, "backup", to, "--data-dir", dir), "is there already")
	wantFailure(t, run(t, nil, "backup", filepath.Join(copies, "other"), "--data-dir", copies), "no database here yet")
	wantFailure(t, run(t, nil, "backup", filepath.Join(copies, "other"), "--database-url", "postgres://weir@localhost/weir"), "pg_dump")
	wantFailure(t, run(t, nil, "restore", to, "--database-url", "postgres://weir@localhost/weir"), "pg_restore")
	wantFailure(t, run(t, nil, "restore", to, "--data-dir", dir), "is not overwritten")
	wantFailure(t, run(t, nil, "restore", copies, "--data-dir", filepath.Join(copies, "new")), "is no backup")
	wantFailure(t, run(t, nil, "verify", "--data-dir", copies), "no database here yet")
	if left, err := filepath.Glob(filepath.Join(copies, "*")); err != nil || len(left) != 1 {
		t.Errorf("left over: %v, %v", left, err)
	}

	file := filepath.Join(to, "weir.db")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	wantFailure(t, run(t, nil, "restore", to, "--data-dir", fresh), "weir.db", "is not what was backed up")
	if _, err := os.Stat(fresh); err == nil {
		t.Error("a damaged backup was restored")
	}
	manifest := filepath.Join(to, "backup.json")
	if err := os.WriteFile(manifest, []byte(`{"files": {"weir.db": {}, "../../etc/passwd": {}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, run(t, nil, "restore", to, "--data-dir", fresh), "no file of a backup")
	if err := os.WriteFile(manifest, []byte(`{`), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, run(t, nil, "restore", to, "--data-dir", fresh), "damaged")
}

// Each thing that does not hold is a line, and the exit code says so.
func TestVerifyTells(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	serve(t, dir).stop(t, syscall.SIGTERM)
	db, err := sql.Open("sqlite", filepath.Join(dir, "weir.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"UPDATE objects SET name = 'another' WHERE kind = 'org/v2.Environment'",
		"UPDATE objects SET body = replace(body, 'default', 'changed') WHERE kind = 'org/v2.Environment'",
		"DELETE FROM entries WHERE field = 'spec.owner' AND kind = 'iam/v2.ApiKey'",
		"INSERT INTO entries (seq, field, value, target, org, kind) SELECT seq, 'email', 'x', '', org, kind FROM objects WHERE kind = 'iam/v2.User'",
		"UPDATE objects SET deleted = 1, body = x'', private = x'', name = '' WHERE kind = 'iam/v2.User'",
		"UPDATE counters SET value = value + 5 WHERE name = 'iam.max_environments.per_org'",
		"UPDATE events SET body = x'7b' WHERE seq = 1",
	} {
		if result, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		} else if n, _ := result.RowsAffected(); n == 0 {
			t.Fatalf("%s: nothing was changed", statement)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r := run(t, nil, "verify", "--data-dir", dir)
	wantFailure(t, result{code: r.code, stderr: r.stderr}, "the database has problems")
	for _, want := range []string{
		`(?m)^Environment env-\w+: the row has the name "another", and its fields make ""$`,
		`(?m)^Environment env-\w+: the audit log says otherwise of it \(event \d+\)$`,
		`(?m)^ApiKey \w+: the index lacks spec\.owner = "u-\w+"$`,
		`(?m)^RoleBinding rb-\w+: principal\.id refers to User u-\w+, which is not there$`,
		`(?m)^quota iam\.max_environments\.per_org: 6 are counted for the organization [0-9a-f-]+, and there are 1$`,
		`(?m)^audit log: event 1 cannot be read$`,
		`(?m)^the audit log tells of crn://\S+/user=u-\w+ \(event \d+\), which is not there$`,
		`(?m)^database: the index entry "\S+" is of row \d+, which is not there or deleted$`,
		`\d+ problems\n$`,
	} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("%s is not in\n%s", want, r.stdout)
		}
	}
}
