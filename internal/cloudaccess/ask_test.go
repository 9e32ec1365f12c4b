package cloudaccess_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/cloudaccess"
)

// fake is a cloud's endpoint that remembers what it was asked.
type fake struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

// serve answers requests with f, which returns what to remember of one.
func serve(t *testing.T, start func(http.Handler) *httptest.Server, f func(w http.ResponseWriter, r *http.Request) string) *fake {
	t.Helper()
	s := &fake{}
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said := f(w, r)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, said)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *fake) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// checkRefused fails the test unless the error is a refusal with the text, or,
// where the text is "", no refusal.
func checkRefused(t *testing.T, err error, text string) {
	t.Helper()
	var refused *cloudaccess.Refused
	switch is := errors.As(err, &refused); {
	case err == nil:
		t.Error("there is no error")
	case text == "" && is:
		t.Errorf("it counts as refused: %v", err)
	case text != "" && (!is || !strings.Contains(refused.Reason, text)):
		t.Errorf("the error is %v, want a refusal with %q", err, text)
	}
}

const (
	ownRole      = "arn:aws:iam::851725421142:role/cspi-42o61"
	customerRole = "arn:aws:iam::111122223333:role/orders"
)

// The fake speaks the query protocol of STS. Its account may become its own
// role, and that role the customer's with the right external ID.
func fakeSTS(t *testing.T) *fake {
	return serve(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) string {
		body, _ := io.ReadAll(r.Body)
		form := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		_ = form.ParseForm()
		who, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="), "/")
		role, external := form.PostForm.Get("RoleArn"), form.PostForm.Get("ExternalId")
		w.Header().Set("Content-Type", "text/xml")
		switch {
		case who == "AKIAOPERATOR" && role == ownRole, who == "ASIAOWN" && role == customerRole && external == "right":
			_, _ = fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
				<AccessKeyId>ASIAOWN</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>
				</Credentials></AssumeRoleResult></AssumeRoleResponse>`)
		case who == "AKIAEXPIRED":
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.</Message></Error></ErrorResponse>`)
		case role == "arn:aws:iam::111122223333:role/broken":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `<ErrorResponse><Error><Type>Receiver</Type><Code>ServiceUnavailable</Code><Message>later</Message></Error></ErrorResponse>`)
		default:
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>`)
		}
		return who + " " + role + " " + external
	})
}

func newAWS(t *testing.T, key, endpoint string) cloudaccess.AWS {
	t.Helper()
	dir := t.TempDir()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": filepath.Join(dir, "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "credentials"), "AWS_REGION": "",
	} {
		t.Setenv(name, value)
	}
	a, err := cloudaccess.NewAWS(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAWS(t *testing.T) {
	s := fakeSTS(t)
	a := newAWS(t, "AKIAOPERATOR", s.URL)
	if err := a.Assume(t.Context(), ownRole, customerRole, "right"); err != nil {
		t.Error(err)
	}
	if got := strings.Join(s.questions(), "\n"); got != "AKIAOPERATOR "+ownRole+" \nASIAOWN "+customerRole+" right" {
		t.Errorf("AWS was asked:\n%s", got)
	}
	checkRefused(t, a.Assume(t.Context(), ownRole, customerRole, "wrong"), "external ID")
	checkRefused(t, a.Assume(t.Context(), ownRole, customerRole+"-other", "right"), customerRole+"-other")
	checkRefused(t, a.Assume(t.Context(), ownRole+"-other", customerRole, "right"), "operator")
	checkRefused(t, a.Assume(t.Context(), ownRole, "arn:aws:iam::111122223333:role/broken", "right"), "")
	s.Close()
	checkRefused(t, a.Assume(t.Context(), ownRole, customerRole, "right"), "")
}

func TestAWSWithBadCredentials(t *testing.T) {
	s := fakeSTS(t)
	checkRefused(t, newAWS(t, "AKIAEXPIRED", s.URL).Assume(t.Context(), ownRole, customerRole, "right"), "")
	// Without any there is nothing to ask with.
	checkRefused(t, newAWS(t, "", s.URL).Assume(t.Context(), ownRole, customerRole, "right"), "")
}

const tenant = "12345678-1234-1234-1234-123456789abc"

// The fake speaks OpenID discovery and OAuth 2 of Microsoft Entra ID.
func fakeEntra(t *testing.T) *fake {
	var base string
	s := serve(t, httptest.NewTLSServer, func(w http.ResponseWriter, r *http.Request) string {
		w.Header().Set("Content-Type", "application/json")
		at, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if strings.HasSuffix(path, "openid-configuration") {
			if at == strings.Replace(tenant, "1", "9", 1) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":"invalid_tenant","error_description":"AADSTS90002: Tenant not found."}`)
				return "configuration of " + at
			}
			_, _ = fmt.Fprintf(w, `{"token_endpoint":"%[1]s/%[2]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/%[2]s/oauth2/v2.0/authorize","issuer":"%[1]s/%[2]s/v2.0"}`, base, at)
			return "configuration of " + at
		}
		_ = r.ParseForm()
		app, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
		switch {
		case app == "broken":
			w.WriteHeader(http.StatusServiceUnavailable)
		case secret != "right":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`)
		case app != "the-app":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"unauthorized_client","error_description":"AADSTS700016: Application was not found in the directory."}`)
		default:
			_, _ = io.WriteString(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"token"}`)
		}
		return app + " in " + at + " for " + r.PostForm.Get("scope") + " by " + r.PostForm.Get("grant_type")
	})
	base = s.URL
	return s
}

func TestAzure(t *testing.T) {
	t.Parallel()
	s := fakeEntra(t)
	a, err := cloudaccess.NewAzure("right", s.URL, s.Client())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // nothing is remembered: a tenant can take its consent back
		if err := a.SignIn(t.Context(), "the-app", tenant); err != nil {
			t.Error(err)
		}
	}
	asked := strings.Join(s.questions(), "\n")
	if n := strings.Count(asked, "the-app in "+tenant+" for https://management.azure.com/.default openid offline_access profile by client_credentials"); n != 2 {
		t.Errorf("Entra ID was asked %d times for a token:\n%s", n, asked)
	}
	checkRefused(t, a.SignIn(t.Context(), "other-app", tenant), "other-app")
	checkRefused(t, a.SignIn(t.Context(), "the-app", strings.Replace(tenant, "1", "9", 1)), "tenant")
	checkRefused(t, a.SignIn(t.Context(), "broken", tenant), "")
	wrong, err := cloudaccess.NewAzure("wrong", s.URL+"/", s.Client())
	if err != nil {
		t.Fatal(err)
	}
	checkRefused(t, wrong.SignIn(t.Context(), "the-app", tenant), "")
	if err := wrong.SignIn(t.Context(), "the-app", tenant); strings.Contains(err.Error(), `"wrong"`) || strings.Contains(err.Error(), "client_secret") {
		t.Errorf("the error tells the secret: %v", err)
	}
	s.Close()
	checkRefused(t, a.SignIn(t.Context(), "the-app", tenant), "")
	if _, err := cloudaccess.NewAzure("", "", nil); err == nil {
		t.Error("no client secret is none too few")
	}
}

const (
	ownMember      = "cspi-42o61@weir-prod-1.iam.gserviceaccount.com"
	customerMember = "orders@customer.iam.gserviceaccount.com"
)

// The fake speaks Google's token endpoint and its IAM Service Account
// Credentials API.
func fakeGoogle(t *testing.T) *fake {
	return serve(t, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) string {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			_ = r.ParseForm()
			if r.PostForm.Get("refresh_token") != "right" {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
				return "refused a token"
			}
			_, _ = io.WriteString(w, `{"access_token":"operator","token_type":"Bearer","expires_in":3599}`)
			return "token"
		}
		var body struct {
			Delegates []string `json:"delegates"`
			Scope     []string `json:"scope"`
			Lifetime  string   `json:"lifetime"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		said := strings.Join([]string{r.Method, r.URL.Path, r.Header.Get("Authorization"), strings.Join(body.Delegates, ","), strings.Join(body.Scope, ","), body.Lifetime}, " ")
		switch {
		case strings.Contains(r.URL.Path, "broken"):
			w.WriteHeader(http.StatusServiceUnavailable)
		case strings.Contains(r.URL.Path, customerMember) && body.Delegates[0] == "projects/-/serviceAccounts/"+ownMember:
			_, _ = io.WriteString(w, `{"accessToken":"secret-token","expireTime":"2099-01-01T00:00:00Z"}`)
		default:
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.getAccessToken' denied","status":"PERMISSION_DENIED"}}`)
		}
		return said
	})
}

