// Package signin begins, renews and ends the sessions of users, who sign in with a
// password or through single sign-on (package sso), and lets them change a password.
//
// A session is a row of the kind iam.Session. What its user holds of it are two
// texts: a token of a few minutes, which requests are made with, and a refresh
// token, which is good once, for the next pair. The session ends for every
// replica within a second of its row's end (authn.Directory).
package signin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/ratelimit"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

// Bounds of a session.
const (
	// TokenLife is how long a session's token is good, where nothing else is said.
	TokenLife = 10 * time.Minute
	// IdleLife is how long a refresh token is good, MaxLife how long the
	// session can be renewed at all.
	IdleLife = 24 * time.Hour
	MaxLife  = 7 * 24 * time.Hour
	// MaxSessions is how many sessions a user has at a time; with a further one
	// the oldest ends.
	MaxSessions = 100
	// RefreshGrace is how long after a refresh the token that was used for it
	// gives the same answer: a client may not have got the first one, and two
	// commands may refresh at the same time.
	RefreshGrace = 10 * time.Second

	// maxEmail is the greatest length of an address, in bytes.
	maxEmail = 254
)

// Errors for who signs in. They tell nothing of which accounts there are.
var (
	// ErrCredentials: no user who can sign in has this address and password.
	ErrCredentials = errors.New("the e-mail address or the password is wrong")
	// ErrRefresh: the refresh token is not, or no longer, good.
	ErrRefresh = errors.New("the session has ended; sign in again")
)

// TooManyError says that attempts with this address or from there have to wait.
type TooManyError struct {
	// RetryAfter is how long, at least.
	RetryAfter time.Duration
}

// Seconds is RetryAfter as the header of that name has it, rounded up.
func (e *TooManyError) Seconds() int { return int((e.RetryAfter + time.Second - 1) / time.Second) }

func (e *TooManyError) Error() string { return "too many failed attempts; wait before the next one" }

// Service begins, renews and ends sessions. It may be used from several
// goroutines; there is one in a process, as it counts failed attempts.
type Service struct {
	engine    *engine.Engine
	passwords *authn.Passwords
	attempts  *attempts
	sender    mail.Sender
	// forgotten are the addresses of users who forgot their password, waiting
	// for mail; asked limits how often one may ask.
	forgotten chan string
	asked     *ratelimit.Limiter
	tokenLife time.Duration
	// nobody is the hash that stands for accounts which do not exist.
	nobody string
}

// New returns the service for the engine's store, clock, keys and log. Tokens
// live for tokenLife, or for TokenLife where that is 0. The sender takes mail to
// users who forgot their password.
func New(e *engine.Engine, passwords *authn.Passwords, sender mail.Sender, tokenLife time.Duration) (*Service, error) {
	if tokenLife == 0 {
		tokenLife = TokenLife
	}
	attempts, err := newAttempts()
	if err != nil {
		return nil, err
	}
	asked, err := ratelimit.NewLimiter(perAsked, remembered)
	if err != nil {
		return nil, fmt.Errorf("signin: %w", err)
	}
	return &Service{engine: e, passwords: passwords, attempts: attempts, sender: sender, forgotten: make(chan string, maxForgotten), asked: asked, tokenLife: tokenLife, nobody: authn.NoPassword()}, nil
}

// Attempt is what somebody signs in with.
type Attempt struct {
	Email, Password string
	// Organization is the ID of the organization to sign in to; empty means
	// the first that the address has a user in.
	Organization string
	// Address is where the attempt comes from, in the form that attempts are
	// counted under.
	Address string
	// Admit, where not nil, is asked once the password is proved, and refuses who
	// may not come from there into the organization.
	Admit Admit
}

// Admit refuses who may not enter the organization from where a request comes;
// its error is the answer.
type Admit func(organization string) error

func (a Admit) ask(organization string) error {
	if a == nil {
		return nil
	}
	return a(organization)
}

// Grant is what who signed in gets.
type Grant struct {
	Organization, User, Session string
	// Token is good until Expires, Refresh once for another Grant.
	Token, Refresh string
	Expires        time.Time
}

