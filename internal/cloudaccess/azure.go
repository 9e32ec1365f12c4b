package cloudaccess

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	msal "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
)

const (
	azureAuthority = "https://login.microsoftonline.com"
	// azureScope is what a token is asked for; any resource of Azure would do.
	azureScope = "https://management.azure.com/.default"
)

type entraID struct {
	secret    string
	authority string
	http      *http.Client
}

// NewAzure returns what asks Microsoft Entra ID, with a client secret of Weir's
// application. authority replaces the service's own URL, https and without a
// path, where it is not "". Nothing is sent yet.
func NewAzure(secret, authority string, client *http.Client) (Azure, error) {
	if secret == "" {
		return nil, errors.New("a client secret of the application is needed")
	}
	if authority == "" {
		authority = azureAuthority
	}
	return &entraID{secret, strings.TrimRight(authority, "/"), client}, nil
}

func (a *entraID) SignIn(ctx context.Context, appID, tenantID string) error {
	secret, err := confidential.NewCredFromSecret(a.secret)
	if err != nil {
		return fmt.Errorf("use the client secret: %w", err)
	}
	// A new client each time, since it remembers tokens. Which authorities there
	// are is known: it is the configured one.
	client, err := confidential.New(a.authority+"/"+tenantID, appID, secret,
		confidential.WithHTTPClient(a.http), confidential.WithInstanceDiscovery(false))
	if err != nil {
		return fmt.Errorf("sign in to Microsoft Entra ID: %w", err)
	}
	_, err = client.AcquireTokenByCredential(ctx, []string{azureScope})
	return azureError(err, "Microsoft Entra ID does not let the application "+appID+" sign in to the tenant "+tenantID+"; the tenant must exist, and have a service principal of the application")
}

// azureOwn are errors that tell of the application's secret and not of the
// tenant: wrong, missing, or expired.
var azureOwn = regexp.MustCompile(`AADSTS(7000215|7000216|7000218|7000222)\b`)

// azureError tells a refusal from what kept Entra ID from being asked.
func azureError(err error, reason string) error {
	var call msal.CallErr
	if !errors.As(err, &call) || call.Resp == nil {
		return err
	}
	status := call.Resp.StatusCode
	if status != http.StatusBadRequest && status != http.StatusUnauthorized && status != http.StatusForbidden || azureOwn.MatchString(call.Error()) {
		return err
	}
	return &Refused{Reason: reason, Err: err}
}
