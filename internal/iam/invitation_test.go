package iam

import (
	"errors"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

func TestInvitedAddresses(t *testing.T) {
	t.Parallel()
	for email, good := range map[string]bool{
		"marty@example.com": true, "o'brien+weir@example.co.uk": true, "a@b": true,
		"marty": false, "@example.com": false, "Marty <marty@example.com>": false, "a@example.com, b@example.com": false,
		" marty@example.com": false, "marty@example.com\r\nBcc: all@example.com": false, "<marty@example.com>": false,
	} {
		w := &engine.Write{New: &engine.Object{Kind: Invitation, Doc: engine.Doc{"email": email}}}
		problems := validateInvitation(w)
		if (problems == nil) != good {
			t.Errorf("%q: %v", email, problems)
		}
		for _, p := range problems {
			if p.Pointer != "/email" {
				t.Errorf("%q: the problem points at %s", email, p.Pointer)
			}
		}
	}
}

func TestInvitationAllocatesAUser(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o := f.get(Invitation, f.invite("Marty@example.com").ID)
	if o.Doc.String("status") != StatusStaged || o.Doc.String("expires_at") != api.Timestamp(f.now.Add(InvitationTTL)) {
		t.Errorf("the invitation is %v", o.Doc)
	}
	user := f.get(User, o.Doc.String("user.id"))
	if user == nil || user.Doc.String("email") != "Marty@example.com" {
		t.Fatalf("the user is %+v", user)
	}
	if record, err := DecodeUserRecord(user.Private); err != nil || !record.Pending {
		t.Errorf("the user's record is %+v, %v", record, err)
	}
	again := func(email string) error {
		return f.try(func(tx store.Tx) error {
			return f.Insert(f.t.Context(), tx, &engine.Object{Kind: Invitation, Org: orgID, Doc: engine.Doc{"email": email, "auth_type": AuthTypeLocal}})
		})
	}
	wantCode(t, again("marty@EXAMPLE.com"), api.AlreadyExists)
	wantCode(t, again("admin@example.com"), api.AlreadyExists)
}

// withdrawn deletes an invitation as the operation does.
func (f *fixture) withdrawn(id string) error {
	f.t.Helper()
	return f.try(func(tx store.Tx) error {
		old, err := f.Lock(f.t.Context(), tx, orgID, Invitation, id)
		if err != nil {
			return err
		}
		changed := *old
		changed.Doc = old.Doc.Clone()
		w := &engine.Write{Engine: f.Engine, Tx: tx, Verb: engine.Delete, Now: f.now, Old: old, New: &changed}
		if err := withdraw(f.t.Context(), w); err != nil {
			return err
		}
		return f.Save(f.t.Context(), tx, w.New)
	})
}

func status(t *testing.T, o *engine.Object) string {
	t.Helper()
	if o == nil {
		t.Fatal("the invitation is gone")
	}
	return o.Doc.String("status")
}

func TestWithdrawnInvitationTakesItsUser(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o := f.invite("marty@example.com")
	if err := f.withdrawn(o.ID); err != nil {
		t.Fatal(err)
	}
	if got := status(t, f.get(Invitation, o.ID)); got != StatusDeactivated {
		t.Errorf("the status is %s", got)
	}
	if f.get(User, o.Doc.String("user.id")) != nil {
		t.Error("the user is still there")
	}
	// Once more changes nothing.
	before := f.get(Invitation, o.ID)
	if err := f.withdrawn(o.ID); err != nil {
		t.Error(err)
	}
	if after := f.get(Invitation, o.ID); status(t, after) != StatusDeactivated || !after.Updated.Equal(before.Updated) {
		t.Errorf("the second deletion made it %+v", after)
	}
}

func TestAcceptedInvitationCannotBeWithdrawn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o := f.invite("marty@example.com")
	f.change(Invitation, o.ID, func(o *engine.Object) { o.Doc.Set("status", StatusAccepted) })
	wantCode(t, f.withdrawn(o.ID), api.BadRequest)
	if f.get(User, o.Doc.String("user.id")) == nil {
		t.Error("the user is gone")
	}
}

// reinvited lets an invitation expire and invites the same address again,
// which keeps the user.
func (f *fixture) reinvited() (expired, second *engine.Object) {
	f.t.Helper()
	expired = f.invite("marty@example.com")
	f.now = f.now.Add(InvitationTTL + time.Second)
	f.change(Invitation, expired.ID, func(o *engine.Object) { o.Doc.Set("status", StatusExpired) })
	second = f.invite("marty@example.com")
	if a, b := expired.Doc.String("user.id"), second.Doc.String("user.id"); a != b {
		f.t.Fatalf("the second invitation has the user %s, the first had %s", b, a)
	}
	return expired, second
}

// The record of an old invitation says nothing of the user any more once
// another invitation was accepted.
func TestWithdrawingAnExpiredInvitationLeavesAUserWhoJoinedSince(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expired, second := f.reinvited()
	user := second.Doc.String("user.id")
	f.change(Invitation, second.ID, func(o *engine.Object) { o.Doc.Set("status", StatusAccepted) })
	f.change(User, user, func(o *engine.Object) { o.Private = UserRecord{PasswordHash: "x"}.Encode() })
	if err := f.withdrawn(expired.ID); err != nil {
		var refused *api.Error
		if !errors.As(err, &refused) {
			t.Errorf("the error is none for the client: %v", err)
		}
	}
	if f.get(User, user) == nil {
		t.Error("the user, who has joined, was removed with a record of an invitation that had expired")
	}
}

func TestWithdrawingAnExpiredInvitationLeavesTheOpenOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expired, second := f.reinvited()
	if err := f.withdrawn(expired.ID); err != nil {
		var refused *api.Error
		if !errors.As(err, &refused) {
			t.Errorf("the error is none for the client: %v", err)
		}
	}
	if got := status(t, f.get(Invitation, second.ID)); got != StatusStaged {
		t.Errorf("the invitation that was open is %s", got)
	}
}

// The user can go before the record of an invitation does.
func TestWithdrawingAnInvitationWithoutItsUser(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o := f.invite("marty@example.com")
	f.change(Invitation, o.ID, func(o *engine.Object) { o.Doc.Set("status", StatusExpired) })
	f.must(func(tx store.Tx) error {
		user, err := f.Lock(t.Context(), tx, orgID, User, o.Doc.String("user.id"))
		if err != nil {
			return err
		}
		return f.Remove(t.Context(), tx, user)
	})
	err := f.withdrawn(o.ID)
	var refused *api.Error
	if err != nil && !errors.As(err, &refused) {
		t.Errorf("the error is none for the client: %v", err)
	}
}
