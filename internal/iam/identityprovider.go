package iam

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

// IdentityProvider is an issuer of tokens outside of Weir, whose identities get
// in through the identity pools below it. Its deletion takes these along.
//
// Sources: openapi identity-provider.v2; the flat message of a missing one and
// the conflict over an issuer from recorded answers (facts, semantics 5.1).
// Nothing that is sent is normalised: clients compare it (facts, clients B.6).
var IdentityProvider = &engine.Kind{
	Group: "iam", Version: "v2", Name: "IdentityProvider",
	Description: "An identity provider is a server outside of this one that issues tokens (OAuth, OpenID Connect). Who holds such a token can act for an identity pool of the provider.",
	Path:        "/iam/v2/identity-providers",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2IdentityProviders",
		engine.Create: "createIamV2IdentityProvider",
		engine.Read:   "getIamV2IdentityProvider",
		engine.Update: "updateIamV2IdentityProvider",
		engine.Delete: "deleteIamV2IdentityProvider",
	},
	ID:         engine.IDShape{Prefix: "op-", Length: 6, Alphabet: random.MixedAlphanumeric},
	Methods:    map[engine.Verb]string{engine.List: "ListIdentityProvider"},
	Segment:    "identity-provider",
	Resource:   "IdentityProvider",
	UniqueName: "issuer",
	NameTaken:  "Another identity provider of the organization has this issuer",
	Missing: func(id string) *api.Error {
		return api.New(api.IdentityProviderNotFound, "Identity Provider "+id+" not found or disabled, or you may not know of it")
	},
	Quotas: []*engine.Quota{{
		Code: "iam.max_identity_providers.per_organization", Scope: engine.PerOrganization, DisplayName: "Identity Providers Per Organization", Limit: 5,
	}},
	Fields: []engine.Field{
		{
			Name: "display_name", Required: true, MinLength: 1,
			Description: "The identity provider's name for people.", Example: "Company login",
		},
		{
			Name: "description", Always: true,
			Description: "What the identity provider is for.", Example: "The company's OpenID Connect provider",
		},
		{
			Name: "identity_claim", MaxLength: 256, Pattern: regexp.MustCompile("^(" + claimPattern + ")?$"), PatternHint: claimHint,
			Description: "The claim of a token that tells one identity from another, for tokens that are used with several identity pools or without naming one; without it, claims.sub. It appears in the audit log.",
			Example:     "claims.sub",
		},
		{
			Name: "state", ReadOnly: true, Required: true, Enum: []string{stateEnabled},
			Description: "Always ENABLED.", Example: stateEnabled,
		},
		{
			Name: "issuer", Required: true, MinLength: 1, MaxLength: maxIssuer, Format: "uri",
			Description: "The provider's name for itself: a URL, which the tokens that it issues carry as iss, byte for byte. No two providers of an organization have the same.",
			Example:     "https://login.example.com/realms/company",
		},
		{
			Name: "jwks_uri", Required: true, MinLength: 1, MaxLength: 2048, Format: "uri",
			Description: "Where the provider publishes the keys that its tokens are checked with, as a JSON Web Key Set. They are fetched when the provider is made or the URI changes, every hour, and when a token names a key that is not known.",
			Example:     "https://login.example.com/realms/company/keys",
		},
		{
			Name: "keys", Type: engine.Array, ReadOnly: true, Items: &engine.Field{Name: "key", Type: engine.Structure, Description: "A public key.", Fields: []engine.Field{
				{Name: "kty", Required: true, Enum: []string{"RSA", "EC"}, Description: "The key's type, RSA or EC.", Example: "RSA"},
				{Name: "kid", Required: true, Description: "The key's ID, which tokens name.", Example: "2026-10"},
				{Name: "alg", Required: true, Description: "The algorithm of signatures that are checked with the key.", Example: "RS256"},
				{Name: "use", Description: "What the key is for: sig, where the provider says so.", Example: "sig"},
				{Name: "n", Description: "The modulus of an RSA key, in Base64url."},
				{Name: "e", Description: "The exponent of an RSA key, in Base64url.", Example: "AQAB"},
			}},
			Description: "The provider's public keys, as they were fetched last: at most 15.",
		},
	},
	Links: issuerLink,
	Hooks: engine.Hooks{Validate: checkProvider, BeforeWrite: settleProvider},
}

const (
	// maxIssuer is what the store can index.
	maxIssuer = 1000

	claimPattern = `(claims\.)?[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*`
	claimHint    = "be the name of a claim, such as claims.sub"
)

// issuerTarget is what the entry that finds providers by their issuer refers
// to, in place of a kind.
const issuerTarget = "issuer"

