// Package clientcert reads what a certificate authority is made of, a chain of
// certificates and a list of those that were revoked, and decides whether a
// client's certificate comes from it.
package clientcert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the API names certificates by their SHA-1; nothing is decided by it
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Bounds of what is read, in bytes and in certificates.
const (
	// MaxChain is the greatest length of a chain in PEM, MaxCertificates how
	// many certificates it may hold.
	MaxChain        = 64 << 10
	MaxCertificates = 10
	// MaxCRL is the greatest length of a revocation list in PEM.
	MaxCRL = 512 << 10
)

// Chain is the certificates of an authority, each of which may sign those of
// clients. It does not change.
type Chain struct {
	certificates []*x509.Certificate
	pool         *x509.CertPool
}

// ParseChain reads a chain in PEM, or in Base64 of that, which some clients
// send. The error says what to do, to follow the name of the field.
func ParseChain(text string) (*Chain, error) {
	blocks, err := blocksOf(text, "CERTIFICATE", MaxChain)
	if err != nil {
		return nil, err
	}
	if len(blocks) > MaxCertificates {
		return nil, fmt.Errorf("has %d certificates; send at most %d", len(blocks), MaxCertificates)
	}
	c := &Chain{pool: x509.NewCertPool()}
	for i, der := range blocks {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("cannot be read: its certificate %d is damaged", i+1)
		}
		if !certificate.BasicConstraintsValid || !certificate.IsCA || certificate.KeyUsage != 0 && certificate.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, fmt.Errorf("has a certificate that may not sign others, number %d; send those of the authority, not a client's", i+1)
		}
		if !strong(certificate) {
			return nil, fmt.Errorf("has a certificate whose key is not taken, number %d; take RSA from 2048 to 8192 bits, ECDSA from P-256 on, or Ed25519", i+1)
		}
		for _, other := range c.certificates {
			if other.Equal(certificate) {
				return nil, fmt.Errorf("has its certificate %d twice", i+1)
			}
		}
		c.certificates = append(c.certificates, certificate)
		c.pool.AddCert(certificate)
	}
	return c, nil
}

// blocksOf returns the contents of the PEM blocks of the type, at least one.
func blocksOf(text, blockType string, most int) ([][]byte, error) {
	if len(text) > most {
		return nil, fmt.Errorf("is longer than %d bytes", most)
	}
	rest := []byte(strings.TrimSpace(text))
	if !bytes.HasPrefix(rest, []byte("-----BEGIN")) {
		if decoded, err := base64.StdEncoding.DecodeString(string(rest)); err == nil {
			rest = bytes.TrimSpace(decoded)
		}
	}
	var out [][]byte
	for len(rest) > 0 {
		block, after := pem.Decode(rest)
		if block == nil {
			return nil, fmt.Errorf("is not in PEM; it begins with -----BEGIN %s-----", blockType)
		}
		if block.Type != blockType {
			return nil, fmt.Errorf("holds a %s; send only -----BEGIN %s-----", strings.ToLower(block.Type), blockType)
		}
		out = append(out, block.Bytes)
		rest = bytes.TrimSpace(after)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("is empty; it begins with -----BEGIN %s-----", blockType)
	}
	return out, nil
}

// Fingerprints are the SHA-1 of each certificate, in upper-case hexadecimal.
func (c *Chain) Fingerprints() []string {
	return each(c, func(x *x509.Certificate) string {
		return fmt.Sprintf("%X", sha1.Sum(x.Raw)) //nolint:gosec // see the import
	})
}

// SerialNumbers are those of each certificate, in upper-case hexadecimal.
func (c *Chain) SerialNumbers() []string {
	return each(c, func(x *x509.Certificate) string { return fmt.Sprintf("%X", x.SerialNumber) })
}

// ExpirationDates are when each certificate ends.
func (c *Chain) ExpirationDates() []time.Time {
	return each(c, func(x *x509.Certificate) time.Time { return x.NotAfter.UTC() })
}

// Subjects are the names of each certificate, as they stand in those that it
// signed.
func (c *Chain) Subjects() [][]byte {
	return each(c, func(x *x509.Certificate) []byte { return x.RawSubject })
}

