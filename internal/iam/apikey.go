package iam

import (
	"context"
	"fmt"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
)

// APIKey is a key with a secret that stands for its owner. The secret is shown
// once; Private holds an authn.KeyRecord. A key goes when its owner goes.
//
// A key that is not there and one that is hidden answer 403, as recorded of
// the real service (facts, semantics 2.3).
var APIKey = &engine.Kind{
	Group: "iam", Version: "v2", Name: "ApiKey",
	Description: "An API key and its secret prove who a program is. A Cloud API key reaches the operations that manage resources.",
	Path:        "/iam/v2/api-keys",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2ApiKeys",
		engine.Create: "createIamV2ApiKey",
		engine.Read:   "getIamV2ApiKey",
		engine.Update: "updateIamV2ApiKey",
		engine.Delete: "deleteIamV2ApiKey",
	},
	ID:       engine.IDShape{Length: authn.KeyIDLength, Alphabet: random.UpperAlphanumeric},
	Segment:  "api-key",
	Under:    underOwner,
	OwnedBy:  "spec.owner",
	Resource: "ApiKey",
	Missing: func(id string) *api.Error {
		return api.New(api.ForbiddenAccess, "The API key '"+id+"' does not exist, or you may not know of it")
	},
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
				To:          &engine.ReferenceTo{Typed: true, Resolved: true},
			},
			{
				Name: "resources", Type: engine.Array, Immutable: true, MinItems: 0, MaxItems: 1,
				Description: "The resource that the key reaches, as a list of one.",
				Items: &engine.Field{
					Name: "resource", Type: engine.Reference, Description: "The resource.",
					To: &engine.ReferenceTo{Typed: true, Resolved: true},
				},
			},
		},
	}},
	Hooks: engine.Hooks{Validate: validateKey, BeforeWrite: issueKey},
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

const cloud = "cloud"

// cloudResource is what a Cloud API key says of its resource: recorded answers
// have the literal in every place.
func cloudResource() engine.Doc {
	return engine.Doc{"id": cloud, "related": cloud, "resource_name": cloud, "api_version": "iam/v2", "kind": "Cloud"}
}

func validateKey(w *engine.Write) []api.Problem {
	if w.Old != nil {
		return nil
	}
	id := w.New.Doc.String("spec.resource.id")
	pointer := "/spec/resource/id"
	if list, _ := w.New.Doc.Get("spec.resources").([]any); len(list) == 1 {
		other := list[0].(engine.Doc).String("id")
		if id != "" && !strings.EqualFold(id, other) {
			return []api.Problem{{Message: "The fields 'resource' and 'resources' name different resources", Pointer: "/spec/resources/0/id"}}
		}
		id, pointer = other, "/spec/resources/0/id"
	}
	if id == "" || strings.EqualFold(id, cloud) {
		return nil
	}
	return []api.Problem{{Message: fmt.Sprintf("The field 'resource' names '%s', which does not exist", id), Pointer: pointer}}
}

// issueKey completes a new key: its resource, its secret and what is kept of
// the secret. Private is set already where an operator chose the secret.
func issueKey(_ context.Context, w *engine.Write) error {
	if w.Old != nil {
		return nil
	}
	w.New.Doc.Set("spec.resource", cloudResource())
	w.New.Doc.Set("spec.resources", []any{cloudResource()})
	secret := w.New.Once["spec.secret"]
	if secret == "" {
		secret = authn.NewSecret()
		w.New.Once = map[string]string{"spec.secret": secret}
	}
	w.New.Private = authn.KeyRecord{
		Hash:   w.Engine.Hasher.Hash(secret),
		Owner:  w.New.Doc.String("spec.owner.id"),
		Scheme: authn.SchemeCloudKey,
	}.Encode()
	return nil
}