// issuerLink lets the providers of all organizations be found by their issuer.
func issuerLink(o *engine.Object) []engine.Link {
	return []engine.Link{{Field: issuerTarget, To: issuerKey(o.Doc.String("issuer"))}}
}

func issuerKey(issuer string) store.Key { return store.Key{Kind: issuerTarget, ID: issuer} }

// ProvidersOf returns the providers of every organization with the issuer, at
// most limit of them.
func ProvidersOf(ctx context.Context, r store.Reader, issuer string, limit int) ([]store.Key, error) {
	rows, err := r.Referrers(ctx, issuerKey(issuer), limit)
	if err != nil {
		return nil, err
	}
	var keys []store.Key
	for _, row := range rows {
		if row.Kind == IdentityProvider.Key() {
			keys = append(keys, row.Key)
		}
	}
	return keys, nil
}

// checkProvider looks at new URLs. Those that are stored already are left alone.
func checkProvider(w *engine.Write) []api.Problem {
	var problems []api.Problem
	for _, field := range []string{"issuer", "jwks_uri"} {
		text := w.New.Doc.String(field)
		if text == "" || w.Old != nil && w.Old.Doc.String(field) == text {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || strings.ContainsFunc(text, outsideURL) {
			problems = append(problems, api.Problem{
				Message: "The field '" + field + "' must be an absolute URL with https, in ASCII, without a user or a fragment", Pointer: "/" + field,
			})
		}
	}
	return problems
}

// outsideURL reports whether the character cannot stand in a URL as it is.
func outsideURL(r rune) bool { return r <= ' ' || r > '~' }

// settleProvider fills in what the server decides. The keys of another URI are
// no longer the provider's.
func settleProvider(_ context.Context, w *engine.Write) error {
	w.New.Doc.Set("state", stateEnabled)
	if w.Old == nil || w.Old.Doc.String("jwks_uri") != w.New.Doc.String("jwks_uri") {
		w.New.Doc.Set("keys", []any{})
		w.New.Private = ProviderRecord{}.Encode()
	}
	return nil
}

// States of a provider's keys, as the operation that refreshes them tells.
const (
	JWKSRefreshed  = "REFRESHED"
	JWKSOK         = "OK"
	JWKSInvalidURI = "INVALID_JWKS_URI"
	JWKSError      = "ERROR_FETCHING_JWKS"
)

// ProviderRecord is what is kept with an identity provider and not sent as it
// is.
type ProviderRecord struct {
	// Keys are those that tokens are checked with.
	Keys []issuer.Key `json:"keys,omitempty"`
	// Refreshed is when they were fetched, Attempted when that was tried last,
	// Status how it ended: JWKSRefreshed, JWKSInvalidURI, JWKSError, or "" before.
	Refreshed time.Time `json:"refreshed,omitzero"`
	Attempted time.Time `json:"attempted,omitzero"`
	Status    string    `json:"status,omitempty"`
}

// Encode returns the record as stored bytes.
func (r ProviderRecord) Encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("iam: encode provider record: %v", err)) // text and times always encode
	}
	return b
}

// DecodeProviderRecord reads what Encode returned.
func DecodeProviderRecord(b []byte) (ProviderRecord, error) {
	var r ProviderRecord
	if len(b) == 0 {
		return r, nil
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("iam: stored provider record cannot be read: %w", err)
	}
	return r, nil
}

// StoreKeys writes what came of an attempt to fetch the keys from the URI: the
// keys, or none where it failed, so that those from before go on. It does
// nothing, and answers store.ErrNotFound, where the provider is gone or has
// another URI by now.
func StoreKeys(ctx context.Context, e *engine.Engine, tx store.Tx, org, id, uri string, keys []issuer.Key, status string) error {
	o, err := e.Lock(ctx, tx, org, IdentityProvider, id)
	if err != nil {
		return err
	}
	if o.Doc.String("jwks_uri") != uri {
		return store.ErrNotFound
	}
	record, err := DecodeProviderRecord(o.Private)
	if err != nil {
		return err
	}
	record.Attempted, record.Status = e.Now().UTC(), status
	if keys != nil {
		record.Keys, record.Refreshed = keys, record.Attempted
		o.Doc.Set("keys", shownKeys(keys))
	}
	o.Private = record.Encode()
	return e.Save(ctx, tx, o)
}

// shownKeys are the keys as documents have them.
func shownKeys(keys []issuer.Key) []any {
	out := make([]any, len(keys))
	for i, k := range keys {
		d := engine.Doc{}
		for name, value := range map[string]string{"kty": k.Type, "kid": k.ID, "alg": k.Algorithm, "use": k.Use, "n": k.N, "e": k.E} {
			if value != "" {
				d.Set(name, value)
			}
		}
		out[i] = d
	}
	return out
}
