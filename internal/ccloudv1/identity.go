package ccloudv1

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
)

// number is the integer that this API knows an object by: its place in the order
// in which everything in the installation was made. It never changes, and no
// two objects have the same, be they users, service accounts or organizations:
// the CLI tells its own user from service accounts by it. 2^31 rows later it
// begins anew.
func number(row *store.Row) int32 { return int32((row.Seq-1)%math.MaxInt32) + 1 }

// user is a user, or a service account, which this API counts as one.
type user struct {
	ID         int32     `json:"id"`
	ResourceID string    `json:"resource_id"`
	Created    time.Time `json:"created"`
	Modified   time.Time `json:"modified"`

	Email     string `json:"email,omitempty"`
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
	AuthType  string `json:"auth_type,omitempty"`

	ServiceAccount     bool   `json:"service_account,omitempty"`
	ServiceName        string `json:"service_name,omitempty"`
	ServiceDescription string `json:"service_description,omitempty"`
}

func userOf(row *store.Row) (user, error) {
	u := user{ID: number(row), ResourceID: row.ID, Created: row.Created, Modified: row.Updated}
	o, err := iam.User.Decode(row)
	if err != nil {
		return u, err
	}
	u.Email, u.AuthType = o.Doc.String("email"), o.Doc.String("auth_type")
	u.FirstName, u.LastName = names(o.Doc.String("full_name"))
	return u, nil
}

// names divides a full name before its last word.
func names(full string) (first, last string) {
	words := strings.Fields(full)
	if len(words) < 2 {
		return full, ""
	}
	return strings.Join(words[:len(words)-1], " "), words[len(words)-1]
}

func serviceAccountOf(row *store.Row) (user, error) {
	u := user{ID: number(row), ResourceID: row.ID, Created: row.Created, Modified: row.Updated, ServiceAccount: true}
	o, err := iam.ServiceAccount.Decode(row)
	if err != nil {
		return u, err
	}
	u.ServiceName, u.ServiceDescription = o.Doc.String("display_name"), o.Doc.String("description")
	return u, nil
}

// organization is an organization. It is never suspended, and has no cluster
// for audit logs.
type organization struct {
	ID         int32     `json:"id"`
	Name       string    `json:"name"`
	ResourceID string    `json:"resource_id"`
	Created    time.Time `json:"created"`
	Modified   time.Time `json:"modified"`
}

// account is an environment.
type account struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	OrganizationID int32     `json:"organization_id"`
	OrgResourceID  string    `json:"org_resource_id"`
	Created        time.Time `json:"created"`
	Modified       time.Time `json:"modified"`
}

func accountOf(row *store.Row, in organization) (account, error) {
	a := account{ID: row.ID, OrganizationID: in.ID, OrgResourceID: in.ResourceID, Created: row.Created, Modified: row.Updated}
	o, err := org.Environment.Decode(row)
	if err != nil {
		return a, err
	}
	a.Name = o.Doc.String("display_name")
	return a, nil
}

// userAndOrganization describes a user to the user's own CLI, and the organization
// that the user is in. It leaves out that somebody uses single sign-on: the CLI would
// take its session for one of the vendor's and refresh it at the vendor's host.
func (h *Handler) userAndOrganization(ctx context.Context, in, id string) (user, organization, error) {
	var o organization
	row, err := h.Engine.Store.Get(ctx, in, store.Key{Kind: iam.User.Key(), ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return user{}, o, api.New(api.UserUnauthorized, "The credentials are of no user; sign in with 'confluent login', or use an API key that a user owns")
	}
	if err != nil {
		return user{}, o, err
	}
	u, err := userOf(row)
	if err != nil {
		return u, o, err
	}
	if u.AuthType == iam.AuthTypeSSO {
		u.AuthType = ""
	}
	if row, err = h.Engine.Store.Get(ctx, in, store.Key{Kind: org.Organization.Key(), ID: in}); err != nil {
		return u, o, err
	}
	decoded, err := org.Organization.Decode(row)
	if err != nil {
		return u, o, err
	}
	return u, organization{number(row), decoded.Doc.String("display_name"), row.ID, row.Created, row.Updated}, nil
}

// page is how many rows are read at once. This API has no pages: an answer is
// all that there is.
const page = 500

// each calls f for every object of the kind that the caller may see, in the
// order in which they were made.
func each(ctx context.Context, e *engine.Engine, caller *authn.Caller, k *engine.Kind, f func(row *store.Row) error) error {
	query := store.Query{Org: caller.Org, Kind: k.Key(), Visible: k.Visible(caller), Limit: page}
	for {
		rows, err := e.Store.List(ctx, query)
		if err != nil {
			return err
		}
		for i := range rows {
			if err := f(&rows[i]); err != nil {
				return err
			}
		}
		if len(rows) < page {
			return nil
		}
		query.After = rows[len(rows)-1].Seq
	}
}

// ListUsers and ListServiceAccounts are public operations (iam/v1) that the CLI
// reads more from than their document declares.
var (
	ListUsers = &engine.Call{
		Operation:   "listV1Users",
		Description: "Lists the users that the caller may see, all at once.",
		Open:        true, Answer: listed("user", "u-12mgdv"), Failure: errorBody, FailureFields: failureFields,
		Do: func(ctx context.Context, c *engine.Calling) (*engine.Answer, error) {
			return list(ctx, c, iam.User, userOf)
		},
	}
	ListServiceAccounts = &engine.Call{
		Operation:   "listV1ServiceAccounts",
		Description: "Lists the service accounts that the caller may see, all at once.",
		Open:        true, Answer: listed("service account", "sa-12mgdv"), Failure: errorBody, FailureFields: failureFields,
		Do: func(ctx context.Context, c *engine.Calling) (*engine.Answer, error) {
			return list(ctx, c, iam.ServiceAccount, serviceAccountOf)
		},
	}
)

// listed are the fields of an answer that lists users.
func listed(what, example string) []engine.Field {
	return []engine.Field{{
		Name: "users", Type: engine.Array, Required: true, Description: "One entry for each " + what + ".",
		Items: &engine.Field{Name: "user", Type: engine.Structure, Description: "A " + what + ".", Fields: []engine.Field{
			{Name: "id", Type: engine.Integer, Required: true, Description: "The number of the " + what + ", which older parts of the API know it by.", Example: 42},
			{Name: "resource_id", Required: true, Description: "The identifier of the " + what + ".", Example: example},
		}},
	}}
}

func list(ctx context.Context, c *engine.Calling, k *engine.Kind, describe func(*store.Row) (user, error)) (*engine.Answer, error) {
	users := []user{}
	err := each(ctx, c.Engine, c.Caller, k, func(row *store.Row) error {
		u, err := describe(row)
		users = append(users, u)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &engine.Answer{Status: c.Success, Body: encode(map[string][]user{"users": users})}, nil
}
