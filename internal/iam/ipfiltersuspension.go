package iam

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

const (
	suspensionKey = "iam/v2.IpFilterSuspension"
	// maxReason is the greatest length of a reason in characters.
	maxReason = 255
)

// IPFilterSuspension switches the IP filters of its organization off for as
// long as it is there. It is no part of the API: an operator makes it on the
// server's own machine, as the way back in for who shut everybody out.
var IPFilterSuspension = &engine.Kind{
	Group: "iam", Version: "v2", Name: "IpFilterSuspension", Noun: "IPFilterSuspension",
	Description: "A suspension switches the IP filters of its organization off.",
	Path:        "/iam/v2/ip-filter-suspensions",
	ID:          engine.IDShape{Prefix: "ipfs-", Length: 10, Alphabet: random.LowerAlphanumeric},
	Segment:     "ip-filter-suspension",
	Resource:    "IpFilterSuspension",
	// There is one for an organization, or none.
	UniqueKey: func(*engine.Object) string { return "suspension" },
	NameTaken: "The IP filters are suspended already",
	Fields: []engine.Field{{
		Name: "reason", MaxLength: maxReason, Description: "Why the filters are suspended.",
	}},
}

// Suspension tells of suspended IP filters.
type Suspension struct {
	Organization, Reason string
	Since                time.Time
}

// suspensionOf returns the suspension of the organization, or
// store.ErrNotFound.
func suspensionOf(ctx context.Context, r store.Reader, org string) (*engine.Object, error) {
	rows, err := r.List(ctx, store.Query{Org: org, Kind: suspensionKey, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, store.ErrNotFound
	}
	return IPFilterSuspension.Decode(&rows[0])
}

func (s *Suspension) of(o *engine.Object) {
	s.Organization, s.Reason, s.Since = o.Org, o.Doc.String("reason"), o.Created
}

// Suspensions returns those of all organizations.
func Suspensions(ctx context.Context, r store.Reader) ([]Suspension, error) {
	var out []Suspension
	err := each(ctx, r, "", IPFilterSuspension, func(o *engine.Object) error {
		var s Suspension
		s.of(o)
		out = append(out, s)
		return nil
	})
	return out, err
}

// FilterStatus tells of the IP filters of one organization.
type FilterStatus struct {
	// Filters is how many there are.
	Filters int64
	// Suspended is nil while they count.
	Suspended *Suspension
}

// IPFilterStatus returns the state of the organization's IP filters.
func IPFilterStatus(ctx context.Context, r store.Reader, org string) (FilterStatus, error) {
	var out FilterStatus
	if err := mustExist(ctx, r, org); err != nil {
		return out, err
	}
	var err error
	if out.Filters, err = r.Count(ctx, store.Query{Org: org, Kind: ipFilterKey, Limit: 1}); err != nil {
		return out, err
	}
	o, err := suspensionOf(ctx, r, org)
	if errors.Is(err, store.ErrNotFound) {
		return out, nil
	}
	if err == nil {
		out.Suspended = &Suspension{}
		out.Suspended.of(o)
	}
	return out, err
}

func mustExist(ctx context.Context, r store.Reader, org string) error {
	_, err := r.Get(ctx, org, store.Key{Kind: organizationKey, ID: org})
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no organization %q", org)
	}
	return err
}

// SuspendIPFilters switches the organization's IP filters off, and reports
// whether they counted before.
func SuspendIPFilters(ctx context.Context, e *engine.Engine, org, reason string) (bool, error) {
	if utf8.RuneCountInString(reason) > maxReason {
		return false, fmt.Errorf("the reason has more than %d characters", maxReason)
	}
	suspended := false
	err := e.Store.Update(ctx, func(tx store.Tx) error {
		suspended = false
		if err := mustExist(ctx, tx, org); err != nil {
			return err
		}
		_, err := suspensionOf(ctx, tx, org)
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		suspended = true
		o := &engine.Object{Kind: IPFilterSuspension, Org: org, Doc: engine.Doc{}}
		if reason != "" {
			o.Doc.Set("reason", reason)
		}
		return e.Insert(ctx, tx, o)
	})
	return suspended, err
}

// ResumeIPFilters makes the organization's IP filters count again, and reports
// whether they were suspended.
func ResumeIPFilters(ctx context.Context, e *engine.Engine, org string) (bool, error) {
	resumed := false
	err := e.Store.Update(ctx, func(tx store.Tx) error {
		resumed = false
		if err := mustExist(ctx, tx, org); err != nil {
			return err
		}
		o, err := suspensionOf(ctx, tx, org)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if o, err = e.Lock(ctx, tx, org, IPFilterSuspension, o.ID); err != nil {
			return err
		}
		resumed = true
		return e.Remove(ctx, tx, o)
	})
	return resumed, err
}
