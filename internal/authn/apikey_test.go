package authn_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/authn"
)

var secretFormat = regexp.MustCompile(`^cflt[A-Za-z0-9+/]{60}$`)

func TestNewSecretHasTheDocumentedFormat(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		secret := authn.NewSecret()
		if len(secret) != authn.SecretLength || !secretFormat.MatchString(secret) {
			t.Fatalf("%q has not the format", secret)
		}
		sum, err := base64.RawStdEncoding.DecodeString(secret[58:])
		if err != nil || binary.BigEndian.Uint32(sum) != crc32.ChecksumIEEE([]byte(secret[4:58])) {
			t.Fatalf("%q ends in a wrong checksum", secret)
		}
		if !authn.WellFormedSecret(secret) {
			t.Fatalf("%q is not recognized", secret)
		}
		if seen[secret] {
			t.Fatalf("%q came twice", secret)
		}
		seen[secret] = true
	}
}

// A CRC-32 finds every change of up to 32 bits in a row, so no change of one
// character stays unnoticed.
func TestWellFormedSecretNoticesEveryChangedCharacter(t *testing.T) {
	t.Parallel()
	secret := authn.NewSecret()
	for i := range len(secret) {
		for c := range 256 {
			if byte(c) == secret[i] {
				continue
			}
			changed := secret[:i] + string([]byte{byte(c)}) + secret[i+1:]
			if authn.WellFormedSecret(changed) {
				t.Fatalf("%q, changed at %d, is taken for a secret", changed, i)
			}
		}
	}
}

func TestWellFormedSecretRefusesOtherTexts(t *testing.T) {
	t.Parallel()
	secret := authn.NewSecret()
	for _, text := range []string{
		"", "cflt", secret[1:], secret[:63], secret + "A", secret + "=", " " + secret[1:], strings.ToLower(secret), strings.Repeat("A", 64), strings.Repeat("\x00", 64),
	} {
		if authn.WellFormedSecret(text) {
			t.Errorf("%q is taken for a secret", text)
		}
	}
}

func hasher(b byte) authn.Hasher { return authn.NewHasher(bytes.Repeat([]byte{b}, 32)) }

func TestHasher(t *testing.T) {
	t.Parallel()
	h := hasher(1)
	// Stored hashes outlive releases: this value must stay what it is.
	const want = "c14e615090239c78c21c8ce3a4f20f3aabf782a9e8d4dca04c66a8a2f5072835"
	if got := hex.EncodeToString(h.Hash("secret")); got != want {
		t.Errorf("the hash is %s, want %s", got, want)
	}
	if !bytes.Equal(h.Hash("secret"), h.Hash("secret")) {
		t.Error("the hash differs from call to call")
	}
	if bytes.Equal(h.Hash("secret"), h.Hash("secreT")) || bytes.Equal(h.Hash("secret"), hasher(2).Hash("secret")) {
		t.Error("the hash does not depend on the secret and the key")
	}
}

func TestHasherMatches(t *testing.T) {
	t.Parallel()
	h := hasher(1)
	for _, secret := range []string{"secret", "", strings.Repeat("x", 1<<16), "\x00"} {
		hash := h.Hash(secret)
		if !h.Matches(hash, secret) {
			t.Errorf("%.10q does not match its own hash", secret)
		}
		if h.Matches(hash, secret+"x") || hasher(2).Matches(hash, secret) {
			t.Errorf("%.10q matches with another secret or key", secret)
		}
		if h.Matches(hash[:31], secret) || h.Matches(append(hash, 0), secret) {
			t.Errorf("%.10q matches a hash of another length", secret)
		}
		// Keys that are not there are compared as keys without a hash.
		if h.Matches(nil, secret) || h.Matches([]byte{}, secret) || h.Matches(make([]byte, 32), secret) {
			t.Errorf("%.10q matches no hash at all", secret)
		}
	}
}

func TestKeyRecord(t *testing.T) {
	t.Parallel()
	want := authn.KeyRecord{Hash: []byte{0, 1, 0xff}, Owner: "sa-abc123", Scheme: authn.SchemeCloudKey}
	got, err := authn.DecodeKeyRecord(want.Encode())
	if err != nil || !bytes.Equal(got.Hash, want.Hash) || got.Owner != want.Owner || got.Scheme != want.Scheme {
		t.Errorf("came back as %+v, %v", got, err)
	}
	for _, broken := range []string{"", "{", "[]", `{"hash":1}`} {
		if _, err := authn.DecodeKeyRecord([]byte(broken)); err == nil {
			t.Errorf("%q was read", broken)
		}
	}
}
