package iam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

// SSOPath is what the paths begin with at which the users of an organization with
// single sign-on sign in; the rest is the organization's ID.
const SSOPath = "/login/sso/"

// SSOConnection says where the users of an organization sign in: at an OpenID
// Connect provider of the organization's own. It is Weir's own kind and has no
// operations: the operator sets it (weir sso). There is at most one in an
// organization. Private holds an SSORecord. The sessions that began through it go
// with it.
var SSOConnection = &engine.Kind{
	Group: "weir", Version: "v1", Name: "SSOConnection",
	Description: "A single sign-on connection lets the users of an organization sign in at the organization's own OpenID Connect provider.",
	Path:        "/sso-connections",
	ID:          engine.IDShape{Prefix: "sso-", Length: 6, Alphabet: random.LowerAlphanumeric},
	Segment:     "sso-connection",
	Resource:    "SSOConnection",
	UniqueKey:   func(*engine.Object) string { return "the only one" },
	NameTaken:   "The organization has a single sign-on connection already",
	Fields: []engine.Field{
		{Name: "display_name", Required: true, MinLength: 1, MaxLength: 64, Description: "The connection's name for people."},
		{Name: "issuer", Required: true, MaxLength: 1024, Description: "The provider's name, which is the URL that its configuration is found below."},
		{Name: "client_id", Required: true, MaxLength: 255, Description: "Who Weir is at the provider."},
		{Name: "groups_claim", Required: true, MaxLength: 255, Description: "The claim that lists the groups that a user is in."},
		{
			Name: "scopes", Type: engine.Array, Required: true, Description: "What Weir asks the provider for.",
			Items: &engine.Field{Name: "scope", MaxLength: 255, Description: "A scope."},
		},
	},
}

// SSORecord is what is kept with a connection and never sent.
type SSORecord struct {
	// ClientSecret proves to the provider who Weir is; "" where the provider asks
	// for none. It is kept as it is, since it has to be sent.
	ClientSecret string `json:"client_secret,omitempty"`
}

// Encode returns the record as stored bytes.
func (r SSORecord) Encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("iam: encode single sign-on record: %v", err)) // text always encodes
	}
	return b
}

// DecodeSSORecord reads what Encode returned.
func DecodeSSORecord(b []byte) (SSORecord, error) {
	var r SSORecord
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("iam: stored single sign-on record cannot be read: %w", err)
	}
	return r, nil
}

// SSOConnectionOf returns the connection of the organization, or
// store.ErrNotFound.
func SSOConnectionOf(ctx context.Context, r store.Reader, org string) (*engine.Object, error) {
	if org == "" {
		return nil, store.ErrNotFound // it would stand for any organization
	}
	rows, err := r.List(ctx, store.Query{Org: org, Kind: SSOConnection.Key(), Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, store.ErrNotFound
	}
	row, err := r.Get(ctx, org, rows[0].Key) // lists leave out what is private
	if err != nil {
		return nil, err
	}
	return SSOConnection.Decode(row)
}

// hasSSO reports whether the organization has a connection. Within a transaction
// it stays so until the end.
func hasSSO(ctx context.Context, r store.Reader, org string) (bool, error) {
	o, err := SSOConnectionOf(ctx, r, org)
	if tx, ok := r.(store.Tx); ok && err == nil {
		_, err = tx.Pin(ctx, org, o.Key())
	}
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// The group mapping that an organization has from the beginning of its connection
// on, and its roles (facts, semantics 1.1). They are bound to environments.
const (
	everybodyMapping = "all-sso-users"
	environmentKey   = "org/v2.Environment"
)

var everybodyRoles = []string{"FlinkDeveloper", "DataDiscovery"}

// MapEverybody makes the group mapping for everybody who signs in through the
// organization's connection, with its roles in the environments that there are,
// unless there is one of its name. Administrators may change and delete it.
func MapEverybody(ctx context.Context, e *engine.Engine, tx store.Tx, org string) error {
	rows, err := tx.List(ctx, store.Query{Org: org, Kind: GroupMapping.Key(), Limit: maxHeld})
	if err != nil {
		return err
	}
	for i := range rows {
		o, err := GroupMapping.Decode(&rows[i])
		if err != nil || o.Doc.String("display_name") == everybodyMapping {
			return err
		}
	}
	mapping := &engine.Object{Kind: GroupMapping, Org: org, Doc: engine.Doc{
		"display_name": everybodyMapping, "description": "Everybody who signs in through single sign-on", "filter": "true",
	}}
	if err := e.Insert(ctx, tx, mapping); err != nil {
		return err
	}
	environments, err := tx.List(ctx, store.Query{Org: org, Kind: environmentKey, Limit: maxHeld})
	if err != nil {
		return err
	}
	for _, environment := range environments {
		for _, role := range everybodyRoles {
			if err := Bind(ctx, e, tx, org, mapping.ID, role, engine.OrganizationCRN(org).String()+"/environment="+environment.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// isOrganizationAdmin reports whether the subject may change the organization itself,
// as an OrganizationAdmin may and nobody else.
func isOrganizationAdmin(subject *authz.Subject, org string) bool {
	return authz.Decide(subject, authz.Question{Operation: "Alter", Resource: "Organization", On: crn.PatternOf(engine.OrganizationCRN(org))})
}
