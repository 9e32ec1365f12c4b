package invitation_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/invitation"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/store"
)

const marty = "Marty+1@example.com"

func TestInvitationIsAccepted(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		id := w.invite(marty)
		w.wantStatus(id, iam.StatusStaged)
		if _, record := w.user(id); !record.Pending {
			t.Fatal("the user is active before anybody accepted")
		}
		c := w.courier()
		w.step(c)
		w.wantStatus(id, iam.StatusSent)
		w.step(c)
		messages := w.mail.all()
		if len(messages) != 1 {
			t.Fatalf("%d mails went out", len(messages))
		}
		m := messages[0]
		link := w.mail.link(t, marty)
		if m.To != marty || m.Subject != "Invitation to Finance Org on Weir" || !strings.HasPrefix(link, publicURL+"/invitation?token="+id+".") {
			t.Errorf("the mail to %q about %q has the link %q", m.To, m.Subject, link)
		}
		for _, part := range []string{m.Text, m.HTML} {
			for _, text := range []string{link, "Finance Org", "8 March 2026, 12:00 UTC"} {
				if !strings.Contains(part, text) {
					t.Errorf("%q is not in %s", text, part)
				}
			}
		}
		if secret := link[len(link)-43:]; strings.Contains(string(w.get(iam.Invitation, id).Private), secret) {
			t.Error("the store holds the token itself")
		}

		h := w.slowHandler(admitted)
		open(t, h, link).want(t, http.StatusOK, "<form", "Finance Org", "8 March 2026, 12:00 UTC", `name="full_name"`)
		open(t, h, link).want(t, http.StatusOK) // looking does not spend the link
		w.clock.Forward(90 * time.Second)
		submit(t, h, link, " Marty McFly ", "back to 1985", "back to 1985").want(t, http.StatusOK, "is active, Marty McFly")
		w.wantStatus(id, iam.StatusAccepted)
		if at := w.get(iam.Invitation, id).Doc.String("accepted_at"); at != "2026-03-01T12:01:30.000000Z" {
			t.Errorf("accepted at %s", at)
		}
		user, record := w.user(id)
		if record.Pending || user.Doc.String("full_name") != "Marty McFly" {
			t.Errorf("the user is %v, %v", user.Doc, record.Pending)
		}
		if ok, err := authn.PasswordMatches("back to 1985", record.PasswordHash); err != nil || !ok {
			t.Errorf("the password: %v, %v", ok, err)
		}

		open(t, h, link).want(t, http.StatusGone, "already used")
		submit(t, h, link, "Biff", "hello, McFly", "hello, McFly").want(t, http.StatusGone, "already used")
		w.clock.Forward(30 * 24 * time.Hour)
		w.step(c)
		w.wantStatus(id, iam.StatusAccepted)
		open(t, h, link).want(t, http.StatusGone, "already used")
		if again, r := w.user(id); again.Doc.String("full_name") != "Marty McFly" || r.PasswordHash != record.PasswordHash {
			t.Error("a spent link has changed the user")
		}
		if len(w.mail.all()) != 1 {
			t.Error("more mail went out")
		}
		w.wantNoToken()
	})
}

func TestInvitationExpires(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		sent, link := w.sent(marty)
		w.mail.then(func(context.Context, mail.Message) error { return errors.New("out of stamps") })
		staged := w.invite("doc@example.com")
		c := w.courier()
		w.clock.Forward(iam.InvitationTTL - time.Microsecond)
		w.step(c)
		w.wantStatus(sent, iam.StatusSent)
		w.wantStatus(staged, iam.StatusStaged)
		h := w.handler()
		open(t, h, link).want(t, http.StatusOK)
		w.clock.Forward(time.Microsecond)
		// The page does not wait for the courier.
		open(t, h, link).want(t, http.StatusGone, "expired")
		submit(t, h, link, "Marty", "back to 1985", "back to 1985").want(t, http.StatusGone, "expired")
		w.step(c)
		w.wantStatus(sent, iam.StatusExpired)
		w.wantStatus(staged, iam.StatusExpired)
		open(t, h, link).want(t, http.StatusGone, "expired")

		// The user waits for a new invitation, whose link is good.
		user, record := w.user(sent)
		if !record.Pending {
			t.Error("the user is active")
		}
		w.mail.then(nil)
		again, newLink := w.sent(marty)
		if next, _ := w.user(again); next.ID != user.ID {
			t.Errorf("the second invitation is for %s, the first was for %s", next.ID, user.ID)
		}
		submit(t, h, newLink, "Marty", "back to 1985", "back to 1985").want(t, http.StatusOK)
		w.wantStatus(again, iam.StatusAccepted)
		w.wantStatus(sent, iam.StatusExpired)
		open(t, h, link).want(t, http.StatusGone, "expired")
	})
}

