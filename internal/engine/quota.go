package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/store"
)

// Quota limits how many objects of a kind there may be, in an organization or
// for one subject in it. The engine counts every object that is written, and
// refuses with 402 a change that would take the count beyond the limit; what
// only lowers a count, or leaves it, always passes. Kinds that share a quota
// have the same pointer.
//
// Which limit is in force in an organization is the operator's to say
// (SetLimit); Limit is the default.
type Quota struct {
	// Code is its name in the API of quotas: "iam.max_environments.per_org".
	Code string
	// Scope is what the limit holds for.
	Scope QuotaScope
	// DisplayName is for people, and in the title of errors: "Environments Per
	// Organization".
	DisplayName string
	// Limit is the greatest number where the operator sets no other.
	Limit int64
	// Counts tells which objects count; nil means all that live. It looks at
	// the document, ID and Parent alone.
	Counts func(o *Object) bool
	// Subject returns the ID of the subject that the object counts for, or ""
	// for none, so that it does not count. It is nil for PerOrganization, and
	// looks at what Counts may look at.
	Subject func(o *Object) string
	// Exceeded is the message of the refusal, where one is known of the real
	// service; %d stands for the limit.
	Exceeded string
}

// QuotaScope is what a quota's limit holds for, as the API spells it.
type QuotaScope string

// The scopes.
const (
	PerOrganization         QuotaScope = "ORGANIZATION"
	PerEnvironment          QuotaScope = "ENVIRONMENT"
	PerNetwork              QuotaScope = "NETWORK"
	PerKafkaCluster         QuotaScope = "KAFKA_CLUSTER"
	PerServiceAccount       QuotaScope = "SERVICE_ACCOUNT"
	PerUser                 QuotaScope = "USER_ACCOUNT"
	PerIdentityProvider     QuotaScope = "IDENTITY_PROVIDER"
	PerCertificateAuthority QuotaScope = "CERTIFICATE_AUTHORITY"
)

// QuotaScopes are all scopes, in the API's order.
func QuotaScopes() []QuotaScope {
	return []QuotaScope{
		PerOrganization, PerEnvironment, PerNetwork, PerKafkaCluster,
		PerServiceAccount, PerUser, PerIdentityProvider, PerCertificateAuthority,
	}
}

// MaxLimit is the greatest limit that the API can tell of.
const MaxLimit = 1<<31 - 1

// Counter returns what the object is counted in, or false if it does not count.
func (q *Quota) Counter(o *Object) (store.Counter, bool) {
	c := store.Counter{Org: o.Org, Name: q.Code}
	if q.Counts != nil && !q.Counts(o) {
		return c, false
	}
	if q.Subject != nil {
		c.Subject = q.Subject(o)
		return c, c.Subject != ""
	}
	return c, true
}

func (q *Quota) check() error {
	switch {
	case q.Code == "" || q.DisplayName == "" || q.Limit <= 0 || q.Limit > MaxLimit:
		return fmt.Errorf("quota %q needs a code, a name for people and a limit", q.Code)
	case !slices.Contains(QuotaScopes(), q.Scope):
		return fmt.Errorf("quota %s: there is no scope %q", q.Code, q.Scope)
	case (q.Scope == PerOrganization) != (q.Subject == nil):
		return fmt.Errorf("quota %s: the organization needs no Subject, and every other scope does", q.Code)
	default:
		return nil
	}
}

// addQuotas makes the table of quotas from the kinds.
func (e *Engine) addQuotas(k *Kind) []error {
	var problems []error
	for _, q := range k.Quotas {
		if err := q.check(); err != nil {
			problems = append(problems, fmt.Errorf("kind %s: %w", k.Key(), err))
		}
		if other := e.quotas[q.Code]; other != nil && other != q {
			problems = append(problems, fmt.Errorf("kind %s: another quota has the code %s", k.Key(), q.Code))
		}
		e.quotas[q.Code] = q
	}
	return problems
}

// Quotas returns all quotas of the kinds, sorted by code.
func (e *Engine) Quotas() []*Quota {
	return slices.SortedFunc(maps.Values(e.quotas), func(a, b *Quota) int { return strings.Compare(a.Code, b.Code) })
}

// Quota returns the quota with the code, or nil.
func (e *Engine) Quota(code string) *Quota { return e.quotas[code] }

// SetLimit sets the limit that holds in an organization. Every write that
// begins afterwards is bound to it, on every replica; what is there above it
// stays.
func (e *Engine) SetLimit(ctx context.Context, org, code string, limit int64) error {
	if e.quotas[code] == nil {
		return fmt.Errorf("there is no quota %q", code)
	}
	if limit < 0 || limit > MaxLimit {
		return fmt.Errorf("a limit is a whole number from 0 to %d", MaxLimit)
	}
	return e.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.PutLimit(ctx, org, code, limit); err != nil {
			return err
		}
		return tx.Append(e.limitEvent(ctx, org, code, fmt.Appendf(nil, `{"limit":%d}`, limit)))
	})
}

