package partner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

const (
	// TokenPath is where a partner's client gets its tokens.
	TokenPath = "/oauth2/token"
	// tokenLife is how long one is good, unless its partner ends it before.
	tokenLife = time.Hour
	// linkLife is the same for linking tokens.
	linkLife = 24 * time.Hour
)

// grant is what a partner's token says beside who it is for.
type grant struct {
	// Scope are its scopes, separated by spaces.
	Scope string `json:"scope"`
	// Version is that of the partner's row: a write to it ends the token.
	Version int64 `json:"partner_version"`
}

// TokenReader reads the tokens of partners. The partner is looked up in the
// database each time, so that none of its tokens outlives a new secret or its
// deletion, on whichever replica.
func TokenReader(s store.Reader, keys *token.Keys) authn.TokenReader {
	return func(ctx context.Context, _ *http.Request, raw string) (*authn.Caller, error) {
		var g grant
		claims, err := keys.Verify(ctx, token.Partner, raw, &g)
		if err != nil {
			return nil, err
		}
		row, err := s.Get(ctx, claims.Subject, store.Key{Kind: Partner.Key(), ID: claims.Subject})
		if errors.Is(err, store.ErrNotFound) || err == nil && row.Version != g.Version {
			return nil, fmt.Errorf("%w: the partner has another secret since, or is no more", token.ErrInvalid)
		}
		if err != nil {
			return nil, err
		}
		return callerOf(claims.Subject, claims.ID, strings.Fields(g.Scope)), nil
	}
}

// callerOf is a partner as a caller: the administrator of its own namespace and
// of nothing else.
func callerOf(partner, tokenID string, scopes []string) *authn.Caller {
	return &authn.Caller{
		Subject: authz.NewSubject(partner, partner, []authz.Binding{
			{Role: authz.OrganizationAdmin, Scope: crn.PatternOf(authz.Root(partner))},
		}),
		Scheme: operation.PartnerToken, Credential: tokenID, Scopes: scopes,
	}
}

// LinkToken returns a token with which the partner, and no other, can link the
// organization to itself, and until when it is good.
func LinkToken(ctx context.Context, e *engine.Engine, partner, organization string) (string, time.Time, error) {
	for _, o := range []struct {
		id   string
		kind *engine.Kind
		none error
	}{
		{partner, Partner, noPartner(partner)},
		{organization, org.Organization, fmt.Errorf("there is no organization %q", organization)},
	} {
		if _, err := e.Store.Get(ctx, o.id, store.Key{Kind: o.kind.Key(), ID: o.id}); errors.Is(err, store.ErrNotFound) {
			return "", time.Time{}, o.none
		} else if err != nil {
			return "", time.Time{}, err
		}
	}
	raw, claims, err := e.SigningKeys.Issue(ctx, token.PartnerLink, token.Claims{
		Issuer: e.PublicURL, Subject: partner, Organization: organization,
	}, linkLife, nil)
	return raw, claims.Expiry.Time(), err
}

// TokenEndpoint gives out tokens for client credentials (RFC 6749, section 4.4).
// Its refusals have that document's shape; what stands outside of it, such as
// too many requests, has the API's.
type TokenEndpoint struct {
	// Engine has the keys that tokens are signed with.
	Engine *engine.Engine
	// Clients is where the partners are read, before it is known who asks.
	Clients store.Reader
	// Admit applies the limits of a caller, or those of the address when there
	// is none. leave is called at the end of the request.
	Admit func(w http.ResponseWriter, r *http.Request, caller *authn.Caller) (leave func(), err error)
	// Refuse answers with an error of the API.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
}

// refusal is an error of RFC 6749, section 5.2.
type refusal struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func (e *refusal) Error() string { return "partner: " + e.Code + ": " + e.Description }

var errClient = &refusal{"invalid_client", "The client's ID or its secret is not valid"}

// ServeHTTP answers one request for a token.
func (t *TokenEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		t.Refuse(w, r, api.New(api.MethodNotAllowed, "Tokens are asked for with the method POST").WithHeader("Allow", http.MethodPost))
		return
	}
	req, err := readTokenRequest(r)
	var who *client
	var caller *authn.Caller
	if err == nil {
		if who, err = t.authenticate(r.Context(), req); err == nil {
			caller = callerOf(who.ID, "", nil)
		}
	}
	leave, limited := t.Admit(w, r, caller)
	if limited != nil {
		t.Refuse(w, r, limited)
		return
	}
	defer leave()
	var body *issued
	if err == nil {
		body, err = t.issue(r.Context(), who, req.scope)
	}
	t.record(r, req.clientID, who, err)
	var refused *refusal
	switch {
	case err == nil:
		write(w, http.StatusOK, body)
	case !errors.As(err, &refused):
		t.Refuse(w, r, err)
	case refused == errClient:
		w.Header().Set("WWW-Authenticate", `Basic realm="weir partners"`)
		write(w, http.StatusUnauthorized, refused)
	default:
		write(w, http.StatusBadRequest, refused)
	}
}

