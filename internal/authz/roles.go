package authz

// Role is what a role permits wherever it is bound.
type Role struct {
	// Everything permits every operation on every resource type.
	Everything bool
}

func (r Role) permits(_, _ string) bool { return r.Everything }

// OrganizationAdmin is the role that may do everything in its organization.
const OrganizationAdmin = "OrganizationAdmin"

// ResourceOwner is the role of who looks after a single resource.
const ResourceOwner = "ResourceOwner"

// roles are the roles that permit anything.
var roles = map[string]Role{
	OrganizationAdmin: {Everything: true},
}

// ownerMay lists the resource types that an owner may see, change and delete,
// and create for itself, without any role.
var ownerMay = map[string]bool{
	"ApiKey": true,
}