// Begin signs a user in. It answers ErrCredentials, *TooManyError or
// authn.ErrBusy to who has to try again.
func (s *Service) Begin(ctx context.Context, a Attempt) (*Grant, error) {
	if t, ok := parseRefreshToken(a.Password); ok && t.authentic(s.engine.Hasher.Key) {
		return s.continueSession(ctx, t, a)
	}
	user, hash, err := s.check(ctx, a)
	ctx = as(ctx, audit.Password, user)
	if err != nil {
		s.note(ctx, "SignIn", "sign-in failed", err, user, a)
		return nil, err
	}
	g, err := s.begin(ctx, user, start{still: func(current *engine.Object) (bool, error) {
		still, err := iam.PasswordOf(current)
		return still == hash, err
	}})
	if err != nil {
		return nil, err
	}
	s.engine.Log.InfoContext(ctx, "signed in", "user", g.User, "organization", g.Organization, "session", g.Session,
		"address", a.Address, "request_id", api.RequestID(ctx))
	return g, nil
}

// check returns the user whose address and password these are, with the hash
// that the password was compared with. An account that does not exist costs
// what a wrong password costs.
func (s *Service) check(ctx context.Context, a Attempt) (*engine.Object, string, error) {
	if err := s.attempts.allow(a, s.engine.Now()); err != nil {
		return nil, "", err
	}
	user, hash, err := s.find(ctx, a)
	if err != nil {
		return nil, "", err
	}
	err = s.passwords.Turn(ctx, func() error {
		// Those before in the queue may have used up what this one has.
		if err := s.attempts.allow(a, s.engine.Now()); err != nil {
			return err
		}
		ok, err := authn.PasswordMatches(a.Password, hash)
		if err != nil {
			return err
		}
		if !ok || user == nil {
			s.attempts.failed(a, s.engine.Now())
			return ErrCredentials
		}
		s.attempts.succeeded(a)
		return nil
	})
	if err == nil {
		err = a.Admit.ask(user.Org)
	}
	return user, hash, err
}

// find returns the user who would sign in, and the hash of the password; where
// there is none, the hash is one that nothing matches.
func (s *Service) find(ctx context.Context, a Attempt) (*engine.Object, string, error) {
	if a.Email == "" || len(a.Email) > maxEmail {
		return nil, s.nobody, nil
	}
	users, err := iam.UsersWith(ctx, s.engine.Store, a.Organization, a.Email)
	if err != nil {
		return nil, "", err
	}
	for _, user := range users {
		hash, err := iam.PasswordOf(user)
		if err != nil {
			return nil, "", err
		}
		if hash != "" {
			return user, hash, nil
		}
	}
	return nil, s.nobody, nil
}

// continueSession signs in with a refresh token in the place of the password: that is
// how a session that began in a browser gets to a program that knows passwords
// only. The address must be the user's.
func (s *Service) continueSession(ctx context.Context, t refreshToken, a Attempt) (*Grant, error) {
	org, err := s.emailOf(ctx, t, a.Email)
	if err == nil && a.Organization != "" && a.Organization != org {
		err = ErrCredentials
	}
	if err != nil {
		s.note(as(ctx, audit.RefreshToken, nil), "SignIn", "sign-in with a refresh token refused", err, nil, a)
		return nil, err
	}
	return s.Renew(ctx, t.String(), a.Organization, a.Admit)
}

// emailOf answers ErrCredentials unless the address is that of the user whose
// session the token is of, and returns the organization of that.
func (s *Service) emailOf(ctx context.Context, t refreshToken, email string) (string, error) {
	row, err := s.engine.Store.Get(ctx, "", store.Key{Kind: iam.Session.Key(), ID: t.session})
	if err == nil {
		var session authn.SessionRecord
		if session, err = authn.DecodeSessionRecord(row.Private); err != nil {
			return "", err
		}
		row, err = s.engine.Store.Get(ctx, row.Org, store.Key{Kind: iam.User.Key(), ID: session.User})
	}
	if errors.Is(err, store.ErrNotFound) {
		return "", ErrCredentials
	}
	if err != nil {
		return "", err
	}
	user, err := iam.User.Decode(row)
	if err == nil && engine.FoldASCII(user.Doc.String("email")) != engine.FoldASCII(email) {
		err = ErrCredentials
	}
	return row.Org, err
}

