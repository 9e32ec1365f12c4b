package cloudaccess_test

import (
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/cloudaccess"
)

func TestIdentity(t *testing.T) {
	t.Parallel()
	i := cloudaccess.Identity{AWSAccountID: "851725421142"}.Filled()
	if got := i.AWSRole("cspi-42o61"); got != "arn:aws:iam::851725421142:role/cspi-42o61" || !cloudaccess.AWSRole.MatchString(got) {
		t.Errorf("the role is %s", got)
	}
	if got := i.GoogleServiceAccount("cspi-42o61"); got != "cspi-42o61@weir-example.iam.gserviceaccount.com" || !cloudaccess.GoogleMember.MatchString(got) {
		t.Errorf("the service account is %s", got)
	}
	if i.AzureAppID != cloudaccess.Placeholder.AzureAppID {
		t.Errorf("the application is %s", i.AzureAppID)
	}
}

func TestShapes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"arn:aws:iam::111122223333:role/orders":                    true,
		"arn:aws-us-gov:iam::111122223333:role/team/a_b+c=d,e.f@g": true,
		"arn:aws:iam::111122223333:user/orders":                    false,
		"arn:aws:iam::1111:role/orders":                            false,
		"arn:aws:iam::111122223333:role/":                          false,
		"arn:aws:iam::111122223333:role/a b":                       false,
		"arn:aws:iam::111122223333:role/a\n":                       false,
	} {
		if got := cloudaccess.AWSRole.MatchString(text); got != want {
			t.Errorf("%q is a role: %t", text, got)
		}
	}
	for text, want := range map[string]bool{
		"12345678-1234-1234-1234-123456789abc":  true,
		"12345678-1234-1234-1234-123456789ABC":  true,
		"12345678123412341234123456789abc":      false,
		"12345678-1234-1234-1234-123456789abg":  false,
		"contoso.onmicrosoft.com":               false,
		"12345678-1234-1234-1234-123456789abc/": false,
	} {
		if got := cloudaccess.AzureTenant.MatchString(text); got != want {
			t.Errorf("%q is a tenant: %t", text, got)
		}
	}
	for text, want := range map[string]bool{
		"orders@customer.iam.gserviceaccount.com":             true,
		"orders@customer.example.com.iam.gserviceaccount.com": true,
		"123-compute@developer.gserviceaccount.com":           true,
		"customer@appspot.gserviceaccount.com":                true,
		"orders@customer.example.com":                         false,
		"orders/../x@customer.iam.gserviceaccount.com":        false,
		"orders@customer.iam.gserviceaccount.com.example.com": false,
		"@customer.iam.gserviceaccount.com":                   false,
	} {
		if got := cloudaccess.GoogleMember.MatchString(text); got != want {
			t.Errorf("%q is a service account: %t", text, got)
		}
	}
}

func TestOptionsCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options cloudaccess.Options
		want    string
	}{
		"nothing":              {cloudaccess.Options{}, ""},
		"everything":           {cloudaccess.Options{Identity: cloudaccess.Identity{AWSAccountID: "851725421142", AzureAppID: "12345678-1234-1234-1234-123456789abc", GCPProject: "weir-prod-1"}, Ask: []string{"aws", "azure", "gcp"}, AzureClientSecret: "s", AWSSTSURL: "https://sts.eu-central-1.amazonaws.com", GCPCredentialsURL: "http://127.0.0.1:1"}, ""},
		"account":              {cloudaccess.Options{Identity: cloudaccess.Identity{AWSAccountID: "12345"}}, "--aws-account-id"},
		"application":          {cloudaccess.Options{Identity: cloudaccess.Identity{AzureAppID: "weir"}}, "--azure-app-id"},
		"project":              {cloudaccess.Options{Identity: cloudaccess.Identity{GCPProject: "Weir"}}, "--gcp-project"},
		"cloud":                {cloudaccess.Options{Ask: []string{"AWS"}}, "--cloud-check"},
		"no secret":            {cloudaccess.Options{Ask: []string{"azure"}}, "WEIR_AZURE_CLIENT_SECRET"},
		"plain HTTP":           {cloudaccess.Options{AWSSTSURL: "http://sts.example.com"}, "--aws-sts-url"},
		"no URL":               {cloudaccess.Options{AzureAuthorityURL: "login.microsoftonline.com"}, "--azure-authority-url"},
		"credentials in a URL": {cloudaccess.Options{GCPCredentialsURL: "https://me:secret@example.com"}, "--gcp-credentials-url"},
	} {
		err := c.options.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
