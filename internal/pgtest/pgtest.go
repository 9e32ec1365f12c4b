// Package pgtest gives tests a real PostgreSQL.
//
// It uses the server that WEIR_TEST_POSTGRES_URL names, where every test gets a
// database of its own. Without that variable it starts a throwaway server from
// the binaries on the machine, one for each test process, which ends with the
// process however that ends. Where there are no binaries the test fails; it is
// never skipped.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// EnvURL names the environment variable with the URL of a server to use. Its
// user must be allowed to create databases.
const EnvURL = "WEIR_TEST_POSTGRES_URL"

// setupTimeout bounds what a test waits for its database.
const setupTimeout = time.Minute

// shared is the server of this test process: tests of one process run side by
// side and a server costs seconds to start.
var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// URL returns the URL of a fresh, empty database and drops it when the test
// ends.
func URL(t testing.TB) string {
	t.Helper()
	if admin := os.Getenv(EnvURL); admin != "" {
		return createDatabase(t, admin)
	}
	shared.Lock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = newServer(nil)
	}
	server, err := shared.server, shared.err
	shared.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	return createDatabase(t, server.adminURL())
}

// createDatabase makes a database on the server and returns its URL.
func createDatabase(t testing.TB, admin string) string {
	t.Helper()
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatalf("%s is not a URL", EnvURL)
	}
	name := "weir_test_" + strings.ToLower(rand.Text())
	if err := execAdmin(admin, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatalf("create test database: %v", err)
	}
	t.Cleanup(func() {
		if err := execAdmin(admin, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Logf("drop test database: %v", err)
		}
	})
	u.Path = "/" + name
	return u.String()
}

func execAdmin(admin, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	c, err := pgx.Connect(ctx, admin)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, sql)
	return err
}
