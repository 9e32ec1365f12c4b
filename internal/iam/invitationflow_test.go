package iam

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

var (
	firstToken  = bytes.Repeat([]byte{1}, 32)
	secondToken = bytes.Repeat([]byte{2}, 32)
)

// claim claims the mail of an invitation for a minute.
func (f *fixture) claim(id string, token []byte) (o *engine.Object, heldUntil time.Time) {
	f.t.Helper()
	f.must(func(tx store.Tx) (err error) {
		o, heldUntil, err = ClaimInvitation(f.t.Context(), f.Engine, tx, id, token, f.now.Add(time.Minute))
		return err
	})
	return o, heldUntil
}

func (f *fixture) markSent(id string, token []byte) {
	f.t.Helper()
	f.must(func(tx store.Tx) error { return MarkInvitationSent(f.t.Context(), f.Engine, tx, id, token) })
}

func (f *fixture) expire(id string) {
	f.t.Helper()
	f.must(func(tx store.Tx) error { return ExpireInvitation(f.t.Context(), f.Engine, tx, id) })
}

func (f *fixture) accept(id string, token []byte) error {
	f.t.Helper()
	return f.try(func(tx store.Tx) error {
		return AcceptInvitation(f.t.Context(), f.Engine, tx, id, token, "Marty McFly", "a hash")
	})
}

func (f *fixture) wantStatus(id, want string) {
	f.t.Helper()
	if got := status(f.t, f.get(Invitation, id)); got != want {
		f.t.Errorf("the invitation is %s, want %s", got, want)
	}
}

func wantClosed(t *testing.T, err error, status string) {
	t.Helper()
	var closed *InvitationClosedError
	if !errors.As(err, &closed) || closed.Status != status {
		t.Errorf("the error is %v, want one that says %s", err, status)
	}
}

func TestClaimIsExclusive(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.invite("marty@example.com").ID
	if o, until := f.claim(id, firstToken); o == nil || !until.Equal(f.now.Add(time.Minute)) {
		t.Fatalf("the first claim: %v, %v", o, until)
	}
	if o, until := f.claim(id, secondToken); o != nil || !until.Equal(f.now.Add(time.Minute)) {
		t.Errorf("the second claim: %v, %v", o, until)
	}
	f.now = f.now.Add(time.Minute)
	if o, _ := f.claim(id, secondToken); o == nil {
		t.Fatal("a claim that is over keeps others out")
	}
	// Who lost the claim has nothing more to say.
	f.markSent(id, firstToken)
	f.wantStatus(id, StatusStaged)
	if err := f.accept(id, firstToken); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the older token: %v", err)
	}
	f.markSent(id, secondToken)
	f.wantStatus(id, StatusSent)
	if o, until := f.claim(id, firstToken); o != nil || !until.IsZero() {
		t.Errorf("a claim of what is sent: %v, %v", o, until)
	}
}

func TestFindInvitation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.invite("marty@example.com").ID
	find := func(id string, token []byte) error {
		_, err := FindInvitation(t.Context(), f.Store, id, token)
		return err
	}
	// Before the first mail there is no token, and none is as good as another.
	for _, token := range [][]byte{nil, {}, firstToken} {
		if err := find(id, token); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v before the first mail: %v", token, err)
		}
	}
	f.claim(id, firstToken)
	for _, token := range [][]byte{nil, {}, secondToken, firstToken[:31]} {
		if err := find(id, token); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v: %v", token, err)
		}
	}
	if err := find(id, firstToken); err != nil {
		t.Error(err)
	}
	if err := find("i-000000", firstToken); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such invitation: %v", err)
	}
}

func TestAcceptInvitation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.invite("marty@example.com").ID
	f.claim(id, firstToken)
	for _, token := range [][]byte{nil, secondToken} {
		if err := f.accept(id, token); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a wrong token: %v", err)
		}
	}
	if err := f.accept(id, firstToken); err != nil {
		t.Fatal(err)
	}
	f.wantStatus(id, StatusAccepted)
	user := f.get(User, f.get(Invitation, id).Doc.String("user.id"))
	if record, err := DecodeUserRecord(user.Private); err != nil || record.Pending || record.PasswordHash != "a hash" {
		t.Errorf("the user's record is %+v, %v", record, err)
	}
	wantClosed(t, f.accept(id, firstToken), StatusAccepted)
	f.markSent(id, firstToken)
	f.now = f.now.Add(2 * InvitationTTL)
	f.expire(id)
	f.wantStatus(id, StatusAccepted)
}

// However it came about, an invitation never takes an active account over.
func TestAcceptLeavesActiveUsersAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.invite("marty@example.com").ID
	f.claim(id, firstToken)
	f.must(func(tx store.Tx) error {
		user, err := f.Lock(t.Context(), tx, orgID, User, f.get(Invitation, id).Doc.String("user.id"))
		if err != nil {
			return err
		}
		user.Private = UserRecord{PasswordHash: "mine"}.Encode()
		return f.Save(t.Context(), tx, user)
	})
	wantClosed(t, f.accept(id, firstToken), StatusAccepted)
	user := f.get(User, f.get(Invitation, id).Doc.String("user.id"))
	if record, err := DecodeUserRecord(user.Private); err != nil || record.PasswordHash != "mine" {
		t.Errorf("the user's record is %+v, %v", record, err)
	}
}

func TestExpireInvitation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	staged, claimed := f.invite("marty@example.com").ID, f.invite("doc@example.com").ID
	f.now = f.now.Add(InvitationTTL - time.Microsecond)
	f.claim(claimed, firstToken)
	f.expire(staged)
	f.wantStatus(staged, StatusStaged)
	f.now = f.now.Add(time.Microsecond)
	wantClosed(t, f.accept(claimed, firstToken), StatusExpired)
	if o, until := f.claim(staged, firstToken); o != nil || !until.IsZero() {
		t.Errorf("a claim after the time: %v, %v", o, until)
	}
	for _, id := range []string{staged, claimed} {
		f.expire(id)
		f.wantStatus(id, StatusExpired)
	}
	wantClosed(t, f.accept(claimed, firstToken), StatusExpired)
	if err := f.withdrawn(claimed); err != nil {
		t.Fatal(err)
	}
	f.expire(claimed)
	f.wantStatus(claimed, StatusDeactivated)
	wantClosed(t, f.accept(claimed, firstToken), StatusDeactivated)
}

func TestFlowOfNoInvitation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const id = "i-000000"
	for name, step := range map[string]func(tx store.Tx) error{
		"claim": func(tx store.Tx) error {
			_, _, err := ClaimInvitation(t.Context(), f.Engine, tx, id, firstToken, f.now)
			return err
		},
		"sent":   func(tx store.Tx) error { return MarkInvitationSent(t.Context(), f.Engine, tx, id, firstToken) },
		"expire": func(tx store.Tx) error { return ExpireInvitation(t.Context(), f.Engine, tx, id) },
		"accept": func(tx store.Tx) error {
			return AcceptInvitation(t.Context(), f.Engine, tx, id, firstToken, "Marty", "a hash")
		},
	} {
		if err := f.try(step); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
