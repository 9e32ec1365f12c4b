package quota

import (
	"context"
	"slices"

	"github.com/weirhq/weir/internal/engine"
)

// Applied is a quota as it holds for the organization, or for one subject in
// it. Its ID is the quota's code. A list is about one scope:
//
//   - ORGANIZATION: every quota once, with its usage.
//   - ENVIRONMENT and others that have a filter of their own: every quota for
//     each subject that the caller may see.
//   - USER_ACCOUNT and SERVICE_ACCOUNT, for which the API has no filter: every
//     quota once, with the usage of the caller if it is one.
//
// A read is about the organization, the caller, or the subject that a parameter
// names; without one it tells the limit and no usage.
var Applied = &engine.Kind{
	Group: "service-quota", Version: "v1", Name: "AppliedQuota",
	Description: "An applied quota is a limit on how many objects of a kind there may be, and how many there are.",
	Path:        "/service-quota/v1/applied-quotas",
	Operations: map[engine.Verb]string{
		engine.List: "listServiceQuotaV1AppliedQuotas",
		engine.Read: "getServiceQuotaV1AppliedQuota",
	},
	Segment:    "applied-quota",
	Resource:   organizationResource,
	Guards:     onOrganization,
	GuardedAs:  []string{organizationResource},
	PageSize:   pageSize,
	FilterID:   engine.FilterOne,
	Source:     applied,
	Parameters: map[engine.Verb][]engine.Parameter{engine.Read: parameters()},
	Fields: append([]engine.Field{
		{
			Name: "scope", ReadOnly: true, Required: true, Filter: engine.FilterOne, FilterRequired: true, FilterBy: byScope, Enum: scopeNames(),
			Description: "What the quota holds for. In the parameter of lists small letters and hyphens are taken too.", Example: "ORGANIZATION",
		},
		{
			Name: "display_name", ReadOnly: true, Required: true,
			Description: "The quota's name for people.", Example: "Environments Per Organization",
		},
		{
			Name: "default_limit", Type: engine.Integer, ReadOnly: true, Required: true, Format: "int32",
			Description: "The limit where the operator of the server has set no other.", Example: 25,
		},
		{
			Name: "applied_limit", Type: engine.Integer, ReadOnly: true, Required: true, Format: "int32",
			Description: "The limit that is in force.", Example: 25,
		},
		{
			Name: "usage", Type: engine.Integer, ReadOnly: true, Format: "int32",
			Description: "How many there are. It is absent where the quota holds for each of something and nobody said for which.", Example: 3,
		},
		reference("user", "The user whose usage this is.", userKey, engine.NotFiltered),
		reference("organization", "The organization.", organizationKey, engine.NotFiltered),
	}, subjectFields()...),
}

const (
	organizationKey   = "org/v2.Organization"
	userKey           = "iam/v2.User"
	serviceAccountKey = "iam/v2.ServiceAccount"
)

// subjects are the kinds whose objects have quotas of their own and a filter to
// name them, by scope.
var subjects = []struct {
	scope                   engine.QuotaScope
	field, key, description string
	example                 string
}{
	{engine.PerEnvironment, "environment", "org/v2.Environment", "The environment that the quota holds for.", "env-00000"},
	{engine.PerNetwork, "network", "networking/v1.Network", "The network that the quota holds for.", "n-12034"},
	{engine.PerKafkaCluster, "kafka_cluster", "cmk/v2.Cluster", "The Kafka cluster that the quota holds for.", "lkc-00000"},
	{engine.PerIdentityProvider, "identity_provider", "iam/v2.IdentityProvider", "The identity provider that the quota holds for.", "op-12345"},
	{engine.PerCertificateAuthority, "certificate_authority", "iam/v2.CertificateAuthority", "The certificate authority that the quota holds for.", "op-abc123"},
}

func reference(name, description, key string, filter engine.Filter) engine.Field {
	return engine.Field{
		Name: name, Type: engine.Reference, ReadOnly: true, Filter: filter, Description: description,
		To: &engine.ReferenceTo{Kinds: []string{key}, OnDelete: engine.Keep, Resolved: true},
	}
}

func subjectFields() []engine.Field {
	var out []engine.Field
	for _, s := range subjects {
		out = append(out, reference(s.field, s.description, s.key, engine.FilterOne))
	}
	return out
}

func parameters() []engine.Parameter {
	var out []engine.Parameter
	for _, s := range subjects {
		out = append(out, engine.Parameter{Name: s.field, Description: "The ID of the subject, for quotas of the scope " + string(s.scope) + ".", Example: s.example})
	}
	return out
}

// maxSubjects bounds for how many subjects one request tells the usage. There
// are less of each kind that has quotas of its own.
const maxSubjects = 1000

