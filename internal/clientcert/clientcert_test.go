package clientcert_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/clientcert"
	"github.com/weirhq/weir/internal/clientcert/certtest"
)

var now = time.Now()

func leaf(*x509.Certificate) {}

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
	root := certtest.New(t, "root")
	between := root.Issue(t, certtest.Authority("between"))
	text := between.PEM(root)
	for _, form := range []string{text, "\n " + text + "\n", base64.StdEncoding.EncodeToString([]byte(text)), strings.ReplaceAll(text, "\n", "\r\n")} {
		c := parse(t, form)
		sum := sha1.Sum(between.Raw)
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
	root := certtest.New(t, "root")
	many := make([]*certtest.Signer, clientcert.MaxCertificates+1)
	for i := range many {
		many[i] = certtest.New(t, "root")
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                  {"", "is empty"},
		"space":                    {" \n", "is empty"},
		"no PEM":                   {"hello", "not in PEM"},
		"text behind":              {root.PEM() + "hello", "not in PEM"},
		"a private key":            {root.PEM() + root.KeyPEM(t), "holds a private key"},
		"a revocation list":        {root.CRL(t, time.Hour), "holds a x509 crl"},
		"damage":                   {string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw[:50]})), "damaged"},
		"a client's":               {root.PEM(root.Issue(t, leaf)), "may not sign others, number 2"},
		"an authority for nothing": {certtest.SelfSigned(t, func(c *x509.Certificate) { certtest.Authority("x")(c); c.KeyUsage = x509.KeyUsageDigitalSignature }).PEM(), "may not sign others"},
		"one twice":                {root.PEM(root), "twice"},
		"too many":                 {many[0].PEM(many[1:]...), "send at most"},
		"too long":                 {strings.Repeat("x", clientcert.MaxChain+1), "longer than"},
	} {
		if _, err := clientcert.ParseChain(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	root := certtest.New(t, "root")
	between := root.Issue(t, certtest.Authority("between"))
	client, other := between.Issue(t, leaf), between.Issue(t, leaf)
	namesake := certtest.New(t, "root")
	a := &clientcert.Authority{Chain: parse(t, root.PEM(between))}
	check := func(name string, a *clientcert.Authority, at time.Time, want error, shown ...*certtest.Signer) {
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
	check("a namesake of the authority", a, now, clientcert.ErrNotIssued, namesake.Issue(t, leaf))
	check("one that signed itself", a, now, clientcert.ErrNotIssued, certtest.SelfSigned(t, leaf))
	check("a server's", a, now, clientcert.ErrNotIssued, root.Issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }))

	// With the root alone the link between must be shown; one that was made up
	// helps nobody.
	short := &clientcert.Authority{Chain: parse(t, root.PEM())}
	check("a missing link", short, now, clientcert.ErrNotIssued, client)
	check("the link shown", short, now, nil, client, between)
	madeUp := namesake.Issue(t, certtest.Authority("between"))
	check("a link of another authority", short, now, clientcert.ErrNotIssued, madeUp.Issue(t, leaf), madeUp)
	// An authority that may have none below it has none.
	closed := root.Issue(t, func(c *x509.Certificate) { certtest.Authority("closed")(c); c.MaxPathLenZero = true })
	below := closed.Issue(t, certtest.Authority("below"))
	check("below a closed authority", short, now, clientcert.ErrNotIssued, below.Issue(t, leaf), below, closed)
	// A client cannot sign for others.
	check("signed by a client", a, now, clientcert.ErrNotIssued, client.Issue(t, leaf), client)

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
	check("required and out of date", with(true, between.CRL(t, -time.Minute)), now, clientcert.ErrNoCRL, client)
	check("not required, out of date", with(false, between.CRL(t, -time.Minute)), now, nil, client)
	check("another one revoked", with(true, between.CRL(t, time.Minute, other)), now, nil, client)
	check("revoked", with(true, between.CRL(t, time.Minute, client)), now, clientcert.ErrRevoked, client)
	check("revoked, not required, out of date", with(false, between.CRL(t, -time.Minute, client)), now, clientcert.ErrRevoked, client)
	check("the link revoked", with(true, root.CRL(t, time.Minute, between)), now, clientcert.ErrRevoked, client)
	list := with(true, between.CRL(t, time.Minute))
	if until, err := list.Verify([]*x509.Certificate{client.Certificate}, now); err != nil || until.Sub(now).Abs() > time.Minute {
		t.Errorf("the answer holds until %v, %v, and the list until a minute from now", until, err)
	}
}

func TestWeakKeys(t *testing.T) {
	t.Parallel()
	root := certtest.New(t, "root")
	short, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	a := &clientcert.Authority{Chain: parse(t, root.PEM())}
	for name, key := range map[string]crypto.Signer{"P-224": short, "RSA with 1024 bits": old} {
		if _, err := a.Verify([]*x509.Certificate{root.IssueFor(t, key, nil).Certificate}, time.Now()); !errors.Is(err, clientcert.ErrWeak) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := clientcert.ParseChain(root.IssueFor(t, key, certtest.Authority("between")).PEM()); err == nil || !strings.Contains(err.Error(), "not taken") {
			t.Errorf("an authority with %s: %v", name, err)
		}
	}
	good, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{good, edwards} {
		if _, err := a.Verify([]*x509.Certificate{root.IssueFor(t, key, nil).Certificate}, time.Now()); err != nil {
			t.Errorf("%T: %v", key, err)
		}
	}
	many := make([]*x509.Certificate, clientcert.MaxCertificates+1)
	for i := range many {
		many[i] = root.Certificate
	}
	if _, err := a.Verify(many, time.Now()); !errors.Is(err, clientcert.ErrNotIssued) {
		t.Errorf("many certificates: %v", err)
	}
}

func TestParseCRL(t *testing.T) {
	t.Parallel()
	root, other := certtest.New(t, "root"), certtest.New(t, "root")
	c := parse(t, root.PEM())
	good := root.CRL(t, time.Hour)
	block, _ := pem.Decode([]byte(good))
	for _, form := range []string{good, base64.StdEncoding.EncodeToString([]byte(good)), string(block.Bytes)} {
		if _, err := c.ParseCRL(form); err != nil {
			t.Error(err)
		}
	}
	for name, d := range map[string]struct{ text, want string }{
		"nothing":       {"", "is empty"},
		"a certificate": {root.PEM(), "holds a certificate"},
		"another's":     {other.CRL(t, time.Hour), "not signed"},
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
	x := certtest.SelfSigned(t, func(c *x509.Certificate) {
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
	empty := clientcert.Subject(certtest.SelfSigned(t, func(c *x509.Certificate) { c.Subject = pkix.Name{} }).Certificate)
	if len(empty) != 1 || clientcert.Identifier(empty, clientcert.SAN) != "" {
		t.Errorf("an empty subject is %v", empty)
	}
}

func FuzzParse(f *testing.F) {
	root := certtest.New(f, "root")
	c := parse(f, root.PEM())
	f.Add(root.PEM())
	f.Add(root.CRL(f, time.Hour))
	f.Add("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
	f.Fuzz(func(t *testing.T, text string) {
		if chain, err := clientcert.ParseChain(text); err == nil && (len(chain.Fingerprints()) == 0 || len(chain.Subjects()) > clientcert.MaxCertificates) {
			t.Errorf("%q is a chain of %d", text, len(chain.Fingerprints()))
		}
		_, _ = c.ParseCRL(text)
	})
}
