package authn_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/store"
)

const knownKey = "KEY0000000000000"

// shelf is a store of keys and bindings that counts its reads and can be
// changed while one is under way.
type shelf struct {
	store.Reader
	mu       sync.Mutex
	owners   map[string]string // by key
	roles    map[string]string // by principal
	reads    int
	whileGet func()
}

func (s *shelf) Get(_ context.Context, _ string, key store.Key) (*store.Row, error) {
	s.mu.Lock()
	s.reads++
	owner, ok := s.owners[key.ID]
	hook := s.whileGet
	s.mu.Unlock()
	if hook != nil {
		hook()
	}
	if !ok {
		return nil, store.ErrNotFound
	}
	return &store.Row{Key: key, Org: orgID, Private: authn.KeyRecord{Owner: owner, Scheme: authn.SchemeCloudKey}.Encode()}, nil
}

func (s *shelf) List(_ context.Context, q store.Query) ([]store.Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	role := s.roles[strings.TrimPrefix(q.Where[0].Values[0], "User:")]
	if role == "" {
		return nil, nil
	}
	body := fmt.Sprintf(`{"role_name":%q,"crn_pattern":"crn://confluent.cloud/organization=%s"}`, role, orgID)
	return []store.Row{{Key: store.Key{Kind: authn.RoleBindingKind, ID: "rb-1"}, Body: []byte(body)}}, nil
}

func changed(kind, id string) store.Change {
	return store.Change{Keys: []store.Key{{Kind: kind, ID: id}}}
}

func TestDirectoryRemembersAndForgets(t *testing.T) {
	t.Parallel()
	s := &shelf{owners: map[string]string{knownKey: "u-a"}, roles: map[string]string{"u-a": authz.OrganizationAdmin}}
	d := authn.NewDirectory(s)
	ctx := t.Context()
	read := func(wantOwner string, wantAdmin bool) {
		t.Helper()
		_, record, err := d.Key(ctx, knownKey)
		if wantOwner == "" {
			if !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("the key is there: %v, %v", record, err)
			}
			return
		}
		if err != nil || record.Owner != wantOwner {
			t.Fatalf("the key is %v, %v", record, err)
		}
		subject, err := d.Subject(ctx, orgID, record.Owner)
		if err != nil {
			t.Fatal(err)
		}
		root := crn.PatternOf(crn.Must(crn.New(crn.Authority, crn.Segment{Key: "organization", Value: orgID})))
		if got := authz.Decide(subject, authz.Question{Operation: "Alter", Resource: "Organization", On: root}); got != wantAdmin {
			t.Fatalf("administrator: %v, want %v", got, wantAdmin)
		}
	}

	read("u-a", true)
	before := s.reads
	read("u-a", true)
	if s.reads != before {
		t.Errorf("%d reads for what is remembered", s.reads-before)
	}

	// What nobody told of is not seen; what somebody told of is, at once.
	s.roles["u-a"] = ""
	read("u-a", true)
	d.Changed(changed("iam/v2.ServiceAccount", "sa-1"))
	read("u-a", true)
	d.Changed(changed(authn.RoleBindingKind, "rb-1"))
	read("u-a", false)

	delete(s.owners, knownKey)
	d.Changed(changed(authn.APIKeyKind, knownKey))
	read("", false)
	before = s.reads
	read("", false)
	if s.reads != before {
		t.Error("an unknown key is looked up again and again")
	}
	s.owners[knownKey] = "u-b"
	d.Changed(changed(authn.APIKeyKind, knownKey))
	read("u-b", false)

	s.owners[knownKey], s.roles["u-b"] = "u-c", authz.OrganizationAdmin
	d.Changed(store.Change{All: true})
	read("u-c", false)
}

// A read that began before a change must not be remembered after it: the
// revoked key would live on.
func TestDirectoryDoesNotRememberWhatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	s := &shelf{owners: map[string]string{knownKey: "u-a"}}
	d := authn.NewDirectory(s)
	s.whileGet = func() {
		s.mu.Lock()
		delete(s.owners, knownKey)
		s.whileGet = nil
		s.mu.Unlock()
		d.Changed(changed(authn.APIKeyKind, knownKey))
	}
	if _, _, err := d.Key(t.Context(), knownKey); err != nil {
		t.Fatalf("the read that was under way: %v", err)
	}
	if _, _, err := d.Key(t.Context(), knownKey); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the key that was deleted meanwhile is remembered: %v", err)
	}
}

func TestDirectoryIsBounded(t *testing.T) {
	t.Parallel()
	s := &shelf{owners: map[string]string{knownKey: "u-a"}}
	d := authn.NewDirectory(s)
	if _, _, err := d.Key(t.Context(), knownKey); err != nil {
		t.Fatal(err)
	}
	for i := range 50_000 {
		if _, _, err := d.Key(t.Context(), fmt.Sprintf("UNKNOWN%09d", i)); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	before := s.reads
	if _, _, err := d.Key(t.Context(), knownKey); err != nil || s.reads != before {
		t.Error("made-up keys push out a real one")
	}
	// The first of the unknown ones has made room, so that it is read again.
	if _, _, err := d.Key(t.Context(), "UNKNOWN000000000"); !errors.Is(err, store.ErrNotFound) || s.reads != before+1 {
		t.Errorf("after 50,000 unknown keys all of them are remembered (%d reads)", s.reads-before)
	}
}