// placesPerSubject is more than there are quotas of a scope.
const placesPerSubject = 1000

// applied computes the quotas of one scope, or those with one ID.
func applied(ctx context.Context, a *engine.Asked) ([]*engine.Object, error) {
	wanted := a.Engine.Quotas()
	if a.Verb == engine.List {
		scope, err := parseScope(a.Value("scope"))
		if err != nil {
			return nil, err // the filter has read it before
		}
		wanted = slices.DeleteFunc(wanted, func(q *engine.Quota) bool { return q.Scope != scope })
	} else {
		wanted = slices.DeleteFunc(wanted, func(q *engine.Quota) bool { return q.Code != a.ID })
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	limits, err := a.Engine.Store.Limits(ctx, a.Caller.Org)
	if err != nil {
		return nil, err
	}
	holders, err := holdersOf(ctx, a, wanted[0].Scope)
	if err != nil {
		return nil, err
	}
	var out []*engine.Object
	for _, h := range holders {
		var usage map[string]int64
		if h.known {
			if usage, err = a.Engine.Store.Counters(ctx, a.Caller.Org, h.subject); err != nil {
				return nil, err
			}
		}
		for i, q := range wanted {
			out = append(out, h.object(a, q, limits, usage, int64(i+1)))
		}
	}
	return out, nil
}

// holder is what quotas hold for.
type holder struct {
	// subject is its ID, "" for the organization. known is false where nobody
	// said which it is.
	subject string
	known   bool
	// field is the field that refers to the object, which may be nil.
	field string
	on    *engine.Object
}

// holdersOf returns what the request is about.
func holdersOf(ctx context.Context, a *engine.Asked, scope engine.QuotaScope) ([]holder, error) {
	switch scope {
	case engine.PerOrganization:
		return []holder{{known: true}}, nil
	case engine.PerUser:
		return []holder{caller(a, userKey, "user")}, nil
	case engine.PerServiceAccount:
		return []holder{caller(a, serviceAccountKey, "")}, nil
	}
	for _, s := range subjects {
		if s.scope != scope {
			continue
		}
		id := a.Value(s.field)
		k := a.Engine.Kind(s.key)
		switch {
		case id == "" && a.Verb == engine.Read:
			return []holder{{}}, nil
		case k == nil:
			return nil, nil
		case id == "":
			return visible(ctx, a, k, s.field)
		default:
			return named(ctx, a, k, s.field, id)
		}
	}
	return nil, nil
}

// caller is who asks, if it is an object of the kind.
func caller(a *engine.Asked, key, field string) holder {
	k := a.Engine.Kind(key)
	if k == nil || !k.ID.Has(a.Caller.Principal) {
		return holder{}
	}
	return holder{a.Caller.Principal, true, field, &engine.Object{Kind: k, Org: a.Caller.Org, ID: a.Caller.Principal}}
}

func visible(ctx context.Context, a *engine.Asked, k *engine.Kind, field string) ([]holder, error) {
	objects, err := a.Engine.List(ctx, a.Caller, k, maxSubjects)
	if err != nil {
		return nil, err
	}
	var out []holder
	for _, o := range objects {
		out = append(out, holder{o.ID, true, field, o})
	}
	return out, nil
}

// named is the object with the ID, if it is there for the caller.
func named(ctx context.Context, a *engine.Asked, k *engine.Kind, field, id string) ([]holder, error) {
	o, err := a.Engine.Find(ctx, a.Caller, k, id)
	if o == nil || err != nil {
		return nil, err
	}
	return []holder{{id, true, field, o}}, nil
}

func (h holder) object(a *engine.Asked, q *engine.Quota, limits, usage map[string]int64, place int64) *engine.Object {
	limit, set := limits[q.Code]
	if !set {
		limit = q.Limit
	}
	doc := engine.Doc{
		"scope": string(q.Scope), "display_name": q.DisplayName,
		"default_limit": int(q.Limit), "applied_limit": int(limit),
	}
	if k := a.Engine.Kind(organizationKey); k != nil {
		doc["organization"] = refer(&engine.Object{Kind: k, Org: a.Caller.Org, ID: a.Caller.Org})
	}
	if h.known {
		doc["usage"] = int(usage[q.Code])
	}
	if h.on != nil {
		place += h.on.Place * placesPerSubject
		if h.field != "" {
			doc[h.field] = refer(h.on)
		}
	}
	return &engine.Object{ID: q.Code, Place: place, Doc: doc}
}

// refer is a reference without a type, as this API has them.
func refer(o *engine.Object) engine.Doc {
	ref := o.Refer()
	delete(ref, "api_version")
	delete(ref, "kind")
	return ref
}
