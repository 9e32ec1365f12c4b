package cloudaccess

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The session in which a role is tried, as the customer's CloudTrail shows it,
// and the shortest time that STS gives one.
const (
	awsSession         = "weir-validation"
	awsSessionDuration = 900 // seconds
	awsDefaultRegion   = "us-east-1"
)

type awsSTS struct {
	config   aws.Config
	endpoint string
}

// NewAWS returns what asks AWS's Security Token Service, with the credentials,
// the region and the retries that the AWS SDK finds for this process. endpoint
// replaces the service's own URL where it is not "". Nothing is sent yet.
func NewAWS(ctx context.Context, endpoint string) (AWS, error) {
	c, err := config.LoadDefaultConfig(ctx, config.WithDefaultRegion(awsDefaultRegion), config.WithRetryMaxAttempts(2),
		config.WithLogger(logging.Nop{})) // what goes wrong is in the error
	if err != nil {
		return nil, fmt.Errorf("read the configuration of the AWS SDK: %w", err)
	}
	return &awsSTS{c, endpoint}, nil
}

func (a *awsSTS) client(as aws.CredentialsProvider) *sts.Client {
	return sts.NewFromConfig(a.config, func(o *sts.Options) {
		if a.endpoint != "" {
			o.BaseEndpoint = &a.endpoint
		}
		if as != nil {
			o.Credentials = as
		}
	})
}

func (a *awsSTS) Assume(ctx context.Context, ownRole, customerRole, externalID string) error {
	own, err := a.client(nil).AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: &ownRole, RoleSessionName: aws.String(awsSession), DurationSeconds: aws.Int32(awsSessionDuration),
	})
	if err != nil {
		return awsError(err, "AWS does not let this server become its own role "+ownRole+", which the server's operator has to create")
	}
	if own.Credentials == nil {
		return errors.New("AWS answers without credentials")
	}
	as := credentials.NewStaticCredentialsProvider(
		aws.ToString(own.Credentials.AccessKeyId), aws.ToString(own.Credentials.SecretAccessKey), aws.ToString(own.Credentials.SessionToken))
	_, err = a.client(as).AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn: &customerRole, RoleSessionName: aws.String(awsSession), DurationSeconds: aws.Int32(awsSessionDuration), ExternalId: &externalID,
	})
	return awsError(err, "AWS does not let "+ownRole+" assume "+customerRole+"; the role must exist, and its trust policy allow that with the external ID of this integration")
}

// awsError tells a refusal from what kept AWS from being asked.
func awsError(err error, reason string) error {
	var said smithy.APIError
	var answered *smithyhttp.ResponseError
	if errors.As(err, &said) && errors.As(err, &answered) && answered.HTTPStatusCode() < http.StatusInternalServerError {
		switch said.ErrorCode() {
		case "AccessDenied", "ValidationError", "MalformedPolicyDocument":
			return &Refused{Reason: reason, Err: err}
		}
	}
	return err
}
