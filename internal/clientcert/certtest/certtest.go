// Package certtest makes certificates for tests.
package certtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync/atomic"
	"testing"
	"time"
)

// Signer is an authority, or what one signed, with its key.
type Signer struct {
	*x509.Certificate
	key   crypto.Signer
	chain []*Signer
}

var serial atomic.Int64

// New returns an authority that signed itself and is good for a day.
func New(t testing.TB, name string) *Signer {
	t.Helper()
	return issue(t, nil, Authority(name))
}

// Authority makes a certificate one that may sign others.
func Authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
		c.NotAfter = c.NotBefore.Add(24 * time.Hour)
	}
}

// Issue returns a certificate that s signed: a client's, good from an hour ago
// to an hour from now, unless change says otherwise.
func (s *Signer) Issue(t testing.TB, change func(*x509.Certificate)) *Signer {
	t.Helper()
	return issue(t, s, change)
}

// IssueFor is Issue for a key that the caller has made.
func (s *Signer) IssueFor(t testing.TB, key crypto.Signer, change func(*x509.Certificate)) *Signer {
	t.Helper()
	return issueFor(t, s, key, change)
}

// SelfSigned returns a certificate that signed itself.
func SelfSigned(t testing.TB, change func(*x509.Certificate)) *Signer {
	t.Helper()
	return issue(t, nil, change)
}

// Serial is a serial number that no other certificate has.
func Serial() *big.Int { return big.NewInt(1000 + serial.Add(1)) }

func issue(t testing.TB, parent *Signer, change func(*x509.Certificate)) *Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, parent, key, change)
}

func issueFor(t testing.TB, parent *Signer, key crypto.Signer, change func(*x509.Certificate)) *Signer {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: Serial(), Subject: pkix.Name{CommonName: "somebody"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	out := &Signer{key: key}
	by := &Signer{Certificate: template, key: key}
	if parent != nil {
		by = parent
		out.chain = append([]*Signer{parent}, parent.chain...)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	if out.Certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return out
}

// PEM is the certificate, with others behind it.
func (s *Signer) PEM(others ...*Signer) string {
	var b bytes.Buffer
	for _, x := range append([]*Signer{s}, others...) {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: x.Raw}) // a buffer takes everything
	}
	return b.String()
}

// KeyPEM is the private key.
func (s *Signer) KeyPEM(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// CRL is a list of what the authority revoked, in PEM, that counts for a time
// from now.
func (s *Signer) CRL(t testing.TB, life time.Duration, revoked ...*Signer) string {
	t.Helper()
	return s.CRLAt(t, time.Now().Add(-time.Hour), life+time.Hour, revoked...)
}

// CRLAt is CRL as of another time, from which life counts.
func (s *Signer) CRLAt(t testing.TB, now time.Time, life time.Duration, revoked ...*Signer) string {
	t.Helper()
	now = now.Truncate(time.Second)
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(life)}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, s.Certificate, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// TLS is the certificate as a client shows it, with those between it and the
// root.
func (s *Signer) TLS() tls.Certificate {
	out := tls.Certificate{Certificate: [][]byte{s.Raw}, PrivateKey: s.key}
	for _, x := range s.chain {
		out.Certificate = append(out.Certificate, x.Raw)
	}
	return out
}
