package clientcert_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // fingerprints are SHA-1
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/clientcert"
)

var now = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)

// signer is an authority, or what it signed, with its key.
type signer struct {
	*x509.Certificate
	key crypto.Signer
}

var serial int64 = 1000

// issue makes a certificate that the parent signed, or that signed itself.
func issue(t testing.TB, parent *signer, change func(*x509.Certificate)) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "somebody"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	by := &signer{template, key}
	if parent != nil {
		by = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{certificate, key}
}

func authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
		c.NotAfter = now.Add(24 * time.Hour)
	}
}

func leaf(*x509.Certificate) {}

func inPEM(signers ...*signer) string {
	var b bytes.Buffer
	for _, s := range signers {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: s.Raw})
	}
	return b.String()
}

// crl is a list of what the authority revoked, which counts for the time.
func (s *signer) crl(t testing.TB, life time.Duration, revoked ...*signer) string {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(life)}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, s.Certificate, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

func parse(t testing.TB, text string) *clientcert.Chain {
	t.Helper()
	c, err := clientcert.ParseChain(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParseChain(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, authority("root"))
	between := issue(t, root, authority("between"))
	text := inPEM(between, root)
	for _, form := range []string{text, "\n " + text + "\n", base64.StdEncoding.EncodeToString([]byte(text)), strings.ReplaceAll(text, "\n", "\r\n")} {
		c := parse(t, form)
		sum := sha1.Sum(between.Raw) //nolint:gosec // see the import
		if got := c.Fingerprints(); len(got) != 2 || got[0] != strings.ToUpper(hex.EncodeToString(sum[:])) {
			t.Errorf("the fingerprints are %v", got)
		}
		if got := c.SerialNumbers(); len(got) != 2 || got[1] != strings.ToUpper(root.SerialNumber.Text(16)) {
			t.Errorf("the serial numbers are %v", got)
		}
		if got := c.ExpirationDates(); len(got) != 2 || !got[0].Equal(between.NotAfter) || got[0].Location() != time.UTC {
			t.Errorf("the dates are %v", got)
		}
	}
}

func TestParseChainRefuses(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, authority("root"))
	many := make([]*signer, clientcert.MaxCertificates+1)
	for i := range many {
		many[i] = issue(t, nil, authority("root"))
	}
	key, err := x509.MarshalPKCS8PrivateKey(root.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                  {"", "is empty"},
		"space":                    {" \n", "is empty"},
		"no PEM":                   {"hello", "not in PEM"},
		"text behind":              {inPEM(root) + "hello", "not in PEM"},
		"a private key":            {inPEM(root) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), "holds a private key"},
		"a revocation list":        {root.crl(t, time.Hour), "holds a x509 crl"},
		"damage":                   {string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw[:50]})), "damaged"},
		"a client's":               {inPEM(root, issue(t, root, leaf)), "may not sign others, number 2"},
		"an authority for nothing": {inPEM(issue(t, nil, func(c *x509.Certificate) { authority("x")(c); c.KeyUsage = x509.KeyUsageDigitalSignature })), "may not sign others"},
		"one twice":                {inPEM(root, root), "twice"},
		"too many":                 {inPEM(many...), "send at most"},
		"too long":                 {strings.Repeat("x", clientcert.MaxChain+1), "longer than"},
	} {
		if _, err := clientcert.ParseChain(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, authority("root"))
	between := issue(t, root, authority("between"))
	client, other := issue(t, between, leaf), issue(t, between, leaf)
	namesake := issue(t, nil, authority("root"))
	a := &clientcert.Authority{Chain: parse(t, inPEM(root, between))}
	check := func(name string, a *clientcert.Authority, at time.Time, want error, shown ...*signer) {
		t.Helper()
		var certificates []*x509.Certificate
		for _, s := range shown {
			certificates = append(certificates, s.Certificate)
		}
		until, err := a.Verify(certificates, at)
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err == nil && (!until.After(at) || until.After(shown[0].NotAfter)) {
			t.Errorf("%s: the answer holds until %v", name, until)
		}
	}
	check("a client", a, now, nil, client)
	check("nobody", a, now, clientcert.ErrNotIssued)
	check("too late", a, client.NotAfter.Add(time.Second), clientcert.ErrNotIssued, client)
	check("too early", a, client.NotBefore.Add(-time.Second), clientcert.ErrNotIssued, client)
	check("a namesake of the authority", a, now, clientcert.ErrNotIssued, issue(t, namesake, leaf))
	check("one that signed itself", a, now, clientcert.ErrNotIssued, issue(t, nil, leaf))
	check("a server's", a, now, clientcert.ErrNotIssued, issue(t, root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }))

	// With the root alone the link between must be shown; one that was made up
	// helps nobody.
	short := &clientcert.Authority{Chain: parse(t, inPEM(root))}
	check("a missing link", short, now, clientcert.ErrNotIssued, client)
	check("the link shown", short, now, nil, client, between)
	madeUp := issue(t, namesake, authority("between"))
	check("a link of another authority", short, now, clientcert.ErrNotIssued, issue(t, madeUp, leaf), madeUp)
	// An authority that may have none below it has none.
	closed := issue(t, root, func(c *x509.Certificate) { authority("closed")(c); c.MaxPathLenZero = true })
	below := issue(t, closed, authority("below"))
	check("below a closed authority", short, now, clientcert.ErrNotIssued, issue(t, below, leaf), below, closed)
	// A client cannot sign for others.
	check("signed by a client", a, now, clientcert.ErrNotIssued, issue(t, client, leaf), client)

	with := func(require bool, lists ...string) *clientcert.Authority {
		t.Helper()
		out := &clientcert.Authority{Chain: a.Chain, RequireCRL: require}
		for _, text := range lists {
			list, err := a.Chain.ParseCRL(text)
			if err != nil {
				t.Fatal(err)
			}
			out.CRL = list
		}
		return out
	}
	check("required and not there", with(true), now, clientcert.ErrNoCRL, client)
	check("required and out of date", with(true, between.crl(t, -time.Minute)), now, clientcert.ErrNoCRL, client)
	check("not required, out of date", with(false, between.crl(t, -time.Minute)), now, nil, client)
	check("another one revoked", with(true, between.crl(t, time.Minute, other)), now, nil, client)
	check("revoked", with(true, between.crl(t, time.Minute, client)), now, clientcert.ErrRevoked, client)
	check("revoked, not required, out of date", with(false, between.crl(t, -time.Minute, client)), now, clientcert.ErrRevoked, client)
	check("the link revoked", with(true, root.crl(t, time.Minute, between)), now, clientcert.ErrRevoked, client)
	list := with(true, between.crl(t, time.Minute))
	if until, err := list.Verify([]*x509.Certificate{client.Certificate}, now); err != nil || !until.Equal(now.Add(time.Minute)) {
		t.Errorf("the answer holds until %v, %v, and the list until a minute from now", until, err)
	}
}

