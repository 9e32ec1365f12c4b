// Package cloudaccess knows who Weir is in the public clouds, and can ask a
// cloud whether a customer there lets Weir in. It asks with the cloud's own
// client libraries and the operator's credentials; a cloud that the operator
// did not configure is not asked.
package cloudaccess

import (
	"context"
	"fmt"
	"regexp"
	"time"
)

// Identity is who Weir is in each cloud. Customers trust what is made from it,
// so a later change is for what is made from then on.
type Identity struct {
	// AWSAccountID is the account of Weir's IAM roles, 12 digits.
	AWSAccountID string
	// AzureAppID is the client ID of Weir's multi-tenant application.
	AzureAppID string
	// GCPProject is the ID of the project with Weir's service accounts.
	GCPProject string
}

// Placeholder is who Weir is where the operator says nothing: the account that
// AWS uses in its examples, and an application and a project that do not exist.
var Placeholder = Identity{
	AWSAccountID: "123456789012",
	AzureAppID:   "00000000-0000-0000-0000-000000000000",
	GCPProject:   "weir-example",
}

// Filled is the identity with placeholders for what is empty.
func (i Identity) Filled() Identity {
	for _, f := range []struct{ value, placeholder *string }{
		{&i.AWSAccountID, &Placeholder.AWSAccountID}, {&i.AzureAppID, &Placeholder.AzureAppID}, {&i.GCPProject, &Placeholder.GCPProject},
	} {
		if *f.value == "" {
			*f.value = *f.placeholder
		}
	}
	return i
}

// AWSRole is the ARN of Weir's IAM role with the name.
func (i Identity) AWSRole(name string) string {
	return "arn:aws:iam::" + i.AWSAccountID + ":role/" + name
}

// GoogleServiceAccount is the address of Weir's service account with the name.
func (i Identity) GoogleServiceAccount(name string) string {
	return name + "@" + i.GCPProject + ".iam.gserviceaccount.com"
}

// What the clouds' identifiers look like.
var (
	awsAccount   = regexp.MustCompile(`^[0-9]{12}$`)
	gcpProject   = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	AWSRole      = regexp.MustCompile(`^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$`)
	AzureTenant  = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	GoogleMember = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*@[a-z0-9-]+(\.[a-z0-9-]+)*\.gserviceaccount\.com$`)
)

// Check reports what is no identifier of its cloud.
func (i Identity) Check() error {
	i = i.Filled()
	switch {
	case !awsAccount.MatchString(i.AWSAccountID):
		return fmt.Errorf("the AWS account %q does not have 12 digits", i.AWSAccountID)
	case !AzureTenant.MatchString(i.AzureAppID):
		return fmt.Errorf("the Azure application %q is not a UUID", i.AzureAppID)
	case !gcpProject.MatchString(i.GCPProject):
		return fmt.Errorf("the Google Cloud project %q does not have 6 to 30 lower-case letters, digits and hyphens", i.GCPProject)
	}
	return nil
}

// AWS asks Amazon Web Services.
type AWS interface {
	// Assume tries to become ownRole and, as that, the customer's role with the
	// external ID.
	Assume(ctx context.Context, ownRole, customerRole, externalID string) error
}

// Azure asks Microsoft Entra ID.
type Azure interface {
	// SignIn tries to sign the application in to the customer's tenant.
	SignIn(ctx context.Context, appID, tenantID string) error
}

// Google asks Google Cloud.
type Google interface {
	// Impersonate tries to act as the customer's service account through
	// Weir's own.
	Impersonate(ctx context.Context, own, customer string) error
}

// Clouds are what can be asked, and as whom; one that is nil is not asked. The
// zero value has the placeholders and asks nobody.
type Clouds struct {
	Identity
	AWS    AWS
	Azure  Azure
	Google Google
}

// Timeout is how long one question to a cloud may take, with all that it needs.
const Timeout = 10 * time.Second

// Refused is the error when the cloud was reached and says no. Any other error
// means that it could not be asked.
type Refused struct {
	// Reason says in words for the customer what the cloud does not allow.
	Reason string
	// Err is what the cloud said, for the log.
	Err error
}

func (r *Refused) Error() string {
	if r.Err == nil {
		return r.Reason
	}
	return r.Reason + ": " + r.Err.Error()
}

// Unwrap returns what the cloud said.
func (r *Refused) Unwrap() error { return r.Err }
