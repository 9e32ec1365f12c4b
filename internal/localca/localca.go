// Package localca gives a server a TLS certificate where none was bought: it
// makes a certificate authority of its own, once, and signs the server's
// certificate with it. Whoever trusts the authority's certificate file can
// connect with full verification.
//
// A directory holds three PEM files:
//
//	ca.key      the authority's private key and its certificate, mode 0600
//	ca.crt      the authority's certificate again, for clients to trust
//	server.pem  the server's private key and certificate, mode 0600
//
// A key and its certificate share a file because only single files can be
// replaced atomically: a crash at any moment leaves a pair that fits.
package localca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	caKeyFile  = "ca.key"
	caCertFile = "ca.crt"
	serverFile = "server.pem"
)

// Identity is what a server presents, and what its clients have to trust.
type Identity struct {
	// Certificate is the server's, with its private key; Leaf is set.
	Certificate tls.Certificate
	// CAPath is the file with the authority's certificate. It holds no secret.
	CAPath string
	// Created says that the authority was made by this call, so that nobody
	// trusts it yet.
	Created bool
	// RenewAt is when [Load] will issue another certificate.
	RenewAt time.Time
}

// Load returns the identity that is kept in the directory, and makes what is
// missing: the directory, the authority (valid for 10 years) and the server's
// certificate (valid for 397 days, but no longer than the authority). The
// certificate names the hosts, which are DNS names, perhaps with a leading
// "*.", and IP addresses; and always localhost, 127.0.0.1 and ::1. The same
// authority issues a new one when the old one has less than 30 days left, does
// not name all hosts or is another authority's.
//
// What is there but damaged is an error that says which file it is and what
// can be done, and stays as it is. Only one process at a time may use the
// directory.
func Load(dir string, hosts []string, now time.Time) (*Identity, error) {
	names, err := parseHosts(hosts)
	if err != nil {
		return nil, err
	}
	// Others may read the directory, since ca.crt is for them.
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // ca.key in it is 0600
		return nil, fmt.Errorf("make the directory of the local CA: %w", err)
	}
	ca, created, err := loadAuthority(dir, now)
	if err != nil {
		return nil, err
	}
	cert, err := loadServer(dir, ca, names, now)
	if err != nil {
		return nil, err
	}
	return &Identity{
		Certificate: *cert,
		CAPath:      filepath.Join(dir, caCertFile),
		Created:     created,
		RenewAt:     renewAt(cert.Leaf, ca.Leaf),
	}, nil
}

// loadAuthority reads the authority or makes it, and reports whether it did.
func loadAuthority(dir string, now time.Time) (ca *tls.Certificate, created bool, err error) {
	keyPath, certPath := filepath.Join(dir, caKeyFile), filepath.Join(dir, caCertFile)
	public, err := readIfExists(certPath)
	if err != nil {
		return nil, false, err
	}
	pair, err := readIfExists(keyPath)
	if err != nil {
		return nil, false, err
	}
	switch {
	case pair != nil:
	case public != nil:
		return nil, false, fmt.Errorf("local CA: %s is there, but its private key %s is missing: put it back, or %s",
			certPath, keyPath, startOver(certPath))
	default:
		if pair, err = newAuthority(now); err != nil {
			return nil, false, fmt.Errorf("local CA: %w", err)
		}
		if err := writeFile(keyPath, pair, 0o600); err != nil {
			return nil, false, fmt.Errorf("local CA: %w", err)
		}
		created = true
	}

	ca, err = parsePair(pair)
	if err == nil {
		err = checkAuthority(ca.Leaf)
	}
	if err != nil {
		return nil, false, fmt.Errorf("local CA: %s is damaged (%w): restore it from a copy, or %s",
			keyPath, err, startOver(keyPath, certPath))
	}
	if now.Before(ca.Leaf.NotBefore) {
		return nil, false, fmt.Errorf("local CA: %s is valid only from %s on: check this machine's clock",
			keyPath, ca.Leaf.NotBefore.Format(time.RFC3339))
	}
	if now.After(ca.Leaf.NotAfter) {
		return nil, false, fmt.Errorf("local CA: %s expired at %s: %s",
			keyPath, ca.Leaf.NotAfter.Format(time.RFC3339), startOver(keyPath, certPath))
	}

	if public == nil {
		public = encodeCert(ca.Leaf.Raw)
		if err := writeFile(certPath, public, 0o644); err != nil {
			return nil, false, fmt.Errorf("local CA: %w", err)
		}
	}
	if block, _ := pem.Decode(public); block == nil || !bytes.Equal(block.Bytes, ca.Leaf.Raw) {
		return nil, false, fmt.Errorf("local CA: %s is not the certificate that is in %s: remove %s to have it written again",
			certPath, keyPath, certPath)
	}
	return ca, created, nil
}

func startOver(files ...string) string {
	what := files[0]
	if len(files) > 1 {
		what += " and " + files[1]
	}
	return "remove " + what + " to make a new CA, which every client must then be told to trust"
}

func checkAuthority(ca *x509.Certificate) error {
	if !ca.IsCA {
		return errors.New("the certificate is not an authority's")
	}
	return ca.CheckSignatureFrom(ca)
}

// loadServer reads the server's certificate, and issues one if there is none
// that will do.
func loadServer(dir string, ca *tls.Certificate, names hostNames, now time.Time) (*tls.Certificate, error) {
	path := filepath.Join(dir, serverFile)
	pair, err := readIfExists(path)
	if err != nil {
		return nil, err
	}
	if pair != nil {
		cert, err := parsePair(pair)
		// One that another authority signed is left over from before ca.key was replaced.
		ours := err == nil && bytes.Equal(cert.Leaf.AuthorityKeyId, ca.Leaf.SubjectKeyId)
		if ours {
			err = cert.Leaf.CheckSignatureFrom(ca.Leaf)
		}
		if err != nil {
			return nil, fmt.Errorf("local CA: %s is damaged (%w): remove it to have another one issued", path, err)
		}
		if ours && names.coveredBy(cert.Leaf) &&
			!now.Before(cert.Leaf.NotBefore) && now.Before(renewAt(cert.Leaf, ca.Leaf)) {
			return cert, nil
		}
	}
	pair, err = issue(ca, names, now)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	cert, err := parsePair(pair)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	if err := writeFile(path, pair, 0o600); err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	return cert, nil
}

// renewAt leaves 30 days for a failing renewal to be noticed. A certificate
// that ends together with its authority is used to its end, since no other
// one could last longer.
func renewAt(leaf, ca *x509.Certificate) time.Time {
	if !leaf.NotAfter.Before(ca.NotAfter) {
		return leaf.NotAfter
	}
	return leaf.NotAfter.Add(-renewBefore)
}

// parsePair reads a private key and its certificate from one file's content
// and checks that they belong together.
func parsePair(content []byte) (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(content, content)
	if err != nil {
		return nil, err
	}
	return &cert, nil
}

// readIfExists returns nil if there is no such file. An empty file is there.
func readIfExists(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	return content, nil
}
