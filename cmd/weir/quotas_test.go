package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// Limits change beside a running server, from one request to the next.
func TestQuotas(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir, "--rate-limit-principal", "0")
	content, err := os.ReadFile(filepath.Join(dir, "credentials.env"))
	if err != nil {
		t.Fatal(err)
	}
	key, secret := credentials(t, string(content))
	const code = "iam.max_environments.per_org"
	create := func() int {
		t.Helper()
		return s.environments(t, http.MethodPost, `{"display_name": "another"}`, key, secret)
	}
	quotas := func(args ...string) string {
		t.Helper()
		r := run(t, nil, append(append([]string{"quotas"}, args...), "--data-dir", dir)...)
		if r.code != 0 {
			t.Fatalf("weir quotas %v: %d %s", args, r.code, r.stderr)
		}
		return r.stdout
	}
	shows := func(limit, used int) {
		t.Helper()
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^%s +ORGANIZATION +25 +%d +%d$`, regexp.QuoteMeta(code), limit, used))
		if out := quotas("list"); !row.MatchString(out) {
			t.Errorf("there is no %s in\n%s", row, out)
		}
	}
	shows(25, 1)
	if out, want := quotas("set", code, "2"), code+" is limited to 2 in the organization "; len(out) < len(want) || out[:len(want)] != want {
		t.Errorf("the answer is %q", out)
	}
	for i, want := range []int{http.StatusCreated, http.StatusPaymentRequired} {
		if got := create(); got != want {
			t.Errorf("environment %d answers %d, want %d", i+2, got, want)
		}
	}
	shows(2, 2)
	quotas("set", code, "1") // what is there stays
	if got := s.status(t, key, secret); got != http.StatusOK {
		t.Errorf("above the limit a list answers %d", got)
	}
	quotas("reset", code)
	if got := create(); got != http.StatusCreated {
		t.Errorf("after the reset a create answers %d", got)
	}
	shows(25, 3)
	// An operator's key is counted, and the limit does not hold it up.
	quotas("set", "iam.max_cloud_api_keys.per_org", "0")
	if r := run(t, nil, "keys", "create", "--data-dir", dir); r.code != 0 {
		t.Errorf("beyond the limit no key is made: %s", r.stderr)
	}
	if out := quotas("list"); !regexp.MustCompile(`(?m)^iam\.max_cloud_api_keys\.per_org +ORGANIZATION +1000 +0 +2$`).MatchString(out) {
		t.Errorf("the operator's key is not counted:\n%s", out)
	}
	for _, wrong := range []struct {
		args  []string
		texts []string
	}{
		{[]string{"set", "no.such.quota", "1"}, []string{"no.such.quota", "weir quotas list"}},
		{[]string{"reset", "no.such.quota"}, []string{"no.such.quota", "weir quotas list"}},
		{[]string{"set", code, "many"}, []string{"many", "whole number"}},
		{[]string{"set", code, "-1"}, nil},
		{[]string{"set", code, "4000000000"}, []string{"whole number", "2147483647"}},
		{[]string{"set", code}, nil},
		{[]string{"list", "--organization", "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"}, []string{"no organization", "9bb441c4"}},
	} {
		wantFailure(t, run(t, nil, append(append([]string{"quotas"}, wrong.args...), "--data-dir", dir)...), wrong.texts...)
	}
	s.stop(t, syscall.SIGTERM)
}

func TestQuotasMakeNoDatabase(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	wantFailure(t, run(t, nil, "quotas", "list", "--data-dir", dir), "no database", "weir serve")
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data directory is there: %v", err)
	}
}
