package mtls

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/weirhq/weir/internal/clientcert"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/store"
)

const (
	// crlLive is how long a list is used before it is fetched again, and crlAhead
	// how long before it ends at the latest. A list that lives shorter than that is
	// fetched every retryFirst.
	crlLive  = 4 * time.Hour
	crlAhead = 30 * time.Minute
	// retryFirst is how long a fetch that failed is left alone, twice as long with
	// each further failure, up to retryMost.
	retryFirst = time.Minute
	retryMost  = time.Hour
	// refusalLive is how long a refusal is remembered.
	refusalLive = 10 * time.Second
	// lookInterval is how often Run looks at all authorities.
	lookInterval = 30 * time.Second
	// atOnce is how many fetches Run has under way at the same time.
	atOnce = 8
	// storeTimeout is how long it may take to store what was fetched.
	storeTimeout = 10 * time.Second
	// batch is how many authorities are read at once: their rows can be long.
	batch = 20

	crlTypes = "application/pkix-crl, application/x-pem-file, */*;q=0.1"
)

// failure is a fetch from the URL that failed, several times perhaps.
type failure struct {
	url   string
	times int
	until time.Time
}

// Run fetches the lists of revoked certificates of authorities that are new or
// changed, and those that are due, until the context ends; it returns once
// nothing is under way any more. The store must stay open until then. Every
// replica runs it. They see what the others fetched, and do it twice at worst.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.config.Log.WarnContext(ctx, "cannot look for lists of revoked certificates to fetch, trying again", "wait", lookInterval, "error", err)
		}
		if !s.pending.Wait(ctx, tick.C) {
			return
		}
	}
}

// look fetches what is due of the authorities that changed, or of all.
func (s *Service) look(ctx context.Context) error {
	ids, all := s.pending.Take()
	if !all {
		for _, id := range ids {
			delete(s.failing, id) // somebody may have mended what was wrong
		}
		return s.fetchDue(ctx, ids)
	}
	seen := map[string]bool{}
	for after := int64(0); ; {
		rows, err := s.config.Store.List(ctx, store.Query{Kind: iam.CertificateAuthority.Key(), After: after, Limit: batch})
		if err != nil {
			return err
		}
		var ids []string
		for i, row := range rows {
			after = row.Seq
			o, err := iam.CertificateAuthority.Decode(&rows[i])
			if err != nil {
				return err
			}
			if o.Doc.String("crl_source") == iam.CRLSourceURL {
				ids, seen[row.ID] = append(ids, row.ID), true
			}
		}
		if err := s.fetchDue(ctx, ids); err != nil {
			return err
		}
		if len(rows) < batch {
			break
		}
	}
	maps.DeleteFunc(s.failing, func(id string, _ failure) bool { return !seen[id] })
	return nil
}

// due is an authority whose list is to be fetched from the URL.
type due struct {
	org, id, url string
	err          error
}

// fetchDue fetches what is due of the authorities, several at a time.
func (s *Service) fetchDue(ctx context.Context, ids []string) error {
	var dues []*due
	now := s.config.Now()
	for _, id := range ids {
		row, err := s.config.Store.Get(ctx, "", store.Key{Kind: iam.CertificateAuthority.Key(), ID: id})
		if errors.Is(err, store.ErrNotFound) {
			delete(s.failing, id)
			continue
		}
		if err != nil {
			return err
		}
		o, err := iam.CertificateAuthority.Decode(row)
		if err != nil {
			return err
		}
		if o.Doc.String("crl_source") != iam.CRLSourceURL {
			delete(s.failing, o.ID)
			continue
		}
		from := o.Doc.String("crl_url")
		if f := s.failing[o.ID]; f.url == from && now.Before(f.until) {
			continue
		}
		fetched, next, err := iam.CRLTimes(o)
		if err != nil {
			s.config.Log.ErrorContext(ctx, "a certificate authority cannot be read", "authority", o.ID, "error", err)
			continue
		}
		if now.Before(dueAt(fetched, next)) {
			continue
		}
		dues = append(dues, &due{org: o.Org, id: o.ID, url: from})
	}
	var group sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, d := range dues {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			d.err = s.fetch(ctx, d)
		})
	}
	group.Wait()
	for _, d := range dues {
		s.noteFetched(ctx, d)
	}
	return nil
}

// dueAt is when a list is to be fetched that was fetched then, or never, and
// counts until next, or without an end.
func dueAt(fetched, next time.Time) time.Time {
	if fetched.IsZero() {
		return fetched
	}
	at := fetched.Add(crlLive)
	if ahead := next.Add(-crlAhead); !next.IsZero() && ahead.Before(at) {
		at = ahead
	}
	if soonest := fetched.Add(retryFirst); at.Before(soonest) {
		return soonest
	}
	return at
}

func (s *Service) noteFetched(ctx context.Context, d *due) {
	if d.err == nil || ctx.Err() != nil {
		delete(s.failing, d.id)
		return
	}
	f := s.failing[d.id]
	if f.url != d.url {
		f = failure{url: d.url}
	}
	wait := min(retryFirst<<min(f.times, 10), retryMost)
	f.times, f.until = f.times+1, s.config.Now().Add(wait)
	s.failing[d.id] = f
	s.config.Log.WarnContext(ctx, "cannot fetch the list of revoked certificates of an authority; the one from before goes on as long as it counts",
		"authority", d.id, "organization", d.org, "retry_after", wait, "error", d.err)
}

// fetch fetches one list, checks and stores it.
func (s *Service) fetch(ctx context.Context, d *due) error {
	list, err := s.config.Fetcher.FetchSigned(ctx, d.url, crlTypes, clientcert.MaxCRL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	err = s.config.Store.Update(ctx, func(tx store.Tx) error {
		return iam.StoreCRL(ctx, s.Engine, tx, d.org, d.id, d.url, list)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil // it was deleted or changed meanwhile
	}
	return err
}
