package server

import (
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/org"
)

// Kinds is the table of every kind that this server knows, sorted by key.
func Kinds() []*engine.Kind {
	return []*engine.Kind{
		iam.GroupMapping,
		iam.APIKey,
		iam.CertificateAuthority,
		iam.CertificateIdentityPool,
		iam.Invitation,
		iam.RoleBinding,
		iam.ServiceAccount,
		iam.User,
		org.Environment,
		org.Organization,
	}
}
