package pim

import (
	"context"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/cloudaccess"
	"github.com/weirhq/weir/internal/engine"
)

// Clouds by the names that the API's documents spell them with.
const (
	aws   = "AWS"
	azure = "AZURE"
	gcp   = "GCP"
)

// Fields of a config.
const (
	configKind     = "config.kind"
	externalID     = "config.external_id"
	ownRole        = "config.iam_role_arn"
	ownAccount     = "config.google_service_account"
	ownApp         = "config.confluent_multi_tenant_app_id"
	customerRole   = "config.customer_iam_role_arn"
	customerTenant = "config.customer_azure_tenant_id"
	customerMember = "config.customer_google_service_account"
)

// cloud is what differs between the clouds.
type cloud struct {
	name string
	// kind is the kind of configs for it.
	kind string
	// customer is the path of the field that names the customer's side.
	customer string
	// shape is what that must look like, and invalid what is said of a value
	// that does not.
	shape   *regexp.Regexp
	invalid string
	// fill writes Weir's own side into a new integration.
	fill func(o *engine.Object, self cloudaccess.Identity)
	// ask asks the cloud whether the customer's side lets Weir's in. It reports
	// false where the operator did not configure that.
	ask func(ctx context.Context, c *cloudaccess.Clouds, doc engine.Doc) (asked bool, err error)
}

// clouds are all clouds. What is said of bad values is as recorded of the real
// service (facts, semantics 10); it has no such text for AWS.
var clouds = []cloud{
	{
		name: aws, kind: "AwsIntegrationConfig",
		customer: customerRole, shape: cloudaccess.AWSRole, invalid: "invalid customer AWS IAM role ARN",
		fill: func(o *engine.Object, self cloudaccess.Identity) {
			o.Doc.Set(ownRole, self.AWSRole(o.ID))
			o.Doc.Set(externalID, uuid.NewString())
		},
		ask: func(ctx context.Context, c *cloudaccess.Clouds, doc engine.Doc) (bool, error) {
			if c.AWS == nil {
				return false, nil
			}
			return true, c.AWS.Assume(ctx, doc.String(ownRole), doc.String(customerRole), doc.String(externalID))
		},
	},
	{
		name: azure, kind: "AzureIntegrationConfig",
		customer: customerTenant, shape: cloudaccess.AzureTenant, invalid: "invalid customer AZURE tenant id",
		fill: func(o *engine.Object, self cloudaccess.Identity) { o.Doc.Set(ownApp, self.AzureAppID) },
		ask: func(ctx context.Context, c *cloudaccess.Clouds, doc engine.Doc) (bool, error) {
			if c.Azure == nil {
				return false, nil
			}
			return true, c.Azure.SignIn(ctx, doc.String(ownApp), doc.String(customerTenant))
		},
	},
	{
		name: gcp, kind: "GcpIntegrationConfig",
		customer: customerMember, shape: cloudaccess.GoogleMember, invalid: "invalid Google Service Account",
		fill: func(o *engine.Object, self cloudaccess.Identity) {
			o.Doc.Set(ownAccount, self.GoogleServiceAccount(o.ID))
		},
		ask: func(ctx context.Context, c *cloudaccess.Clouds, doc engine.Doc) (bool, error) {
			if c.Google == nil {
				return false, nil
			}
			return true, c.Google.Impersonate(ctx, doc.String(ownAccount), doc.String(customerMember))
		},
	},
}

// cloudNamed returns the cloud with the name in either case, or nil.
func cloudNamed(name string) *cloud {
	for i := range clouds {
		if strings.EqualFold(clouds[i].name, name) {
			return &clouds[i]
		}
	}
	return nil
}
