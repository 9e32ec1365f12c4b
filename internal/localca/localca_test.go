package localca_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/localca"
)

const day = 24 * time.Hour

var start = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func mustLoad(t *testing.T, dir string, now time.Time, hosts ...string) *localca.Identity {
	t.Helper()
	id, err := localca.Load(dir, hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func mustRead(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWrite(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRemove(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// contents returns all files of the directory by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		files[e.Name()] = string(mustRead(t, dir, e.Name()))
	}
	return files
}

// verify checks the server's certificate as a client would who trusts the file
// at CAPath.
func verify(t *testing.T, id *localca.Identity, host string, at time.Time) error {
	t.Helper()
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(id.CAPath)
	if err != nil {
		t.Fatal(err)
	}
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("no certificate in %s", id.CAPath)
	}
	_, err = id.Certificate.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: at})
	return err
}

func TestLoadMakesAnIdentity(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "tls")
	id := mustLoad(t, dir, start, "weir.example", "192.0.2.1", "2001:db8::1", "*.weir.example", "Upper.Example.", "localhost", "127.0.0.1")
	if !id.Created {
		t.Error("Created is false")
	}
	for _, host := range []string{
		"localhost", "127.0.0.1", "[::1]", "weir.example", "192.0.2.1", "[2001:db8::1]", "any.weir.example", "upper.example",
	} {
		for _, at := range []time.Time{start.Add(-time.Hour), start, id.RenewAt, id.Certificate.Leaf.NotAfter} {
			if err := verify(t, id, host, at); err != nil {
				t.Errorf("%s at %v: %v", host, at, err)
			}
		}
	}
	for _, host := range []string{"other.example", "a.b.weir.example", "192.0.2.2", "127.0.0.2"} {
		if err := verify(t, id, host, start); err == nil {
			t.Errorf("the certificate is valid for %s", host)
		}
	}

	leaf := id.Certificate.Leaf
	if got := leaf.NotAfter.Sub(leaf.NotBefore); got >= 397*day || got < 396*day {
		t.Errorf("the server's certificate is valid for %v", got)
	}
	if want := leaf.NotAfter.Add(-30 * day); !id.RenewAt.Equal(want) {
		t.Errorf("RenewAt is %v, want %v", id.RenewAt, want)
	}
	if leaf.IsCA || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Error("the server's certificate can be used for more than serving")
	}
	if len(leaf.DNSNames) != 4 || len(leaf.IPAddresses) != 4 {
		t.Errorf("names are repeated or missing: %v %v", leaf.DNSNames, leaf.IPAddresses)
	}

	ca := parseCert(t, mustRead(t, dir, "ca.crt"))
	if want := start.Add(-time.Hour).AddDate(10, 0, 0); !ca.NotAfter.Equal(want) {
		t.Errorf("the authority is valid until %v, want %v", ca.NotAfter, want)
	}
	if key, ok := ca.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("the authority's key is a %T", ca.PublicKey)
	}
	if !ca.IsCA || !ca.MaxPathLenZero || ca.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Error("the authority may not sign, or may make other authorities")
	}
}

func parseCert(t *testing.T, content []byte) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode(content)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		t.Fatalf("not just a certificate: %q", content)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestLoadFileModes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes on Windows")
	}
	dir := t.TempDir()
	mustLoad(t, dir, start)
	want := map[string]fs.FileMode{"ca.key": 0o600, "ca.crt": 0o644, "server.pem": 0o600}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(want) { // no temporary file is left
		t.Errorf("the directory holds %v", entries)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want[e.Name()] {
			t.Errorf("%s has mode %v, want %v", e.Name(), info.Mode(), want[e.Name()])
		}
	}
	if bytes.Contains(mustRead(t, dir, "ca.crt"), []byte("PRIVATE")) {
		t.Error("the public file holds a private key")
	}
}

func TestLoadAgainChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := mustLoad(t, dir, start, "weir.example", "192.0.2.1")
	before := contents(t, dir)
	for name, hosts := range map[string][]string{
		"same":  {"weir.example", "192.0.2.1"},
		"order": {"192.0.2.1", "WEIR.example", "localhost"},
		"fewer": nil,
	} {
		id := mustLoad(t, dir, first.RenewAt.Add(-time.Second), hosts...)
		if id.Created {
			t.Errorf("%s: Created is true", name)
		}
		if !id.Certificate.Leaf.Equal(first.Certificate.Leaf) || !id.RenewAt.Equal(first.RenewAt) {
			t.Errorf("%s: another certificate", name)
		}
	}
	for name, content := range contents(t, dir) {
		if content != before[name] {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestLoadReissues(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		at    func(renewAt time.Time) time.Time
		hosts []string
	}{
		"near expiry":              {func(r time.Time) time.Time { return r }, nil},
		"long expired":             {func(r time.Time) time.Time { return r.Add(1000 * day) }, nil},
		"new DNS name":             {func(time.Time) time.Time { return start }, []string{"weir.example"}},
		"new address":              {func(time.Time) time.Time { return start }, []string{"192.0.2.1"}},
		"not covered by a subname": {func(time.Time) time.Time { return start }, []string{"a.localhost"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			old := mustLoad(t, dir, start)
			before := contents(t, dir)
			now := tt.at(old.RenewAt)
			id := mustLoad(t, dir, now, tt.hosts...)
			if id.Created {
				t.Error("Created is true")
			}
			after := contents(t, dir)
			if after["ca.key"] != before["ca.key"] || after["ca.crt"] != before["ca.crt"] {
				t.Error("the authority was changed")
			}
			if after["server.pem"] == before["server.pem"] || id.Certificate.Leaf.Equal(old.Certificate.Leaf) {
				t.Error("the certificate is the old one")
			}
			for _, host := range append(tt.hosts, "localhost") {
				if err := verify(t, id, host, now); err != nil {
					t.Error(err)
				}
			}
			if again := mustLoad(t, dir, now, tt.hosts...); !again.Certificate.Leaf.Equal(id.Certificate.Leaf) {
				t.Error("it is issued again and again")
			}
		})
	}
}

// A clock that was ahead left a certificate that is not valid yet.
func TestLoadReissuesWhatIsNotValidYet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustLoad(t, dir, start)
	mustRemove(t, dir, "server.pem")
	mustLoad(t, dir, start.Add(100*day))
	if err := verify(t, mustLoad(t, dir, start), "localhost", start); err != nil {
		t.Error(err)
	}
}

func TestLoadAfterTheServersFileIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustLoad(t, dir, start)
	ca := mustRead(t, dir, "ca.crt")
	mustRemove(t, dir, "server.pem")
	id := mustLoad(t, dir, start)
	if id.Created || !bytes.Equal(ca, mustRead(t, dir, "ca.crt")) {
		t.Error("the authority was made again")
	}
	if err := verify(t, id, "localhost", start); err != nil {
		t.Error(err)
	}
}

func TestLoadAfterTheAuthorityIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := mustLoad(t, dir, start)
	mustRemove(t, dir, "ca.key", "ca.crt")
	id := mustLoad(t, dir, start)
	if !id.Created || id.Certificate.Leaf.Equal(old.Certificate.Leaf) {
		t.Error("the old authority's certificate is still in use")
	}
	if err := verify(t, id, "localhost", start); err != nil {
		t.Error(err)
	}
}

// A crash can leave ca.key without ca.crt.
func TestLoadWritesTheMissingPublicFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustLoad(t, dir, start)
	ca := mustRead(t, dir, "ca.crt")
	mustRemove(t, dir, "ca.crt")
	if id := mustLoad(t, dir, start); id.Created {
		t.Error("Created is true")
	}
	if !bytes.Equal(ca, mustRead(t, dir, "ca.crt")) {
		t.Error("ca.crt is another one")
	}
}

