package bootstrap

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shellValues returns what a shell that sources the file has in the variables.
func shellValues(t *testing.T, file string, names ...string) []string {
	t.Helper()
	script := `. "$0"`
	for _, name := range names {
		script += ` && printf '%s\0' "$` + name + `"`
	}
	cmd := exec.Command("sh", "-c", script, file)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"HOME=/home/someone", "PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Fatalf("sh: %v: %s", err, failed.Stderr)
		}
		t.Fatalf("sh: %v", err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// oddPasswords are passwords that Options.Check takes and that mean something
// to a shell.
var oddPasswords = []string{
	"plainpassword", "it'sapassword", "''''''''", `back\slash\`, `"quoted"`, "$HOME$(id)", "`id`${PATH}", "a;exit;b;c", "a&&b||c>d<e",
	"*?[a-z]{a,b}", "#comment#", "!history!", "a=b=c=d=e", "~/password", "~root/password", "a:~/password", "=~/password", "%s%s%n%0",
	`'\''long`, `\n\t\0\x41`, "-n-e--password", "(subshell)", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
}

func TestQuoteRoundTripsThroughAShell(t *testing.T) {
	t.Parallel()
	for _, password := range oddPasswords {
		t.Run(password, func(t *testing.T) {
			t.Parallel()
			if err := (Options{Password: password}).Check(); err != nil {
				t.Fatalf("not a password that can be chosen: %v", err)
			}
			dir := t.TempDir()
			c := testCredentials()
			c.Password = password
			if err := c.Prepare(dir, "https://weir.example.com:8443"); err != nil {
				t.Fatal(err)
			}
			got := shellValues(t, filepath.Join(dir, CredentialsFile+pendingSuffix), "CONFLUENT_CLOUD_PASSWORD", "WEIR_ENVIRONMENT_ID")
			if len(got) != 2 || got[0] != password || got[1] != c.EnvironmentID {
				t.Errorf("a shell reads %q, want %q", got, password)
			}
		})
	}
}

// What the operator is told to type must come to the same value.
func TestInstructionsRoundTripThroughAShell(t *testing.T) {
	t.Parallel()
	for _, secret := range oddPasswords {
		secret += "-long-enough-for-a-secret"
		c := testCredentials()
		c.APISecret = secret
		file := filepath.Join(t.TempDir(), "exports")
		var exports []string
		for line := range strings.Lines(c.Instructions("http://127.0.0.1:8080", "./data", "/data/it's a CA.pem")) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "export ") {
				exports = append(exports, line)
			}
		}
		if err := os.WriteFile(file, []byte(strings.Join(exports, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		got := shellValues(t, file, "CONFLUENT_CLOUD_API_KEY", "CONFLUENT_CLOUD_API_SECRET", "SSL_CERT_FILE")
		if len(got) != 3 || got[0] != c.APIKey || got[1] != secret || got[2] != "/data/it's a CA.pem" {
			t.Errorf("a shell exports %q, want %q", got, secret)
		}
	}
}

func TestInstructionsSayWhatIsNeeded(t *testing.T) {
	t.Parallel()
	c := testCredentials()
	text := c.Instructions("http://127.0.0.1:8080", "./data", "")
	for _, want := range []string{c.OrganizationID, c.EnvironmentID, c.Email, c.APIKey, c.APISecret, "http://127.0.0.1:8080/docs", filepath.Join("data", CredentialsFile)} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the instructions", want)
		}
	}
	if strings.Contains(text, "SSL_CERT_FILE") || strings.Contains(text, "--cacert") {
		t.Error("a CA is named where there is none")
	}
	if strings.Contains(text, c.Password) {
		t.Error("the password is on the terminal; the file has it")
	}
}

func TestQuoteLeavesPlainValuesBare(t *testing.T) {
	t.Parallel()
	for _, plain := range []string{"cflt+/=abcXYZ019", "admin@weir.local", "https://weir.example.com:8443", "9bb441c4-edef-46ac-8a41-c49e44a3fd9a", "a_b.c,d%e"} {
		if got := quote(plain); got != plain {
			t.Errorf("%s is written as %s", plain, got)
		}
	}
}

func TestPreparedCredentialsAreTheOwnersAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := testCredentials()
	for range 2 { // a start that failed may have left a file
		if err := c.Prepare(dir, "http://127.0.0.1:8080"); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, CredentialsFile+pendingSuffix)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}
	if _, err := os.Stat(filepath.Join(dir, CredentialsFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the credentials have their name before they are in force: %v", err)
	}
	got := shellValues(t, path, "CONFLUENT_CLOUD_API_KEY", "CONFLUENT_CLOUD_API_SECRET", "CONFLUENT_CLOUD_EMAIL", "CONFLUENT_CLOUD_PASSWORD", "WEIR_URL", "WEIR_ORGANIZATION_ID", "WEIR_ENVIRONMENT_ID")
	want := []string{c.APIKey, c.APISecret, c.Email, c.Password, "http://127.0.0.1:8080", c.OrganizationID, c.EnvironmentID}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the file has %q, want %q", got, want)
	}
}

func TestPrepareSaysWhatFailed(t *testing.T) {
	t.Parallel()
	// A folder that is not there is made; a file cannot hold one.
	dir := t.TempDir()
	if err := testCredentials().Prepare(filepath.Join(dir, "no", "such", "directory"), "http://127.0.0.1:8080"); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := testCredentials().Prepare(filepath.Join(file, "directory"), "http://127.0.0.1:8080")
	if err == nil || !strings.Contains(err.Error(), "write credentials") {
		t.Errorf("the error is %v", err)
	}
}
