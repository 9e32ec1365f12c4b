package localca

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"time"
)

// retryInterval is the time between attempts to renew.
const retryInterval = time.Hour

// TLSConfig is [Load] for a server that runs for long: the configuration (TLS
// 1.2 or newer) renews the certificate when it is due, at the next handshake.
// If that fails, the error is logged, the old certificate stays in use and the
// next attempt is an hour later. The second result is what was loaded now.
func TLSConfig(dir string, hosts []string, now func() time.Time, log *slog.Logger) (*tls.Config, *Identity, error) {
	id, err := Load(dir, hosts, now())
	if err != nil {
		return nil, nil, err
	}
	r := &renewer{
		load:    func(at time.Time) (*Identity, error) { return Load(dir, hosts, at) },
		now:     now,
		log:     log,
		current: &id.Certificate,
		next:    id.RenewAt,
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: r.certificate}, id, nil
}

// renewer holds the certificate in use.
type renewer struct {
	load func(time.Time) (*Identity, error)
	now  func() time.Time
	log  *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	next    time.Time // of the next attempt to renew
}

// certificate has the form of tls.Config.GetCertificate. Handshakes wait while
// one of them renews, which takes milliseconds.
func (r *renewer) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Before(r.next) {
		return r.current, nil
	}
	r.next = now.Add(retryInterval)
	id, err := r.load(now)
	if err != nil {
		r.log.Error("the TLS certificate could not be renewed", "error", err, "valid_until", r.current.Leaf.NotAfter)
		return r.current, nil
	}
	r.current = &id.Certificate
	if id.RenewAt.After(r.next) {
		r.next = id.RenewAt
	}
	r.log.Info("the TLS certificate was renewed", "valid_until", id.Certificate.Leaf.NotAfter)
	return r.current, nil
}