func each[T any](c *Chain, f func(*x509.Certificate) T) []T {
	out := make([]T, len(c.certificates))
	for i, x := range c.certificates {
		out[i] = f(x)
	}
	return out
}

// Errors of Verify.
var (
	// ErrNotIssued means that the certificate is not of the authority, has
	// ended, or is not for clients.
	ErrNotIssued = errors.New("clientcert: the certificate is not of this authority, or no longer valid")
	// ErrRevoked means that the authority took it back.
	ErrRevoked = errors.New("clientcert: the certificate is revoked")
	// ErrNoCRL means that a list of revoked certificates is required, and there
	// is none that still counts.
	ErrNoCRL = errors.New("clientcert: there is no current revocation list")
	// ErrWeak means that a key on the way up is none to rely on.
	ErrWeak = errors.New("clientcert: a key is too short, too long or of a kind that is not taken")
)

// Authority is what certificates are checked against.
type Authority struct {
	Chain *Chain
	// CRL is the list of revoked certificates, or nil.
	CRL *x509.RevocationList
	// RequireCRL refuses everybody while there is no list that still counts.
	RequireCRL bool
}

// Verify checks the certificate that a client showed first, with the others
// that it showed as possible links of the chain, at the time. It returns until
// when the answer holds.
func (a *Authority) Verify(shown []*x509.Certificate, now time.Time) (until time.Time, err error) {
	if len(shown) == 0 || len(shown) > MaxCertificates {
		return until, ErrNotIssued
	}
	for _, x := range shown {
		if !strong(x) {
			return until, ErrWeak
		}
	}
	leaf := shown[0]
	between := x509.NewCertPool()
	for _, x := range shown[1:] {
		between.AddCert(x)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.Chain.pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return until, fmt.Errorf("%w: %w", ErrNotIssued, err)
	}
	// There may be several ways up. What is revoked on any of them counts.
	var links []*x509.Certificate
	for _, chain := range chains {
		links = append(links, chain...)
	}
	until = leaf.NotAfter
	for _, x := range links {
		until = earlier(until, x.NotAfter)
	}
	switch current := a.CRL != nil && (a.CRL.NextUpdate.IsZero() || now.Before(a.CRL.NextUpdate)); {
	case !current && a.RequireCRL:
		return until, ErrNoCRL
	case a.CRL == nil:
		return until, nil
	case revoked(a.CRL, links):
		return until, ErrRevoked
	case current && !a.CRL.NextUpdate.IsZero():
		until = earlier(until, a.CRL.NextUpdate)
	}
	return until, nil
}

// strong reports whether the certificate's key is one to rely on, and not one
// that takes long to check signatures with. Signatures with SHA-1 and MD5 are
// refused by crypto/x509.
func strong(x *x509.Certificate) bool {
	switch key := x.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= 2048 && key.N.BitLen() <= 8192
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize >= 256
	case ed25519.PublicKey:
		return true
	default:
		return false
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// revoked looks for each of the certificates that the list's issuer signed.
func revoked(list *x509.RevocationList, links []*x509.Certificate) bool {
	for _, x := range links {
		if !bytes.Equal(x.RawIssuer, list.RawIssuer) {
			continue
		}
		for _, entry := range list.RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(x.SerialNumber) == 0 {
				return true
			}
		}
	}
	return false
}

// ParseCRL reads a revocation list in PEM, in Base64 of that, or in DER, as
// servers send it, and checks that the chain has signed it.
func (c *Chain) ParseCRL(content string) (*x509.RevocationList, error) {
	der := []byte(content)
	if len(der) > MaxCRL {
		return nil, fmt.Errorf("is longer than %d bytes", MaxCRL)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		blocks, err := blocksOf(content, "X509 CRL", MaxCRL)
		if err != nil {
			return nil, err
		}
		if len(blocks) > 1 {
			return nil, errors.New("has more than one list; send one")
		}
		if list, err = x509.ParseRevocationList(blocks[0]); err != nil {
			return nil, errors.New("cannot be read: the list is damaged")
		}
	}
	for _, x := range c.certificates {
		if list.CheckSignatureFrom(x) == nil {
			return list, nil
		}
	}
	return nil, errors.New("is not signed by a certificate of the chain")
}
