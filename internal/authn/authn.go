package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

// Kinds of credentials, named as the API's security schemes.
const (
	SchemeCloudKey    = "cloud-api-key"
	SchemeGlobalKey   = "global-api-key"
	SchemeResourceKey = "resource-api-key"
	// SchemeAPIKey is how some documents name the keys that reach management
	// operations, without telling Cloud and Global ones apart.
	SchemeAPIKey = "api-key"
	// SchemeCertificate is a client's certificate. No document lists it: it does
	// wherever an access token of an identity pool does.
	SchemeCertificate = "client-certificate"
)

// Keys of the kinds that authentication reads.
const (
	APIKeyKind      = "iam/v2.ApiKey"
	RoleBindingKind = "iam/v2.RoleBinding"
	SessionKind     = "weir/v1.Session"
)

// PrincipalPrefix stands before the ID of a principal in role bindings.
const PrincipalPrefix = "User:"

// Caller is who makes a request.
type Caller struct {
	*authz.Subject
	// Scheme is the kind of credential; Credential is its public part, the
	// key's id.
	Scheme, Credential string
	// Identity is who stands behind an identity pool, nil for other callers.
	Identity *Identity
	// Scopes are what a token is good for, of the kinds that have scopes.
	Scopes []string
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
	// Tokens read bearer tokens, by their security scheme: operation.STSToken,
	// Session, PartnerToken, ExternalToken. Tokens of a scheme that is not there
	// are refused.
	Tokens map[string]TokenReader
	// Certificate returns the caller behind the certificates that the client of a
	// request has shown. The error of one that is not good wraps ErrCertificate and
	// is told to the client. It is nil where certificates do not count.
	Certificate func(ctx context.Context, r *http.Request) (*Caller, error)
}

// TokenReader returns the caller that a bearer token stands for, with Scheme
// and Credential set; Credential is what the logs may name the token by. The
// error of a token that is not good wraps ErrToken and is told to the client.
type TokenReader func(ctx context.Context, r *http.Request, raw string) (*Caller, error)

// ErrToken is wrapped by errors that say why a bearer token is refused, in
// words for the client and without anything of the token.
var ErrToken = token.ErrInvalid

// ErrCertificate is wrapped by errors that say why a client's certificate is
// refused, in words for the client.
var ErrCertificate = errors.New("the client certificate is not accepted")

// Authenticate returns the caller, or the error to answer with. accepted lists
// the security schemes of the operation.
func (a *Authenticator) Authenticate(r *http.Request, accepted []string) (*Caller, error) {
	lines := r.Header.Values("Authorization")
	if len(lines) == 0 && a.Certificate != nil && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && accepts(accepted, operation.STSToken) {
		caller, err := a.Certificate(r.Context(), r)
		if errors.Is(err, ErrCertificate) {
			return nil, &Refusal{Answer: unauthenticated(challenge(accepted), sentence(err)), Mechanism: "MUTUAL_TLS"}
		}
		return caller, err
	}
	if len(lines) == 0 || lines[0] == "" {
		return nil, unauthenticated(challenge(accepted), "Valid authentication credentials must be provided; send "+wanted(accepted))
	}
	if len(lines) > 1 {
		return nil, unauthenticated(challenge(accepted), "The request has more than one Authorization header; send one")
	}
	scheme, rest, _ := strings.Cut(lines[0], " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		id, secret, ok := r.BasicAuth()
		if !ok {
			return nil, invalidKey("The Authorization header is malformed; send 'Basic' and the Base64 of the API key, a colon and its secret")
		}
		return a.key(r.Context(), id, secret, accepted)
	case strings.EqualFold(scheme, "Bearer") && takesTokens(accepted):
		return a.token(r, strings.TrimLeft(rest, " "), accepted)
	default:
		return nil, unauthenticated(challenge(accepted), "This operation takes "+wanted(accepted)+", and no other scheme")
	}
}

