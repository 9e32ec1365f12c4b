package partner

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

// Calls are the operations that sign up organizations. Each does all that it
// does in one transaction. With dry_run it does the same and keeps nothing, so
// that what is refused then is what would be refused in earnest.
func Calls() []*engine.Call {
	return []*engine.Call{
		{
			Operation: "signup",
			Description: "Makes an organization for a customer of the partner, with its default environment, and invites the user to be its administrator. " +
				"Without a user the signup is completed by its activation later.",
			Open: true, Parameters: []engine.Parameter{dryRun}, Codes: conflicts,
			Body: []engine.Field{
				{Name: "organization", Type: engine.Structure, Required: true, Description: "The organization to make.", Fields: []engine.Field{org.NameField("name"), ssoConfigField}},
				entitlementField(),
				userField(false),
			},
			Answer: signupAnswer, Do: signUp,
		},
		{
			Operation: "activateSignup",
			Description: "Completes the signup of an organization that has no user: invites the user to be its administrator. " +
				"It can be repeated when the invitation has expired and nobody signed up.",
			Open: true, Codes: append([]*api.Code{api.ResourceNotFound}, conflicts...),
			Body: []engine.Field{
				{Name: "organization_id", Required: true, MinLength: 1, MaxLength: engine.MaxID, Description: "The organization that the partner signed up."},
				userField(true),
			},
			Answer: signupAnswer, Do: activate,
		},
		{
			Operation: "signupPartnerV2Link",
			Description: "Links an organization that is there already to the partner. " +
				"The token that allows it comes from the server's operator.",
			Open: true, Parameters: []engine.Parameter{dryRun}, Codes: conflicts,
			Body: []engine.Field{
				{Name: "token", Required: true, MinLength: 1, MaxLength: token.MaxLength, Description: "The linking token, which names the organization and the partner. It is good for a day."},
				{Name: "organization", Type: engine.Structure, Required: true, Description: "What is to be known of the organization.", Fields: []engine.Field{ssoConfigField}},
				entitlementField(),
			},
			Answer: signupAnswer, Do: link,
		},
	}
}

var conflicts = []*api.Code{api.AlreadyExists, api.InUse}

var dryRun = engine.Parameter{
	Name: "dry_run", Example: "true",
	Description: "`true` checks the request in full and changes nothing.",
}

var signupAnswer = []engine.Field{
	{Name: "organization_id", Description: "The organization's ID; in a dry run of a signup there is none."},
	ssoURLField,
	{Name: "display_message", Description: "What was done, and what comes next, for people."},
}

// entitlementField takes an entitlement in either form. Its own fields are
// required where it names no entitlement that is there; see inlined.
func entitlementField() engine.Field {
	fields := []engine.Field{
		{Name: "id", MaxLength: engine.MaxID, Description: "The ID of an entitlement that is there already."},
		{Name: "related", Format: "uri", Description: "The URL of an entitlement that is there already."},
	}
	for _, f := range entitlementFields() {
		f.Required = false
		fields = append(fields, f)
	}
	return engine.Field{
		Name: "entitlement", Type: engine.Structure, Required: true, Fields: fields,
		Description: "What the customer bought: an entitlement that is there and belongs to no organization yet, by its ID or URL, or else a new one, with all that its own operation asks for.",
	}
}

func userField(required bool) engine.Field {
	return engine.Field{
		Name: "user", Type: engine.Structure, Required: required, Description: "The person who is to be the organization's administrator, and gets a mail.",
		Fields: []engine.Field{
			{Name: "given_name", Required: true, MinLength: 1, MaxLength: 120, Description: "The person's given name.", Example: "Marty"},
			{Name: "family_name", Required: true, MinLength: 1, MaxLength: 120, Description: "The person's family name.", Example: "McFly"},
			{Name: "email", Required: true, MinLength: 3, MaxLength: 254, Format: "email", Description: "The person's address.", Example: "marty@example.com"},
		},
	}
}

// errDryRun undoes a dry run that went well.
var errDryRun = errors.New("partner: dry run")

