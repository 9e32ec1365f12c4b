package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSSO(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	serve(t, dir)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("not to be seen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	weir := func(wantCode int, wants []string, args ...string) {
		t.Helper()
		got := run(t, nil, append([]string{"sso"}, append(args, "--data-dir", dir)...)...)
		for _, want := range wants {
			if !strings.Contains(got.stdout+got.stderr, want) {
				t.Errorf("%v does not say %q: %s%s", args, want, got.stdout, got.stderr)
			}
		}
		if got.code != wantCode || strings.Contains(got.stdout+got.stderr, "not to be seen") {
			t.Errorf("%v: %d %s%s", args, got.code, got.stdout, got.stderr)
		}
	}
	weir(1, []string{"no single sign-on", "weir sso set"}, "show")
	weir(1, []string{"no single sign-on"}, "remove")
	weir(1, []string{"issuer", "client-id"}, "set")
	weir(1, []string{"not a URL such as"}, "set", "--issuer", "login.example.com", "--client-id", "weir")
	weir(1, []string{"--client-secret-file"}, "set", "--issuer", "https://login.example.com", "--client-id", "weir", "--client-secret-file", secret+"x")
	weir(1, []string{"there is no organization"}, "show", "--organization", "nowhere")
	shown := []string{"https://login.example.com", "weir", "is set", "login.example.com", "openid profile email", "groups", "/callback"}
	weir(0, shown, "set", "--issuer", "https://login.example.com", "--client-id", "weir", "--client-secret-file", secret)
	weir(0, shown, "show")
	weir(0, []string{"openid groups", "Everybody", "roles", "none"}, "set", "--issuer", "https://login.example.com", "--client-id", "weir",
		"--scope", "groups", "--groups-claim", "roles", "--name", "Everybody")
	weir(0, []string{"no single sign-on any more"}, "remove")
	weir(1, []string{"no single sign-on"}, "show")
}
