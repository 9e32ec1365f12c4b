package localca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"time"
)

const (
	day = 24 * time.Hour
	// serverValidity is what browsers accept from any authority, less one day.
	serverValidity = 397 * day
	renewBefore    = 30 * day
	caYears        = 10
	// backdate lets clients connect whose clocks are slow.
	backdate = time.Hour
)

// newAuthority returns the content of ca.key: a new key and its certificate.
func newAuthority(now time.Time) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			Organization: []string{"Weir"},
			// Whoever trusts several of them can tell them apart.
			CommonName: "Weir local CA " + hex.EncodeToString(serial.Bytes()[:4]),
		},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(-backdate).AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	return sign(template, nil)
}

// issue returns the content of server.pem: a new key and its certificate.
func issue(ca *tls.Certificate, names hostNames, now time.Time) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Weir"}, CommonName: "Weir server"},
		DNSNames:     names.dns,
		IPAddresses:  names.ips,
		NotBefore:    now.Add(-backdate),
		// The last second counts as valid, too.
		NotAfter:              now.Add(-backdate + serverValidity - time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(ca.Leaf.NotAfter) {
		template.NotAfter = ca.Leaf.NotAfter
	}
	return sign(template, ca)
}

// sign makes a key for the template and has it certified by the authority, or
// by itself if that is nil.
func sign(template *x509.Certificate, ca *tls.Certificate) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	encodedKey := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return bytes.Join([][]byte{encodedKey, encodeCert(cert)}, nil), nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// newSerial returns a positive number of 127 random bits below a leading one,
// so that it always has 16 bytes.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return n.SetBit(n, 127, 1), nil
}