// attempt runs the transaction of a signup, and undoes it where the request is
// a dry run. It reports which of the two it was.
func attempt(ctx context.Context, c *engine.Calling, do func(tx store.Tx) error) (dry bool, err error) {
	switch v := c.Query.Get(dryRun.Name); v {
	case "", "false":
	case "true":
		dry = true
	default:
		return false, api.BadParameter(api.InvalidParameter, dryRun.Name, "The parameter 'dry_run' must be true or false")
	}
	err = c.Engine.Store.Update(ctx, func(tx store.Tx) error {
		if err := do(tx); err != nil || !dry {
			return err
		}
		return errDryRun
	})
	if errors.Is(err, errDryRun) {
		err = nil
	}
	return dry, err
}

func signUp(ctx context.Context, c *engine.Calling) (*engine.Answer, error) {
	id, name := uuid.NewString(), c.Body.String("organization.name")
	user, _ := c.Body.Get("user").(engine.Doc)
	dry, err := attempt(ctx, c, func(tx store.Tx) error {
		if err := bootstrap.NewOrganization(ctx, c.Engine, tx, id, name, org.Environment.ID.New()); err != nil {
			return err
		}
		if err := join(ctx, c, tx, id, name); err != nil || user == nil {
			return err
		}
		return invite(ctx, c, tx, id, user)
	})
	if err != nil {
		return nil, err
	}
	message := "The organization '" + name + "' is there, and nobody is in it yet: send its administrator with POST /partner/v2/signup/activate"
	if user != nil {
		message = "The organization '" + name + "' is there. " + invited(user)
	}
	return answer(c, dry, id, message), nil
}

func activate(ctx context.Context, c *engine.Calling) (*engine.Answer, error) {
	id := c.Body.String("organization_id")
	user, _ := c.Body.Get("user").(engine.Doc)
	err := c.Engine.Store.Update(ctx, func(tx store.Tx) error {
		// The lock makes two activations come one after the other.
		o, err := c.Engine.Lock(ctx, tx, c.Caller.Org, Organization, id)
		if errors.Is(err, store.ErrNotFound) {
			return api.New(api.ResourceNotFound, "The Organization '"+id+"' does not exist, or you may not know of it")
		}
		if err != nil {
			return err
		}
		complete, err := iam.HasAdministrator(ctx, tx, id)
		if err != nil {
			return err
		}
		if complete {
			conflict := api.New(api.AlreadyExists, "The signup of the organization '"+id+"' is complete: somebody is its administrator, or invited to be")
			conflict.Location = o.Path()
			return conflict
		}
		return invite(ctx, c, tx, id, user)
	})
	if err != nil {
		return nil, err
	}
	return answer(c, false, id, invited(user)), nil
}

// link takes an organization over that is there already. The token's subject is
// the partner that may use it; it is used up by what it does, since an
// organization is linked once.
func link(ctx context.Context, c *engine.Calling) (*engine.Answer, error) {
	claims, err := c.Engine.SigningKeys.Verify(ctx, token.PartnerLink, c.Body.String("token"), nil)
	switch {
	case errors.Is(err, token.ErrInvalid):
		return nil, badLink(strings.TrimPrefix(err.Error(), "the token "))
	case err != nil:
		return nil, err
	case claims.Subject != c.Caller.Principal:
		return nil, badLink("is not valid: it is another partner's")
	}
	id := claims.Organization
	dry, err := attempt(ctx, c, func(tx store.Tx) error {
		row, err := tx.Pin(ctx, id, store.Key{Kind: org.Organization.Key(), ID: id})
		if errors.Is(err, store.ErrNotFound) {
			return badLink("is not valid: its organization is gone")
		}
		if err != nil {
			return err
		}
		o, err := org.Organization.Decode(row)
		if err != nil {
			return err
		}
		return join(ctx, c, tx, id, o.Doc.String("display_name"))
	})
	if err != nil {
		return nil, err
	}
	return answer(c, dry, id, "The organization is linked to you"), nil
}

func badLink(why string) error {
	return api.Invalid(api.Problem{Message: "The field 'token' " + why, Pointer: "/token"})
}