// ResetLimit makes the default limit hold again in an organization.
func (e *Engine) ResetLimit(ctx context.Context, org, code string) error {
	if e.quotas[code] == nil {
		return fmt.Errorf("there is no quota %q", code)
	}
	return e.Store.Update(ctx, func(tx store.Tx) error {
		if changed, err := tx.DeleteLimit(ctx, org, code); err != nil || !changed {
			return err
		}
		return tx.Append(e.limitEvent(ctx, org, code, []byte(`{"limit":null}`)))
	})
}

// limitEvent is for the audit log. A limit is no object of the API.
func (e *Engine) limitEvent(ctx context.Context, org, code string, submitted []byte) store.Event {
	root := OrganizationCRN(org)
	return (&audit.Event{
		ID: audit.NewID(), Time: e.Now().UTC(), Organization: org, Method: "SetQuotaLimit", Access: audit.Unknown,
		Resource: root.String(), Resources: []audit.Resource{audit.ResourceOf(root, "QUOTA", code)},
		Actor: audit.ActorOf(ctx), Submitted: submitted,
	}).Entry()
}

// shares are what the object, which may be nil, counts for.
func (o *Object) shares() []store.Share {
	if o == nil {
		return nil
	}
	var out []store.Share
	for _, q := range o.Kind.stored().Quotas {
		if c, counts := q.Counter(o); counts {
			out = append(out, store.Share{Counter: c, Limit: q.Limit})
		}
	}
	return out
}

// exceeded turns the store's refusal into the answer to the request, and
// leaves other errors as they are.
func (e *Engine) exceeded(err error) error {
	if err == nil {
		return nil
	}
	var full *store.ErrFull
	if !errors.As(err, &full) {
		return err
	}
	q := e.quotas[full.Name]
	if q == nil {
		return err
	}
	message := fmt.Sprintf("The request would exceed the quota: %s; the limit is %d", q.Code, full.Limit)
	if q.Subject != nil {
		message += " for '" + full.Subject + "'"
	}
	if q.Exceeded != "" {
		message = fmt.Sprintf(q.Exceeded, full.Limit)
	}
	refusal := api.New(api.QuotaExceeded, message).WithCause(err)
	refusal.Title = q.DisplayName + " Quota Exceeded"
	return refusal
}

// settingCounted begins the name of the setting that says that a quota's
// objects were counted once.
const settingCounted = "counted:"

// CountQuotas counts the objects of each quota that this database has not been
// counted for yet: one from before there were quotas, or one that the program
// has learned since. From then on the counters follow what is written. It must
// be done before anything is written; replicas that start together take turns.
//
// What an older program, which does not know the quota, writes later is not
// counted: RecountQuotas is for when the last one is gone.
func (e *Engine) CountQuotas(ctx context.Context) error {
	var missing []*Quota
	for _, q := range e.Quotas() {
		_, err := e.Store.Setting(ctx, settingCounted+q.Code)
		if errors.Is(err, store.ErrNotFound) {
			missing = append(missing, q)
		} else if err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return e.Store.Update(ctx, func(tx store.Tx) error {
		for _, q := range missing {
			first, err := tx.PutSetting(ctx, settingCounted+q.Code, nil)
			if err != nil {
				return err
			}
			if !first {
				continue
			}
			if err := e.count(ctx, tx, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// RecountQuotas counts the objects of all quotas anew, while others may write,
// who wait for it.
func (e *Engine) RecountQuotas(ctx context.Context) error {
	return e.Store.Update(ctx, func(tx store.Tx) error {
		for _, q := range e.Quotas() {
			if err := e.count(ctx, tx, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// count sets the counters of a quota to what the objects come to.
func (e *Engine) count(ctx context.Context, tx store.Tx, q *Quota) error {
	err := tx.HoldCounters(ctx)
	if err != nil {
		return err
	}
	values, err := e.recount(ctx, tx, q)
	if err == nil {
		err = tx.SetCounters(ctx, q.Code, values)
	}
	if err != nil {
		return fmt.Errorf("count for the quota %s: %w", q.Code, err)
	}
	return nil
}

// recount reads all objects of the kinds with the quota, in every organization.
func (e *Engine) recount(ctx context.Context, r store.Reader, q *Quota) (map[store.Counter]int64, error) {
	const page = 1000
	values := map[store.Counter]int64{}
	for _, k := range e.kinds {
		if !slices.Contains(k.Quotas, q) {
			continue
		}
		query := store.Query{Kind: k.Key(), Limit: page}
		for {
			rows, err := r.List(ctx, query)
			if err != nil {
				return nil, err
			}
			for i := range rows {
				o, err := k.Decode(&rows[i])
				if err != nil {
					return nil, err
				}
				if c, counts := q.Counter(o); counts {
					values[c]++
				}
			}
			if len(rows) < page {
				break
			}
			query.After = rows[page-1].Seq
		}
	}
	return values, nil
}
