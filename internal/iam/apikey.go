package iam

import (
	"context"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
)

// APIKey is a key with a secret that stands for its owner. The secret is shown
// once; Private holds an authn.KeyRecord. A key goes when its owner goes, or
// the resource that it reaches.
//
// A key that is not there and one that is hidden answer 403, as recorded of
// the real service (facts, semantics 2.3). Who may make which key for whom is
// the matrix of semantics 2.2: it is in the roles (package authz), but for the
// one rule that nobody makes keys for another user.
var APIKey = &engine.Kind{
	Group: "iam", Version: "v2", Name: "ApiKey",
	Description: "An API key and its secret prove who a program is. A Cloud API key reaches the operations that manage resources, a Global one everything, any other the one resource that it is made for.",
	Path:        "/iam/v2/api-keys",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2ApiKeys",
		engine.Create: "createIamV2ApiKey",
		engine.Read:   "getIamV2ApiKey",
		engine.Update: "updateIamV2ApiKey",
		engine.Delete: "deleteIamV2ApiKey",
	},
	Noun:      "APIKey",
	ID:        engine.IDShape{Length: authn.KeyIDLength, Alphabet: random.UpperAlphanumeric},
	Segment:   "api-key",
	Under:     underOwner,
	OwnedBy:   "spec.owner",
	Resource:  "CloudApiKey",
	Guards:    keyGuards,
	GuardedAs: keyPermissions(),
	Missing: func(id string) *api.Error {
		return api.New(api.ForbiddenAccess, "The API key '"+id+"' does not exist, or you may not know of it")
	},
	Quotas: keyQuotas,
	Fields: []engine.Field{{
		Name: "spec", Type: engine.Structure, Required: true,
		Description: "What the key is to be.",
		Fields: []engine.Field{
			{
				Name: "secret", Once: true,
				Description: "The secret that belongs to the key. Only the answer to the creation has it; keep it then.",
				Example:     "cflt…",
			},
			{
				Name: "display_name", MaxLength: 255,
				Description: "The key's name for people.", Example: "CI key",
			},
			{
				Name:        "description",
				Description: "What the key is for.", Example: "Lets the pipeline apply Terraform",
			},
			{
				Name: "owner", Type: engine.Reference, Required: true, Immutable: true, Filter: engine.FilterOne,
				Description: "The user or service account that the key stands for.",
				To:          &engine.ReferenceTo{Kinds: []string{userID.Key, serviceAccountID.Key}, OnDelete: engine.Cascade, Typed: true},
			},
			{
				Name: "resource", Type: engine.Reference, Immutable: true, Filter: engine.FilterOne, Deprecated: true,
				Description: "The resource that the key reaches; left out, null or 'cloud' for a Cloud API key.",
				To:          keyTarget(),
			},
			{
				Name: "resources", Type: engine.Array, Immutable: true, MaxItems: 1,
				Description: "The resource that the key reaches, as a list of one; it agrees with 'resource'.",
				Items: &engine.Field{
					Name: "resource", Type: engine.Reference, Description: "The resource.",
					To: keyTarget(),
				},
			},
		},
	}},
	Codes: map[engine.Verb][]*api.Code{engine.Delete: {api.BadRequest}},
	Hooks: engine.Hooks{Locate: locateKey, BeforeWrite: issueKey, AfterDelete: keepAdministratorKey},
}

func keyTarget() *engine.ReferenceTo {
	to := &engine.ReferenceTo{Typed: true, Resolved: true, OnDelete: engine.Cascade}
	for _, r := range keyResources {
		if r.literal == "" {
			to.Kinds = append(to.Kinds, r.key())
		} else {
			to.Literals = append(to.Literals, r.literal)
		}
	}
	return to
}

// underOwner places a key below its owner, as the table of resource names in
// the API's general section does.
func underOwner(o *engine.Object) crn.CRN {
	root := engine.OrganizationCRN(o.Org)
	id := o.Doc.String("spec.owner.id")
	if p, ok := principalOf(id); ok {
		return crn.Must(root.Append(p.Segment, id))
	}
	return root
}

// keyGuards asks about a key on the resource that it reaches, and on the
// service account that owns it.
func keyGuards(o *engine.Object) []engine.Guard {
	r := resourceOf(o.Doc.String("spec.resource.api_version"), o.Doc.String("spec.resource.kind"))
	if r == nil {
		return anyKeyGuards(o)
	}
	on := engine.OrganizationCRN(o.Org)
	if r.literal == "" {
		var err error
		if on, err = crn.Parse(o.Doc.String("spec.resource.resource_name")); err != nil {
			return nil
		}
	}
	guards := []engine.Guard{{Resource: r.permission, On: crn.PatternOf(on)}}
	if owner := o.Doc.String("spec.owner.id"); serviceAccountID.ID.Has(owner) {
		guards = append(guards, engine.Guard{Resource: r.permission, On: crn.PatternOf(underOwner(o))})
	}
	return guards
}

// anyKeyGuards asks about a new key whose resource is wrong: what is wrong is
// told to those who may make some key for this owner.
func anyKeyGuards(o *engine.Object) []engine.Guard {
	var guards []engine.Guard
	for _, r := range keyResources {
		guards = append(guards, engine.Guard{Resource: r.permission, On: crn.PatternOf(engine.OrganizationCRN(o.Org))})
		if serviceAccountID.ID.Has(o.Doc.String("spec.owner.id")) {
			guards = append(guards, engine.Guard{Resource: r.permission, On: crn.PatternOf(underOwner(o))})
		}
	}
	return guards
}

// locateKey finds the resource of a new key and refuses keys for other users.
func locateKey(ctx context.Context, w *engine.Write) ([]api.Problem, error) {
	problems, err := locateResource(ctx, w)
	if err != nil {
		return nil, err
	}
	owner := w.New.Doc.String("spec.owner.id")
	if w.Caller != nil && userID.ID.Has(owner) && owner != w.Caller.Principal {
		return nil, api.New(api.UserUnauthorized, "Users make API keys for themselves only; own this one yourself, or let a service account own it")
	}
	return problems, nil
}

// issueKey gives a new key its secret, and keeps what proves it. The secret is
// there already where an operator chose it.
func issueKey(_ context.Context, w *engine.Write) error {
	if w.Old != nil {
		return nil
	}
	secret := w.New.Once["spec.secret"]
	if secret == "" {
		secret = authn.NewSecret()
		w.New.Once = map[string]string{"spec.secret": secret}
	}
	r := resourceOf(w.New.Doc.String("spec.resource.api_version"), w.New.Doc.String("spec.resource.kind"))
	w.New.Private = authn.KeyRecord{
		Hash:   w.Engine.Hasher.Hash(secret),
		Owner:  w.New.Doc.String("spec.owner.id"),
		Scheme: r.scheme,
	}.Encode()
	return nil
}