func TestLoadNearTheEndOfTheAuthority(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustLoad(t, dir, start)
	ca := parseCert(t, mustRead(t, dir, "ca.crt"))

	now := ca.NotAfter.Add(-10 * day)
	id := mustLoad(t, dir, now)
	if !id.Certificate.Leaf.NotAfter.Equal(ca.NotAfter) || !id.RenewAt.Equal(ca.NotAfter) {
		t.Errorf("valid until %v, renewed at %v; the authority ends at %v", id.Certificate.Leaf.NotAfter, id.RenewAt, ca.NotAfter)
	}
	if again := mustLoad(t, dir, now.Add(day)); !again.Certificate.Leaf.Equal(id.Certificate.Leaf) {
		t.Error("a certificate that cannot last longer was issued again")
	}
	before := contents(t, dir)
	for name, at := range map[string]time.Time{
		"expired":        ca.NotAfter.Add(time.Second),
		"not yet valid:": ca.NotBefore.Add(-time.Second),
	} {
		if _, err := localca.Load(dir, nil, at); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if after := contents(t, dir); len(after) != len(before) || after["ca.key"] != before["ca.key"] {
		t.Error("the files were changed")
	}
}

func TestLoadLeavesDamagedFilesAlone(t *testing.T) {
	t.Parallel()
	// Two authorities, the second one for wrong pieces.
	dir, other := t.TempDir(), t.TempDir()
	mustLoad(t, dir, start)
	mustLoad(t, other, start)
	good, strange := contents(t, dir), contents(t, other)

	keyOf := func(pair string) string { return pair[:strings.Index(pair, "-----BEGIN CERT")] }
	certOf := func(pair string) string { return pair[strings.Index(pair, "-----BEGIN CERT"):] }
	// The end of a certificate is its signature.
	badSignature := func(pair string) string {
		cert, _ := pem.Decode([]byte(certOf(pair)))
		cert.Bytes[len(cert.Bytes)-1] ^= 1
		return keyOf(pair) + string(pem.EncodeToMemory(cert))
	}
	const missing = "missing"
	tests := map[string]struct {
		file, content string
		says          []string
	}{
		"ca.key empty":              {"ca.key", "", []string{"ca.key is damaged", "restore", "remove"}},
		"ca.key text":               {"ca.key", "hello\n", []string{"ca.key is damaged"}},
		"ca.key cut short":          {"ca.key", good["ca.key"][:len(good["ca.key"])-30], []string{"ca.key is damaged"}},
		"ca.key without its key":    {"ca.key", certOf(good["ca.key"]), []string{"ca.key is damaged"}},
		"ca.key without its cert":   {"ca.key", keyOf(good["ca.key"]), []string{"ca.key is damaged"}},
		"ca.key with another's key": {"ca.key", keyOf(strange["ca.key"]) + certOf(good["ca.key"]), []string{"ca.key is damaged", "match"}},
		"ca.key bad signature":      {"ca.key", badSignature(good["ca.key"]), []string{"ca.key is damaged"}},
		"ca.key no authority":       {"ca.key", good["server.pem"], []string{"ca.key is damaged", "not an authority's"}},
		"ca.key another authority":  {"ca.key", strange["ca.key"], []string{"ca.crt is not the certificate that is in", "remove"}},
		"ca.key missing":            {"ca.key", missing, []string{"private key", "is missing", "put it back"}},
		"ca.crt empty":              {"ca.crt", "", []string{"ca.crt is not the certificate"}},
		"ca.crt text":               {"ca.crt", "hello\n", []string{"ca.crt is not the certificate"}},
		"ca.crt another authority":  {"ca.crt", strange["ca.crt"], []string{"ca.crt is not the certificate"}},
		"server.pem empty":          {"server.pem", "", []string{"server.pem is damaged", "remove it"}},
		"server.pem cut short":      {"server.pem", good["server.pem"][:200], []string{"server.pem is damaged"}},
		"server.pem other key":      {"server.pem", keyOf(strange["server.pem"]) + certOf(good["server.pem"]), []string{"server.pem is damaged"}},
		"server.pem bad signature":  {"server.pem", badSignature(good["server.pem"]), []string{"server.pem is damaged"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, content := range good {
				mustWrite(t, dir, file, []byte(content))
			}
			if tt.content == missing {
				mustRemove(t, dir, tt.file)
			} else {
				mustWrite(t, dir, tt.file, []byte(tt.content))
			}
			before := contents(t, dir)
			id, err := localca.Load(dir, nil, start)
			if err == nil {
				t.Fatalf("no error; created: %v", id.Created)
			}
			for _, says := range append(tt.says, dir) {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("the error does not say %q: %v", says, err)
				}
			}
			after := contents(t, dir)
			if len(after) != len(before) {
				t.Errorf("files came or went: %d, were %d", len(after), len(before))
			}
			for file := range before {
				if after[file] != before[file] {
					t.Errorf("%s was changed", file)
				}
			}
		})
	}
}

func TestLoadReportsFileErrors(t *testing.T) {
	t.Parallel()
	t.Run("directory is a file", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		mustWrite(t, dir, "tls", nil)
		if _, err := localca.Load(filepath.Join(dir, "tls"), nil, start); err == nil {
			t.Error("no error")
		}
	})
	for _, file := range []string{"ca.key", "ca.crt", "server.pem"} {
		t.Run(file+" is a directory", func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, file), 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := localca.Load(dir, nil, start); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestLoadRejectsHosts(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"", ".", "*", "a..b", ".a", "weir.example:8080", "https://weir.example", "weir example", "weir/example",
		"[::1]", "[::1]:80", "127.0.0.1:80", "fe80::1%eth0", "10.0.0.0/8", "256.1.1.1", "1.2.3", "80",
		"-a.example", "a-.example", "a.*.example", "*a.example", "zürich.example", "a\x00b",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "ab",
	} {
		dir := t.TempDir()
		if _, err := localca.Load(dir, []string{"weir.example", host}, start); err == nil || !strings.Contains(err.Error(), "certificate host") {
			t.Errorf("%q: got error %v", host, err)
		}
		if files := contents(t, dir); len(files) > 0 {
			t.Errorf("%q: files were made: %v", host, files)
		}
	}
}
