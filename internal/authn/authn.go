package authn

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/store"
)

// Kinds of credentials, named as the API's security schemes.
const (
	SchemeCloudKey    = "cloud-api-key"
	SchemeGlobalKey   = "global-api-key"
	SchemeResourceKey = "resource-api-key"
	// SchemeAPIKey is how some documents name the keys that reach management
	// operations, without telling Cloud and Global ones apart.
	SchemeAPIKey = "api-key"
)

// Keys of the kinds that authentication reads.
const (
	APIKeyKind      = "iam/v2.ApiKey"
	RoleBindingKind = "iam/v2.RoleBinding"
)

// PrincipalPrefix stands before the ID of a principal in role bindings.
const PrincipalPrefix = "User:"

// Caller is who makes a request.
type Caller struct {
	*authz.Subject
	// Scheme is the kind of credential; Credential is its public part, the
	// key's id.
	Scheme, Credential string
}

// Refusal is the error of credentials that were not accepted, with what is
// known of whose they are: for the audit log, and never for the answer.
type Refusal struct {
	// Answer is what the client is told.
	Answer *api.Error
	// Org and Principal are those of the key that was named, if it exists.
	Org, Principal string
	// Mechanism is how the credentials came, Credential the ID of the key that
	// was named, if it has the form of one: anything else could be a secret that
	// stands in the wrong place.
	Mechanism, Credential string
}

func (r *Refusal) Error() string { return r.Answer.Error() }

// Unwrap returns the answer.
func (r *Refusal) Unwrap() error { return r.Answer }

// Authenticator checks credentials against the directory.
type Authenticator struct {
	Directory *Directory
	Hasher    Hasher
}

// Authenticate returns the caller, or the error to answer with. accepted lists
// the security schemes of the operation.
func (a *Authenticator) Authenticate(r *http.Request, accepted []string) (*Caller, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, unauthenticated("Basic", "Valid authentication credentials must be provided; send a Cloud API key with HTTP Basic authentication")
	}
	scheme, _, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return nil, unauthenticated("Basic", "This operation takes a Cloud API key with HTTP Basic authentication, and no other scheme")
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		return nil, invalidKey("The Authorization header is malformed; send 'Basic' and the Base64 of the API key, a colon and its secret")
	}
	return a.key(r.Context(), id, secret, accepted)
}

func (a *Authenticator) key(ctx context.Context, id, secret string, accepted []string) (*Caller, error) {
	org, record, err := a.Directory.Key(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	refuse := func(message string) error {
		r := &Refusal{Answer: invalidKey(message), Org: org, Principal: record.Owner, Mechanism: "HTTP_BASIC"}
		if keyShape(id) {
			r.Credential = id
		}
		return r
	}
	// An unknown key goes on with an empty record, which no secret matches: it
	// costs what a wrong secret costs.
	if !a.Hasher.Matches(record.Hash, secret) {
		return nil, refuse("The API key or its secret is not valid")
	}
	if !accepts(accepted, record.Scheme) {
		return nil, refuse("invalid API key: make sure you're using a Cloud API Key and not a resource-specific API key")
	}
	subject, err := a.Directory.Subject(ctx, org, record.Owner)
	if err != nil {
		return nil, err
	}
	return &Caller{Subject: subject, Scheme: record.Scheme, Credential: id}, nil
}

func accepts(accepted []string, scheme string) bool {
	return slices.Contains(accepted, scheme) ||
		(scheme == SchemeCloudKey || scheme == SchemeGlobalKey) && slices.Contains(accepted, SchemeAPIKey)
}

func invalidKey(message string) *api.Error {
	return unauthenticated(`Basic error="invalid_key", error_description="The API Key is invalid"`, message)
}

func unauthenticated(challenge, message string) *api.Error {
	return api.New(api.Unauthenticated, message).WithHeader("WWW-Authenticate", challenge)
}
