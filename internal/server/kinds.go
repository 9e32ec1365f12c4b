package server

import (
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/oauth"
	"github.com/weirhq/weir/internal/org"
)

// Kinds is the table of every kind that this server knows, sorted by key.
func Kinds() []*engine.Kind {
	return []*engine.Kind{
		iam.GroupMapping,
		iam.APIKey,
		iam.IdentityPool,
		iam.IdentityProvider,
		iam.Invitation,
		iam.RoleBinding,
		iam.ServiceAccount,
		iam.User,
		org.Environment,
		org.Organization,
	}
}

// Describe returns an engine that describes every operation that this server
// serves, and answers none: for documents and what checks them.
func Describe(publicURL string) (*engine.Engine, error) {
	service, err := oauth.New(oauth.Config{})
	if err != nil {
		return nil, err
	}
	return engine.New(engine.Config{PublicURL: publicURL, Kinds: Kinds(), Calls: service.Calls()})
}
