package server

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

// UseKinds lets the server serve other kinds than its own, with another clock.
// It must be called before Serve.
func (s *Server) UseKinds(kinds []*engine.Kind, now func() time.Time) error {
	config := s.engine.Config
	config.Kinds = kinds
	config.Tokens.Now, config.Now = now, now
	e, err := engine.New(config)
	if err != nil {
		return err
	}
	s.engine = e
	return nil
}

// Engine is the engine that answers.
func (s *Server) Engine() *engine.Engine { return s.engine }

// Store is the open store.
func (s *Server) Store() store.Store { return s.store }

// Handler is the whole pipeline.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Close closes what Open opened, for servers that never served.
func (s *Server) Close() error { return s.close() }

// UnderWay is how many principals, organizations and addresses have requests
// under way or waiting.
func (s *Server) UnderWay() int {
	return s.limits.principalPlaces.Len() + s.limits.organizationPlaces.Len() + s.limits.addressPlaces.Len()
}

// HoldAddress takes a place of the address as a request does that has not shown
// yet who makes it.
func (s *Server) HoldAddress(ctx context.Context, client netip.Addr) (leave func(), err error) {
	return s.limits.turn(ctx, client)
}

// Replicas is how many servers share the limits.
func (s *Server) Replicas() int { return s.limits.exchange.Replicas() }

// UseCalls lets the server serve further operations that belong to no kind. It
// must be called before Serve.
func (s *Server) UseCalls(calls ...*engine.Call) error {
	config := s.engine.Config
	config.Calls = append(slices.Clone(config.Calls), calls...)
	e, err := engine.New(config)
	if err != nil {
		return err
	}
	s.engine = e
	return nil
}

// Observe returns the store as a server without traces works with it.
func Observe(database store.Store) store.Store { return (&Server{}).observe(database) }

// SetTimeouts changes the bounds of a connection. It must be called before Serve.
func (s *Server) SetTimeouts(header, request, answer time.Duration) {
	s.http.ReadHeaderTimeout, s.http.ReadTimeout, s.http.WriteTimeout = header, request, answer
}

// Connections is how many are open, where there is a limit.
func (s *Server) Connections() int { return s.connections.count() }