// join makes the organization one of the partner's, with the entitlement that
// the request names.
func join(ctx context.Context, c *engine.Calling, tx store.Tx, id, name string) error {
	ssoConfig, _ := c.Body.Get("organization.sso_config").(engine.Doc)
	organization := newOrganization(c.Caller.Org, id, name, ssoConfig)
	if err := c.Engine.Insert(ctx, tx, organization); err != nil {
		var conflict *api.Error
		if errors.As(err, &conflict) && conflict.Code == api.AlreadyExists {
			conflict.Problems = []api.Problem{{Message: "The organization '" + id + "' belongs to a partner already"}}
		}
		return err
	}
	body, _ := c.Body.Get("entitlement").(engine.Doc)
	return within("/entitlement", entitle(ctx, c, tx, organization, body))
}

// entitle ties an entitlement to the organization: a new one, or one that
// belongs to none yet.
func entitle(ctx context.Context, c *engine.Calling, tx store.Tx, organization *engine.Object, body engine.Doc) error {
	if body.String("id") == "" && body.String("related") == "" {
		o, problems := inlined(body)
		if len(problems) > 0 {
			return api.Invalid(problems...)
		}
		o.Org = c.Caller.Org
		o.Doc.Set("organization", organization.Refer())
		return c.Engine.Insert(ctx, tx, o)
	}
	id, pointer := Entitlement.IDIn(body), "/related"
	if body.String("id") != "" {
		pointer = "/id"
	}
	o, err := c.Engine.Lock(ctx, tx, c.Caller.Org, Entitlement, id)
	if errors.Is(err, store.ErrNotFound) {
		return api.Invalid(api.Problem{Message: "The field 'entitlement' names an entitlement that does not exist", Pointer: pointer})
	}
	if err != nil {
		return err
	}
	if other := o.Doc.String("organization.id"); other != "" {
		conflict := api.New(api.InUse, fmt.Sprintf("The entitlement '%s' belongs to the organization '%s' already", id, other))
		conflict.Location = o.Path()
		return conflict
	}
	o.Doc.Set("organization", organization.Refer())
	return c.Engine.Save(ctx, tx, o)
}

// inlined is the new entitlement that a body describes.
func inlined(body engine.Doc) (*engine.Object, []api.Problem) {
	o := &engine.Object{Kind: Entitlement, Doc: engine.Doc{}}
	var problems []api.Problem
	for _, f := range entitlementFields() {
		v, there := body[f.Name]
		if there {
			o.Doc[f.Name] = v
		} else if f.Required {
			problems = append(problems, api.Problem{Message: "The field '" + f.Name + "' is required", Pointer: "/" + f.Name})
		}
	}
	return o, problems
}

// invite makes the user of a request the organization's administrator to be.
func invite(ctx context.Context, c *engine.Calling, tx store.Tx, id string, user engine.Doc) error {
	return within("/user", iam.InviteAdministrator(ctx, c.Engine, tx, id, user.String("email"), user.String("given_name")+" "+user.String("family_name")))
}

func invited(user engine.Doc) string {
	return "An invitation goes to " + user.String("email") + ", who becomes its administrator by accepting it"
}

// within makes the pointers of an error, which are an object's own, those of the
// request that has the object at the pointer.
func within(pointer string, err error) error {
	var failed *api.Error
	if errors.As(err, &failed) {
		for i := range failed.Problems {
			if p := &failed.Problems[i]; p.Pointer != "" {
				p.Pointer = pointer + p.Pointer
			}
		}
	}
	return err
}

// answer is what all three operations answer. What a dry run would have made has
// no ID and no address.
func answer(c *engine.Calling, dry bool, id, message string) *engine.Answer {
	doc := engine.Doc{"display_message": "Nothing was changed: without dry_run the request would succeed"}
	a := &engine.Answer{Status: c.Success}
	if !dry {
		doc = engine.Doc{"organization_id": id, "sso_url": iam.SSOPath + id, "display_message": message}
		a.Location = Organization.Path + "/" + id
	}
	a.Body = engine.Document(signupAnswer, doc)
	return a
}