// BeginSSO signs a user in whom the organization's single sign-on connection vouches
// for, as a member of the groups. It answers ErrCredentials where the user or the
// connection has gone or changed meanwhile.
func (s *Service) BeginSSO(ctx context.Context, user, connection *engine.Object, groups []string) (*Grant, error) {
	g, err := s.begin(ctx, user, start{
		still: func(current *engine.Object) (bool, error) {
			record, err := iam.DecodeUserRecord(current.Private)
			return !record.Pending && current.Doc.String("auth_type") == iam.AuthTypeSSO, err
		},
		connection: connection, groups: groups,
	})
	if err != nil {
		return nil, err
	}
	s.engine.Log.InfoContext(ctx, "signed in through single sign-on", "user", g.User, "organization", g.Organization, "session", g.Session,
		"connection", connection.ID, "request_id", api.RequestID(ctx))
	return g, nil
}

// start is how a session begins.
type start struct {
	// still reports whether the user, as found when the session is written, may
	// sign in.
	still func(*engine.Object) (bool, error)
	// connection is nil without single sign-on.
	connection *engine.Object
	groups     []string
}

// begin makes a session of the user.
func (s *Service) begin(ctx context.Context, user *engine.Object, how start) (*Grant, error) {
	now := s.engine.Now().UTC()
	refresh := newRefreshToken(s.engine.Hasher.Key, iam.Session.ID.New())
	record := authn.SessionRecord{
		User: user.ID, Refresh: refresh.hash(s.engine.Hasher.Key), Refreshed: now, Ends: now.Add(MaxLife),
		SSO: how.connection != nil, Groups: how.groups,
	}
	doc := engine.Doc{"user": engine.Doc{"id": user.ID}}
	if how.connection != nil {
		doc.Set("connection", engine.Doc{"id": how.connection.ID})
	}
	err := s.engine.Store.Update(ctx, func(tx store.Tx) error {
		// Pinned, the user neither goes nor changes meanwhile.
		row, err := tx.Pin(ctx, user.Org, user.Key())
		if errors.Is(err, store.ErrNotFound) {
			return ErrCredentials
		}
		if err != nil {
			return err
		}
		current, err := iam.User.Decode(row)
		if err != nil {
			return err
		}
		if still, err := how.still(current); err != nil || !still {
			return errors.Join(err, ErrCredentials)
		}
		if how.connection != nil {
			_, err := tx.Pin(ctx, user.Org, how.connection.Key())
			if errors.Is(err, store.ErrNotFound) {
				return ErrCredentials
			}
			if err != nil {
				return err
			}
		}
		if err := s.makeRoom(ctx, tx, user.Org, user.ID, now); err != nil {
			return err
		}
		return s.engine.Insert(ctx, tx, &engine.Object{
			Kind: iam.Session, Org: user.Org, ID: refresh.session, Private: record.Encode(), Doc: doc.Clone(),
		})
	})
	if err != nil {
		return nil, err
	}
	return s.grant(ctx, user.Org, refresh, record, now)
}

