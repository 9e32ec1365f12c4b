// Package authn turns the credentials of a request into a caller, and makes
// and checks the secrets that credentials are.
package authn

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc32"
	"sync"

	"github.com/weirhq/weir/internal/random"
)

// Shapes of API keys, as the real service documents them.
const (
	// KeyIDLength is the length of a key's id, upper-case letters and digits.
	KeyIDLength = 16
	// SecretLength is the length of a whole secret.
	SecretLength = 64

	secretPrefix = "cflt"
	secretRandom = 54
	base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

// NewSecret returns a secret in the documented format: "cflt", 54 random
// characters, and six that are the Base64 of the CRC-32 of those 54, so that
// secret scanners can tell a real one.
func NewSecret() string {
	body := random.Text(secretRandom, base64Digits)
	return secretPrefix + body + checksum(body)
}

// WellFormedSecret reports whether the text has the format of NewSecret,
// checksum included.
func WellFormedSecret(secret string) bool {
	if len(secret) != SecretLength || secret[:len(secretPrefix)] != secretPrefix {
		return false
	}
	body := secret[len(secretPrefix) : len(secretPrefix)+secretRandom]
	return checksum(body) == secret[len(secretPrefix)+secretRandom:]
}

func checksum(body string) string {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE([]byte(body)))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// Hasher hashes the secrets of API keys. A fast hash is enough for secrets
// with over 300 bits of entropy; the key keeps a stolen database from being
// searched for short secrets that an operator chose.
type Hasher struct {
	// Key is shared by all replicas, 32 bytes.
	Key []byte
	// macs are hash.Hash with the key, which cost more to make than to use.
	macs *sync.Pool
}

// NewHasher returns the Hasher with the key, which must not change.
func NewHasher(key []byte) Hasher {
	return Hasher{Key: key, macs: &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// Hash returns what is stored in place of the secret.
func (h Hasher) Hash(secret string) []byte { return h.Sum("weir api key secret", secret) }

// Sum returns the hash of a text for a use, which has no NUL in it: the same text
// has unlike hashes for unlike uses. It serves for tokens of 256 random bits too,
// for which a fast hash is enough.
func (h Hasher) Sum(use, text string) []byte {
	mac, _ := h.macs.Get().(hash.Hash)
	defer h.macs.Put(mac)
	mac.Reset()
	return sum(mac, use, text)
}

// Sum is what the Sum of a Hasher with the key returns, for a single use.
func Sum(key []byte, use, text string) []byte { return sum(hmac.New(sha256.New, key), use, text) }

func sum(mac hash.Hash, use, text string) []byte {
	mac.Write([]byte(use + "\x00"))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// Matches compares in constant time. It does the same work for an empty hash,
// which matches nothing, so that unknown keys take as long as wrong secrets.
func (h Hasher) Matches(hash []byte, secret string) bool {
	return subtle.ConstantTimeCompare(hash, h.Hash(secret)) == 1
}

// KeyRecord is what is kept with an API key and never sent.
type KeyRecord struct {
	Hash []byte `json:"hash"`
	// Owner is the ID of the user or service account that the key stands for.
	Owner string `json:"owner"`
	// Scheme is the kind of credential that the key is, in the words of the
	// API's security schemes: SchemeCloudKey, SchemeGlobalKey, SchemeResourceKey.
	Scheme string `json:"scheme"`
}

// Encode returns the record as stored bytes.
func (r KeyRecord) Encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("authn: encode key record: %v", err)) // bytes and text always encode
	}
	return b
}

// DecodeKeyRecord reads what Encode returned.
func DecodeKeyRecord(b []byte) (KeyRecord, error) {
	var r KeyRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("authn: stored key record cannot be read: %w", err)
	}
	return r, nil
}
