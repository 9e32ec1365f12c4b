package authn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

// SessionClaims are the claims of a session's token beside those that every
// token has.
type SessionClaims struct {
	// Session is the session's ID.
	Session string `json:"sid"`
}

// SessionRecord is what is kept of a session. It ends when its row goes.
type SessionRecord struct {
	// User is the ID of who signed in.
	User string `json:"user"`
	// Refresh is the hash of the refresh token that is good, Previous that of
	// the one before, which Refreshed took the place of; nil at first.
	Refresh  []byte `json:"refresh"`
	Previous []byte `json:"previous,omitempty"`
	// Refreshed is when the newest token was given out, Ends until when the
	// session can live at all.
	Refreshed time.Time `json:"refreshed"`
	Ends      time.Time `json:"ends"`
	// SSO is whether it began through single sign-on: group mappings are for no
	// other session. Groups are those that the user was in when it began.
	SSO    bool     `json:"sso,omitempty"`
	Groups []string `json:"groups,omitempty"`
}

// Encode returns the record as stored bytes.
func (r SessionRecord) Encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("authn: encode session record: %v", err)) // bytes, text and times always encode
	}
	return b
}

// DecodeSessionRecord reads what Encode returned.
func DecodeSessionRecord(b []byte) (SessionRecord, error) {
	var r SessionRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("authn: stored session record cannot be read: %w", err)
	}
	return r, nil
}

// Mappings returns the IDs of the group mappings of the organization that are for
// somebody who is in the groups, always in the same order.
type Mappings func(ctx context.Context, org string, groups []string) ([]string, error)

// Sessions returns the reader of the tokens of sessions. Such a token stands
// for its user while the session lives, and where that began through single sign-on
// for the user's group mappings too; the caller's Credential is the session.
func Sessions(keys *token.Keys, d *Directory, mappings Mappings) TokenReader {
	return func(ctx context.Context, _ *http.Request, raw string) (*Caller, error) {
		var more SessionClaims
		claims, err := keys.Verify(ctx, token.Session, raw, &more)
		if err != nil {
			return nil, err
		}
		org, session, err := d.Session(ctx, more.Session)
		if errors.Is(err, store.ErrNotFound) || err == nil && (org != claims.Organization || session.User != claims.Subject) {
			return nil, fmt.Errorf("%w: its session has ended, sign in again", ErrToken)
		}
		if err != nil {
			return nil, err
		}
		var with []string
		if session.SSO {
			if with, err = mappings(ctx, org, session.Groups); err != nil {
				return nil, err
			}
		}
		subject, err := d.Subject(ctx, org, session.User, with...)
		if err != nil {
			return nil, err
		}
		return &Caller{Subject: subject, Scheme: operation.Session, Credential: more.Session}, nil
	}
}