// makeRoom ends the user's sessions that are over, and the oldest beyond what a
// user may have.
func (s *Service) makeRoom(ctx context.Context, tx store.Tx, org, user string, now time.Time) error {
	rows, err := iam.SessionsOf(ctx, tx, org, user)
	if err != nil {
		return err
	}
	for i := range rows {
		if len(rows)-i >= MaxSessions || over(rows[i].Created, rows[i].Updated, now) {
			if err := iam.EndSession(ctx, s.engine, tx, rows[i].ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// over reports whether a session can no longer be renewed.
func over(began, refreshed, now time.Time) bool {
	return !now.Before(began.Add(MaxLife)) || !now.Before(refreshed.Add(IdleLife))
}

// grant signs the session's token.
func (s *Service) grant(ctx context.Context, org string, refresh refreshToken, record authn.SessionRecord, now time.Time) (*Grant, error) {
	raw, claims, err := s.engine.SigningKeys.Issue(ctx, token.Session, token.Claims{
		Issuer: s.engine.PublicURL, Subject: record.User, Organization: org,
	}, min(s.tokenLife, max(record.Ends.Sub(now), time.Second)), authn.SessionClaims{Session: refresh.session})
	if err != nil {
		return nil, err
	}
	return &Grant{
		Organization: org, User: record.User, Session: refresh.session,
		Token: raw, Refresh: refresh.String(), Expires: claims.Expiry.Time(),
	}, nil
}

// Renew gives the next pair of tokens for a refresh token. The token before the
// newest, used again, shows that two have it: then the session ends. An
// organization that is named must be the session's: another one asks for the
// password of the user there. Admit is as in Attempt.
func (s *Service) Renew(ctx context.Context, refresh, organization string, admit Admit) (*Grant, error) {
	g, err := s.renew(ctx, refresh, organization, admit)
	if err != nil {
		s.note(as(ctx, audit.RefreshToken, nil), "RefreshSession", "refresh refused", err, nil, Attempt{})
		return nil, err
	}
	s.engine.Log.InfoContext(ctx, "session refreshed", "user", g.User, "organization", g.Organization, "session", g.Session, "request_id", api.RequestID(ctx))
	return g, nil
}

func (s *Service) renew(ctx context.Context, raw, organization string, admit Admit) (*Grant, error) {
	key := s.engine.Hasher.Key
	used, ok := parseRefreshToken(raw)
	if !ok || !used.authentic(key) {
		return nil, ErrRefresh
	}
	row, err := s.engine.Store.Get(ctx, "", store.Key{Kind: iam.Session.Key(), ID: used.session})
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrRefresh
	}
	if err != nil {
		return nil, err
	}
	if err := admit.ask(row.Org); err != nil {
		return nil, err
	}
	now := s.engine.Now().UTC()
	next := used.next(key)
	ctx = as(ctx, audit.RefreshToken, nil)
	var session *engine.Object
	var record authn.SessionRecord
	var refused error
	err = s.engine.Store.Update(ctx, func(tx store.Tx) error {
		refused = nil
		var err error
		session, err = s.engine.Lock(ctx, tx, "", iam.Session, used.session)
		if errors.Is(err, store.ErrNotFound) {
			refused = ErrRefresh
			return nil
		}
		if err != nil {
			return err
		}
		if record, err = authn.DecodeSessionRecord(session.Private); err != nil {
			return err
		}
		who := audit.ActorOf(ctx)
		who.Organization, who.Principal = session.Org, record.User
		hash := used.hash(key)
		switch {
		case organization != "" && organization != session.Org:
			refused = fmt.Errorf("%w: it is one of another organization", ErrRefresh)
			return nil
		case over(session.Created, record.Refreshed, now):
			refused = ErrRefresh
		case same(hash, record.Refresh):
			record.Refresh, record.Previous, record.Refreshed = next.hash(key), hash, now
			session.Private, session.Updated = record.Encode(), now
			return s.engine.Save(ctx, tx, session)
		case same(hash, record.Previous) && now.Before(record.Refreshed.Add(RefreshGrace)):
			return nil
		default:
			refused = fmt.Errorf("%w: a refresh token was used twice, so that somebody else may have it", ErrRefresh)
		}
		return iam.EndSession(ctx, s.engine, tx, session.ID)
	})
	if err = errors.Join(err, refused); err != nil {
		return nil, err
	}
	return s.grant(ctx, session.Org, next, record, now)
}

// End ends the session that the token or the refresh token is of. A token of a
// session that has ended is as good as any; one that is not valid answers
// authn.ErrToken or ErrRefresh.
func (s *Service) End(ctx context.Context, raw, refresh string) error {
	var id string
	mechanism := audit.RefreshToken
	if raw != "" {
		mechanism = audit.HTTPBearer
		var more authn.SessionClaims
		if _, err := s.engine.SigningKeys.Verify(ctx, token.Session, raw, &more); err != nil {
			return err
		}
		id = more.Session
	} else {
		t, ok := parseRefreshToken(refresh)
		if !ok || !t.authentic(s.engine.Hasher.Key) {
			return ErrRefresh
		}
		id = t.session
	}
	ctx = as(ctx, mechanism, nil)
	err := s.engine.Store.Update(ctx, func(tx store.Tx) error {
		org, user, err := iam.SessionUser(ctx, tx, id)
		if err != nil {
			return err
		}
		who := audit.ActorOf(ctx)
		who.Organization, who.Principal = org, user
		return iam.EndSession(ctx, s.engine, tx, id)
	})
	if err != nil {
		return err
	}
	s.engine.Log.InfoContext(ctx, "signed out", "session", id, "request_id", api.RequestID(ctx))
	return nil
}

// ChangePassword gives the user another password, who proves the one before,
// and ends all of the user's sessions. The errors are those of Begin; the new
// password must be a good one (authn.PasswordProblem).
func (s *Service) ChangePassword(ctx context.Context, a Attempt, password string) error {
	user, was, err := s.check(ctx, a)
	ctx = as(ctx, audit.Password, user)
	if err != nil {
		s.note(ctx, "ChangePassword", "change of password refused", err, user, a)
		return err
	}
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	err = s.engine.Store.Update(ctx, func(tx store.Tx) error {
		return iam.SetPassword(ctx, s.engine, tx, user.Org, user.ID, hash, func(r iam.UserRecord) bool { return r.PasswordHash == was })
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, iam.ErrNoSignIn) {
		return ErrCredentials // changed meanwhile
	}
	if err != nil {
		return err
	}
	s.engine.Log.InfoContext(ctx, "password changed", "user", user.ID, "organization", user.Org, "address", a.Address, "request_id", api.RequestID(ctx))
	return nil
}

// note logs why somebody was refused; what else failed is for the caller to
// log. Of the attempt it tells which user it was for, where there is one, and
// not what was typed: people type passwords in the wrong place.
func (s *Service) note(ctx context.Context, method, what string, err error, user *engine.Object, a Attempt) {
	var tooMany *TooManyError
	refused := new(api.Error)
	if !errors.Is(err, ErrCredentials) && !errors.Is(err, ErrRefresh) && !errors.Is(err, authn.ErrBusy) && !errors.As(err, &tooMany) && !errors.As(err, &refused) {
		return
	}
	id := ""
	if user != nil {
		id = user.ID
	}
	s.engine.Log.WarnContext(ctx, what, "reason", err.Error(), "user", id, "address", a.Address, "request_id", api.RequestID(ctx))
	if errors.As(err, &tooMany) || errors.Is(err, authn.ErrBusy) {
		return // counted, and not each in the audit log: whoever floods it must not fill it
	}
	who := *audit.ActorOf(ctx)
	who.Refused = err.Error()
	s.engine.RecordFailure(ctx, &audit.Event{
		Method: method, Access: audit.Modification, Actor: &who, Organization: who.Organization,
		Resources: []audit.Resource{{Type: audit.TypeOf(iam.Session.Name)}},
	}, api.New(api.Unauthenticated, who.Refused))
}

// as says in the context who signs in, and with what; the user may be nil.
func as(ctx context.Context, mechanism string, user *engine.Object) context.Context {
	who := *audit.ActorOf(ctx)
	who.Component, who.Mechanism = "", mechanism
	if user != nil {
		who.Organization, who.Principal = user.Org, user.ID
	}
	return audit.WithActor(ctx, &who)
}

// sweepInterval is how often sessions that are over are looked for, batch how
// many are read at once.
const (
	sweepInterval = 10 * time.Minute
	batch         = 200
)

// Run ends sessions that are over and sends mail to users who forgot their
// password, until the context ends.
func (s *Service) Run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { s.deliver(ctx) })
	defer work.Wait()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.engine.Log.WarnContext(ctx, "cannot end sessions that are over, trying again", "wait", sweepInterval, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepInterval):
		}
	}
}

// Sweep ends the sessions that are over, of all organizations.
func (s *Service) Sweep(ctx context.Context) error {
	for after := int64(0); ; {
		rows, err := s.engine.Store.List(ctx, store.Query{Kind: iam.Session.Key(), After: after, Limit: batch})
		if err != nil {
			return err
		}
		for i := range rows {
			after = rows[i].Seq
			if err := s.sweep(ctx, &rows[i]); err != nil {
				return err
			}
		}
		if len(rows) < batch {
			return nil
		}
	}
}

func (s *Service) sweep(ctx context.Context, row *store.Row) error {
	if now := s.engine.Now().UTC(); over(row.Created, row.Updated, now) {
		return s.engine.Store.Update(ctx, func(tx store.Tx) error {
			// It may have been renewed since it was read.
			current, err := tx.Lock(ctx, row.Org, row.Key)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			if err != nil || !over(current.Created, current.Updated, now) {
				return err
			}
			return iam.EndSession(ctx, s.engine, tx, row.ID)
		})
	}
	return nil
}
