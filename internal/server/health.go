package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weirhq/weir/internal/store"
)

const pingTimeout = 2 * time.Second

// healthz says that the process is alive.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeHealth(w, http.StatusOK, "ok", "")
}

// readyz says whether requests can be answered: the database is reachable (it
// was migrated before the listener was served) and the server is not stopping.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.stopping.Load() {
		writeHealth(w, http.StatusServiceUnavailable, "stopping", "the server is finishing its requests and will end")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
	defer cancel()
	if err := s.store.Ping(ctx); err != nil {
		s.log.Warn("not ready", "cause", err.Error())
		writeHealth(w, http.StatusServiceUnavailable, "unavailable", whyNotReady(err))
		return
	}
	writeHealth(w, http.StatusOK, "ready", "")
}

// whyNotReady says in words what keeps requests from being answered. The cause
// itself, which may name hosts and files, is for the log.
func whyNotReady(err error) string {
	switch {
	case errors.Is(err, store.ErrDiskFull):
		return "the database takes no writes: its disk is full"
	case errors.Is(err, store.ErrReadOnly):
		return "the database takes no writes: it can only be read"
	case errors.Is(err, store.ErrNoConnections):
		return "the database has no connection left"
	default:
		return "the database does not answer"
	}
}

func writeHealth(w http.ResponseWriter, status int, state, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}{state, reason})
}

// documents serves the OpenAPI document, which is made when it is first asked
// for: most servers are never asked.
type documents struct {
	parsed func() (*openapi3.T, error)
	bytes  func() ([]byte, error)
}

func (s *Server) documents() documents {
	parsed := sync.OnceValues(func() (*openapi3.T, error) { return s.engine.OpenAPI(s.version), nil })
	return documents{
		parsed: parsed,
		bytes: sync.OnceValues(func() ([]byte, error) {
			doc, err := parsed()
			if err != nil {
				return nil, err
			}
			return json.Marshal(doc)
		}),
	}
}

func (d documents) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	body, err := d.bytes()
	if err != nil {
		http.Error(w, "the document could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(body)
}