func TestInvitationIsDeactivated(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		id, link := w.sent(marty)
		remove := func(id string) {
			w.update(func(tx store.Tx) error {
				user, err := w.Lock(t.Context(), tx, w.org, iam.User, w.get(iam.Invitation, id).Doc.String("user.id"))
				if err != nil {
					return err
				}
				return w.Remove(t.Context(), tx, user)
			})
		}
		remove(id)
		w.wantStatus(id, iam.StatusDeactivated)
		h := w.handler()
		open(t, h, link).want(t, http.StatusGone, "withdrawn")
		submit(t, h, link, "Marty", "back to 1985", "back to 1985").want(t, http.StatusGone, "withdrawn")

		// One that goes while its mail is on the way stays as it is.
		w.mail.then(func(_ context.Context, m mail.Message) error {
			id, _, _ := strings.Cut(strings.SplitN(m.Text, "token=", 2)[1], ".")
			remove(id)
			return nil
		})
		late, lateLink := w.sent("doc@example.com")
		w.wantStatus(late, iam.StatusDeactivated)
		open(t, h, lateLink).want(t, http.StatusGone, "withdrawn")
		w.clock.Forward(2 * iam.InvitationTTL)
		w.step(w.courier())
		w.wantStatus(id, iam.StatusDeactivated)
		w.wantStatus(late, iam.StatusDeactivated)
		if n := len(w.mail.all()); n != 2 {
			t.Errorf("%d mails went out", n)
		}
	})
}

// A mail can be read before its sender has stored that it is out.
func TestMailIsReadAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	h := w.handler()
	w.mail.then(func(_ context.Context, m mail.Message) error {
		submit(t, h, linkPattern.FindString(m.Text), "Marty", "back to 1985", "back to 1985").want(t, http.StatusOK)
		return nil
	})
	id := w.invite(marty)
	w.step(w.courier())
	w.wantStatus(id, iam.StatusAccepted)
}

func TestFailedMailIsTriedAgain(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		start := w.clock.Now()
		var attempts []time.Duration
		w.mail.then(func(context.Context, mail.Message) error {
			attempts = append(attempts, w.clock.Now().Sub(start))
			return errors.New("out of stamps")
		})
		id := w.invite(marty)
		c := w.courier()
		for w.clock.Now().Sub(start) < 80*time.Minute {
			w.step(c)
			w.clock.Forward(10 * time.Second)
		}
		w.wantStatus(id, iam.StatusStaged)
		want := []time.Duration{
			0, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute,
			31 * time.Minute, 46 * time.Minute, 61 * time.Minute, 76 * time.Minute,
		}
		if !slices.Equal(attempts, want) {
			t.Errorf("attempts after %v, want %v", attempts, want)
		}
		if n := strings.Count(w.log.String(), "out of stamps"); n != len(want) {
			t.Errorf("%d attempts made %d lines in the log", len(want), n)
		}
		w.mail.then(nil)
		w.clock.Forward(15 * time.Minute)
		w.step(c)
		w.wantStatus(id, iam.StatusSent)
		messages := w.mail.all()
		for _, m := range messages[:len(messages)-1] {
			open(t, w.handler(), linkPattern.FindString(m.Text)).want(t, http.StatusNotFound, "newest")
		}
		open(t, w.handler(), w.mail.link(t, marty)).want(t, http.StatusOK)
		w.wantNoToken()
	})
}

// One mail that cannot be sent does not hold up the others.
func TestOneBadAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.mail.then(func(_ context.Context, m mail.Message) error {
		if m.To == marty {
			return errors.New("no such mailbox")
		}
		return nil
	})
	bad, good := w.invite(marty), w.invite("doc@example.com")
	w.step(w.courier())
	w.wantStatus(bad, iam.StatusStaged)
	w.wantStatus(good, iam.StatusSent)
}

// A courier that ends between its claim and what it stores of the mail leaves
// the invitation to another one. The first mail may be out or not; its link is
// void from the second on.
func TestCrashWhileSending(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		id := w.invite(marty)
		ctx, crash := context.WithCancel(t.Context())
		w.mail.then(func(ctx context.Context, _ mail.Message) error {
			crash()
			return ctx.Err()
		})
		if err := w.courier().Step(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		w.wantStatus(id, iam.StatusStaged)
		w.mail.then(nil)
		first := w.mail.link(t, marty)
		other := invitation.NewCourier(w.again(), w.mail)
		w.step(other)
		if n := len(w.mail.all()); n != 1 {
			t.Fatalf("a claimed mail was sent by another one: %d mails", n)
		}
		h := w.handler()
		open(t, h, first).want(t, http.StatusOK) // in case the first mail was out
		w.clock.Forward(time.Minute)
		w.step(other)
		w.wantStatus(id, iam.StatusSent)
		second := w.mail.link(t, marty)
		if first == second || len(w.mail.all()) != 2 {
			t.Fatalf("%d mails, %s and %s", len(w.mail.all()), first, second)
		}
		open(t, h, first).want(t, http.StatusNotFound)
		submit(t, h, first, "Marty", "back to 1985", "back to 1985").want(t, http.StatusNotFound)
		submit(t, h, second, "Marty", "back to 1985", "back to 1985").want(t, http.StatusOK)
		w.wantStatus(id, iam.StatusAccepted)
	})
}

