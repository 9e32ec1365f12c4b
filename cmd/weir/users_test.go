package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runWith is run with standard input.
func runWith(t *testing.T, input string, args ...string) result {
	t.Helper()
	cmd := command(t, nil, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	_ = cmd.Run() // the exit code tells
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// post sends JSON and returns the answer's status and fields.
func post(t *testing.T, method, url, bearer string, body any) (int, map[string]any) {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var fields map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&fields); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, fields
}

func TestSetPassword(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	const email = "admin@weir.local"
	content, err := os.ReadFile(filepath.Join(dir, "credentials.env"))
	if err != nil {
		t.Fatal(err)
	}
	_, old, _ := strings.Cut(string(content), "CONFLUENT_CLOUD_PASSWORD=")
	old, _, _ = strings.Cut(old, "\n")
	status, session := post(t, "POST", s.url+"/api/sessions", "", map[string]string{"email": email, "password": old})
	token, _ := session["token"].(string)
	if status != http.StatusOK || token == "" {
		t.Fatalf("sign in with the first password: %d %v", status, session)
	}

	set := func(input string, args ...string) result {
		return runWith(t, input, append([]string{"users", "set-password", "--data-dir", dir}, args...)...)
	}
	wantFailure(t, set("", email), "no password")
	wantFailure(t, set("short\n", email), "longer password")
	wantFailure(t, set("a new password\n", "nobody@example.com"), "nobody@example.com")
	wantFailure(t, set("a new password\n"), "accepts 1 arg")
	if r := set("a new password\nand more\n", strings.ToUpper(email)); r.code != 0 || !strings.Contains(r.stdout, email) || strings.Contains(r.stdout+r.stderr, "new password") {
		t.Fatalf("%+v", r)
	}

	// The running server hears of it.
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if status, _ := post(t, "GET", s.url+"/api/me", token, nil); status == http.StatusUnauthorized {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the session is still good")
		}
	}
	if status, _ := post(t, "POST", s.url+"/api/sessions", "", map[string]string{"email": email, "password": old}); status != http.StatusUnauthorized {
		t.Errorf("the old password is answered with %d", status)
	}
	if status, _ := post(t, "POST", s.url+"/api/sessions", "", map[string]string{"email": email, "password": "a new password"}); status != http.StatusOK {
		t.Errorf("the new password is answered with %d", status)
	}
}

func TestSetPasswordMakesNoDatabase(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	wantFailure(t, run(t, nil, "users", "set-password", "--data-dir", dir, "a@example.com"), "no database")
}

func TestReadPassword(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		"secret": "secret", "secret\n": "secret", "secret\r\n": "secret", " two words \nmore": " two words ", "\n": "",
	} {
		if got, err := readPassword(strings.NewReader(input), io.Discard); err != nil || got != want {
			t.Errorf("%q is read as %q, %v", input, got, err)
		}
	}
	if _, err := readPassword(strings.NewReader(""), io.Discard); err == nil {
		t.Error("nothing is read as a password")
	}
}
