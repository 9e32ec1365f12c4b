package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
)

const (
	// CredentialsFile is the name of the file in the data directory that
	// holds the first credentials, as lines that a shell can source.
	CredentialsFile = "credentials.env"
	pendingSuffix   = ".pending"
)

// lines are the credentials as assignments that a shell reads.
func (c Credentials) lines(url string) string {
	var b strings.Builder
	for _, v := range [][2]string{
		{"CONFLUENT_CLOUD_API_KEY", c.APIKey},
		{"CONFLUENT_CLOUD_API_SECRET", c.APISecret},
		{"CONFLUENT_CLOUD_EMAIL", c.Email},
		{"CONFLUENT_CLOUD_PASSWORD", c.Password},
		{"WEIR_URL", url},
		{"WEIR_ORGANIZATION_ID", c.OrganizationID},
		{"WEIR_ENVIRONMENT_ID", c.EnvironmentID},
	} {
		fmt.Fprintf(&b, "%s=%s\n", v[0], quote(v[1]))
	}
	return b.String()
}

// quote leaves plain values bare, so that tools that read such files without
// a shell's rules can too.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+/=@%_-.,:", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Prepare writes the credentials, readable by the owner alone, under a name
// that says that they are not in force yet. Were they written after the
// database, a crash in between would lose the only copy of the secret.
func (c Credentials) Prepare(dataDir, url string) error {
	// With a database elsewhere, nothing else has made the directory.
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	path := filepath.Join(dataDir, CredentialsFile+pendingSuffix)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write credentials: %w", err) // one that is there may be open to others
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	if _, err := f.WriteString("# The first credentials of this Weir. Keep them secret.\n" + c.lines(url)); err != nil {
		_ = f.Close()
		return fmt.Errorf("write credentials: %w", err)
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return fmt.Errorf("write credentials: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	return nil
}

// Settle gives prepared credentials their name when the database has their
// environment, whose ID each start draws anew, and removes them when it has
// not: they are of a start that failed, or that another replica overtook.
func Settle(ctx context.Context, s store.Store, dataDir string) error {
	path := filepath.Join(dataDir, CredentialsFile)
	content, err := os.ReadFile(path + pendingSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	id := string(content)
	id = strings.TrimSpace(id[strings.LastIndex(id, "\nWEIR_ENVIRONMENT_ID=")+1:])
	id = strings.TrimPrefix(id, "WEIR_ENVIRONMENT_ID=")
	_, err = s.Get(ctx, "", store.Key{Kind: org.Environment.Key(), ID: id})
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = os.Remove(path + pendingSuffix)
	case err == nil:
		err = os.Rename(path+pendingSuffix, path)
	}
	if err != nil {
		return fmt.Errorf("settle credentials: %w", err)
	}
	return nil
}

// Instructions says what to do next, for the operator's terminal.
func (c Credentials) Instructions(url, dataDir, caPath string) string {
	file := filepath.Join(dataDir, CredentialsFile)
	trust, curl := "", "curl"
	if caPath != "" {
		trust = "\n    export SSL_CERT_FILE=" + quote(caPath)
		curl = "curl --cacert " + quote(caPath)
	}
	return fmt.Sprintf(`
Weir is ready at %[1]s

  Organization   %[2]s
  Environment    %[3]s
  User           %[4]s
  Cloud API key  %[5]s
  Secret         %[6]s

This is shown once. The same is in %[7]s (readable by you alone).

Terraform (and set endpoint = "%[1]s" in the provider's block):

    export CONFLUENT_CLOUD_API_KEY=%[5]s
    export CONFLUENT_CLOUD_API_SECRET=%[8]s%[9]s

Confluent CLI, which takes the user's address and password from the environment:

    (set -a; . %[11]s; confluent login --url %[1]s/confluent.cloud)

curl:

    %[10]s -u %[5]s:%[8]s %[1]s/org/v2/environments

The API reference is at %[1]s/docs

`, url, c.OrganizationID, c.EnvironmentID, c.Email, c.APIKey, c.APISecret, file, quote(c.APISecret), trust, curl, quote(file))
}
