// Package iam holds the kinds of the API group iam/v2: who there is, what
// proves it, and what each may do.
package iam

import (
	"github.com/weirhq/weir/internal/engine"
)

// Authentication types of users.
const (
	AuthTypeLocal = "AUTH_TYPE_LOCAL"
	AuthTypeSSO   = "AUTH_TYPE_SSO"
)

// User is a person. Private holds the password's argon2id hash, where the user
// has a password. Users are not made through this API.
var User = &engine.Kind{
	Group: "iam", Version: "v2", Name: "User",
	Description: "A user is a person with an account in the organization.",
	Path:        "/iam/v2/users",
	ID:          userID.ID,
	Segment:     userID.Segment,
	Resource:    "User",
	UniqueName:  "email",
	NameTaken:   "This user already exists within the Organization",
	Fields: []engine.Field{
		{
			Name: "email", Required: true, Immutable: true, Format: "email", MinLength: 3, MaxLength: 254,
			Description: "The address that the user signs in with.", Example: "marty@example.com",
		},
		{
			Name: "full_name", MaxLength: 255,
			Description: "The user's name.", Example: "Marty McFly",
		},
		{
			Name: "auth_type", ReadOnly: true, Enum: []string{AuthTypeLocal, AuthTypeSSO},
			Description: "How the user signs in: with a password, or through the organization's single sign-on.",
		},
	},
}