// A courier that was stopped while a mail went out still stores that it did.
func TestStoppedWhileSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	id := w.invite(marty)
	ctx, stop := context.WithCancel(t.Context())
	w.mail.then(func(context.Context, mail.Message) error {
		stop()
		return nil
	})
	w.courier().Run(ctx)
	w.wantStatus(id, iam.StatusSent)
}

// Replicas that look for work at the same time send each mail once.
func TestCouriersSendEachMailOnce(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		const people = 12
		var ids []string
		for i := range people {
			ids = append(ids, w.invite(fmt.Sprintf("p%d@example.com", i)))
		}
		couriers := []*invitation.Courier{w.courier(), w.courier(), invitation.NewCourier(w.again(), w.mail)}
		var wg sync.WaitGroup
		for _, c := range couriers {
			wg.Go(func() {
				if err := c.Step(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := map[string]int{}
		for _, m := range w.mail.all() {
			got[m.To]++
		}
		for i, id := range ids {
			w.wantStatus(id, iam.StatusSent)
			if n := got[fmt.Sprintf("p%d@example.com", i)]; n != 1 {
				t.Errorf("person %d got %d mails", i, n)
			}
		}
		w.clock.Forward(iam.InvitationTTL)
		for _, c := range couriers {
			wg.Go(func() {
				if err := c.Step(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, id := range ids {
			w.wantStatus(id, iam.StatusExpired)
		}
	})
}

// One courier serves every organization, and more people than it reads at
// once.
func TestManyInvitationsInSeveralOrganizations(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		organizations := []string{w.org, w.organization("Second\nLine"), w.organization("Third")}
		var ids []string
		for i := range 2*invitation.Batch + 5 {
			ids = append(ids, w.inviteTo(organizations[i%3], fmt.Sprintf("p%d@example.com", i)))
		}
		c := w.courier()
		w.step(c)
		subjects := map[string]int{}
		for _, m := range w.mail.all() {
			subjects[m.Subject]++
		}
		if len(subjects) != 3 || subjects["Invitation to Second Line on Weir"] != len(ids)/3 {
			t.Errorf("the mails are %v", subjects)
		}
		for _, id := range ids {
			w.wantStatus(id, iam.StatusSent)
		}
		w.clock.Forward(iam.InvitationTTL)
		w.step(c)
		for _, id := range ids {
			w.wantStatus(id, iam.StatusExpired)
		}
	})
}

func TestRun(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, w *world) {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		c := w.courier()
		go func() {
			defer close(ended)
			c.Run(ctx)
		}()
		is := func(id, status string) func() bool {
			return func() bool { return w.get(iam.Invitation, id).Doc.String("status") == status }
		}
		id := w.invite(marty)
		c.Wake()
		c.Wake()
		eventually(t, "the mail is out", is(id, iam.StatusSent))

		// A mail server that hangs holds up no expiry.
		hanging := make(chan struct{})
		w.mail.then(func(ctx context.Context, _ mail.Message) error {
			close(hanging)
			<-ctx.Done()
			return ctx.Err()
		})
		stuck := w.invite("doc@example.com")
		<-hanging // without a Wake: it looks by itself
		w.clock.Forward(iam.InvitationTTL)
		eventually(t, "the first invitation ends", is(id, iam.StatusExpired))
		eventually(t, "the second invitation ends", is(stuck, iam.StatusExpired))
		stop()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatal("Run goes on after its context's end")
		}
	})
}

// What the store tells of changes wakes the courier where it concerns it.
func TestChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for _, c := range []struct {
		change store.Change
		want   bool
	}{
		{store.Change{All: true}, true},
		{store.Change{Keys: []store.Key{{Kind: iam.User.Key(), ID: "u-abc123"}, {Kind: iam.Invitation.Key(), ID: "i-abc123"}}}, true},
		{store.Change{Keys: []store.Key{{Kind: iam.User.Key(), ID: "u-abc123"}}}, false},
		{store.Change{}, false},
	} {
		courier := w.courier()
		courier.Changed(c.change)
		if got := courier.Woken(); got != c.want {
			t.Errorf("%+v wakes it: %v", c.change, got)
		}
	}
}

// brokenStore fails to list.
type brokenStore struct{ store.Store }

func (brokenStore) List(context.Context, store.Query) ([]store.Row, error) {
	return nil, fmt.Errorf("%w: gone fishing", store.ErrUnavailable)
}

func TestStoreIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	config := w.Engine.Config
	config.Store = brokenStore{config.Store}
	e, err := engine.New(config)
	if err != nil {
		t.Fatal(err)
	}
	c := invitation.NewCourier(e, w.mail)
	if err := c.Step(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx)
	}()
	eventually(t, "both tasks say that they cannot work", func() bool {
		return strings.Contains(w.log.String(), "cannot send invitations") && strings.Contains(w.log.String(), "cannot end invitations")
	})
	stop()
	<-ended
}
