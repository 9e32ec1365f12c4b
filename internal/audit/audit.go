// Package audit makes the events of the audit log: CloudEvents 1.0 whose data
// has the shape of the real service's audit log messages.
//
// An event says who asked for what, from where, with which credential, whether
// they were allowed to, and what came of it. A successful change holds the
// object as it is afterwards, or nothing where it is gone, so that who reads
// the events of an organization from the first one on can rebuild its state.
// No secret, token or hash is ever part of an event.
//
// Source of the shape: facts, semantics 9.
package audit

import (
	"context"
	"net/netip"
	"time"

	"github.com/weirhq/weir/internal/crn"
)

// Constants of the events.
const (
	// Source is where all events say that they come from.
	Source = "crn://confluent.cloud/"
	// TypeRequest is the type of every event that tells of a request, or of
	// what Weir did by itself.
	TypeRequest = "io.confluent.cloud/request"
	// TypeGap is the type of the event that tells a consumer that events were
	// removed before it was given them.
	TypeGap = "io.weir.audit/gap"
)

// Event is one event about a request or a change.
type Event struct {
	// ID is unique; New gives one.
	ID   string
	Time time.Time
	// Organization is the ID of the one that the event belongs to; "" is for
	// what belongs to none, such as an API key that does not exist.
	Organization string
	// Method is what was asked for, for example "CreateServiceAccount".
	Method string
	// Access is whether that changes anything.
	Access Access
	// Resource is the resource name of what the event is about, or "".
	Resource string
	// Resources say the same by type and scope, the first one by where
	// Resource itself stands.
	Resources []Resource
	// Actor is who asked; nil stands for Weir itself.
	Actor *Actor
	// Authorization is what was decided; nil means that nothing was.
	Authorization *Authorization
	// Submitted is a JSON object with the readable fields of the request, or nil.
	Submitted []byte
	// Failed is whether nothing came of it.
	Failed bool
	// Result is a JSON object: the object as it is after a change, or what went
	// wrong; nil where an object is gone, and for reads. It may have
	// api.BaseMark in place of the public URL.
	Result []byte
}

// Access is what a method does.
type Access string

// The kinds of access. A modification that succeeds tells of one object, and
// without a result that it is gone; what is done to no object, such as an
// exchange of tokens, is Unknown.
const (
	Unknown      Access = "UNKNOWN"
	ReadOnly     Access = "READ_ONLY"
	Modification Access = "MODIFICATION"
)

// Resource names an object, or a kind of objects where ID is "", and the scope
// that it stands in.
type Resource struct {
	Scope []crn.Segment
	// Type is for example "SERVICE_ACCOUNT".
	Type, ID string
}

// Actor is who makes a request, how they proved it, and from where.
type Actor struct {
	// Organization and Principal are the IDs of who asks, as far as known.
	// Without a principal it is nobody, or a Component of Weir.
	Organization, Principal string
	// Component is the part of Weir that acts by itself, for example
	// "bootstrap".
	Component string
	// Identity is the resource name of who asks, where it says more than the
	// principal: the identity that an identity provider vouches for.
	Identity string
	// Mechanism is how the credentials came: HTTP_BASIC, HTTP_BEARER or a
	// mechanism of Weir's own.
	Mechanism string
	// Credential is the public part of a credential with a secret: an API
	// key's ID.
	Credential string
	// Token describes a token that took the place of a Credential, or is nil.
	Token *Token
	// Refused is why the credentials were not accepted; "" means that they
	// were.
	Refused string
	// RequestID is the ID of the request, or "".
	RequestID string
	// Client is the address that the request came from, if any.
	Client netip.Addr
}

// Token is what may be told of a token: never the token.
type Token struct {
	// ID is what the token may be named by, Type the kind of token.
	ID, Type, Issuer, Subject string
	Audience                  []string
}

// Mechanisms.
const (
	HTTPBasic  = "HTTP_BASIC"
	HTTPBearer = "HTTP_BEARER"
	// MutualTLS is a client's certificate.
	MutualTLS = "MUTUAL_TLS"
	// InvitationLink is the token in the link of an invitation's mail.
	InvitationLink = "INVITATION_LINK"
	// PasswordLink is the token in the link for who forgot a password.
	PasswordLink = "PASSWORD_LINK"
	// Password is that of a user, RefreshToken the token that a session goes on
	// with.
	Password     = "PASSWORD"
	RefreshToken = "REFRESH_TOKEN"
	// SSO is what an organization's own OpenID Connect provider says.
	SSO = "SSO"
)

// Authorization is a decision.
type Authorization struct {
	Operation, ResourceType string
	// ResourceName is what the question was asked on, or "".
	ResourceName string
	// OperationGroup is set where IP filters decided: they kept the client out of
	// the operations of that group.
	OperationGroup string
	Allowed        bool
}

// Operator is the Component for commands on the server's own machine.
const Operator = "operator"

type actorKey struct{}

// WithActor says who is behind the changes that are made with the context.
func WithActor(ctx context.Context, a *Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// As says that a part of Weir makes the changes by itself.
func As(ctx context.Context, component string) context.Context {
	return WithActor(ctx, &Actor{Component: component})
}

// ActorOf returns who is behind the changes that are made with the context.
// Where nothing was said, it is Weir.
func ActorOf(ctx context.Context) *Actor {
	if a, ok := ctx.Value(actorKey{}).(*Actor); ok {
		return a
	}
	return &weir
}

var weir = Actor{Component: "weir"}
