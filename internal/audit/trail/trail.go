// Package trail reads the audit log for people: what was done by whom, from
// when on, of one kind, and as it happens.
package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/audit/delivery"
	"github.com/weirhq/weir/internal/store"
)

const (
	// page is how many events are read at once.
	page = 500
	// follow is how often the log is looked at for more.
	follow = 250 * time.Millisecond
	// skew is how far the times of events may be from their order: the time
	// that a transaction may take, and what clocks of replicas differ by.
	skew = 5 * time.Minute
)

// Filter selects events. An empty field selects all.
type Filter struct {
	// Principal is the ID of a user or service account or the name of a part of
	// Weir, Credential the ID of an API key.
	Principal, Credential string
	// Method is "CreateServiceAccount" and the like, in any case of letters.
	Method string
	// Resource is an ID, or a resource name, or the beginning of one up to a
	// slash: then everything below it.
	Resource string
	// Result is "success", "failure" or "deny".
	Result string
	// Organization is an organization's ID.
	Organization string
	// Since and Until bound the time.
	Since, Until time.Time
}

// Results are what Filter.Result may be.
func Results() []string { return []string{"success", "failure", "deny"} }

// Entry is an event that was read.
type Entry struct {
	Seq int64
	// Organization is the ID of the one that the event belongs to, or "".
	Organization string
	// JSON is the event as it is delivered to sinks.
	JSON []byte

	event
}

// event is what is read of the JSON.
type event struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	Subject string    `json:"subject"`
	Data    struct {
		MethodName     string `json:"methodName"`
		CloudResources []struct {
			Resource struct {
				Type       string `json:"type"`
				ResourceID string `json:"resourceId"`
			} `json:"resource"`
		} `json:"cloudResources"`
		AuthenticationInfo struct {
			Principal map[string]struct {
				ResourceID string `json:"resourceId"`
			} `json:"principal"`
			Result       string `json:"result"`
			ErrorMessage string `json:"errorMessage"`
			Credentials  struct {
				IDSecretCredentials struct {
					CredentialID string `json:"credentialId"`
				} `json:"idSecretCredentials"`
			} `json:"credentials"`
		} `json:"authenticationInfo"`
		AuthorizationInfo struct {
			Result string `json:"result"`
		} `json:"authorizationInfo"`
		RequestMetadata struct {
			RequestID     []string `json:"requestId"`
			ClientAddress []struct {
				IP string `json:"ip"`
			} `json:"clientAddress"`
		} `json:"requestMetadata"`
		Result struct {
			Status string `json:"status"`
			Data   struct {
				Status  json.RawMessage `json:"status"`
				Message string          `json:"message"`
			} `json:"data"`
		} `json:"result"`
	} `json:"data"`
}

// Principal is who acted, or "".
func (e *Entry) Principal() string {
	for _, p := range e.Data.AuthenticationInfo.Principal {
		return p.ResourceID
	}
	return ""
}

// Result is one of Results.
func (e *Entry) Result() string {
	switch {
	case e.Data.AuthorizationInfo.Result == "DENY":
		return "deny"
	case e.Data.Result.Status == "FAILURE":
		return "failure"
	default:
		return "success"
	}
}

// Line is the entry on one line, for people. Nothing in it can move the cursor
// of a terminal.
func (e *Entry) Line() string {
	words := []string{e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), fmt.Sprintf("%-7s", e.Result())}
	what := e.Data.MethodName
	if r := e.Data.CloudResources; len(r) > 0 && r[0].Resource.ResourceID != "" {
		what += " " + r[0].Resource.ResourceID
	}
	words = append(words, what)
	who := e.Principal()
	if who == "" {
		who = "nobody"
	}
	words = append(words, "by "+who)
	if id := e.Data.AuthenticationInfo.Credentials.IDSecretCredentials.CredentialID; id != "" {
		words = append(words, "with "+id)
	}
	for _, a := range e.Data.RequestMetadata.ClientAddress {
		words = append(words, "from "+a.IP)
	}
	for _, id := range e.Data.RequestMetadata.RequestID {
		words = append(words, "request "+id)
	}
	for _, message := range []string{e.Data.AuthenticationInfo.ErrorMessage, e.Data.Result.Data.Message} {
		if message != "" && e.Result() != "success" {
			words = append(words, "("+message+")")
			break
		}
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.Join(words, "  "))
}

