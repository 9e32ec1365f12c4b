package partner

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestGrantable(t *testing.T) {
	t.Parallel()
	allowed := []string{ScopeCreate, ScopeDescribe}
	for asked, want := range map[string][]string{
		"":                                allowed,
		"  ":                              allowed,
		ScopeDescribe:                     {ScopeDescribe},
		ScopeDescribe + " " + ScopeCreate: allowed,
		ScopeCreate + "  " + ScopeCreate:  {ScopeCreate},
		ScopeDelete:                       nil,
		ScopeCreate + " " + ScopeDelete:   nil,
		"marketplace::describe":           nil,
		strings.ToUpper(ScopeCreate):      nil,
		ScopeCreate + "," + ScopeDescribe: nil,
	} {
		got, err := grantable(allowed, asked)
		var refused *refusal
		if !slices.Equal(got, want) || (want == nil) != (errors.As(err, &refused) && refused.Code == "invalid_scope") {
			t.Errorf("%q: %q, %v; want %q", asked, got, err, want)
		}
	}
	if !slices.Equal(allowed, []string{ScopeCreate, ScopeDescribe}) {
		t.Errorf("what the partner can have is changed: %q", allowed)
	}
}

// Whatever a client sends, it is a request with credentials to look at, or is
// refused in the words of RFC 6749.
func FuzzReadTokenRequest(f *testing.F) {
	f.Add("Basic cGFydG5lci0xOnM=", "grant_type=client_credentials&scope=partner%3Acreate")
	f.Add("", "grant_type=client_credentials&client_id=a&client_secret=b")
	f.Add("Basic OiU=", "grant_type=password")
	f.Add("Bearer x", "grant_type=%zz&;")
	f.Fuzz(func(t *testing.T, authorization, body string) {
		r := httptest.NewRequest(http.MethodPost, TokenPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		req, err := readTokenRequest(r)
		var refused *refusal
		switch {
		case err == nil && len(req.secrets) == 0:
			t.Error("a request without a secret is taken")
		case err != nil && !errors.As(err, &refused):
			t.Errorf("refused with %v", err)
		case err != nil && strings.ContainsFunc(refused.Description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }):
			t.Errorf("the description %q is none of RFC 6749", refused.Description)
		}
		if _, err := grantable(Scopes(), req.scope); err != nil && !errors.As(err, &refused) {
			t.Errorf("the scope %q: %v", req.scope, err)
		}
	})
}
