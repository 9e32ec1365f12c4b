package server

import (
	"slices"

	"github.com/weirhq/weir/internal/ccloudv1"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/oauth"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/partner"
	"github.com/weirhq/weir/internal/pim"
	"github.com/weirhq/weir/internal/quota"
	"github.com/weirhq/weir/internal/tableflow"
)

// Kinds is the table of every kind that this server knows, sorted by key.
func Kinds() []*engine.Kind {
	return []*engine.Kind{
		iam.GroupMapping,
		iam.APIKey,
		iam.CertificateAuthority,
		iam.CertificateIdentityPool,
		iam.IdentityPool,
		iam.IdentityProvider,
		iam.Invitation,
		iam.IPFilter,
		iam.IPFilterSuspension,
		iam.IPGroup,
		iam.RoleBinding,
		iam.ServiceAccount,
		iam.User,
		org.Environment,
		org.Organization,
		partner.Entitlement,
		partner.Organization,
		partner.Partner,
		pim.IntegrationV1,
		pim.Integration,
		quota.Applied,
		quota.Scope,
		tableflow.Region,
		iam.SSOConnection,
		iam.Session,
	}
}

// Calls is the table of the operations that belong to no kind, as they are
// described. What some of them do takes the service that a server has.
func Calls() []*engine.Call { return calls(oauth.New(oauth.Config{})) }

func calls(service *oauth.Service) []*engine.Call {
	return slices.Concat(
		[]*engine.Call{ccloudv1.ReportUsage, iam.IPFilterSummary, ccloudv1.ListServiceAccounts, ccloudv1.ListUsers},
		partner.Calls(),
		service.Calls(),
	)
}