// token authenticates a bearer token.
func (a *Authenticator) token(r *http.Request, raw string, accepted []string) (*Caller, error) {
	if len(raw) > token.MaxLength {
		return nil, invalidToken(fmt.Sprintf("The token is longer than %d bytes", token.MaxLength))
	}
	scheme := schemeOf(raw)
	read := a.Tokens[scheme]
	if read == nil || !accepts(accepted, scheme) {
		return nil, invalidToken("The token is not valid, or of a kind that this operation does not take; it takes " + wanted(accepted))
	}
	caller, err := read(r.Context(), r, raw)
	if errors.Is(err, ErrToken) {
		return nil, invalidToken(sentence(err))
	}
	return caller, err
}

// sentence makes the text of an error one that can be shown.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// schemeOf tells what kind of token a text claims to be. What Weir has not made
// is somebody else's.
func schemeOf(raw string) string {
	switch token.UseOf(raw) {
	case token.STS:
		return operation.STSToken
	case token.Session:
		return operation.Session
	case token.Partner:
		return operation.PartnerToken
	default:
		return operation.ExternalToken
	}
}

// takesTokens reports whether an operation takes any bearer token.
func takesTokens(accepted []string) bool {
	return slices.ContainsFunc([]string{operation.STSToken, operation.Session, operation.PartnerToken, operation.ExternalToken},
		func(scheme string) bool { return accepts(accepted, scheme) })
}

// takesKeys reports whether an operation takes any API key.
func takesKeys(accepted []string) bool {
	return slices.ContainsFunc([]string{SchemeCloudKey, SchemeGlobalKey, SchemeResourceKey},
		func(scheme string) bool { return accepts(accepted, scheme) })
}

// takesResourceKeys reports whether an operation is one of a resource, which
// takes keys for that and not those that manage.
func takesResourceKeys(accepted []string) bool { return accepts(accepted, SchemeResourceKey) }

// wanted says which credentials an operation takes.
func wanted(accepted []string) string {
	switch {
	case takesResourceKeys(accepted):
		return "an API key for the resource with HTTP Basic authentication"
	case !takesTokens(accepted):
		return "a Cloud API key with HTTP Basic authentication"
	case !takesKeys(accepted):
		return "an access token as 'Bearer'"
	default:
		return "a Cloud API key with HTTP Basic authentication or an access token as 'Bearer'"
	}
}

// challenge names the scheme that most clients of the operation use.
func challenge(accepted []string) string {
	if takesKeys(accepted) || !takesTokens(accepted) {
		return "Basic"
	}
	return "Bearer"
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
		if takesResourceKeys(accepted) {
			return nil, refuse("invalid API key: this operation takes an API key for the resource that it is about")
		}
		return nil, refuse("invalid API key: make sure you're using a Cloud API Key and not a resource-specific API key")
	}
	subject, err := a.Directory.Subject(ctx, org, record.Owner)
	if err != nil {
		return nil, err
	}
	return &Caller{Subject: subject, Scheme: record.Scheme, Credential: id}, nil
}

// accepts reports whether credentials of the scheme will do. The session of a
// user opens what the user's Cloud API key opens: the CLI has nothing else to
// show (facts, clients C).
func accepts(accepted []string, scheme string) bool {
	switch {
	case slices.Contains(accepted, scheme):
		return true
	case scheme == operation.Session:
		return accepts(accepted, SchemeCloudKey)
	case scheme == SchemeCloudKey, scheme == SchemeGlobalKey:
		return slices.Contains(accepted, SchemeAPIKey)
	default:
		return false
	}
}

func invalidKey(message string) *api.Error {
	return unauthenticated(`Basic error="invalid_key", error_description="The API Key is invalid"`, message)
}

func invalidToken(message string) *api.Error {
	return unauthenticated(`Bearer error="invalid_token", error_description="The access token is invalid"`, message)
}

func unauthenticated(challenge, message string) *api.Error {
	return api.New(api.Unauthenticated, message).WithHeader("WWW-Authenticate", challenge)
}
