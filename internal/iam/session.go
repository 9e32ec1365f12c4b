package iam

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

// Session is what a user who signed in has. It is Weir's own kind and has no
// operations: package signin begins, renews and ends sessions. Private holds an
// authn.SessionRecord. A session goes with its user, and with the single sign-on
// connection that it began through.
var Session = &engine.Kind{
	Group: "weir", Version: "v1", Name: "Session",
	Description: "A session is what a user who signed in has.",
	Path:        "/sessions",
	ID:          engine.IDShape{Prefix: "session-", Length: 20, Alphabet: random.LowerAlphanumeric},
	Segment:     "session",
	Resource:    "Session",
	Methods: map[engine.Verb]string{
		engine.Create: "SignIn", engine.Update: "RefreshSession", engine.Delete: "SignOut",
	},
	Fields: []engine.Field{{
		Name: "user", Type: engine.Reference, Required: true, Immutable: true,
		Description: "Who signed in.",
		To:          &engine.ReferenceTo{Kinds: []string{userID.Key}, OnDelete: engine.Cascade, Typed: true},
	}, {
		Name: "connection", Type: engine.Reference, Immutable: true,
		Description: "The single sign-on connection that it began through.",
		To:          &engine.ReferenceTo{Kinds: []string{SSOConnection.Key()}, OnDelete: engine.Cascade, Typed: true},
	}},
}

// SessionsOf lists the user's sessions, the oldest first.
func SessionsOf(ctx context.Context, r store.Reader, org, user string) ([]store.Row, error) {
	return r.List(ctx, store.Query{
		Org: org, Kind: Session.Key(), Limit: maxHeld,
		Where: []store.Condition{{Field: "user", Values: []string{user}}},
	})
}

// EndSessions ends all sessions of the user, in a transaction that holds the
// user's lock.
func EndSessions(ctx context.Context, e *engine.Engine, tx store.Tx, org, user string) error {
	rows, err := SessionsOf(ctx, tx, org, user)
	if err != nil {
		return err
	}
	for i := range rows {
		if err := EndSession(ctx, e, tx, rows[i].ID); err != nil {
			return err
		}
	}
	return nil
}

// SessionUser returns the organization and the user of the session, and nothing
// of one that has ended.
func SessionUser(ctx context.Context, r store.Reader, id string) (org, user string, err error) {
	row, err := r.Get(ctx, "", store.Key{Kind: Session.Key(), ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	o, err := Session.Decode(row)
	if err != nil {
		return "", "", err
	}
	return o.Org, o.Doc.String("user.id"), nil
}

// EndSession ends the session. It does nothing to one that has ended.
func EndSession(ctx context.Context, e *engine.Engine, tx store.Tx, id string) error {
	session, err := e.Lock(ctx, tx, "", Session, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return e.Remove(ctx, tx, session)
}

// ErrNoSignIn is wrapped by the errors about users who cannot have a password.
var ErrNoSignIn = errors.New("the user cannot sign in with a password")

// SetPassword gives the user another password, by its hash, ends all of the
// user's sessions, and makes the token of a mail useless. Unless may, which can be
// nil, allows it of the record as it is, the answer is store.ErrNotFound.
func SetPassword(ctx context.Context, e *engine.Engine, tx store.Tx, org, id, hash string, may func(UserRecord) bool) error {
	user, err := e.Lock(ctx, tx, org, User, id)
	if err != nil {
		return err
	}
	record, err := DecodeUserRecord(user.Private)
	if err != nil {
		return err
	}
	switch {
	case may != nil && !may(record):
		return store.ErrNotFound
	case record.Pending:
		return fmt.Errorf("%w: the invitation has not been accepted yet; the link in its mail leads to a page to choose one", ErrNoSignIn)
	case user.Doc.String("auth_type") == AuthTypeSSO:
		return fmt.Errorf("%w: its authentication type is %s; change that first", ErrNoSignIn, AuthTypeSSO)
	}
	user.Private = UserRecord{PasswordHash: hash}.Encode()
	if err := e.Save(ctx, tx, user); err != nil {
		return err
	}
	return EndSessions(ctx, e, tx, user.Org, user.ID)
}

// OfferReset lets the user choose another password until a time, with the token
// of which the hash is given. One that was given out before is useless then. A
// user who cannot sign in with a password gets store.ErrNotFound.
func OfferReset(ctx context.Context, e *engine.Engine, tx store.Tx, org, id, tokenHash string, until time.Time) error {
	user, err := e.Lock(ctx, tx, org, User, id)
	if err != nil {
		return err
	}
	if hash, err := PasswordOf(user); err != nil || hash == "" {
		return errors.Join(err, store.ErrNotFound)
	}
	record, err := DecodeUserRecord(user.Private)
	if err != nil {
		return err
	}
	record.ResetHash, record.ResetExpires = tokenHash, until.UTC()
	user.Private = record.Encode()
	return e.Save(ctx, tx, user)
}

// Resettable reports whether the token with the hash lets the user choose another
// password. It compares in constant time.
func (r UserRecord) Resettable(tokenHash string, now time.Time) bool {
	return r.ResetHash != "" && subtle.ConstantTimeCompare([]byte(r.ResetHash), []byte(tokenHash)) == 1 && now.Before(r.ResetExpires)
}

// PasswordOf returns the hash of the password that the user can sign in with,
// or "" for one who cannot: who has not accepted the invitation, or signs in
// otherwise.
func PasswordOf(user *engine.Object) (string, error) {
	record, err := DecodeUserRecord(user.Private)
	if err != nil || record.Pending || user.Doc.String("auth_type") == AuthTypeSSO {
		return "", err
	}
	return record.PasswordHash, nil
}

// UsersWith returns the users with the address, in the organization or, where
// none is named, in all of them, the oldest first. Addresses compare without
// regard to the case of ASCII letters.
func UsersWith(ctx context.Context, r store.Reader, org, email string) ([]*engine.Object, error) {
	rows, err := r.List(ctx, store.Query{
		Org: org, Kind: User.Key(), Limit: maxHeld,
		Where: []store.Condition{{Field: store.FieldName, Values: []string{engine.FoldASCII(email)}}},
	})
	if err != nil {
		return nil, err
	}
	users := make([]*engine.Object, 0, len(rows))
	for i := range rows {
		row, err := r.Get(ctx, rows[i].Org, rows[i].Key) // lists leave out what is private
		if errors.Is(err, store.ErrNotFound) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		user, err := User.Decode(row)
		if err != nil {
			return nil, err
		}
		users = append(users, user)
	}
	return users, nil
}
