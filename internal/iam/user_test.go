package iam

import (
	"reflect"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

func TestRecords(t *testing.T) {
	t.Parallel()
	for _, want := range []UserRecord{{}, {PasswordHash: "$argon2id$x"}, {Pending: true}} {
		if got, err := DecodeUserRecord(want.Encode()); err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
	}
	want := InvitationRecord{TokenHash: []byte{0, 1, 255}, ClaimedUntil: time.Date(2026, 3, 1, 0, 0, 0, 123000, time.UTC)}
	got, err := DecodeInvitationRecord(want.Encode())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v came back as %+v, %v", want, got, err)
	}
	for _, broken := range []string{"", "{", "[]"} {
		if _, err := DecodeUserRecord([]byte(broken)); err == nil {
			t.Errorf("the user record %q was read", broken)
		}
		if _, err := DecodeInvitationRecord([]byte(broken)); err == nil {
			t.Errorf("the invitation record %q was read", broken)
		}
	}
}

func TestRemovingAUserDeactivatesItsInvitation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o := f.invite("marty@example.com")
	f.must(func(tx store.Tx) error {
		user, err := f.Lock(t.Context(), tx, orgID, User, o.Doc.String("user.id"))
		if err != nil {
			return err
		}
		return f.Remove(t.Context(), tx, user)
	})
	if got := status(t, f.get(Invitation, o.ID)); got != StatusDeactivated {
		t.Errorf("the status is %s", got)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	remove := func(k *engine.Kind, id string) error {
		return f.try(func(tx store.Tx) error {
			o, err := f.Lock(t.Context(), tx, orgID, k, id)
			if err != nil {
				return err
			}
			return f.Remove(t.Context(), tx, o)
		})
	}
	bind := func(id string) {
		f.must(func(tx store.Tx) error {
			return Bind(t.Context(), f.Engine, tx, orgID, id, authz.OrganizationAdmin, root)
		})
	}
	wantCode(t, remove(User, f.admin), api.BadRequest)

	// Who was invited and has not come yet cannot administrate anything.
	invited := f.invite("marty@example.com").Doc.String("user.id")
	bind(invited)
	wantCode(t, remove(User, f.admin), api.BadRequest)

	robot := f.account("robot").ID
	bind(robot)
	wantCode(t, remove(User, f.admin), api.BadRequest) // the robot has no key

	f.key(robot)
	if err := remove(User, f.admin); err != nil {
		t.Errorf("with another administrator: %v", err)
	}
	wantCode(t, remove(ServiceAccount, robot), api.BadRequest)
	if f.get(ServiceAccount, robot) == nil {
		t.Error("a refused deletion removed the account")
	}
}
