package server

import (
	"context"
	"log/slog"

	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/store"
)

// suspensions warns in the log while an operator has suspended the IP filters
// of an organization: at the start, and when that changes.
type suspensions struct {
	store store.Reader
	log   *slog.Logger
	wake  chan struct{}
	known map[string]iam.Suspension
}

func newSuspensions(s store.Reader, log *slog.Logger) *suspensions {
	w := &suspensions{store: s, log: log, wake: make(chan struct{}, 1)}
	w.wake <- struct{}{}
	return w
}

// Changed tells of a change. It is quick and may be called from any goroutine.
func (w *suspensions) Changed(c store.Change) {
	if !iam.TouchesFilters(c) {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default: // it is awake
	}
}

// Run works until the context ends.
func (w *suspensions) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			// The feed wakes this again when the database is back.
			w.log.Debug("cannot tell whether IP filters are suspended", "error", err)
		}
	}
}

func (w *suspensions) look(ctx context.Context) error {
	now, err := iam.Suspensions(ctx, w.store)
	if err != nil {
		return err
	}
	still := map[string]iam.Suspension{}
	for _, s := range now {
		still[s.Organization] = s
		if w.known[s.Organization] != s {
			w.log.Warn("IP filters are suspended: requests are let in from everywhere until 'weir ip-filters resume'",
				"organization", s.Organization, "since", s.Since, "reason", s.Reason)
		}
	}
	for organization := range w.known {
		if _, ok := still[organization]; !ok {
			w.log.Warn("IP filters count again", "organization", organization)
		}
	}
	w.known = still
	return nil
}