func newGoogle(t *testing.T, s *fake, refresh string) (cloudaccess.Google, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "credentials.json")
	content := fmt.Sprintf(`{"type":"authorized_user","client_id":"id","client_secret":"secret","refresh_token":%q,"token_uri":%q}`, refresh, s.URL+"/token")
	if refresh != "" {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	return cloudaccess.NewGoogle(t.Context(), s.URL, &http.Client{Timeout: cloudaccess.Timeout, Transport: toFake{s}})
}

// toFake sends Google's own token endpoint to the fake.
type toFake struct{ s *fake }

func (f toFake) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "oauth2.googleapis.com" {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(f.s.URL, "http://")
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestGoogle(t *testing.T) {
	s := fakeGoogle(t)
	g, err := newGoogle(t, s, "right")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Impersonate(t.Context(), ownMember, customerMember); err != nil {
		t.Error(err)
	}
	want := "POST /v1/projects/-/serviceAccounts/" + customerMember + ":generateAccessToken Bearer operator projects/-/serviceAccounts/" + ownMember +
		" https://www.googleapis.com/auth/cloud-platform 300s"
	if got := s.questions(); len(got) != 2 || got[0] != "token" || got[1] != want {
		t.Errorf("Google was asked:\n%s", strings.Join(got, "\n"))
	}
	checkRefused(t, g.Impersonate(t.Context(), ownMember, "x"+"@other.iam.gserviceaccount.com"), "Token Creator")
	checkRefused(t, g.Impersonate(t.Context(), "other", customerMember), "impersonate")
	checkRefused(t, g.Impersonate(t.Context(), ownMember, "broken@x.iam.gserviceaccount.com"), "")
	ended, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	checkRefused(t, g.Impersonate(ended, ownMember, customerMember), "")
	s.Close()
	checkRefused(t, g.Impersonate(t.Context(), ownMember, customerMember), "")
}

func TestGoogleWithBadCredentials(t *testing.T) {
	s := fakeGoogle(t)
	g, err := newGoogle(t, s, "expired")
	if err != nil {
		t.Fatal(err)
	}
	checkRefused(t, g.Impersonate(t.Context(), ownMember, customerMember), "")
	if _, err := newGoogle(t, s, ""); err == nil {
		t.Error("credentials that are not there are found")
	}
}

// Every cloud that is named can be asked, and no other.
func TestOpen(t *testing.T) {
	s := fakeGoogle(t)
	if _, err := newGoogle(t, s, "right"); err != nil { // for the credentials
		t.Fatal(err)
	}
	c, err := cloudaccess.Options{}.Open(t.Context())
	if err != nil || c.AWS != nil || c.Azure != nil || c.Google != nil || c.Identity != cloudaccess.Placeholder {
		t.Errorf("nothing is configured: %+v, %v", c, err)
	}
	c, err = cloudaccess.Options{Ask: []string{"aws", "azure", "gcp"}, AzureClientSecret: "s"}.Open(t.Context())
	if err != nil || c.AWS == nil || c.Azure == nil || c.Google == nil {
		t.Errorf("all are configured: %+v, %v", c, err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none"))
	if _, err = (cloudaccess.Options{Ask: []string{"gcp"}}).Open(t.Context()); err == nil || !strings.Contains(err.Error(), "--cloud-check gcp") {
		t.Errorf("without credentials: %v", err)
	}
}
