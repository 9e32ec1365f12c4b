package mail

import (
	"crypto/x509"
	"time"
)

// Trust makes the sender trust the authorities of the pool and no others.
func (s *SMTP) Trust(pool *x509.CertPool) { s.tls.RootCAs = pool }

// SetTimeout replaces SendTimeout.
func (s *SMTP) SetTimeout(d time.Duration) { s.timeout = d }

// Server returns where the sender connects to and as whom.
func (s *SMTP) Server() (host string, port int, user, password string) {
	return s.host, s.port, s.user, s.password
}