// record puts the request into the audit log: each token that was given out, and
// each that was refused.
func (t *TokenEndpoint) record(r *http.Request, clientID string, who *client, err error) {
	a := t.Engine.Actor(r)
	a.Mechanism = audit.HTTPBasic
	if Partner.ID.Has(clientID) {
		a.Credential = clientID
	}
	if who != nil {
		a.Organization, a.Principal = who.ID, who.ID
	}
	ev := &audit.Event{Organization: a.Organization, Method: "CreatePartnerToken", Access: audit.Unknown, Actor: a}
	var refused *refusal
	switch {
	case err == nil:
		t.Engine.Record(r.Context(), ev)
	case errors.As(err, &refused) && refused == errClient:
		a.Refused = refused.Description
		t.Engine.RecordFailure(r.Context(), ev, api.New(api.Unauthenticated, refused.Description))
	case refused != nil:
		t.Engine.RecordFailure(r.Context(), ev, api.New(api.BadRequest, refused.Description))
	}
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that went away is no concern of ours
}

// issued is the answer with a token.
type issued struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
}

// client is a partner that has shown its secret.
type client struct {
	*engine.Object
	// version is that of the partner's row.
	version int64
}

func (t *TokenEndpoint) issue(ctx context.Context, c *client, scope string) (*issued, error) {
	scopes, err := grantable(ScopesOf(c.Object), scope)
	if err != nil {
		return nil, err
	}
	g := grant{Scope: strings.Join(scopes, " "), Version: c.version}
	raw, _, err := t.Engine.SigningKeys.Issue(ctx, token.Partner, token.Claims{Issuer: t.Engine.PublicURL, Subject: c.ID}, tokenLife, g)
	if err != nil {
		return nil, err
	}
	return &issued{raw, "Bearer", int(tokenLife / time.Second), g.Scope}, nil
}

// authenticate finds the client. One that is unknown costs what a wrong secret
// costs.
func (t *TokenEndpoint) authenticate(ctx context.Context, req tokenRequest) (*client, error) {
	row := &store.Row{}
	if Partner.ID.Has(req.clientID) {
		found, err := t.Clients.Get(ctx, req.clientID, store.Key{Kind: Partner.Key(), ID: req.clientID})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			row = found
		}
	}
	good := false
	for _, secret := range req.secrets {
		good = t.Engine.Hasher.Matches(row.Private, secret) || good
	}
	if !good {
		return nil, errClient
	}
	o, err := Partner.Decode(row)
	return &client{o, row.Version}, err
}

// tokenRequest is a request for a token.
type tokenRequest struct {
	clientID string
	// secrets are what the client's secret can be: HTTP Basic credentials are
	// encoded as in forms, which not every client does.
	secrets []string
	scope   string
}

func readTokenRequest(r *http.Request) (tokenRequest, error) {
	var req tokenRequest
	form, err := api.ReadForm(r)
	if err != nil {
		var failed *api.Error
		if errors.As(err, &failed) && failed.Code.Status < http.StatusInternalServerError {
			return req, &refusal{"invalid_request", failed.Problems[0].Message}
		}
		return req, err
	}
	text := func(name string) string { s, _ := form[name].(string); return s }
	req.scope = text("scope")
	req.clientID = text("client_id")
	secret, inForm := form["client_secret"].(string)
	id, password, basic := r.BasicAuth()
	switch {
	case basic && inForm, basic && req.clientID != "" && req.clientID != id:
		return req, &refusal{"invalid_request", "The client's credentials come twice: send them with HTTP Basic authentication or in the form"}
	case basic:
		req.clientID, req.secrets = id, []string{password}
		if decoded, err := url.QueryUnescape(password); err == nil {
			req.secrets = append(req.secrets, decoded)
		}
	case r.Header.Get("Authorization") != "" || !inForm:
		return req, errClient
	default:
		req.secrets = []string{secret}
	}
	switch text("grant_type") {
	case "client_credentials":
		return req, nil
	case "":
		return req, &refusal{"invalid_request", "The parameter grant_type is missing: send client_credentials"}
	default:
		return req, &refusal{"unsupported_grant_type", "The parameter grant_type must be client_credentials"}
	}
}

// grantable returns the scopes of a new token: those that are asked for, or all
// that the partner can have.
func grantable(allowed []string, asked string) ([]string, error) {
	wanted := strings.Fields(asked)
	if len(wanted) == 0 {
		return allowed, nil
	}
	for _, scope := range wanted {
		if !slices.Contains(allowed, scope) {
			return nil, &refusal{"invalid_scope", "This client can have the scopes " + strings.Join(allowed, " ")}
		}
	}
	return slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return !slices.Contains(wanted, s) }), nil
}