func TestParseCRL(t *testing.T) {
	t.Parallel()
	root, other := issue(t, nil, authority("root")), issue(t, nil, authority("root"))
	c := parse(t, inPEM(root))
	good := root.crl(t, time.Hour)
	block, _ := pem.Decode([]byte(good))
	for _, form := range []string{good, base64.StdEncoding.EncodeToString([]byte(good)), string(block.Bytes)} {
		if _, err := c.ParseCRL(form); err != nil {
			t.Error(err)
		}
	}
	for name, d := range map[string]struct{ text, want string }{
		"nothing":       {"", "is empty"},
		"a certificate": {inPEM(root), "holds a certificate"},
		"another's":     {other.crl(t, time.Hour), "not signed"},
		"two":           {good + good, "more than one"},
		"damage":        {string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: block.Bytes[:40]})), "damaged"},
		"too long":      {strings.Repeat("x", clientcert.MaxCRL+1), "longer than"},
	} {
		if _, err := c.ParseCRL(d.text); err == nil || !strings.Contains(err.Error(), d.want) {
			t.Errorf("%s: %v, want %q", name, err, d.want)
		}
	}
}

func TestSubject(t *testing.T) {
	t.Parallel()
	x := issue(t, nil, func(c *x509.Certificate) {
		c.Subject = pkix.Name{
			CommonName: "orders", Organization: []string{"Example"}, OrganizationalUnit: []string{"eng", "shop"},
			Country: []string{"CA"}, Province: []string{"Ontario"},
			ExtraNames: []pkix.AttributeTypeAndValue{
				{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: "u1"},
				{Type: asn1.ObjectIdentifier{1, 2, 3}, Value: "unknown"},
			},
		}
		uri, _ := url.Parse("spiffe://example.com/orders")
		c.DNSNames, c.EmailAddresses, c.IPAddresses, c.URIs = []string{"a.example.com"}, []string{"a@example.com"}, []net.IP{net.ParseIP("192.0.2.1")}, []*url.URL{uri}
	})
	got := clientcert.Subject(x.Certificate)
	want := map[string]any{
		"CN": "orders", "O": "Example", "OU": []string{"eng", "shop"}, "C": "CA", "ST": "Ontario", "S": "Ontario", "UID": "u1",
		"SAN": []string{"a.example.com", "a@example.com", "192.0.2.1", "spiffe://example.com/orders"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the subject is\n%v, want\n%v", got, want)
	}
	for attribute, value := range map[string]string{"CN": "orders", "OU": "eng", "SAN": "a.example.com", "L": "", "": ""} {
		if got := clientcert.Identifier(want, attribute); got != value {
			t.Errorf("the identifier by %s is %q", attribute, got)
		}
	}
	empty := clientcert.Subject(issue(t, nil, func(c *x509.Certificate) { c.Subject = pkix.Name{} }).Certificate)
	if len(empty) != 1 || clientcert.Identifier(empty, clientcert.SAN) != "" {
		t.Errorf("an empty subject is %v", empty)
	}
}

func FuzzParse(f *testing.F) {
	root := issue(f, nil, authority("root"))
	c := parse(f, inPEM(root))
	f.Add(inPEM(root))
	f.Add(root.crl(f, time.Hour))
	f.Add("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
	f.Fuzz(func(t *testing.T, text string) {
		if chain, err := clientcert.ParseChain(text); err == nil && (len(chain.Fingerprints()) == 0 || len(chain.Subjects()) > clientcert.MaxCertificates) {
			t.Errorf("%q is a chain of %d", text, len(chain.Fingerprints()))
		}
		_, _ = c.ParseCRL(text)
	})
}