func (f Filter) selects(e *Entry) bool {
	is := func(wanted, got string) bool { return wanted == "" || wanted == got }
	switch {
	case !is(f.Principal, e.Principal()),
		!is(f.Credential, e.Data.AuthenticationInfo.Credentials.IDSecretCredentials.CredentialID),
		f.Method != "" && !strings.EqualFold(f.Method, e.Data.MethodName),
		!is(f.Result, e.Result()),
		!is(f.Organization, e.Organization),
		!f.Since.IsZero() && e.Time.Before(f.Since),
		!f.Until.IsZero() && e.Time.After(f.Until):
		return false
	}
	return f.Resource == "" || e.concerns(f.Resource)
}

func (e *Entry) concerns(resource string) bool {
	if e.Subject == resource || strings.HasPrefix(e.Subject, strings.TrimSuffix(resource, "/")+"/") {
		return true
	}
	for _, r := range e.Data.CloudResources {
		if r.Resource.ResourceID == resource {
			return true
		}
	}
	return false
}

// Log is an audit log to read.
type Log struct {
	Store store.Store
	// PublicURL is the base of the links in objects.
	PublicURL string
}

// Query calls f for each event that the filter selects, the oldest first.
func (l Log) Query(ctx context.Context, filter Filter, f func(*Entry) error) error {
	after, err := l.before(ctx, filter.Since)
	if err != nil {
		return err
	}
	_, err = l.readOn(ctx, after, filter, f)
	return err
}

// Tail calls f for the last n events that the filter selects, and then, until
// the context ends, for each that comes. It looks for the n among the last ten
// thousand.
func (l Log) Tail(ctx context.Context, filter Filter, n int, f func(*Entry) error) error {
	after, err := l.last(ctx, filter, n, f)
	for err == nil {
		if after, err = l.readOn(ctx, after, filter, f); err != nil {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(follow):
		}
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// last calls f for the last n events, and returns behind which number those
// begin that were not read.
func (l Log) last(ctx context.Context, filter Filter, n int, f func(*Entry) error) (int64, error) {
	const pages = 20
	var found []*Entry
	var newest, at int64
	for range pages {
		events, err := l.Store.Events(ctx, store.EventQuery{After: at, Backward: true, Limit: page})
		if err != nil {
			return 0, err
		}
		for _, e := range events {
			newest, at = max(newest, e.Seq), e.Seq
			entry, err := l.entry(e)
			if err != nil {
				return 0, err
			}
			if len(found) < n && filter.selects(entry) {
				found = append(found, entry)
			}
		}
		if len(found) >= n || len(events) < page {
			break
		}
	}
	for i := len(found) - 1; i >= 0; i-- {
		if err := f(found[i]); err != nil {
			return 0, err
		}
	}
	return newest, nil
}

func (l Log) readOn(ctx context.Context, after int64, filter Filter, f func(*Entry) error) (int64, error) {
	for {
		events, err := l.Store.Events(ctx, store.EventQuery{After: after, Limit: page})
		if err != nil {
			return after, err
		}
		for _, e := range events {
			after = e.Seq
			entry, err := l.entry(e)
			if err != nil {
				return after, err
			}
			if !filter.Until.IsZero() && entry.Time.After(filter.Until.Add(skew)) {
				return after, nil
			}
			if filter.selects(entry) {
				if err := f(entry); err != nil {
					return after, err
				}
			}
		}
		if len(events) < page {
			return after, nil
		}
	}
}

func (l Log) entry(e store.Event) (*Entry, error) {
	entry := &Entry{Seq: e.Seq, Organization: e.Org, JSON: delivery.Body(e, l.PublicURL)}
	if err := json.Unmarshal(entry.JSON, &entry.event); err != nil {
		return nil, fmt.Errorf("the event %d cannot be read: %w", e.Seq, err)
	}
	return entry, nil
}

// before returns a number behind which all events of the time and later are.
// Times are almost in the order of numbers, so it is found by halves.
func (l Log) before(ctx context.Context, since time.Time) (int64, error) {
	if since.IsZero() {
		return 0, nil
	}
	since = since.Add(-skew)
	last, err := l.Store.Events(ctx, store.EventQuery{Backward: true, Limit: 1})
	if err != nil || len(last) == 0 {
		return 0, err
	}
	low, high := int64(0), last[0].Seq
	for low < high {
		middle := low + (high-low)/2
		next, err := l.Store.EventSizes(ctx, middle, 1)
		if err != nil {
			return 0, err
		}
		if len(next) > 0 && next[0].At.Before(since) {
			low = next[0].Seq
		} else {
			high = middle
		}
	}
	return low, nil
}
